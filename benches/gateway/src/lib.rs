//! The gateway benchmark: what it costs to bring one message to many clients.
//!
//! A run has two processes on loopback: the gateway under test ([`contestant`]), and one that is all its clients, the
//! `crowd`: a publisher and up to thousands of subscribers on one thread, which read raw bytes and find messages by their
//! headers, so that the gateway gets most of the machine. [`run`] conducts a run, [`scenario`] lists what is measured,
//! [`table`] prints it; the binary `gateway-bench` chooses.
//!
//! It measures whole programs over real sockets. It does not measure TLS, compression, or networks. It needs Linux.

#![allow(clippy::print_stderr, reason = "a benchmark reports its progress and failures on standard error")]

pub mod contestant;
mod crowd;
pub mod event;
pub mod job;
mod memory;
pub mod role;
pub mod run;
pub mod scenario;
pub mod table;

pub use job::Protocol;
