//! What the publishers and the task of a client sink share: the queue, what is in flight, and whether there is a point.
//!
//! No socket and no waiting but for room; every method holds the lock for moments only.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use eventflux_core::{ConnectorContext, EventFluxError, RowFailure};
use eventflux_websocket_wire::Message;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::queue::{FullPolicy, PayloadQueue, QueueConfig, Slice};

/// Payload bytes handed to the socket before it is flushed and they leave the queue.
const CHUNK_BYTES: usize = 64 * 1024;

/// A queue that was said to be full and is filled all the same refuses at this many times its size: several streams may
/// each have had one more batch, but the engine is meant to wait.
const OVERFILL_FACTOR: usize = 16;

/// Bytes a queue never refuses below, however small it is: a batch that was under way when it became full may turn into
/// a dead letter for each of its messages.
const MIN_OVERFILL_BYTES: usize = 16 << 20;

/// The queue of a client sink.
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Whether the queue has room; a copy that is read without the lock.
    ready: AtomicBool,
    /// Wakes whoever waits for room.
    room: Notify,
    /// Wakes the task: something is queued.
    pub(super) work: Notify,
    /// Wakes the task that gave up: something was published.
    pub(super) retry: Notify,
    config: QueueConfig,
    pub(super) context: ConnectorContext,
}

struct State {
    queue: PayloadQueue,
    /// Payloads handed to the connection and not flushed.
    in_flight: Vec<Slice>,
    in_flight_cost: usize,
    phase: Phase,
    stop_by: Option<Instant>,
}

enum Phase {
    Running,
    /// Gave up; why.
    Failed(EventFluxError),
    /// The task is gone; why.
    Broken(EventFluxError),
    Stopped,
}

impl Outbox {
    /// An empty queue.
    pub(super) fn new(config: QueueConfig, context: ConnectorContext) -> Self {
        Self {
            state: Mutex::new(State {
                queue: PayloadQueue::default(),
                in_flight: Vec::new(),
                in_flight_cost: 0,
                phase: Phase::Running,
                stop_by: None,
            }),
            ready: AtomicBool::new(true),
            room: Notify::new(),
            work: Notify::new(),
            retry: Notify::new(),
            config,
            context,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the queue has room, or there is nothing to wait for.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Resolves when [`Outbox::is_ready`].
    pub(super) async fn ready(&self) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            if self.is_ready() {
                return;
            }
            room.await;
        }
    }

    /// Queues payloads.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`] after giving up (the next series of attempts starts now),
    /// [`EventFluxError::Stopped`], or [`EventFluxError::Send`] when the queue was overfilled.
    pub(super) fn publish(&self, slice: Slice) -> Result<(), RowFailure> {
        let refused = |error| Err(RowFailure { row: 0, error });
        let mut state = self.lock();
        match &state.phase {
            Phase::Stopped => return refused(EventFluxError::Stopped),
            Phase::Broken(error) => return refused(error.clone()),
            Phase::Failed(error) => {
                let error = error.clone();
                state.phase = Phase::Running;
                self.retry.notify_one();
                return refused(error);
            }
            Phase::Running => {}
        }
        if state.cost() >= self.config.max_bytes.saturating_mul(OVERFILL_FACTOR).max(MIN_OVERFILL_BYTES) {
            let reason = "the sink's queue (websocket.queue.bytes) was overfilled while it was not ready".to_owned();
            return refused(EventFluxError::Send { reason, retryable: true });
        }
        let in_flight = state.in_flight_cost;
        let dropped = state.queue.push(self.config, slice, in_flight);
        if dropped > 0 {
            self.context.metrics.dropped.add(dropped as u64);
        }
        self.changed(&state);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Takes the next payloads to send.
    pub(super) fn take(&self, messages: &mut Vec<Message>) {
        let state = &mut *self.lock();
        state.in_flight_cost += state.queue.take(CHUNK_BYTES, &mut state.in_flight);
        messages.extend(state.in_flight.iter().flat_map(Slice::messages));
    }

    /// What was taken is sent.
    pub(super) fn release(&self) {
        let mut state = self.lock();
        state.in_flight.clear();
        state.in_flight_cost = 0;
        self.changed(&state);
    }

    /// What was taken is not sent.
    pub(super) fn put_back(&self) {
        let state = &mut *self.lock();
        state.queue.put_back(state.in_flight.drain(..));
        state.in_flight_cost = 0;
    }

    /// Takes the largest of the payloads in flight out: the peer does not accept it.
    pub(super) fn take_largest(&self) -> Option<Slice> {
        let state = &mut *self.lock();
        let (index, _) = state.in_flight.iter().enumerate().max_by_key(|(_, slice)| slice.largest_bytes())?;
        let [before, largest, behind] = state.in_flight[index].split_largest()?;
        state.in_flight_cost = state.in_flight_cost.saturating_sub(largest.cost());
        state.in_flight.splice(index..=index, [before, behind]);
        Some(largest)
    }

    /// Gives up: everything queued.
    pub(super) fn fail(&self, error: EventFluxError) -> Vec<Slice> {
        let state = &mut *self.lock();
        let mut slices = std::mem::take(&mut state.in_flight);
        slices.append(&mut state.queue.take_all());
        state.in_flight_cost = 0;
        if !matches!(state.phase, Phase::Stopped) {
            state.phase = Phase::Failed(error);
        }
        self.changed(state);
        slices
    }

    /// Ends; returns the number of payloads that are left. They are forgotten.
    pub(super) fn end(&self) -> u64 {
        let mut state = self.lock();
        let left = state.pending() as u64;
        state.in_flight.clear();
        state.in_flight_cost = 0;
        state.queue.take_all();
        state.phase = Phase::Stopped;
        self.changed(&state);
        left
    }

    fn changed(&self, state: &State) {
        self.context.metrics.queue_bytes.set(state.cost() as u64);
        let running = matches!(state.phase, Phase::Running);
        let blocks = self.config.full == FullPolicy::Block;
        let ready = !running || !blocks || state.cost() < self.config.max_bytes;
        if ready != self.ready.swap(ready, Ordering::AcqRel) && ready {
            self.room.notify_waiters();
        }
    }

    /// Payloads that are not sent.
    pub(super) fn pending(&self) -> usize {
        self.lock().pending()
    }

    /// The task has until `by` to end; the first call counts.
    pub(super) fn set_stop_by(&self, by: Instant) {
        self.lock().stop_by.get_or_insert(by);
    }

    /// When the task must have ended, once it was told.
    pub(super) fn stop_by(&self) -> Option<Instant> {
        self.lock().stop_by
    }

    /// The task is gone.
    pub(super) fn broken(&self, error: EventFluxError) {
        let mut state = self.lock();
        state.phase = Phase::Broken(error);
        self.changed(&state);
    }
}

impl State {
    fn cost(&self) -> usize {
        self.queue.cost() + self.in_flight_cost
    }

    fn pending(&self) -> usize {
        self.queue.len() + self.in_flight.iter().map(Slice::len).sum::<usize>()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}
