//! Streams that are served to clients, over real sockets: what the guides of the three protocols promise, message by
//! message and table by table, and what must not happen to anybody because of somebody else.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

mod analytics_guide;
mod channels_guide;
mod client;
mod environment;
mod events_guide;
mod failures;
mod history;
mod jwt;
mod request_reply;
mod served;
#[path = "../support/mod.rs"]
mod support;
