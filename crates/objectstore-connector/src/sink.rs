//! The `objectstore` sink: the contract of a sink around queue and writer.

use std::fmt;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::{
    BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, RowFailure, Sink, SinkCallback, Template, runtime,
};

use crate::batcher::Batcher;
use crate::config::ObjectStoreSinkConfig;
use crate::naming::Namer;
use crate::queue::Queue;
use crate::store;
use crate::writer::Writer;

/// How much longer than one attempt a check of the place may take.
const CHECK_MARGIN: Duration = Duration::from_secs(1);

/// Collects payloads into objects.
pub struct ObjectStoreSink {
    config: ObjectStoreSinkConfig,
    context: ConnectorContext,
    path: Template,
    namer: Namer,
    queue: Arc<Queue>,
}

impl ObjectStoreSink {
    /// A sink that is not started.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when no event could have a path.
    pub fn new(config: ObjectStoreSinkConfig, context: ConnectorContext) -> Result<Self, EventFluxError> {
        let path = config.path_of(&context.stream)?;
        let namer = config.namer(&path)?;
        Ok(Self::with(config, context, path, namer))
    }

    fn with(config: ObjectStoreSinkConfig, context: ConnectorContext, path: Template, namer: Namer) -> Self {
        let batcher = Batcher::new(config.batch, config.framing, namer.clone());
        let gauge = context.metrics.queue_bytes.clone();
        let queue = Arc::new(Queue::new(config.queue_bytes, path.clone(), batcher, gauge));
        Self { config, context, path, namer, queue }
    }
}

impl Sink for ObjectStoreSink {
    fn start(&self, callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        let again = || EventFluxError::configuration("an objectstore sink starts once; use a clone");
        if !self.queue.is_new() {
            return Err(again());
        }
        let runtime = runtime::shared()?;
        let store = store::open(&self.config.location, self.config.timeout)?;
        if !self.queue.open() {
            return Err(again());
        }
        let (limits, place) = ((self.config.writes, self.config.timeout), self.config.location.to_string());
        let writer = Writer::new(self.queue.clone(), store, callback, limits, place.clone(), &self.context);
        self.context.health.set(ConnectionState::Connected, place);
        runtime.spawn(writer.run());
        Ok(())
    }

    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        let batch = EncodedBatch::single(Bytes::copy_from_slice(payload), 0);
        self.publish_batch(&batch).map_err(|failure| failure.error)
    }

    fn publish_batch(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        self.queue.publish(batch)
    }

    fn is_ready(&self) -> bool {
        self.queue.is_ready()
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.queue.ready())
    }

    fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        self.queue.settled()
    }

    fn stop(&self, deadline: Duration) -> u64 {
        let was_started = !self.queue.is_new();
        let given_up = self.queue.stop(deadline);
        if was_started {
            self.context.health.set(ConnectionState::Stopped, None);
        }
        given_up
    }

    fn clone_box(&self) -> Box<dyn Sink> {
        let (path, namer) = (self.path.clone(), self.namer.clone());
        Box::new(Self::with(self.config.clone(), self.context.clone(), path, namer))
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        let (location, timeout) = (self.config.location.clone(), self.config.timeout);
        let (sender, receiver) = mpsc::sync_channel(1);
        runtime::shared()?.spawn(async move {
            // Nobody listens any more when the limit has passed.
            let _ = sender.send(store::reach(location, timeout).await);
        });
        receiver.recv_timeout(timeout + CHECK_MARGIN).unwrap_or_else(|_| {
            Err(EventFluxError::ConnectionUnavailable {
                endpoint: self.config.location.to_string(),
                reason: format!("no answer within {timeout:?}"),
                retryable: true,
            })
        })
    }
}

impl Drop for ObjectStoreSink {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for ObjectStoreSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStoreSink").field("config", &self.config).finish_non_exhaustive()
    }
}
