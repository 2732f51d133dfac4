//! The channels there are, by name, and the patterns that somebody subscribed to.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use super::channel::Channel;
use super::config::HubConfig;
use crate::pattern::PatternKey;
use crate::{Pattern, PatternIndex};

/// See the module. A channel is made when somebody subscribes, or when something is published that is to be remembered.
#[derive(Debug)]
pub(crate) struct Channels {
    table: RwLock<Table>,
    max_channels: usize,
}

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<Arc<str>, Arc<Channel>>,
    patterns: HashMap<Arc<str>, (PatternKey, Arc<Channel>)>,
    index: PatternIndex<Arc<Channel>>,
    /// Removals of unused channels are tried again when there are so many.
    sweep_at: usize,
}

/// Channels from which on those that have become unused with time are looked for.
const FIRST_SWEEP: usize = 1024;

impl Channels {
    pub(super) fn new(config: &HubConfig) -> Self {
        Self {
            table: RwLock::new(Table { sweep_at: FIRST_SWEEP, ..Table::default() }),
            max_channels: config.max_channels,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.read().exact.len()
    }

    /// Visits the channel of that name, if there is one, and the patterns that match it.
    pub(super) fn each_receiving(&self, name: &str, mut visit: impl FnMut(&Arc<Channel>)) {
        let table = self.read();
        table.exact.get(name).into_iter().for_each(&mut visit);
        if !table.index.is_empty() {
            table.index.for_each_match(name, visit);
        }
    }

    /// The channel of that name, and the patterns that match it. When there is no such channel, one is made if it is to
    /// remember and there are not too many.
    pub(super) fn receiving(&self, name: &str, remembers: bool, now: Instant, patterns: &mut Vec<Arc<Channel>>) -> Option<Arc<Channel>> {
        let exact = {
            let table = self.read();
            if !table.index.is_empty() {
                table.index.for_each_match(name, |channel| patterns.push(channel.clone()));
            }
            table.exact.get(name).cloned()
        };
        match exact {
            None if remembers => self.write().exact(name, self.max_channels, now),
            exact => exact,
        }
    }

    /// The channel or pattern of that name, made when there is none; `None` when there are too many.
    pub(super) fn or_new(&self, pattern: &Pattern, now: Instant) -> Option<Arc<Channel>> {
        let mut table = self.write();
        match pattern.is_exact() {
            true => table.exact(pattern.text(), self.max_channels, now),
            false => table.pattern(pattern, self.max_channels),
        }
    }

    /// The channel of that name, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Channel>> {
        self.read().exact.get(name).cloned()
    }

    /// Removes a channel that nobody needs any more.
    pub(crate) fn remove(&self, channel: &Arc<Channel>, now: Instant) {
        let mut table = self.write();
        // Under the lock, so that nobody finds it and subscribes.
        if !channel.remove(now) {
            return;
        }
        let is_same = |known: &Arc<Channel>| Arc::ptr_eq(known, channel);
        if table.exact.get(channel.name()).is_some_and(is_same) {
            table.exact.remove(channel.name());
        }
        if table.patterns.get(channel.name()).is_some_and(|(_, known)| is_same(known))
            && let Some((key, _)) = table.patterns.remove(channel.name())
        {
            table.index.remove(key);
        }
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

impl Table {
    fn exact(&mut self, name: &str, max_channels: usize, now: Instant) -> Option<Arc<Channel>> {
        if let Some(channel) = self.exact.get(name) {
            return Some(channel.clone());
        }
        self.sweep(max_channels, now);
        if self.len() >= max_channels {
            return None;
        }
        let channel = Arc::new(Channel::new(name, false));
        self.exact.insert(channel.name().clone(), channel.clone());
        Some(channel)
    }

    fn pattern(&mut self, pattern: &Pattern, max_channels: usize) -> Option<Arc<Channel>> {
        if let Some((_, channel)) = self.patterns.get(pattern.text()) {
            return Some(channel.clone());
        }
        if self.len() >= max_channels {
            return None;
        }
        // What a pattern's channels remember, they remember themselves.
        let channel = Arc::new(Channel::new(pattern.text(), true));
        let key = self.index.insert(pattern, channel.clone());
        self.patterns.insert(channel.name().clone(), (key, channel.clone()));
        Some(channel)
    }

    fn len(&self) -> usize {
        self.exact.len() + self.patterns.len()
    }

    /// Removes the channels whose history has become empty with time; at most every time their number has doubled.
    fn sweep(&mut self, max_channels: usize, now: Instant) {
        if self.exact.len() < self.sweep_at.min(max_channels) {
            return;
        }
        self.exact.retain(|_, channel| !channel.remove(now));
        self.sweep_at = (self.exact.len() * 2).max(FIRST_SWEEP);
    }
}
