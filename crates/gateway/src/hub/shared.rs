//! A hub that gets what is published from a log that other hubs read as well.
//!
//! All of them have the same histories: the number of an event follows from its place in the log. So a client may go on at
//! any of them where it was at another. What is connected to a hub is its own business, but who is present on a channel it
//! learns from the others.

use std::ops::RangeInclusive;

use super::Hub;

/// The most events of one entry of a log.
pub const EVENTS_PER_ENTRY: usize = 4096;

const SPAN: u64 = EVENTS_PER_ENTRY as u64;

/// The numbers of the events of an entry.
pub(super) fn numbers(sequence: u64) -> RangeInclusive<u64> {
    let first = sequence.saturating_mul(SPAN);
    first..=first.saturating_add(SPAN - 1)
}

/// Told that somebody came to a channel, or left it.
pub(super) struct Watch(pub(super) Box<dyn Fn(&str) + Send + Sync>);

impl Hub {
    /// The log begins, and its entries up to `before` are gone. The same log may begin again: when entries are gone that
    /// did not come here.
    ///
    /// Returns whether clients may have missed something. They are not told of it here: a driver ends their connections, so
    /// that they come back and learn what is still remembered.
    pub fn begin(&self, epoch: &str, before: u64) -> bool {
        let last = *numbers(before).end();
        let known = self.channels.epoch();
        let is_same = *known == *epoch;
        if is_same && self.channels.reached() >= before.saturating_mul(SPAN) {
            return false;
        }
        self.channels.restart(epoch, last);
        !known.is_empty()
    }

    /// `watch` is told the name of a channel whenever its members here change, where presence is kept. Only the first that
    /// is given is.
    pub fn watch_presence(&self, watch: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.watch.set(Watch(Box::new(watch)));
    }

    /// Session and user of everybody who is on a channel and connected here, at most `limit`.
    #[must_use]
    pub fn present_here(&self, channel: &str, limit: usize) -> Vec<(String, Option<String>)> {
        self.directory.present_here(channel, limit)
    }

    /// Who is on a channel and connected to the hub `instance`; nobody: it says nothing of the channel any more.
    pub fn set_present_elsewhere(&self, channel: &str, instance: &str, members: Vec<(String, Option<String>)>) {
        self.directory.set_elsewhere(channel, instance, members, self.config.max_channels);
    }

    /// The members of a channel here have changed.
    pub(crate) fn presence_changed(&self, channel: &str) {
        if let Some(Watch(watch)) = self.watch.get() {
            watch(channel);
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}
