//! Places, links back to back, and a store that does what it is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use eventflux_federation::envelope::{Content, Kind, MessageId};
use eventflux_federation::{
    Arrival, Arrived, Counters, Ending, Federation, FederationConfig, FullPolicy, History, Link, Now, Opening,
    Outgoing, Outlet, OutletConfig, OutletCounters, Store, StoredPayloads, Wants,
};

/// Bytes that a connection takes at once.
const MAX_BYTES: usize = 1 << 20;

/// Turns of both ends before they have to be quiet.
const MAX_TURNS: usize = 1_000;

pub(crate) fn now() -> Now {
    Now { at: Instant::now(), unix_ms: 1_700_000_000_000 }
}

pub(crate) fn place(name: &str) -> Arc<Federation> {
    place_with(FederationConfig { name: name.to_owned(), ..FederationConfig::default() })
}

pub(crate) fn place_with(config: FederationConfig) -> Arc<Federation> {
    let federation = Federation::new(config, Counters::default(), now());
    federation.accept(everything());
    federation
}

pub(crate) fn everything() -> Wants {
    Wants { data: true, gaps: true, ..Wants::default() }
}

pub(crate) fn outlet_config() -> OutletConfig {
    OutletConfig {
        stream: "ticks".to_owned(),
        content: Content::Json,
        queue_bytes: 1 << 20,
        full: FullPolicy::Block,
        history: History::default(),
        max_receivers: 4,
        forget_after: Duration::from_secs(60),
        expects_receiver: true,
    }
}

pub(crate) fn outlet(config: OutletConfig) -> Arc<Outlet> {
    Arc::new(Outlet::new(config, OutletCounters::default()))
}

/// A stream of the place, and its outlet.
pub(crate) fn stream(federation: &Arc<Federation>) -> Arc<Outlet> {
    let outlet = outlet(outlet_config());
    assert!(federation.add_outlet(outlet.clone()));
    outlet
}

/// Publishes one event for each number.
pub(crate) fn publish(outlet: &Outlet, numbers: std::ops::RangeInclusive<u64>, now: Now) {
    let payloads: Vec<_> = numbers.map(|number| format!(r#"{{"n":{number}}}"#)).collect();
    assert_eq!(outlet.publish(payloads.iter().map(String::as_bytes), now), 0);
}

pub(crate) fn publish_bytes(outlet: &Outlet, bytes: usize, now: Now) -> u64 {
    let payload = format!(r#""{}""#, "x".repeat(bytes.saturating_sub(2)));
    outlet.publish(std::iter::once(payload.as_bytes()), now)
}

/// Two ends of one connection.
pub(crate) struct Pair {
    pub(crate) ends: [Link; 2],
    pub(crate) now: Now,
    /// What the pipelines were given and have not taken.
    pub(crate) given: [Vec<Arrived>; 2],
}

impl Pair {
    pub(crate) fn open(places: [&Arc<Federation>; 2], now: Now) -> Self {
        let ends = places.map(|place| {
            let opening = Opening { connection: "test".to_owned(), agreed: true, receiver: None };
            Link::new(place, opening, now).unwrap()
        });
        Self { ends, now, given: Default::default() }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// What an end has to say, if it knows that it has.
    pub(crate) fn transmit(&mut self, side: usize) -> Result<Vec<Outgoing>, Ending> {
        let mut out = Vec::new();
        let link = &mut self.ends[side];
        let is_due = link.deadline().is_some_and(|deadline| deadline <= self.now.at);
        if link.register(Waker::noop()) || is_due {
            link.transmit(self.now, MAX_BYTES, &mut out)?;
            if !out.is_empty() {
                link.flushed();
            }
        }
        Ok(out)
    }

    pub(crate) fn receive(&mut self, side: usize, messages: &[Outgoing]) -> Result<(), Ending> {
        let now = self.now;
        messages.iter().try_for_each(|message| self.ends[side].receive(&message.text, message.binary, now))
    }

    pub(crate) fn hand_over(&mut self, side: usize) -> Result<(), Ending> {
        self.given[side].extend(self.ends[side].arrived()?);
        Ok(())
    }

    /// Lets both ends talk until they have nothing more to say.
    pub(crate) fn run(&mut self) -> Result<(), Ending> {
        for _ in 0..MAX_TURNS {
            let mut is_quiet = true;
            for side in [0, 1] {
                let messages = self.transmit(side)?;
                is_quiet &= messages.is_empty() && !self.ends[side].register(Waker::noop());
                self.receive(1 - side, &messages)?;
                self.hand_over(1 - side)?;
            }
            if is_quiet {
                return Ok(());
            }
        }
        panic!("the ends never have enough of each other");
    }

    /// The numbers of the events that a pipeline was given, and gaps as the number behind them.
    pub(crate) fn numbers(&self, side: usize) -> Vec<Got> {
        self.given[side].iter().flat_map(|arrived| &arrived.arrivals).map(Got::new).collect()
    }

    /// The pipeline takes everything it was given.
    pub(crate) fn take(&mut self, side: usize) -> Vec<Got> {
        let numbers = self.numbers(side);
        self.given[side].drain(..).filter_map(|arrived| arrived.receipt).for_each(|receipt| receipt.taken());
        numbers
    }

    /// Time passes until what was taken is acknowledged.
    pub(crate) fn acknowledge(&mut self) {
        self.run().unwrap();
        self.pass(Duration::from_secs(1));
        self.run().unwrap();
    }
}

/// What a pipeline got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    Event(u64),
    /// Nothing before this one, and how many are missing.
    Gap(u64, u64),
    Restarted,
}

impl Got {
    fn new(arrival: &Arrival) -> Self {
        let Arrival::Message { kind, id, payload, .. } = arrival else { panic!("{arrival:?}") };
        if *kind == Kind::Data {
            return Self::Event(MessageId::parse(std::str::from_utf8(id).unwrap()).unwrap().sequence);
        }
        let gap: serde_json::Value = serde_json::from_slice(payload).unwrap();
        match gap["reason"].as_str().unwrap() {
            "sender_restarted" => Self::Restarted,
            _ => Self::Gap(gap["next"].as_u64().unwrap(), gap["missing"].as_u64().unwrap()),
        }
    }
}

pub(crate) fn events(numbers: std::ops::RangeInclusive<u64>) -> Vec<Got> {
    numbers.map(Got::Event).collect()
}

/// A store that answers when the test says so.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) appended: Mutex<Vec<StoredPayloads>>,
    pub(crate) forgotten: Mutex<Vec<u64>>,
    pub(crate) unwritten: Mutex<usize>,
    pub(crate) is_full: AtomicBool,
}

impl Store for Scripted {
    fn append(&self, payloads: StoredPayloads) {
        *self.unwritten.lock().unwrap() += payloads.data.len();
        self.appended.lock().unwrap().push(payloads);
    }

    fn has_room(&self) -> bool {
        !self.is_full.load(Ordering::Relaxed)
    }

    fn load(&self, _: u64, _: u64, _: usize) {}

    fn forget(&self, before: u64) {
        self.forgotten.lock().unwrap().push(before);
    }

    fn mark(&self, _: &str, _: u64, _: u64) {}

    fn unmark(&self, _: &str) {}

    fn unwritten_bytes(&self) -> usize {
        *self.unwritten.lock().unwrap()
    }
}

/// Notes that it was woken.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
