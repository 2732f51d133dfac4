//! Publishing to JetStream in order, many messages at a time, each confirmed by the server.
//!
//! A message that is not confirmed in time, or during whose way the connection was lost, is published again with the same
//! id, so that the stream drops it if it was stored before (within its duplicate window). Messages behind one that has to
//! be repeated are not overtaken by newer ones: nothing new is sent until what has to be repeated is confirmed.
//!
//! Order is kept as long as nothing has to be repeated. Of messages that were under way at the same time, when one of them
//! was refused or the connection was lost, later ones may be in the stream before earlier ones. With one message under way
//! at a time (`in_flight` 1) order is kept whatever happens.

mod answer;
mod driver;
mod report;
mod window;

use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use eventflux_core::EventFluxError;

use crate::{Connection, Observer};
use driver::Driver;

/// A message to publish.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Where to.
    pub subject: Subject,
    /// Its headers, without those of JetStream, which the publisher adds.
    pub headers: Option<HeaderMap>,
    /// Its payload.
    pub payload: Bytes,
    /// Its id for the stream's deduplication (`Nats-Msg-Id`); `None`: one that nobody else uses.
    pub id: Option<String>,
}

/// How messages are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherConfig {
    /// Most messages that were sent and are not confirmed.
    pub in_flight: usize,
    /// How long a confirmation may take before the message is sent again.
    pub ack_timeout: Duration,
    /// The stream that must store them (`Nats-Expected-Stream`).
    pub stream: String,
    /// First and longest pause before a message is sent again that was refused for a reason that passes: the stream is
    /// full, nobody answers.
    pub retry: (Duration, Duration),
    /// How often in a row a message is sent in vain before it counts as failed; `None`: until it succeeds. Counts answers
    /// of the server only, not times when the connection was away.
    pub max_attempts: Option<u32>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the stream.
    Stored {
        /// What [`Publisher::push`] called it.
        number: u64,
        /// Its place in the stream.
        sequence: u64,
        /// The stream had it already.
        duplicate: bool,
    },
    /// It is not, and will not be sent again.
    Failed {
        /// What [`Publisher::push`] called it.
        number: u64,
        /// Why. [`EventFluxError::Send`], not retryable for what would fail again: too large, not permitted, another
        /// stream took it.
        error: EventFluxError,
    },
}

/// See the module. Owned by one task, which pushes, and calls [`Publisher::next`] for what becomes of it.
///
/// Counts what it does, and explains the state of the observer while the stream refuses what it is sent.
pub struct Publisher {
    driver: Driver,
}

impl Publisher {
    /// A publisher without messages.
    pub fn new(connection: &Connection, config: PublisherConfig, observer: &Observer) -> Self {
        Self { driver: Driver::new(connection, config, observer) }
    }

    /// Whether another message can be pushed.
    pub fn has_room(&self) -> bool {
        self.driver.window().has_room()
    }

    /// How many messages can be pushed.
    pub fn room(&self) -> usize {
        self.driver.window().room()
    }

    /// Takes a message; returns its number, counted from 1. It is sent when [`Publisher::next`] is polled. Push only when
    /// there is room.
    pub fn push(&mut self, message: Outgoing) -> u64 {
        self.driver.push(message)
    }

    /// Messages of which the outcome was not taken.
    pub fn len(&self) -> usize {
        self.driver.window().len()
    }

    /// Whether the outcome of all was taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the last answer was that no stream takes the subject of a message: the stream may have to be created again.
    pub fn lacks_stream(&self) -> bool {
        self.driver.lacks_stream()
    }

    /// Sends, sends again, and resolves with the next outcome, in the order of numbers; never while there are no messages,
    /// and never after the connection has given up ([`Connection::given_up`]). Cancel safe.
    pub async fn next(&mut self) -> Outcome {
        poll_fn(|cx| self.driver.poll_next(cx)).await
    }

    /// The next outcome, when it is known now. Sends nothing.
    pub fn try_next(&mut self) -> Option<Outcome> {
        self.driver.take()
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("messages", &self.len()).finish_non_exhaustive()
    }
}
