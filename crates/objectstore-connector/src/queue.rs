//! What waits to be written, between the pipeline and the writer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventflux_core::metrics::Gauge;
use eventflux_core::{BoxFuture, EncodedBatch, EventFluxError, RowFailure, Template, Ticket};
use object_store::path::Path;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::batcher::{Batcher, Now};
use crate::object::{Object, PAYLOAD_OVERHEAD};

/// How many names of objects that failed are remembered, for when they are tried again.
const MAX_NAMES: usize = 1_024;

/// Payloads that were accepted, until they are written or reported.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Bytes from which on it is not ready.
    limit: usize,
    path: Template,
    gauge: Gauge,
    /// Wakes the writer.
    work: Notify,
    /// Wakes those who wait for readiness, or until something is settled.
    changed: Notify,
    /// Wakes `stop`.
    finished: Condvar,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    batcher: Batcher,
    sealed: VecDeque<Object>,
    /// Objects that are being collected, wait, or are being written, by number.
    outstanding: BTreeMap<u64, Weight>,
    /// What they cost together.
    bytes: usize,
    names: Names,
    /// The smallest number of an object that a stop gave up.
    given_up: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    /// No more is accepted; what waits is written.
    Draining,
    Stopped,
}

/// What an object counts for.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    bytes: usize,
    payloads: u64,
}

impl Queue {
    pub(crate) fn new(limit: usize, path: Template, batcher: Batcher, gauge: Gauge) -> Self {
        let state = State {
            phase: Phase::New,
            batcher,
            sealed: VecDeque::new(),
            outstanding: BTreeMap::new(),
            bytes: 0,
            names: Names::default(),
            given_up: None,
        };
        let (work, changed, finished) = (Notify::new(), Notify::new(), Condvar::new());
        Self { state: Mutex::new(state), limit, path, gauge, work, changed, finished }
    }

    pub(crate) fn is_new(&self) -> bool {
        self.lock().phase == Phase::New
    }

    /// Accepts payloads from here on; `false` when that was said, or it was stopped, before.
    pub(crate) fn open(&self) -> bool {
        let mut state = self.lock();
        let is_new = state.phase == Phase::New;
        if is_new {
            state.phase = Phase::Running;
        }
        is_new
    }

    /// Takes payloads, whether there is room or not.
    pub(crate) fn publish(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        let mut state = self.lock();
        if state.phase != Phase::Running {
            return Err(RowFailure { row: 0, error: EventFluxError::Stopped });
        }
        let due_before = state.batcher.due();
        let accepted = match state.names.take(batch) {
            Some(key) => {
                state.take_again(key, batch);
                Ok(())
            }
            None => state.collect(batch, &self.path, Now::read()),
        };
        if state.bytes >= self.limit {
            // Nothing more comes until some of it is written.
            state.seal(|batcher, sealed| batcher.seal_all(sealed));
        }
        self.gauge.set(state.bytes as u64);
        if !state.sealed.is_empty() || state.batcher.due() != due_before {
            self.work.notify_one();
        }
        accepted
    }

    pub(crate) fn is_ready(&self) -> bool {
        let state = self.lock();
        state.bytes < self.limit || state.phase != Phase::Running
    }

    /// Resolves when there is room, or there never will be.
    pub(crate) async fn ready(&self) {
        self.until(|queue| queue.is_ready().then_some(())).await;
    }

    /// Resolves when everything accepted before the call is written, or reported.
    pub(crate) fn settled(self: &Arc<Self>) -> BoxFuture<'static, Result<(), EventFluxError>> {
        let (queue, mark) = (self.clone(), self.lock().batcher.next_number());
        Box::pin(async move { queue.until(|queue| queue.lock().settled_up_to(mark)).await })
    }

    /// For the writer: the next object to be written.
    pub(crate) fn next(&self, now: Instant) -> Option<Object> {
        let mut state = self.lock();
        match state.phase {
            Phase::Draining => state.seal(|batcher, sealed| batcher.seal_all(sealed)),
            _ => state.seal(|batcher, sealed| batcher.seal_due(now, sealed)),
        }
        state.sealed.pop_front()
    }

    /// For the writer: when to ask again, if nothing happens before.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.lock().batcher.due()
    }

    /// For the writer: resolves when there may be something to do.
    pub(crate) async fn work(&self) {
        self.work.notified().await;
    }

    /// For the writer: whether nothing will have to be written any more.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        state.phase == Phase::Stopped || (state.phase == Phase::Draining && state.outstanding.is_empty())
    }

    /// For the writer: an object could not be written and is about to be reported as `batch`. `None` when a stop has
    /// given it up already; else its payloads, whose name is remembered.
    pub(crate) fn fail(&self, object: Object) -> Option<EncodedBatch> {
        let (number, key) = (object.number(), object.key().clone());
        let batch = object.into_batch(&self.path);
        let mut state = self.lock();
        // A stop from here on does not count them: they are reported.
        state.outstanding.get_mut(&number)?.payloads = 0;
        state.names.remember(&batch, key);
        Some(batch)
    }

    /// For the writer: an object is written, or has been reported.
    pub(crate) fn finish(&self, number: u64) {
        let mut state = self.lock();
        if let Some(weight) = state.outstanding.remove(&number) {
            state.bytes -= weight.bytes;
        }
        self.gauge.set(state.bytes as u64);
        drop(state);
        self.changed.notify_waiters();
        self.finished.notify_all();
    }

    /// Lets the writer write what waits, until the deadline; returns the number of payloads given up.
    pub(crate) fn stop(&self, deadline: Duration) -> u64 {
        let mut state = self.lock();
        match state.phase {
            Phase::Running => state.phase = Phase::Draining,
            Phase::New => state.phase = Phase::Stopped,
            Phase::Draining | Phase::Stopped => {}
        }
        self.work.notify_one();
        self.changed.notify_waiters();
        let written = |state: &mut State| state.phase == Phase::Draining && !state.outstanding.is_empty();
        let waited = self.finished.wait_timeout_while(state, deadline, written);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let given_up = state.give_up();
        self.gauge.set(0);
        drop(state);
        self.work.notify_one();
        self.changed.notify_waiters();
        given_up
    }

    /// Ends the writer without waiting for it.
    pub(crate) fn close(&self) {
        self.lock().give_up();
        self.work.notify_one();
        self.changed.notify_waiters();
    }

    async fn until<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the look, so that nothing is missed in between.
            changed.as_mut().enable();
            if let Some(found) = look(self) {
                return found;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn collect(&mut self, batch: &EncodedBatch, path: &Template, now: Now) -> Result<(), RowFailure> {
        let mut sealed = Vec::new();
        let result = (0..batch.len()).try_for_each(|row| {
            let added = self.batcher.add(path.text(batch, row), batch, row, now, &mut sealed);
            let added = added.map_err(|error| RowFailure { row, error })?;
            self.weigh(added.number, Weight { bytes: added.cost, payloads: 1 });
            Ok(())
        });
        self.sealed.extend(sealed);
        result
    }

    /// A batch that failed before becomes the same object again.
    fn take_again(&mut self, key: Path, batch: &EncodedBatch) {
        let object = Object::again(self.batcher.number(), key, self.batcher.framing(), batch);
        let bytes = object.body().len() + object.len() * PAYLOAD_OVERHEAD;
        self.weigh(object.number(), Weight { bytes, payloads: object.len() as u64 });
        self.sealed.push_back(object);
    }

    fn weigh(&mut self, number: u64, more: Weight) {
        let weight = self.outstanding.entry(number).or_default();
        weight.bytes += more.bytes;
        weight.payloads += more.payloads;
        self.bytes += more.bytes;
    }

    fn seal(&mut self, which: impl FnOnce(&mut Batcher, &mut VecDeque<Object>)) {
        which(&mut self.batcher, &mut self.sealed);
    }

    fn settled_up_to(&self, mark: u64) -> Option<Result<(), EventFluxError>> {
        if self.given_up.is_some_and(|number| number < mark) {
            return Some(Err(EventFluxError::Stopped));
        }
        let waits = self.outstanding.first_key_value().is_some_and(|(number, _)| *number < mark);
        (!waits).then_some(Ok(()))
    }

    fn give_up(&mut self) -> u64 {
        self.phase = Phase::Stopped;
        let outstanding = std::mem::take(&mut self.outstanding);
        self.given_up = self.given_up.or(outstanding.keys().next().copied());
        self.sealed.clear();
        self.batcher.seal_all(&mut Vec::new());
        self.bytes = 0;
        outstanding.values().map(|weight| weight.payloads).sum()
    }
}

/// The names of objects that failed, by the batches as which they were reported: an object that is tried again overwrites
/// what its first try may have left.
#[derive(Debug, Default)]
struct Names(VecDeque<(Identity, Path)>);

/// What a batch is known by: where it stands, and how much it is.
type Identity = (Ticket, usize, usize);

impl Names {
    fn remember(&mut self, batch: &EncodedBatch, key: Path) {
        // Without a number two batches could be taken for each other.
        if batch.ticket().number == 0 {
            return;
        }
        if self.0.len() >= MAX_NAMES {
            self.0.pop_front();
        }
        self.0.push_back((identity(batch), key));
    }

    fn take(&mut self, batch: &EncodedBatch) -> Option<Path> {
        let identity = identity(batch);
        let place = self.0.iter().position(|(other, _)| *other == identity)?;
        self.0.remove(place).map(|(_, key)| key)
    }
}

fn identity(batch: &EncodedBatch) -> Identity {
    (batch.ticket(), batch.len(), batch.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batcher::BatchLimits;
    use crate::naming::Namer;
    use crate::object::Framing;
    use crate::testing::batch;

    fn queue(limit: usize, bytes: usize) -> Arc<Queue> {
        let limits = BatchLimits { bytes, events: 1_000, delay: Duration::from_secs(5), open: 10 };
        let path = Template::parse("p").unwrap();
        let batcher = Batcher::new(limits, Framing::Lines, Namer::new("", &path, "", "jsonl").unwrap());
        let queue = Arc::new(Queue::new(limit, path, batcher, Gauge::default()));
        assert!(queue.is_new() && queue.open());
        queue
    }

    fn numbered(number: u64, payloads: &[&str]) -> EncodedBatch {
        let mut batch = batch(payloads);
        batch.set_ticket(Ticket { number, row: 0 });
        batch
    }

    fn body(object: &Object) -> String {
        String::from_utf8(object.body().to_vec()).unwrap()
    }

    fn is_settled(settled: &mut BoxFuture<'static, Result<(), EventFluxError>>) -> Option<Result<(), EventFluxError>> {
        use futures_util::FutureExt;
        settled.now_or_never()
    }

    #[test]
    fn what_is_collected_is_written_when_it_is_due() {
        let queue = queue(1_000, 100);
        queue.publish(&batch(["a", "b"])).unwrap();
        assert!(queue.next(Instant::now()).is_none());
        let due = queue.due().unwrap();
        assert_eq!(queue.next(due).map(|object| body(&object)).as_deref(), Some("a\nb\n"));
        assert_eq!(queue.due(), None);
    }

    #[test]
    fn enough_that_waits_makes_it_not_ready_until_it_is_written() {
        let queue = queue(60, 50);
        queue.publish(&batch(["12345", "12345"])).unwrap();
        assert!(queue.is_ready());
        queue.publish(&batch(["12345"])).unwrap();
        assert_eq!((queue.is_ready(), queue.gauge.value()), (false, 3 * (6 + PAYLOAD_OVERHEAD as u64)));
        let object = queue.next(Instant::now()).expect("what is collected is not held back");
        queue.publish(&batch(["one more is accepted"])).unwrap();
        assert!(!queue.is_ready());
        queue.finish(object.number());
        assert!(queue.is_ready());
    }

    #[test]
    fn rows_before_one_that_is_refused_are_accepted() {
        let queue = queue(1_000, 100);
        let failure = queue.publish(&batch(["a", "b\nc", "d"])).unwrap_err();
        assert_eq!(failure.row, 1);
        assert_eq!(queue.next(queue.due().unwrap()).map(|object| body(&object)).as_deref(), Some("a\n"));
    }

    #[test]
    fn what_comes_later_delays_nothing_that_is_to_be_settled() {
        let queue = queue(1_000, 4);
        let mut nothing = queue.settled();
        queue.publish(&batch(["a", "b"])).unwrap();
        let mut both = queue.settled();
        queue.publish(&batch(["c", "d"])).unwrap();
        assert_eq!(is_settled(&mut nothing), Some(Ok(())));
        assert_eq!(is_settled(&mut both), None);
        queue.finish(queue.next(Instant::now()).unwrap().number());
        assert_eq!(is_settled(&mut both), Some(Ok(())));
    }

    #[test]
    fn a_second_try_has_the_name_of_the_first_and_is_an_object_of_its_own() {
        let queue = queue(1_000, 100);
        queue.publish(&numbered(1, &["a", "b"])).unwrap();
        queue.publish(&numbered(2, &["c"])).unwrap();
        let mut settled = queue.settled();
        let object = queue.next(queue.due().unwrap()).unwrap();
        let (number, key) = (object.number(), object.key().clone());
        let failed = queue.fail(object).unwrap();
        assert_eq!(failed.iter().collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(is_settled(&mut settled), None, "not before it has been reported");
        queue.finish(number);
        assert_eq!(is_settled(&mut settled), Some(Ok(())));
        queue.publish(&numbered(3, &["d"])).unwrap();
        queue.publish(&failed).unwrap();
        let again = queue.next(Instant::now()).unwrap();
        assert_eq!((again.key(), &*body(&again)), (&key, "a\nb\nc\n"));
        let other = queue.next(queue.due().unwrap()).unwrap();
        assert_ne!(other.key(), &key);
        assert_eq!(body(&other), "d\n");
    }

    #[test]
    fn names_that_are_remembered_are_bounded_and_used_once() {
        let mut names = Names::default();
        for number in 1..=MAX_NAMES as u64 + 1 {
            names.remember(&numbered(number, &["a"]), Path::from(number.to_string()));
        }
        names.remember(&numbered(0, &["a"]), Path::from("unknown"));
        assert_eq!(names.0.len(), MAX_NAMES);
        assert_eq!(names.take(&numbered(1, &["a"])), None);
        assert_eq!(names.take(&numbered(2, &["a", "b"])), None, "another batch");
        assert_eq!(names.take(&numbered(2, &["a"])), Some(Path::from("2")));
        assert_eq!(names.take(&numbered(2, &["a"])), None);
        assert_eq!(names.take(&numbered(0, &["a"])), None);
    }

    #[test]
    fn a_stop_counts_what_was_not_written_once_and_settles_it_as_lost() {
        let queue = queue(1_000, 4);
        queue.publish(&batch(["a", "b", "c"])).unwrap();
        let mut settled = queue.settled();
        let object = queue.next(Instant::now()).unwrap();
        assert_eq!(queue.stop(Duration::ZERO), 3);
        assert_eq!(queue.stop(Duration::ZERO), 0);
        assert!(queue.is_over());
        assert_eq!(queue.fail(object), None, "what is counted is not reported as well");
        assert_eq!(is_settled(&mut settled), Some(Err(EventFluxError::Stopped)));
        assert_eq!(queue.publish(&batch(["d"])).unwrap_err().error, EventFluxError::Stopped);
        assert!(!queue.open());
    }

    #[test]
    fn what_is_being_reported_during_a_stop_is_not_counted() {
        let queue = queue(1_000, 2);
        queue.publish(&batch(["a", "b"])).unwrap();
        let object = queue.next(Instant::now()).unwrap();
        assert!(queue.fail(object).is_some());
        assert_eq!(queue.stop(Duration::ZERO), 1);
    }

    #[test]
    fn a_stop_has_everything_written_that_is_being_collected() {
        let queue = queue(1_000, 100);
        queue.publish(&batch(["a"])).unwrap();
        let writer = queue.clone();
        let stop = std::thread::spawn(move || queue.stop(Duration::from_secs(20)));
        let object = loop {
            if let Some(object) = writer.next(Instant::now()) {
                break object;
            }
            std::thread::yield_now();
        };
        assert!(!writer.is_over());
        writer.finish(object.number());
        assert_eq!(stop.join().unwrap(), 0);
        assert!(writer.is_over());
    }
}
