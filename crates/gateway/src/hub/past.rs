//! What a channel remembers, on its way to those who ask for it.

use std::sync::Arc;
use std::time::Instant;

use super::channel::{Channel, State};
use super::history::{Kept, Latest};
use super::item::{Content, Event, SharedEvent, Wanted};
use super::mailbox::Mailbox;
use super::seats::{Joining, Seat};
use crate::filter::Document;

/// A subscriber that is told the past first. It keeps the channel from being removed.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) mailbox: Arc<Mailbox>,
    /// The next event it is told.
    pub(super) next: u64,
}

/// What [`Channel::replay`] got done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Events that are no longer remembered.
    pub(crate) missed: u64,
    /// The past is over: the subscriber's seat from now on.
    pub(crate) joined: Option<Seat>,
}

impl Channel {
    /// Takes a subscriber in that is told what is remembered from event `next` on.
    pub(crate) fn begin_replay(&self, mailbox: Arc<Mailbox>, next: u64) -> Seat {
        Seat::Replay(self.lock().replays.insert(Replay { mailbox, next }) as u32)
    }

    /// Hands over about `room` bytes of what is remembered; when there is no more, the subscriber is one of those who
    /// receive what is published.
    pub(crate) fn replay(
        &self,
        seat: u32,
        room: usize,
        now: Instant,
        joining: &Joining,
        mut visit: impl FnMut(&Kept),
    ) -> Replayed {
        let state = &mut *self.lock();
        let (missed, has_more) = state.replay(seat, room, now, &mut visit);
        if has_more {
            return Replayed { missed, joined: None };
        }
        state.replays.try_remove(seat as usize);
        Replayed { missed, joined: Some(state.join(joining.clone())) }
    }

    /// Hands over all of what a subscriber was not told yet; returns how many events are no longer remembered.
    pub(crate) fn rest_of_replay(&self, seat: u32, now: Instant, mut visit: impl FnMut(&Kept)) -> u64 {
        self.lock().replay(seat, usize::MAX, now, &mut visit).0
    }

    /// Hands over about `room` bytes of the latest event of each key, oldest first, as far as their numbers are within
    /// `next..=upto`; returns where to go on, if there is more.
    pub(crate) fn snapshot(&self, next: u64, upto: u64, room: usize, mut visit: impl FnMut(&Kept)) -> Option<u64> {
        let state = self.lock();
        let mut left = room;
        for event in state.latest.iter().flat_map(|latest| latest.within(next..=upto)) {
            if left == 0 {
                return Some(event.number);
            }
            left = left.saturating_sub(event.text.len().max(1));
            visit(event);
        }
        None
    }

    /// The last event that was published.
    pub(crate) fn last(&self) -> u64 {
        self.lock().next - 1
    }

    /// Whether it has a history.
    pub(crate) fn has_history(&self) -> bool {
        self.lock().history.is_some()
    }

    /// Whether the latest event of a key is there.
    pub(crate) fn has_latest(&self) -> bool {
        self.lock().latest.as_ref().is_some_and(|latest: &Latest| !latest.is_empty())
    }

    /// Whether nothing was published yet, so that it may still have a history.
    pub(crate) fn is_new(&self) -> bool {
        self.lock().is_new()
    }

    /// Whether everything behind `offset` is remembered.
    pub(crate) fn remembers_since(&self, offset: u64, now: Instant) -> bool {
        let mut state = self.lock();
        let next = state.next;
        let is_new = state.is_new();
        let Some(history) = &mut state.history else { return is_new && offset + 1 == next };
        history.trim(now);
        offset < next && history.first().unwrap_or(next) <= offset + 1
    }
}

impl State {
    /// Returns how many events are no longer remembered, and whether there is more.
    fn replay(&mut self, seat: u32, room: usize, now: Instant, visit: &mut dyn FnMut(&Kept)) -> (u64, bool) {
        let (Some(replay), Some(history)) = (self.replays.get_mut(seat as usize), &mut self.history) else {
            return (0, false);
        };
        history.trim(now);
        let first = history.first().unwrap_or(self.next);
        let missed = first.saturating_sub(replay.next);
        replay.next += missed;
        let mut left = room;
        for event in history.from(replay.next) {
            if left == 0 {
                return (missed, true);
            }
            left = left.saturating_sub(event.text.len().max(1));
            visit(event);
            replay.next = event.number + 1;
        }
        (missed, false)
    }
}

impl Wanted {
    /// A remembered event as the subscriber gets it; `None` when it does not match.
    pub(crate) fn remembered(&self, channel: &Arc<str>, kept: &Kept) -> Option<Event> {
        let is_wanted = self.filter.as_ref().is_none_or(|filter| filter.matches(&Document::new(kept.payload())));
        is_wanted.then(|| {
            let content = Content::Text { text: kept.text.clone(), binary: kept.binary };
            let number = kept.is_in_history.then_some(kept.number);
            let shared = SharedEvent { channel: channel.clone(), key: 0, number, at: kept.at, content };
            Event::new(shared, self.subscription.clone())
        })
    }
}
