//! What is measured.

use clap::ValueEnum;

use crate::contestant::{Contestant, Program};
use crate::job::{Audience, Protocol, Task, Work};

/// Part of the window that is used where every message goes to one subscriber, as a divisor: they might all be its own.
const SPLIT_WINDOW_DIVISOR: u64 = 4;

/// Rate of paced runs, in messages per second.
const PACED_RATE: u32 = 20;

/// Part of the paced messages that warms caches up, as a divisor.
const WARM_UP_DIVISOR: u64 = 20;

/// Idle connections before the first look at memory, so that what is allocated once does not count.
const FIRST_IDLE: usize = 32;

/// Few subscribers, where many are compared with few.
const FEW: usize = 10;

/// Something to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Messages to 1,000 subscribers of one channel, as fast as possible
    #[value(name = "fan-out-1000")]
    FanOut1000,
    /// Messages to 100 subscribers of one channel, as fast as possible
    #[value(name = "fan-out-100")]
    FanOut100,
    /// 20 messages a second to 1,000 subscribers: how long they take
    Latency,
    /// 10,000 connections on which nothing happens: what they hold
    Idle,
    /// 1,000 clients with a filter each, against 10: what a message costs that matches one
    Filters,
    /// 10,000 patterns, against 10: what a message costs that matches one
    Patterns,
    /// 50 clients that never read among 1,000: what the others notice
    Frozen,
}

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Length of a saturating run, in milliseconds.
    pub saturated_ms: u64,
    /// Messages that may be under way in a saturating run.
    pub window: u64,
    /// Idle connections.
    pub connections: usize,
    /// Length of a paced run, in seconds.
    pub paced_seconds: u64,
    /// Rounds; each runs every contestant once.
    pub rounds: usize,
    /// Takes this much fewer subscribers, filters and patterns than the scenarios say.
    pub divisor: usize,
}

impl Size {
    /// Just to see whether everything works.
    pub const QUICK: Self =
        Self { saturated_ms: 100, window: 64, connections: 64, paced_seconds: 1, rounds: 1, divisor: 50 };
}

/// A scenario may compare variants of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What tables call it; empty when it is the only one.
    pub label: String,
    /// What is done.
    pub(crate) work: Work,
}

impl Scenario {
    /// The heading of its table.
    #[must_use]
    pub fn title(self, size: Size) -> String {
        match self {
            Self::FanOut1000 | Self::FanOut100 => {
                format!("Fan-out to {} subscribers", thousands(self.subscribers(size)))
            }
            Self::Latency => {
                format!("{PACED_RATE} messages/s to {} subscribers", thousands(self.subscribers(size)))
            }
            Self::Idle => format!("{} idle connections", thousands(self.subscribers(size))),
            Self::Filters => "Filters, one of them matching".to_owned(),
            Self::Patterns => "Patterns, one of them matching".to_owned(),
            Self::Frozen => {
                format!(
                    "{PACED_RATE} messages/s to {} subscribers besides frozen ones",
                    thousands(self.subscribers(size))
                )
            }
        }
    }

    /// Its name in options.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether a contestant can take part: filters and patterns are part of a protocol of EventFlux.
    #[must_use]
    pub fn fits(self, contestant: &Contestant) -> bool {
        match self.protocol() {
            Some(protocol) => contestant.program == Program::Eventflux && contestant.protocol == protocol,
            None => true,
        }
    }

    /// The protocol without which it means nothing.
    #[must_use]
    pub fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Filters => Some(Protocol::Analytics),
            Self::Patterns => Some(Protocol::Events),
            _ => None,
        }
    }

    /// Rounds of it: memory does not vary, one shows it.
    #[must_use]
    pub fn rounds(self, size: Size) -> usize {
        if self == Self::Idle { 1 } else { size.rounds }
    }

    /// What is done in each round.
    #[must_use]
    pub fn variants(self, size: Size) -> Vec<Variant> {
        let subscribers = self.subscribers(size);
        let everyone = |frozen, task| Work { subscribers, frozen, audience: Audience::Everyone, task };
        match self {
            Self::FanOut1000 | Self::FanOut100 => {
                vec![only(everyone(0, saturated(size, size.window)))]
            }
            Self::Latency => vec![only(everyone(0, paced(size)))],
            Self::Idle => vec![only(everyone(0, Task::Idle { first: FIRST_IDLE }))],
            Self::Filters => split("filters", size, [(FEW, 1), (subscribers, 1)]),
            Self::Patterns => split("patterns", size, [(FEW, 1), (subscribers, 100)]),
            Self::Frozen => {
                let frozen = (50 / size.divisor).max(1);
                vec![
                    Variant { label: "none frozen".to_owned(), work: everyone(0, paced(size)) },
                    Variant { label: format!("{frozen} frozen"), work: everyone(frozen, paced(size)) },
                ]
            }
        }
    }

    fn subscribers(self, size: Size) -> usize {
        let full = match self {
            Self::FanOut1000 | Self::Latency | Self::Filters => 1_000,
            Self::FanOut100 | Self::Patterns => 100,
            Self::Frozen => 950,
            Self::Idle => return size.connections,
        };
        (full / size.divisor).max(1)
    }
}

fn only(work: Work) -> Variant {
    Variant { label: String::new(), work }
}

fn saturated(size: Size, window: u64) -> Task {
    Task::Saturate { milliseconds: size.saturated_ms, window }
}

fn paced(size: Size) -> Task {
    let messages = size.paced_seconds * u64::from(PACED_RATE);
    Task::Pace { messages, per_second: PACED_RATE, warm_up: messages / WARM_UP_DIVISOR }
}

/// Few and many, as numbers of subscribers and of topics each, with the same messages and matches.
fn split(what: &str, size: Size, cases: [(usize, usize); 2]) -> Vec<Variant> {
    let task = saturated(size, (size.window / SPLIT_WINDOW_DIVISOR).max(1));
    let variant = |(subscribers, topics): (usize, usize)| Variant {
        label: format!("{} {what}", thousands(subscribers * topics)),
        work: Work { subscribers, frozen: 0, audience: Audience::Split { topics }, task },
    };
    cases.map(variant).to_vec()
}

fn thousands(number: usize) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Size =
        Size { saturated_ms: 3_000, window: 1024, connections: 10_000, paced_seconds: 10, rounds: 5, divisor: 1 };

    #[test]
    fn few_and_many_get_the_same_messages_with_one_match_each() {
        for scenario in [Scenario::Filters, Scenario::Patterns] {
            let variants = scenario.variants(FULL);
            let [few, many] = &variants[..] else { panic!("{variants:?}") };
            assert_eq!(few.work.task, many.work.task);
            assert_eq!((few.work.fan_out(), many.work.fan_out()), (1, 1));
        }
        assert_eq!(Scenario::Patterns.variants(FULL)[1].label, "10,000 patterns");
    }

    #[test]
    fn filters_are_for_those_who_have_them() {
        let all = Contestant::all(Program::value_variants(), Protocol::value_variants());
        let fitting: Vec<_> = all.iter().filter(|one| Scenario::Filters.fits(one)).map(|one| &one.name).collect();
        assert_eq!(fitting, ["eventflux analytics"]);
        assert!(all.iter().all(|one| Scenario::Frozen.fits(one)));
    }

    #[test]
    fn a_quick_run_does_something_in_every_scenario() {
        for scenario in Scenario::value_variants() {
            let variants = scenario.variants(Size::QUICK);
            assert!(variants.iter().all(|variant| variant.work.subscribers > 0), "{scenario:?}");
        }
    }
}
