//! `status`: how this end is doing, as far as the peer is concerned.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::rate::Meter;

/// The result.
#[derive(Debug, Serialize)]
pub(in super::super) struct StatusReport {
    throughput: Throughput,
    /// Events that wait for this peer.
    queue_depth: u64,
    /// Since this end was started.
    uptime_seconds: u64,
}

/// Events sent to this peer.
#[derive(Debug, Serialize)]
struct Throughput {
    current: u64,
    average_1m: u64,
    unit: &'static str,
}

impl StatusReport {
    pub(in super::super) fn new(sent: &Meter, queue_depth: u64, uptime: Duration, now: Instant) -> Self {
        let throughput = Throughput { current: sent.current(now), average_1m: sent.average_1m(now), unit: super::UNIT };
        Self { throughput, queue_depth, uptime_seconds: uptime.as_secs() }
    }
}
