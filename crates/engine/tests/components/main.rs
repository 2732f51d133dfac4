//! Component files: what they become, what is wrong with them, and that they run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod conversion;
mod fields;
mod filters;
mod forms;
mod mistakes;
mod robustness;
mod runs;
mod stand_in;
#[path = "../support/mod.rs"]
mod support;
