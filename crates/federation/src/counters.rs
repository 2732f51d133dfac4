//! What a place counts; copies share it.

mod durations;
mod labelled;

use eventflux_core::metrics::Counter;

pub use self::durations::Durations;
pub use self::labelled::{Labelled, METHOD_LABELS, OTHER_METHOD, STATUS_LABELS};

/// See the module.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Events received, repetitions not counted.
    pub received: Counter,
    /// Bytes of their payloads.
    pub received_bytes: Counter,
    /// Events that were dropped because they had been received before, or come over another connection.
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
    /// Events sent again because a peer asked for them; not among `sent`.
    pub replayed: Counter,
    /// Events that were forgotten before they could be sent again.
    pub unreplayed: Counter,
    /// Requests sent to peers, by [`METHOD_LABELS`].
    pub requests_sent: Labelled,
    /// Replies of peers to them, in time, by [`STATUS_LABELS`].
    pub replies_received: Labelled,
    /// Requests without a reply in time.
    pub request_timeouts: Counter,
    /// Time until the reply, by [`METHOD_LABELS`].
    pub request_durations: Durations,
    /// Replies that came after their time.
    pub late_replies: Counter,
    /// Replies to nothing that was asked on their connection.
    pub unknown_replies: Counter,
    /// Requests of peers, by [`METHOD_LABELS`].
    pub requests_received: Labelled,
}

impl Default for Counters {
    fn default() -> Self {
        let counter = Counter::default;
        Self {
            received: counter(),
            received_bytes: counter(),
            duplicates: counter(),
            gaps: counter(),
            missing: counter(),
            sent: counter(),
            filtered: counter(),
            missed: counter(),
            malformed: counter(),
            replayed: counter(),
            unreplayed: counter(),
            requests_sent: Labelled::new(&METHOD_LABELS, |_| counter()),
            replies_received: Labelled::new(&STATUS_LABELS, |_| counter()),
            request_timeouts: counter(),
            request_durations: Durations::default(),
            late_replies: counter(),
            unknown_replies: counter(),
            requests_received: Labelled::new(&METHOD_LABELS, |_| counter()),
        }
    }
}
