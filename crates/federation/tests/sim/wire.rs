//! Connections, and the drivers at their ends: they look at a link only when it rang, when its deadline has passed, or
//! when its connection did something.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use eventflux_federation::envelope::{Kind, Limits, read};
use eventflux_federation::{Link, Outgoing};

use crate::model::StreamKey;

/// Notes that it was woken.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// What is on its way to one end.
#[derive(Debug)]
pub(crate) enum InFlight {
    Message(Outgoing, Seen),
    /// The other end is closed.
    Closed,
}

/// A connection between two ends.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: usize,
    pub(crate) nodes: [usize; 2],
    pub(crate) agreed: bool,
    pub(crate) halves: [Option<Half>; 2],
    /// To each end, with the time of arrival.
    pub(crate) wires: [VecDeque<(u64, InFlight)>; 2],
    /// Nothing arrives any more.
    pub(crate) is_cut: bool,
    pub(crate) latency: u64,
}

/// One end.
#[derive(Debug)]
pub(crate) struct Half {
    pub(crate) link: Link,
    pub(crate) flag: Arc<Flag>,
    pub(crate) waker: Waker,
    /// Transmitted, and not taken by the connection yet.
    pub(crate) outbox: VecDeque<(Outgoing, Seen)>,
    /// Closes when the outbox is empty.
    pub(crate) is_ending: bool,
    /// A flush is under way.
    pub(crate) is_flushing: bool,
    /// Until when a timer runs.
    pub(crate) timer: Option<u64>,
    pub(crate) flights: Vec<Flight>,
}

/// What is under way of one stream, as an observer of the connection sees it.
#[derive(Debug)]
pub(crate) struct Flight {
    key: StreamKey,
    sent: VecDeque<(u64, u64)>,
}

/// What an observer reads in a message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Stream, number and bytes of an event.
    pub(crate) event: Option<(StreamKey, u64, u64)>,
    /// What an acknowledgement says has been taken.
    pub(crate) through: Vec<(StreamKey, u64)>,
}

pub(crate) fn look_into(message: &Outgoing) -> Seen {
    let envelope = read(&message.text, message.binary, &Limits::default()).expect("an envelope");
    let mut seen = Seen::default();
    match envelope.kind {
        Kind::Data if !envelope.replayed => {
            let id = std::str::from_utf8(&envelope.id).unwrap();
            let id = eventflux_federation::envelope::MessageId::parse(id).unwrap();
            seen.event = Some(((id.stream.to_owned(), id.epoch), id.sequence, envelope.payload.len() as u64));
        }
        Kind::Ack => {
            let ack: serde_json::Value = serde_json::from_slice(&envelope.payload).unwrap();
            for position in ack["streams"].as_array().unwrap() {
                let epoch = u64::from_str_radix(position["epoch"].as_str().unwrap(), 16).unwrap();
                if let Some(through) = position["through"].as_u64() {
                    seen.through.push(((position["stream"].as_str().unwrap().to_owned(), epoch), through));
                }
            }
        }
        _ => {}
    }
    seen
}

impl Half {
    pub(crate) fn new(link: Link) -> Self {
        let flag = Arc::new(Flag::default());
        Self {
            link,
            waker: flag.clone().into(),
            flag,
            outbox: VecDeque::new(),
            is_ending: false,
            is_flushing: false,
            timer: None,
            flights: Vec::new(),
        }
    }

    /// An event is sent: how many are under way of its stream now, and their bytes.
    pub(crate) fn sends(&mut self, key: StreamKey, sequence: u64, bytes: u64) -> (u64, u64) {
        let index = self.flights.iter().position(|flight| flight.key == key).unwrap_or_else(|| {
            self.flights.push(Flight { key, sent: VecDeque::new() });
            self.flights.len() - 1
        });
        let sent = &mut self.flights[index].sent;
        assert!(sent.back().is_none_or(|(last, _)| *last < sequence), "events are sent in order");
        sent.push_back((sequence, bytes));
        (sent.len() as u64, sent.iter().map(|(_, bytes)| bytes).sum())
    }

    /// The peer has taken everything up to `through`.
    pub(crate) fn hears(&mut self, key: &StreamKey, through: u64) {
        for flight in self.flights.iter_mut().filter(|flight| flight.key == *key) {
            while flight.sent.front().is_some_and(|(sequence, _)| *sequence <= through) {
                flight.sent.pop_front();
            }
        }
    }
}
