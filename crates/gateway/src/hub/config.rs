//! Limits and policies of a hub. Every one has a property in the connector.

use std::time::{Duration, Instant};

use eventflux_core::metrics::Counter;

use super::history::HistoryLimits;
use super::reader::Read;
use crate::filter::FilterLimits;

/// How a hub behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct HubConfig {
    /// Largest number of connections.
    pub max_connections: usize,
    /// Largest number of connections of one address.
    pub max_connections_per_address: Option<usize>,
    /// Largest number of connections of one user: devices, tabs.
    pub max_connections_per_user: Option<usize>,
    /// Largest number of subscriptions of one connection. A pattern is one, and so is each channel.
    pub max_subscriptions: usize,
    /// Largest number of subscribers of one channel.
    pub max_subscribers: usize,
    /// Largest number of channels that exist at a time. A channel exists while it has subscribers or a history.
    pub max_channels: usize,
    /// Largest number of requests of one connection that wait for the pipeline's answer.
    pub max_requests: usize,
    /// How long a request waits.
    pub request_timeout: Duration,
    /// How many messages a connection may send; `None` for no limit.
    pub rate: Option<RateLimit>,
    /// Bounds on filters.
    pub filter: FilterLimits,
    /// Bytes of replies that may wait for one connection; one that asks on and does not read is closed.
    pub max_reply_bytes: usize,
    /// Whether clients may ask who is on a channel, and coming and going are events for the pipeline.
    pub presence: bool,
    /// How long a client may take to authenticate by a message; `None`: it need not.
    pub authentication: Option<Duration>,
    /// Whether each subscription is put before the driver ([`Effect::Authorize`](crate::Effect::Authorize)).
    pub authorizes_subscriptions: bool,
    /// Small messages to one client wait for each other; `None`: they do not.
    pub batching: Option<Batching>,
    /// Whether what is published comes from a log that other hubs read as well ([`Hub::apply`](crate::Hub::apply)), which
    /// numbers events and names the epoch of histories.
    pub shared: bool,
}

/// How long what is published is kept: a matter of whoever publishes.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// What may wait for one connection.
    pub queue: QueueLimits,
    /// What channels remember; `None`: nothing.
    pub history: Option<HistoryLimits>,
    /// How many keys of a channel have their latest event kept; `None`: none.
    pub snapshot_keys: Option<usize>,
    /// Where is counted what clients miss.
    pub losses: Losses,
}

/// What is lost to clients that read too slowly.
#[derive(Debug, Clone, Default)]
pub struct Losses {
    /// Events passed over, for each client.
    pub dropped: Counter,
    /// Clients that were closed.
    pub evicted: Counter,
}

/// How many messages a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// So many messages ...
    pub messages: usize,
    /// ... in any span of this length.
    pub per: Duration,
}

/// What may wait for one connection, per channel and for the connection's own texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Bytes.
    pub bytes: usize,
    /// Events; `None`: as many as fit.
    pub events: Option<usize>,
    /// Age of what waits longest; `None`: any.
    pub age: Option<Duration>,
    /// What happens beyond.
    pub full: FullPolicy,
}

/// What happens to a client that reads too slowly. Others never notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullPolicy {
    /// It is closed.
    Disconnect,
    /// It misses what waits longest.
    DropOldest,
    /// It misses what comes, until it has read what waits.
    DropNewest,
    /// It gets the newest event of each key, and of those without a key as much as fits.
    Conflate,
}

/// How messages wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// How long the first waits.
    pub delay: Duration,
    /// When as many bytes wait, they go at once.
    pub max_bytes: usize,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            max_connections: 1000,
            max_connections_per_address: None,
            max_connections_per_user: None,
            max_subscriptions: 50,
            max_subscribers: 10_000,
            max_channels: 100_000,
            max_requests: 100,
            request_timeout: Duration::from_secs(30),
            rate: None,
            filter: FilterLimits::default(),
            max_reply_bytes: 1024 * 1024,
            presence: false,
            authentication: None,
            authorizes_subscriptions: false,
            batching: None,
            shared: false,
        }
    }
}

impl QueueLimits {
    /// How many events may wait; one always may.
    pub(crate) fn events(&self) -> usize {
        self.events.map_or(usize::MAX, |events| events.max(1))
    }

    /// Whether something waits longer than it may.
    pub(super) fn is_too_long(&self, since: Option<Instant>, now: Instant) -> bool {
        self.age.zip(since).is_some_and(|(age, since)| now.saturating_duration_since(since) > age)
    }
}

impl Losses {
    pub(super) fn count(&self, read: &Read) {
        self.dropped.add(read.missed + read.missed_behind);
        self.evicted.add(u64::from(read.too_slow));
    }
}

impl Retention {
    /// Whether the other one keeps the same.
    pub(super) fn keeps_the_same(&self, other: &Self) -> bool {
        (self.queue, self.history, self.snapshot_keys) == (other.queue, other.history, other.snapshot_keys)
    }

    /// Whether anything is kept that nobody waits for.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.history.is_some() || self.snapshot_keys.is_some()
    }
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { bytes: 1024 * 1024, events: None, age: None, full: FullPolicy::DropOldest }
    }
}
