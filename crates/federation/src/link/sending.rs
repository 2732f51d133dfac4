//! Events on their way out over one connection: its place in each stream, and what is under way.

mod budget;
mod flight;
mod oversized;
mod replaying;

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

pub(super) use self::budget::Budget;
use self::flight::{Flight, Largest, Portion};
use self::oversized::Oversized;
use super::hello::{At, GapNotice, Hello, Position, StartName, StreamName, WindowSize};
use super::replays::Replay;
use super::{Outgoing, Selection};
use crate::counters::Counters;
use crate::envelope::{DataWriter, Encoding};
use crate::outlet::{Entered, Outlet, Read};
use crate::signal::Signal;
use crate::{Ending, Now};

/// Events that are looked at, wanted or not, before others get their turn.
pub(super) const MAX_LOOKS: usize = 4_096;

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Outbound {
    signal: Arc<Signal>,
    agreed: bool,
    /// The receiver's name, where it is known whoever the peer is.
    receiver: Option<String>,
    /// Other connections lead to others that receive in its place.
    stand_ins: bool,
    /// What the peer said of itself.
    peer: Option<Peer>,
    streams: Vec<Sending>,
    /// Whose turn it is.
    turn: usize,
    /// A stream goes on that had gone.
    is_torn: bool,
}

#[derive(Debug)]
struct Peer {
    name: String,
    latest: bool,
    window: WindowSize,
    stands_in: bool,
    /// Bytes of a message that it takes at most.
    max_message: u64,
}

/// One stream.
#[derive(Debug)]
struct Sending {
    outlet: Arc<Outlet>,
    name: StreamName,
    reader: u64,
    writer: DataWriter,
    binary: bool,
    state: State,
    /// A receiver is waited for that this connection leads to.
    is_counted: bool,
    /// The next event to send.
    cursor: u64,
    flight: Flight,
    /// What goes out again before it goes on.
    replay: Option<Replay>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The receiver has yet to say where to begin, or does not want it.
    Waiting,
    /// Events go out, and are acknowledged.
    Acknowledged,
    /// Events go out, and count as received when they are sent; or, for a peer that nobody waits for, do not count.
    Plain,
}

/// What [`Outbound::transmit`] came to.
#[derive(Debug, Default)]
pub(super) struct Transmitted {
    pub(super) messages: Vec<Outgoing>,
    pub(super) gaps: Vec<GapNotice>,
}

impl Outbound {
    pub(super) fn new(signal: Arc<Signal>, agreed: bool, receiver: Option<String>) -> Self {
        Self { signal, agreed, receiver, stand_ins: false, peer: None, streams: Vec::new(), turn: 0, is_torn: false }
    }

    /// What others have acknowledged in the receiver's place is not sent to it.
    pub(super) fn standing_in(self, stand_ins: bool) -> Self {
        Self { stand_ins, ..self }
    }

    /// Takes up the streams that have come, and gives up those that have gone.
    pub(super) fn refresh(&mut self, outlets: &[Arc<Outlet>], encoding: Encoding, now: Now) {
        let mut gone = Vec::new();
        self.streams.retain_mut(|sending| {
            let stays = outlets.iter().any(|outlet| Arc::ptr_eq(outlet, &sending.outlet));
            if !stays {
                sending.outlet.detach(sending.reader, now.unix_ms);
                gone.push(std::mem::take(&mut sending.name));
            }
            stays
        });
        for outlet in outlets {
            if !self.streams.iter().any(|sending| Arc::ptr_eq(outlet, &sending.outlet)) {
                let sending = self.sending(outlet.clone(), encoding, now);
                self.is_torn |= self.agreed && gone.contains(&sending.name);
                self.streams.push(sending);
            }
        }
    }

    fn sending(&self, outlet: Arc<Outlet>, encoding: Encoding, now: Now) -> Sending {
        let reader = outlet.attach(&self.signal);
        let (config, epoch) = (outlet.config(), outlet.epoch());
        let (mut cursor, mut is_counted) = (outlet.range().1, false);
        let state = if self.agreed { State::Waiting } else { State::Plain };
        if state == State::Waiting {
            outlet.leave(reader, now.unix_ms);
        }
        if !self.agreed
            && let Some(receiver) = &self.receiver
            && let Some(joined) = outlet.join(reader, receiver, false, now)
        {
            // Somebody is waited for who cannot acknowledge: what was sent counts.
            cursor = joined.next;
            is_counted = true;
        }
        Sending {
            name: StreamName { stream: config.stream.clone(), epoch },
            writer: DataWriter::new(encoding, config.content, &config.stream, epoch),
            binary: encoding != Encoding::Json,
            reader,
            state,
            is_counted,
            cursor,
            flight: Flight::default(),
            replay: None,
            outlet,
        }
    }

    /// The streams there are.
    pub(super) fn names(&self) -> Vec<StreamName> {
        self.streams.iter().map(|sending| sending.name.clone()).collect()
    }

    pub(super) fn greeted(&mut self, hello: &Hello, now: Now) {
        self.peer = hello.receives.as_ref().map(|receives| Peer {
            name: self.receiver.clone().unwrap_or_else(|| hello.name.clone()),
            latest: receives.start == StartName::Latest,
            window: receives.window,
            stands_in: self.stand_ins,
            max_message: receives.message_bytes.unwrap_or(u64::MAX),
        });
        if self.peer.is_none() {
            self.streams.iter_mut().for_each(|sending| sending.give_up(now));
        }
    }

    /// The receiver says how far it has got. Returns what it is to be told of what it misses.
    pub(super) fn acknowledged(&mut self, position: &Position, now: Now) -> Result<Option<GapNotice>, Ending> {
        // One that has just given up receiving may still say what it has taken.
        let Some(peer) = &self.peer else { return Ok(None) };
        // A stream that has just gone is no news to the peer yet.
        let Some(sending) = self.streams.iter_mut().find(|sending| sending.name == position.name) else {
            return Ok(None);
        };
        match position.at {
            At::Unwanted(_) => sending.give_up(now),
            At::Through(through) => sending.taken(through.saturating_add(1), now),
            At::After(after) if sending.state == State::Waiting => return sending.begin(peer, after, now),
            At::After(_) => {}
        }
        Ok(None)
    }

    /// Events of all streams in turn.
    pub(super) fn transmit(
        &mut self,
        max_bytes: usize,
        selection: &mut Selection,
        counters: &Counters,
        now: Now,
    ) -> Transmitted {
        let mut sent = Transmitted::default();
        let window = self.peer.as_ref().map(|peer| peer.window);
        let max_message = self.peer.as_ref().map_or(u64::MAX, |peer| peer.max_message);
        for _ in 0..self.streams.len() {
            self.turn = (self.turn + 1) % self.streams.len();
            let sending = &mut self.streams[self.turn];
            let limits = Budget::new(sending, window, max_bytes, selection.allowance(now)).for_messages_of(max_message);
            sending.transmit(limits, selection, counters, now, &mut sent);
            if !sent.messages.is_empty() {
                break;
            }
        }
        sent
    }

    /// Everything that was transmitted is sent.
    pub(super) fn flushed(&mut self, now: Now) {
        for sending in self.streams.iter_mut().filter(|sending| sending.state == State::Plain) {
            sending.flight = Flight::default();
            sending.outlet.acknowledge(sending.reader, sending.cursor, now);
        }
    }

    /// Events that wait for the peer.
    pub(super) fn waiting(&self) -> u64 {
        let sent = self.streams.iter().filter(|sending| sending.state != State::Waiting);
        sent.map(|sending| sending.outlet.range().1.saturating_sub(sending.cursor)).sum()
    }

    /// Whether the connection can go on.
    ///
    /// # Errors
    /// When another connection came for the same receiver, or a stream was closed and opened again: the peer would not
    /// notice.
    pub(super) fn check(&self) -> Result<(), Ending> {
        if self.is_torn {
            return Err(Ending::again("a stream was closed and opened again"));
        }
        let is_replaced = |sending: &Sending| sending.is_counted && sending.outlet.is_replaced(sending.reader);
        if !self.streams.iter().any(is_replaced) {
            return Ok(());
        }
        let name = self.peer.as_ref().map(|peer| &*peer.name).or(self.receiver.as_deref()).unwrap_or_default();
        Err(Ending::policy(format!("another connection came for the receiver '{name}'")))
    }

    pub(super) fn leave(&mut self, now_ms: u64) {
        self.streams.drain(..).for_each(|sending| sending.outlet.detach(sending.reader, now_ms));
    }
}

impl Sending {
    /// The receiver has everything up to `after`, which need not mean that it has been taken, or knows nothing of the
    /// stream.
    fn begin(&mut self, peer: &Peer, after: Option<u64>, now: Now) -> Result<Option<GapNotice>, Ending> {
        // A receiver that knows the stream goes on in it, whatever it would do with one that it does not know.
        let joined = self.outlet.join(self.reader, &peer.name, peer.latest && after.is_none(), now);
        let Some(joined) = joined else {
            return Err(Ending { code: 1013, reason: "too many receivers".to_owned() });
        };
        if joined.replaced {
            log::warn!(
                "stream {}: another connection came for the receiver '{}', and the one before is closed; two receivers of one \
                 name take turns like this: give one of them a name of its own with websocket.link.name",
                self.name.stream,
                peer.name.escape_debug()
            );
        }
        (self.state, self.is_counted) = (State::Acknowledged, true);
        let (first, next) = self.outlet.range();
        let received = after.map(|after| after.saturating_add(1));
        if received.is_some_and(|received| received > next) {
            // It knows events that we have never published: what we kept was put back to an earlier state.
            self.start_at(first);
            return Ok(Some(self.gap(first, "sender_restored", None)));
        }
        let wanted = received.unwrap_or(joined.next);
        if peer.stands_in && wanted < joined.next {
            // Another one has taken what comes in between.
            let next = joined.next.max(first);
            self.start_at(next);
            self.flight.push(Portion::gap(next));
            return Ok(Some(self.gap(next, "taken_elsewhere", Some(next - wanted))));
        }
        self.start_at(wanted.max(first));
        if let Some(received) = received {
            // Under way to it is what it has not taken; it says at once how much of that it has.
            let events = received.saturating_sub(joined.next);
            self.flight.push(Portion { next: received, events, ..Portion::default() });
        }
        if wanted >= first {
            return Ok(None);
        }
        self.flight.push(Portion::gap(first));
        Ok(Some(self.gap(first, "history_gone", Some(first - wanted))))
    }

    /// The receiver does not want it any longer.
    fn give_up(&mut self, now: Now) {
        if self.state == State::Acknowledged {
            (self.state, self.is_counted) = (State::Waiting, false);
            self.replay = None;
            self.outlet.leave(self.reader, now.unix_ms);
        }
    }

    fn start_at(&mut self, cursor: u64) {
        self.cursor = cursor;
        self.flight = Flight::default();
    }

    fn gap(&self, next: u64, reason: &str, missing: Option<u64>) -> GapNotice {
        GapNotice { name: self.name.clone(), next, reason: reason.to_owned(), missing }
    }

    fn taken(&mut self, next: u64, now: Now) {
        if self.state != State::Acknowledged {
            return;
        }
        self.flight.taken(next);
        // What the peer did not want is not acknowledged by it.
        let next = if self.flight.portions.is_empty() { self.cursor } else { next };
        self.outlet.acknowledge(self.reader, next, now);
    }

    fn transmit(
        &mut self,
        mut budget: Budget,
        selection: &mut Selection,
        counters: &Counters,
        now: Now,
        sent: &mut Transmitted,
    ) {
        if self.state == State::Waiting || budget.is_spent() {
            return;
        }
        if self.replay.is_some() {
            return self.transmit_again(budget, selection, counters, now, sent);
        }
        let mut buffer = Vec::new();
        let mut ends = Vec::new();
        let (mut portion, mut cursor) = (Portion::gap(self.cursor), self.cursor);
        let (mut looks, mut filtered) = (0, 0);
        let (refused, mut oversized) = (self.outlet.refused(), None);
        let read = self.outlet.read(self.reader, self.cursor, |Entered { sequence, time_ms, payload }| {
            if looks == MAX_LOOKS || budget.is_spent() || oversized.is_some() {
                return ControlFlow::Break(());
            }
            if !selection.wants(&self.name.stream, payload) {
                looks += 1;
                cursor = sequence + 1;
                filtered += 1;
                return ControlFlow::Continue(());
            }
            if !budget.has_room(payload.len()) {
                return ControlFlow::Break(());
            }
            let start = buffer.len();
            match self.writer.write(sequence, time_ms, payload, &mut buffer) {
                Ok(_) if budget.is_oversized(buffer.len() - start) || refused.contains(&sequence) => {
                    buffer.truncate(start);
                    if start > 0 {
                        // It gets a turn of its own: what the peer is told of it comes behind what is before it.
                        return ControlFlow::Break(());
                    }
                    oversized = Some(Oversized { sequence, payload: payload.to_vec() });
                }
                Ok(_) => {
                    ends.push(buffer.len());
                    portion.add(sequence, payload.len());
                    budget.spend(payload.len());
                }
                Err(error) => {
                    counters.malformed.increment();
                    log::warn!("stream {}: event {sequence} cannot be sent: {error}", self.name.stream);
                }
            }
            looks += 1;
            cursor = sequence + 1;
            ControlFlow::Continue(())
        });
        let has_moved = cursor > self.cursor;
        self.cursor = cursor;
        counters.filtered.add(filtered);
        counters.sent.add(portion.events);
        selection.spend(portion.events);
        if let Read::Gone(first) = read {
            self.fallen_behind(first, counters, sent);
        }
        if let Some(oversized) = oversized {
            self.pass_over(oversized, sent);
        }
        let is_idle = self.flight.portions.is_empty() && portion.events == 0;
        if portion.events > 0 {
            self.flight.push(portion);
        } else if is_idle && has_moved {
            // Nothing that the peer could acknowledge, or that has yet to be sent, is under way.
            self.outlet.acknowledge(self.reader, self.cursor, now);
        }
        if looks == MAX_LOOKS {
            self.outlet_goes_on();
        }
        append(buffer, &ends, self.binary, &mut sent.messages);
    }

    /// What it wanted next is gone.
    fn fallen_behind(&mut self, first: u64, counters: &Counters, sent: &mut Transmitted) {
        let missing = first.saturating_sub(self.cursor);
        if self.state == State::Acknowledged {
            self.flight.push(Portion::gap(first));
            sent.gaps.push(self.gap(first, "history_gone", Some(missing)));
        } else {
            counters.missed.add(missing);
        }
        self.cursor = first;
        self.outlet_goes_on();
    }

    /// There is more to read, and nothing will ring for it.
    fn outlet_goes_on(&self) {
        self.outlet.ring(self.reader);
    }
}

/// Cuts what was written into messages that share its memory.
pub(super) fn append(buffer: Vec<u8>, ends: &[usize], binary: bool, messages: &mut Vec<Outgoing>) {
    let buffer = Bytes::from(buffer);
    let mut start = 0;
    messages.extend(ends.iter().map(|&end| {
        let text = buffer.slice(start..end);
        start = end;
        Outgoing { text, binary }
    }));
}
