//! The wire benchmark: what one WebSocket message costs, library against library.
//!
//! Every run has two processes on loopback. One is the system under test: a program of a few lines around one
//! library ([`peers`]), on one thread. The other is its `counterpart`, which speaks the protocol at the byte level
//! and far cheaper than any library, so that the system is never the one that waits. [`run`] conducts a run, [`plan`]
//! lists what is measured, [`table`] prints it; the binary `wire-bench` chooses.
//!
//! It measures processor time of the system's process by its own clock, wall time beside it, and for idle connections
//! resident memory. It does not measure latency, TLS, or networks.

mod blocks;
mod counterpart;
mod crowd;
mod event;
mod framing;
mod job;
mod messages;
mod opening;
pub mod peers;
pub mod plan;
pub mod role;
pub mod run;
pub mod table;
