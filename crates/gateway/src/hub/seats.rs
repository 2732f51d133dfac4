//! The subscribers of a channel, and what each of them is given to read.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::channel::State;
use super::framing::SharedFraming;
use super::item::Wanted;
use super::mailbox::Mailbox;
use super::passing::Passing;
use super::reader::{Read, Reader};
use super::track::Track;
use crate::Pattern;
use crate::filter::{Filter, FilterKey};

/// A subscriber that gets items.
#[derive(Debug, Clone)]
pub(crate) struct Matched {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) wanted: Wanted,
    /// Subscriptions of the same session that get the events they match instead of this one.
    pub(crate) before: Before,
}

/// Other subscriptions: their patterns and filters.
pub(crate) type Before = Option<Arc<[(Pattern, Option<Filter>)]>>;

/// How a subscriber wants its events.
#[derive(Debug, Clone)]
pub(crate) enum Joining {
    /// All of them, framed.
    Reading { mailbox: Arc<Mailbox>, cursor: u32, framing: SharedFraming },
    /// Those that match, as items.
    Matching(Matched),
}

/// A place taken in a channel; given back with [`Channel::leave`](super::Channel::leave).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    Reader(u32),
    Matched(FilterKey),
    Replay(u32),
}

impl State {
    pub(super) fn join(&mut self, joining: Joining) -> Seat {
        match joining {
            Joining::Reading { mailbox, cursor, framing } => {
                let track = self.tracks.iter().position(|track| track.is_of(&framing)).unwrap_or_else(|| {
                    self.tracks.push(Track::new(framing.clone(), self.next));
                    self.tracks.len() - 1
                });
                self.tracks[track].readers += 1;
                let seat = self.readers.insert(Reader::new(mailbox, cursor, framing, self.next)) as u32;
                self.wait(seat);
                Seat::Reader(seat)
            }
            Joining::Matching(matched) => {
                let filter = matched.wanted.filter.clone();
                Seat::Matched(self.matched.get_or_insert_default().insert(filter, matched))
            }
        }
    }

    pub(super) fn leave(&mut self, seat: Seat) {
        match seat {
            Seat::Reader(seat) => self.leave_reader(seat),
            Seat::Replay(seat) => {
                let left = self.replays.try_remove(seat as usize);
                self.ahead -= usize::from(left.is_some_and(|replay| replay.has.is_some()));
            }
            Seat::Matched(key) => {
                let Some(matched) = &mut self.matched else { return };
                matched.remove(key);
                if matched.is_empty() {
                    self.matched = None;
                }
            }
        }
    }

    fn leave_reader(&mut self, seat: u32) {
        let Some(reader) = self.readers.try_remove(seat as usize) else { return };
        if let Some(index) = reader.waiting {
            self.waiting.swap_remove(index as usize);
            if let Some(moved) = self.waiting.get(index as usize)
                && let Some(moved) = self.readers.get_mut(*moved as usize)
            {
                moved.waiting = Some(index);
            }
        }
        if let Some(index) = self.tracks.iter().position(|track| track.is_of(&reader.framing)) {
            self.tracks[index].readers -= 1;
            if self.tracks[index].readers == 0 {
                self.tracks.swap_remove(index);
            }
        }
        self.forget_if_read();
    }

    pub(super) fn read(&mut self, seat: u32, room: usize, now: Instant, out: &mut Vec<Bytes>) -> Read {
        let nothing = Read { idle: true, ..Read::default() };
        let Some(retention) = &self.retention else { return nothing };
        let Some(reader) = self.readers.get_mut(seat as usize) else { return nothing };
        let Some(track) = self.tracks.iter_mut().find(|track| track.is_of(&reader.framing)) else { return nothing };
        let read = reader.read(track, room, now, &retention.queue, out);
        retention.losses.count(&read);
        if read.idle {
            self.wait(seat);
        }
        read
    }

    pub(super) fn overtake(&mut self, seat: u32, now: Instant) -> Read {
        let (Some(retention), Some(reader)) = (&self.retention, self.readers.get_mut(seat as usize)) else {
            return Read::default();
        };
        let Some(track) = self.tracks.iter().find(|track| track.is_of(&reader.framing)) else { return Read::default() };
        let read = reader.overtake(track, now, &retention.queue);
        retention.losses.count(&read);
        read
    }

    pub(super) fn is_new(&self) -> bool {
        self.retention.is_none()
    }

    /// The reader has read everything.
    fn wait(&mut self, seat: u32) {
        let Some(reader) = self.readers.get_mut(seat as usize) else { return };
        if reader.waiting.is_none() {
            reader.waiting = Some(self.waiting.len() as u32);
            self.waiting.push(seat);
        }
        self.forget_if_read();
    }

    /// What everybody has read is needed no longer.
    fn forget_if_read(&mut self) {
        if self.waiting.len() == self.readers.len() {
            self.tracks.iter_mut().for_each(Track::clear);
        }
    }
}

impl Joining {
    /// What the subscriber wants of remembered events.
    pub(crate) fn wanted(&self) -> Wanted {
        match self {
            Self::Reading { .. } => Wanted { filter: None, subscription: None },
            Self::Matching(matched) => matched.wanted.clone(),
        }
    }
}

impl Matched {
    /// Whether another subscription of the session gets the event.
    pub(super) fn is_for_another(&self, event: &Passing<'_, '_>) -> bool {
        self.before.iter().flat_map(|before| before.iter()).any(|(pattern, filter)| {
            pattern.matches(event.channel) && filter.as_ref().is_none_or(|filter| filter.matches(event.document))
        })
    }
}
