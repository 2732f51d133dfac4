//! One channel, or one pattern of channels that somebody subscribed to: what is published, and who receives it.
//!
//! A subscriber that wants every event as it is has a place in the log of framed events and reads from there; it costs
//! a publisher nothing but waking it when it has read everything. One that wants some events, or its own text of them,
//! gets items.

use std::cell::OnceCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;

use super::config::{FullPolicy, Retention};
use super::framing::Framed;
use super::history::{History, Kept, Latest};
use super::item::{Content, Event, SharedEvent};
use super::mailbox::Mailbox;
use super::passing::{Passing, Woken, hash};
use super::past::Replay;
use super::reader::{Read, Reader};
use super::seats::{Joining, Matched, Seat};
use super::track::Track;
use crate::filter::FilterIndex;

/// What a track keeps beyond what may wait for a reader: one that is just within its limit loses nothing.
const SPARE_BYTES: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    name: Arc<str>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The event to come, counted here: logs, readers and replays go by it.
    pub(super) next: u64,
    /// Number of the last event, as clients know it. Where hubs share a log, numbers have holes.
    pub(super) last: u64,
    pub(super) numbering: Numbering,
    pub(super) tracks: Vec<Track>,
    pub(super) history: Option<History>,
    pub(super) latest: Option<Latest>,
    pub(super) readers: Slab<Reader>,
    /// Seats of the readers that have read everything.
    pub(super) waiting: Vec<u32>,
    /// `None` while nobody gets items.
    pub(super) matched: Option<Box<FilterIndex<Matched>>>,
    /// Subscribers that are told the past first.
    pub(super) replays: Slab<Replay>,
    /// How many of them wait for an event that they do not have yet.
    pub(super) ahead: usize,
    /// What whoever published last wants; `None` before.
    pub(super) retention: Option<Retention>,
    /// Whether it is a pattern: its channels remember, it does not.
    is_pattern: bool,
}

/// Who numbers events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbering {
    /// The channel: each event has the number behind that of the one before.
    Own,
    /// The log that hubs share: numbers grow, and have holes.
    Shared,
}

/// A channel while an event passes: nothing else is published to it, and nobody comes or goes.
pub(super) struct Passage<'c> {
    channel: &'c Channel,
    /// Of the event.
    number: u64,
    state: MutexGuard<'c, State>,
}

impl Channel {
    /// A channel, or a pattern, whose events have higher numbers than `last`.
    pub(super) fn new(name: &str, is_pattern: bool, last: u64, numbering: Numbering) -> Self {
        let state = State {
            next: last + 1,
            last,
            numbering,
            tracks: Vec::new(),
            history: None,
            latest: None,
            readers: Slab::new(),
            waiting: Vec::new(),
            matched: None,
            replays: Slab::new(),
            ahead: 0,
            retention: None,
            is_pattern,
        };
        Self { name: name.into(), state: Mutex::new(state) }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Number of subscribers.
    pub(crate) fn subscribers(&self) -> usize {
        self.lock().subscribers()
    }

    /// What whoever published last wants.
    pub(crate) fn retention(&self) -> Retention {
        self.lock().retention.clone().unwrap_or_default()
    }

    /// Prepares for an event, which has this number or the next; `None` when nobody receives it and nothing is
    /// remembered.
    pub(super) fn begin(&self, retention: &Retention, number: Option<u64>) -> Option<Passage<'_>> {
        let mut state = self.lock();
        state.adopt(retention);
        let is_wanted = state.subscribers() > 0 || state.remembers();
        let number = number.unwrap_or(state.last + 1);
        is_wanted.then(|| Passage { channel: self, number, state })
    }

    /// Forgets everything: what comes has higher numbers than `last`, and nothing is known of what was before.
    pub(super) fn restart(&self, last: u64, woken: &mut Woken) {
        let state = &mut *self.lock();
        state.last = last;
        state.history.iter_mut().for_each(|history| history.clear(last));
        state.latest.iter_mut().for_each(Latest::clear);
        state.await_none(woken);
    }

    /// Takes a subscriber in; it receives what is published from now on.
    pub(crate) fn join(&self, joining: Joining) -> Seat {
        self.lock().join(joining)
    }

    /// Gives a seat back.
    pub(crate) fn leave(&self, seat: Seat) {
        self.lock().leave(seat);
    }

    /// Appends the bytes of the next events to `out`, about `room` of them. What a reader gets that is far behind is up
    /// to the retention.
    pub(crate) fn read(&self, seat: u32, room: usize, now: Instant, out: &mut Vec<Bytes>) -> Read {
        self.lock().read(seat, room, now, out)
    }

    /// Applies the retention to a reader that takes nothing: what it is not to get any more is passed over now.
    pub(crate) fn overtake(&self, seat: u32, now: Instant) -> Read {
        self.lock().overtake(seat, now)
    }

    /// Events that each session has yet to receive from here.
    pub(super) fn unread(&self, visit: &mut dyn FnMut(&Arc<Mailbox>, u64)) {
        let state = self.lock();
        for (_, reader) in state.readers.iter().filter(|(_, reader)| reader.waiting.is_none()) {
            visit(&reader.mailbox, reader.unread(state.next));
        }
        for (_, replay) in &state.replays {
            visit(&replay.mailbox, state.next.saturating_sub(replay.next));
        }
    }

    /// Bytes that wait here for each session.
    pub(super) fn unread_bytes(&self, visit: &mut dyn FnMut(&Arc<Mailbox>, u64)) {
        let state = self.lock();
        for (_, reader) in state.readers.iter().filter(|(_, reader)| reader.waiting.is_none()) {
            if let Some(track) = state.tracks.iter().find(|track| track.is_of(&reader.framing)) {
                visit(&reader.mailbox, reader.unread_bytes(track));
            }
        }
    }

    /// Whether nobody needs it any more.
    pub(super) fn is_unused(&self, now: Instant) -> bool {
        let mut state = self.lock();
        if let Some(history) = &mut state.history {
            history.trim(now);
        }
        let remembers = state.history.as_ref().is_some_and(|history| !history.is_empty())
            || state.latest.as_ref().is_some_and(|latest| !latest.is_empty());
        state.subscribers() == 0 && !remembers
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passage<'_> {
    /// The number of the event, where a history is kept.
    pub(super) fn number(&self) -> Option<u64> {
        self.state.history.is_some().then_some(self.number)
    }

    /// Passes the event to all subscribers; returns how many there are for it.
    pub(super) fn pass(&mut self, event: &Passing<'_, '_>, woken: &mut Woken) -> usize {
        let (number, remembered) = (self.number, self.number());
        let state = &mut *self.state;
        let index = state.next;
        state.next += 1;
        state.last = number;
        let key = event.key.map_or(0, hash);
        state.append(&Framed { text: event.text, binary: event.binary, number: remembered }, key, event);
        let delivered = state.readers.len() + state.replays.len();
        let delivered = delivered + state.deliver_matched(&self.channel.name, key, remembered, event, woken);
        state.remember(index, number, event);
        state.wake(woken);
        state.await_higher(number, woken);
        delivered
    }
}

impl State {
    pub(super) fn subscribers(&self) -> usize {
        self.readers.len() + self.matched.as_ref().map_or(0, |matched| matched.len()) + self.replays.len()
    }

    fn remembers(&self) -> bool {
        self.history.is_some() || self.latest.is_some()
    }

    /// Keeps what whoever publishes wants kept.
    fn adopt(&mut self, retention: &Retention) {
        if self.retention.as_ref().is_some_and(|known| known.keeps_the_same(retention)) {
            return;
        }
        self.retention = Some(retention.clone());
        if self.is_pattern {
            return;
        }
        match (&mut self.history, retention.history) {
            (Some(history), Some(limits)) => history.limit(limits),
            (history @ None, Some(limits)) => *history = Some(History::new(limits, self.last)),
            (_, None) => {}
        }
        if let (latest @ None, Some(keys)) = (&mut self.latest, retention.snapshot_keys) {
            *latest = Some(Latest::new(keys));
        }
    }

    fn append(&mut self, framed: &Framed<'_>, key: u64, event: &Passing<'_, '_>) {
        let limits = &event.retention.queue;
        for track in &mut self.tracks {
            track.append(framed, key, event.at);
            if limits.full == FullPolicy::DropNewest && track.exceeds(track.claimed.max(track.first()), limits) {
                let mut claimed = track.next();
                for (_, reader) in &mut self.readers {
                    if track.is_of(&reader.framing) && !reader.set_aside_if_slow(track, limits) {
                        claimed = claimed.min(reader.next);
                    }
                }
                track.claimed = claimed;
            }
            track.trim(limits.bytes + SPARE_BYTES, limits.events());
        }
    }

    fn deliver_matched(
        &self,
        channel: &Arc<str>,
        key: u64,
        number: Option<u64>,
        event: &Passing<'_, '_>,
        woken: &mut Woken,
    ) -> usize {
        let Some(matched) = &self.matched else { return 0 };
        let mut delivered = 0;
        let shared = OnceCell::new();
        matched.for_each_match(event.document, |matched| {
            if matched.is_for_another(event) {
                return;
            }
            let shared = shared.get_or_init(|| {
                let content = Content::Text { text: event.shared().clone(), binary: event.binary };
                Arc::new(SharedEvent { channel: channel.clone(), key, number, at: event.at, content })
            });
            let subscription = matched.wanted.subscription.clone();
            let item = Event { shared: shared.clone(), subscription, sent: 0 };
            delivered += usize::from(woken.push(matched.mailbox.push(item, event.retention)));
        });
        delivered
    }

    fn remember(&mut self, index: u64, number: u64, event: &Passing<'_, '_>) {
        if !self.remembers() {
            return;
        }
        let text = event.shared().clone();
        let (payload, binary, is_in_history) = (event.payload.clone(), event.binary, self.history.is_some());
        let kept = Kept { number, index, text, payload, binary, is_in_history, at: event.at };
        if let (Some(latest), Some(key)) = (&mut self.latest, event.key) {
            latest.set(key, kept.clone());
        }
        if let Some(history) = &mut self.history {
            history.push(kept);
        }
    }

    fn wake(&mut self, woken: &mut Woken) {
        for seat in self.waiting.drain(..) {
            if let Some(reader) = self.readers.get_mut(seat as usize) {
                reader.waiting = None;
                woken.read(reader.mailbox.clone(), reader.cursor);
            }
        }
    }
}
