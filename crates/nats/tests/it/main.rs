//! What EventFlux needs of NATS, against real servers.
#![allow(clippy::unwrap_used)]

mod bus;
mod connection;
mod leases;
mod publisher;
mod stream;
