//! The contract of a sink: who calls what, when, and until which error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{BoxFuture, EncodedBatch, EventFluxError, RowFailure};

/// Takes encoded payloads somewhere.
///
/// The engine calls `start` once, then `publish_batch` from any thread but never two at a time, then `stop`.
/// `publish` does not block: a sink that sends later queues the payload and says by `is_ready` when its queue is full.
/// The engine keeps order: after a failure it does not publish what follows until the failed payload is dealt with.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Starts and returns. A peer that cannot be reached is no error here when the sink reconnects.
    ///
    /// # Errors
    /// What no retry can mend: an address in use, a directory that does not exist, a second start.
    fn start(&self, callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError>;

    /// Accepts one payload: delivers it, or queues it. An accepted payload is delivered, or reported by
    /// [`SinkCallback::on_failed`], or counted as dropped by the queue policy its properties name, or counted in the
    /// result of [`Sink::stop`].
    ///
    /// # Errors
    /// [`EventFluxError::Send`] for this payload, [`EventFluxError::ConnectionUnavailable`] after giving up.
    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError>;

    /// Accepts payloads in order; the sink may keep the batch's buffer instead of copying. The texts of templates among
    /// its properties come with the batch ([`Template::text`](crate::Template::text)), and only here.
    ///
    /// # Errors
    /// The index of the first payload that failed, with its error: those before it are accepted, those behind it were
    /// not tried.
    fn publish_batch(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        batch
            .iter()
            .enumerate()
            .try_for_each(|(row, payload)| self.publish(payload).map_err(|error| RowFailure { row, error }))
    }

    /// Whether the sink can take more now. While it cannot, the engine stops reading the sources that feed it. A sink
    /// accepts one more batch all the same.
    fn is_ready(&self) -> bool {
        true
    }

    /// Resolves when the sink can take more, has given up, or is stopped.
    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Resolves when everything accepted before this call is as safe as this sink makes it: on disk, acknowledged by its
    /// peer, handed to the kernel; the page of the connector says which. What failed of it has been reported by
    /// [`SinkCallback::on_failed`] before, also by a sink that gave up; that is the engine's from then on, and settled as
    /// far as the sink is concerned. What a queue policy dropped is counted, and does not hold this back.
    ///
    /// The mark is taken when this is *called*, not when the future is first polled, and several may be under way. What
    /// is accepted later must not delay it: number what is accepted, and wait until the oldest that is left is newer than
    /// the mark, rather than until nothing is queued. A sink that delivers within [`Sink::publish`] keeps the default.
    ///
    /// # Errors
    /// [`EventFluxError::Stopped`] when the sink was stopped before that, or the fault that ended it: some of it is
    /// neither safe nor reported.
    fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Delivers what is queued, says goodbye to the peer, and returns within `deadline`. May be called twice.
    /// Returns the number of accepted payloads that could not be delivered.
    fn stop(&self, deadline: Duration) -> u64;

    /// An independent sink of the same configuration, not started.
    fn clone_box(&self) -> Box<dyn Sink>;

    /// Tries once whether the endpoint can be used, blocking for at most the connect timeout.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`] when not.
    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        Ok(())
    }
}

/// Where a sink reports what happens after it accepted a payload. Implemented by the engine.
pub trait SinkCallback: Send + Sync {
    /// Accepted payloads that will not be delivered; the error strategy handles them. The batch is the one they came in,
    /// or a part of it, so that the texts of templates are still there when they are published again, and the place the
    /// payloads had ([`EncodedBatch::ticket`]): without it they count as older than everything else.
    fn on_failed(&self, batch: EncodedBatch, error: EventFluxError);
}
