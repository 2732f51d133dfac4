//! What is measured.

use clap::ValueEnum;
use eventflux_gateway_bench::Protocol;
use eventflux_gateway_bench::job::Task;

/// Rate of paced runs, in messages per second.
const PACED_RATE: u32 = 20;

/// Part of the paced messages that warms caches up, as a divisor.
const WARM_UP_DIVISOR: u64 = 20;

/// Part of the clients that there are where there are few, as a divisor.
const FEW_DIVISOR: usize = 100;

/// Clients that publish, where there are several.
const SEVERAL: usize = 4;

/// A table of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// From WebSockets to a stream in memory, confirmed
    StoreMemory,
    /// From WebSockets to a stream on disk, confirmed
    StoreFile,
    /// From a subject to 1,000 WebSocket clients, as fast as possible
    FanOut,
    /// 20 messages a second from a subject to 1,000 WebSocket clients: how long they take
    Latency,
    /// A gateway with 1,000 clients, by itself, with a backplane, and with a second gateway on it: as fast as possible
    GatewaysFanOut,
    /// The same with few clients, where the backplane is most of the cost
    GatewaysFew,
    /// The same at 20 messages a second
    GatewaysLatency,
}

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Messages that are stored in a run.
    pub messages: u64,
    /// Most messages that were published to a stream and are not confirmed.
    pub in_flight: usize,
    /// Clients that subscribe.
    pub subscribers: usize,
    /// Length of a saturating run, in milliseconds.
    pub saturated_ms: u64,
    /// Messages that may be under way to clients in a saturating run.
    pub window: u64,
    /// Length of a paced run, in seconds.
    pub paced_seconds: u64,
    /// Rounds.
    pub rounds: usize,
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub label: String,
    pub(crate) work: Work,
}

/// What is done in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Messages are stored.
    Deposit(Deposit),
    /// Messages go to many clients.
    FanOut(FanOut),
}

/// Messages are stored in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deposit {
    pub(crate) publishing: Publishing,
    pub(crate) storage: Storage,
    pub(crate) messages: u64,
    pub(crate) in_flight: usize,
}

/// Who publishes to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publishing {
    /// A program with the client library of NATS and nothing else.
    Library {
        /// Whether messages have ids for deduplication.
        ids: bool,
    },
    /// A pipeline, which gets them from so many WebSocket clients.
    Pipeline { clients: usize },
}

/// Where a stream is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    Memory,
    File,
}

/// Messages go to many clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FanOut {
    pub(crate) gateway: Gateway,
    pub(crate) subscribers: usize,
    pub(crate) task: Task,
}

/// What clients are connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// The NATS server, over WebSockets.
    ServerWebSocket,
    /// The NATS server, over TCP.
    ServerTcp,
    /// A pipeline that subscribes to a subject; clients speak this.
    Bridge(Protocol),
    /// A pipeline that takes messages from a WebSocket, without NATS.
    Embedded,
    /// The same with a backplane.
    Backplane {
        /// Where the backplane is kept.
        storage: Storage,
        /// Whether there is a second instance.
        second: bool,
    },
}

impl Size {
    /// Just to see whether everything works.
    pub const QUICK: Self = Self {
        messages: 2_000,
        in_flight: 64,
        subscribers: 20,
        saturated_ms: 100,
        window: 64,
        paced_seconds: 1,
        rounds: 1,
    };
}

impl Scenario {
    /// Its name in options.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What its table is called.
    #[must_use]
    pub fn title(self, size: Size) -> String {
        let in_flight = size.in_flight;
        let subscribers = match self.subscribers(size) {
            1 => "1 client".to_owned(),
            subscribers @ ..1_000 => format!("{subscribers} clients"),
            subscribers => format!("{},{:03} clients", subscribers / 1_000, subscribers % 1_000),
        };
        match self {
            Self::StoreMemory => format!("To a stream in memory, {in_flight} messages unconfirmed"),
            Self::StoreFile => format!("To a stream on disk, {in_flight} messages unconfirmed"),
            Self::FanOut => format!("From a subject to {subscribers}"),
            Self::Latency => format!("{PACED_RATE} messages/s from a subject to {subscribers}"),
            Self::GatewaysFanOut | Self::GatewaysFew => format!("{subscribers} of a gateway"),
            Self::GatewaysLatency => format!("{PACED_RATE} messages/s to {subscribers} of a gateway"),
        }
    }

    /// The label of the row that the others are compared with.
    pub(crate) fn baseline(self) -> &'static str {
        match self {
            Self::StoreMemory | Self::StoreFile => "floor",
            Self::FanOut | Self::Latency => "nats-server",
            Self::GatewaysFanOut | Self::GatewaysFew | Self::GatewaysLatency => "one",
        }
    }

    fn subscribers(self, size: Size) -> usize {
        if self == Self::GatewaysFew { (size.subscribers / FEW_DIVISOR).max(1) } else { size.subscribers }
    }

    /// Whether messages come at a fixed rate.
    pub(crate) fn is_paced(self) -> bool {
        matches!(self, Self::Latency | Self::GatewaysLatency)
    }

    /// Its rows.
    #[must_use]
    pub fn cases(self, size: Size) -> Vec<Case> {
        let task = if self.is_paced() { paced(size) } else { saturated(size) };
        match self {
            Self::StoreMemory => deposits(size, Storage::Memory),
            Self::StoreFile => deposits(size, Storage::File),
            Self::FanOut | Self::Latency => fan_outs(
                self.subscribers(size),
                task,
                [
                    ("nats-server", Gateway::ServerWebSocket),
                    ("raw", Gateway::Bridge(Protocol::Raw)),
                    ("channels", Gateway::Bridge(Protocol::Channels)),
                    ("nats-server-tcp", Gateway::ServerTcp),
                ],
            ),
            Self::GatewaysFanOut | Self::GatewaysFew | Self::GatewaysLatency => fan_outs(
                self.subscribers(size),
                task,
                [
                    ("one", Gateway::Backplane { storage: Storage::File, second: false }),
                    ("two", Gateway::Backplane { storage: Storage::File, second: true }),
                    ("one-memory", Gateway::Backplane { storage: Storage::Memory, second: false }),
                    ("embedded", Gateway::Embedded),
                ],
            ),
        }
    }
}

impl Case {
    /// Whether it needs the `eventflux` binary.
    #[must_use]
    pub fn needs_eventflux(&self) -> bool {
        match self.work {
            Work::Deposit(deposit) => matches!(deposit.publishing, Publishing::Pipeline { .. }),
            Work::FanOut(fan_out) => !matches!(fan_out.gateway, Gateway::ServerWebSocket | Gateway::ServerTcp),
        }
    }

    /// Whether it needs a NATS server.
    #[must_use]
    pub fn needs_nats(&self) -> bool {
        !matches!(self.work, Work::FanOut(FanOut { gateway: Gateway::Embedded, .. }))
    }
}

fn deposits(size: Size, storage: Storage) -> Vec<Case> {
    let case = |(label, publishing): (&str, Publishing)| Case {
        label: label.to_owned(),
        work: Work::Deposit(Deposit { publishing, storage, messages: size.messages, in_flight: size.in_flight }),
    };
    [
        ("floor", Publishing::Library { ids: false }),
        ("floor-ids", Publishing::Library { ids: true }),
        ("eventflux", Publishing::Pipeline { clients: 1 }),
        ("eventflux-4", Publishing::Pipeline { clients: SEVERAL }),
    ]
    .map(case)
    .to_vec()
}

fn fan_outs(subscribers: usize, task: Task, gateways: [(&str, Gateway); 4]) -> Vec<Case> {
    let case = |(label, gateway): (&str, Gateway)| Case {
        label: label.to_owned(),
        work: Work::FanOut(FanOut { gateway, subscribers, task }),
    };
    gateways.map(case).to_vec()
}

fn saturated(size: Size) -> Task {
    Task::Saturate { milliseconds: size.saturated_ms, window: size.window }
}

fn paced(size: Size) -> Task {
    let messages = size.paced_seconds * u64::from(PACED_RATE);
    Task::Pace { messages, per_second: PACED_RATE, warm_up: messages / WARM_UP_DIVISOR }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_rows_with_names_of_their_own_and_its_baseline() {
        for scenario in Scenario::value_variants() {
            let labels: Vec<_> = scenario.cases(Size::QUICK).into_iter().map(|case| case.label).collect();
            let mut unique = labels.clone();
            unique.sort();
            unique.dedup();
            assert_eq!(unique.len(), labels.len(), "{scenario:?}");
            assert!(labels.iter().any(|label| label == scenario.baseline()), "{scenario:?}");
        }
    }

    #[test]
    fn titles_say_how_many_clients_there_are() {
        let size = |subscribers| Size { subscribers, ..Size::QUICK };
        assert_eq!(Scenario::FanOut.title(size(1_000)), "From a subject to 1,000 clients");
        assert_eq!(Scenario::GatewaysFew.title(size(1_000)), "10 clients of a gateway");
        assert_eq!(Scenario::GatewaysFew.title(size(20)), "1 client of a gateway");
    }

    #[test]
    fn a_paced_run_warms_up_for_a_part_of_it() {
        let size = Size { paced_seconds: 10, ..Size::QUICK };
        assert_eq!(paced(size), Task::Pace { messages: 200, per_second: 20, warm_up: 10 });
    }
}
