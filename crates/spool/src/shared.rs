//! What the owner, the writer's thread and the thread that loads have in common: the queue, and the open file.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::block::Block;
use crate::config::SpoolConfig;
use crate::error::SpoolError;
use crate::queue::{Due, Queue};
use crate::spool::Observer;
use crate::store::{Change, Contents, Numbers, Outcome, Store};

pub(crate) struct Shared {
    pub(crate) config: SpoolConfig,
    pub(crate) observer: Arc<dyn Observer>,
    state: Mutex<State>,
    /// Something came for the writer.
    wake: Condvar,
    /// The writer has ended.
    ended: Condvar,
    /// The file, while it is open. Only the writer opens and closes it.
    store: RwLock<Option<Store>>,
}

struct State {
    queue: Queue,
    /// Somebody who read found that the file has to be opened again.
    suspect: bool,
    /// Nobody waits for the writer any more: it gives up what it cannot write at once.
    abandoned: bool,
    /// Nobody waits, and what waits is still to be written: the first failure ends it.
    orphaned: bool,
    writer: Option<ThreadId>,
    ended: bool,
}

/// What the writer is to do.
pub(crate) enum Work {
    Commit(Change),
    Reopen,
    End,
}

impl Shared {
    pub(crate) fn new(config: SpoolConfig, observer: Arc<dyn Observer>, contents: &Contents, store: Store) -> Self {
        let queue = Queue::new(&config, contents);
        Self {
            config,
            observer,
            state: Mutex::new(State {
                queue,
                suspect: false,
                abandoned: false,
                orphaned: false,
                writer: None,
                ended: false,
            }),
            wake: Condvar::new(),
            ended: Condvar::new(),
            store: RwLock::new(Some(store)),
        }
    }

    /// What the owner asks of the queue. The writer is woken when it has to look sooner than it would.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Queue, Instant) -> T) -> T {
        let mut state = self.state();
        let before = state.queue.due();
        let result = work(&mut state.queue, Instant::now());
        let sooner = before != state.queue.due();
        drop(state);
        if sooner {
            self.wake.notify_one();
        }
        result
    }

    /// What the owner wants to know of the queue.
    pub(crate) fn see<T>(&self, look: impl FnOnce(&Queue) -> T) -> T {
        look(&self.state().queue)
    }

    pub(crate) fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<Block>, SpoolError> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        let Some(store) = store.as_ref() else { return Err(self.not_open()) };
        let result = store.read(from, max_bytes);
        if matches!(result, Err(SpoolError::Io { .. } | SpoolError::Unavailable { .. })) {
            self.state().suspect = true;
            self.wake.notify_one();
        }
        result
    }

    fn not_open(&self) -> SpoolError {
        let directory = self.config.directory.clone();
        if self.see(Queue::is_closed) {
            SpoolError::Closed { directory }
        } else {
            SpoolError::Unavailable { directory }
        }
    }

    /// Asks the writer to write what waits and to end, and waits for it until `deadline` has passed. Returns the number of
    /// blocks that are not on the disk. The writer itself, whose observer may let the last handle go, does not wait for itself.
    pub(crate) fn close(&self, deadline: Duration) -> u64 {
        let mut state = self.state();
        state.queue.close();
        if state.writer == Some(thread::current().id()) {
            state.orphaned = true;
            return state.queue.unwritten();
        }
        self.wake.notify_one();
        let waited = self.ended.wait_timeout_while(state, deadline, |state| !state.ended);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.abandoned = true;
        self.wake.notify_one();
        state.queue.unwritten()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer's side.
impl Shared {
    /// Has to be called by the writer before anything else.
    pub(crate) fn begin(&self) {
        self.state().writer = Some(thread::current().id());
    }

    /// Waits until there is something to do.
    pub(crate) fn next_work(&self) -> Work {
        let mut state = self.state();
        loop {
            if std::mem::take(&mut state.suspect) {
                return Work::Reopen;
            }
            if state.abandoned || (state.queue.is_closed() && state.queue.is_idle()) {
                return Work::End;
            }
            let now = Instant::now();
            state = match state.queue.due() {
                Due::Now => return Work::Commit(state.queue.take(now)),
                Due::At(when) if when <= now => return Work::Commit(state.queue.take(now)),
                Due::At(when) => self.wake.wait_timeout(state, when - now).unwrap_or_else(PoisonError::into_inner).0,
                Due::Never => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Waits after a failure; being closed meanwhile ends the pause. `false` when there is to be no other attempt.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let state = self.state();
        if state.orphaned {
            return false;
        }
        let closed = state.queue.is_closed();
        let goes_on = |state: &mut State| !state.abandoned && state.queue.is_closed() == closed;
        let waited = self.wake.wait_timeout_while(state, pause, goes_on);
        !waited.unwrap_or_else(PoisonError::into_inner).0.abandoned
    }

    pub(crate) fn numbers(&self) -> Numbers {
        self.state().queue.numbers()
    }

    pub(crate) fn take_rest(&self) -> Change {
        self.state().queue.take_rest()
    }

    pub(crate) fn committed(&self, outcome: &Outcome, blocks: bool) {
        self.state().queue.committed(outcome, blocks);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.store.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn opened(&self, store: Store, numbers: Numbers) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
        self.state().queue.found(numbers);
    }

    /// Lets the file go. Whoever reads at the moment is waited for.
    pub(crate) fn close_store(&self) {
        drop(self.store.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(crate) fn commit(&self, change: &Change) -> Result<Outcome, SpoolError> {
        let numbers = self.numbers();
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store.as_ref().map_or_else(|| Err(self.not_open()), |store| store.commit(change, numbers))
    }

    /// The writer is not there any more: nothing is taken, and nobody waits for it.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.queue.close();
        state.ended = true;
        self.ended.notify_all();
    }
}
