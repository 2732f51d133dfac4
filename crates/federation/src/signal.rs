//! How a link learns, from any thread, that there is something to do for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// One link's doorbell.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    /// There is something to do.
    pub(crate) fn ring(&self) {
        // Who answers takes all rings before into account, and so sees what was done before each of them.
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Who is woken by the next ring; whether it was rung already.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        self.rung.load(Ordering::Acquire)
    }

    /// To be called before looking at what there is to do.
    pub(crate) fn answer(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}
