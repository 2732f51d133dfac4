//! Which events a peer gets, and how fast.

use std::time::Instant;

use crate::Now;

/// What a peer has asked for by its requests; everything, when it has asked for nothing.
#[derive(Debug, Default)]
pub(crate) struct Selection {}

impl Selection {
    /// Whether the peer gets an event of `stream`.
    pub(crate) fn wants(&mut self, stream: &str, payload: &[u8]) -> bool {
        let _ = (stream, payload);
        true
    }

    /// How many events may be sent now.
    pub(crate) fn allowance(&mut self, now: Now) -> u64 {
        let _ = now;
        u64::MAX
    }

    /// So many were sent.
    pub(crate) fn spend(&mut self, events: u64) {
        let _ = events;
    }

    /// When more may be sent, if that is what is waited for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        None
    }
}
