//! The channels there are, by name, and the patterns that somebody subscribed to.
//!
//! An event passes with the table held for reading, and subscribers come and go with it held for writing: who changes
//! several places at once finds no event that has reached one of them and not the other.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::channel::Channel;
use super::config::HubConfig;
use crate::pattern::{PatternKey, shrink_map};
use crate::{Pattern, PatternIndex, Problem};

/// Channels from which on those that have become unused with time are looked for.
const FIRST_SWEEP: usize = 1024;

/// How long a search for unused channels is not repeated that makes no difference.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// See the module. A channel is made when somebody subscribes, or when something is published that is to be remembered.
#[derive(Debug)]
pub(crate) struct Channels {
    table: RwLock<Table>,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    channels: usize,
    subscribers: usize,
}

#[derive(Debug)]
struct Table {
    exact: HashMap<Arc<str>, Arc<Channel>>,
    patterns: HashMap<Arc<str>, (PatternKey, Arc<Channel>)>,
    index: PatternIndex<Arc<Channel>>,
    /// Number of the first event of channels to come: higher than any that was published to one that is gone.
    first: u64,
    /// Unused channels are looked for when there are so many.
    sweep_at: usize,
    swept: Option<Instant>,
}

/// Where an event goes.
pub(super) struct Receivers<'t> {
    /// The channel.
    pub(super) exact: Option<&'t Arc<Channel>>,
    /// The patterns that match its name.
    pub(super) patterns: Vec<&'t Arc<Channel>>,
    /// There are too many channels for it to be remembered.
    pub(super) is_forgotten: bool,
}

/// The table while subscribers come and go. No event passes meanwhile.
#[derive(Debug)]
pub(crate) struct Change<'t> {
    table: RwLockWriteGuard<'t, Table>,
    limits: Limits,
    pub(crate) now: Instant,
}

impl Channels {
    pub(super) fn new(config: &HubConfig) -> Self {
        let table = Table {
            exact: HashMap::new(),
            patterns: HashMap::new(),
            index: PatternIndex::new(),
            first: 1,
            sweep_at: FIRST_SWEEP,
            swept: None,
        };
        let limits = Limits { channels: config.max_channels, subscribers: config.max_subscribers };
        Self { table: RwLock::new(table), limits }
    }

    pub(super) fn len(&self) -> usize {
        self.read().exact.len()
    }

    /// Calls `pass` with the channel of that name and the patterns that match it. When there is no such channel, one is
    /// made if it is to remember and there are not too many.
    pub(super) fn pass<R>(
        &self,
        name: &str,
        remembers: bool,
        now: Instant,
        pass: impl FnOnce(&Receivers<'_>) -> R,
    ) -> R {
        {
            let table = self.read();
            let receivers = table.receivers(name);
            if receivers.exact.is_some() || !remembers {
                return pass(&receivers);
            }
        }
        let mut table = self.write();
        let is_forgotten = table.exact(name, self.limits.channels, now).is_none();
        // What nobody remembers is behind all positions that clients have.
        table.first += u64::from(is_forgotten);
        pass(&Receivers { is_forgotten, ..table.receivers(name) })
    }

    /// Calls `work` while nothing is published and nobody comes or goes.
    pub(super) fn still<R>(&self, work: impl FnOnce() -> R) -> R {
        let _table = self.read();
        work()
    }

    /// Begins a change of subscribers.
    pub(crate) fn change(&self, now: Instant) -> Change<'_> {
        Change { table: self.write(), limits: self.limits, now }
    }

    /// Visits the channel of that name, if there is one, and the patterns that match it.
    pub(super) fn each_receiving(&self, name: &str, visit: impl FnMut(&Arc<Channel>)) {
        let table = self.read();
        let receivers = table.receivers(name);
        receivers.exact.into_iter().chain(receivers.patterns).for_each(visit);
    }

    /// Visits all channels and patterns.
    pub(super) fn each(&self, mut visit: impl FnMut(&Arc<Channel>)) {
        let table = self.read();
        table.exact.values().chain(table.patterns.values().map(|(_, channel)| channel)).for_each(&mut visit);
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change<'_> {
    /// The channel of that name, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Channel>> {
        self.table.exact.get(name)
    }

    /// The last event that was published to a channel of which nothing is known any more: positions before it are of no
    /// use.
    pub(crate) fn last_forgotten(&self) -> u64 {
        self.table.first - 1
    }

    /// The channel or pattern of that name, made when there is none, for somebody who has so many seats there that are
    /// given up for the new one.
    ///
    /// # Errors
    /// [`Problem::ChannelFull`]
    pub(crate) fn channel(&mut self, pattern: &Pattern, given_up: usize) -> Result<Arc<Channel>, Problem> {
        let full = || Problem::ChannelFull { channel: pattern.text().to_owned() };
        let channel = match pattern.is_exact() {
            true => self.table.exact(pattern.text(), self.limits.channels, self.now),
            false => self.table.pattern(pattern, self.limits.channels, self.now),
        };
        let channel = channel.ok_or_else(full)?;
        if channel.subscribers() >= self.limits.subscribers.saturating_add(given_up) {
            return Err(full());
        }
        Ok(channel)
    }

    /// Removes the channel or pattern of that name, if nobody needs it.
    pub(crate) fn tidy_named(&mut self, pattern: &Pattern) {
        let table = &self.table;
        let channel = match pattern.is_exact() {
            true => table.exact.get(pattern.text()),
            false => table.patterns.get(pattern.text()).map(|(_, channel)| channel),
        };
        if let Some(channel) = channel.cloned() {
            self.tidy(&channel);
        }
    }

    /// Removes a channel that nobody needs.
    pub(crate) fn tidy(&mut self, channel: &Arc<Channel>) {
        if !channel.is_unused(self.now) {
            return;
        }
        let table = &mut *self.table;
        let is_same = |known: &Arc<Channel>| Arc::ptr_eq(known, channel);
        if table.exact.get(channel.name()).is_some_and(is_same) {
            table.exact.remove(channel.name());
            table.forget(channel);
            shrink_map(&mut table.exact);
        } else if table.patterns.get(channel.name()).is_some_and(|(_, known)| is_same(known))
            && let Some((key, _)) = table.patterns.remove(channel.name())
        {
            table.index.remove(key);
            shrink_map(&mut table.patterns);
        }
    }
}

impl Table {
    fn receivers(&self, name: &str) -> Receivers<'_> {
        let mut patterns = Vec::new();
        if !self.index.is_empty() {
            self.index.for_each_match(name, |channel| patterns.push(channel));
        }
        Receivers { exact: self.exact.get(name), patterns, is_forgotten: false }
    }

    fn exact(&mut self, name: &str, max_channels: usize, now: Instant) -> Option<Arc<Channel>> {
        if let Some(channel) = self.exact.get(name) {
            return Some(channel.clone());
        }
        self.has_room(max_channels, now).then(|| {
            let channel = Arc::new(Channel::new(name, false, self.first));
            self.exact.insert(channel.name().clone(), channel.clone());
            channel
        })
    }

    fn pattern(&mut self, pattern: &Pattern, max_channels: usize, now: Instant) -> Option<Arc<Channel>> {
        if let Some((_, channel)) = self.patterns.get(pattern.text()) {
            return Some(channel.clone());
        }
        self.has_room(max_channels, now).then(|| {
            // What a pattern's channels remember, they remember themselves.
            let channel = Arc::new(Channel::new(pattern.text(), true, 1));
            let key = self.index.insert(pattern, channel.clone());
            self.patterns.insert(channel.name().clone(), (key, channel.clone()));
            channel
        })
    }

    fn has_room(&mut self, max_channels: usize, now: Instant) -> bool {
        let is_full = self.len() >= max_channels;
        let is_recent = self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP_INTERVAL);
        if self.exact.len() >= self.sweep_at || (is_full && !is_recent) {
            self.sweep(now);
        }
        self.len() < max_channels
    }

    fn len(&self) -> usize {
        self.exact.len() + self.patterns.len()
    }

    /// Removes the channels whose history has become empty with time.
    fn sweep(&mut self, now: Instant) {
        let unused: Vec<_> = self.exact.values().filter(|channel| channel.is_unused(now)).cloned().collect();
        for channel in unused {
            self.exact.remove(channel.name());
            self.forget(&channel);
        }
        self.sweep_at = (self.exact.len() * 2).max(FIRST_SWEEP);
        self.swept = Some(now);
    }

    /// A channel is gone: if there is one of that name again, its events have higher numbers, so that nobody takes them
    /// for those that are gone.
    fn forget(&mut self, channel: &Channel) {
        if channel.has_history() {
            self.first = self.first.max(channel.last() + 1);
        }
    }
}
