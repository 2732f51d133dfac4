//! What a sink of links shows of itself: what it keeps, and who has yet to acknowledge it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use eventflux_core::ConnectorContext;
use eventflux_core::metrics::{Gauge, Metrics};
use eventflux_federation::{OutletStatus, ReceiverStatus};

use super::counters::component;

const UNACKNOWLEDGED: &str = "eventflux_federation_receiver_unacknowledged";
const IN_FLIGHT: &str = "eventflux_federation_receiver_in_flight";

/// Names, and what they tell.
const NAMES: [(&str, &str); 8] = [
    ("eventflux_federation_retained_events", "Events that are kept for receivers, replays included."),
    ("eventflux_federation_retained_bytes", "Memory of the events that are kept in memory."),
    ("eventflux_federation_receivers", "Receivers that are waited for, connected or not."),
    (UNACKNOWLEDGED, "Events that a receiver has not acknowledged."),
    (IN_FLIGHT, "Of them, those that are on their way to it."),
    ("eventflux_federation_spool_bytes", "Bytes of events in the spool."),
    ("eventflux_federation_spool_lag_events", "Events that the spool has yet to store."),
    ("eventflux_federation_spool_lag_bytes", "Bytes of events that the spool has yet to store."),
];

/// See the module.
#[derive(Debug)]
pub(super) struct OutputMetrics {
    registry: Metrics,
    stream: String,
    events: Gauge,
    bytes: Gauge,
    receivers: Gauge,
    /// With a spool.
    spool: Option<SpoolGauges>,
    /// The receivers that were shown.
    shown: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
struct SpoolGauges {
    bytes: Gauge,
    lag_events: Gauge,
    lag_bytes: Gauge,
}

/// What a spool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpoolStatus {
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) unwritten_bytes: u64,
}

impl OutputMetrics {
    /// `stored`: whether it has a spool.
    pub(super) fn new(context: &ConnectorContext, stored: bool) -> Self {
        let (registry, stream) = (&context.registry, component(context));
        let labels = [("stream", stream.as_str())];
        NAMES.iter().for_each(|(name, help)| registry.describe(name, help));
        let spool = stored.then(|| SpoolGauges {
            bytes: registry.gauge("eventflux_federation_spool_bytes", &labels),
            lag_events: registry.gauge("eventflux_federation_spool_lag_events", &labels),
            lag_bytes: registry.gauge("eventflux_federation_spool_lag_bytes", &labels),
        });
        Self {
            events: registry.gauge("eventflux_federation_retained_events", &labels),
            bytes: registry.gauge("eventflux_federation_retained_bytes", &labels),
            receivers: registry.gauge("eventflux_federation_receivers", &labels),
            spool,
            shown: Mutex::default(),
            registry: registry.clone(),
            stream,
        }
    }

    /// Shows how it is now.
    pub(super) fn show(&self, outlet: &OutletStatus, spool: Option<SpoolStatus>) {
        self.events.set(outlet.events);
        self.bytes.set(outlet.bytes as u64);
        self.receivers.set(outlet.receivers.len() as u64);
        if let (Some(gauges), Some(spool)) = (&self.spool, spool) {
            gauges.bytes.set(spool.bytes);
            gauges.lag_events.set(outlet.unstored);
            gauges.lag_bytes.set(spool.unwritten_bytes);
        }
        self.show_receivers(&outlet.receivers);
    }

    fn show_receivers(&self, receivers: &[ReceiverStatus]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<_> = receivers.iter().map(|receiver| receiver.name.clone()).collect();
        for gone in shown.difference(&now) {
            self.show_receiver(gone, 0, 0);
        }
        for receiver in receivers {
            self.show_receiver(&receiver.name, receiver.unacknowledged, receiver.in_flight);
        }
        *shown = now;
    }

    fn show_receiver(&self, name: &str, unacknowledged: u64, in_flight: u64) {
        let labels = [("stream", self.stream.as_str()), ("receiver", name)];
        self.registry.gauge(UNACKNOWLEDGED, &labels).set(unacknowledged);
        self.registry.gauge(IN_FLIGHT, &labels).set(in_flight);
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::ConnectorRole;

    use super::*;

    #[test]
    fn a_receiver_that_is_not_waited_for_any_longer_has_nothing_to_acknowledge() {
        let registry = Metrics::default();
        let context = ConnectorContext::new(&registry, ConnectorRole::Sink, "S", "websocket");
        let metrics = OutputMetrics::new(&context, false);
        let receiver = ReceiverStatus { name: "cloud".to_owned(), is_connected: true, unacknowledged: 7, in_flight: 3 };
        let mut status = OutletStatus { events: 9, bytes: 90, unstored: 0, has_room: true, receivers: vec![receiver] };
        let gauge = |name| registry.gauge(name, &[("stream", "S"), ("receiver", "cloud")]).value();
        metrics.show(&status, None);
        assert_eq!((gauge(UNACKNOWLEDGED), gauge(IN_FLIGHT)), (7, 3));
        status.receivers.clear();
        metrics.show(&status, None);
        assert_eq!((gauge(UNACKNOWLEDGED), gauge(IN_FLIGHT)), (0, 0));
        assert!(!registry.families().iter().any(|family| family.name.contains("spool")));
    }
}
