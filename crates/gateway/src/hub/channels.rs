//! The channels there are, by name, and the patterns that somebody subscribed to.
//!
//! An event passes with the table held for reading, and subscribers come and go with it held for writing: who changes
//! several places at once finds no event that has reached one of them and not the other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::channel::{Channel, Numbering};
use super::config::HubConfig;
use super::passing::Woken;
use super::past::Place;
use crate::pattern::{PatternKey, shrink_map};
use crate::{Pattern, PatternIndex, Problem};

/// Channels from which on those that have become unused with time are looked for.
const FIRST_SWEEP: usize = 1024;

/// How long a search for unused channels is not repeated that makes no difference.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How far ahead of us a client may be that comes from another hub of the same log: half a million entries. What is further
/// away is no place in it.
const MAX_AHEAD: u64 = 1 << 31;

/// See the module. A channel is made when somebody subscribes, or when something is published that is to be remembered.
#[derive(Debug)]
pub(crate) struct Channels {
    table: RwLock<Table>,
    /// Number of the last event, whichever channel it was for; only of a shared log.
    reached: AtomicU64,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    channels: usize,
    subscribers: usize,
    numbering: Numbering,
}

#[derive(Debug)]
struct Table {
    /// Of all histories.
    epoch: Arc<str>,
    exact: HashMap<Arc<str>, Arc<Channel>>,
    patterns: HashMap<Arc<str>, (PatternKey, Arc<Channel>)>,
    index: PatternIndex<Arc<Channel>>,
    /// No event that was published to a channel that is gone has a higher number.
    forgotten: u64,
    /// Unused channels are looked for when there are so many.
    sweep_at: usize,
    swept: Option<Instant>,
}

/// Where an event goes.
pub(super) struct Receivers<'t> {
    /// The epoch of histories.
    pub(super) epoch: &'t Arc<str>,
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
    reached: &'t AtomicU64,
    limits: Limits,
    pub(crate) now: Instant,
}

impl Channels {
    pub(super) fn new(config: &HubConfig, epoch: &str) -> Self {
        let table = Table {
            epoch: epoch.into(),
            exact: HashMap::new(),
            patterns: HashMap::new(),
            index: PatternIndex::new(),
            forgotten: 0,
            sweep_at: FIRST_SWEEP,
            swept: None,
        };
        let numbering = if config.shared { Numbering::Shared } else { Numbering::Own };
        let limits = Limits { channels: config.max_channels, subscribers: config.max_subscribers, numbering };
        Self { table: RwLock::new(table), reached: AtomicU64::new(0), limits }
    }

    pub(super) fn epoch(&self) -> Arc<str> {
        self.read().epoch.clone()
    }

    /// What was known is of no use any more: histories have this epoch, and events higher numbers than `last`.
    pub(super) fn restart(&self, epoch: &str, last: u64) {
        // Woken when the table is free again.
        let mut woken = Woken::default();
        let table = &mut *self.write();
        if *table.epoch != *epoch {
            table.epoch = epoch.into();
        }
        table.forgotten = last;
        self.reached.store(last, Ordering::Relaxed);
        table.exact.values().for_each(|channel| channel.restart(last, &mut woken));
    }

    /// Number of the last event of the log.
    pub(super) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.read().exact.len()
    }

    /// Calls `pass` with the channel of that name and the patterns that match it. When there is no such channel, one is
    /// made if it is to remember and there are not too many. `number`: of the event, where a log has numbered it.
    pub(super) fn pass<R>(
        &self,
        name: &str,
        remembers: bool,
        (now, number): (Instant, Option<u64>),
        pass: impl FnOnce(&Receivers<'_>) -> R,
    ) -> R {
        {
            let table = self.read();
            self.reach(number);
            let receivers = table.receivers(name);
            if receivers.exact.is_some() || !remembers {
                return pass(&receivers);
            }
        }
        let mut table = self.write();
        let is_forgotten = table.exact(name, self.limits, now).is_none();
        self.reach(number);
        if is_forgotten {
            // What nobody remembers is behind all positions that clients have.
            table.forgotten = number.unwrap_or(table.forgotten + 1);
        }
        pass(&Receivers { is_forgotten, ..table.receivers(name) })
    }

    /// Calls `work` while nobody comes or goes.
    pub(super) fn still<R>(&self, number: Option<u64>, work: impl FnOnce() -> R) -> R {
        let _table = self.read();
        self.reach(number);
        work()
    }

    /// Begins a change of subscribers.
    pub(crate) fn change(&self, now: Instant) -> Change<'_> {
        Change { table: self.write(), reached: &self.reached, limits: self.limits, now }
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

    /// To be called with the table held, so that whoever comes and goes finds it as the channels are.
    fn reach(&self, number: Option<u64>) {
        if let Some(number) = number {
            self.reached.store(number, Ordering::Relaxed);
        }
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

    /// The epoch of all histories.
    pub(crate) fn epoch(&self) -> &Arc<str> {
        &self.table.epoch
    }

    /// Where the history of a channel is now, also of one that has none yet: an offset that is smaller than those of all
    /// events to come.
    pub(crate) fn offset(&self, channel: Option<&Arc<Channel>>) -> u64 {
        match self.limits.numbering {
            Numbering::Own => channel.map_or(self.table.forgotten, |channel| channel.last()),
            Numbering::Shared => self.reached(),
        }
    }

    /// Whether everything behind `offset` is remembered, or still to come.
    pub(crate) fn remembers_since(&self, channel: Option<&Arc<Channel>>, offset: u64) -> bool {
        if self.is_ahead(offset) && offset - self.reached() > MAX_AHEAD {
            return false;
        }
        match (channel, self.limits.numbering) {
            (Some(channel), _) => channel.remembers_since(offset, self.now),
            (None, Numbering::Own) => offset == self.table.forgotten,
            (None, Numbering::Shared) => offset >= self.table.forgotten,
        }
    }

    /// From where a subscriber that has this event is told what followed; `None` when there is nothing to wait for.
    pub(crate) fn place(&self, channel: Option<&Arc<Channel>>, offset: u64) -> Option<Place> {
        if self.is_ahead(offset) {
            return self.remembers_since(channel, offset).then_some(Place { offset, is_ahead: true });
        }
        let is_behind = |channel: &Arc<Channel>| match self.limits.numbering {
            Numbering::Own => channel.has_history() && offset < channel.last(),
            // It may have said before that it is ahead.
            Numbering::Shared => true,
        };
        channel.is_some_and(is_behind).then_some(Place::known(offset))
    }

    /// Whether an event of that number was published elsewhere, and not here yet.
    fn is_ahead(&self, offset: u64) -> bool {
        self.limits.numbering == Numbering::Shared && offset > self.reached()
    }

    fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }

    /// The channel or pattern of that name, made when there is none, for somebody who has so many seats there that are
    /// given up for the new one.
    ///
    /// # Errors
    /// [`Problem::ChannelFull`]
    pub(crate) fn channel(&mut self, pattern: &Pattern, given_up: usize) -> Result<Arc<Channel>, Problem> {
        let full = || Problem::ChannelFull { channel: pattern.text().to_owned() };
        let channel = match pattern.is_exact() {
            true => self.table.exact(pattern.text(), self.limits, self.now),
            false => self.table.pattern(pattern, self.limits, self.now),
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
        Receivers { epoch: &self.epoch, exact: self.exact.get(name), patterns, is_forgotten: false }
    }

    fn exact(&mut self, name: &str, limits: Limits, now: Instant) -> Option<Arc<Channel>> {
        if let Some(channel) = self.exact.get(name) {
            return Some(channel.clone());
        }
        self.has_room(limits.channels, now).then(|| {
            let channel = Arc::new(Channel::new(name, false, self.forgotten, limits.numbering));
            self.exact.insert(channel.name().clone(), channel.clone());
            channel
        })
    }

    fn pattern(&mut self, pattern: &Pattern, limits: Limits, now: Instant) -> Option<Arc<Channel>> {
        if let Some((_, channel)) = self.patterns.get(pattern.text()) {
            return Some(channel.clone());
        }
        self.has_room(limits.channels, now).then(|| {
            // What a pattern's channels remember, they remember themselves.
            let channel = Arc::new(Channel::new(pattern.text(), true, 0, limits.numbering));
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
            self.forgotten = self.forgotten.max(channel.last());
        }
    }
}
