//! Real processes with NATS between them: whatever ends, is cut off, is full or forbidden, nothing that was acknowledged is lost,
//! and what comes twice is counted and stays within what was under way.
//!
//! Every event has a number, and every number has exactly one text, so that what is at the end of a chain says by itself what
//! was lost, invented or repeated. The tests are the short form of each proof; `scripts/prove-nats` is the long one. What is
//! random comes from a seed, which is printed.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stderr, reason = "figures, seeds, and the logs of processes when a proof fails")]

mod clients;
#[path = "../federation/extent.rs"]
mod extent;
mod forbidden;
mod gateways;
#[path = "../admin/http.rs"]
#[allow(dead_code, reason = "made for the tests of the admin listener")]
mod http;
mod killed;
mod network;
mod node;
mod operator;
mod partitions;
mod pipelines;
mod producer;
#[path = "../federation/sql.rs"]
#[allow(dead_code, reason = "made for links")]
mod sql;
mod stream;
#[path = "../support/mod.rs"]
mod support;
#[path = "../federation/tally.rs"]
#[allow(dead_code, reason = "made for links")]
mod tally;
mod watch;
#[path = "../federation/weather.rs"]
mod weather;

use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Events per second where a proof does not say otherwise.
pub(crate) const RATE: u64 = 1_000;

/// How long a chain may take for what is left once nothing disturbs it any more.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// How often something is looked at that is waited for.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// A folder on the disk the build is on, not in memory: a file's promises are about disks.
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
