//! Streams on their way in: how far each has been received, and how far the pipeline has taken it.
//!
//! Positions outlive connections: what comes again after a cut is recognised.

mod receipt;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::receipt::Receipt;
use crate::signal::Signal;

/// What is known of the streams of all peers. Bounded: the one that has not been heard of for longest is forgotten.
#[derive(Debug)]
pub(crate) struct Intake {
    streams: Mutex<HashMap<StreamKey, Known>>,
    max: usize,
}

/// A stream of one sender: epochs are never the same twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StreamKey {
    pub(crate) stream: Arc<str>,
    pub(crate) epoch: u64,
}

#[derive(Debug)]
struct Known {
    progress: Arc<Progress>,
    /// Whose stream it is.
    sender: Arc<str>,
    /// Larger for those that were heard of later.
    heard: u64,
}

/// How far one stream has got.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<Place>);

/// See [`Progress`].
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Everything before has been received; `None` before the first event.
    pub(crate) received: Option<u64>,
    /// Everything before has been taken.
    settled: u64,
    /// What was received and not taken, in order.
    under_way: VecDeque<UnderWay>,
    /// Changes when events were received and will not be taken: they have to come again.
    generation: u64,
    /// The link that brings the stream now.
    signal: Option<Arc<Signal>>,
}

#[derive(Debug)]
struct UnderWay {
    next: u64,
    taken: bool,
}

impl Intake {
    pub(crate) fn new(max: usize) -> Self {
        Self { streams: Mutex::default(), max: max.max(1) }
    }

    /// How far the stream of `sender` has got; `signal` is rung when the pipeline takes something of it. Also whether it
    /// has begun a new epoch since it was last heard of.
    pub(crate) fn progress(&self, key: &StreamKey, sender: &str, signal: &Arc<Signal>) -> (Arc<Progress>, bool) {
        let mut streams = self.lock();
        let heard = streams.values().map(|known| known.heard).max().unwrap_or(0) + 1;
        let is_new = !streams.contains_key(key);
        let known = streams.entry(key.clone()).or_insert_with(|| Known {
            progress: Arc::default(),
            sender: sender.into(),
            heard,
        });
        known.heard = heard;
        let progress = known.progress.clone();
        progress.lock().signal = Some(signal.clone());
        let before = streams.len();
        if is_new {
            streams.retain(|other, known| other == key || other.stream != key.stream || *known.sender != *sender);
        }
        let begun_anew = streams.len() < before;
        if streams.len() > self.max {
            let oldest = streams.iter().min_by_key(|(_, known)| known.heard).map(|(key, _)| key.clone());
            oldest.and_then(|key| streams.remove(&key));
        }
        (progress, begun_anew)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, Known>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl Progress {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Everything before has been taken.
    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The next event is number `next`: what is before will not come.
    pub(crate) fn pass_over(&mut self, next: u64) {
        if self.received.is_some_and(|received| next < received) {
            // The sender starts over: what it said before counts no more.
            self.under_way.clear();
        }
        self.received = Some(next);
        if self.under_way.is_empty() {
            self.settled = next;
        } else {
            self.under_way.push_back(UnderWay { next, taken: true });
        }
    }

    /// What was received since the last call is handed to the pipeline. Returns what came before, and the generation.
    fn hand_over(&mut self) -> (u64, u64) {
        let next = self.received.unwrap_or(self.settled);
        self.under_way.push_back(UnderWay { next, taken: false });
        (next, self.generation)
    }

    /// The pipeline has taken what was handed over with `next`, or will not take it.
    fn finish(&mut self, next: u64, generation: u64, taken: bool) {
        if generation != self.generation {
            return;
        }
        if !taken {
            self.generation += 1;
            self.under_way.clear();
            self.received = Some(self.settled);
        } else if let Ok(index) = self.under_way.binary_search_by_key(&next, |under_way| under_way.next) {
            self.under_way[index].taken = true;
            while let Some(first) = self.under_way.front()
                && first.taken
            {
                self.settled = first.next;
                self.under_way.pop_front();
            }
        }
        if let Some(signal) = &self.signal {
            signal.ring();
        }
    }
}
