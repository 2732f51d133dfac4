//! The engine's side of the contract, for tests: callbacks that record, close their gate, fail or panic.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use eventflux_core::{BoxFuture, EncodedBatch, EventFluxError, MessageMetadata, SinkCallback, SourceCallback};
use tokio::sync::watch;

/// What a [`SourceRecorder`] does with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelivery {
    /// Takes it and stays ready.
    Take,
    /// Takes it and is not ready for another one until [`SourceRecorder::open_gate`].
    TakeAndCloseGate,
    /// Refuses it with [`EventFluxError::Stopped`].
    Fail,
    /// Panics.
    Panic,
}

/// A [`SourceCallback`] that records what a source does.
#[derive(Debug)]
pub struct SourceRecorder {
    on_delivery: OnDelivery,
    seen: Mutex<Seen>,
    gate: watch::Sender<bool>,
    /// Messages that are settled, or why no more will be; all that were taken, until the test says otherwise.
    settled: watch::Sender<Result<usize, EventFluxError>>,
}

#[derive(Debug, Default)]
struct Seen {
    messages: Vec<Vec<u8>>,
    metadata: Vec<Option<MessageMetadata>>,
    deliveries: usize,
    refused: usize,
    while_closed: usize,
    errors: Vec<(EventFluxError, Vec<u8>)>,
    ends: Vec<Result<(), EventFluxError>>,
}

impl SourceRecorder {
    /// A recorder with its gate open.
    pub fn new(on_delivery: OnDelivery) -> Self {
        let settled = watch::Sender::new(Ok(usize::MAX));
        Self { on_delivery, seen: Mutex::default(), gate: watch::Sender::new(true), settled }
    }

    /// The messages taken so far, in order.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        self.seen().messages.clone()
    }

    /// The metadata of the messages taken so far, in order; `None` for those that came without.
    pub fn metadata(&self) -> Vec<Option<MessageMetadata>> {
        self.seen().metadata.clone()
    }

    /// How many messages have been taken so far.
    pub fn count(&self) -> usize {
        self.seen().messages.len()
    }

    /// How many deliveries there were, one message or one batch each, whatever became of them.
    pub fn deliveries(&self) -> usize {
        self.seen().deliveries
    }

    /// How many deliveries came while the gate was closed.
    pub fn deliveries_while_closed(&self) -> usize {
        self.seen().while_closed
    }

    /// The messages that never became one, as reported by the source.
    pub fn errors(&self) -> Vec<(EventFluxError, Vec<u8>)> {
        self.seen().errors.clone()
    }

    /// What `on_end` was called with, once per call.
    pub fn ends(&self) -> Vec<Result<(), EventFluxError>> {
        self.seen().ends.clone()
    }

    /// Is ready for any number of deliveries from here on.
    pub fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    /// Is not ready from here on.
    pub fn close_gate(&self) {
        self.gate.send_replace(false);
    }

    /// From here on only the first so many messages are settled; or no more will be, for this reason.
    pub fn settle(&self, settled: Result<usize, EventFluxError>) {
        self.settled.send_modify(|known| *known = settled);
    }

    fn deliver(
        &self,
        messages: &mut dyn Iterator<Item = &[u8]>,
        metadata: &[MessageMetadata],
    ) -> Result<(), EventFluxError> {
        let mut seen = self.seen();
        seen.deliveries += 1;
        match self.on_delivery {
            OnDelivery::Take | OnDelivery::TakeAndCloseGate => {
                if !*self.gate.borrow() {
                    seen.while_closed += 1;
                }
                if self.on_delivery == OnDelivery::TakeAndCloseGate && seen.deliveries == 1 {
                    self.close_gate();
                }
                let before = seen.messages.len();
                seen.messages.extend(messages.map(<[u8]>::to_vec));
                let taken = seen.messages.len() - before;
                seen.metadata.extend((0..taken).map(|message| metadata.get(message).cloned()));
                Ok(())
            }
            OnDelivery::Fail => {
                seen.refused += 1;
                Err(EventFluxError::Stopped)
            }
            OnDelivery::Panic => {
                // Released first: a poisoned lock would hide what comes after.
                drop(seen);
                panic!("a callback that panics on purpose");
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SourceCallback for SourceRecorder {
    fn on_data(&self, data: &[u8]) -> Result<(), EventFluxError> {
        self.deliver(&mut std::iter::once(data), &[])
    }

    fn on_batch(&self, messages: &[Bytes]) -> Result<(), EventFluxError> {
        self.deliver(&mut messages.iter().map(AsRef::as_ref), &[])
    }

    fn on_batch_with(&self, messages: &[Bytes], metadata: &[MessageMetadata]) -> Result<(), EventFluxError> {
        assert_eq!(messages.len(), metadata.len(), "metadata for each message");
        self.deliver(&mut messages.iter().map(AsRef::as_ref), metadata)
    }

    fn is_ready(&self) -> bool {
        *self.gate.borrow()
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        let mut gate = self.gate.subscribe();
        Box::pin(async move {
            // The sender lives as long as the recorder that this future borrows.
            let _ = gate.wait_for(|open| *open).await;
        })
    }

    fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        let (mark, mut settled) = (self.count(), self.settled.subscribe());
        Box::pin(async move {
            let reached = settled.wait_for(|settled| settled.as_ref().map_or(true, |count| *count >= mark)).await;
            // A recorder that is gone settles nothing more.
            reached.map_err(|_| EventFluxError::Stopped)?.clone().map(drop)
        })
    }

    fn on_error(&self, error: EventFluxError, data: &[u8]) -> Result<(), EventFluxError> {
        self.seen().errors.push((error, data.to_vec()));
        Ok(())
    }

    fn on_end(&self, result: Result<(), EventFluxError>) {
        self.seen().ends.push(result);
    }
}

/// A [`SinkCallback`] that records what a sink could not deliver.
#[derive(Debug, Default)]
pub struct SinkRecorder {
    panics: bool,
    calls: AtomicUsize,
    failed: Mutex<Vec<(Vec<u8>, EventFluxError)>>,
}

impl SinkRecorder {
    /// A recorder.
    pub fn new() -> Self {
        Self::default()
    }

    /// A recorder that panics whenever it is called, after it has recorded.
    pub fn panicking() -> Self {
        Self { panics: true, ..Self::default() }
    }

    /// The payloads reported as failed, in order, each with its error.
    pub fn failed(&self) -> Vec<(Vec<u8>, EventFluxError)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often the sink reported.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl SinkCallback for SinkRecorder {
    fn on_failed(&self, batch: EncodedBatch, error: EventFluxError) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.extend(batch.iter().map(|payload| (payload.to_vec(), error.clone())));
        }
        assert!(!self.panics, "a callback that panics on purpose");
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready_eq, assert_ready_ok, task};

    use super::*;

    #[test]
    fn messages_are_settled_until_the_test_says_otherwise() {
        let recorder = SourceRecorder::new(OnDelivery::Take);
        recorder.on_data(b"a").unwrap();
        assert_ready_ok!(task::spawn(recorder.settled()).poll());
        recorder.settle(Ok(0));
        let mut first = task::spawn(recorder.settled());
        recorder.on_data(b"b").unwrap();
        let mut second = task::spawn(recorder.settled());
        assert_pending!(first.poll());
        recorder.settle(Ok(1));
        assert_ready_ok!(first.poll());
        assert_pending!(second.poll());
        recorder.settle(Err(EventFluxError::Stopped));
        assert_ready_eq!(second.poll(), Err(EventFluxError::Stopped));
    }
}
