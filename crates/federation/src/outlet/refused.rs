//! Events that a receiver does not take because they are too large for it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Outlet;

/// Events that are remembered as too large, of each kind; beyond, the oldest is forgotten, and shows again that it is.
const MAX_REMEMBERED: usize = 1_024;

/// Who is given what the only receiver does not take.
type Then = Arc<dyn Fn(Vec<u8>) + Send + Sync>;

/// See the module.
#[derive(Default)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    /// Those that must not be sent again.
    refused: Arc<BTreeSet<u64>>,
    /// Those that were given to `then`: after a cut they are passed over once more.
    told: BTreeSet<u64>,
    then: Option<Then>,
}

impl Outlet {
    /// What the receiver takes for too large is given to `then`, which must not block. Not where several receivers may be
    /// waited for: another one may take it.
    pub fn when_too_large(&self, then: impl Fn(Vec<u8>) + Send + Sync + 'static) {
        if self.config.expects_receiver {
            self.refusals.lock().then = Some(Arc::new(then));
        }
    }

    /// Nobody is given anything any more.
    pub fn forget_when_too_large(&self) {
        self.refusals.lock().then = None;
    }

    /// The receiver has shown that this event is too large for it.
    pub(crate) fn refuse(&self, sequence: u64) {
        let first = self.range().0;
        let mut state = self.refusals.lock();
        remember(Arc::make_mut(&mut state.refused), sequence, first);
    }

    /// The events that must not be sent again.
    pub(crate) fn refused(&self) -> Arc<BTreeSet<u64>> {
        self.refusals.lock().refused.clone()
    }

    /// A link has left this event out.
    pub(crate) fn passed_over(&self, sequence: u64, payload: Vec<u8>) {
        self.counters.too_large.increment();
        let first = self.range().0;
        let mut state = self.refusals.lock();
        if !remember(&mut state.told, sequence, first) {
            return;
        }
        let then = state.then.clone();
        // Whoever is called may publish.
        drop(state);
        if let Some(then) = then {
            then(payload);
        }
    }
}

/// Whether that is news. What is before `first` is gone, and comes no more.
fn remember(sequences: &mut BTreeSet<u64>, sequence: u64, first: u64) -> bool {
    *sequences = sequences.split_off(&first);
    let is_new = sequences.insert(sequence);
    if sequences.len() > MAX_REMEMBERED {
        sequences.pop_first();
    }
    is_new
}

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals").field("refused", &self.lock().refused).finish_non_exhaustive()
    }
}
