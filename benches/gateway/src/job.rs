//! What a crowd is told to do; travels from the runner to its process as JSON.

use std::net::SocketAddr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Bytes of a measured message.
pub const MESSAGE_BYTES: usize = 200;

/// The channel everything is published to, where a protocol has channels.
pub const CHANNEL: &str = "bench";

/// What a crowd is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The gateway.
    pub address: SocketAddr,
    /// What is spoken on its connections.
    pub language: Language,
    /// Where what is published goes in, when that is somewhere else.
    #[serde(default)]
    pub entrance: Option<Entrance>,
    /// What is done there.
    pub work: Work,
}

/// Where a publisher connects to that does not connect to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrance {
    /// Who takes messages for the gateway.
    pub address: SocketAddr,
    /// What is spoken there.
    pub language: Language,
}

/// What is done at any gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Clients that read.
    pub subscribers: usize,
    /// Clients that subscribe to everything before the others and never read.
    pub frozen: usize,
    /// What each of those who read subscribes to.
    pub audience: Audience,
    /// What is published.
    pub task: Task,
}

/// What is spoken on a gateway's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// WebSocket messages, with what EventFlux calls a protocol inside. Other gateways are spoken to as [`Protocol::Raw`].
    WebSocket(Protocol),
    /// The protocol of NATS clients over TCP.
    Nats,
    /// The same inside WebSocket frames, which begin and end anywhere in it.
    NatsWebSocket,
}

/// What a client and EventFlux say in their WebSocket messages: the values of `websocket.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Payloads and nothing else: who is connected gets all of them
    Raw,
    /// Channels to subscribe to
    Channels,
    /// Subscriptions with filters
    Analytics,
    /// Subscriptions to patterns of event types
    Events,
}

/// Messages of one topic that follow each other: with many subscribers as with few, a write to one of them can carry so
/// many, and what differs is the cost of finding them.
pub const RUN: u64 = 32;

/// Who gets what. Messages have topics, numbered from 0, and go through them in turn, a [`RUN`] of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// Everybody gets everything.
    Everyone,
    /// Every subscriber has so many topics of its own, and gets nothing else.
    Split {
        /// Topics of each.
        topics: usize,
    },
}

/// What is published, after everybody was seen to get messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// As much as possible: no subscriber is ever further behind than `window`, so that nothing needs to be dropped.
    Saturate {
        /// How long, in milliseconds.
        milliseconds: u64,
        /// Published messages that may be under way.
        window: u64,
    },
    /// At a fixed rate.
    Pace {
        /// Messages to publish.
        messages: u64,
        /// Messages per second.
        per_second: u32,
        /// Messages at the beginning whose latency does not count.
        warm_up: u64,
    },
    /// Nothing: connections stay idle after a message to each.
    Idle {
        /// Subscribers that connect before the first look at the gateway's memory.
        first: usize,
    },
}

impl Protocol {
    /// Its name in properties and options.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Job {
    /// Where a publisher connects to, or everybody else, and what is spoken there.
    pub(crate) fn place(&self, publishes: bool) -> (SocketAddr, Language) {
        match self.entrance {
            Some(Entrance { address, language }) if publishes => (address, language),
            _ => (self.address, self.language),
        }
    }
}

impl Work {
    /// The number of topics that messages go through.
    pub fn topics(&self) -> u64 {
        match self.audience {
            Audience::Everyone => 1,
            Audience::Split { topics } => (self.subscribers * topics).max(1) as u64,
        }
    }

    /// Subscribers that get a message.
    pub fn fan_out(&self) -> u64 {
        match self.audience {
            Audience::Everyone => self.subscribers as u64,
            Audience::Split { .. } => 1,
        }
    }

    /// The topic of the message of this number, the first being 1.
    pub fn topic(&self, number: u64) -> u64 {
        number.saturating_sub(1) / RUN % self.topics()
    }

    /// Whether a subscriber should get messages of a topic.
    pub fn wants(&self, subscriber: usize, topic: u64) -> bool {
        match self.audience {
            Audience::Everyone => true,
            Audience::Split { .. } => topic % self.subscribers.max(1) as u64 == subscriber as u64,
        }
    }

    /// The topics of a subscriber's own; `None` where it gets everything. Neighbours belong to different subscribers.
    pub fn topics_of(&self, subscriber: usize) -> Option<Vec<u64>> {
        match self.audience {
            Audience::Everyone => None,
            Audience::Split { topics } => {
                Some((0..topics).map(|index| (subscriber + index * self.subscribers) as u64).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(subscribers: usize, audience: Audience) -> Work {
        Work { subscribers, frozen: 0, audience, task: Task::Saturate { milliseconds: 1, window: 1 } }
    }

    #[test]
    fn a_job_survives_its_journey() {
        let job = Job {
            address: ([127, 0, 0, 1], 1).into(),
            language: Language::WebSocket(Protocol::Raw),
            entrance: None,
            work: work(3, Audience::Split { topics: 2 }),
        };
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    }

    #[test]
    fn only_who_publishes_takes_another_entrance() {
        let entrance = Entrance { address: ([127, 0, 0, 1], 2).into(), language: Language::Nats };
        let job = Job {
            address: ([127, 0, 0, 1], 1).into(),
            language: Language::NatsWebSocket,
            entrance: Some(entrance),
            work: work(1, Audience::Everyone),
        };
        assert_eq!(job.place(true), (entrance.address, Language::Nats));
        assert_eq!(job.place(false), (job.address, Language::NatsWebSocket));
        assert_eq!(Job { entrance: None, ..job.clone() }.place(true), job.place(false));
    }

    #[test]
    fn a_run_of_messages_reaches_one_subscriber_and_the_next_run_another() {
        let work = work(3, Audience::Split { topics: 2 });
        let takers = |run: u64| (0..3).filter(move |taker| work.wants(*taker, work.topic(run * RUN + 1)));
        let runs: Vec<_> = (0..7).flat_map(takers).collect();
        assert_eq!(runs, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(work.topic(1), work.topic(RUN));
        assert_eq!(work.topics_of(1), Some(vec![1, 4]));
        assert!([1, 4].iter().all(|topic| work.wants(1, *topic)));
    }

    #[test]
    fn everyone_gets_every_topic() {
        let work = work(3, Audience::Everyone);
        assert_eq!((work.topics(), work.fan_out(), work.topic(9)), (1, 3, 0));
        assert!((0..3).all(|subscriber| work.wants(subscriber, 0)));
    }
}
