//! The hub and its sessions as a driver sees them, in simulated time and without a socket.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod batching;
mod connecting;
mod fan_out;
mod history;
mod identity;
mod late;
mod limits;
mod memory;
mod model;
mod overlaps;
mod presence;
mod pressure;
mod requests;
mod shared;
mod slow;
mod snapshots;
mod subscriptions;
mod support;
mod threads;
mod users;
