//! The `udp` source on real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod contract;
mod source;
mod support;
