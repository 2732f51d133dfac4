//! A client sink: a bounded queue, and a task that keeps it moving.
//!
//! A payload leaves the queue when the kernel has accepted it; what was handed to a connection that ended first is sent
//! again on the next one. So between queue and kernel delivery is at-least-once, in order; what the kernel had accepted
//! and the peer never read is lost with the connection, and a plain WebSocket cannot tell.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::{self, StopSignal};
use eventflux_core::{BoxFuture, ConnectorContext, EventFluxError, RowFailure, SinkCallback};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Connector;
use super::outbox::Outbox;
use super::sink_task::{Finished, Task};
use crate::config::{ClientConfig, WebSocketSinkConfig};
use crate::queue::{QueueConfig, Slice};

/// A sink that connects out; started.
pub(crate) struct ClientSink {
    outbox: Arc<Outbox>,
    stop: watch::Sender<bool>,
    done: Mutex<mpsc::Receiver<()>>,
}

impl ClientSink {
    /// Reads files and environment and starts the task.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the file or variable.
    pub(crate) fn start(
        client: &ClientConfig,
        queue: QueueConfig,
        config: &WebSocketSinkConfig,
        context: ConnectorContext,
        callback: Arc<dyn SinkCallback>,
    ) -> Result<Self, EventFluxError> {
        let connector = Connector::new(client, &config.connection)?;
        let outbox = Arc::new(Outbox::new(queue, context));
        let (stop, signal) = StopSignal::new();
        let (finished, done) = mpsc::channel();
        let heartbeat = client.heartbeat.as_ref();
        let task = Task {
            outbox: outbox.clone(),
            connector,
            reconnect: client.reconnect,
            connection: config.connection.clone(),
            heartbeat: heartbeat.map(|beat| (Bytes::copy_from_slice(beat.message.expose().as_bytes()), beat.interval)),
            callback,
            signal,
            served: false,
        };
        let endpoint = task.connector.endpoint().to_string();
        outbox.context.health.set(ConnectionState::Connecting, endpoint);
        runtime::shared()?.spawn(async move {
            let _finished = Finished { outbox: task.outbox.clone(), sender: finished };
            task.run().await;
        });
        Ok(Self { outbox, stop, done: Mutex::new(done) })
    }

    /// Queues payloads.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`] after giving up (the next series of attempts starts now),
    /// [`EventFluxError::Stopped`], or [`EventFluxError::Send`] when the queue was overfilled.
    pub(crate) fn publish(&self, slice: Slice) -> Result<(), RowFailure> {
        self.outbox.publish(slice)
    }

    /// Whether there is room for more.
    pub(crate) fn is_ready(&self) -> bool {
        self.outbox.is_ready()
    }

    /// Resolves when [`ClientSink::is_ready`].
    pub(crate) async fn ready(&self) {
        self.outbox.ready().await;
    }

    /// Resolves when the kernel has accepted everything queued before the call, or it is reported or dropped by policy.
    ///
    /// # Errors
    /// [`EventFluxError::Stopped`], or the panic that ended the task, when that will not be.
    pub(crate) fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        self.outbox.settled()
    }

    /// Sends what is queued, says goodbye, and returns the number of payloads that could not be sent.
    pub(crate) fn stop(&self, deadline: Duration) -> u64 {
        // Nine tenths for the task, so that its goodbye is over when the deadline is.
        self.outbox.set_stop_by(Instant::now() + deadline * 9 / 10);
        self.stop.send_replace(true);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = done.recv_timeout(deadline);
        self.outbox.end()
    }
}

impl fmt::Debug for ClientSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSink").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}
