//! The contract suite: what every source and every sink has to do, checked against a real one.
//!
//! A connector's tests implement [`SourceHarness`] or [`SinkHarness`]: the factory, what the connector is able to do,
//! and a peer that can be told to send, to cut, to refuse. Then one test runs everything:
//!
//! ```text
//! #[test]
//! fn the_source_keeps_the_contract() {
//!     eventflux_testkit::contract::source(Box::new(MyHarness));
//! }
//! ```
//!
//! A connector that is a WebSocket client gets its peer from [`WebSocketPeer`], whose documentation has a whole harness.
//!
//! Every check has a name and a fresh peer. The suite runs them all and reports all failures, not only the first. A
//! check that the [capabilities](Capabilities) rule out is reported as skipped, with the reason; a check that hangs is
//! reported as failed. The checks are listed by [`source_checks`] and [`sink_checks`]; `crates/testkit/tests` has a
//! source and a sink in memory that pass them, and broken ones that prove that every check can fail.
//!
//! # What it does not check
//! Wire protocols, speed, memory, and what a connector promises beyond the contract: those are the connector's own
//! tests.

mod callbacks;
mod harness;
mod numbers;
mod properties;
mod report;
mod secrets;
mod sink;
mod source;
mod websocket;

use std::{sync::Arc, time::Duration};

pub use callbacks::{OnDelivery, SinkRecorder, SourceRecorder};
pub use harness::{Capabilities, Feed, Peer, SecretProperty, SinkHarness, SinkPeer, SourceHarness, SourcePeer};
pub use report::{Failure, Report};
pub use websocket::{Reconnect, WebSocketPeer};

/// How long the suite waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The deadline given to `stop`; half a second is added before it counts as missed.
    pub stop: Duration,
    /// What "at once" means: the longest a stop may take when there is nothing to wait for.
    pub promptly: Duration,
    /// How long messages, connections and states may take to arrive.
    pub arrival: Duration,
    /// How long the suite looks for what must not happen.
    pub observation: Duration,
    /// The longest a whole check may take.
    pub check: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stop: Duration::from_secs(5),
            promptly: Duration::from_secs(1),
            arrival: Duration::from_secs(10),
            observation: Duration::from_millis(150),
            check: Duration::from_secs(60),
        }
    }
}

/// Runs every check against a source.
///
/// # Panics
/// With all failures, when there is one.
#[track_caller]
pub fn source(harness: Box<dyn SourceHarness>) {
    source_report(harness).assert_kept();
}

/// Runs every check against a source, and returns what came of each.
pub fn source_report(harness: Box<dyn SourceHarness>) -> Report {
    let limit = harness.limits().check;
    let name = format!("source '{}'", harness.factory().name());
    report::run(name, &Arc::from(harness), source::CHECKS, limit, |_| true)
}

/// Runs one check against a source.
///
/// # Panics
/// When there is no check of this name.
#[track_caller]
pub fn source_check(harness: Box<dyn SourceHarness>, check: &str) -> Report {
    assert!(source_checks().any(|name| name == check), "there is no source check '{check}'");
    let limit = harness.limits().check;
    let name = format!("source '{}'", harness.factory().name());
    report::run(name, &Arc::from(harness), source::CHECKS, limit, |name| name == check)
}

/// The names of the checks for sources.
pub fn source_checks() -> impl Iterator<Item = &'static str> {
    source::CHECKS.iter().map(|check| check.name)
}

/// Runs every check against a sink.
///
/// # Panics
/// With all failures, when there is one.
#[track_caller]
pub fn sink(harness: Box<dyn SinkHarness>) {
    sink_report(harness).assert_kept();
}

/// Runs every check against a sink, and returns what came of each.
pub fn sink_report(harness: Box<dyn SinkHarness>) -> Report {
    let limit = harness.limits().check;
    let name = format!("sink '{}'", harness.factory().name());
    report::run(name, &Arc::from(harness), sink::CHECKS, limit, |_| true)
}

/// Runs one check against a sink.
///
/// # Panics
/// When there is no check of this name.
#[track_caller]
pub fn sink_check(harness: Box<dyn SinkHarness>, check: &str) -> Report {
    assert!(sink_checks().any(|name| name == check), "there is no sink check '{check}'");
    let limit = harness.limits().check;
    let name = format!("sink '{}'", harness.factory().name());
    report::run(name, &Arc::from(harness), sink::CHECKS, limit, |name| name == check)
}

/// The names of the checks for sinks.
pub fn sink_checks() -> impl Iterator<Item = &'static str> {
    sink::CHECKS.iter().map(|check| check.name)
}
