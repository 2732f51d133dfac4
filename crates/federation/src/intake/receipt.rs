//! Tells a link what became of events that were handed to the pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Progress;

/// Goes with events to whoever takes them; one copy for each. When all copies are taken, the events are acknowledged. When
/// one is dropped without, they will come again.
#[derive(Debug)]
pub struct Receipt(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Of each stream: what was handed over.
    parts: Vec<(Arc<Progress>, u64)>,
    copies: AtomicUsize,
    taken: AtomicUsize,
}

impl Receipt {
    /// For what was received of these streams and not handed over before.
    pub(crate) fn new(streams: impl IntoIterator<Item = Arc<Progress>>) -> Self {
        let hand_over = |progress: Arc<Progress>| {
            let number = progress.lock().hand_over();
            (progress, number)
        };
        Self(Arc::new(Shared {
            parts: streams.into_iter().map(hand_over).collect(),
            copies: AtomicUsize::new(1),
            taken: AtomicUsize::new(0),
        }))
    }

    /// The events have been taken.
    pub fn taken(self) {
        self.0.taken.fetch_add(1, Ordering::AcqRel);
    }
}

impl Clone for Receipt {
    fn clone(&self) -> Self {
        self.0.copies.fetch_add(1, Ordering::AcqRel);
        Self(self.0.clone())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let taken = self.taken.get_mut() == self.copies.get_mut();
        for (progress, number) in &self.parts {
            progress.lock().finish(*number, taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(progress: &Arc<Progress>, last: u64) -> Receipt {
        progress.lock().receive(last);
        Receipt::new([progress.clone()])
    }

    fn receipts() -> (Arc<Progress>, [Receipt; 3]) {
        let progress = Arc::<Progress>::default();
        progress.begin(&Arc::default());
        progress.lock().receive(1);
        let receipts = [9, 19, 29].map(|last| receipt(&progress, last));
        (progress, receipts)
    }

    #[test]
    fn events_are_settled_in_order_whoever_is_first() {
        let (progress, [first, second, third]) = receipts();
        second.taken();
        assert_eq!(progress.lock().settled(), 1);
        first.taken();
        assert_eq!(progress.lock().settled(), 20);
        third.taken();
        assert_eq!(progress.lock().settled(), 30);
    }

    #[test]
    fn all_who_get_them_have_to_take_them() {
        let progress = Arc::<Progress>::default();
        let receipt = receipt(&progress, 5);
        let (one, other) = (receipt.clone(), receipt.clone());
        receipt.taken();
        one.taken();
        assert_eq!(progress.lock().settled(), 5);
        other.taken();
        assert_eq!(progress.lock().settled(), 6);
    }

    #[test]
    fn what_came_before_something_that_is_not_taken_is_acknowledged_all_the_same() {
        let (progress, [first, second, third]) = receipts();
        drop(third);
        drop(second);
        assert_eq!(progress.lock().settled(), 1);
        first.taken();
        assert_eq!(progress.lock().settled(), 10);
        assert_eq!(progress.begin(&Arc::default()).received, Some(10));
    }

    #[test]
    fn what_is_not_taken_comes_again_and_late_receipts_say_nothing() {
        let (progress, [first, second, third]) = receipts();
        let term = progress.lock().term();
        first.taken();
        drop(second);
        third.taken();
        assert_eq!(progress.lock().settled(), 10);
        assert_ne!(progress.lock().term(), term);
        assert_eq!(progress.begin(&Arc::default()).received, Some(10));
    }
}
