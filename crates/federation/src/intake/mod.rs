//! Streams on their way in: how far each has been received, and how far the pipeline has taken it.
//!
//! Positions outlive connections: what comes again after a cut is recognised.

mod place;
mod receipt;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::place::{Beginning, Progress};
pub use self::receipt::Receipt;

/// What is known of the streams of all peers. Bounded: of those that no link brings, the one that has not been heard of
/// for longest is forgotten.
#[derive(Debug)]
pub(crate) struct Intake {
    streams: Mutex<Streams>,
    max: usize,
}

#[derive(Debug, Default)]
struct Streams {
    known: HashMap<StreamKey, Vec<Known>>,
    /// By when they were heard of.
    order: BTreeMap<u64, StreamKey>,
    heard: u64,
}

/// Epochs of one stream that are remembered: what an old connection still delivers after a restart must not have the
/// present one forgotten.
const MAX_EPOCHS: usize = 4;

/// A stream of one sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StreamKey {
    pub(crate) sender: Arc<str>,
    pub(crate) stream: Arc<str>,
}

#[derive(Debug)]
struct Known {
    /// Never the same for two sequences of numbers.
    epoch: u64,
    progress: Arc<Progress>,
    /// Where it is in [`Streams::order`].
    heard: u64,
}

impl Intake {
    pub(crate) fn new(max: usize) -> Self {
        Self { streams: Mutex::default(), max: max.max(1) }
    }

    /// How far a stream has got. Also whether it has begun a new epoch since it was last heard of.
    pub(crate) fn progress(&self, key: &StreamKey, epoch: u64) -> (Arc<Progress>, bool) {
        let mut streams = self.streams();
        streams.heard += 1;
        let heard = streams.heard;
        if let Some(known) =
            streams.known.get_mut(key).and_then(|all| all.iter_mut().find(|known| known.epoch == epoch))
        {
            let (before, progress) = (std::mem::replace(&mut known.heard, heard), known.progress.clone());
            streams.order.remove(&before);
            streams.order.insert(heard, key.clone());
            return (progress, false);
        }
        if streams.order.len() >= self.max {
            streams.forget_one();
        }
        let progress = Arc::<Progress>::default();
        streams.order.insert(heard, key.clone());
        let epochs = streams.known.entry(key.clone()).or_default();
        let begins_anew = !epochs.is_empty();
        epochs.push(Known { epoch, progress: progress.clone(), heard });
        if epochs.len() > MAX_EPOCHS {
            let oldest = epochs.iter().map(|known| known.heard).min();
            oldest.into_iter().for_each(|oldest| streams.forget(oldest));
        }
        (progress, begins_anew)
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    fn forget_one(&mut self) {
        let is_idle = |(heard, key): &(&u64, &StreamKey)| {
            let known = self.known.get(*key).and_then(|all| all.iter().find(|known| known.heard == **heard));
            known.is_some_and(|known| Arc::strong_count(&known.progress) == 1)
        };
        let idle = self.order.iter().find(is_idle).map(|(heard, _)| *heard);
        if let Some(heard) = idle.or_else(|| self.order.keys().next().copied()) {
            self.forget(heard);
        }
    }

    /// Forgets what was heard of then.
    fn forget(&mut self, heard: u64) {
        let Some(key) = self.order.remove(&heard) else { return };
        let Some(epochs) = self.known.get_mut(&key) else { return };
        epochs.retain(|known| known.heard != heard);
        if epochs.is_empty() {
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sender: &str) -> StreamKey {
        StreamKey { sender: sender.into(), stream: "s".into() }
    }

    #[test]
    fn a_stream_is_known_again_unless_it_began_anew() {
        let intake = Intake::new(4);
        let (first, begins_anew) = intake.progress(&key("edge"), 1);
        assert!(!begins_anew);
        assert!(Arc::ptr_eq(&first, &intake.progress(&key("edge"), 1).0));
        let (second, begins_anew) = intake.progress(&key("edge"), 2);
        assert!(begins_anew && !Arc::ptr_eq(&first, &second));
        assert!(!intake.progress(&key("other"), 2).1);
    }

    #[test]
    fn what_an_old_connection_still_says_of_an_epoch_that_is_over_has_the_present_one_not_forgotten() {
        let intake = Intake::new(100);
        let present = intake.progress(&key("edge"), 2).0;
        intake.progress(&key("edge"), 1);
        let (again, begins_anew) = intake.progress(&key("edge"), 2);
        assert!(Arc::ptr_eq(&present, &again) && !begins_anew);
        (10..50).for_each(|epoch| assert!(intake.progress(&key("edge"), epoch).1));
        let streams = intake.streams();
        assert_eq!((streams.known[&key("edge")].len(), streams.order.len()), (MAX_EPOCHS, MAX_EPOCHS));
    }

    #[test]
    fn what_is_under_way_is_remembered_longer_than_what_is_not() {
        let intake = Intake::new(2);
        let used = intake.progress(&key("used"), 1).0;
        for sender in ["a", "b", "c"] {
            drop(intake.progress(&key(sender), 1));
        }
        assert!(Arc::ptr_eq(&used, &intake.progress(&key("used"), 1).0));
        let streams = intake.streams();
        assert_eq!((streams.known.len(), streams.order.len()), (2, 2));
        assert!(streams.known.contains_key(&key("c")));
    }
}
