//! A server sink: every payload goes to every client of its path, each with a bounded queue of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::Counter;
use eventflux_core::{ConnectorContext, EventFluxError};
use tokio::time::{Instant, timeout_at};

use super::ServerConfig;
use super::endpoint::User;
use super::registry::{Attachment, Registry};
use crate::blocking;
use crate::config::WebSocketSinkConfig;
use crate::queue::{QueueConfig, Slice};

/// Payloads published while no client was connected.
const UNHEARD: &str = "eventflux_sink_unheard_total";

/// Clients closed because their queue was full.
const EVICTED: &str = "eventflux_sink_evicted_total";

/// A sink that listens; started.
#[derive(Debug)]
pub(crate) struct ServerSink {
    attachment: Attachment,
    queue: QueueConfig,
    compresses: bool,
    context: ConnectorContext,
    unheard: Counter,
    evicted: Counter,
    /// What `stop` could not deliver; it may be called twice.
    undelivered: AtomicU64,
}

impl ServerSink {
    /// Listens.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when the address cannot be bound.
    pub(crate) fn start(
        registry: &Arc<Registry>,
        server: &ServerConfig,
        config: &WebSocketSinkConfig,
        context: ConnectorContext,
    ) -> Result<Self, EventFluxError> {
        let user = User {
            connection: config.connection,
            admission: Arc::new(server.admission.clone()),
            max_connections: server.max_connections,
            max_connections_per_address: server.max_connections_per_address,
            metrics: context.registry.clone(),
            connections: context.metrics.connections.clone(),
            inbox: None,
        };
        let attachment = registry.attach(server, user)?;
        context.health.set(ConnectionState::Listening, attachment.url());
        log::info!("[{}] serves {}", context.stream, attachment.url());
        let labels = [("stream", context.stream.as_str()), ("type", "websocket")];
        Ok(Self {
            attachment,
            queue: config.queue,
            compresses: config.connection.deflate.is_some(),
            unheard: context.registry.counter(UNHEARD, &labels),
            evicted: context.registry.counter(EVICTED, &labels),
            context,
            undelivered: AtomicU64::new(0),
        })
    }

    /// Queues payloads for every client. Without clients they are delivered to nobody, which is counted and no error.
    pub(crate) fn publish(&self, mut slice: Slice) {
        let endpoint = self.attachment.endpoint();
        if self.compresses {
            slice = slice.for_many();
        }
        let result = endpoint.broadcast(self.queue, &slice);
        if result.clients == 0 {
            self.unheard.add(slice.len() as u64);
        }
        if result.dropped > 0 {
            self.context.metrics.dropped.add(result.dropped as u64);
        }
        if result.evicted > 0 {
            self.evicted.add(result.evicted as u64);
        }
        self.context.metrics.queue_bytes.set(result.waiting_bytes as u64);
    }

    /// Sends what waits, and leaves the path; returns the payloads the slowest client did not get.
    pub(crate) fn stop(&self, deadline: Duration) -> u64 {
        let by = Instant::now() + deadline;
        let endpoint = self.attachment.endpoint().clone();
        // A tenth is left for the goodbye.
        let drain_by = Instant::now() + deadline * 9 / 10;
        let drain = async move {
            let _ = timeout_at(drain_by, endpoint.drained()).await;
            endpoint.backlog()
        };
        if let Ok(Some(left)) = blocking::run(drain, deadline) {
            self.undelivered.fetch_max(left as u64, Ordering::Relaxed);
        }
        self.attachment.detach(by);
        self.context.metrics.queue_bytes.set(0);
        self.context.health.set(ConnectionState::Stopped, None);
        self.undelivered.load(Ordering::Relaxed)
    }
}
