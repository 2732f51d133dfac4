//! Client programs that were printed in documentation before there was a server of ours, run as they are against the
//! examples they fit, and the dashboard in a browser.
//!
//! The programs are in `tests/clients`; `scripts/test` installs what they need. Without it these tests say so loudly and do
//! nothing, except where the environment variable CI is set: there they fail.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, or says why it does nothing"
)]

mod analytics;
mod channels;
mod dashboard;
mod events;
mod federation;
#[path = "../admin/http.rs"]
#[allow(dead_code, reason = "made for the tests of the admin listener")]
mod http;
mod port;
mod program;
mod runtimes;
mod rust_client;
mod server;
#[path = "../support/mod.rs"]
mod support;
