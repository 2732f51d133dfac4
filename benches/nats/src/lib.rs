//! The NATS benchmark: what EventFlux costs between WebSockets and NATS, beside NATS without it.
//!
//! A run starts a nats-server, what is to be measured, and who loads it: WebSocket clients that publish, or the
//! crowd of the gateway benchmark, which publishes and subscribes. [`run`] conducts runs, [`scenario`] lists what is
//! measured, [`table`] prints it; the binary `nats-bench` chooses.
//!
//! It measures whole programs over real sockets of one machine. It does not measure TLS, clusters of servers, or networks.
//! It needs Linux.

#![allow(clippy::print_stderr, reason = "a benchmark reports its progress and failures on standard error")]

mod deposit;
mod event;
mod fan_out;
mod floor;
mod job;
mod load;
mod message;
mod outcome;
mod pipeline;
pub mod role;
pub mod run;
pub mod scenario;
mod server;
mod stream;
pub mod table;
