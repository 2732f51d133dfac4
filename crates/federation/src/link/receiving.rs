//! Events on their way in over one connection: what is new, what comes again, and what has been taken.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::hello::{At, GapNotice, Hello, Position, StreamName, WindowSize};
use super::{Arrival, Arrived, Details};
use crate::counters::Counters;
use crate::envelope::{Content, Envelope, Kind, Limits, Malformed, MessageId, read, read_trusted};
use crate::federation::Wants;
use crate::intake::{Beginning, Intake, Progress, StreamKey};
use crate::signal::Signal;
use crate::{Ending, FederationConfig, Receipt};

/// The streams of one connection, and what has come of them.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    streams: Vec<Incoming>,
    /// The one that brought the last event.
    last: usize,
    arrivals: Vec<Arrival>,
    /// When an acknowledgement that waits for more is due.
    due: Option<Instant>,
    /// Bytes of events since the last acknowledgement.
    unacknowledged: u64,
    /// A stream that had been given up goes on.
    is_torn: bool,
    /// Nothing is waited for any more.
    concluding: bool,
}

/// One stream.
#[derive(Debug)]
struct Incoming {
    name: StreamName,
    stream: Arc<str>,
    /// How its ids begin.
    prefix: String,
    progress: Arc<Progress>,
    /// In which this link brings the stream.
    term: u64,
    /// Everything before has been acknowledged over this connection.
    acknowledged: u64,
    /// Something arrived that was not handed over yet.
    arrived: bool,
    /// `false` once it was given up: what is still on its way is not taken.
    wanted: bool,
}

impl Inbound {
    pub(super) fn read(message: &Bytes, binary: bool, trusted: bool, limits: &Limits) -> Result<Envelope, Malformed> {
        if trusted { read_trusted(message, binary, limits) } else { read(message, binary, limits) }
    }

    /// Of each stream that the peer sends and that was not asked for yet: where it is to begin.
    pub(super) fn ask(
        &mut self,
        peer: &Hello,
        wants: &Wants,
        intake: &Intake,
        signal: &Arc<Signal>,
        counters: &Counters,
    ) -> Vec<Position> {
        // What the peer does not send any longer is over when it has been handed over.
        self.streams.retain_mut(|incoming| {
            let is_sent = peer.sends.contains(&incoming.name);
            incoming.wanted &= is_sent;
            is_sent || incoming.arrived
        });
        let mut positions = Vec::new();
        for name in &peer.sends {
            let wanted = wants.takes(&name.stream);
            match self.streams.iter_mut().find(|incoming| incoming.name == *name) {
                None if wanted => {
                    let key = StreamKey { sender: peer.name.as_str().into(), stream: name.stream.as_str().into() };
                    let (progress, begins_anew) = intake.progress(&key, name.epoch);
                    if begins_anew {
                        self.begins_anew(name, &key, wants.gaps, counters);
                    }
                    positions.extend(self.begin(name, key.stream, progress, signal));
                }
                Some(incoming) if incoming.wanted && !wanted => {
                    incoming.wanted = false;
                    positions.push(Position { name: name.clone(), at: At::Unwanted(true) });
                }
                // Where it is to go on cannot be told apart from what is still under way.
                Some(incoming) if !incoming.wanted && wanted => self.is_torn = true,
                _ => {}
            }
        }
        positions
    }

    /// What has been taken of the streams that are wanted no longer.
    pub(super) fn last_words(&mut self, wants: &Wants) -> Vec<Position> {
        let given_up = self.streams.iter_mut().filter(|incoming| !wants.takes(&incoming.name.stream));
        given_up.filter_map(Incoming::acknowledge).collect()
    }

    /// Where the stream is to begin, and what of it has been taken.
    fn begin(
        &mut self,
        name: &StreamName,
        stream: Arc<str>,
        progress: Arc<Progress>,
        signal: &Arc<Signal>,
    ) -> impl Iterator<Item = Position> {
        let Beginning { term, received, settled } = progress.begin(signal);
        let prefix = MessageId { stream: &name.stream, epoch: name.epoch, sequence: 0 }.to_string();
        self.streams.push(Incoming {
            name: name.clone(),
            stream,
            prefix: prefix.trim_end_matches('0').to_owned(),
            progress,
            term,
            acknowledged: settled,
            arrived: false,
            wanted: true,
        });
        // Events are counted from 1.
        let after = At::After(received.map(|received| received.saturating_sub(1)));
        let through = received.map(|_| At::Through(settled.saturating_sub(1)));
        let name = name.clone();
        [Some(after), through].into_iter().flatten().map(move |at| Position { name: name.clone(), at })
    }

    /// The sender has been restarted and knows nothing of what it had not sent.
    fn begins_anew(&mut self, name: &StreamName, key: &StreamKey, wanted: bool, counters: &Counters) {
        counters.gaps.increment();
        log::warn!(
            "stream {} of '{}' begins anew: what it had not sent before it was restarted is missing (gap)",
            key.stream.escape_debug(),
            key.sender.escape_debug()
        );
        if wanted {
            let reason = "sender_restarted".to_owned();
            let gap = GapNotice { name: name.clone(), next: 1, reason, missing: None };
            let id = MessageId { stream: &name.stream, epoch: name.epoch, sequence: 0 }.to_string();
            // What we say of a gap always serialises.
            let payload = serde_json::to_vec(&gap).unwrap_or_default().into();
            let (id, content) = (id.into(), Content::Json);
            let notice = Envelope { kind: Kind::Gap, id, timestamp: None, payload, content, replayed: false };
            self.arrivals.push(Arrival::new(notice, Some(key.stream.clone()), None));
        }
    }

    /// Takes an event.
    pub(super) fn data(&mut self, envelope: Envelope, linked: bool, counters: &Counters) -> Result<(), Ending> {
        let stream = if linked { self.place(&envelope, counters)? } else { Placed::Unnumbered };
        let stream = match stream {
            Placed::Void => return Ok(()),
            Placed::Unnumbered => None,
            Placed::New(stream) => Some(stream),
        };
        counters.received.increment();
        counters.received_bytes.add(envelope.payload.len() as u64);
        self.arrivals.push(Arrival::new(envelope, stream, None));
        Ok(())
    }

    fn place(&mut self, envelope: &Envelope, counters: &Counters) -> Result<Placed, Ending> {
        let id = std::str::from_utf8(&envelope.id).unwrap_or_default();
        let (index, sequence) = self.find(id).ok_or_else(|| Ending::violation("an event of an unknown stream"))?;
        self.last = index;
        let incoming = &mut self.streams[index];
        if sequence == 0 || sequence == u64::MAX {
            return Err(Ending::violation("an event with a number that no event has"));
        }
        if envelope.replayed {
            return Ok(Placed::New(incoming.stream.clone()));
        }
        let mut place = incoming.progress.lock();
        if !incoming.wanted {
            return Ok(Placed::Void);
        }
        // What comes after this link's term comes again, or has come already.
        if place.term() != incoming.term || !place.receive(sequence) {
            counters.duplicates.increment();
            return Ok(Placed::Void);
        }
        if incoming.acknowledged == 0 {
            incoming.acknowledged = place.settled();
        }
        drop(place);
        incoming.arrived = true;
        self.unacknowledged += WindowSize::share(envelope.payload.len());
        Ok(Placed::New(incoming.stream.clone()))
    }

    fn find(&self, id: &str) -> Option<(usize, u64)> {
        let candidates = [self.last].into_iter().chain(0..self.streams.len());
        candidates.filter_map(|index| Some((index, self.streams.get(index)?))).find_map(|(index, incoming)| {
            let sequence = id.strip_prefix(&*incoming.prefix)?.parse().ok()?;
            Some((index, sequence))
        })
    }

    /// Takes a notice of events that will not come.
    pub(super) fn gap(
        &mut self,
        gap: &GapNotice,
        envelope: &Envelope,
        wanted: bool,
        counters: &Counters,
    ) -> Result<(), Ending> {
        let Some(incoming) = self.streams.iter_mut().find(|incoming| incoming.name == gap.name) else {
            return Err(Ending::violation("a gap in an unknown stream"));
        };
        if gap.next == 0 {
            return Err(Ending::violation("a gap before a number that no event has"));
        }
        if !incoming.pass_over(gap.next, wanted) {
            return Ok(());
        }
        let missing = gap.missing.map_or_else(|| "some".to_owned(), |missing| missing.to_string());
        log::warn!("stream {}: {missing} events are missing (gap): {}", incoming.stream, gap.reason.escape_debug());
        counters.gaps.increment();
        counters.missing.add(gap.missing.unwrap_or(0));
        if wanted {
            let stream = incoming.stream.clone();
            self.arrivals.push(Arrival::new(envelope.clone(), Some(stream), None));
        }
        Ok(())
    }

    pub(super) fn malformed(&mut self, malformed: Malformed, message: &Bytes) {
        self.arrivals.push(Arrival::Malformed(message.clone(), Box::new(malformed)));
    }

    /// Queues something for the pipeline that is no event.
    pub(super) fn pass(&mut self, envelope: Envelope, details: Details) {
        self.arrivals.push(Arrival::new(envelope, None, Some(details)));
    }

    /// Whether the connection can go on.
    ///
    /// # Errors
    /// When something has to come again, or comes over another connection.
    pub(super) fn check(&self) -> Result<(), Ending> {
        if self.is_torn {
            return Err(Ending::again("a stream that had been given up goes on"));
        }
        let is_over = |incoming: &&Incoming| incoming.wanted && incoming.progress.lock().term() != incoming.term;
        match self.streams.iter().find(is_over) {
            Some(_) => {
                Err(Ending::again("the pipeline did not take what it was given, or takes it from another connection"))
            }
            None => Ok(()),
        }
    }

    /// What has arrived since the last call.
    pub(super) fn arrived(&mut self) -> Result<Option<Arrived>, Ending> {
        self.check()?;
        if self.arrivals.is_empty() {
            return Ok(None);
        }
        let arrived =
            |incoming: &mut Incoming| std::mem::take(&mut incoming.arrived).then(|| incoming.progress.clone());
        let progress: Vec<_> = self.streams.iter_mut().filter_map(arrived).collect();
        let receipt = (!progress.is_empty()).then(|| Receipt::new(progress));
        Ok(Some(Arrived { arrivals: std::mem::take(&mut self.arrivals), receipt }))
    }

    /// What is to be acknowledged now.
    pub(super) fn acknowledge(&mut self, config: &FederationConfig, now: Instant) -> Vec<Position> {
        let behind = self.streams.iter().map(Incoming::behind).max().unwrap_or(0);
        if behind == 0 {
            self.due = None;
            return Vec::new();
        }
        let due = *self.due.get_or_insert(now + config.ack_delay);
        let is_half_full = behind >= config.window.events / 2 || self.unacknowledged >= config.window.bytes / 2;
        if !self.concluding && due > now && !is_half_full {
            return Vec::new();
        }
        self.due = None;
        self.unacknowledged = 0;
        self.streams.iter_mut().filter_map(Incoming::acknowledge).collect()
    }

    /// Acknowledgements wait for nothing any more.
    pub(super) fn conclude(&mut self) {
        self.concluding = true;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

enum Placed {
    New(Arc<str>),
    /// It had been received before, or comes over another connection.
    Void,
    /// It says nothing of where it belongs.
    Unnumbered,
}

impl Incoming {
    /// Events that have been taken and not acknowledged.
    fn behind(&self) -> u64 {
        if self.wanted { self.progress.lock().settled().saturating_sub(self.acknowledged) } else { 0 }
    }

    fn acknowledge(&mut self) -> Option<Position> {
        let settled = self.progress.lock().settled();
        if settled <= self.acknowledged || !self.wanted {
            return None;
        }
        self.acknowledged = settled;
        Some(Position { name: self.name.clone(), at: At::Through(settled - 1) })
    }

    /// What is before `next` will not come; `is_told`: and the pipeline is to know. `false` when that is no news, or
    /// nothing to this link any more.
    fn pass_over(&mut self, next: u64, is_told: bool) -> bool {
        let mut place = self.progress.lock();
        if !self.wanted || place.term() != self.term || !place.pass_over(next, is_told || self.arrived) {
            return false;
        }
        self.acknowledged = match self.acknowledged {
            // Events are counted from 1; what is missing before the first one is acknowledged, too.
            0 => 1,
            acknowledged => acknowledged.min(next),
        };
        self.arrived |= is_told;
        true
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.progress.end(self.term);
    }
}
