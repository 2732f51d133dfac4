//! A link between real processes loses nothing and invents nothing: cut, slowed down, killed, with a full disk.
//!
//! Every event has a number, and every number has exactly one text, so that the file at the end of a chain says by itself
//! what was lost, invented, repeated or brought out of order. The tests are the short form of each proof;
//! `scripts/prove-federation` is the long one. What is random comes from a seed, which is printed.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stderr, reason = "figures, seeds, and the logs of processes when a proof fails")]

mod appendix;
mod carried;
mod disk;
mod extent;
mod killed;
mod memory;
mod node;
mod sql;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod weather;

use std::time::{Duration, Instant};

use tempfile::TempDir;

use tally::Tally;

/// Events per second where a proof does not say otherwise.
pub(crate) const RATE: u64 = 1_000;

/// How long a chain may take for what is left once nothing disturbs it any more.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// How often something is looked at that is waited for.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// A folder on the disk the build is on, not in memory: a spool's and a file's promises are about disks.
pub(crate) fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Waits until `condition` is met; `what` says what was waited for.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "still waiting: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Waits until the file at the end of the chain has so many events.
#[track_caller]
pub(crate) fn wait_for_all(tally: &mut Tally, count: u64) {
    let deadline = Instant::now() + DEADLINE;
    while tally.read().distinct < count {
        assert!(Instant::now() < deadline, "{count} events are waited for, and this has come: {:?}", tally.verdict());
        std::thread::sleep(PAUSE);
    }
}
