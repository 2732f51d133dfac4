//! Pipelines with a NATS server: the examples, and what crosses WebSocket and NATS.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

mod dead_letters;
mod example;
mod requests;
#[path = "../support/mod.rs"]
mod support;
