//! What EventFlux needs of NATS, against real servers.
#![allow(clippy::unwrap_used)]

mod connection;
mod stream;
