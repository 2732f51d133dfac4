//! What a bus knows of its entries: those that wait, and those of which the outcome is known.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use eventflux_core::{BoxFuture, EventFluxError};
use tokio::sync::{Notify, watch};

/// What an entry costs besides its bytes, so that empty entries are bounded too.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    max_bytes: usize,
    entries: Mutex<Entries>,
    /// Rung when there is something to send.
    work: Notify,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct Entries {
    waiting: VecDeque<Bytes>,
    /// Costs of all entries of which the outcome is not known, the oldest first.
    costs: VecDeque<usize>,
    cost: usize,
    /// The number that was given last.
    last: u64,
    end: Option<EventFluxError>,
}

/// What others wait for.
#[derive(Debug, Default)]
struct Progress {
    /// The outcome of all entries up to this number is known, and has been reported.
    settled: u64,
    full: bool,
    /// Nothing is taken any more.
    ended: bool,
    /// Nothing changes any more.
    finished: bool,
}

impl Shared {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            entries: Mutex::default(),
            work: Notify::new(),
            progress: watch::Sender::new(Progress::default()),
        }
    }

    /// Takes an entry, also when it is full; returns its number.
    pub(super) fn push(&self, payload: Bytes) -> Result<u64, EventFluxError> {
        let mut entries = self.entries();
        if let Some(end) = &entries.end {
            return Err(end.clone());
        }
        let cost = payload.len() + ENTRY_OVERHEAD_BYTES;
        entries.last += 1;
        entries.cost += cost;
        entries.costs.push_back(cost);
        entries.waiting.push_back(payload);
        let number = entries.last;
        self.show_room(&entries);
        drop(entries);
        self.work.notify_one();
        Ok(number)
    }

    /// The entry that waits longest.
    pub(super) fn take(&self) -> Option<Bytes> {
        self.entries().waiting.pop_front()
    }

    /// Resolves when entries may be waiting.
    pub(super) async fn work(&self) {
        self.work.notified().await;
    }

    /// The outcome of entry `number`, and so of all before it, is known and has been reported.
    pub(super) fn settle(&self, number: u64) {
        let mut entries = self.entries();
        let known = number.saturating_sub(self.progress.borrow().settled);
        for _ in 0..known {
            let cost = entries.costs.pop_front().unwrap_or(0);
            entries.cost -= cost;
        }
        self.progress.send_modify(|progress| progress.settled = progress.settled.max(number));
        self.show_room(&entries);
    }

    /// Takes nothing any more, because of `error`. The first one counts.
    pub(super) fn end(&self, error: EventFluxError) {
        self.entries().end.get_or_insert(error);
        self.progress.send_modify(|progress| progress.ended = true);
    }

    /// No outcome follows any more.
    pub(super) fn finish(&self) {
        self.end(EventFluxError::Stopped);
        self.progress.send_modify(|progress| progress.finished = true);
    }

    /// Numbers of the entries of which the outcome is not known.
    pub(super) fn unsettled(&self) -> std::ops::RangeInclusive<u64> {
        let last = self.entries().last;
        self.progress.borrow().settled + 1..=last
    }

    pub(super) fn is_ready(&self) -> bool {
        let progress = self.progress.borrow();
        !progress.full && !progress.ended
    }

    pub(super) fn ready(&self) -> BoxFuture<'static, ()> {
        let mut progress = self.progress.subscribe();
        Box::pin(async move {
            // An error means that the bus is gone.
            let _ = progress.wait_for(|progress| !progress.full || progress.ended).await;
        })
    }

    pub(super) fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        let mark = self.entries().last;
        let mut progress = self.progress.subscribe();
        Box::pin(async move {
            let known = progress.wait_for(|progress| progress.settled >= mark || progress.finished).await;
            match known {
                Ok(progress) if progress.settled >= mark => Ok(()),
                _ => Err(EventFluxError::Stopped),
            }
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries().cost as u64
    }

    fn show_room(&self, entries: &Entries) {
        let full = entries.cost >= self.max_bytes;
        self.progress.send_if_modified(|progress| std::mem::replace(&mut progress.full, full) != full);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn entry(length: usize) -> Bytes {
        Bytes::from(vec![0; length])
    }

    #[test]
    fn a_full_queue_takes_more_and_says_so_until_outcomes_are_known() {
        let shared = Shared::new(200);
        assert_eq!(shared.push(entry(36)), Ok(1));
        assert!(shared.is_ready());
        assert_eq!(shared.push(entry(36)), Ok(2));
        assert_eq!((shared.is_ready(), shared.push(entry(0)), shared.bytes()), (false, Ok(3), 264));
        let ready = shared.ready();
        assert_eq!(shared.take(), Some(entry(36)));
        assert!(!shared.is_ready());
        shared.settle(2);
        assert_eq!((shared.is_ready(), shared.bytes()), (true, 64));
        assert_eq!(ready.now_or_never(), Some(()));
    }

    #[test]
    fn a_mark_is_reached_whatever_is_taken_behind_it() {
        let shared = Shared::new(1000);
        assert_eq!(shared.settled().now_or_never(), Some(Ok(())));
        shared.push(entry(1)).unwrap();
        shared.push(entry(1)).unwrap();
        let mark = shared.settled();
        shared.push(entry(1)).unwrap();
        let later = shared.settled();
        shared.settle(2);
        assert_eq!(mark.now_or_never(), Some(Ok(())));
        assert_eq!(shared.unsettled(), 3..=3);
        shared.finish();
        assert_eq!(later.now_or_never(), Some(Err(EventFluxError::Stopped)));
    }

    #[test]
    fn an_end_refuses_and_wakes_and_still_settles() {
        let shared = Shared::new(1);
        shared.push(entry(1)).unwrap();
        let (ready, mark) = (shared.ready(), shared.settled());
        let gone = EventFluxError::ConnectionUnavailable {
            endpoint: "nats".to_owned(),
            reason: "gave up".to_owned(),
            retryable: false,
        };
        shared.end(gone.clone());
        shared.end(EventFluxError::Stopped);
        assert_eq!((shared.push(entry(1)), shared.is_ready()), (Err(gone), false));
        assert_eq!(ready.now_or_never(), Some(()));
        shared.settle(1);
        assert_eq!(mark.now_or_never(), Some(Ok(())));
    }
}
