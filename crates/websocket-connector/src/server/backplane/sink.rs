//! A sink whose events go to the clients of all processes.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use eventflux_core::metrics::Counter;
use eventflux_core::{BoxFuture, EncodedBatch, EventFluxError, RowFailure, SinkCallback};
use eventflux_gateway::{Address, Problem, Publication, Retention};
use tokio::time::timeout;

use super::Backplane;
use super::apply::Counted;
use super::entry::{Header, Writer};
use super::outcome::Kept;
use crate::blocking;

/// How long what is in the log may take to come back when a sink stops: the bus may be away by then.
const RETURN_LIMIT: Duration = Duration::from_secs(2);

/// See the module.
pub(in crate::server) struct SharedSink {
    backplane: Arc<Backplane>,
    /// What it is called here.
    sink: u64,
    stream: String,
    retention: Retention,
    callback: Arc<dyn SinkCallback>,
}

/// An entry that is put together from rows of a batch.
struct Gathered<'a> {
    writer: Writer<'a>,
    rows: Vec<usize>,
}

impl SharedSink {
    pub(in crate::server) fn new(
        backplane: &Arc<Backplane>,
        stream: &str,
        retention: &Retention,
        unheard: &Counter,
        callback: Arc<dyn SinkCallback>,
    ) -> Self {
        let counted = Counted { losses: retention.losses.clone(), unheard: unheard.clone() };
        backplane.applier.count_at(stream, counted);
        Self {
            sink: backplane.next_sink(),
            backplane: backplane.clone(),
            stream: stream.to_owned(),
            retention: retention.clone(),
            callback,
        }
    }

    /// Publishes `count` events of a batch, which `event` gives. Answers to clients that are connected here go to them
    /// directly, and everything else to the bus, in as few entries as possible.
    ///
    /// # Errors
    /// The first that cannot be published; those behind it are not tried.
    pub(in crate::server) fn publish<'a>(
        &self,
        batch: &EncodedBatch,
        count: usize,
        event: impl Fn(usize) -> Publication<'a>,
    ) -> Result<(), RowFailure> {
        let mut gathered = self.gather();
        for row in 0..count {
            let event = event(row);
            match self.take_here(&event) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(problem) => {
                    self.send(batch, gathered)?;
                    let error = EventFluxError::Send { reason: problem.to_string(), retryable: false };
                    return Err(RowFailure { row, error });
                }
            }
            if !gathered.writer.has_room_for(&event) {
                self.send(batch, std::mem::replace(&mut gathered, self.gather()))?;
            }
            gathered.writer.push(&event);
            gathered.rows.push(row);
        }
        self.send(batch, gathered)
    }

    pub(in crate::server) fn is_ready(&self) -> bool {
        self.backplane.bus.is_ready()
    }

    pub(in crate::server) fn ready(&self) -> BoxFuture<'static, ()> {
        self.backplane.bus.ready()
    }

    /// Resolves when everything accepted before is in the log.
    pub(in crate::server) fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        self.backplane.bus.settled()
    }

    /// Bytes that wait for the bus.
    pub(in crate::server) fn queue_bytes(&self) -> Box<dyn Fn() -> u64 + Send + Sync> {
        let bus = Arc::downgrade(&self.backplane.bus);
        Box::new(move || bus.upgrade().map_or(0, |bus| bus.queue_bytes()))
    }

    /// Waits until everything accepted is in the log, and has come back to be given to the clients here. Returns how many
    /// events are not known to be in the log.
    pub(in crate::server) fn drain(&self, deadline: Duration) -> u64 {
        let (settled, applier) = (self.settled(), self.backplane.applier.clone());
        let drained = async move {
            let returned = async {
                if settled.await.is_ok() {
                    let _ = timeout(RETURN_LIMIT, applier.returned()).await;
                }
            };
            // What is left is counted below.
            let _ = timeout(deadline, returned).await;
        };
        let _ = blocking::run(drained, deadline);
        self.backplane.applier.outcomes.forget(self.sink)
    }

    /// Whether an event has found its only receiver here.
    fn take_here(&self, event: &Publication<'_>) -> Result<bool, Problem> {
        match event.to {
            Address::Request(request) => self.backplane.hub.answer(request, event.payload),
            Address::Channel(_) | Address::User { .. } => self.backplane.hub.check(event).map(|()| false),
        }
    }

    fn gather<'a>(&self) -> Gathered<'a> {
        let time_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let header = Header {
            origin: self.backplane.applier.origin,
            stream: &self.stream,
            time_ms: u64::try_from(time_ms).unwrap_or(u64::MAX),
            retention: self.retention.clone(),
        };
        Gathered { writer: Writer::new(&header), rows: Vec::new() }
    }

    fn send(&self, batch: &EncodedBatch, gathered: Gathered<'_>) -> Result<(), RowFailure> {
        let Gathered { writer, rows } = gathered;
        let Some(&row) = rows.first() else { return Ok(()) };
        let kept = Kept::new(self.sink, self.callback.clone(), batch, &rows);
        let entry = Bytes::from(writer.finish());
        let published = self.backplane.applier.outcomes.keep(kept, || self.backplane.bus.publish(entry));
        published.map_err(|error| RowFailure { row, error })
    }
}

impl std::fmt::Debug for SharedSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedSink").field("stream", &self.stream).finish_non_exhaustive()
    }
}
