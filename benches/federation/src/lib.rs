//! The federation benchmark: what it costs to bring events from one pipeline to another, and to ask it something.
//!
//! A run has two processes on loopback, the ends of one connection, and a third one where a broker is between them. They
//! are started from this executable, and told what to do by [`run`]; [`scenario`] says what is measured, [`table`] prints
//! it, and the binary `link-bench` chooses.
//!
//! It measures whole processes over real sockets: our sources and sinks as a program has them, and in two scenarios the
//! `eventflux` binary. It does not measure TLS or networks. It needs Linux.

#![allow(clippy::print_stderr, reason = "a benchmark reports its progress and failures on standard error")]

mod ask;
mod broker;
mod connectors;
mod event;
mod floor;
mod job;
mod ledger;
mod message;
mod nats;
mod ours;
mod outcome;
mod pipelines;
pub mod role;
pub mod run;
pub mod scenario;
mod system;
pub mod table;
mod transfer;
