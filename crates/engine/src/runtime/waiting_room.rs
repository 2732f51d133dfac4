//! What waits for another try, in the order in which it came: of an entry, or of a sink.
//!
//! Everything that comes in takes a number. What waits keeps the number it came with, also when it failed again or was
//! reported long after it had been accepted. So it is known whether anything up to a certain number still waits,
//! whatever came later, and what comes back finds its place in front of what came behind it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use eventflux_core::Ticket;
use tokio::sync::Notify;

use super::control::lock;

/// The oldest number when nothing waits.
const NOTHING: u64 = u64::MAX;

/// A queue in front of a retry task.
pub(super) struct WaitingRoom<W> {
    state: Mutex<State<W>>,
    /// The last number that was taken.
    issued: AtomicU64,
    /// The smallest number that waits or is being tried, to be looked at without a lock; [`NOTHING`] when none does.
    oldest: AtomicU64,
    /// Wakes the retry task.
    arrived: Notify,
    /// Wakes those who wait until something has left.
    left: Notify,
}

/// Something to be tried again; its first message, row or payload failed `failed_tries` times.
#[derive(Debug)]
pub(super) struct Waiting<W> {
    pub(super) work: W,
    pub(super) failed_tries: u32,
    pub(super) ticket: Ticket,
}

struct State<W> {
    /// In the order of their tickets.
    queue: VecDeque<Waiting<W>>,
    /// The number of what is being tried.
    in_hand: Option<u64>,
}

impl<W> WaitingRoom<W> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State { queue: VecDeque::new(), in_hand: None }),
            issued: AtomicU64::new(0),
            oldest: AtomicU64::new(NOTHING),
            arrived: Notify::new(),
            left: Notify::new(),
        }
    }

    /// The number of something that comes in.
    pub(super) fn issue(&self) -> u64 {
        self.issued.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The number of what came in last.
    pub(super) fn mark(&self) -> u64 {
        self.issued.load(Ordering::Acquire)
    }

    /// Whether nothing waits or is being tried.
    pub(super) fn is_empty(&self) -> bool {
        self.is_past(NOTHING - 1)
    }

    /// Whether nothing up to number `mark` waits or is being tried.
    pub(super) fn is_past(&self, mark: u64) -> bool {
        self.oldest.load(Ordering::Acquire) > mark
    }

    /// Resolves when [`WaitingRoom::is_past`].
    pub(super) async fn past(&self, mark: u64) {
        loop {
            // Created before the look, so that nothing is missed in between.
            let left = self.left.notified();
            if self.is_past(mark) {
                return;
            }
            left.await;
        }
    }

    /// Resolves when [`WaitingRoom::is_empty`].
    pub(super) async fn emptied(&self) {
        self.past(NOTHING - 1).await;
    }

    /// Resolves when something may have come since the last call.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Lets something wait: behind what is older, in front of everything else.
    pub(super) fn put(&self, waiting: Waiting<W>) {
        let mut state = lock(&self.state);
        let place = state.queue.partition_point(|other| other.ticket < waiting.ticket);
        state.queue.insert(place, waiting);
        self.look(&state);
        drop(state);
        self.arrived.notify_one();
    }

    /// How often what is tried next has failed; `None` when nothing waits.
    pub(super) fn failed_tries(&self) -> Option<u32> {
        lock(&self.state).queue.front().map(|first| first.failed_tries)
    }

    /// Takes out what is tried next. It counts as waiting until [`WaitingRoom::tried`].
    pub(super) fn take(&self) -> Option<Waiting<W>> {
        let mut state = lock(&self.state);
        let first = state.queue.pop_front()?;
        state.in_hand = Some(first.ticket.number);
        Some(first)
    }

    /// What was taken out has been tried; when it failed again it was put back before.
    pub(super) fn tried(&self) {
        let mut state = lock(&self.state);
        state.in_hand = None;
        self.look(&state);
        drop(state);
        self.left.notify_waiters();
    }

    /// Takes out everything, for good.
    pub(super) fn abandon(&self) -> impl Iterator<Item = W> + use<W> {
        let mut state = lock(&self.state);
        let abandoned = std::mem::take(&mut state.queue);
        self.look(&state);
        drop(state);
        self.left.notify_waiters();
        abandoned.into_iter().map(|waiting| waiting.work)
    }

    fn look(&self, state: &State<W>) {
        // The queue is in order: its first one is its oldest.
        let waiting = state.queue.front().map(|first| first.ticket.number);
        let oldest = waiting.into_iter().chain(state.in_hand).min();
        self.oldest.store(oldest.unwrap_or(NOTHING), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    fn waiting(work: &'static str, number: u64, row: u64) -> Waiting<&'static str> {
        Waiting { work, failed_tries: 0, ticket: Ticket { number, row } }
    }

    fn works(room: &WaitingRoom<&'static str>) -> Vec<&'static str> {
        room.abandon().collect()
    }

    #[test]
    fn what_comes_back_stands_in_front_of_what_came_behind_it() {
        let room = WaitingRoom::new();
        for (work, number, row) in
            [("tail", 2, 5), ("later", 3, 0), ("second", 2, 2), ("first", 2, 0), ("oldest", 1, 9)]
        {
            room.put(waiting(work, number, row));
        }
        assert_eq!(works(&room), ["oldest", "first", "second", "tail", "later"]);
        assert!(room.is_empty());
    }

    #[test]
    fn what_failed_again_stays_in_front() {
        let room = WaitingRoom::new();
        room.put(waiting("a", 1, 0));
        room.put(waiting("b", 1, 1));
        let mut first = room.take().unwrap();
        first.failed_tries = 4;
        room.put(first);
        room.tried();
        assert_eq!(room.failed_tries(), Some(4));
        assert_eq!(works(&room), ["a", "b"]);
    }

    #[test]
    fn a_mark_is_passed_when_everything_up_to_it_has_left() {
        let room = WaitingRoom::new();
        let (first, mark) = (room.issue(), room.mark());
        room.put(waiting("a", first, 0));
        let mut past = task::spawn(room.past(mark));
        let mut emptied = task::spawn(room.emptied());
        assert_pending!(past.poll());
        let later = room.issue();
        room.put(waiting("b", later, 0));
        assert_eq!(room.take().unwrap().work, "a");
        assert_pending!(past.poll(), "it is being tried");
        room.tried();
        assert!(past.is_woken());
        assert_ready!(past.poll());
        assert_pending!(emptied.poll());
        room.take().unwrap();
        room.tried();
        assert_ready!(emptied.poll());
        assert!(room.is_past(room.mark()));
    }

    #[test]
    fn what_came_without_a_number_is_older_than_everything() {
        let room = WaitingRoom::new();
        let mark = room.issue();
        assert!(room.is_past(mark));
        room.put(waiting("unknown", 0, 0));
        assert!(!room.is_past(mark) && !room.is_empty());
    }
}
