//! What is counted.

use eventflux_core::metrics::{Counter, Metrics};

use crate::Observer;

/// Connections made after the first one.
pub const RECONNECTS: &str = "eventflux_nats_reconnects_total";
/// Messages that were dropped because a subscription was not read quickly enough.
pub const SLOW_CONSUMERS: &str = "eventflux_nats_slow_consumer_total";
/// What went wrong, by kind.
pub const ERRORS: &str = "eventflux_nats_errors_total";

/// Says what the metrics count.
pub fn describe(registry: &Metrics) {
    registry.describe(RECONNECTS, "Connections to NATS made after the first one.");
    registry.describe(SLOW_CONSUMERS, "Messages that were dropped because a subscription was not read quickly enough.");
    registry.describe(
        ERRORS,
        "What went wrong with NATS: connect (an attempt failed), permissions, authentication (refused while connected), slow (the server found us slow), server (anything else it says), client.",
    );
}

/// The counters of one connection.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) reconnects: Counter,
    pub(super) slow_consumers: Counter,
    observer: Observer,
}

impl Counters {
    pub(super) fn new(observer: &Observer) -> Self {
        describe(&observer.registry);
        let labels = [("stream", &*observer.stream), ("type", &*observer.connector)];
        let counter = |name| observer.registry.counter(name, &labels);
        Self { reconnects: counter(RECONNECTS), slow_consumers: counter(SLOW_CONSUMERS), observer: observer.clone() }
    }

    /// Counts something that went wrong.
    pub(super) fn error(&self, kind: &str) {
        let Observer { stream, connector, registry, .. } = &self.observer;
        registry.counter(ERRORS, &[("stream", stream), ("type", connector), ("kind", kind)]).increment();
    }
}
