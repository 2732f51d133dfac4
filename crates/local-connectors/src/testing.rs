//! What the tests of several connectors share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::metrics::Metrics;
use eventflux_core::{
    ConnectorContext, ConnectorRole, EncodedBatch, EventFluxError, PayloadWriter, SinkCallback, SourceCallback,
};
use tokio::sync::watch;

/// Longest wait of a test for something that will happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Remembers what a source delivered.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    seen: watch::Sender<Seen>,
    refusal: Option<EventFluxError>,
}

#[derive(Debug, Default)]
struct Seen {
    messages: Vec<Bytes>,
    log: Vec<String>,
    ends: Vec<Result<(), EventFluxError>>,
}

impl Recorder {
    /// One that answers every delivery with `error`.
    pub(crate) fn refusing(error: EventFluxError) -> Self {
        Self { refusal: Some(error), ..Self::default() }
    }

    /// Messages as text, and errors as `reason: data`, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.seen.borrow().log.clone()
    }

    pub(crate) fn messages(&self) -> Vec<Bytes> {
        self.seen.borrow().messages.clone()
    }

    pub(crate) fn ends(&self) -> Vec<Result<(), EventFluxError>> {
        self.seen.borrow().ends.clone()
    }

    /// Waits for that many messages.
    pub(crate) async fn wait_for(&self, count: usize) {
        let mut seen = self.seen.subscribe();
        seen.wait_for(|seen| seen.messages.len() >= count).await.unwrap();
    }

    /// Waits for that many messages, without a runtime.
    pub(crate) fn block_until(&self, count: usize) {
        wait_until("messages", || self.seen.borrow().messages.len() >= count);
    }

    /// Waits for the end of the source, without a runtime.
    pub(crate) fn block_until_end(&self) -> Result<(), EventFluxError> {
        wait_until("the end", || !self.seen.borrow().ends.is_empty());
        self.ends()[0].clone()
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) -> Result<(), EventFluxError> {
        if let Some(error) = &self.refusal {
            return Err(error.clone());
        }
        self.seen.send_modify(change);
        Ok(())
    }
}

impl SourceCallback for Recorder {
    fn on_data(&self, data: &[u8]) -> Result<(), EventFluxError> {
        self.note(|seen| {
            seen.messages.push(Bytes::copy_from_slice(data));
            seen.log.push(String::from_utf8_lossy(data).into_owned());
        })
    }

    fn on_error(&self, error: EventFluxError, data: &[u8]) -> Result<(), EventFluxError> {
        self.note(|seen| seen.log.push(format!("{error}: {}", String::from_utf8_lossy(data))))
    }

    fn on_end(&self, result: Result<(), EventFluxError>) {
        self.seen.send_modify(|seen| seen.ends.push(result));
    }
}

/// Remembers what a sink gave back.
#[derive(Debug, Default)]
pub(crate) struct Returned(Mutex<Vec<(EncodedBatch, EventFluxError)>>);

impl Returned {
    pub(crate) fn payloads(&self) -> Vec<String> {
        let returned = self.0.lock().unwrap();
        let payloads = returned.iter().flat_map(|(batch, _)| batch.iter());
        payloads.map(|payload| String::from_utf8_lossy(payload).into_owned()).collect()
    }

    pub(crate) fn errors(&self) -> Vec<EventFluxError> {
        self.0.lock().unwrap().iter().map(|(_, error)| error.clone()).collect()
    }
}

impl SinkCallback for Returned {
    fn on_failed(&self, batch: EncodedBatch, error: EventFluxError) {
        self.0.lock().unwrap().push((batch, error));
    }
}

pub(crate) fn returned() -> Arc<Returned> {
    Arc::default()
}

pub(crate) fn context(role: ConnectorRole) -> ConnectorContext {
    ConnectorContext::new(&Metrics::default(), role, "S", "test")
}

pub(crate) fn batch<T: AsRef<[u8]>>(payloads: impl IntoIterator<Item = T>) -> EncodedBatch {
    let mut writer = PayloadWriter::default();
    for (position, payload) in payloads.into_iter().enumerate() {
        writer.buffer().extend_from_slice(payload.as_ref());
        writer.finish(position as u64);
    }
    writer.take()
}

/// Waits for a condition.
///
/// # Panics
/// When it does not come true within [`DEADLINE`].
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited in vain for {what}");
        std::thread::yield_now();
    }
}
