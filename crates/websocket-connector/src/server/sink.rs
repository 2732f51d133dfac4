//! A server sink: publishes payloads to the clients of its path.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::{Counter, Measurement};
use eventflux_core::{BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, RowFailure, SinkCallback};
use eventflux_gateway::{Losses, Retention};
use tokio::time::{Instant, sleep};

use super::ServerConfig;
use super::backplane::SharedSink;
use super::declarations::Declaration;
use super::endpoint::Member;
use super::gateway::{Publishing, Routing};
use super::registry::{Attachment, Registry};
use crate::blocking;

/// Payloads published while no client was connected.
const UNHEARD: &str = "eventflux_sink_unheard_total";

/// Clients closed because their queue was full.
const EVICTED: &str = "eventflux_sink_evicted_total";

/// How often the queues are looked at while the sink stops.
const DRAIN_POLL: Duration = Duration::from_millis(2);

/// A sink that listens; started.
#[derive(Debug)]
pub(crate) struct ServerSink {
    attachment: Attachment,
    routing: Routing,
    retention: Retention,
    context: ConnectorContext,
    unheard: Counter,
    /// How it publishes where the path is one with those of other processes.
    shared: Option<SharedSink>,
    /// What `stop` could not deliver; it may be called twice.
    undelivered: AtomicU64,
    _measurement: Measurement,
}

impl ServerSink {
    /// Listens.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when the address cannot be bound.
    pub(crate) fn start(
        registry: &Arc<Registry>,
        server: &ServerConfig,
        declaration: &Declaration,
        publishing: &Publishing,
        context: ConnectorContext,
        callback: Arc<dyn SinkCallback>,
    ) -> Result<Self, EventFluxError> {
        let publishing = publishing.clone();
        let member = Member { context: context.clone(), inbox: None };
        let attachment = registry.attach(server, declaration, member)?;
        if let Some(backplane) = &attachment.endpoint().config().backplane
            && let Err(error) = backplane.check(&publishing.retention)
        {
            attachment.detach(Instant::now());
            return Err(error);
        }
        attachment.show(&context.health);
        log::info!("[{}] serves {}", context.stream, attachment.url());
        let labels = [("stream", context.stream.as_str()), ("type", "websocket")];
        context.registry.describe(UNHEARD, "Payloads that were published while no client was connected.");
        context.registry.describe(EVICTED, "Clients that were closed because their queue was full.");
        let evicted = context.registry.counter(EVICTED, &labels);
        let unheard = context.registry.counter(UNHEARD, &labels);
        let losses = Losses { dropped: context.metrics.dropped.clone(), evicted };
        let retention = Retention { losses, ..publishing.retention };
        let shared = attachment
            .endpoint()
            .backplane()
            .map(|backplane| SharedSink::new(backplane, &context.stream, &retention, &unheard, callback));
        let waiting = shared.as_ref().map(SharedSink::queue_bytes);
        let (hub, queue_bytes) = (Arc::downgrade(attachment.endpoint().hub()), context.metrics.queue_bytes.clone());
        // Only when somebody asks: it takes a look at every client.
        let measurement = context.registry.measure(move || {
            let waiting = waiting.as_ref().map_or(0, |waiting| waiting());
            queue_bytes.set(waiting + hub.upgrade().map_or(0, |hub| hub.backlog_bytes()));
        });
        Ok(Self {
            attachment,
            routing: publishing.routing.of_stream(&context.stream),
            retention,
            unheard,
            shared,
            context,
            undelivered: AtomicU64::new(0),
            _measurement: measurement,
        })
    }

    /// Publishes payloads. What nobody receives is counted and no error. `batch` has the texts of the templates,
    /// `payloads` what is sent.
    ///
    /// # Errors
    /// The first that cannot be published; those behind it are not tried.
    pub(crate) fn publish(
        &self,
        batch: &EncodedBatch,
        payloads: &EncodedBatch,
        binary: bool,
    ) -> Result<(), RowFailure> {
        if let Some(shared) = &self.shared {
            return shared.publish(batch, payloads.len(), |row| self.routing.publication(batch, payloads, row, binary));
        }
        let failed = RefCell::new(None);
        let rows = Cell::new(0);
        let publications = (0..payloads.len()).map_while(|row| {
            let go_on = failed.borrow().is_none();
            go_on.then(|| self.routing.publication(batch, payloads, row, binary))
        });
        let time_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let mut unheard = 0;
        self.attachment.endpoint().hub().publish(
            &self.retention,
            publications,
            std::time::Instant::now(),
            time_ms,
            |published| {
                match published {
                    Ok(published) => unheard += u64::from(published.delivered == 0),
                    Err(problem) => {
                        let error = EventFluxError::Send { reason: problem.to_string(), retryable: false };
                        *failed.borrow_mut() = Some(RowFailure { row: rows.get(), error });
                    }
                }
                rows.set(rows.get() + 1);
            },
        );
        if unheard > 0 {
            self.unheard.add(unheard);
        }
        failed.into_inner().map_or(Ok(()), Err)
    }

    /// Whether it can take more now. Its clients never keep it from that, but a bus may.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.as_ref().is_none_or(SharedSink::is_ready)
    }

    /// Resolves when it can take more.
    pub(crate) fn ready(&self) -> BoxFuture<'static, ()> {
        self.shared.as_ref().map_or_else(|| Box::pin(std::future::ready(())) as BoxFuture<'_, ()>, SharedSink::ready)
    }

    /// Resolves when everything accepted before is in its channels; over a bus, when the log has it.
    pub(crate) fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        match &self.shared {
            Some(shared) => shared.settled(),
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }

    /// Sends what waits, and leaves the path; returns the payloads the slowest client did not get, and those of which it is
    /// not known whether other processes got them.
    pub(crate) fn stop(&self, deadline: Duration) -> u64 {
        let by = Instant::now() + deadline;
        let hub = self.attachment.endpoint().hub().clone();
        // A tenth is left for the goodbye.
        let drain_by = Instant::now() + deadline * 9 / 10;
        if let Some(shared) = &self.shared {
            let left = shared.drain(deadline * 9 / 10);
            self.undelivered.fetch_max(left, Ordering::Relaxed);
        }
        let drain = async move {
            while hub.backlog() > 0 && Instant::now() < drain_by {
                sleep(DRAIN_POLL).await;
            }
            hub.backlog()
        };
        if let Ok(Some(left)) = blocking::run(drain, deadline) {
            self.undelivered.fetch_max(left, Ordering::Relaxed);
        }
        self.attachment.detach(by);
        self.context.metrics.queue_bytes.set(0);
        self.context.health.set(ConnectionState::Stopped, None);
        self.undelivered.load(Ordering::Relaxed)
    }
}
