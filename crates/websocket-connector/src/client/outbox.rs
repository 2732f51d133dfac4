//! What the publishers and the task of a client sink share: the queue, what is in flight, and whether there is a point.
//!
//! No socket and no waiting but for room; every method holds the lock for moments only.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use eventflux_core::{BoxFuture, ConnectorContext, EventFluxError, RowFailure};
use eventflux_websocket_wire::Message;
use tokio::sync::{Notify, watch};
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
    /// Tells those who wait until something is settled.
    settled: watch::Sender<Settled>,
    config: QueueConfig,
    pub(super) context: ConnectorContext,
}

struct State {
    queue: PayloadQueue,
    /// Payloads handed to the connection and not flushed.
    in_flight: Vec<Slice>,
    in_flight_cost: usize,
    /// Number of the oldest push that was taken out for good and is not reported yet.
    reporting: Option<u64>,
    phase: Phase,
    stop_by: Option<Instant>,
}

/// How far everything is settled.
struct Settled {
    /// Every push up to this number is sent, reported, or dropped by policy.
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
    /// An empty queue.
    pub(super) fn new(config: QueueConfig, context: ConnectorContext) -> Self {
        Self {
            state: Mutex::new(State {
                queue: PayloadQueue::default(),
                in_flight: Vec::new(),
                in_flight_cost: 0,
                reporting: None,
                phase: Phase::Running,
                stop_by: None,
            }),
            ready: AtomicBool::new(true),
            room: Notify::new(),
            work: Notify::new(),
            retry: Notify::new(),
            settled: watch::channel(Settled { up_to: 0, ended: None }).0,
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

    /// Resolves when everything that was queued before the call is sent, reported, or dropped by policy.
    ///
    /// # Errors
    /// [`EventFluxError::Stopped`], or the panic that ended the task, when some of it never will be.
    pub(super) fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        let mark = self.lock().queue.pushes();
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
            self.moved_on(&state);
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
        self.moved_on(&state);
        self.changed(&state);
    }

    /// What was taken is not sent.
    pub(super) fn put_back(&self) {
        let state = &mut *self.lock();
        state.queue.put_back(state.in_flight.drain(..));
        state.in_flight_cost = 0;
    }

    /// Takes the largest of the payloads in flight out: the peer does not accept it. It counts as queued until
    /// [`Outbox::reported`].
    pub(super) fn take_largest(&self) -> Option<Slice> {
        let state = &mut *self.lock();
        let (index, _) = state.in_flight.iter().enumerate().max_by_key(|(_, slice)| slice.largest_bytes())?;
        let [before, largest, behind] = state.in_flight[index].split_largest()?;
        state.reporting = Some(largest.number());
        state.in_flight_cost = state.in_flight_cost.saturating_sub(largest.cost());
        state.in_flight.splice(index..=index, [before, behind]);
        Some(largest)
    }

    /// Gives up: everything queued. It counts as queued until [`Outbox::reported`].
    pub(super) fn fail(&self, error: EventFluxError) -> Vec<Slice> {
        let state = &mut *self.lock();
        let mut slices = std::mem::take(&mut state.in_flight);
        slices.append(&mut state.queue.take_all());
        state.in_flight_cost = 0;
        state.reporting = slices.first().map(Slice::number);
        if !matches!(state.phase, Phase::Stopped) {
            state.phase = Phase::Failed(error);
        }
        self.changed(state);
        slices
    }

    /// What was taken out for good is reported.
    pub(super) fn reported(&self) {
        let mut state = self.lock();
        state.reporting = None;
        self.moved_on(&state);
    }

    /// Ends; returns the number of payloads that are left. They are forgotten.
    pub(super) fn end(&self) -> u64 {
        let mut state = self.lock();
        // Before anything is forgotten: that is not settled.
        self.settles_no_more(EventFluxError::Stopped);
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

    /// Something left for good.
    fn moved_on(&self, state: &State) {
        let up_to = state.settled();
        self.settled.send_if_modified(|settled| {
            let moved = settled.ended.is_none() && settled.up_to < up_to;
            settled.up_to = if moved { up_to } else { settled.up_to };
            moved
        });
    }

    /// What is here stays unsettled; the first reason counts.
    fn settles_no_more(&self, reason: EventFluxError) {
        self.settled.send_if_modified(|settled| {
            let first = settled.ended.is_none();
            settled.ended.get_or_insert(reason);
            first
        });
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
        self.settles_no_more(error.clone());
        state.phase = Phase::Broken(error);
        self.changed(&state);
    }
}

impl State {
    fn cost(&self) -> usize {
        self.queue.cost() + self.in_flight_cost
    }

    /// Number of the last push before the oldest that is still here.
    fn settled(&self) -> u64 {
        let in_flight = self.in_flight.iter().find(|slice| slice.len() > 0).map(Slice::number);
        let oldest = [self.reporting, in_flight, self.queue.oldest()].into_iter().flatten().min();
        oldest.map_or(self.queue.pushes(), |oldest| oldest - 1)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use eventflux_core::metrics::Metrics;
    use eventflux_core::{ConnectorRole, EncodedBatch};
    use eventflux_websocket_wire::MessageKind;
    use tokio_test::{assert_pending, assert_ready_eq, assert_ready_ok, task};

    use super::*;

    /// Room for one payload of 4 bytes and its overhead.
    fn outbox(full: FullPolicy) -> Outbox {
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Out", "websocket");
        Outbox::new(QueueConfig { max_bytes: 20, full }, context)
    }

    fn publish(outbox: &Outbox) -> task::Spawn<BoxFuture<'static, Result<(), EventFluxError>>> {
        let batch = EncodedBatch::single("four".into(), 1);
        outbox.publish(Slice::whole(Arc::new(batch), MessageKind::Text)).unwrap();
        task::spawn(outbox.settled())
    }

    #[test]
    fn a_mark_is_settled_when_everything_before_it_is_released() {
        let outbox = outbox(FullPolicy::Block);
        assert_ready_ok!(task::spawn(outbox.settled()).poll());
        let mut first = publish(&outbox);
        outbox.take(&mut Vec::new());
        let mut second = publish(&outbox);
        assert_pending!(first.poll());
        outbox.put_back();
        assert_pending!(first.poll(), "it is to be sent again");
        outbox.take(&mut Vec::new());
        outbox.release();
        assert!(first.is_woken());
        assert_ready_ok!(first.poll());
        assert_ready_ok!(second.poll());
    }

    #[test]
    fn what_the_policy_drops_is_settled() {
        let outbox = outbox(FullPolicy::DropOldest);
        let (mut first, mut second) = (publish(&outbox), publish(&outbox));
        assert_ready_ok!(first.poll());
        assert_pending!(second.poll());
        let outbox = self::outbox(FullPolicy::DropNewest);
        let (mut first, mut second) = (publish(&outbox), publish(&outbox));
        assert_pending!(first.poll());
        assert_pending!(second.poll(), "the one before it is still there");
        outbox.take(&mut Vec::new());
        outbox.release();
        assert_ready_ok!(first.poll());
        assert_ready_ok!(second.poll());
    }

    #[test]
    fn what_is_given_up_is_settled_once_it_is_reported() {
        let outbox = outbox(FullPolicy::Block);
        let mut settled = publish(&outbox);
        let gone = EventFluxError::Send { reason: "gone".into(), retryable: true };
        assert_eq!(outbox.fail(gone).len(), 1);
        assert_pending!(settled.poll());
        outbox.reported();
        assert_ready_ok!(settled.poll());
    }

    #[test]
    fn what_is_taken_out_as_too_large_is_settled_once_it_is_reported() {
        let outbox = outbox(FullPolicy::Block);
        let mut settled = publish(&outbox);
        outbox.take(&mut Vec::new());
        outbox.take_largest().unwrap();
        outbox.put_back();
        let mut later = publish(&outbox);
        assert_pending!(settled.poll());
        outbox.reported();
        assert_ready_ok!(settled.poll());
        assert_pending!(later.poll());
    }

    #[test]
    fn the_end_is_an_answer() {
        let outbox = outbox(FullPolicy::Block);
        let mut settled = publish(&outbox);
        let panic = EventFluxError::Panic { component: "task".into(), reason: "bang".into() };
        outbox.broken(panic.clone());
        assert_eq!(outbox.end(), 1);
        assert_ready_eq!(settled.poll(), Err(panic.clone()));
        assert_ready_eq!(task::spawn(outbox.settled()).poll(), Err(panic));
    }
}
