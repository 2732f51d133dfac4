//! Whose acknowledgements an outlet waits for: receivers by their names, connected or not.

use std::collections::BTreeMap;
use std::time::Duration;

/// What is known of one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Receiver {
    /// It has acknowledged everything before.
    next: u64,
    /// The link that reads for it.
    link: Option<u64>,
    /// When it was last there.
    seen_ms: u64,
    /// It is known from before we were started, and has not been there since.
    is_restored: bool,
}

/// A receiver that was away before we were started has at least this part of the time to come, however long it was away:
/// there was nobody to come to.
const GRACE_PART: u64 = 4;

/// Receivers by name; bounded.
#[derive(Debug)]
pub(crate) struct Receivers {
    known: BTreeMap<String, Receiver>,
    max: usize,
    forget_after: Duration,
    /// There is always a receiver that is waited for, though none has come yet.
    expected: bool,
}

/// What attaching a link led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    /// Where the receiver had got to; `None` when it was not known.
    pub(crate) next: Option<u64>,
    /// The link that read for a receiver of that name until now.
    pub(crate) replaced: Option<u64>,
}

impl Receivers {
    pub(crate) fn new(max: usize, forget_after: Duration, expected: bool) -> Self {
        Self { known: BTreeMap::new(), max, forget_after, expected }
    }

    /// A receiver that is known from before.
    pub(crate) fn restore(&mut self, name: String, next: u64, seen_ms: u64) {
        self.known.insert(name, Receiver { next, link: None, seen_ms, is_restored: true });
    }

    /// `link` reads for the receiver `name` from now on; `None` when there is no room for another receiver.
    pub(crate) fn attach(&mut self, name: &str, link: u64, start: u64, now_ms: u64) -> Option<Attached> {
        if let Some(receiver) = self.known.get_mut(name) {
            (receiver.seen_ms, receiver.is_restored) = (now_ms, false);
            let replaced = receiver.link.replace(link).filter(|other| *other != link);
            return Some(Attached { next: Some(receiver.next), replaced });
        }
        if self.known.len() >= self.max {
            return None;
        }
        self.known
            .insert(name.to_owned(), Receiver { next: start, link: Some(link), seen_ms: now_ms, is_restored: false });
        Some(Attached { next: None, replaced: None })
    }

    /// `link` reads no longer.
    pub(crate) fn detach(&mut self, link: u64, now_ms: u64) {
        for receiver in self.known.values_mut().filter(|receiver| receiver.link == Some(link)) {
            receiver.link = None;
            receiver.seen_ms = now_ms;
        }
    }

    /// The receiver `name`, for which `link` reads, has everything before `next`. Whether that is news.
    pub(crate) fn acknowledge(&mut self, name: &str, link: u64, next: u64) -> bool {
        match self.known.get_mut(name) {
            Some(receiver) if receiver.link == Some(link) && receiver.next < next => {
                receiver.next = next;
                true
            }
            _ => false,
        }
    }

    /// Everybody has everything before; `None` when nobody is waited for.
    pub(crate) fn low(&self) -> Option<u64> {
        let low = self.known.values().map(|receiver| receiver.next).min();
        low.or(self.expected.then_some(0))
    }

    /// Whether somebody is waited for who has never come.
    pub(crate) fn awaits_first(&self) -> bool {
        self.known.is_empty() && self.expected
    }

    /// Whether nobody is waited for.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty() && !self.expected
    }

    /// Forgets those that have been away for too long: their names. Never `coming`, nor the last one where there always
    /// has to be one.
    pub(crate) fn forget_absent(&mut self, coming: Option<&str>, now_ms: u64) -> Vec<String> {
        if self.known.values().all(|receiver| receiver.link.is_some()) {
            return Vec::new();
        }
        let limit = self.forget_after.as_millis() as u64;
        let earliest = now_ms.saturating_sub(limit - limit / GRACE_PART);
        let mut names = Vec::new();
        for (name, receiver) in self.known.iter_mut().filter(|(_, receiver)| receiver.link.is_none()) {
            if std::mem::take(&mut receiver.is_restored) {
                receiver.seen_ms = receiver.seen_ms.max(earliest);
            }
            let is_gone = now_ms.saturating_sub(receiver.seen_ms) > limit && coming != Some(name);
            names.extend(is_gone.then(|| (receiver.seen_ms, name.clone())));
        }
        if self.expected && names.len() == self.known.len() {
            names.sort();
            names.pop();
        }
        let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
        names.iter().for_each(|name| _ = self.known.remove(name));
        names
    }

    /// Name, everything before, and whether it is connected.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64, bool)> {
        self.known.iter().map(|(name, receiver)| (name.as_str(), receiver.next, receiver.link.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receivers() -> Receivers {
        Receivers::new(2, Duration::from_secs(60), false)
    }

    #[test]
    fn a_receiver_that_comes_back_is_where_it_was() {
        let mut receivers = receivers();
        assert_eq!(receivers.attach("cloud", 1, 5, 0), Some(Attached { next: None, replaced: None }));
        assert!(receivers.acknowledge("cloud", 1, 9));
        assert!(!receivers.acknowledge("cloud", 1, 8));
        receivers.detach(1, 10);
        assert_eq!(receivers.attach("cloud", 2, 5, 20), Some(Attached { next: Some(9), replaced: None }));
    }

    #[test]
    fn the_later_of_two_of_one_name_reads() {
        let mut receivers = receivers();
        receivers.attach("cloud", 1, 1, 0);
        assert_eq!(receivers.attach("cloud", 2, 1, 0), Some(Attached { next: Some(1), replaced: Some(1) }));
        assert!(!receivers.acknowledge("cloud", 1, 7));
        receivers.detach(1, 0);
        assert!(receivers.acknowledge("cloud", 2, 7));
    }

    #[test]
    fn the_slowest_is_waited_for_until_it_is_forgotten() {
        let mut receivers = receivers();
        receivers.attach("a", 1, 1, 0);
        receivers.attach("b", 2, 1, 0);
        assert_eq!(receivers.attach("c", 3, 1, 0), None);
        receivers.acknowledge("b", 2, 50);
        assert_eq!(receivers.low(), Some(1));
        receivers.detach(1, 1_000);
        assert!(receivers.forget_absent(None, 61_000).is_empty());
        assert!(receivers.forget_absent(Some("a"), 61_001).is_empty());
        assert_eq!(receivers.forget_absent(None, 61_001), ["a"]);
        assert_eq!(receivers.low(), Some(50));
    }

    #[test]
    fn one_that_is_expected_is_waited_for_before_it_comes() {
        let mut receivers = Receivers::new(2, Duration::from_secs(60), true);
        assert_eq!((receivers.low(), receivers.is_empty()), (Some(0), false));
        receivers.attach("hub", 1, 1, 0);
        receivers.acknowledge("hub", 1, 4);
        assert_eq!(receivers.low(), Some(4));
    }

    #[test]
    fn the_last_one_is_kept_where_there_always_has_to_be_one() {
        let mut receivers = Receivers::new(2, Duration::from_secs(60), true);
        receivers.attach("a", 1, 5, 0);
        receivers.attach("b", 2, 7, 0);
        receivers.detach(1, 1_000);
        receivers.detach(2, 2_000);
        assert_eq!(receivers.forget_absent(None, 1_000_000), ["a"]);
        assert_eq!(receivers.low(), Some(7));
    }

    #[test]
    fn one_that_is_known_from_before_has_time_to_come() {
        let mut receivers = receivers();
        receivers.restore("a".to_owned(), 5, 0);
        receivers.restore("b".to_owned(), 5, 1_000_000);
        assert!(receivers.forget_absent(None, 1_000_000).is_empty());
        assert!(receivers.forget_absent(None, 1_015_000).is_empty());
        assert_eq!(receivers.forget_absent(None, 1_015_001), ["a"]);
        assert!(receivers.forget_absent(None, 1_060_000).is_empty());
        assert_eq!(receivers.forget_absent(None, 1_060_001), ["b"]);
    }
}
