//! What a place counts, as metrics of the stream whose source or sink was the first there.

use eventflux_core::ConnectorContext;
use eventflux_core::metrics::{Counter, Metrics};
use eventflux_federation::{Counters, Durations, Labelled, METHOD_LABELS, STATUS_LABELS};

/// Of how long requests took at most, these parts are shown.
const QUANTILES: [(&str, f64); 2] = [("0.5", 0.5), ("0.99", 0.99)];

/// What its links count, and what becomes of its connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlaceCounters {
    pub(super) links: Counters,
    /// Connections that were opened.
    pub(super) connections: Counter,
    /// Attempts to connect again.
    pub(super) attempts: Counter,
}

/// The counters of the place whose first source or sink has this context.
pub(crate) fn of(context: &ConnectorContext) -> PlaceCounters {
    let (metrics, stream) = (&context.registry, component(context));
    let labels = [("stream", stream.as_str()), ("role", context.role.name())];
    let counter = |name, help| {
        metrics.describe(name, help);
        metrics.counter(name, &labels)
    };
    let labelled = |name, help, label, values: &[&'static str]| {
        metrics.describe(name, help);
        Labelled::new(values, |value| metrics.counter(name, &[labels[0], labels[1], (label, value)]))
    };
    let links = Counters {
        received: counter(
            "eventflux_federation_received_total",
            "Events received over links, repetitions not counted.",
        ),
        received_bytes: counter("eventflux_federation_received_bytes_total", "Bytes of events received over links."),
        duplicates: counter(
            "eventflux_federation_duplicates_total",
            "Events that had been received before and were dropped.",
        ),
        gaps: counter("eventflux_federation_gaps_total", "Gaps that senders told of, or that were noticed."),
        missing: counter("eventflux_federation_missing_total", "Events missing in those gaps, as far as is known."),
        sent: counter(
            "eventflux_federation_sent_total",
            "Events sent over links, those that were sent before included.",
        ),
        filtered: counter(
            "eventflux_federation_filtered_total",
            "Events that a peer did not want: its filter, its types, its region.",
        ),
        missed: counter(
            "eventflux_federation_missed_total",
            "Events that a peer without acknowledgements was too slow for.",
        ),
        malformed: counter("eventflux_federation_malformed_total", "Messages that were no envelopes."),
        replayed: counter(
            "eventflux_federation_replayed_total",
            "Events sent again because a peer asked for them; not among those sent.",
        ),
        unreplayed: counter(
            "eventflux_federation_unreplayed_total",
            "Events that a peer asked for again and that were forgotten before they could be sent.",
        ),
        requests_sent: labelled(
            "eventflux_federation_requests_sent_total",
            "Requests sent to peers.",
            "method",
            &METHOD_LABELS,
        ),
        replies_received: labelled(
            "eventflux_federation_replies_received_total",
            "Replies of peers that came in time.",
            "status",
            &STATUS_LABELS,
        ),
        request_timeouts: counter("eventflux_federation_request_timeouts_total", "Requests without a reply in time."),
        request_durations: Durations::default(),
        late_replies: counter("eventflux_federation_late_replies_total", "Replies that came after their time."),
        unknown_replies: counter(
            "eventflux_federation_unknown_replies_total",
            "Replies to nothing that was asked on their connection.",
        ),
        requests_received: labelled(
            "eventflux_federation_requests_received_total",
            "Requests of peers.",
            "method",
            &METHOD_LABELS,
        ),
    };
    PlaceCounters {
        links,
        connections: counter("eventflux_federation_connections_total", "Links that were opened, by either end."),
        attempts: counter(
            "eventflux_federation_reconnect_attempts_total",
            "Attempts to connect after the first one, or after a connection was lost.",
        ),
    }
}

/// What a source or sink is called in metrics and health: its stream; from the second of a stream on with its number.
pub(super) fn component(context: &ConnectorContext) -> String {
    match context.connector.rsplit_once('-') {
        Some((_, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => format!("{}-{number}", context.stream),
        _ => context.stream.clone(),
    }
}

/// Shows how long the last requests of each method took; methods that nobody asked for are not shown.
pub(super) fn show_durations(
    metrics: &Metrics,
    name: &'static str,
    labels: &[(&'static str, &str)],
    durations: &Durations,
) {
    for method in METHOD_LABELS {
        for (quantile, part) in QUANTILES {
            let Some(duration) = durations.quantile(method, part) else { break };
            let labels = [labels, &[("method", method), ("quantile", quantile)]].concat();
            metrics.decimal_gauge(name, &labels).set(duration.as_secs_f64());
        }
    }
}

impl From<Counters> for PlaceCounters {
    fn from(links: Counters) -> Self {
        Self { links, ..Self::default() }
    }
}
