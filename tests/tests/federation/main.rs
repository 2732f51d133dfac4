//! Pipelines linked to peers over one WebSocket: what an operator sees of them, what they do when something goes wrong, and
//! what they do when more comes than they can take.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

mod access;
mod backpressure;
mod ends;
mod envelopes;
mod errors;
mod gate;
mod linked;
mod methods;
mod multiplexed;
mod observability;
mod plain;
mod pools;
mod requests;
mod states;
#[path = "../support/mod.rs"]
mod support;
