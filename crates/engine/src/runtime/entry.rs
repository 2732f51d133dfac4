//! Where events enter a pipeline: the callback of a source, or of a program that pushes.
//!
//! Decodes what the source hands over and dispatches it, on the source's thread. What waits for another try (a query
//! that failed for now) makes the entry not ready, so that nothing overtakes it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::dead_letter::Stage;
use eventflux_core::{BoxFuture, EventBatch, EventFluxError, MessageMetadata, RowFailure, SourceCallback, Ticket};
use tokio::sync::watch;

use super::control::lock;
use super::decoder::Decoder;
use super::faults::{Failure, Faults};
use super::graph::{Graph, Origin};
use super::settlement::Settlement;
use super::sink_node::SinkNode;
use super::waiting_room::{Waiting, WaitingRoom};
use crate::plan::SourceFormat;

/// The end of a stream that a source, or a program, holds.
pub(crate) struct Entry {
    graph: Arc<Graph>,
    stream: usize,
    pub(crate) faults: Faults,
    decoder: Mutex<Decoder>,
    /// Every sink an event can reach from here, dead letters included.
    sinks: Arc<[Arc<SinkNode>]>,
    room: Arc<WaitingRoom<Work>>,
    /// How the source ended, once it has.
    ended: watch::Sender<Option<Result<(), EventFluxError>>>,
    stopping: AtomicBool,
}

/// Consecutive messages.
pub(super) struct Messages<M, D> {
    messages: M,
    /// That of each message, or nothing.
    metadata: D,
    first_position: u64,
}

/// What waits for another try.
pub(super) enum Work {
    Messages(Messages<Vec<Bytes>, Vec<MessageMetadata>>),
    Rows { query: usize, rows: EventBatch },
}

impl Entry {
    /// The entry of a source with that format, or of a program that pushes rows.
    pub(crate) fn new(graph: Arc<Graph>, stream: usize, faults: Faults, format: Option<SourceFormat>) -> Self {
        let sinks = graph.reachable_sinks([stream].into_iter().chain(faults.dead_letters));
        let decoder = Decoder::new(&graph.streams[stream].schema, format);
        Self {
            stream,
            faults,
            decoder: Mutex::new(decoder),
            sinks: sinks.into(),
            room: Arc::new(WaitingRoom::new()),
            ended: watch::channel(None).0,
            stopping: AtomicBool::new(false),
            graph,
        }
    }

    /// Dispatches rows that need no decoding.
    pub(crate) fn push(&self, rows: &EventBatch) -> Result<(), EventFluxError> {
        self.graph.control.check()?;
        // The lock keeps pushes in order.
        let _order = lock(&self.decoder);
        self.faults.metrics.messages.add(rows.len() as u64);
        self.dispatch(rows, self.room.issue());
        self.graph.control.check()
    }

    /// Resolves when the source has ended, with how.
    pub(crate) async fn ended(&self) -> Result<(), EventFluxError> {
        let mut receiver = self.ended.subscribe();
        match receiver.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(result)) => result.clone(),
            _ => Ok(()),
        }
    }

    /// Forgets that the source has ended: a fresh one takes its place.
    pub(crate) fn restarted(&self) {
        self.ended.send_replace(None);
    }

    /// From now on the end of the source is no surprise.
    pub(crate) fn expect_end(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn expects_end(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether something waits for another try.
    pub(crate) fn waits(&self) -> bool {
        !self.room.is_empty()
    }

    /// Lets rows of delivery number `delivery` wait for another try of query number `query`; the first of them failed
    /// `failed_tries` times.
    pub(crate) fn retry_query(&self, query: usize, rows: EventBatch, failed_tries: u32, delivery: u64) {
        let ticket = Ticket { number: delivery, row: rows.positions()[0] };
        self.room.put(Waiting { work: Work::Rows { query, rows }, failed_tries, ticket });
    }

    /// Takes what waits, at the end of the pipeline: the number of events that are given up.
    pub(crate) fn abandon(&self) -> u64 {
        let count = |work| match work {
            Work::Messages(waiting) => waiting.messages.len() as u64,
            Work::Rows { rows, .. } => rows.len() as u64,
        };
        self.room.abandon().map(count).sum()
    }

    /// Tries again what waits, until the pipeline is stopped. Runs as a task of its own.
    pub(crate) async fn retry_loop(self: Arc<Self>) {
        let stop = self.graph.control.signal().clone();
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                () = self.room.arrived() => {}
            }
            while let Some(failed_tries) = self.room.failed_tries() {
                let pause = self.faults.policy.backoff().after(failed_tries.saturating_sub(1)).next_equal_jitter();
                if !stop.sleep(pause).await {
                    return;
                }
                self.try_again();
            }
        }
    }

    fn try_again(&self) {
        let mut decoder = lock(&self.decoder);
        let Some(Waiting { work, failed_tries, ticket }) = self.room.take() else { return };
        self.faults.metrics.retried.increment();
        match work {
            Work::Messages(Messages { messages, metadata, first_position }) => {
                let (messages, metadata) = (&*messages, &*metadata);
                let taken = Messages { messages, metadata, first_position };
                self.decode(&mut decoder, taken, failed_tries, ticket.number);
            }
            Work::Rows { query, rows } => {
                let origin = self.origin(ticket.number);
                self.graph.queries[query].run_again(&self.graph, &rows, origin, failed_tries);
            }
        }
        self.room.tried();
    }

    fn origin(&self, delivery: u64) -> Origin<'_> {
        Origin { faults: &self.faults, entry: Some(self), delivery }
    }

    fn dispatch(&self, rows: &EventBatch, delivery: u64) {
        self.faults.metrics.events.add(rows.len() as u64);
        self.graph.dispatch(self.stream, rows, self.origin(delivery));
    }

    /// Takes messages in, with their metadata or none.
    fn take(&self, messages: &[Bytes], metadata: &[MessageMetadata]) -> Result<(), EventFluxError> {
        self.graph.control.check()?;
        let mut decoder = lock(&self.decoder);
        let first_position = decoder.number(messages.len());
        self.faults.metrics.messages.add(messages.len() as u64);
        self.faults.metrics.bytes.add(messages.iter().map(|message| message.len() as u64).sum());
        self.decode(&mut decoder, Messages { messages, metadata, first_position }, 0, self.room.issue());
        self.graph.control.check()
    }

    /// Decodes messages of delivery number `delivery` and dispatches their rows.
    fn decode(
        &self,
        decoder: &mut Decoder,
        taken: Messages<&[Bytes], &[MessageMetadata]>,
        failed_tries: u32,
        delivery: u64,
    ) {
        let Messages { messages, metadata, first_position } = taken;
        let failures = decoder.decode(messages, first_position);
        let waiting = self.settle(failures, messages, first_position, failed_tries);
        if let Some((message, _)) = waiting {
            decoder.leave_out_from(first_position + message as u64);
        }
        self.dispatch(decoder.rows(metadata, first_position), delivery);
        if let Some((message, failed_tries)) = waiting {
            let rest = Messages {
                messages: messages[message..].to_vec(),
                metadata: metadata.get(message..).unwrap_or_default().to_vec(),
                first_position: first_position + message as u64,
            };
            let ticket = Ticket { number: delivery, row: rest.first_position };
            self.room.put(Waiting { work: Work::Messages(rest), failed_tries, ticket });
        }
    }

    /// Settles the messages that could not be decoded, in order. When one is to be tried again, its index and number
    /// of tries are returned: it and all that follow have to wait.
    fn settle(
        &self,
        failures: Vec<RowFailure>,
        messages: &[Bytes],
        first_position: u64,
        failed_tries: u32,
    ) -> Option<(usize, u32)> {
        for RowFailure { row, error } in failures {
            let attempts = if row == 0 { failed_tries + 1 } else { 1 };
            if self.faults.retries(&error, attempts) {
                return Some((row, attempts));
            }
            self.settle_message(Stage::Decode, first_position + row as u64, attempts, error, || messages[row].clone());
        }
        None
    }

    fn settle_message(
        &self,
        stage: Stage,
        position: u64,
        attempts: u32,
        error: EventFluxError,
        original: impl FnOnce() -> Bytes,
    ) {
        let stream = &self.graph.streams[self.stream].name;
        self.faults.settle(&self.graph, Failure { stage, stream, attempts, position, error }, original);
    }

    async fn all_ready(&self) {
        loop {
            self.room.emptied().await;
            for sink in self.sinks.iter() {
                sink.ready().await;
            }
            if self.is_ready() {
                return;
            }
            // A sink that resolved without being ready (it gave up just now): look again soon.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl SourceCallback for Entry {
    fn on_data(&self, data: &[u8]) -> Result<(), EventFluxError> {
        self.on_batch(&[Bytes::copy_from_slice(data)])
    }

    fn on_batch(&self, messages: &[Bytes]) -> Result<(), EventFluxError> {
        self.take(messages, &[])
    }

    fn on_batch_with(&self, messages: &[Bytes], metadata: &[MessageMetadata]) -> Result<(), EventFluxError> {
        self.take(messages, metadata)
    }

    fn is_ready(&self) -> bool {
        !self.waits() && self.sinks.iter().all(|sink| sink.is_ready())
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            tokio::select! {
                () = self.all_ready() => {}
                _ = self.graph.control.finished() => {}
            }
        })
    }

    fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        let settlement = Settlement::new(self.graph.clone(), self.room.clone(), self.sinks.clone());
        Box::pin(settlement.settled())
    }

    fn on_error(&self, error: EventFluxError, data: &[u8]) -> Result<(), EventFluxError> {
        self.graph.control.check()?;
        let position = lock(&self.decoder).number(1);
        self.faults.metrics.messages.increment();
        self.settle_message(Stage::Receive, position, 1, error, || Bytes::copy_from_slice(data));
        self.graph.control.check()
    }

    fn on_end(&self, result: Result<(), EventFluxError>) {
        self.ended.send_replace(Some(result));
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("stream", &self.stream).field("faults", &self.faults).finish_non_exhaustive()
    }
}

/// Pause before readiness is looked at again when nothing will announce it.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
