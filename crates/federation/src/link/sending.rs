//! Events on their way out over one connection: its place in each stream, and what is under way.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::hello::{At, GapNotice, Hello, Position, StartName, StreamName, WindowSize};
use super::{Outgoing, Selection};
use crate::counters::Counters;
use crate::envelope::{DataWriter, Encoding};
use crate::outlet::{Entered, Outlet, Read};
use crate::signal::Signal;
use crate::{Ending, Now};

/// Events that are looked at, wanted or not, before others get their turn.
const MAX_LOOKS: usize = 4_096;

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Outbound {
    signal: Arc<Signal>,
    agreed: bool,
    /// The receiver's name, where it is known whoever the peer is.
    receiver: Option<String>,
    /// What the peer said of itself.
    peer: Option<Peer>,
    streams: Vec<Sending>,
    /// Whose turn it is.
    turn: usize,
}

#[derive(Debug)]
struct Peer {
    name: String,
    latest: bool,
    window: WindowSize,
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
    /// The next event to send.
    cursor: u64,
    flight: Flight,
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

/// What is sent and not acknowledged.
#[derive(Debug, Default)]
struct Flight {
    portions: VecDeque<Portion>,
    events: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Portion {
    /// Behind its last event.
    next: u64,
    events: u64,
    bytes: u64,
}

/// What [`Outbound::transmit`] came to.
#[derive(Debug, Default)]
pub(super) struct Transmitted {
    pub(super) messages: Vec<Outgoing>,
    pub(super) gaps: Vec<GapNotice>,
}

impl Outbound {
    pub(super) fn new(signal: Arc<Signal>, agreed: bool, receiver: Option<String>) -> Self {
        Self { signal, agreed, receiver, peer: None, streams: Vec::new(), turn: 0 }
    }

    /// Takes up the streams that have come, and gives up those that have gone.
    pub(super) fn refresh(&mut self, outlets: &[Arc<Outlet>], encoding: Encoding, now: Now) {
        self.streams.retain(|sending| {
            let stays = outlets.iter().any(|outlet| Arc::ptr_eq(outlet, &sending.outlet));
            if !stays {
                sending.outlet.detach(sending.reader, now.unix_ms);
            }
            stays
        });
        for outlet in outlets {
            if !self.streams.iter().any(|sending| Arc::ptr_eq(outlet, &sending.outlet)) {
                let sending = self.sending(outlet.clone(), encoding, now);
                self.streams.push(sending);
            }
        }
    }

    fn sending(&self, outlet: Arc<Outlet>, encoding: Encoding, now: Now) -> Sending {
        let reader = outlet.attach(&self.signal);
        let (config, epoch) = (outlet.config(), outlet.epoch());
        let mut cursor = outlet.range().1;
        let state = if self.agreed { State::Waiting } else { State::Plain };
        if !self.agreed
            && let Some(receiver) = &self.receiver
            && let Some(joined) = outlet.join(reader, receiver, false, now)
        {
            // Somebody is waited for who cannot acknowledge: what was sent counts.
            cursor = joined.known.unwrap_or_else(|| outlet.range().0);
        }
        Sending {
            name: StreamName { stream: config.stream.clone(), epoch },
            writer: DataWriter::new(encoding, config.content, &config.stream, epoch),
            binary: encoding != Encoding::Json,
            reader,
            state,
            cursor,
            flight: Flight::default(),
            outlet,
        }
    }

    /// The streams there are.
    pub(super) fn names(&self) -> Vec<StreamName> {
        self.streams.iter().map(|sending| sending.name.clone()).collect()
    }

    pub(super) fn greeted(&mut self, hello: &Hello) {
        self.peer = hello.receives.as_ref().map(|receives| Peer {
            name: self.receiver.clone().unwrap_or_else(|| hello.name.clone()),
            latest: receives.start == StartName::Latest,
            window: receives.window,
        });
    }

    /// The receiver says how far it has got. Returns what it is to be told of what it misses.
    pub(super) fn acknowledged(&mut self, position: &Position, now: Now) -> Result<Option<GapNotice>, Ending> {
        let Some(peer) = &self.peer else {
            return Err(Ending::violation("an 'ack' of a peer that does not receive"));
        };
        // A stream that has just gone is no news to the peer yet.
        let Some(sending) = self.streams.iter_mut().find(|sending| sending.name == position.name) else {
            return Ok(None);
        };
        match position.at {
            At::Unwanted(_) => sending.state = State::Waiting,
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
        for _ in 0..self.streams.len() {
            self.turn = (self.turn + 1) % self.streams.len();
            let sending = &mut self.streams[self.turn];
            let limits = Budget::new(sending, window, max_bytes, selection.allowance(now));
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
            sending.outlet.acknowledge(sending.reader, sending.cursor, now);
        }
    }

    /// Another connection came for the same receiver.
    pub(super) fn replaced(&self) -> Option<Ending> {
        let active = |sending: &&Sending| sending.state == State::Acknowledged;
        let replaced = self.streams.iter().filter(active).any(|sending| sending.outlet.is_replaced(sending.reader));
        let name = self.peer.as_ref().map_or("", |peer| &peer.name);
        replaced.then(|| Ending::policy(format!("another connection came for the receiver '{name}'")))
    }

    pub(super) fn leave(&mut self, now_ms: u64) {
        self.streams.drain(..).for_each(|sending| sending.outlet.detach(sending.reader, now_ms));
    }
}

impl Sending {
    /// The receiver has everything up to `after`, or knows nothing of the stream.
    fn begin(&mut self, peer: &Peer, after: Option<u64>, now: Now) -> Result<Option<GapNotice>, Ending> {
        let joined = self.outlet.join(self.reader, &peer.name, peer.latest, now);
        let Some(joined) = joined else {
            return Err(Ending { code: 1013, reason: "too many receivers".to_owned() });
        };
        if joined.replaced {
            log::warn!(
                "stream {}: another connection came for the receiver '{}', and the one before is closed; two receivers of one \
                 name take turns like this: give one of them a name of its own with websocket.link.name",
                self.name.stream,
                peer.name
            );
        }
        self.state = State::Acknowledged;
        let (first, next) = self.outlet.range();
        let wanted = match after {
            // Everything before is acknowledged, even if the connection ended before it could be said.
            Some(after) if after < next => {
                self.outlet.acknowledge(self.reader, after + 1, now);
                Some(after + 1)
            }
            // It knows events that we have never published: what we kept was put back to an earlier state.
            Some(_) => {
                self.start_at(first);
                return Ok(Some(self.gap(first, "sender_restored", None)));
            }
            None => joined.known,
        };
        let unknown = if peer.latest { next } else { first };
        let wanted = wanted.unwrap_or(unknown);
        self.start_at(wanted.max(first));
        Ok((wanted < first).then(|| self.gap(first, "history_gone", Some(first - wanted))))
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
        let mut buffer = Vec::new();
        let mut ends = Vec::new();
        let (mut portion, mut cursor) = (Portion { next: self.cursor, events: 0, bytes: 0 }, self.cursor);
        let (mut looks, mut filtered) = (0, 0);
        let read = self.outlet.read(self.reader, self.cursor, |Entered { sequence, time_ms, payload }| {
            if looks == MAX_LOOKS || budget.is_spent() {
                return ControlFlow::Break(());
            }
            looks += 1;
            cursor = sequence + 1;
            if !selection.wants(&self.name.stream, payload) {
                filtered += 1;
                return ControlFlow::Continue(());
            }
            match self.writer.write(sequence, time_ms, payload, &mut buffer) {
                Ok(_) => {
                    ends.push(buffer.len());
                    portion.next = cursor;
                    portion.events += 1;
                    portion.bytes += payload.len() as u64;
                    budget.spend(payload.len());
                }
                Err(error) => {
                    counters.malformed.increment();
                    log::warn!("stream {}: event {sequence} cannot be sent: {error}", self.name.stream);
                }
            }
            ControlFlow::Continue(())
        });
        self.cursor = cursor;
        counters.filtered.add(filtered);
        counters.sent.add(portion.events);
        selection.spend(portion.events);
        if let Read::Gone(first) = read {
            self.fallen_behind(first, counters, sent);
        }
        let is_idle = self.flight.portions.is_empty() && portion.events == 0;
        if portion.events > 0 && self.state == State::Acknowledged {
            self.flight.push(portion);
        } else if is_idle && filtered > 0 && self.state == State::Acknowledged {
            // Nothing that the peer could acknowledge is under way.
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

impl Flight {
    fn push(&mut self, portion: Portion) {
        self.events += portion.events;
        self.bytes += portion.bytes;
        self.portions.push_back(portion);
    }

    fn taken(&mut self, next: u64) {
        while let Some(portion) = self.portions.front()
            && portion.next <= next
        {
            self.events -= portion.events;
            self.bytes -= portion.bytes;
            self.portions.pop_front();
        }
    }
}

/// How much may be sent now.
struct Budget {
    events: u64,
    bytes: u64,
}

impl Budget {
    fn new(sending: &Sending, window: Option<WindowSize>, max_bytes: usize, allowance: u64) -> Self {
        let max_bytes = max_bytes as u64;
        match (sending.state, window) {
            (State::Acknowledged, Some(window)) => Self {
                events: window.events.saturating_sub(sending.flight.events).min(allowance),
                // A payload larger than the window goes alone.
                bytes: match sending.flight.bytes {
                    0 => window.bytes.clamp(1, max_bytes),
                    bytes => window.bytes.saturating_sub(bytes).min(max_bytes),
                },
            },
            _ => Self { events: allowance, bytes: max_bytes },
        }
    }

    fn is_spent(&self) -> bool {
        self.events == 0 || self.bytes == 0
    }

    fn spend(&mut self, bytes: usize) {
        self.events -= 1;
        self.bytes = self.bytes.saturating_sub(bytes.max(1) as u64);
    }
}

/// Cuts what was written into messages that share its memory.
fn append(buffer: Vec<u8>, ends: &[usize], binary: bool, messages: &mut Vec<Outgoing>) {
    let buffer = Bytes::from(buffer);
    let mut start = 0;
    messages.extend(ends.iter().map(|&end| {
        let text = buffer.slice(start..end);
        start = end;
        Outgoing { text, binary }
    }));
}
