//! What goes to the client, when its connection has room.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::subscribe::{Cursor, Mode, mode, remembered};
use super::{Outgoing, Session};
use crate::Ending;
use crate::dialects::Reply;
use crate::hub::{Batching, Item, Joining, Notice, Read, Replayed, Text};

/// Small messages that wait for each other.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    texts: Vec<Bytes>,
    bytes: usize,
    due: Option<Instant>,
}

impl Session {
    /// Appends what is to be sent next to `out`, about `room` bytes of it. The driver calls it when the connection has
    /// sent what it got before: what waits longer waits where the limits of the hub apply.
    ///
    /// # Errors
    /// When the session ends; `out` then holds what is to be sent before the goodbye.
    pub fn transmit(&mut self, now: Instant, room: usize, out: &mut Vec<Outgoing>) -> Result<(), Ending> {
        self.now = now;
        let mut left = room;
        let member = self.member.clone();
        if member.mailbox.take(&mut self.post, room) {
            // More items wait than there is room for; whoever waits to be read comes after them.
            left = 0;
        }
        self.heed_notices();
        self.tell_gaps();
        while let Some(item) = self.post.items.pop_front() {
            self.send(item, now, &mut left, out);
        }
        self.reply_bytes = 0;
        if let Some(ending) = self.post.ending {
            self.flush_gathered(out);
            return Err(ending);
        }
        for _ in 0..self.post.ready.len() {
            if left == 0 {
                break;
            }
            let cursor = self.post.ready.remove(0);
            self.read(cursor, now, &mut left, out)?;
        }
        if self.gathering.due.is_some_and(|due| due <= now) {
            self.flush_gathered(out);
        }
        Ok(())
    }

    /// Whether [`Session::transmit`] has something without being woken.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.post.is_empty()
    }

    /// What a client that takes nothing misses: to be called now and then while [`Session::transmit`] cannot be.
    ///
    /// # Errors
    /// When that ends the session.
    pub fn overtake(&mut self, now: Instant) -> Result<(), Ending> {
        self.now = now;
        let mut losses = Vec::new();
        for (_, cursor) in &mut self.cursors {
            let Mode::Live { seat, place } = &mut cursor.mode else { continue };
            let read = cursor.channel.overtake(*seat, place, now);
            if read.too_slow {
                return Err(Ending::TooSlow);
            }
            if read.missed > 0 {
                losses.push((cursor.channel.name().clone(), read.missed));
            }
        }
        for (channel, missed) in losses {
            self.missed(&channel, missed);
        }
        Ok(())
    }

    /// Everything [`Session::transmit`] gave is sent.
    pub fn flushed(&mut self) {
        self.unsent = 0;
        self.member.set_unsent(0);
    }

    pub(super) fn heed_notices(&mut self) {
        for notice in std::mem::take(&mut self.post.notices) {
            match notice {
                Notice::Answer { request, payload } => self.answer(request, &payload),
            }
        }
    }

    fn tell_gaps(&mut self) {
        for (channel, missed) in std::mem::take(&mut self.post.gaps) {
            self.missed(&channel, missed);
        }
    }

    fn missed(&mut self, channel: &Arc<str>, missed: u64) {
        self.hub.counters().dropped.add(missed);
        self.reply(&Reply::Gap { channel, missed });
    }

    fn read(&mut self, id: u32, now: Instant, left: &mut usize, out: &mut Vec<Outgoing>) -> Result<(), Ending> {
        let Some(cursor) = self.cursors.get_mut(id as usize) else { return Ok(()) };
        match cursor.mode {
            Mode::Matched(_) => Ok(()),
            Mode::Live { .. } => self.read_live(id, now, left, out),
            Mode::Replay { .. } => {
                self.replay(id, now, left, out);
                Ok(())
            }
        }
    }

    fn read_live(&mut self, id: u32, now: Instant, left: &mut usize, out: &mut Vec<Outgoing>) -> Result<(), Ending> {
        let singly = self.singly;
        let Some(Cursor { channel, mode: Mode::Live { seat, place } }) = self.cursors.get_mut(id as usize) else {
            return Ok(());
        };
        let channel = channel.clone();
        let mut framed = Vec::new();
        // One event at a time, or all there is room for.
        let room = if singly { 0 } else { *left };
        let read = channel.read(*seat, place, room, now, &mut framed);
        let Read { events, missed, idle, too_slow } = read;
        if too_slow {
            return Err(Ending::TooSlow);
        }
        if missed > 0 {
            self.missed(channel.name(), missed);
            while let Some(item) = self.post.items.pop_front() {
                self.send(item, now, left, out);
            }
        }
        if !singly {
            self.count_sent(events);
        }
        for bytes in framed {
            match singly {
                true => self.send_text((bytes, false, None), now, left, out),
                false => {
                    *left = left.saturating_sub(bytes.len());
                    out.push(Outgoing::Framed(bytes));
                }
            }
        }
        if !idle {
            self.post.ready.push(id);
        }
        Ok(())
    }

    fn replay(&mut self, id: u32, now: Instant, left: &mut usize, out: &mut Vec<Outgoing>) {
        let Some(Cursor { channel, mode: Mode::Replay { next, joining } }) = self.cursors.get_mut(id as usize) else {
            return;
        };
        let (channel, joining, from): (_, Joining, _) = (channel.clone(), (**joining).clone(), *next);
        let mut items = Vec::new();
        let replayed = channel.replay(from, *left, now, &joining, |event| {
            items.extend(remembered(&joining, channel.name(), &event));
        });
        let (new_mode, missed, more) = match replayed {
            Replayed::More { next, missed } => (Mode::Replay { next, joining: Box::new(joining) }, missed, true),
            Replayed::Joined { seat, next, missed } => (mode(seat, next), missed, false),
        };
        if let Some(cursor) = self.cursors.get_mut(id as usize) {
            cursor.mode = new_mode;
        }
        if missed > 0 {
            self.missed(channel.name(), missed);
        }
        for item in self.post.items.drain(..).chain(items).collect::<Vec<_>>() {
            self.send(item, now, left, out);
        }
        if more {
            self.post.ready.push(id);
        }
    }

    fn send(&mut self, item: Item, now: Instant, left: &mut usize, out: &mut Vec<Outgoing>) {
        let text = match item.text {
            Text::Whole(text) => text,
            Text::Personal { shared, subscription } => {
                let mut text = Vec::with_capacity(shared.len() + subscription.len() + 8);
                text.extend_from_slice(&shared);
                self.dialect().personal(&subscription, &mut text);
                text.into()
            }
        };
        let place = item.event.map(|(channel, _)| channel).zip(item.number).filter(|_| self.placed);
        self.send_text((text, item.binary, place), now, left, out);
    }

    fn send_text(
        &mut self,
        (text, binary, place): (Bytes, bool, Option<(Arc<str>, u64)>),
        now: Instant,
        left: &mut usize,
        out: &mut Vec<Outgoing>,
    ) {
        self.count_sent(1);
        *left = left.saturating_sub(text.len());
        match self.config().batching {
            Some(batching) if !binary && !self.placed && self.dialect().batch().is_some() => self.gather(text, batching, now, out),
            _ => out.push(Outgoing::Message { text, binary, place }),
        }
    }

    fn count_sent(&mut self, messages: u64) {
        self.hub.counters().sent.add(messages);
        self.unsent += messages;
        self.member.set_unsent(self.unsent);
    }

    fn gather(&mut self, text: Bytes, batching: Batching, now: Instant, out: &mut Vec<Outgoing>) {
        if self.gathering.bytes + text.len() > batching.max_bytes {
            self.flush_gathered(out);
        }
        self.gathering.due.get_or_insert(now + batching.delay);
        self.gathering.bytes += text.len();
        self.gathering.texts.push(text);
    }

    fn flush_gathered(&mut self, out: &mut Vec<Outgoing>) {
        let Gathering { texts, bytes, .. } = std::mem::take(&mut self.gathering);
        let text = match (&texts[..], self.dialect().batch()) {
            ([], _) | (_, None) => return,
            ([text], _) => text.clone(),
            (texts, Some(frame)) => {
                let mut joined = String::with_capacity(bytes + texts.len() + frame.open.len() + frame.close.len());
                joined.push_str(frame.open);
                let mut batch = joined.into_bytes();
                for (index, text) in texts.iter().enumerate() {
                    if index > 0 {
                        batch.extend_from_slice(frame.separator.as_bytes());
                    }
                    batch.extend_from_slice(text);
                }
                batch.extend_from_slice(frame.close.as_bytes());
                batch.into()
            }
        };
        out.push(Outgoing::Message { text, binary: false, place: None });
    }
}

impl Gathering {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }
}
