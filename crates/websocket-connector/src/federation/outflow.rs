//! A sink of links: publishes into an outlet.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::{BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, RowFailure, SinkCallback, runtime};
use eventflux_federation::envelope::{Content, check_json};
use eventflux_federation::health::Mode;
use eventflux_federation::{Now, Outlet, OutletCounters};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::store::SpoolStore;
use super::{Observed, OutflowConfig, Place};
use crate::blocking;

/// Events that were published and forgotten before any receiver had come.
const UNHEARD: &str = "eventflux_sink_unheard_total";

/// Events that a receiver does not take because of their size.
const TOO_LARGE: &str = "eventflux_federation_too_large_total";

/// How often it is looked for receivers that stay away.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// How long a sink that stops waits for the acknowledgements of what is on its way.
const LAST_WORD_LIMIT: Duration = Duration::from_secs(2);

/// How often it is looked at what is left while the sink stops.
const DRAIN_POLL: Duration = Duration::from_millis(2);

/// See the module.
#[derive(Debug)]
pub(crate) struct Outflow {
    place: Arc<Place>,
    outlet: Arc<Outlet>,
    spool: Option<Arc<SpoolStore>>,
    context: ConnectorContext,
    /// What `stop` could not deliver; it may be called twice.
    undelivered: AtomicU64,
    _expiry: Expiry,
}

/// Sees to it that nobody is waited for any longer who stays away for too long, until it is dropped.
#[derive(Debug)]
struct Expiry(AbortHandle);

impl Outflow {
    /// Opens the spool, and sends over the links of `place` from now on.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when the place has a stream of that name already, or the spool cannot be used.
    pub(crate) fn start(
        place: &Arc<Place>,
        config: &OutflowConfig,
        context: ConnectorContext,
        callback: Arc<dyn SinkCallback>,
    ) -> Result<Self, EventFluxError> {
        let mut outlet = config.outlet.clone();
        if outlet.stream.is_empty() {
            outlet.stream = context.stream.clone();
        }
        let labels = [("stream", context.stream.as_str()), ("type", "websocket")];
        context.registry.describe(UNHEARD, "Payloads that were published while no client was connected.");
        context.registry.describe(TOO_LARGE, "Events that were too large for a receiver, and were passed over.");
        let counters = OutletCounters {
            dropped: context.metrics.dropped.clone(),
            unheard: context.registry.counter(UNHEARD, &labels),
            too_large: context.registry.counter(TOO_LARGE, &labels[..1]),
        };
        let (outlet, spool) = match &config.spool {
            None => (Arc::new(Outlet::new(outlet, counters)), None),
            Some(settings) => {
                let (outlet, spool) = SpoolStore::open(settings, outlet, counters, &context)?;
                (outlet, Some(spool))
            }
        };
        if !place.federation().add_outlet(outlet.clone()) {
            let reason = format!("another sink of the place sends a stream '{}'", outlet.config().stream);
            let error = EventFluxError::property("websocket.stream", reason);
            return Err(error.with_hint("give one of them a name of its own with websocket.stream"));
        }
        let stream = context.stream.clone();
        outlet.when_too_large(move |payload| report(&stream, &*callback, payload));
        let _expiry = Expiry::start(outlet.clone())?;
        place.begin();
        Ok(Self { place: place.clone(), outlet, spool, context, undelivered: AtomicU64::new(0), _expiry })
    }

    /// Shows it until what this returns is dropped.
    pub(super) fn observed(&self, mode: Mode) -> Observed {
        Observed::sink(&self.outlet, self.spool.as_ref(), &self.place, mode, &self.context)
    }

    /// Publishes payloads.
    ///
    /// # Errors
    /// The first that cannot be sent; those before it are published.
    pub(crate) fn publish(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        if self.outlet.is_closed() {
            return Err(RowFailure { row: 0, error: fault(&self.place) });
        }
        let bad = self.first_bad(batch);
        let good = bad.as_ref().map_or(batch.len(), |failure| failure.row);
        self.append((0..good).map(|row| batch.payload(row)));
        bad.map_or(Ok(()), Err)
    }

    /// Publishes payloads that are good.
    pub(super) fn append<'a>(&self, payloads: impl Iterator<Item = &'a [u8]> + Clone) {
        self.outlet.publish(payloads, Now::read());
        self.context.metrics.queue_bytes.set(self.outlet.bytes() as u64);
    }

    /// Where it publishes.
    pub(super) fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// Why it takes nothing any more, if it does not.
    pub(super) fn failure(&self) -> Option<EventFluxError> {
        self.outlet.is_closed().then(|| fault(&self.place))
    }

    pub(super) fn first_bad(&self, batch: &EncodedBatch) -> Option<RowFailure> {
        if self.outlet.config().content == Content::Binary {
            return None;
        }
        let failed = |(row, payload)| {
            let reason = check_json(payload).err()?;
            let reason = format!("the payload is no JSON: {reason}; use websocket.payload='binary'");
            Some(RowFailure { row, error: EventFluxError::Send { reason, retryable: false } })
        };
        batch.iter().enumerate().find_map(failed)
    }

    /// Whether there is room for more.
    pub(crate) fn is_ready(&self) -> bool {
        self.outlet.has_room()
    }

    /// Resolves when there is room, or the sink is stopped.
    pub(crate) fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(poll_fn(|cx| {
            self.outlet.register_room(cx.waker());
            if self.outlet.has_room() { Poll::Ready(()) } else { Poll::Pending }
        }))
    }

    /// Resolves when everything published so far is stored, or acknowledged by the receivers that are waited for.
    pub(crate) fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        let (outlet, place, mark) = (self.outlet.clone(), self.place.clone(), self.outlet.mark());
        Box::pin(poll_fn(move |cx| {
            outlet.register_settled(cx.waker());
            if outlet.is_settled(mark) {
                return Poll::Ready(Ok(()));
            }
            if outlet.is_closed() { Poll::Ready(Err(fault(&place))) } else { Poll::Pending }
        }))
    }

    /// Waits until everything is stored, or sent to who is connected; returns the events that are neither.
    pub(crate) fn stop(&self, deadline: Duration) -> u64 {
        // A tenth is left for the goodbye.
        let (by, outlet, place) = (Instant::now() + deadline * 9 / 10, self.outlet.clone(), self.place.clone());
        let keeps = self.spool.is_some();
        let drain = async move {
            // Nobody who is not there takes anything; but what is to be stored is stored.
            while outlet.backlog() > 0 && Instant::now() < by && (keeps || place.federation().links() > 0) {
                sleep(DRAIN_POLL).await;
            }
            let left = outlet.backlog();
            // What is on its way is stored, too; who hears that it has been taken need not send it again after a restart.
            outlet.pause();
            let heard_by = by.min(Instant::now() + LAST_WORD_LIMIT);
            while outlet.in_flight() > 0 && Instant::now() < heard_by {
                sleep(DRAIN_POLL).await;
            }
            left
        };
        if let Ok(Some(left)) = blocking::run(drain, deadline) {
            self.undelivered.fetch_max(left, Ordering::Relaxed);
        }
        self.place.federation().remove_outlet(&self.outlet);
        self.outlet.forget_when_too_large();
        if let Some(spool) = &self.spool {
            spool.close(deadline / 10);
        }
        self.context.metrics.queue_bytes.set(0);
        self.undelivered.load(Ordering::Relaxed)
    }
}

/// The error strategy has what the receiver does not take. A callback that panics takes nobody else with it.
fn report(stream: &str, callback: &dyn SinkCallback, payload: Vec<u8>) {
    let reason = format!("the peer does not accept a payload of {} bytes", payload.len());
    let error = EventFluxError::Send { reason, retryable: false };
    let batch = EncodedBatch::single(Bytes::from(payload), 0);
    if std::panic::catch_unwind(AssertUnwindSafe(|| callback.on_failed(batch, error))).is_err() {
        log::error!("[{stream}] the pipeline panicked over a payload that was too large for the peer");
    }
}

impl Expiry {
    fn start(outlet: Arc<Outlet>) -> Result<Self, EventFluxError> {
        let expire = async move {
            loop {
                sleep(EXPIRE_EVERY).await;
                outlet.expire(Now::read());
            }
        };
        Ok(Self(runtime::shared()?.spawn(expire).abort_handle()))
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why nothing is sent any more.
fn fault(place: &Place) -> EventFluxError {
    place.fault().cloned().unwrap_or(EventFluxError::Stopped)
}
