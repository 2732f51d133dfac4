//! What reaches a session from outside its own task, and what waits to be sent to its client.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;

use super::backlog::{Backlog, TooSlow};
use super::config::Retention;
use super::item::{Event, Item, Snapshot};
use crate::Ending;

/// Where publishers, other sessions and the hub leave what is for one session, and wake it. The session leaves its
/// replies here as well: they are in order with its events.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    /// Cursors that have something to read.
    ready: Vec<u32>,
    /// `None` while nothing waits: most sessions only read.
    queue: Option<Box<Queue>>,
    ending: Option<Ending>,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Queue {
    backlog: Backlog,
    /// What is never dropped, each with the number of the event it comes before.
    kept: VecDeque<(u64, Item)>,
    /// Requests that the pipeline answered.
    answers: Vec<(u64, Bytes)>,
    /// Of what is never dropped, and of answers.
    reply_bytes: usize,
}

/// What a session finds besides what it takes.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Requests of the client and their answers, JSON text.
    pub(crate) answers: Vec<(u64, Bytes)>,
    /// Events that were dropped, by channel.
    pub(crate) gaps: Vec<(Arc<str>, u64)>,
    pub(crate) ending: Option<Ending>,
    /// Something that waits was not taken.
    pub(crate) more: bool,
}

/// An event was left.
#[must_use]
pub(super) struct Pushed {
    /// Whether it was taken.
    pub(super) taken: bool,
    /// To be woken when no lock is held.
    pub(super) waker: Option<Waker>,
}

impl Mailbox {
    /// A cursor has something to read.
    pub(crate) fn ready(&self, cursor: u32) {
        self.leave(|contents| contents.ready.push(cursor));
    }

    /// Leaves an event; what happens when there are too many is up to `retention`.
    pub(super) fn push(&self, event: Event, retention: &Retention) -> Pushed {
        let mut contents = self.lock();
        let taken = contents.push(event, retention);
        Pushed { taken, waker: contents.waker.take() }
    }

    /// Leaves an event of the session's own, which is not woken.
    pub(crate) fn keep(&self, event: Event, retention: &Retention) {
        self.lock().push(event, retention);
    }

    /// Leaves a reply of the session's own, which is not woken; `false` when more bytes of them would wait than may.
    #[must_use]
    pub(crate) fn reply(&self, text: Bytes, max_bytes: usize) -> bool {
        self.lock().queue().keep(Item::Reply(text), max_bytes)
    }

    /// Leaves what is to be sent of a channel's latest events, as [`Mailbox::reply`].
    #[must_use]
    pub(crate) fn snapshot(&self, snapshot: Snapshot, max_bytes: usize) -> bool {
        self.lock().queue().keep(Item::Snapshot(Box::new(snapshot)), max_bytes)
    }

    /// The pipeline answers a request. One that does not read its answers is to be closed.
    pub(crate) fn answer(&self, request: u64, payload: Bytes, max_bytes: usize) {
        self.leave(|contents| {
            let queue = contents.queue();
            match queue.reserve(payload.len(), max_bytes) {
                true => queue.answers.push((request, payload)),
                false => contents.end(Ending::TooSlow),
            }
        });
    }

    /// Ends the session.
    pub(crate) fn end(&self, ending: Ending) {
        self.leave(|contents| contents.end(ending));
    }

    /// Wakes the session.
    pub(crate) fn wake(&self) {
        self.leave(|_| ());
    }

    /// Moves cursors to `ready`, and about `room` bytes of what waits to `items`.
    pub(crate) fn take(
        &self,
        ready: &mut VecDeque<u32>,
        items: &mut VecDeque<Item>,
        room: usize,
        now: Instant,
    ) -> Found {
        let contents = &mut *self.lock();
        ready.extend(contents.ready.drain(..));
        let mut found = Found { ending: contents.ending, ..Found::default() };
        let Some(queue) = &mut contents.queue else { return found };
        if queue.backlog.prepare(now) == Err(TooSlow) {
            found.ending = Some(*contents.ending.get_or_insert(Ending::TooSlow));
        }
        found.answers = queue.take_answers();
        found.gaps = queue.backlog.take_gaps();
        let mut taken = 0;
        while taken < room
            && let Some(item) = queue.pop()
        {
            taken += item.cost();
            items.push_back(item);
        }
        queue.backlog.note_lag(now);
        found.more = !queue.is_empty();
        found
    }

    /// The answers that came, before anything is done about requests that have none.
    pub(crate) fn take_answers(&self) -> Vec<(u64, Bytes)> {
        self.lock().queue.as_mut().map(|queue| queue.take_answers()).unwrap_or_default()
    }

    /// Who is woken by what comes; `true` when something is there already.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        let mut contents = self.lock();
        let unchanged = contents.waker.as_ref().is_some_and(|known| known.will_wake(waker));
        let known = if unchanged { None } else { contents.waker.replace(waker.clone()) };
        let is_empty = contents.is_empty();
        drop(contents);
        // Whatever a waker does when it goes, it does without the lock.
        drop(known);
        !is_empty
    }

    /// Whether there is nothing to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Number of items that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().queue.as_ref().map_or(0, |queue| queue.backlog.len() + queue.kept.len() + queue.answers.len())
    }

    /// Bytes of the items that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().queue.as_ref().map_or(0, |queue| queue.backlog.bytes() + queue.reply_bytes)
    }

    /// Applies the limits on age for a session that takes nothing.
    pub(crate) fn overtake(&self, now: Instant) {
        let mut contents = self.lock();
        if contents.queue.as_mut().is_some_and(|queue| queue.backlog.overtake(now) == Err(TooSlow)) {
            contents.end(Ending::TooSlow);
        }
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.lock().ending
    }

    /// Gives memory back that is not needed while nothing happens.
    pub(crate) fn shrink(&self) {
        let mut contents = self.lock();
        contents.ready.shrink_to_fit();
        if contents.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            contents.queue = None;
        }
    }

    /// Leaves something, and wakes the session when the lock is given back.
    fn leave(&self, leave: impl FnOnce(&mut Contents)) {
        let mut contents = self.lock();
        leave(&mut contents);
        let waker = contents.waker.take();
        drop(contents);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn queue(&mut self) -> &mut Queue {
        self.queue.get_or_insert_default()
    }

    fn push(&mut self, event: Event, retention: &Retention) -> bool {
        if self.ending.is_some() {
            return false;
        }
        let pushed = self.queue().backlog.push(event, retention);
        pushed.unwrap_or_else(|TooSlow| {
            self.end(Ending::TooSlow);
            false
        })
    }

    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.ending.is_none() && self.queue.as_ref().is_none_or(|queue| queue.is_empty())
    }
}

impl Queue {
    fn keep(&mut self, item: Item, max_bytes: usize) -> bool {
        let has_room = self.reserve(item.cost(), max_bytes);
        if has_room {
            self.kept.push_back((self.backlog.next(), item));
        }
        has_room
    }

    fn pop(&mut self) -> Option<Item> {
        let before = self.kept.front().map_or(u64::MAX, |(before, _)| *before);
        if let Some(event) = self.backlog.pop_before(before) {
            return Some(Item::Event(event));
        }
        let (_, item) = self.kept.pop_front()?;
        self.reply_bytes -= item.cost();
        Some(item)
    }

    /// Whether a reply of that size may wait; if so, it counts from now on.
    fn reserve(&mut self, bytes: usize, max_bytes: usize) -> bool {
        let has_room = self.reply_bytes + bytes <= max_bytes;
        self.reply_bytes += if has_room { bytes } else { 0 };
        has_room
    }

    fn take_answers(&mut self) -> Vec<(u64, Bytes)> {
        let answers = std::mem::take(&mut self.answers);
        self.reply_bytes -= answers.iter().map(|(_, payload)| payload.len()).sum::<usize>();
        answers
    }

    fn is_empty(&self) -> bool {
        self.backlog.is_empty() && self.kept.is_empty() && self.answers.is_empty()
    }
}
