//! Who is to be woken when something changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Whoever waits for one thing. Bounded by those who wait: each task is in it once.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<Vec<Waker>>);

impl Wakers {
    /// Wakes `waker` at the next [`Wakers::wake`]. The caller looks again afterwards whether it has to wait.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut wakers = self.lock();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    /// Wakes everybody who waits.
    pub(crate) fn wake(&self) {
        let wakers = std::mem::take(&mut *self.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
