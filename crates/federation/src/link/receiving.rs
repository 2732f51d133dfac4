//! Events on their way in over one connection: what is new, what comes again, and what has been taken.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::hello::{At, GapNotice, Hello, Position, StreamName};
use super::{Arrival, Arrived};
use crate::counters::Counters;
use crate::envelope::{Envelope, Limits, Malformed, MessageId, read, read_trusted};
use crate::federation::Wants;
use crate::intake::{Intake, Progress, StreamKey};
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
}

/// One stream.
#[derive(Debug)]
struct Incoming {
    name: StreamName,
    stream: Arc<str>,
    /// How its ids begin.
    prefix: String,
    progress: Arc<Progress>,
    generation: u64,
    /// Everything before has been acknowledged over this connection.
    acknowledged: u64,
    /// Something arrived that was not handed over yet.
    arrived: bool,
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
        let mut positions = Vec::new();
        for name in &peer.sends {
            let known = self.streams.iter().position(|incoming| incoming.name == *name);
            let at = match (known, wants.takes(&name.stream)) {
                (Some(_), true) => continue,
                (None, true) => self.begin(name, peer, intake, signal, counters),
                (Some(index), false) => {
                    self.streams.remove(index);
                    At::Unwanted(true)
                }
                (None, false) => continue,
            };
            positions.push(Position { name: name.clone(), at });
        }
        positions
    }

    fn begin(
        &mut self,
        name: &StreamName,
        peer: &Hello,
        intake: &Intake,
        signal: &Arc<Signal>,
        counters: &Counters,
    ) -> At {
        let stream: Arc<str> = name.stream.as_str().into();
        let key = StreamKey { stream: stream.clone(), epoch: name.epoch };
        let (progress, begun_anew) = intake.progress(&key, &peer.name, signal);
        if begun_anew {
            counters.gaps.increment();
            log::warn!(
                "stream {stream} of '{}' begins anew: what it had not sent before it was restarted is missing (gap)",
                peer.name.escape_debug()
            );
        }
        let place = progress.lock();
        let (received, settled, generation) = (place.received, place.settled(), place.generation());
        drop(place);
        let prefix = MessageId { stream: &name.stream, epoch: name.epoch, sequence: 0 }.to_string();
        self.streams.push(Incoming {
            name: name.clone(),
            stream,
            prefix: prefix.trim_end_matches('0').to_owned(),
            progress,
            generation,
            acknowledged: settled,
            arrived: false,
        });
        // Events are counted from 1.
        At::After(received.map(|received| received.saturating_sub(1)))
    }

    /// Takes an event.
    pub(super) fn data(&mut self, envelope: Envelope, linked: bool, counters: &Counters) -> Result<(), Ending> {
        let stream = if linked { self.place(&envelope, counters)? } else { Placed::Unnumbered };
        let stream = match stream {
            Placed::Again => return Ok(()),
            Placed::Unnumbered => None,
            Placed::New(stream) => Some(stream),
        };
        counters.received.increment();
        counters.received_bytes.add(envelope.payload.len() as u64);
        self.arrivals.push(message(envelope, stream));
        Ok(())
    }

    fn place(&mut self, envelope: &Envelope, counters: &Counters) -> Result<Placed, Ending> {
        let id = std::str::from_utf8(&envelope.id).unwrap_or_default();
        let (index, sequence) = self.find(id).ok_or_else(|| Ending::violation("an event of an unknown stream"))?;
        self.last = index;
        let incoming = &mut self.streams[index];
        if envelope.replayed {
            return Ok(Placed::New(incoming.stream.clone()));
        }
        let mut place = incoming.progress.lock();
        if place.received.is_some_and(|received| sequence < received) {
            counters.duplicates.increment();
            return Ok(Placed::Again);
        }
        if place.received.is_none() {
            // Whatever was before the first event is not missing: it was never asked for.
            place.pass_over(sequence);
            incoming.acknowledged = sequence;
        }
        place.received = Some(sequence + 1);
        incoming.arrived = true;
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
        let missing = gap.missing.map_or_else(|| "some".to_owned(), |missing| missing.to_string());
        log::warn!("stream {}: {missing} events are missing (gap): {}", incoming.stream, gap.reason.escape_debug());
        counters.gaps.increment();
        counters.missing.add(gap.missing.unwrap_or(0));
        incoming.pass_over(gap.next);
        if wanted {
            let stream = incoming.stream.clone();
            self.arrivals.push(message(envelope.clone(), Some(stream)));
        }
        Ok(())
    }

    pub(super) fn malformed(&mut self, malformed: Malformed, message: &Bytes) {
        self.arrivals.push(Arrival::Malformed(message.clone(), Box::new(malformed)));
    }

    /// Queues something for the pipeline that is no event.
    pub(super) fn pass(&mut self, envelope: Envelope) {
        self.arrivals.push(message(envelope, None));
    }

    /// What has arrived since the last call.
    pub(super) fn arrived(&mut self) -> Result<Option<Arrived>, Ending> {
        let rolled_back = |incoming: &Incoming| incoming.progress.lock().generation() != incoming.generation;
        if self.streams.iter().any(rolled_back) {
            self.arrivals.clear();
            return Err(Ending::again("the pipeline did not take what it was given"));
        }
        if self.arrivals.is_empty() {
            return Ok(None);
        }
        let arrived = |incoming: &mut Incoming| std::mem::take(&mut incoming.arrived).then(|| incoming.progress.clone());
        let progress: Vec<_> = self.streams.iter_mut().filter_map(arrived).collect();
        let receipt = (!progress.is_empty()).then(|| Receipt::new(progress));
        Ok(Some(Arrived { arrivals: std::mem::take(&mut self.arrivals), receipt }))
    }

    /// What is to be acknowledged now.
    pub(super) fn acknowledge(&mut self, config: &FederationConfig, now: Instant) -> Vec<Position> {
        let mut behind = 0;
        for incoming in &self.streams {
            behind = behind.max(incoming.progress.lock().settled().saturating_sub(incoming.acknowledged));
        }
        if behind == 0 {
            self.due = None;
            return Vec::new();
        }
        let due = *self.due.get_or_insert(now + config.ack_delay);
        if due > now && behind < config.window.events / 2 {
            return Vec::new();
        }
        self.due = None;
        self.streams.iter_mut().filter_map(Incoming::acknowledge).collect()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

enum Placed {
    New(Arc<str>),
    /// It had been received before.
    Again,
    /// It says nothing of where it belongs.
    Unnumbered,
}

impl Incoming {
    fn acknowledge(&mut self) -> Option<Position> {
        let settled = self.progress.lock().settled();
        if settled <= self.acknowledged {
            return None;
        }
        self.acknowledged = settled;
        Some(Position { name: self.name.clone(), at: At::Through(settled - 1) })
    }

    fn pass_over(&mut self, next: u64) {
        let mut place = self.progress.lock();
        if self.arrived {
            // Settled with the events before it, which are still to be handed over.
            place.received = Some(next);
            return;
        }
        self.acknowledged = self.acknowledged.min(next);
        place.pass_over(next);
    }
}

fn message(envelope: Envelope, stream: Option<Arc<str>>) -> Arrival {
    let Envelope { kind, id, timestamp, payload, content, replayed } = envelope;
    Arrival::Message { kind, id, payload, content, timestamp, stream, replayed }
}
