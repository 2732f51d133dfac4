//! What a hub counts.

use std::sync::atomic::{AtomicU64, Ordering};

use eventflux_core::metrics::{Counter, Gauge, Metrics};

/// A hub at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open.
    pub active_connections: u64,
    /// Connections since the start.
    pub total_connections: u64,
    /// The most that were open at a time.
    pub peak_connections: u64,
    /// Connections that were refused.
    pub failed_connections: u64,
    /// Users with at least one connection.
    pub active_users: u64,
    /// Channels that exist.
    pub channels: u64,
    /// Subscriptions that are in force.
    pub subscriptions: u64,
    /// Subscriptions that were refused.
    pub failed_subscriptions: u64,
    /// Messages that were handed to connections.
    pub messages_sent: u64,
    /// Messages that connections brought.
    pub messages_received: u64,
    /// Deliveries of published events: for each event, the subscribers it was for.
    pub delivered: u64,
    /// Events that were passed over, counted for each subscriber that read too slowly.
    pub dropped: u64,
    /// Requests refused.
    pub errors: u64,
}

/// Counts as it happens; the same numbers are metrics.
#[derive(Debug)]
pub(crate) struct Counters {
    metrics: Metrics,
    path: String,
    total: Counter,
    active: Gauge,
    peak: AtomicU64,
    failed: Counter,
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
    pub(crate) delivered: Counter,
    pub(crate) dropped: Counter,
    pub(crate) late_answers: Counter,
    pub(super) forgotten: Counter,
    subscriptions: Gauge,
    failed_subscriptions: Counter,
    errors: Counter,
}

impl Counters {
    /// Registers the metrics of the hub at `path`.
    pub(super) fn new(metrics: &Metrics, path: &str) -> Self {
        let labels = [("path", path)];
        let counter = |name, help| {
            metrics.describe(name, help);
            metrics.counter(name, &labels)
        };
        let gauge = |name, help| {
            metrics.describe(name, help);
            metrics.gauge(name, &labels)
        };
        Self {
            total: counter("websocket_connections_total", "Connections since the start."),
            active: gauge("websocket_connections_active", "Open connections."),
            peak: AtomicU64::new(0),
            failed: counter("websocket_connections_failed_total", "Connections that were refused."),
            sent: counter("websocket_messages_sent_total", "Messages handed to connections."),
            received: counter("websocket_messages_received_total", "Messages received from connections."),
            delivered: counter("websocket_broadcast_delivered_total", "Subscribers that published events were for."),
            dropped: counter("websocket_messages_dropped_total", "Events that slow subscribers were not sent."),
            late_answers: counter(
                "websocket_answers_late_total",
                "Answers to requests that nobody waited for any more.",
            ),
            forgotten: counter(
                "websocket_events_forgotten_total",
                "Events that no history took: there were too many channels.",
            ),
            subscriptions: gauge("websocket_subscriptions", "Subscriptions in force."),
            failed_subscriptions: counter("websocket_subscriptions_failed_total", "Subscriptions that were refused."),
            errors: Counter::default(),
            metrics: metrics.clone(),
            path: path.to_owned(),
        }
    }

    pub(super) fn connected(&self) {
        self.total.increment();
        self.active.increment();
        self.peak.fetch_max(self.active.value(), Ordering::Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.active.decrement();
    }

    pub(crate) fn refused(&self) {
        self.failed.increment();
    }

    pub(crate) fn subscribed(&self) {
        self.subscriptions.increment();
    }

    pub(crate) fn unsubscribed(&self) {
        self.subscriptions.decrement();
    }

    pub(crate) fn subscription_failed(&self) {
        self.failed_subscriptions.increment();
    }

    /// A client is told of a problem.
    pub(crate) fn error(&self, code: &str) {
        self.errors.increment();
        let name = "websocket_errors_total";
        self.metrics.describe(name, "Requests of clients that were not carried out, by reason.");
        self.metrics.counter(name, &[("path", &self.path), ("type", code)]).increment();
    }

    pub(super) fn stats(&self, connections: usize, users: usize, channels: usize) -> Stats {
        Stats {
            active_connections: connections as u64,
            total_connections: self.total.value(),
            peak_connections: self.peak.load(Ordering::Relaxed),
            failed_connections: self.failed.value(),
            active_users: users as u64,
            channels: channels as u64,
            subscriptions: self.subscriptions.value(),
            failed_subscriptions: self.failed_subscriptions.value(),
            messages_sent: self.sent.value(),
            messages_received: self.received.value(),
            delivered: self.delivered.value(),
            dropped: self.dropped.value(),
            errors: self.errors.value(),
        }
    }
}
