//! Several gateways that are one: pipelines that serve the same path, with a real NATS server between them.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

mod access;
mod away;
#[allow(dead_code, reason = "shared with the tests of one gateway, which need more of it")]
#[path = "../gateway/client.rs"]
mod client;
mod history;
mod instance;
#[allow(dead_code, reason = "as above")]
#[path = "../gateway/jwt.rs"]
mod jwt;
mod reaching;
#[path = "../support/mod.rs"]
mod support;
