//! The contract of a source: who calls what, when, and until which error.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::{BoxFuture, EventFluxError, MessageMetadata};

/// Brings messages from somewhere into a stream.
///
/// The engine calls `start` once; the source then delivers to the callback from a thread or task of its own
/// ([`runtime::SourceWorker`](crate::runtime::SourceWorker) makes one) until `stop` or until it has no more. `stop` may
/// be called at any time after creation, twice as well, and also while connecting. A stopped source is not started
/// again; the engine takes a fresh one by `clone_box`.
pub trait Source: Send + fmt::Debug {
    /// Starts delivering and returns. A peer that cannot be reached is no error here when the source reconnects.
    ///
    /// # Errors
    /// What no retry can mend: an address in use, a file that does not exist, a second start.
    fn start(&mut self, callback: std::sync::Arc<dyn SourceCallback>) -> Result<(), EventFluxError>;

    /// Stops: no more deliveries once it returns. Says goodbye to the peer, interrupts any wait, and returns within
    /// `deadline`.
    fn stop(&mut self, deadline: Duration);

    /// An independent source of the same configuration, not started.
    fn clone_box(&self) -> Box<dyn Source>;

    /// Tries once whether the endpoint can be used, blocking for at most the connect timeout.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`] when not.
    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        Ok(())
    }
}

/// Where a source delivers. Implemented by the engine.
///
/// Protocol: deliver; then, before the next delivery, wait until [`SourceCallback::is_ready`] (or
/// [`SourceCallback::ready`]) while still serving the connection (pings, close, stop). A source that does not wait is
/// not refused, but then nothing bounds what piles up behind it.
pub trait SourceCallback: Send + Sync {
    /// Takes one message.
    ///
    /// # Errors
    /// [`EventFluxError::Stopped`] or the fault that ended the pipeline: the source stops delivering and does not
    /// acknowledge the message to its peer. Bad messages are no error; the pipeline's error strategy handles them.
    fn on_data(&self, data: &[u8]) -> Result<(), EventFluxError>;

    /// Takes messages in order; much cheaper than one at a time.
    ///
    /// # Errors
    /// As [`SourceCallback::on_data`].
    fn on_batch(&self, messages: &[Bytes]) -> Result<(), EventFluxError> {
        messages.iter().try_for_each(|message| self.on_data(message))
    }

    /// As [`SourceCallback::on_batch`], with the metadata of each message: as many as there are messages. A source calls
    /// this when columns are bound to its metadata ([`ConnectorContext::metadata`](crate::ConnectorContext::metadata)).
    ///
    /// # Errors
    /// As [`SourceCallback::on_data`].
    fn on_batch_with(&self, messages: &[Bytes], metadata: &[MessageMetadata]) -> Result<(), EventFluxError> {
        let _ = metadata;
        self.on_batch(messages)
    }

    /// Whether the pipeline can take the next delivery now.
    fn is_ready(&self) -> bool {
        true
    }

    /// Resolves when the pipeline can take the next delivery, or is stopped.
    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Resolves when everything delivered before this call is settled: nothing of it waits in the engine for another try
    /// (of the source's strategy, of a query, of a sink), every sink it could reach has settled ([`Sink::settled`]), and
    /// what failed has been dealt with by its strategy; what went to a dead-letter stream counts once the sinks of that
    /// stream have settled. What a query filtered, and what a strategy or a queue policy dropped, is settled.
    ///
    /// A source that acknowledges to its peer waits for this before it does. The mark is taken when this is *called*, not
    /// when the future is first polled: the source goes on delivering, may have many of these under way, and may wait for
    /// them in another task. What is delivered later does not delay them.
    ///
    /// # Errors
    /// [`EventFluxError::Stopped`], the fault that ended the pipeline, or that of a sink that gave up: not all of it is
    /// safe, and the source must not acknowledge it.
    ///
    /// [`Sink::settled`]: crate::Sink::settled
    fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Reports a message that never became one (too large, bad compression, ...): the error strategy handles it.
    /// `data` is what was received of it.
    ///
    /// # Errors
    /// As [`SourceCallback::on_data`].
    fn on_error(&self, error: EventFluxError, data: &[u8]) -> Result<(), EventFluxError>;

    /// The source delivers nothing more: `Ok` when it was stopped or is exhausted, `Err` when it gave up or panicked.
    /// Called exactly once after a successful `start`.
    fn on_end(&self, result: Result<(), EventFluxError>);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{DataType, MetadataSpec};

    #[derive(Default)]
    struct Minimal(Mutex<Vec<Vec<u8>>>);

    impl SourceCallback for Minimal {
        fn on_data(&self, data: &[u8]) -> Result<(), EventFluxError> {
            self.0.lock().unwrap().push(data.to_vec());
            Ok(())
        }

        fn on_error(&self, error: EventFluxError, _: &[u8]) -> Result<(), EventFluxError> {
            Err(error)
        }

        fn on_end(&self, _: Result<(), EventFluxError>) {}
    }

    #[test]
    fn a_callback_that_knows_nothing_of_metadata_gets_the_messages() {
        const TABLE: &[MetadataSpec] = &[MetadataSpec::new("client", DataType::String, "Who.")];
        let (callback, metadata) = (Minimal::default(), MessageMetadata::new(TABLE, ["c".into()]));
        callback
            .on_batch_with(&[Bytes::from_static(b"a"), Bytes::from_static(b"b")], &[metadata.clone(), metadata])
            .unwrap();
        assert_eq!(*callback.0.lock().unwrap(), [b"a", b"b"]);
    }
}
