//! What happens in a simulation, drawn from its seed: one family of scenarios for each thing that can go wrong.

use std::time::Duration;

use eventflux_federation::envelope::{Content, Encoding};
use eventflux_federation::{FederationConfig, FullPolicy, History, OutletConfig, Reliable, Start, Window};
use fastrand::Rng;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A connection is cut; both ends notice.
    Cut,
    /// One end notices later.
    HalfOpen,
    /// Another connection is opened while the one before goes on.
    TakeOver,
    /// A receiver's process is another one.
    RestartReceiver,
    /// The sender's process is another one; what its stores had written is there.
    RestartSender,
    /// The disk does nothing for a while.
    FailStore,
    /// A receiver is away for long.
    Away,
    /// A receiver is away for ever.
    Gone,
    /// Sources come and go.
    Wants,
    /// A stream ends, and begins anew.
    Replace,
    /// A receiver asks for what it had before.
    Replay,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) family: Family,
    pub(crate) receivers: usize,
    pub(crate) streams: usize,
    /// Receivers send, too.
    pub(crate) both_ways: bool,
    pub(crate) batches: u32,
    pub(crate) faults: Vec<Fault>,
    pub(crate) max_faults: usize,
    pub(crate) agreed: bool,
    pub(crate) store_bytes: Option<usize>,
    /// Of a hundred batches, so many are not taken.
    pub(crate) not_taken: u32,
    /// A receiver may keep a batch so long.
    pub(crate) hold_ms: u64,
    pub(crate) filtered: bool,
    /// Connections end with something that has arrived and was not handed over.
    pub(crate) careless: bool,
    pub(crate) outlet: OutletConfig,
    pub(crate) window: Window,
    pub(crate) ack_delay: Duration,
    pub(crate) encoding: Encoding,
    pub(crate) start: Start,
    pub(crate) max_transmit: usize,
    pub(crate) payload: usize,
    /// Bytes of a message that receivers take.
    pub(crate) max_message: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Cuts,
    TakeOvers,
    NotTaken,
    Receivers,
    Senders,
    Stores,
    FullStores,
    DropOldest,
    DropOldestStored,
    DropNewest,
    Absent,
    Wants,
    Plain,
    TooLarge,
    Filtered,
    Everything,
}

impl Scenario {
    pub(crate) fn draw(family: Family, rng: &mut Rng) -> Self {
        let mut scenario = Self::common(family, rng);
        scenario.specialise(rng);
        scenario
    }

    fn common(family: Family, rng: &mut Rng) -> Self {
        let agreed = family != Family::Plain;
        let queue_bytes = one_of(rng, &[300, 2_000, 20_000]);
        Self {
            family,
            receivers: 1,
            streams: rng.usize(1..=2),
            both_ways: rng.u32(..4) == 0,
            batches: rng.u32(5..40),
            faults: vec![Fault::Cut],
            max_faults: rng.usize(..6),
            agreed,
            store_bytes: None,
            not_taken: 0,
            hold_ms: one_of(rng, &[0, 20, 400]),
            filtered: false,
            careless: agreed && rng.u32(..3) == 0,
            outlet: OutletConfig {
                stream: String::new(),
                content: Content::Json,
                queue_bytes,
                full: FullPolicy::Block,
                history: one_of(rng, &[History::default(), history(20, 2_000), history(1_000, 100_000)]),
                max_receivers: 4,
                forget_after: Duration::from_secs(600),
                expects_receiver: true,
            },
            window: Window { events: one_of(rng, &[1, 2, 7, 1_000]), bytes: one_of(rng, &[1, 100, 900, 1 << 20]) },
            ack_delay: Duration::from_millis(one_of(rng, &[0, 5, 50])),
            encoding: one_of(
                rng,
                &[Encoding::Json, Encoding::Json, Encoding::Json, Encoding::MessagePack, Encoding::Cbor],
            ),
            start: Start::Earliest,
            max_transmit: one_of(rng, &[1, 200, 100_000]),
            payload: one_of(rng, &[0, 60, 60, 3_000]),
            max_message: None,
        }
    }

    fn specialise(&mut self, rng: &mut Rng) {
        use Fault::{
            Away, Cut, FailStore, Gone, HalfOpen, Replace, Replay, RestartReceiver, RestartSender, TakeOver, Wants,
        };
        let store_bytes = one_of(rng, &[1_500, 8_000, 1 << 20]);
        match self.family {
            Family::Cuts => self.faults = vec![Cut, HalfOpen],
            Family::TakeOvers => self.faults = vec![TakeOver, TakeOver, Cut, HalfOpen],
            Family::NotTaken => (self.not_taken, self.faults) = (15, vec![Cut, TakeOver]),
            Family::Receivers => (self.not_taken, self.faults) = (rng.u32(..5), vec![RestartReceiver, Cut, TakeOver]),
            Family::Senders => self.faults = vec![RestartSender, Cut],
            Family::Stores => {
                self.store_bytes = Some(1 << 20);
                self.faults = vec![RestartSender, Cut, HalfOpen, RestartReceiver];
                self.outlet.queue_bytes = one_of(rng, &[300, 2_000]);
                self.hold_ms = 0;
                self.payload = self.payload.max(60);
            }
            Family::FullStores => {
                self.store_bytes = Some(store_bytes);
                self.faults = vec![FailStore, FailStore, Cut, RestartSender, TakeOver];
            }
            Family::DropOldest => {
                self.outlet.full = FullPolicy::DropOldest;
                self.outlet.queue_bytes = one_of(rng, &[300, 2_000]);
                self.payload = self.payload.max(60);
                self.faults = vec![Cut, HalfOpen, Away];
            }
            Family::DropOldestStored => {
                self.outlet.full = FullPolicy::DropOldest;
                self.store_bytes = Some(one_of(rng, &[1_500, 4_000]));
                self.payload = self.payload.max(60);
                self.faults = vec![Cut, FailStore, Away, RestartSender];
            }
            Family::DropNewest => {
                self.outlet.full = FullPolicy::DropNewest;
                self.store_bytes = rng.bool().then_some(store_bytes);
                self.outlet.queue_bytes = 300;
                self.payload = self.payload.max(60);
                self.faults = vec![Cut, Away];
            }
            Family::Absent => {
                self.receivers = rng.usize(2..=3);
                self.faults = vec![Away, Away, Cut];
                self.outlet.forget_after = Duration::from_secs(one_of(rng, &[1, 600]));
                if self.outlet.forget_after < Duration::from_secs(600) {
                    self.faults.push(Gone);
                }
                self.outlet.expects_receiver = rng.bool();
                self.store_bytes = rng.bool().then_some(store_bytes);
                self.start = if rng.bool() { Start::Latest } else { Start::Earliest };
            }
            Family::Wants => self.faults = vec![Wants, Wants, Replace, Cut],
            Family::TooLarge => {
                self.payload = 3_000;
                self.max_message = Some(1_500);
                self.store_bytes = rng.bool().then_some(1 << 20);
                self.faults = vec![Cut, TakeOver, RestartReceiver, RestartSender];
            }
            Family::Plain => self.faults = vec![Cut, HalfOpen],
            Family::Filtered => (self.filtered, self.faults) = (true, vec![Cut, Replay, Replay, TakeOver]),
            Family::Everything => {
                self.receivers = rng.usize(1..=3);
                self.both_ways = true;
                self.max_faults = rng.usize(3..10);
                self.not_taken = rng.u32(..5);
                self.store_bytes = rng.bool().then_some(store_bytes);
                self.faults =
                    vec![Cut, HalfOpen, TakeOver, RestartReceiver, RestartSender, FailStore, Away, Wants, Replace];
            }
        }
    }

    pub(crate) fn federation(&self, name: String) -> FederationConfig {
        FederationConfig {
            name,
            reliable: if self.agreed { Reliable::Require } else { Reliable::Off },
            window: self.window,
            start: self.start,
            ack_delay: self.ack_delay,
            encoding: self.encoding,
            max_message_bytes: self.max_message,
            ..FederationConfig::default()
        }
    }
}

fn history(events: u64, bytes: usize) -> History {
    History { events, bytes, age: Duration::from_secs(3_600) }
}

pub(crate) fn one_of<T: Copy>(rng: &mut Rng, values: &[T]) -> T {
    values[rng.usize(..values.len())]
}
