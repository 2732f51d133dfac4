//! What an operator sees of a source or sink of links: its metrics and its health, for as long as it exists.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use eventflux_core::ConnectorContext;
use eventflux_core::metrics::Measurement;
use eventflux_federation::health::{HealthLimits, Mode, Observation};
use eventflux_federation::{Outlet, OutletStatus};

use super::counters::{component, show_durations};
use super::health::Watch;
use super::input_metrics::InputMetrics;
use super::output_metrics::{OutputMetrics, SpoolStatus};
use super::store::SpoolStore;
use super::{Inlet, Place};

/// A sink whose queue is full for longer is not well.
const SINK_QUEUE_FULL: Duration = Duration::from_secs(30);

const DURATION: &str = "eventflux_federation_request_duration_seconds";

/// Shown until it is dropped.
pub(crate) struct Observed {
    show: Arc<dyn Fn() + Send + Sync>,
    _measurement: Measurement,
    _watch: Arc<Watch>,
}

impl Observed {
    /// Shows a source.
    pub(super) fn source(inlet: &Arc<Inlet>, place: &Arc<Place>, mode: Mode, limits: HealthLimits) -> Self {
        let context = inlet.context().clone();
        let metrics = InputMetrics::new(&context, mode);
        // Weakly: what is left in the queue of a source that has gone is not to be held.
        let (seen, at, of) = (Arc::downgrade(inlet), place.clone(), context.clone());
        let (size, received) = (inlet.config().size as u64, inlet.counters().received.clone());
        let look = move || {
            let depth = seen.upgrade().map_or(0, |inlet| inlet.depth() as u64);
            observation(&of, &at, depth, size, received.value())
        };
        let watch = Watch::start(&context.registry, &component(&context), mode, limits, look);
        let place = place.clone();
        Self::shown(&context, watch, move |observation| metrics.show(&observation, &place))
    }

    /// Shows a sink of events.
    pub(super) fn sink(
        outlet: &Arc<Outlet>,
        spool: Option<&Arc<SpoolStore>>,
        place: &Arc<Place>,
        mode: Mode,
        context: &ConnectorContext,
    ) -> Self {
        let metrics = OutputMetrics::new(context, spool.is_some());
        let (seen, stored) = (outlet.clone(), spool.cloned());
        let (at, of) = (place.clone(), context.clone());
        let look = move || {
            let spool = stored.as_ref().map(|spool| spool.status());
            let (depth, capacity) = queue(&seen.status(), seen.backlog(), seen.config().queue_bytes as u64, spool);
            observation(&of, &at, depth, capacity, seen.published())
        };
        let watch = Watch::start(&context.registry, &sink_name(context), mode, sink_limits(), look);
        let (outlet, spool) = (outlet.clone(), spool.cloned());
        let (place, of) = (place.clone(), context.clone());
        Self::shown(context, watch, move |_| {
            metrics.show(&outlet.status(), spool.as_ref().map(|spool| spool.status()));
            show_requests(&of, &place);
        })
    }

    /// Shows a sink of requests or replies, which keeps nothing.
    pub(super) fn control(place: &Arc<Place>, mode: Mode, context: &ConnectorContext) -> Self {
        let (at, of) = (place.clone(), context.clone());
        let look = move || observation(&of, &at, 0, 0, of.metrics.messages.value());
        let watch = Watch::start(&context.registry, &sink_name(context), mode, sink_limits(), look);
        let (place, of) = (place.clone(), context.clone());
        Self::shown(context, watch, move |_| show_requests(&of, &place))
    }

    fn shown(context: &ConnectorContext, watch: Watch, show: impl Fn(Observation) + Send + Sync + 'static) -> Self {
        let watch = Arc::new(watch);
        let seen = watch.clone();
        let show: Arc<dyn Fn() + Send + Sync> = Arc::new(move || show(seen.observation()));
        let measured = show.clone();
        Self { _measurement: context.registry.measure(move || measured()), show, _watch: watch }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        // What was counted since somebody looked is not lost: another one may go on.
        (self.show)();
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("watch", &self._watch).finish_non_exhaustive()
    }
}

/// A sink is well without anybody at the other end: it keeps what there is, or drops and counts it.
fn sink_limits() -> HealthLimits {
    HealthLimits { without_connection: Duration::MAX, queue_full: SINK_QUEUE_FULL }
}

/// The source of a stream has its name alone.
fn sink_name(context: &ConnectorContext) -> String {
    format!("{} (sink)", component(context))
}

fn observation(context: &ConnectorContext, place: &Place, depth: u64, capacity: u64, messages: u64) -> Observation {
    Observation {
        state: context.health.current().state,
        active: place.open(),
        total: place.counters().connections.value(),
        queue_depth: depth,
        queue_capacity: capacity,
        messages,
    }
}

/// Events that wait, and how many of their size can.
fn queue(outlet: &OutletStatus, backlog: u64, queue_bytes: u64, spool: Option<SpoolStatus>) -> (u64, u64) {
    let waiting = match spool {
        // What is stored is settled; it waits for receivers all the same.
        Some(_) => {
            outlet.receivers.iter().map(|receiver| receiver.unacknowledged).max().unwrap_or(0).max(outlet.unstored)
        }
        None => backlog,
    };
    if !outlet.has_room {
        let depth = waiting.max(1);
        return (depth, depth);
    }
    let (bytes, max_bytes) = spool.map_or((outlet.bytes as u64, queue_bytes), |spool| (spool.bytes, spool.max_bytes));
    let size = (bytes / outlet.events.max(1)).max(1);
    // There is room, so it is not full, whatever the estimate says.
    (waiting, (max_bytes / size).max(waiting + 1))
}

fn show_requests(context: &ConnectorContext, place: &Place) {
    context.registry.describe(DURATION, "What the given part of the last 1024 requests of a method took at most.");
    let stream = component(context);
    let labels = [("stream", stream.as_str())];
    show_durations(&context.registry, DURATION, &labels, &place.counters().links.request_durations);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlet(events: u64, bytes: usize, has_room: bool) -> OutletStatus {
        OutletStatus { events, bytes, unstored: 0, has_room, receivers: Vec::new() }
    }

    #[test]
    fn a_queue_that_is_limited_by_bytes_has_room_for_events_of_the_size_of_those_in_it() {
        assert_eq!(queue(&outlet(10, 1_000, true), 10, 10_000, None), (10, 100));
        assert_eq!(queue(&outlet(0, 0, true), 0, 10_000, None), (0, 10_000));
        let spool = SpoolStatus { bytes: 5_000, max_bytes: 10_000, unwritten_bytes: 0 };
        let stored = OutletStatus { unstored: 25, ..outlet(50, 90, true) };
        assert_eq!(queue(&stored, 0, 64, Some(spool)), (25, 100));
    }

    #[test]
    fn a_queue_is_full_exactly_when_it_takes_no_more() {
        assert_eq!(queue(&outlet(7, 1, false), 7, 10_000, None), (7, 7));
        assert_eq!(queue(&outlet(0, 0, false), 0, 10_000, None), (1, 1));
        assert_eq!(queue(&outlet(7, 99_999, true), 7, 10_000, None), (7, 8));
    }
}
