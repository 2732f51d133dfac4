//! Links as a driver sees them, in simulated time and without a socket: what goes wrong in one particular way each.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod hostile;
mod outlets;
mod resuming;
mod streams;
mod support;
