//! One channel, or one pattern of channels that somebody subscribed to: what is published, and who receives it.
//!
//! A subscriber that wants every event as it is has a place in the log of framed events and reads from there; it costs
//! a publisher nothing but waking it when it has read everything. One that wants some events, or its own text of them,
//! gets items.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;

use super::config::{FullPolicy, QueueLimits, Retention};
use super::framing::{Framed, SharedFraming};
use super::history::{History, Kept, Latest, Remembered};
use super::mailbox::{Item, Mailbox, Text};
use super::track::Track;
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
struct State {
    /// The event to come; the first is 1.
    next: u64,
    tracks: Vec<Track>,
    history: Option<History>,
    latest: Option<Latest>,
    readers: Slab<Reader>,
    /// Seats of the readers that have read everything.
    waiting: Vec<u32>,
    matched: FilterIndex<Matched>,
    matched_subscribers: usize,
    /// What whoever published last wants.
    retention: Retention,
    /// Whether anything was published.
    is_adopted: bool,
    /// Whether it is a pattern: its channels remember, it does not.
    is_pattern: bool,
    /// Out of the hub's table; whoever finds it looks again.
    removed: bool,
}

/// A subscriber that reads.
#[derive(Debug)]
struct Reader {
    mailbox: Arc<Mailbox>,
    /// What its session calls it.
    cursor: u32,
    framing: SharedFraming,
    /// The next event it reads.
    next: u64,
    /// Its place in `waiting`.
    waiting: Option<u32>,
}

/// A subscriber that gets items.
#[derive(Debug, Clone)]
pub(crate) struct Matched {
    pub(crate) mailbox: Arc<Mailbox>,
    /// Where events have a personal part: of which subscription.
    pub(crate) subscription: Option<Arc<str>>,
}

/// An event for [`Channel::publish`].
pub(super) struct Publishing<'a, 'p> {
    pub(super) binary: bool,
    pub(super) key: Option<&'a str>,
    pub(super) now: Instant,
    pub(super) retention: &'a Retention,
    /// Writes the event of this number; returns where in the text the payload is.
    pub(super) write: &'a mut dyn FnMut(Option<u64>, &mut Vec<u8>) -> std::ops::Range<usize>,
    pub(super) document: &'a mut Document<'p>,
}

/// Who is to be woken: a session and its cursor.
pub(super) type Woken = Vec<(Arc<Mailbox>, u32)>;

/// A place taken in a channel; given back with [`Channel::leave`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    Reader(u32),
    Matched(FilterKey),
}

/// How a subscriber wants its events.
#[derive(Debug, Clone)]
pub(crate) enum Joining {
    /// All of them, framed.
    Reading { mailbox: Arc<Mailbox>, cursor: u32, framing: SharedFraming },
    /// Those that match, as items.
    Matching { filter: Option<Filter>, matched: Matched },
}

/// The channel is not in the hub's table any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Removed;

/// What [`Channel::read`] got done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Read {
    /// Events appended to the output.
    pub(crate) events: u64,
    /// Events passed over.
    pub(crate) missed: u64,
    /// Nothing is left; the session is told when something comes.
    pub(crate) idle: bool,
    /// The reader is to be closed.
    pub(crate) too_slow: bool,
}

/// A reader's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The next event to read.
    pub(crate) next: u64,
    /// Under [`FullPolicy::DropNewest`]: from here on events are passed over, up to the newest.
    pub(crate) until: Option<u64>,
}

/// What [`Channel::replay`] got done.
#[derive(Debug)]
pub(crate) enum Replayed {
    /// There is more; go on from here.
    More { next: u64, missed: u64 },
    /// The past is over, and the subscriber has its seat.
    Joined { seat: Seat, next: u64, missed: u64 },
}

impl Channel {
    pub(super) fn new(name: &str, is_pattern: bool) -> Self {
        let state = State {
            next: 1,
            tracks: Vec::new(),
            history: None,
            latest: None,
            readers: Slab::new(),
            waiting: Vec::new(),
            matched: FilterIndex::default(),
            matched_subscribers: 0,
            retention: Retention::default(),
            is_adopted: false,
            is_pattern,
            removed: false,
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

    /// The last event that was published.
    pub(crate) fn last(&self) -> u64 {
        self.lock().next - 1
    }

    /// Passes an event to all subscribers; returns how many there are for it.
    pub(super) fn publish(&self, event: &mut Publishing<'_, '_>, scratch: &mut Vec<u8>, woken: &mut Woken) -> Result<usize, Removed> {
        let state = &mut *self.lock();
        if state.removed {
            return Err(Removed);
        }
        state.adopt(event.retention);
        if state.subscribers() == 0 && !state.remembers() {
            return Ok(0);
        }
        let number = state.next;
        state.next += 1;
        scratch.clear();
        let remembered = state.history.is_some().then_some(number);
        let payload = (event.write)(remembered, scratch);
        let text = scratch.as_slice();
        let key = event.key.map_or(0, hash);
        for track in &mut state.tracks {
            track.append(&Framed { text, binary: event.binary, number: remembered }, key, event.now);
            track.trim(state.retention.queue.bytes + SPARE_BYTES);
            track.keep(state.retention.queue.events());
        }
        let mut delivered = state.readers.len();
        delivered += state.deliver_matched(&self.name, event, text, (key, remembered));
        state.remember(event, number, text, payload);
        state.wake(woken);
        Ok(delivered)
    }

    /// Takes a subscriber in; it receives what is published from now on. Returns its seat and the next event.
    ///
    /// # Errors
    /// When the channel is no longer in use: ask the hub for it again.
    pub(crate) fn join(&self, joining: Joining) -> Result<(Seat, u64), Removed> {
        let mut state = self.lock();
        if state.removed {
            return Err(Removed);
        }
        let next = state.next;
        Ok((state.join(joining), next))
    }

    /// Hands over what is remembered from `next` on, about `room` bytes of it; takes the subscriber in when there is no
    /// more.
    pub(crate) fn replay(
        &self,
        next: u64,
        room: usize,
        now: Instant,
        joining: &Joining,
        mut visit: impl FnMut(Remembered<'_>),
    ) -> Replayed {
        let mut state = self.lock();
        let newest = state.next;
        let (mut upto, mut missed, mut left) = (next, 0, room);
        if let Some(history) = &mut state.history {
            history.trim(now);
            let first = history.first().unwrap_or(newest);
            missed = first.saturating_sub(next);
            upto = upto.max(first);
            for event in history.from(upto) {
                if left == 0 {
                    return Replayed::More { next: upto, missed };
                }
                left = left.saturating_sub(event.text.len());
                visit(event.remembered(Some(event.number)));
                upto = event.number + 1;
            }
        }
        let seat = state.join(joining.clone());
        Replayed::Joined { seat, next: newest, missed }
    }

    /// The latest event of each key, oldest first; the subscriber is taken in at the same moment.
    pub(crate) fn snapshot(&self, joining: Joining, mut visit: impl FnMut(Remembered<'_>)) -> Result<(Seat, u64), Removed> {
        let mut state = self.lock();
        if state.removed {
            return Err(Removed);
        }
        for event in state.latest.iter().flat_map(Latest::events) {
            visit(event.remembered(state.history.is_some().then_some(event.number)));
        }
        let next = state.next;
        Ok((state.join(joining), next))
    }

    /// Whether it has a history.
    pub(crate) fn has_history(&self) -> bool {
        self.lock().history.is_some()
    }

    /// Events that readers have yet to read.
    pub(super) fn unread(&self, mut visit: impl FnMut(&Arc<Mailbox>, u64)) {
        let state = self.lock();
        for (_, reader) in state.readers.iter().filter(|(_, reader)| reader.waiting.is_none()) {
            visit(&reader.mailbox, state.next - reader.next);
        }
    }

    /// Whether everything behind `offset` is remembered.
    pub(crate) fn remembers_since(&self, offset: u64, now: Instant) -> bool {
        let mut state = self.lock();
        let next = state.next;
        let Some(history) = &mut state.history else { return false };
        history.trim(now);
        offset < next && history.first().unwrap_or(next) <= offset + 1
    }

    /// Gives a seat back. Returns whether nobody needs the channel any more.
    pub(crate) fn leave(&self, seat: Seat) -> bool {
        let mut state = self.lock();
        match seat {
            Seat::Reader(seat) => state.leave(seat),
            Seat::Matched(key) => {
                state.matched.remove(key);
                state.matched_subscribers -= 1;
            }
        }
        state.is_unused()
    }

    /// Marks a channel that nobody needs as removed; `false` when somebody came.
    pub(super) fn remove(&self, now: Instant) -> bool {
        let mut state = self.lock();
        if let Some(history) = &mut state.history {
            history.trim(now);
        }
        state.removed |= state.is_unused();
        state.removed
    }

    /// Appends the bytes of the next events to `out`, about `room` of them. What a reader gets that is far behind is up
    /// to the retention.
    pub(crate) fn read(
        &self,
        seat: u32,
        place: &mut Place,
        room: usize,
        now: Instant,
        out: &mut Vec<Bytes>,
    ) -> Read {
        let state = &mut *self.lock();
        let Some(reader) = state.readers.get_mut(seat as usize) else { return Read::default() };
        let Some(track) = state.tracks.iter_mut().find(|track| track.is_of(&reader.framing)) else {
            return Read::default();
        };
        let read = read(track, place, room, now, &state.retention.queue, out);
        reader.next = place.next;
        state.count(&read);
        if read.idle {
            state.wait(seat);
        }
        read
    }

    /// Applies the retention to a reader that takes nothing: what it is not to get any more is passed over now.
    pub(crate) fn overtake(&self, seat: u32, place: &mut Place, now: Instant) -> Read {
        let state = &mut *self.lock();
        let Some(reader) = state.readers.get_mut(seat as usize) else { return Read::default() };
        let Some(track) = state.tracks.iter().find(|track| track.is_of(&reader.framing)) else {
            return Read::default();
        };
        let limits = &state.retention.queue;
        let mut read = fall_out(track, place, limits);
        if !read.too_slow && place.until.is_none() && is_behind(track, place.next, now, limits) {
            match limits.full {
                FullPolicy::Disconnect => read.too_slow = true,
                FullPolicy::DropOldest => read.missed += skip_to(place, newest(track, place.next, now, limits)),
                // What these pass over is decided when there is room again.
                FullPolicy::DropNewest | FullPolicy::Conflate => {}
            }
        }
        reader.next = place.next;
        state.count(&read);
        read
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self, read: &Read) {
        self.retention.losses.dropped.add(read.missed);
        self.retention.losses.evicted.add(u64::from(read.too_slow));
    }

    fn subscribers(&self) -> usize {
        self.readers.len() + self.matched_subscribers
    }

    fn remembers(&self) -> bool {
        self.history.is_some() || self.latest.is_some()
    }

    /// Keeps what whoever publishes wants kept.
    fn adopt(&mut self, retention: &Retention) {
        if self.is_adopted && self.retention.keeps_the_same(retention) {
            return;
        }
        self.is_adopted = true;
        self.retention = retention.clone();
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

    fn is_unused(&self) -> bool {
        let remembers = self.history.as_ref().is_some_and(|history| !history.is_empty())
            || self.latest.as_ref().is_some_and(|latest| latest.events().next().is_some());
        self.subscribers() == 0 && !remembers
    }

    fn deliver_matched(
        &self,
        channel: &Arc<str>,
        event: &mut Publishing<'_, '_>,
        text: &[u8],
        (key, number): (u64, Option<u64>),
    ) -> usize {
        if self.matched_subscribers == 0 {
            return 0;
        }
        let mut shared = None;
        let mut delivered = 0;
        let (document, binary) = (&mut *event.document, event.binary);
        self.matched.for_each_match(document, |matched| {
            let shared = shared.get_or_insert_with(|| Bytes::copy_from_slice(text));
            let item = Item { number, ..matched.item(channel, shared, binary, key) };
            delivered += usize::from(matched.mailbox.push(item, event.retention));
        });
        delivered
    }

    fn remember(&mut self, event: &Publishing<'_, '_>, number: u64, text: &[u8], payload: std::ops::Range<usize>) {
        if !self.remembers() {
            return;
        }
        let text = Bytes::copy_from_slice(text);
        let kept = Kept { number, text, payload, binary: event.binary, at: event.now };
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
                woken.push((reader.mailbox.clone(), reader.cursor));
            }
        }
    }

    fn join(&mut self, joining: Joining) -> Seat {
        match joining {
            Joining::Reading { mailbox, cursor, framing } => {
                match self.tracks.iter_mut().find(|track| track.is_of(&framing)) {
                    Some(track) => track.readers += 1,
                    None => {
                        let mut track = Track::new(framing.clone(), self.next);
                        track.readers = 1;
                        self.tracks.push(track);
                    }
                }
                let seat = self.readers.insert(Reader { mailbox, cursor, framing, next: self.next, waiting: None });
                let seat = seat as u32;
                self.wait(seat);
                Seat::Reader(seat)
            }
            Joining::Matching { filter, matched } => {
                self.matched_subscribers += 1;
                Seat::Matched(self.matched.insert(filter, matched))
            }
        }
    }

    fn leave(&mut self, seat: u32) {
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

impl Matched {
    /// The event as this subscriber gets it.
    pub(crate) fn item(&self, channel: &Arc<str>, text: &Bytes, binary: bool, key: u64) -> Item {
        let text = match &self.subscription {
            Some(subscription) => Text::Personal { shared: text.clone(), subscription: subscription.clone() },
            None => Text::Whole(text.clone()),
        };
        Item { text, binary, event: Some((channel.clone(), key)), number: None }
    }
}

fn read(track: &mut Track, place: &mut Place, room: usize, now: Instant, limits: &QueueLimits, out: &mut Vec<Bytes>) -> Read {
    let mut read = fall_out(track, place, limits);
    if read.too_slow {
        return read;
    }
    if is_behind(track, place.next, now, limits) && place.until.is_none() {
        match limits.full {
            FullPolicy::Disconnect => return Read { too_slow: true, ..read },
            FullPolicy::DropOldest => read.missed += skip_to(place, newest(track, place.next, now, limits)),
            FullPolicy::DropNewest => {
                let most = place.next.saturating_add(limits.events() as u64);
                place.until = Some(track.run(place.next, limits.bytes).next.min(most));
            }
            FullPolicy::Conflate => return conflate(track, place, limits, out, read),
        }
    }
    let run = track.run(place.next, room);
    let upto = place.until.map_or(run.next, |until| until.min(run.next));
    track.read(place.next, upto, out);
    read.events += upto - place.next;
    place.next = upto;
    if place.until.is_some_and(|until| until <= upto) {
        place.until = None;
        read.missed += skip_to(place, track.next());
    }
    read.idle = place.next == track.next();
    read
}

/// What a reader misses because it is not kept any more.
fn fall_out(track: &Track, place: &mut Place, limits: &QueueLimits) -> Read {
    let missed = track.first().saturating_sub(place.next);
    if missed > 0 {
        *place = Place { next: track.first(), until: None };
    }
    Read { missed, too_slow: missed > 0 && limits.full == FullPolicy::Disconnect, ..Read::default() }
}

fn is_behind(track: &Track, next: u64, now: Instant, limits: &QueueLimits) -> bool {
    let too_old = |at: Instant| limits.age.is_some_and(|age| now.saturating_duration_since(at) > age);
    // One event may be as large as it is.
    let is_more_than_one = next + 1 < track.next();
    let is_too_much = track.bytes_from(next) > limits.bytes || track.next() - next > limits.events() as u64;
    (is_more_than_one && is_too_much) || track.published(next).is_some_and(too_old)
}

/// The oldest event from `next` on that is within the limits.
fn newest(track: &Track, next: u64, now: Instant, limits: &QueueLimits) -> u64 {
    let fitting = track.newest(limits.bytes).min(track.next() - 1);
    let mut event = fitting.max(track.next().saturating_sub(limits.events() as u64)).max(next);
    if let Some(age) = limits.age {
        while track.published(event).is_some_and(|at| now.saturating_duration_since(at) > age) {
            event += 1;
        }
    }
    event
}

fn skip_to(place: &mut Place, event: u64) -> u64 {
    let missed = event.saturating_sub(place.next);
    place.next = place.next.max(event);
    missed
}

/// The newest of each key, as much of it as may wait.
fn conflate(track: &mut Track, place: &mut Place, limits: &QueueLimits, out: &mut Vec<Bytes>, mut read: Read) -> Read {
    let latest = track.latest_of_each_key(place.next);
    let mut left = limits.bytes;
    let fitting = latest.iter().rev().take(limits.events()).take_while(|event| {
        let bytes = track.run(**event, 0).bytes;
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    });
    let skipped = latest.len() - fitting.count();
    for event in &latest[skipped..] {
        track.read(*event, event + 1, out);
    }
    read.events = (latest.len() - skipped) as u64;
    read.missed += track.next() - place.next - read.events;
    place.next = track.next();
    read.idle = true;
    read
}

/// Keys are compared by hash: two keys that share one are thinned as if they were the same.
pub(crate) fn hash(key: &str) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key).max(1)
}
