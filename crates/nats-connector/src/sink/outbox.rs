//! What the publishers and the task of a sink share: the events that are not settled, in order, and whether there is a
//! point. Every way of sending uses it: it takes events, says what became of each, and needs no queue of its own.
//!
//! No socket and no waiting but for room; every method holds the lock for moments only.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::{BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, RowFailure, SinkCallback};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::addressing::{Address, Addressing};

/// What an event costs besides its payload, so that empty ones are bounded too.
const EVENT_OVERHEAD_BYTES: usize = 64;

/// A queue that was said to be full and is filled all the same refuses at this many times its size: several streams may
/// each have had one more batch, but the engine is meant to wait.
const OVERFILL_FACTOR: usize = 16;

/// Bytes a queue never refuses below, however small it is: a batch that was under way when it became full may turn into
/// a dead letter for each of its messages.
const MIN_OVERFILL_BYTES: usize = 16 << 20;

/// Where events are settled out of order, it is full at this many times `max_events` with those that are settled behind
/// one that is not.
const SPREAD_FACTOR: usize = 8;

/// The events of a sink that are not settled.
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Whether there is room; a copy that is read without the lock.
    ready: AtomicBool,
    /// Wakes whoever waits for room.
    room: Notify,
    /// Wakes the task: something was accepted.
    work: Notify,
    /// Wakes the task that gave up: something was published.
    retry: Notify,
    /// Tells those who wait until something is settled.
    settled: watch::Sender<Settled>,
    max_bytes: usize,
    max_events: usize,
    callback: Arc<dyn SinkCallback>,
    context: ConnectorContext,
}

/// An event to send. Copies share the payload.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Which one, counted from 1 in the order in which they were accepted.
    pub(crate) number: u64,
    /// Where it goes.
    pub(crate) address: Address,
    /// Its payload.
    pub(crate) payload: Bytes,
    /// The batch it came in, and its row there: for texts of templates.
    pub(crate) batch: Arc<EncodedBatch>,
    pub(crate) row: usize,
}

struct State {
    /// In order, numbered without gaps; the first is not settled.
    slots: VecDeque<Slot>,
    /// Number of the first slot.
    first: u64,
    /// Slots from the front that were taken.
    taken: usize,
    /// Slots that are not settled.
    open: usize,
    cost: usize,
    phase: Phase,
    stop_by: Option<Instant>,
}

/// An event; `None` when it is settled, so that nothing of it is kept behind one that is not.
type Slot = Option<Open>;

struct Open {
    address: Address,
    batch: Arc<EncodedBatch>,
    row: usize,
}

/// How far everything is settled.
struct Settled {
    /// Every event up to this number.
    up_to: u64,
    /// Why nothing more will be; once it is so.
    ended: Option<EventFluxError>,
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
    /// One without events that is full at `max_bytes`, and at `max_events`.
    pub(super) fn new(
        max_bytes: usize,
        max_events: usize,
        context: ConnectorContext,
        callback: Arc<dyn SinkCallback>,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                slots: VecDeque::new(),
                first: 1,
                taken: 0,
                open: 0,
                cost: 0,
                phase: Phase::Running,
                stop_by: None,
            }),
            ready: AtomicBool::new(true),
            room: Notify::new(),
            work: Notify::new(),
            retry: Notify::new(),
            settled: watch::channel(Settled { up_to: 0, ended: None }).0,
            max_bytes,
            max_events,
            callback,
            context,
        }
    }

    /// Accepts events, up to the first that has no address.
    ///
    /// # Errors
    /// That one; [`EventFluxError::ConnectionUnavailable`] after giving up (the next series of attempts starts now),
    /// [`EventFluxError::Stopped`], or [`EventFluxError::Send`] when it was overfilled.
    pub(super) fn publish(&self, batch: &EncodedBatch, addressing: &Addressing) -> Result<(), RowFailure> {
        self.accepts().map_err(|error| RowFailure { row: 0, error })?;
        let batch = Arc::new(batch.clone());
        let mut refused = Ok(());
        let mut slots = Vec::with_capacity(batch.len());
        for row in 0..batch.len() {
            match addressing.address(&batch, row) {
                Ok(address) => slots.push(Open { address, batch: batch.clone(), row }),
                Err(error) => {
                    refused = Err(RowFailure { row, error });
                    break;
                }
            }
        }
        if !slots.is_empty() {
            self.accept(slots);
        }
        refused
    }

    fn accepts(&self) -> Result<(), EventFluxError> {
        let mut state = self.lock();
        match &state.phase {
            Phase::Stopped => return Err(EventFluxError::Stopped),
            Phase::Broken(error) => return Err(error.clone()),
            Phase::Failed(error) => {
                let error = error.clone();
                state.phase = Phase::Running;
                self.changed(&state);
                self.retry.notify_one();
                return Err(error);
            }
            Phase::Running => {}
        }
        if state.cost >= self.max_bytes.saturating_mul(OVERFILL_FACTOR).max(MIN_OVERFILL_BYTES) {
            let reason = "the sink's queue (nats.queue.bytes) was overfilled while it was not ready".to_owned();
            return Err(EventFluxError::Send { reason, retryable: true });
        }
        Ok(())
    }

    fn accept(&self, events: Vec<Open>) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Failed(_)) {
            // It gave up meanwhile, and did not see these.
            state.phase = Phase::Running;
            self.retry.notify_one();
        }
        state.cost += events.iter().map(Open::cost).sum::<usize>();
        state.open += events.len();
        state.slots.extend(events.into_iter().map(Some));
        self.changed(&state);
        drop(state);
        self.work.notify_one();
    }

    /// The next events that were not taken, in order: at most `max`, and as long as their payloads are below `max_bytes`
    /// together; one in any case.
    pub(crate) fn take(&self, max: usize, max_bytes: usize) -> Vec<Event> {
        let state = &mut *self.lock();
        let mut events = Vec::new();
        let mut bytes = 0;
        while events.len() < max && state.taken < state.slots.len() {
            if let Some(open) = &state.slots[state.taken] {
                let event = open.event(state.first + state.taken as u64);
                if !events.is_empty() && bytes + event.payload.len() > max_bytes {
                    break;
                }
                bytes += event.payload.len();
                events.push(event);
            }
            state.taken += 1;
        }
        events
    }

    /// Whether there is something to take.
    pub(crate) fn has_work(&self) -> bool {
        let state = self.lock();
        state.taken < state.slots.len()
    }

    /// Resolves when there is something to take. Cancel safe.
    pub(crate) async fn work(&self) {
        while !self.has_work() {
            self.work.notified().await;
        }
    }

    /// What was taken and is not settled will be taken again, in the same order, before everything else.
    pub(crate) fn rewind(&self) {
        self.lock().taken = 0;
    }

    /// Every event up to that number is as safe as this sink makes it.
    pub(crate) fn done_up_to(&self, number: u64) {
        let mut state = self.lock();
        let last = (number + 1).saturating_sub(state.first).min(state.slots.len() as u64);
        (0..last as usize).for_each(|index| state.settle(index));
        self.moved_on(&mut state);
    }

    /// That event is.
    pub(crate) fn done(&self, number: u64) {
        let mut state = self.lock();
        if let Some(index) = state.index_of(number) {
            state.settle(index);
            self.moved_on(&mut state);
        }
    }

    /// That event will not be delivered: the error strategy handles it.
    pub(crate) fn failed(&self, number: u64, error: EventFluxError) {
        let Some(part) = self.unsettled(number..number + 1).pop() else { return };
        self.report(part, error);
        self.done(number);
    }

    /// Nothing that is here will be delivered: the error strategy handles it.
    pub(super) fn give_up(&self, error: &EventFluxError) -> usize {
        let last = {
            let mut state = self.lock();
            if !matches!(state.phase, Phase::Stopped) {
                state.phase = Phase::Failed(error.clone());
            }
            self.changed(&state);
            state.first + state.slots.len() as u64
        };
        let parts = self.unsettled(0..last);
        let events = parts.iter().map(EncodedBatch::len).sum();
        parts.into_iter().for_each(|part| self.report(part, error.clone()));
        self.done_up_to(last.saturating_sub(1));
        events
    }

    /// What is not settled of these, in parts of the batches they came in.
    fn unsettled(&self, numbers: Range<u64>) -> Vec<EncodedBatch> {
        let state = self.lock();
        let mut runs: Vec<(Arc<EncodedBatch>, Range<usize>)> = Vec::new();
        for number in numbers.start.max(state.first)..numbers.end {
            let Some(open) = state.index_of(number).and_then(|index| state.slots[index].as_ref()) else { continue };
            match runs.last_mut() {
                Some((batch, rows)) if Arc::ptr_eq(batch, &open.batch) && rows.end == open.row => rows.end += 1,
                _ => runs.push((open.batch.clone(), open.row..open.row + 1)),
            }
        }
        drop(state);
        runs.into_iter().map(|(batch, rows)| batch.slice(rows)).collect()
    }

    /// A callback that panics takes nobody else with it.
    fn report(&self, part: EncodedBatch, error: EventFluxError) {
        let report = AssertUnwindSafe(|| self.callback.on_failed(part, error));
        if std::panic::catch_unwind(report).is_err() {
            log::error!("[{}] the pipeline panicked over failed payloads", self.context.stream);
        }
    }

    /// Whether there is room, or nothing to wait for.
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

    /// Resolves when everything that was accepted before the call is done or reported.
    ///
    /// # Errors
    /// [`EventFluxError::Stopped`], or the panic that ended the task, when some of it never will be.
    pub(super) fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        let mark = self.lock().last();
        let mut settled = self.settled.subscribe();
        Box::pin(async move {
            let reached = settled.wait_for(|settled| settled.up_to >= mark || settled.ended.is_some()).await;
            match reached.as_deref() {
                Ok(Settled { up_to, .. }) if *up_to >= mark => Ok(()),
                Ok(Settled { ended: Some(error), .. }) => Err(error.clone()),
                _ => Err(EventFluxError::Stopped),
            }
        })
    }

    /// Number of the last event before the oldest that is not settled.
    pub(crate) fn settled_up_to(&self) -> u64 {
        self.lock().first - 1
    }

    /// Numbers of those that were taken, are not settled, and go to that subject.
    pub(crate) fn taken_to(&self, subject: &str) -> Vec<u64> {
        let state = self.lock();
        let taken = (state.first..).zip(state.slots.iter().take(state.taken));
        taken
            .filter(|(_, slot)| slot.as_ref().is_some_and(|open| open.address.subject.as_str() == subject))
            .map(|(number, _)| number)
            .collect()
    }

    /// Events that are not settled.
    pub(crate) fn len(&self) -> usize {
        self.lock().open
    }

    /// Resolves when something is published after giving up.
    pub(super) async fn retried(&self) {
        self.retry.notified().await;
    }

    /// The task has until `by` to end; the first call counts.
    pub(super) fn set_stop_by(&self, by: Instant) {
        self.lock().stop_by.get_or_insert(by);
    }

    /// How long the task may still take after it was told to stop, `limit` at most.
    pub(crate) fn time_left(&self, limit: Duration) -> Duration {
        let by = self.lock().stop_by;
        by.map_or(limit, |by| by.saturating_duration_since(Instant::now()).min(limit))
    }

    /// Ends; returns the number of events that are left. They are forgotten.
    pub(super) fn end(&self) -> u64 {
        let mut state = self.lock();
        // Before anything is forgotten: that is not settled.
        self.settles_no_more(EventFluxError::Stopped);
        let left = state.open as u64;
        state.first += state.slots.len() as u64;
        state.slots.clear();
        (state.taken, state.open, state.cost) = (0, 0, 0);
        state.phase = Phase::Stopped;
        self.changed(&state);
        left
    }

    /// The task is gone.
    pub(super) fn broken(&self, error: EventFluxError) {
        let mut state = self.lock();
        self.settles_no_more(error.clone());
        state.phase = Phase::Broken(error);
        self.changed(&state);
    }

    fn changed(&self, state: &State) {
        self.context.metrics.queue_bytes.set(state.cost as u64);
        let running = matches!(state.phase, Phase::Running);
        let has_room = state.cost < self.max_bytes
            && state.open < self.max_events
            && state.slots.len() < self.max_events.saturating_mul(SPREAD_FACTOR);
        let ready = !running || has_room;
        if ready != self.ready.swap(ready, Ordering::AcqRel) && ready {
            self.room.notify_waiters();
        }
    }

    /// Something was settled.
    fn moved_on(&self, state: &mut State) {
        while state.slots.front().is_some_and(Option::is_none) {
            state.slots.pop_front();
            state.first += 1;
            state.taken = state.taken.saturating_sub(1);
        }
        let up_to = state.first - 1;
        self.settled.send_if_modified(|settled| {
            let moved = settled.ended.is_none() && settled.up_to < up_to;
            settled.up_to = if moved { up_to } else { settled.up_to };
            moved
        });
        self.changed(state);
    }

    /// What is here stays unsettled; the first reason counts.
    fn settles_no_more(&self, reason: EventFluxError) {
        self.settled.send_if_modified(|settled| {
            let first = settled.ended.is_none();
            settled.ended.get_or_insert(reason);
            first
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn last(&self) -> u64 {
        self.first + self.slots.len() as u64 - 1
    }

    fn index_of(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (index < self.slots.len()).then_some(index)
    }

    fn settle(&mut self, index: usize) {
        if let Some(open) = self.slots[index].take() {
            self.cost -= open.cost();
            self.open -= 1;
        }
    }
}

impl Open {
    fn cost(&self) -> usize {
        self.batch.payload(self.row).len() + EVENT_OVERHEAD_BYTES
    }

    fn event(&self, number: u64) -> Event {
        Event {
            number,
            address: self.address.clone(),
            payload: self.batch.shared(self.row),
            batch: self.batch.clone(),
            row: self.row,
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
