//! What others see of a source that reads a stream.

use eventflux_core::ConnectorContext;
use eventflux_core::metrics::{Counter, Gauge};

const REDELIVERED: &str = "eventflux_nats_redelivered_total";
const KNOWN: &str = "eventflux_nats_redelivered_known_total";
const POISON: &str = "eventflux_nats_undeliverable_total";
const UNDER_WAY: &str = "eventflux_nats_unacknowledged";
const PENDING: &str = "eventflux_nats_pending";

#[derive(Debug)]
pub(super) struct Report {
    /// Messages that came again.
    pub(super) redelivered: Counter,
    /// Of those the ones that were not handed over again.
    pub(super) known: Counter,
    /// Messages that were delivered too often.
    pub(super) poison: Counter,
    under_way: Gauge,
    pending: Gauge,
}

impl Report {
    pub(super) fn new(context: &ConnectorContext) -> Self {
        let registry = &context.registry;
        registry.describe(REDELIVERED, "Messages of a JetStream consumer that were delivered before.");
        registry.describe(KNOWN, "Of those, messages that were not handed to the pipeline again: it had them, or has.");
        registry.describe(POISON, "Messages that were delivered too often and went to the error strategy.");
        registry.describe(UNDER_WAY, "Messages of a JetStream consumer that are here and not acknowledged.");
        registry.describe(PENDING, "Messages of the stream that the JetStream consumer has not delivered to anybody.");
        let labels = [("stream", &*context.stream), ("type", &*context.connector)];
        Self {
            redelivered: registry.counter(REDELIVERED, &labels),
            known: registry.counter(KNOWN, &labels),
            poison: registry.counter(POISON, &labels),
            under_way: registry.gauge(UNDER_WAY, &labels),
            pending: registry.gauge(PENDING, &labels),
        }
    }

    pub(super) fn under_way(&self, count: usize) {
        self.under_way.set(count as u64);
    }

    pub(super) fn pending(&self, count: u64) {
        self.pending.set(count);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.under_way.set(0);
    }
}
