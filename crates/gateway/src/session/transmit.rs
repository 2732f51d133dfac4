//! What goes to the client, when its connection has room.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::places::Cursor;
use super::{Outgoing, Placing, Session};
use crate::Ending;
use crate::dialects::{BatchFrame, Reply};
use crate::hub::{Batching, Content, Event, Item, Read, Seat, Snapshot};

/// About how much longer an event gets by what is personal, besides the name of the subscription.
const PERSONAL_BYTES: usize = 24;

/// What is put together for the connection.
struct Output<'a> {
    now: Instant,
    /// Bytes that there is room for.
    left: usize,
    messages: &'a mut Vec<Outgoing>,
}

impl Session {
    /// Appends what is to be sent next to `out`, about `room` bytes of it. The driver calls it when the connection has
    /// sent what it got before: what waits longer waits where the limits of the hub apply.
    ///
    /// # Errors
    /// When the session ends; `out` then holds what is to be sent before the goodbye.
    pub fn transmit(&mut self, now: Instant, room: usize, out: &mut Vec<Outgoing>) -> Result<(), Ending> {
        self.now = now;
        // What is on its way out of the hub is not sent yet.
        self.member.set_unsent(self.unsent + self.items.len() as u64 + 1);
        let filled = out.len();
        let mut output = Output { now, left: room, messages: out };
        let result = self.fill(&mut output);
        if result.is_err() || self.gathering.is_due(now) {
            self.flush_gathered(&mut output);
        }
        self.member.set_unsent(self.unsent + self.items.len() as u64);
        if out.len() == filled && self.has_own() {
            // There is more to look through; others may come first.
            self.member.mailbox.wake();
        }
        result
    }

    /// Whether [`Session::transmit`] has something without being woken.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.has_own() || self.gathering.is_due(self.now) || !self.member.mailbox.is_empty()
    }

    /// Everything [`Session::transmit`] gave is sent.
    pub fn flushed(&mut self) {
        self.unsent = self.gathering.len() as u64;
        self.member.set_unsent(self.unsent + self.items.len() as u64);
    }

    /// What a client that takes nothing misses: to be called now and then while [`Session::transmit`] cannot be.
    ///
    /// # Errors
    /// When that ends the session.
    pub fn overtake(&mut self, now: Instant) -> Result<(), Ending> {
        self.now = now;
        let mut losses = Vec::new();
        for (_, Cursor { channel, seat }) in &self.cursors {
            let Seat::Reader(seat) = *seat else { continue };
            let Read { missed, too_slow, .. } = channel.overtake(seat, now);
            if too_slow {
                self.over.get_or_insert(Ending::TooSlow);
            }
            losses.push((channel.name().clone(), missed));
        }
        losses.iter().for_each(|(channel, missed)| self.tell_missed(channel, *missed));
        self.member.mailbox.overtake(now);
        self.ending().map_or(Ok(()), Err)
    }

    /// Tells the client that events are missing, behind what waits for it.
    pub(super) fn tell_missed(&mut self, channel: &Arc<str>, missed: u64) {
        if missed > 0 {
            self.hub.counters().dropped.add(missed);
            self.reply(&Reply::Gap { channel, missed });
        }
    }

    fn fill(&mut self, out: &mut Output<'_>) -> Result<(), Ending> {
        // What was taken before goes first.
        let room = if self.items.is_empty() { out.left } else { 0 };
        let found = self.member.mailbox.take(&mut self.ready, &mut self.items, room, out.now);
        for (channel, missed) in &found.gaps {
            self.send_missed(channel, *missed, out);
        }
        for (request, payload) in &found.answers {
            if let Some(text) = self.answer(*request, payload) {
                self.send(text.into(), false, None, out);
            }
        }
        self.send_items(out);
        if let Some(ending) = self.over.or(found.ending) {
            return Err(ending);
        }
        if !self.items.is_empty() || found.more {
            // Whoever waits to be read comes after them.
            return Ok(());
        }
        while out.left > 0
            && let Some(cursor) = self.ready.pop_front()
        {
            self.read(cursor, out)?;
        }
        Ok(())
    }

    fn send_items(&mut self, out: &mut Output<'_>) {
        while out.left > 0
            && let Some(item) = self.items.pop_front()
        {
            match item {
                Item::Reply(text) => self.send(text, false, None, out),
                Item::Event(event) => self.send_event(event, out),
                Item::Snapshot(snapshot) => self.send_snapshot(snapshot, out),
            }
        }
    }

    fn send_event(&mut self, event: Event, out: &mut Output<'_>) {
        let shared = &event.shared;
        match &shared.content {
            Content::Text { text, binary } => {
                let is_placed = self.placing != Placing::Unwanted;
                let place = shared.number.filter(|_| is_placed).map(|number| (shared.channel.clone(), number));
                let text = match &event.subscription {
                    Some(subscription) => self.personal(text, subscription),
                    None => text.clone(),
                };
                self.send(text, *binary, place, out);
            }
            Content::Framed { chunks, events } => {
                let mut sent = event.sent;
                while out.left > 0 && sent < chunks.len() {
                    self.send_framed(chunks[sent].clone(), out);
                    sent += 1;
                }
                if sent == chunks.len() {
                    self.count_framed(*events);
                } else {
                    self.items.push_front(Item::Event(Event { sent, ..event }));
                }
            }
        }
    }

    fn personal(&self, shared: &Bytes, subscription: &str) -> Bytes {
        let mut text = Vec::with_capacity(shared.len() + subscription.len() + PERSONAL_BYTES);
        text.extend_from_slice(shared);
        self.dialect().personal(subscription, &mut text);
        text.into()
    }

    fn send_snapshot(&mut self, mut snapshot: Box<Snapshot>, out: &mut Output<'_>) {
        let Snapshot { channel, next, upto, wanted } = &*snapshot;
        let mut events = Vec::new();
        let more =
            channel.snapshot(*next, *upto, out.left, |kept| events.extend(wanted.remembered(channel.name(), kept)));
        events.into_iter().for_each(|event| self.send_event(event, out));
        if let Some(next) = more {
            snapshot.next = next;
            self.items.push_front(Item::Snapshot(snapshot));
            // The driver comes again for the rest, even if nothing of this part matched.
            out.left = 0;
        }
    }

    fn read(&mut self, id: u32, out: &mut Output<'_>) -> Result<(), Ending> {
        let Some(Cursor { channel, seat }) = self.cursors.get(id as usize) else { return Ok(()) };
        let channel = channel.clone();
        match *seat {
            Seat::Matched(_) => Ok(()),
            Seat::Replay(seat) => {
                self.replay_on(id, seat, out);
                Ok(())
            }
            Seat::Reader(seat) => {
                let mut chunks = Vec::new();
                // One event at a time, or all there is room for.
                let room = if self.singly { 0 } else { out.left };
                let Read { missed, events, missed_behind, idle, too_slow } =
                    channel.read(seat, room, out.now, &mut chunks);
                if too_slow {
                    return Err(Ending::TooSlow);
                }
                self.send_missed(channel.name(), missed, out);
                self.count_framed(events);
                chunks.into_iter().for_each(|chunk| self.send_framed(chunk, out));
                self.send_missed(channel.name(), missed_behind, out);
                if !idle {
                    self.ready.push_back(id);
                }
                Ok(())
            }
        }
    }

    fn replay_on(&mut self, id: u32, seat: u32, out: &mut Output<'_>) {
        let Some(joining) = self.joining_of(id) else { return };
        let Some(Cursor { channel, .. }) = self.cursors.get(id as usize) else { return };
        let channel = channel.clone();
        let wanted = joining.wanted();
        let mut events = Vec::new();
        let replayed = channel.replay(seat, out.left, out.now, &joining, |kept| {
            events.extend(wanted.remembered(channel.name(), kept));
        });
        self.send_missed(channel.name(), replayed.missed, out);
        events.into_iter().for_each(|event| self.send_event(event, out));
        match replayed.joined {
            Some(seat) => {
                if let Some(cursor) = self.cursors.get_mut(id as usize) {
                    cursor.seat = seat;
                }
                self.settle_after_replay(id);
            }
            // The channel says when it goes on.
            None if replayed.waits => {}
            None => {
                self.ready.push_back(id);
                // As for a snapshot.
                out.left = 0;
            }
        }
    }

    fn send_missed(&mut self, channel: &Arc<str>, missed: u64, out: &mut Output<'_>) {
        if missed == 0 {
            return;
        }
        self.hub.counters().dropped.add(missed);
        if let Some(text) = self.dialect().reply(&Reply::Gap { channel, missed }) {
            self.send(text.into(), false, None, out);
        }
    }

    /// Sends events in the session's framing; one, where they are sent one by one.
    fn send_framed(&mut self, chunk: Bytes, out: &mut Output<'_>) {
        if self.singly {
            return self.send(chunk, false, None, out);
        }
        self.flush_gathered(out);
        out.take_room(chunk.len());
        out.messages.push(Outgoing::Framed(chunk));
    }

    fn send(&mut self, text: Bytes, binary: bool, place: Option<(Arc<str>, u64)>, out: &mut Output<'_>) {
        self.count_sent(1);
        out.take_room(text.len());
        match self.batching() {
            Some(batching) if !binary => self.gathering.add(text, batching, out.now, out.messages),
            _ => out.messages.push(Outgoing::Message { text, binary, place }),
        }
    }

    fn batching(&self) -> Option<(Batching, BatchFrame)> {
        let batching = self.config().batching.zip(self.dialect().batch());
        batching.filter(|_| self.placing == Placing::Unwanted)
    }

    fn flush_gathered(&mut self, out: &mut Output<'_>) {
        if let Some((_, frame)) = self.batching() {
            self.gathering.flush(frame, out.messages);
        }
    }

    /// Events in the session's framing; where they are sent one by one, each is counted then.
    fn count_framed(&mut self, events: u64) {
        self.count_sent(if self.singly { 0 } else { events });
    }

    fn count_sent(&mut self, messages: u64) {
        self.hub.counters().sent.add(messages);
        self.unsent += messages;
    }
}

impl Output<'_> {
    fn take_room(&mut self, bytes: usize) {
        // Nothing is for free, so that what has no bytes comes to an end.
        self.left = self.left.saturating_sub(bytes.max(1));
    }
}
