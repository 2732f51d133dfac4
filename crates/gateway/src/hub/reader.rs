//! A subscriber that reads a channel's log of framed events, and what it gets when it is far behind.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::config::{FullPolicy, QueueLimits};
use super::framing::SharedFraming;
use super::mailbox::Mailbox;
use super::track::Track;

/// See the module.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) mailbox: Arc<Mailbox>,
    /// What its session calls it.
    pub(super) cursor: u32,
    pub(super) framing: SharedFraming,
    /// The next event it reads.
    pub(super) next: u64,
    /// Its place among those that wait for an event.
    pub(super) waiting: Option<u32>,
    /// Since when it has not read everything there was.
    behind_since: Option<Instant>,
    /// Under [`FullPolicy::DropNewest`]: what waits for it, and no more comes until it has read that.
    aside: Option<Box<Track>>,
}

/// What reading got done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Read {
    /// Events passed over before those that were read.
    pub(crate) missed: u64,
    /// Events that were read.
    pub(crate) events: u64,
    /// Events passed over behind those that were read.
    pub(crate) missed_behind: u64,
    /// Nothing is left; the session is told when something comes.
    pub(crate) idle: bool,
    /// The reader is to be closed.
    pub(crate) too_slow: bool,
}

impl Reader {
    /// One that reads what is published from `next` on.
    pub(super) fn new(mailbox: Arc<Mailbox>, cursor: u32, framing: SharedFraming, next: u64) -> Self {
        Self { mailbox, cursor, framing, next, waiting: None, behind_since: None, aside: None }
    }

    /// Appends the bytes of the next events to `out`, about `room` of them.
    pub(super) fn read(
        &mut self,
        track: &mut Track,
        room: usize,
        now: Instant,
        limits: &QueueLimits,
        out: &mut Vec<Bytes>,
    ) -> Read {
        let mut read = Read::default();
        if self.aside.is_none() {
            if limits.full == FullPolicy::Disconnect && self.is_too_slow(track, now, limits) {
                return Read { too_slow: true, ..read };
            }
            read.missed = self.skip_to(track.first());
            if track.exceeds(self.next, limits) || track.is_expired(self.next, now, limits) {
                match limits.full {
                    FullPolicy::Disconnect => {}
                    FullPolicy::DropOldest => read.missed += self.skip_to(track.newest_within(self.next, now, limits)),
                    FullPolicy::DropNewest => self.set_aside(track, limits),
                    FullPolicy::Conflate => return self.conflate(track, (room, now), limits, read, out),
                }
            }
        }
        self.read_on(track, room, now, &mut read, out);
        read
    }

    /// Passes over what it is not to get any more, though it reads nothing now.
    pub(super) fn overtake(&mut self, track: &Track, now: Instant, limits: &QueueLimits) -> Read {
        let mut read = Read::default();
        if self.aside.is_some() {
            return read;
        }
        if self.next < track.next() {
            self.behind_since.get_or_insert(now);
        }
        if limits.full == FullPolicy::Disconnect {
            read.too_slow = self.is_too_slow(track, now, limits);
            return read;
        }
        read.missed = self.skip_to(track.first());
        let is_behind = track.exceeds(self.next, limits) || track.is_expired(self.next, now, limits);
        // What the other policies pass over is decided when there is room again.
        if limits.full == FullPolicy::DropOldest && is_behind {
            read.missed += self.skip_to(track.newest_within(self.next, now, limits));
        }
        read
    }

    /// Events it has yet to read, when `next` is the one to come.
    pub(super) fn unread(&self, next: u64) -> u64 {
        self.aside.as_ref().map_or(next, |aside| aside.next()) - self.next
    }

    /// Bytes of the events it has yet to read.
    pub(super) fn unread_bytes(&self, track: &Track) -> u64 {
        self.aside.as_deref().unwrap_or(track).bytes_from(self.next)
    }

    /// Takes what waits for it out of the track's hands, if more waits than may; returns whether it reads from there.
    pub(super) fn set_aside_if_slow(&mut self, track: &mut Track, limits: &QueueLimits) -> bool {
        if self.aside.is_none() && track.exceeds(self.next, limits) {
            self.set_aside(track, limits);
        }
        self.aside.is_some()
    }

    fn set_aside(&mut self, track: &mut Track, limits: &QueueLimits) {
        self.aside = Some(Box::new(track.oldest_within(self.next, limits)));
    }

    fn is_too_slow(&self, track: &Track, now: Instant, limits: &QueueLimits) -> bool {
        // Before it was found to be behind, events waited for us, and not for the client.
        let is_client_slow = limits.is_too_long(self.behind_since, now);
        let is_expired = is_client_slow && track.is_expired(self.next, now, limits);
        self.next < track.first() || track.exceeds(self.next, limits) || is_expired
    }

    fn read_on(&mut self, track: &mut Track, room: usize, now: Instant, read: &mut Read, out: &mut Vec<Bytes>) {
        let source = self.aside.as_deref_mut().unwrap_or(track);
        let next = source.run(self.next, room).next;
        source.read(self.next, next, out);
        read.events += next - self.next;
        self.next = next;
        if self.aside.as_ref().is_some_and(|aside| aside.next() == next) {
            self.aside = None;
            read.missed_behind = self.skip_to(track.next());
        }
        self.finish(track, now, read);
    }

    /// The newest of each key, as much of it as may wait.
    fn conflate(
        &mut self,
        track: &mut Track,
        (room, now): (usize, Instant),
        limits: &QueueLimits,
        mut read: Read,
        out: &mut Vec<Bytes>,
    ) -> Read {
        let latest = track.latest_of_each_key(self.next);
        let mut left = limits.bytes;
        let fitting = latest.iter().rev().take(limits.events()).take_while(|event| {
            let bytes = track.run(**event, 0).bytes;
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        });
        // The newest may be as large as it is.
        let skipped = latest.len() - fitting.count().max(1).min(latest.len());
        let begin = self.next;
        let mut left = room;
        for event in &latest[skipped..] {
            let bytes = track.run(*event, 0).bytes;
            if read.events > 0 && bytes > left {
                break;
            }
            left = left.saturating_sub(bytes);
            track.read(*event, event + 1, out);
            read.events += 1;
            self.next = event + 1;
        }
        read.missed += self.next - begin - read.events;
        self.finish(track, now, &mut read);
        read
    }

    fn finish(&mut self, track: &Track, now: Instant, read: &mut Read) {
        read.idle = self.aside.is_none() && self.next == track.next();
        self.behind_since = if read.idle { None } else { self.behind_since.or(Some(now)) };
    }

    fn skip_to(&mut self, event: u64) -> u64 {
        let missed = event.saturating_sub(self.next);
        self.next += missed;
        missed
    }
}
