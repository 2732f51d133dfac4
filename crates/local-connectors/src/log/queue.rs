//! What waits to be printed, between the pipeline and the thread that prints.
//!
//! A terminal that is held, or a pipe nobody reads, must stop neither the thread of a source (its connection would die)
//! nor `stop`. So the pipeline only puts batches in here, and says by readiness when enough waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eventflux_core::metrics::Gauge;
use eventflux_core::{EncodedBatch, EventFluxError};
use tokio::sync::Notify;

use crate::sync::lock;

/// What a payload counts besides its bytes, so that empty ones are bounded as well.
const PAYLOAD_OVERHEAD: usize = 32;

/// A bounded queue of batches for one printing thread.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    limit: usize,
    gauge: Gauge,
    /// Wakes the printing thread.
    work: Condvar,
    /// Wakes `stop`.
    finished: Condvar,
    /// Wakes those who wait for readiness.
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<EncodedBatch>,
    /// Cost of what waits and of what is being printed.
    bytes: usize,
    /// Payloads that are being printed.
    printing: u64,
    phase: Phase,
    /// Why nothing can be accepted: until the failed payloads are given back, or for good.
    failure: Option<EventFluxError>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    New,
    Running,
    /// No more is accepted; what waits is printed.
    Draining,
    Stopped,
}

impl Queue {
    pub(super) fn new(limit: usize, gauge: Gauge) -> Self {
        Self {
            state: Mutex::default(),
            limit,
            gauge,
            work: Condvar::new(),
            finished: Condvar::new(),
            ready: Notify::new(),
        }
    }

    /// Opens the queue; `false` when it was opened before.
    pub(super) fn open(&self) -> bool {
        let mut state = lock(&self.state);
        let is_new = state.phase == Phase::New;
        if is_new {
            state.phase = Phase::Running;
        }
        is_new
    }

    /// Whether batches are taken.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.state).phase == Phase::Running
    }

    /// Puts a batch in, whether there is room or not.
    pub(super) fn push(&self, batch: EncodedBatch) -> Result<(), EventFluxError> {
        let mut state = lock(&self.state);
        if state.phase != Phase::Running {
            return Err(EventFluxError::Stopped);
        }
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.bytes += cost(&batch);
        self.gauge.set(state.bytes as u64);
        state.waiting.push_back(batch);
        self.work.notify_one();
        Ok(())
    }

    pub(super) fn is_ready(&self) -> bool {
        let state = lock(&self.state);
        state.bytes < self.limit || state.phase != Phase::Running || state.failure.is_some()
    }

    /// Resolves when there is room, or there never will be.
    pub(super) async fn ready(&self) {
        loop {
            let mut notified = std::pin::pin!(self.ready.notified());
            notified.as_mut().enable();
            if self.is_ready() {
                return;
            }
            notified.await;
        }
    }

    /// For the printing thread: says that `done` is dealt with, and waits for the next batch. `None`: there is no more.
    pub(super) fn next(&self, done: Option<EncodedBatch>) -> Option<EncodedBatch> {
        let mut state = lock(&self.state);
        if let Some(done) = done {
            state.bytes = state.bytes.saturating_sub(cost(&done));
            state.printing = 0;
            self.gauge.set(state.bytes as u64);
            self.ready.notify_waiters();
        }
        loop {
            if let Some(batch) = state.waiting.pop_front() {
                state.printing = batch.len() as u64;
                return Some(batch);
            }
            if matches!(state.phase, Phase::Draining | Phase::Stopped) {
                state.phase = Phase::Stopped;
                self.finished.notify_all();
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// For the printing thread: takes everything that waits; until [`Queue::recovered`] nothing is accepted. `None` when
    /// `stop` has given everything up already.
    pub(super) fn fail(&self, failure: EventFluxError) -> Option<Vec<EncodedBatch>> {
        let mut state = lock(&self.state);
        if state.phase == Phase::Stopped {
            return None;
        }
        state.failure = Some(failure);
        let waiting: Vec<_> = state.waiting.drain(..).collect();
        state.bytes = state.bytes.saturating_sub(waiting.iter().map(cost).sum());
        state.printing = 0;
        self.gauge.set(state.bytes as u64);
        self.ready.notify_waiters();
        Some(waiting)
    }

    /// For the printing thread: what failed has been given back, the next try may come.
    pub(super) fn recovered(&self) {
        lock(&self.state).failure = None;
        self.ready.notify_waiters();
    }

    /// Lets the thread print what waits, until the deadline; returns the number of payloads given up.
    pub(super) fn stop(&self, deadline: Duration) -> u64 {
        let until = Instant::now() + deadline;
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Running => state.phase = Phase::Draining,
            Phase::New => state.phase = Phase::Stopped,
            Phase::Draining | Phase::Stopped => {}
        }
        self.work.notify_one();
        self.ready.notify_waiters();
        while state.phase == Phase::Draining {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.finished.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let given_up = state.printing + state.waiting.iter().map(|batch| batch.len() as u64).sum::<u64>();
        state.phase = Phase::Stopped;
        state.waiting.clear();
        state.printing = 0;
        state.bytes = 0;
        self.gauge.set(0);
        given_up
    }

    /// Ends the thread without waiting for it.
    pub(super) fn close(&self) {
        lock(&self.state).phase = Phase::Stopped;
        self.work.notify_one();
    }
}

fn cost(batch: &EncodedBatch) -> usize {
    batch.bytes() + batch.len() * PAYLOAD_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::batch;

    fn queue(limit: usize) -> Queue {
        let queue = Queue::new(limit, Gauge::default());
        assert!(queue.open());
        queue
    }

    #[test]
    fn enough_that_waits_makes_it_not_ready_until_it_is_printed() {
        let queue = queue(100);
        assert!(queue.is_ready());
        queue.push(batch(["x".repeat(100)])).unwrap();
        assert!(!queue.is_ready());
        assert_eq!(queue.gauge.value(), 132);
        queue.push(batch(["one more is accepted"])).unwrap();
        let first = queue.next(None);
        assert!(!queue.is_ready(), "what is being printed counts");
        let second = queue.next(first).unwrap();
        assert_eq!(second.payload(0), b"one more is accepted");
        assert!(queue.is_ready());
    }

    #[test]
    fn payloads_without_bytes_are_bounded_as_well() {
        let queue = queue(320);
        queue.push(batch([""; 10])).unwrap();
        assert!(!queue.is_ready());
    }

    #[tokio::test]
    async fn readiness_is_announced() {
        let queue = std::sync::Arc::new(queue(1));
        queue.push(batch(["x"])).unwrap();
        let waiter = tokio::spawn({
            let queue = queue.clone();
            async move { queue.ready().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        let printed = queue.next(None);
        queue.close();
        assert!(queue.next(printed).is_none());
        waiter.await.unwrap();
    }

    #[test]
    fn a_failure_takes_everything_back_and_refuses_more_until_it_is_over() {
        let queue = queue(1);
        queue.push(batch(["a"])).unwrap();
        queue.push(batch(["b"])).unwrap();
        queue.next(None);
        let failure = EventFluxError::configuration("full");
        assert_eq!(queue.fail(failure.clone()).map(|waiting| waiting.len()), Some(1));
        assert_eq!(queue.push(batch(["c"])), Err(failure));
        assert!(queue.is_ready(), "so that the failure is met");
        queue.recovered();
        assert_eq!(queue.push(batch(["c"])), Ok(()));
    }

    #[test]
    fn a_stop_counts_what_was_not_printed_once() {
        let queue = queue(1);
        queue.push(batch(["a", "b"])).unwrap();
        queue.push(batch(["c"])).unwrap();
        queue.next(None);
        assert_eq!(queue.stop(Duration::ZERO), 3);
        assert_eq!(queue.stop(Duration::ZERO), 0);
        assert_eq!(queue.fail(EventFluxError::Stopped), None, "what is counted is not reported as well");
        assert_eq!(queue.push(batch(["d"])), Err(EventFluxError::Stopped));
        assert!(!queue.open());
    }
}
