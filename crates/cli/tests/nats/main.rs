//! The files in `examples/nats` and `deploy` at work, each with a NATS server of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod deployment;
mod gateways;
#[path = "../admin/http.rs"]
#[allow(dead_code, reason = "made for the tests of the admin listener")]
mod http;
mod instance;
mod links;
mod orders;
mod services;
#[path = "../support/mod.rs"]
mod support;
mod users;
