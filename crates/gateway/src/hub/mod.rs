//! What all sessions of a path share: channels, who is connected, and what is published.

mod backlog;
mod channel;
mod channels;
mod config;
mod directory;
mod framing;
mod history;
mod item;
mod mailbox;
mod passing;
mod past;
mod publish;
mod reader;
mod seats;
mod shared;
mod stats;
mod track;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

pub(crate) use channel::Channel;
pub(crate) use channels::Change;
use channels::Channels;
pub use config::{Batching, FullPolicy, HubConfig, Losses, QueueLimits, RateLimit, Retention};
use directory::Directory;
pub(crate) use directory::{Interest, Member};
pub use framing::{Framed, Framing, SharedFraming};
pub use history::HistoryLimits;
pub(crate) use item::{Content, Event, Item, SharedEvent, Snapshot, Wanted};
pub(crate) use mailbox::Mailbox;
pub(crate) use past::Place;
pub use publish::{Address, Publication, Published};
pub(crate) use reader::Read;
pub(crate) use seats::{Before, Joining, Matched, Seat};
pub use shared::EVENTS_PER_ENTRY;
pub(crate) use stats::Counters;
pub use stats::Stats;

use eventflux_core::metrics::Metrics;

use crate::dialects::Dialect;
use crate::filter::{Filter, FilterTable};
use crate::session::{Arrival, Session};
use crate::{Ending, Problem};

/// Kinds of messages for the pipeline that come from the hub itself: somebody subscribed to a channel.
pub const JOIN: &str = "join";

/// Somebody no longer subscribes to a channel.
pub const LEAVE: &str = "leave";

/// Everything that the connections of one path have in common. Shared by their tasks and by publishers.
#[derive(Debug)]
pub struct Hub {
    dialect: &'static dyn Dialect,
    config: HubConfig,
    channels: Channels,
    directory: Directory,
    /// Kinds of messages that the pipeline takes.
    accepts: RwLock<Accepts>,
    counters: Counters,
    /// Compiled filters, each text once.
    filters: Mutex<FilterTable>,
    stopping: AtomicBool,
    watch: OnceLock<shared::Watch>,
}

/// Where a hub is.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The path it serves, a label of its metrics.
    pub path: &'a str,
    /// Where it counts.
    pub metrics: &'a Metrics,
    /// Names its histories: one that was never used before, or, for a hub that shares a log with others, empty until
    /// [`Hub::begin`] tells.
    pub epoch: &'a str,
}

/// Which messages of clients the pipeline takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepts {
    /// By kind.
    pub kinds: Vec<String>,
    /// All of them, whatever their kind.
    pub any: bool,
}

impl Hub {
    /// A hub without connections.
    #[must_use]
    pub fn new(dialect: &'static dyn Dialect, config: HubConfig, origin: &Origin<'_>) -> Arc<Self> {
        Arc::new(Self {
            dialect,
            channels: Channels::new(&config, origin.epoch),
            directory: Directory::default(),
            accepts: RwLock::default(),
            counters: Counters::new(origin.metrics, origin.path),
            filters: Mutex::default(),
            stopping: AtomicBool::new(false),
            watch: OnceLock::new(),
            config,
        })
    }

    /// The protocol of its clients.
    #[must_use]
    pub fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }

    /// Its limits and policies.
    #[must_use]
    pub fn config(&self) -> &HubConfig {
        &self.config
    }

    /// The epoch of its histories; that of a shared log may change.
    #[must_use]
    pub fn epoch(&self) -> Arc<str> {
        self.channels.epoch()
    }

    /// Takes a connection in.
    ///
    /// # Errors
    /// [`Ending::Capacity`] when there are as many as allowed, [`Ending::UserLimit`] when it is the user's,
    /// [`Ending::GoingAway`] when the hub stops.
    pub fn connect(self: &Arc<Self>, arrival: Arrival, now: Instant) -> Result<Session, Ending> {
        if self.is_stopping() {
            self.counters.refused();
            return Err(Ending::GoingAway);
        }
        let admitted = self.directory.admit(arrival.address, &self.config);
        let member = admitted.inspect_err(|_| self.counters.refused())?;
        self.counters.connected();
        let session = Session::begin(self.clone(), member, arrival, now);
        // After it was admitted: a stop either is seen here, or sees the session.
        let session = if self.is_stopping() { Err(Ending::GoingAway) } else { session };
        session.inspect_err(|_| self.counters.refused())
    }

    /// Whether a connection of this address would be taken in.
    ///
    /// # Errors
    /// As [`Hub::connect`].
    pub fn has_room(&self, address: IpAddr) -> Result<(), Ending> {
        let room = self.directory.has_room(address, &self.config);
        room.inspect_err(|_| self.counters.refused())
    }

    /// Counts a connection that the driver refused: it was not let in, or did not authenticate.
    pub fn count_refused(&self) {
        self.counters.refused();
    }

    /// Says which messages of clients the pipeline takes.
    pub fn accept(&self, accepts: Accepts) {
        *self.accepts.write().unwrap_or_else(PoisonError::into_inner) = accepts;
    }

    /// Ends all sessions, and takes no more in.
    pub fn stop(&self) {
        self.refuse_all();
        while self.dismiss(usize::MAX) > 0 {}
    }

    /// Takes no more sessions in.
    pub fn refuse_all(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Ends some sessions, those that were not ended yet; returns how many were. A driver that has thousands ends them
    /// some at a time, so that their clients do not all come back at the same moment.
    pub fn dismiss(&self, count: usize) -> usize {
        let mut dismissed = 0;
        self.directory.each(|member| {
            if dismissed < count && member.mailbox.ending().is_none() {
                member.mailbox.end(Ending::GoingAway);
                dismissed += 1;
            }
        });
        dismissed
    }

    /// Whether it takes no more connections in.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Events that the session which is furthest behind has not sent.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.most_behind(|member| member.mailbox.len() as u64 + member.unsent(), Channel::unread)
    }

    /// Bytes that wait here for the session for which most do: events on the channels it reads, and what was left for
    /// it alone. Not what its driver has taken, nor what it has yet to be told of a history. Looks at every session and
    /// subscription.
    #[must_use]
    pub fn backlog_bytes(&self) -> u64 {
        self.most_behind(|member| member.mailbox.bytes() as u64, Channel::unread_bytes)
    }

    /// The most that any session has in its hands and in channels.
    fn most_behind(
        &self,
        of_member: impl Fn(&Member) -> u64,
        of_channel: impl Fn(&Channel, &mut dyn FnMut(&Arc<Mailbox>, u64)),
    ) -> u64 {
        let mut behind: HashMap<*const Mailbox, u64> = HashMap::new();
        self.directory.each(|member| {
            behind.insert(Arc::as_ptr(&member.mailbox), of_member(member));
        });
        self.channels.each(|channel| {
            of_channel(channel, &mut |mailbox, more| *behind.entry(Arc::as_ptr(mailbox)).or_default() += more);
        });
        behind.into_values().max().unwrap_or(0)
    }

    /// What happened since the hub was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (connections, users) = self.directory.count();
        self.counters.stats(connections, users, self.channels.len())
    }

    /// How many receive what is published to a channel.
    #[must_use]
    pub fn subscribers(&self, channel: &str) -> usize {
        let mut subscribers = 0;
        self.channels.each_receiving(channel, |channel| subscribers += channel.subscribers());
        subscribers
    }

    /// Messages that clients sent to the pipeline without a session.
    pub fn count_received(&self, messages: usize) {
        self.counters.received.add(messages as u64);
    }

    /// Whether the pipeline takes messages of that kind.
    #[must_use]
    pub fn takes(&self, kind: &str) -> bool {
        let accepts = self.accepts.read().unwrap_or_else(PoisonError::into_inner);
        accepts.any || accepts.kinds.iter().any(|known| known == kind)
    }

    pub(crate) fn channels(&self) -> &Channels {
        &self.channels
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The filter of a subscription; equal ones are the same.
    ///
    /// # Errors
    /// [`Problem::InvalidFilter`]
    pub(crate) fn filter(
        &self,
        fields: Option<&serde_json::Map<String, serde_json::Value>>,
        predicate: Option<&str>,
    ) -> Result<Option<Filter>, Problem> {
        let mut filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        filters.filter(fields, predicate, &self.config.filter)
    }
}
