//! What a place counts; copies share it.

use eventflux_core::metrics::Counter;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Events received, repetitions not counted.
    pub received: Counter,
    /// Bytes of their payloads.
    pub received_bytes: Counter,
    /// Events that had been received before and were dropped.
    pub duplicates: Counter,
    /// Gaps that peers told of, or that were noticed.
    pub gaps: Counter,
    /// Events missing in those gaps, as far as is known.
    pub missing: Counter,
    /// Events sent, those that were sent before included.
    pub sent: Counter,
    /// Events that a peer did not want: its filter, its types, its region.
    pub filtered: Counter,
    /// Events that a peer without acknowledgements was too slow for.
    pub missed: Counter,
    /// Messages that are no envelopes.
    pub malformed: Counter,
}
