//! One running sink: encodes batches, publishes them, and sees to what could not be published.
//!
//! What waits for another try is kept in order in front of everything that comes later; while something waits, the
//! sink is not ready and the sources that feed it stop reading.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use eventflux_core::dead_letter::Stage;
use eventflux_core::{
    BoxFuture, ConnectorContext, EncodedBatch, EventBatch, EventFluxError, RowFailure, Sink, SinkCallback, Template,
    Ticket,
};
use futures_util::FutureExt;

use super::control::{contain, lock};
use super::encoder::{Encoded, Encoder};
use super::faults::{Failure, Faults};
use super::graph::Graph;
use super::row_json::row_json;
use super::settlement::{Mark, Marks};
use super::waiting_room::{Waiting, WaitingRoom};
use crate::plan::SinkFormat;

/// A sink with its mapper and its strategy.
pub(crate) struct SinkNode {
    /// Name of its stream.
    pub(crate) stream: String,
    pub(crate) connector: String,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) context: ConnectorContext,
    pub(crate) faults: Faults,
    /// Whether the endpoint is tried once before the start.
    pub(crate) validates: bool,
    encoder: Mutex<Encoder>,
    /// Those whose texts go with each payload.
    templates: Vec<Template>,
    room: WaitingRoom<Work>,
    /// Those who wait until what was published is settled.
    marks: Marks,
    /// Payloads that were reported without their ticket.
    unknown: AtomicU64,
    /// Payloads that were accepted, and reported as failed or undelivered later.
    taken_back: AtomicU64,
}

enum Work {
    Rows(EventBatch),
    Payloads(EncodedBatch),
}

impl SinkNode {
    pub(crate) fn new(
        connector: String,
        sink: Box<dyn Sink>,
        format: SinkFormat,
        context: ConnectorContext,
        faults: Faults,
        validates: bool,
    ) -> Self {
        let encoder = Encoder::new(format);
        Self {
            validates,
            stream: context.stream.clone(),
            connector,
            sink,
            context,
            faults,
            templates: encoder.templates(),
            encoder: Mutex::new(encoder),
            room: WaitingRoom::new(),
            marks: Marks::default(),
            unknown: AtomicU64::new(0),
            taken_back: AtomicU64::new(0),
        }
    }

    /// Encodes and publishes a batch. Never blocks.
    pub(crate) fn accept(&self, graph: &Graph, batch: &EventBatch) {
        let mut encoder = lock(&self.encoder);
        let ticket = Ticket { number: self.room.issue(), row: 0 };
        if self.waits() {
            self.room.put(Waiting { work: Work::Rows(batch.clone()), failed_tries: 0, ticket });
            return;
        }
        self.encode(graph, &mut encoder, batch, 0, ticket);
    }

    /// Whether it can take the next batch.
    pub(crate) fn is_ready(&self) -> bool {
        !self.waits() && self.sink.is_ready()
    }

    /// Resolves when it can take the next batch.
    pub(crate) async fn ready(&self) {
        loop {
            self.room.emptied().await;
            if self.sink.is_ready() {
                return;
            }
            self.sink.ready().await;
            if !self.waits() {
                return;
            }
        }
    }

    /// Whether something waits for another try.
    pub(crate) fn waits(&self) -> bool {
        !self.room.is_empty()
    }

    /// Marks everything that was accepted until now.
    pub(super) fn mark(&self) -> Arc<Mark> {
        self.marks.add(self.room.mark())
    }

    /// Whether nothing up to `mark` waits for another try.
    pub(super) fn is_past(&self, mark: &Mark) -> bool {
        self.room.is_past(mark.number())
    }

    /// Resolves when [`SinkNode::is_past`].
    pub(super) async fn past(&self, mark: &Mark) {
        self.room.past(mark.number()).await;
    }

    /// Resolves when the sink has settled what it was given until now; a panic of it is an error.
    pub(super) fn sink_settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        let component = self.faults.component.clone();
        match contain(&component, || self.sink.settled()) {
            Err(panic) => Box::pin(std::future::ready(Err(panic))),
            Ok(settled) => Box::pin(async move {
                let settled = std::panic::AssertUnwindSafe(settled).catch_unwind().await;
                settled.unwrap_or_else(|panic| Err(eventflux_core::runtime::panicked(&component, &*panic)))
            }),
        }
    }

    /// How many dead letters it has made.
    pub(super) fn dead_letters(&self) -> u64 {
        self.faults.metrics.dead_lettered.value()
    }

    /// Payloads that were accepted, and not reported as failed or undelivered.
    pub(crate) fn delivered(&self) -> u64 {
        self.faults.metrics.events.value().saturating_sub(self.taken_back.load(Ordering::Relaxed))
    }

    /// Stops the sink; the number of events that are given up.
    pub(crate) fn stop(&self, deadline: Duration) -> u64 {
        let undelivered = self.sink.stop(deadline);
        self.taken_back.fetch_add(undelivered, Ordering::Relaxed);
        undelivered + self.abandon()
    }

    /// Takes what waits, at the end of the pipeline: the number of events that are given up.
    fn abandon(&self) -> u64 {
        self.room.abandon().map(|work| work.len() as u64).sum()
    }

    /// Tries again what waits, until the pipeline is stopped. Runs as a task of its own.
    pub(crate) async fn retry_loop(self: Arc<Self>, graph: Arc<Graph>) {
        let stop = graph.control.signal().clone();
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                () = self.room.arrived() => {}
            }
            while let Some(failed_tries) = self.room.failed_tries() {
                let pause = match failed_tries {
                    0 => Duration::ZERO,
                    tries => self.faults.policy.backoff().after(tries - 1).next_equal_jitter(),
                };
                if !stop.sleep(pause).await {
                    return;
                }
                self.try_again(&graph);
            }
        }
    }

    /// One more try of what waits longest.
    fn try_again(&self, graph: &Graph) {
        let mut encoder = lock(&self.encoder);
        let Some(Waiting { work, failed_tries, ticket }) = self.room.take() else {
            return;
        };
        if failed_tries > 0 {
            self.faults.metrics.retried.increment();
        }
        match work {
            Work::Rows(batch) => self.encode(graph, &mut encoder, &batch, failed_tries, ticket),
            Work::Payloads(batch) => self.publish(graph, batch, failed_tries),
        }
        self.room.tried();
    }

    /// `ticket`: that of the first row.
    fn encode(&self, graph: &Graph, encoder: &mut Encoder, batch: &EventBatch, failed_tries: u32, ticket: Ticket) {
        let Encoded { mut payloads, failures } = encoder.encode(batch);
        payloads.set_ticket(ticket);
        for (settled, RowFailure { row, error }) in failures.into_iter().enumerate() {
            let attempts = if row == 0 { failed_tries + 1 } else { 1 };
            if self.faults.retries(&error, attempts) {
                self.publish(graph, payloads.head(row - settled), 0);
                let ticket = Ticket { row: ticket.row + row as u64, ..ticket };
                self.room.put(Waiting { work: Work::Rows(tail(batch, row)), failed_tries: attempts, ticket });
                return;
            }
            let position = batch.positions()[row];
            let failure = Failure { stage: Stage::Encode, stream: &self.stream, attempts, position, error };
            self.faults.settle(graph, failure, || row_json(batch, row));
        }
        self.publish(graph, payloads, 0);
    }

    fn publish(&self, graph: &Graph, mut batch: EncodedBatch, mut failed_tries: u32) {
        while !batch.is_empty() {
            batch.set_failed_tries(failed_tries);
            let Err(RowFailure { row, error }) = self.publish_contained(&batch) else {
                self.count(batch.len(), batch.bytes());
                return;
            };
            self.count(row, batch.head(row).bytes());
            let attempts = if row == 0 { failed_tries + 1 } else { 1 };
            if self.faults.retries(&error, attempts) {
                self.faults.metrics.refused.increment();
                self.wait(batch.tail(row), attempts);
                return;
            }
            self.settle_payload(graph, &batch, row, attempts, error);
            batch = batch.tail(row + 1);
            failed_tries = 0;
        }
    }

    /// Publishes; after a panic once more, one by one, to find the payload that causes it. What the sink had accepted
    /// before it panicked is then published twice.
    fn publish_contained(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        let component = &self.faults.component;
        if let Ok(published) = contain(component, || self.sink.publish_batch(batch)) {
            return published;
        }
        (0..batch.len()).try_for_each(|row| {
            let published = contain(component, || self.sink.publish_batch(&batch.slice(row..row + 1)));
            let published = published.and_then(|published| published.map_err(|failure| failure.error));
            published.map_err(|error| RowFailure { row, error })
        })
    }

    fn settle_payload(&self, graph: &Graph, batch: &EncodedBatch, row: usize, attempts: u32, error: EventFluxError) {
        let position = batch.position(row);
        let failure = Failure { stage: Stage::Send, stream: &self.stream, attempts, position, error };
        self.faults.settle(graph, failure, || batch.shared(row));
    }

    fn count(&self, accepted: usize, bytes: usize) {
        self.faults.metrics.events.add(accepted as u64);
        self.faults.metrics.messages.add(accepted as u64);
        self.faults.metrics.bytes.add(bytes as u64);
    }

    fn wait(&self, batch: EncodedBatch, failed_tries: u32) {
        let ticket = batch.ticket();
        self.room.put(Waiting { work: Work::Payloads(batch), failed_tries, ticket });
    }

    /// Payloads it had accepted come back to be tried again.
    fn take_back(&self, mut batch: EncodedBatch, failed_tries: u32) {
        if batch.ticket().number == 0 {
            let row = self.unknown.fetch_add(batch.len() as u64, Ordering::Relaxed);
            batch.set_ticket(Ticket { number: 0, row });
        }
        let number = batch.ticket().number;
        self.wait(batch, failed_tries);
        self.marks.returned(number);
    }
}

impl Work {
    fn len(&self) -> usize {
        match self {
            Self::Rows(batch) => batch.len(),
            Self::Payloads(batch) => batch.len(),
        }
    }
}

impl fmt::Debug for SinkNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkNode").field("stream", &self.stream).field("sink", &self.sink).finish_non_exhaustive()
    }
}

/// What a sink calls when an accepted payload cannot be delivered after all.
pub(crate) struct SinkReporter {
    graph: Weak<Graph>,
    index: usize,
}

impl SinkReporter {
    pub(crate) fn new(graph: &Arc<Graph>, index: usize) -> Self {
        Self { graph: Arc::downgrade(graph), index }
    }
}

impl SinkCallback for SinkReporter {
    fn on_failed(&self, batch: EncodedBatch, error: EventFluxError) {
        let Some(graph) = self.graph.upgrade() else { return };
        let node = &graph.sinks[self.index];
        node.taken_back.fetch_add(batch.len() as u64, Ordering::Relaxed);
        // Without its texts a payload cannot be published again: nobody would know where it belongs.
        let complete = node.templates.iter().all(|template| batch.has_texts(template));
        let attempts = batch.failed_tries().saturating_add(1);
        if complete && node.faults.retries(&error, attempts) {
            node.faults.metrics.refused.add(batch.len() as u64);
            node.take_back(batch, attempts);
            return;
        }
        for row in 0..batch.len() {
            node.settle_payload(&graph, &batch, row, attempts, error.clone());
        }
    }
}

/// The rows from `row` on.
fn tail(batch: &EventBatch, row: usize) -> EventBatch {
    let rows: Vec<usize> = (row..batch.len()).collect();
    let mut tail = EventBatch::new(batch.schema().clone());
    tail.extend_from(batch, &rows);
    tail
}
