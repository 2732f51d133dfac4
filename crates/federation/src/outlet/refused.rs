//! Events that a receiver does not take because they are too large for it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Outlet;

/// Events that are remembered as too large for a receiver that had not said so; beyond, the oldest is forgotten, and shows
/// again that it is.
const MAX_REFUSED: usize = 1_024;

/// Who is given what the only receiver does not take.
type Then = Arc<dyn Fn(Vec<u8>) + Send + Sync>;

/// See the module.
#[derive(Default)]
pub(super) struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    /// Those that must not be sent again.
    refused: Arc<BTreeSet<u64>>,
    /// Everything before has been given to `then` where it had to be: after a cut it is passed over once more.
    told: u64,
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
        let refused = Arc::make_mut(&mut state.refused);
        // What is gone is not sent again.
        *refused = refused.split_off(&first);
        refused.insert(sequence);
        if refused.len() > MAX_REFUSED {
            refused.pop_first();
        }
    }

    /// The events that must not be sent again.
    pub(crate) fn refused(&self) -> Arc<BTreeSet<u64>> {
        self.refusals.lock().refused.clone()
    }

    /// A link has left this event out.
    pub(crate) fn passed_over(&self, sequence: u64, payload: Vec<u8>) {
        self.counters.too_large.increment();
        let mut state = self.refusals.lock();
        if sequence < state.told {
            return;
        }
        state.told = sequence + 1;
        let then = state.then.clone();
        // Whoever is called may publish.
        drop(state);
        if let Some(then) = then {
            then(payload);
        }
    }
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
