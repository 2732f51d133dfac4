//! Watches the file at the end of a chain while it grows: what has come, and how long nothing came.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::tally::{Tally, Verdict};
use super::{PAUSE, wait_until};

/// More events than any proof sends.
const MOST: u64 = 1_000_000;

/// See the module.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    stopped: AtomicBool,
}

struct State {
    tally: Tally,
    last: Option<(Instant, u64)>,
    longest: Duration,
}

impl Watch {
    /// Of a file to which events with that padding come.
    pub(crate) fn start(file: PathBuf, padding: usize) -> Self {
        let state = State { tally: Tally::new(file, MOST, padding), last: None, longest: Duration::ZERO };
        let shared = Arc::new(Shared { state: Mutex::new(state), stopped: AtomicBool::new(false) });
        let seen = shared.clone();
        let thread = thread::spawn(move || {
            while !seen.stopped.load(Ordering::Relaxed) {
                seen.look();
                thread::sleep(PAUSE);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// How many different events have come.
    pub(crate) fn distinct(&self) -> u64 {
        self.shared.look().distinct
    }

    /// Waits until this many more have come.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, count: u64) {
        let before = self.distinct();
        wait_until(&format!("{count} more events than {before}"), || self.distinct() >= before + count);
    }

    /// Waits until so many have come.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: u64) {
        wait_until(&format!("{count} events"), || self.distinct() >= count);
    }

    /// The longest time in which nothing new came, between the first event and the last.
    pub(crate) fn longest_pause(&self) -> Duration {
        self.shared.lock().longest
    }

    /// Asserts that exactly the first `sent` events have come, some of them more than once; what else is to say.
    #[track_caller]
    pub(crate) fn assert_nothing_lost_or_invented(&self, sent: u64) -> Verdict {
        let verdict = self.shared.look();
        assert_eq!((verdict.distinct, &*verdict.invented), (sent, &[][..]), "{verdict:?}");
        verdict
    }
}

impl Shared {
    fn look(&self) -> Verdict {
        let mut state = self.lock();
        let verdict = state.tally.read().clone();
        let now = Instant::now();
        match state.last {
            Some((_, distinct)) if distinct == verdict.distinct => {}
            _ if verdict.distinct == 0 => {}
            last => {
                state.longest = state.longest.max(last.map_or(Duration::ZERO, |(at, _)| now - at));
                state.last = Some((now, verdict.distinct));
            }
        }
        verdict
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
