//! One channel, or one pattern of channels that somebody subscribed to: what is published, and who receives it.
//!
//! A subscriber that wants every event as it is has a place in the log of framed events and reads from there; it costs
//! a publisher nothing but waking it when it has read everything. One that wants some events, or its own text of them,
//! gets items.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;

use super::config::{FullPolicy, Retention};
use super::framing::{Framed, SharedFraming};
use super::history::{History, Kept, Latest};
use super::item::{Content, Event, Wanted};
use super::mailbox::{Mailbox, Pushed};
use super::past::Replay;
use super::reader::{Read, Reader};
use super::track::Track;
use crate::Pattern;
use crate::filter::{Document, Filter, FilterIndex, FilterKey};

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
    /// The event to come.
    pub(super) next: u64,
    tracks: Vec<Track>,
    pub(super) history: Option<History>,
    pub(super) latest: Option<Latest>,
    readers: Slab<Reader>,
    /// Seats of the readers that have read everything.
    waiting: Vec<u32>,
    /// `None` while nobody gets items.
    matched: Option<Box<FilterIndex<Matched>>>,
    /// Subscribers that are told the past first.
    pub(super) replays: Slab<Replay>,
    /// What whoever published last wants; `None` before.
    retention: Option<Retention>,
    /// Whether it is a pattern: its channels remember, it does not.
    is_pattern: bool,
}

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

/// A place taken in a channel; given back with [`Channel::leave`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    Reader(u32),
    Matched(FilterKey),
    Replay(u32),
}

/// An event on its way to a channel and to patterns.
pub(super) struct Passing<'a, 'p> {
    pub(super) channel: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) text: &'a [u8],
    /// Where in the text the payload is.
    pub(super) payload: Range<usize>,
    pub(super) binary: bool,
    pub(super) at: Instant,
    pub(super) retention: &'a Retention,
    pub(super) document: &'a Document<'p>,
    /// The text, once somebody keeps it.
    pub(super) shared: OnceCell<Bytes>,
}

/// Who is to be woken when no lock is held. Done when it is dropped, so that nobody is forgotten.
#[derive(Default)]
pub(super) struct Woken {
    /// Sessions that have something to read, and where.
    readers: Vec<(Arc<Mailbox>, u32)>,
    wakers: Vec<Waker>,
}

/// A channel while an event passes: nothing else is published to it, and nobody comes or goes.
pub(super) struct Passage<'c> {
    channel: &'c Channel,
    state: MutexGuard<'c, State>,
}

impl Channel {
    /// A channel, or a pattern, whose first event will be number `next`.
    pub(super) fn new(name: &str, is_pattern: bool, next: u64) -> Self {
        let state = State {
            next,
            tracks: Vec::new(),
            history: None,
            latest: None,
            readers: Slab::new(),
            waiting: Vec::new(),
            matched: None,
            replays: Slab::new(),
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

    /// Prepares for an event; `None` when nobody receives it and nothing is remembered.
    pub(super) fn begin(&self, retention: &Retention) -> Option<Passage<'_>> {
        let mut state = self.lock();
        state.adopt(retention);
        let is_wanted = state.subscribers() > 0 || state.remembers();
        is_wanted.then(|| Passage { channel: self, state })
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
    pub(super) fn unread(&self, mut visit: impl FnMut(&Arc<Mailbox>, u64)) {
        let state = self.lock();
        for (_, reader) in state.readers.iter().filter(|(_, reader)| reader.waiting.is_none()) {
            visit(&reader.mailbox, reader.unread(state.next));
        }
        for (_, replay) in &state.replays {
            visit(&replay.mailbox, state.next.saturating_sub(replay.next));
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
        self.state.history.is_some().then_some(self.state.next)
    }

    /// Passes the event to all subscribers; returns how many there are for it.
    pub(super) fn pass(&mut self, event: &Passing<'_, '_>, woken: &mut Woken) -> usize {
        let remembered = self.number();
        let state = &mut *self.state;
        let number = state.next;
        state.next += 1;
        let key = event.key.map_or(0, hash);
        state.append(&Framed { text: event.text, binary: event.binary, number: remembered }, key, event);
        let delivered = state.readers.len() + state.replays.len();
        let delivered = delivered + state.deliver_matched(&self.channel.name, key, remembered, event, woken);
        state.remember(number, event);
        state.wake(woken);
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
            (history @ None, Some(limits)) => *history = Some(History::new(limits)),
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
        matched.for_each_match(event.document, |matched| {
            if matched.is_for_another(event) {
                return;
            }
            let content = Content::new(event.shared(), event.binary, matched.wanted.subscription.as_ref());
            let item = Event { channel: channel.clone(), key, number, at: event.at, content };
            delivered += usize::from(woken.push(matched.mailbox.push(item, event.retention)));
        });
        delivered
    }

    fn remember(&mut self, number: u64, event: &Passing<'_, '_>) {
        if !self.remembers() {
            return;
        }
        let text = event.shared().clone();
        let (payload, binary, is_in_history) = (event.payload.clone(), event.binary, self.history.is_some());
        let kept = Kept { number, text, payload, binary, is_in_history, at: event.at };
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
                woken.readers.push((reader.mailbox.clone(), reader.cursor));
            }
        }
    }

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

    fn leave(&mut self, seat: Seat) {
        match seat {
            Seat::Reader(seat) => self.leave_reader(seat),
            Seat::Replay(seat) => drop(self.replays.try_remove(seat as usize)),
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

    fn read(&mut self, seat: u32, room: usize, now: Instant, out: &mut Vec<Bytes>) -> Read {
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

    fn overtake(&mut self, seat: u32, now: Instant) -> Read {
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
    fn is_for_another(&self, event: &Passing<'_, '_>) -> bool {
        self.before.iter().flat_map(|before| before.iter()).any(|(pattern, filter)| {
            pattern.matches(event.channel) && filter.as_ref().is_none_or(|filter| filter.matches(event.document))
        })
    }
}

impl Passing<'_, '_> {
    fn shared(&self) -> &Bytes {
        self.shared.get_or_init(|| Bytes::copy_from_slice(self.text))
    }
}

impl Woken {
    /// Remembers whom to wake for what was left; returns whether it was taken.
    pub(super) fn push(&mut self, Pushed { taken, waker }: Pushed) -> bool {
        self.wakers.extend(waker);
        taken
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        for (mailbox, cursor) in self.readers.drain(..) {
            mailbox.ready(cursor);
        }
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// Keys are compared by hash: two keys that share one are thinned as if they were the same.
pub(super) fn hash(key: &str) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key).max(1)
}
