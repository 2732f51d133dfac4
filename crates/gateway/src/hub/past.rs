//! What a channel remembers, on its way to those who ask for it.

use std::sync::Arc;
use std::time::Instant;

use super::channel::{Channel, Numbering, State};
use super::history::{Kept, Latest};
use super::item::{Content, Event, SharedEvent, Wanted};
use super::mailbox::Mailbox;
use super::passing::Woken;
use super::seats::{Joining, Seat};
use crate::filter::Document;

/// A subscriber that is told the past first. It keeps the channel from being removed.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) mailbox: Arc<Mailbox>,
    /// What its session calls it.
    cursor: u32,
    /// The next event it is told, counted here.
    pub(super) next: u64,
    /// It has events up to this number from somebody who was faster, and waits until what comes here is new to it.
    pub(super) has: Option<u64>,
}

/// Where a subscriber is that wants to go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Number of the last event it has.
    pub(crate) offset: u64,
    /// Whether that was not published here yet.
    pub(crate) is_ahead: bool,
}

impl Place {
    pub(crate) fn known(offset: u64) -> Self {
        Self { offset, is_ahead: false }
    }
}

/// How far a replay got.
enum Progress {
    /// There is more.
    More,
    /// That was all.
    Done,
    /// There will be more that the subscriber has already.
    Waits,
}

/// What [`Channel::replay`] got done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Events that are no longer remembered.
    pub(crate) missed: u64,
    /// The past is over: the subscriber's seat from now on.
    pub(crate) joined: Option<Seat>,
    /// It is not, but there is nothing to tell until the session is told so.
    pub(crate) waits: bool,
}

impl Channel {
    /// Takes a subscriber in that is told what is remembered behind its place.
    pub(crate) fn begin_replay(&self, mailbox: Arc<Mailbox>, cursor: u32, place: Place) -> Seat {
        let state = &mut *self.lock();
        let (next, has) = match place.is_ahead {
            true => (state.next, Some(place.offset)),
            false => (state.index_behind(place.offset), None),
        };
        state.ahead += usize::from(place.is_ahead);
        Seat::Replay(state.replays.insert(Replay { mailbox, cursor, next, has }) as u32)
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
        let (missed, progress) = state.replay(seat, room, now, &mut visit);
        match progress {
            Progress::More => Replayed { missed, joined: None, waits: false },
            Progress::Waits => Replayed { missed, joined: None, waits: true },
            Progress::Done => {
                state.replays.try_remove(seat as usize);
                Replayed { missed, joined: Some(state.join(joining.clone())), waits: false }
            }
        }
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

    /// Number of the last event that was published.
    pub(crate) fn last(&self) -> u64 {
        self.lock().last
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
        let (last, is_new, numbering) = (state.last, state.is_new(), state.numbering);
        // Numbers of a log go on without this channel.
        let is_possible = offset <= last || numbering == Numbering::Shared;
        let Some(history) = &mut state.history else { return is_new && offset >= last && is_possible };
        history.trim(now);
        offset >= history.forgotten() && is_possible
    }
}

impl State {
    /// The event behind one of that number, counted here. Of numbers with holes it is not known how many there were among
    /// what is forgotten.
    fn index_behind(&self, number: u64) -> u64 {
        match self.numbering {
            Numbering::Own => number + 1,
            Numbering::Shared => self.history.as_ref().and_then(|history| history.behind(number)).unwrap_or(self.next),
        }
    }

    /// An event of that number was published: those who have it pass over it, and those who do not need not wait any more.
    pub(super) fn await_higher(&mut self, number: u64, woken: &mut Woken) {
        if self.ahead == 0 {
            return;
        }
        for (_, replay) in &mut self.replays {
            match replay.has {
                Some(has) if number <= has => replay.next = self.next,
                Some(_) => {
                    replay.has = None;
                    self.ahead -= 1;
                    woken.read(replay.mailbox.clone(), replay.cursor);
                }
                None => {}
            }
        }
    }

    /// What subscribers have from somebody else tells nothing any more.
    pub(super) fn await_none(&mut self, woken: &mut Woken) {
        for (_, replay) in &mut self.replays {
            if replay.has.take().is_some() {
                woken.read(replay.mailbox.clone(), replay.cursor);
            }
        }
        self.ahead = 0;
    }

    /// Returns how many events are no longer remembered, and how far it got.
    fn replay(&mut self, seat: u32, room: usize, now: Instant, visit: &mut dyn FnMut(&Kept)) -> (u64, Progress) {
        let Some(replay) = self.replays.get_mut(seat as usize) else { return (0, Progress::Done) };
        if replay.has.is_some() {
            return (0, Progress::Waits);
        }
        let Some(history) = &mut self.history else {
            // It waited, and what came is not to be remembered.
            let is_known = self.numbering == Numbering::Shared;
            return (if is_known { self.next.saturating_sub(replay.next) } else { 0 }, Progress::Done);
        };
        history.trim(now);
        let first = history.first().unwrap_or(self.next);
        let missed = first.saturating_sub(replay.next);
        replay.next += missed;
        let mut left = room;
        for event in history.from(replay.next) {
            if left == 0 {
                return (missed, Progress::More);
            }
            left = left.saturating_sub(event.text.len().max(1));
            visit(event);
            replay.next = event.index + 1;
        }
        (missed, Progress::Done)
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
