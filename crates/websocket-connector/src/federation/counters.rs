//! What links count, as metrics of the place.

use eventflux_core::metrics::Metrics;
use eventflux_federation::Counters;

/// Name and meaning of each.
const NAMES: [(&str, &str); 9] = [
    ("eventflux_federation_received_total", "Events received over links, repetitions not counted."),
    ("eventflux_federation_received_bytes_total", "Bytes of events received over links."),
    ("eventflux_federation_duplicates_total", "Events that had been received before and were dropped."),
    ("eventflux_federation_gaps_total", "Gaps that senders told of, or that were noticed."),
    ("eventflux_federation_missing_total", "Events missing in those gaps, as far as is known."),
    ("eventflux_federation_sent_total", "Events sent over links, those that were sent before included."),
    ("eventflux_federation_filtered_total", "Events that a peer did not want: its filter, its types, its region."),
    ("eventflux_federation_missed_total", "Events that a peer without acknowledgements was too slow for."),
    ("eventflux_federation_malformed_total", "Messages that were no envelopes."),
];

/// The counters of the place whose first source or sink is that of `stream`.
pub(crate) fn of(metrics: &Metrics, stream: &str) -> Counters {
    let labels = [("stream", stream)];
    let [received, received_bytes, duplicates, gaps, missing, sent, filtered, missed, malformed] =
        NAMES.map(|(name, help)| {
            metrics.describe(name, help);
            metrics.counter(name, &labels)
        });
    Counters {
        received,
        received_bytes,
        duplicates,
        gaps,
        missing,
        sent,
        filtered,
        missed,
        malformed,
        ..Counters::default()
    }
}
