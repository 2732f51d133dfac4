//! What a source shows of itself, under the names that dashboards for `websocket_input` components know.

use eventflux_core::ConnectorContext;
use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::{Counter, DecimalGauge, Gauge, Metrics};
use eventflux_federation::health::{Mode, Observation};
use eventflux_federation::{Labelled, METHOD_LABELS, STATUS_LABELS};

use super::Place;
use super::counters::{component, show_durations};

const DROPPED: &str = "websocket_input_messages_dropped_total";
const ERRORS: &str = "websocket_input_errors_total";
const DURATION: &str = "websocket_input_request_duration_seconds";

/// Names, and what they count.
const NAMES: [(&str, &str); 14] = [
    ("websocket_input_messages_received_total", "Messages received that are envelopes and that the source wants."),
    ("websocket_input_messages_published_total", "Messages handed to the pipeline."),
    (DROPPED, "Messages received and not handed to the pipeline."),
    ("websocket_input_connections_active", "Connections that are open."),
    ("websocket_input_connections_total", "Connections that were opened."),
    ("websocket_input_connection_state", "1 for the present state, 0 for the others."),
    ("websocket_input_reconnect_attempts_total", "Attempts to connect after the first one, or after a loss."),
    ("websocket_input_requests_sent_total", "Requests sent to peers."),
    ("websocket_input_replies_received_total", "Replies of peers that came in time."),
    ("websocket_input_request_timeouts_total", "Requests without a reply in time."),
    (DURATION, "What the given part of the last 1024 requests of a method took at most."),
    ("websocket_input_queue_depth", "Messages that wait for the pipeline."),
    ("websocket_input_queue_utilization", "The part of the queue that is in use, from 0 to 1."),
    (ERRORS, "Messages that could not be read (parse_error), and times the pipeline did not take one (publish_error)."),
];

/// What a source counts as messages come and go.
#[derive(Debug, Clone)]
pub(super) struct InputCounters {
    /// Envelopes for the source.
    pub(super) received: Counter,
    /// Handed to the pipeline.
    pub(super) published: Counter,
    /// Given up because the queue was full.
    pub(super) queue_full: Counter,
    /// Of a peer that would not send them again, come while the source was stopping.
    pub(super) stopping: Counter,
    /// Of such a peer, that were waiting for room when it went away.
    pub(super) disconnected: Counter,
}

/// What is shown when somebody looks.
#[derive(Debug)]
pub(super) struct InputMetrics {
    registry: Metrics,
    context: ConnectorContext,
    component: String,
    states: Vec<(ConnectionState, Gauge)>,
    active: Gauge,
    connections: Counter,
    attempts: Counter,
    requests: Vec<Counter>,
    replies: Vec<Counter>,
    timeouts: Counter,
    depth: Gauge,
    utilization: DecimalGauge,
    parse_errors: Counter,
    publish_errors: Counter,
}

impl InputCounters {
    pub(super) fn of(context: &ConnectorContext) -> Self {
        let (metrics, component) = (&context.registry, component(context));
        let labels = [("component", component.as_str())];
        NAMES.iter().for_each(|(name, help)| metrics.describe(name, help));
        let dropped = |reason| metrics.counter(DROPPED, &[labels[0], ("reason", reason)]);
        Self {
            received: metrics.counter("websocket_input_messages_received_total", &labels),
            published: metrics.counter("websocket_input_messages_published_total", &labels),
            queue_full: dropped("queue_full"),
            stopping: dropped("stopping"),
            disconnected: dropped("disconnected"),
        }
    }
}

impl InputMetrics {
    pub(super) fn new(context: &ConnectorContext, mode: Mode) -> Self {
        let (metrics, component) = (&context.registry, component(context));
        let labels = [("component", component.as_str())];
        let counter = |name| metrics.counter(name, &labels);
        let with = |name, label, value| metrics.counter(name, &[labels[0], (label, value)]);
        let state = |state: ConnectionState| {
            (state, metrics.gauge("websocket_input_connection_state", &[labels[0], ("state", state.name())]))
        };
        let requests = METHOD_LABELS.map(|method| with("websocket_input_requests_sent_total", "method", method));
        let replies = STATUS_LABELS.map(|status| with("websocket_input_replies_received_total", "status", status));
        Self {
            states: states(mode).iter().copied().map(state).collect(),
            active: metrics.gauge("websocket_input_connections_active", &labels),
            connections: counter("websocket_input_connections_total"),
            attempts: counter("websocket_input_reconnect_attempts_total"),
            requests: requests.into(),
            replies: replies.into(),
            timeouts: counter("websocket_input_request_timeouts_total"),
            depth: metrics.gauge("websocket_input_queue_depth", &labels),
            utilization: metrics.decimal_gauge("websocket_input_queue_utilization", &labels),
            parse_errors: with(ERRORS, "type", "parse_error"),
            publish_errors: with(ERRORS, "type", "publish_error"),
            registry: metrics.clone(),
            context: context.clone(),
            component,
        }
    }

    /// Shows how it is now.
    pub(super) fn show(&self, observation: &Observation, place: &Place) {
        self.states.iter().for_each(|(state, gauge)| gauge.set(u64::from(*state == observation.state)));
        self.active.set(observation.active);
        self.depth.set(observation.queue_depth);
        self.utilization.set(observation.utilization());
        // The engine tells what became of the messages it was handed.
        self.parse_errors.raise_to(self.context.metrics.unreadable.value());
        self.publish_errors.raise_to(self.context.metrics.refused.value());
        // The place counts for all who are there, and goes on counting when it is opened again.
        let counters = place.counters();
        self.connections.raise_to(counters.connections.value());
        self.attempts.raise_to(counters.attempts.value());
        self.timeouts.raise_to(counters.links.request_timeouts.value());
        show(&self.requests, &counters.links.requests_sent);
        show(&self.replies, &counters.links.replies_received);
        let labels = [("component", self.component.as_str())];
        show_durations(&self.registry, DURATION, &labels, &counters.links.request_durations);
    }
}

/// `shown`: in the order of the labels.
fn show(shown: &[Counter], counted: &Labelled) {
    shown.iter().zip(counted.values()).for_each(|(shown, (_, count))| shown.raise_to(count));
}

/// The states that a place goes through.
fn states(mode: Mode) -> &'static [ConnectionState] {
    use ConnectionState::{Connected, Connecting, Failed, Init, Listening, Reconnecting, Stopped};
    match mode {
        Mode::Server => &[Init, Listening, Connected, Stopped, Failed],
        Mode::Client => &[Init, Connecting, Connected, Reconnecting, Failed, Stopped],
    }
}
