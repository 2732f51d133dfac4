//! Connecting, and staying connected.

mod auth;
mod files;
mod monitor;
mod open;
mod plan;
pub(crate) mod violation;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use eventflux_core::health::HealthReporter;
use eventflux_core::metrics::Metrics;
use eventflux_core::{ConnectorContext, EventFluxError};
use futures_util::FutureExt;
use tokio::sync::broadcast;

use crate::ConnectionConfig;
use monitor::Monitor;
pub use monitor::{ERRORS, RECONNECTS, SLOW_CONSUMERS, describe};
pub use violation::{MAX_VIOLATIONS, Operation, Violation};

/// Where a connection reports its state. Copies share it.
#[derive(Debug, Clone)]
pub struct Observer {
    /// Of which stream, for logs and labels.
    pub stream: String,
    /// A label of metrics: the type of the connector.
    pub connector: String,
    /// Where its state is shown: `connecting`, `connected` with the server's address, `reconnecting` with the reason.
    pub health: HealthReporter,
    /// Where it counts.
    pub registry: Metrics,
}

/// How long JetStream may take to answer a question. While a cluster elects a leader nobody answers: who asks again soon is
/// heard soon after that.
const QUESTION: Duration = Duration::from_secs(3);

/// A connection to NATS that comes back when it is lost. Copies share it; the last one that is dropped ends it.
///
/// It lives on the runtime in which it was opened.
#[derive(Debug, Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

/// What copies share.
#[derive(Debug)]
struct Shared {
    client: async_nats::Client,
    monitor: Arc<Monitor>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.monitor.end();
    }
}

impl Observer {
    /// That of a source or a sink.
    pub fn of(context: &ConnectorContext) -> Self {
        Self {
            stream: context.stream.clone(),
            connector: context.connector.clone(),
            health: context.health.clone(),
            registry: context.registry.clone(),
        }
    }
}

impl Connection {
    /// Connects, and tries again as long as the configuration says. Dropping the future ends the attempts.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`] after giving up, [`EventFluxError::Configuration`] for a file that cannot
    /// be used.
    pub async fn open(config: &ConnectionConfig, observer: &Observer) -> Result<Self, EventFluxError> {
        let (client, monitor) = open::open(config, observer).await?;
        let shared = Arc::new(Shared { client, monitor });
        open::leave_lame_ducks(&shared);
        Ok(Self { shared })
    }

    /// Tries once whether NATS can be used, blocking for at most the connect timeout.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`], [`EventFluxError::Configuration`] for a file that cannot be used.
    pub fn validate(config: &ConnectionConfig) -> Result<(), EventFluxError> {
        open::validate(config)
    }

    /// What the library offers.
    pub fn client(&self) -> &async_nats::Client {
        &self.shared.client
    }

    /// JetStream over this connection.
    pub fn jetstream(&self) -> jetstream::Context {
        let mut jetstream = jetstream::new(self.shared.client.clone());
        jetstream.set_timeout(QUESTION);
        jetstream
    }

    /// Whether it is connected now.
    pub fn is_connected(&self) -> bool {
        self.shared.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Resolves when it has given up for good: with the reason. Does not resolve after [`close`](Self::close).
    pub async fn given_up(&self) -> EventFluxError {
        self.shared.monitor.given_up().await
    }

    /// Resolves when it has been lost and is there again, counted from this call on. For what has to be asked again.
    ///
    /// What is sent meanwhile waits, and is sent before this resolves; core subscriptions are renewed already.
    pub fn reconnected(&self) -> impl Future<Output = ()> + Send + use<> {
        self.shared.monitor.reconnected()
    }

    /// What the server says it does not permit, from this call on. Servers do not answer what is not permitted: whoever
    /// waits for an answer learns the reason here only. The oldest of more than [`MAX_VIOLATIONS`] that wait are dropped.
    pub fn violations(&self) -> broadcast::Receiver<Violation> {
        self.shared.monitor.violations()
    }

    /// Sends what was published, and ends the connection; returns within `deadline`. Subscriptions of all copies end.
    pub async fn close(&self, deadline: Duration) {
        let Shared { client, monitor } = &*self.shared;
        let orderly = async {
            // Draining alone does not wait for the socket.
            let _ = client.flush().await;
            monitor.end();
            if client.drain().await.is_ok() {
                monitor.closed().await;
            }
        };
        if tokio::time::timeout(deadline, orderly).await.is_err() {
            monitor.end();
            // Ends it as soon as the server can be reached again, where others hold the library's client still.
            let _ = client.drain().now_or_never();
        }
    }
}
