//! What a channel remembers: recent events for clients that come back, the latest of each key for clients that begin.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How much of a channel's past is kept. All of them hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Largest number of events.
    pub events: usize,
    /// Largest number of bytes of their texts.
    pub bytes: usize,
    /// Largest age.
    pub age: Duration,
}

/// An event as it was published.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// What clients call it. Numbers of a channel grow, but where hubs share a log not by one.
    pub(super) number: u64,
    /// Its place among the events that were published to the channel here.
    pub(super) index: u64,
    pub(super) text: Bytes,
    /// Where in `text` the payload is.
    pub(super) payload: Range<usize>,
    pub(super) binary: bool,
    /// Whether its number is one of a history.
    pub(super) is_in_history: bool,
    pub(super) at: Instant,
}

/// The most recent events of a channel, oldest first.
#[derive(Debug)]
pub(super) struct History {
    limits: HistoryLimits,
    events: VecDeque<Kept>,
    bytes: usize,
    /// Number of the last event that is not remembered any more, or never was.
    forgotten: u64,
}

/// The latest event of each key; the keys that were set longest ago are forgotten first.
#[derive(Debug)]
pub(super) struct Latest {
    max_keys: usize,
    by_key: HashMap<Arc<str>, u64>,
    by_number: BTreeMap<u64, (Arc<str>, Kept)>,
}

impl Kept {
    pub(super) fn payload(&self) -> &[u8] {
        &self.text[self.payload.clone()]
    }
}

impl History {
    /// An empty history; events up to number `forgotten` are not remembered.
    pub(super) fn new(limits: HistoryLimits, forgotten: u64) -> Self {
        Self { limits, events: VecDeque::new(), bytes: 0, forgotten }
    }

    pub(super) fn limit(&mut self, limits: HistoryLimits) {
        self.limits = limits;
    }

    pub(super) fn push(&mut self, event: Kept) {
        self.bytes += event.text.len();
        let now = event.at;
        self.events.push_back(event);
        self.trim(now);
    }

    /// Forgets what is too old, or too much.
    pub(super) fn trim(&mut self, now: Instant) {
        while let Some(oldest) = self.events.front()
            && (self.events.len() > self.limits.events
                || self.bytes > self.limits.bytes
                || now.saturating_duration_since(oldest.at) > self.limits.age)
        {
            self.bytes -= oldest.text.len();
            self.forgotten = oldest.number;
            self.events.pop_front();
        }
    }

    /// Forgets everything, and whatever came up to number `forgotten`.
    pub(super) fn clear(&mut self, forgotten: u64) {
        *self = Self::new(self.limits, forgotten);
    }

    /// Number of the last event that is not remembered.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Index of the oldest event that is kept.
    pub(super) fn first(&self) -> Option<u64> {
        self.events.front().map(|event| event.index)
    }

    /// The events from that index on, oldest first.
    pub(super) fn from(&self, index: u64) -> impl Iterator<Item = &Kept> {
        let place = self.events.partition_point(|event| event.index < index);
        self.events.range(place..)
    }

    /// Index of the oldest event that is kept and has a higher number.
    pub(super) fn behind(&self, number: u64) -> Option<u64> {
        let place = self.events.partition_point(|event| event.number <= number);
        self.events.get(place).map(|event| event.index)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

impl Latest {
    pub(super) fn new(max_keys: usize) -> Self {
        Self { max_keys, by_key: HashMap::new(), by_number: BTreeMap::new() }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.max_keys);
    }

    pub(super) fn set(&mut self, key: &str, event: Kept) {
        let key = match self.by_key.get_key_value(key) {
            Some((key, number)) => {
                self.by_number.remove(number);
                key.clone()
            }
            None => Arc::from(key),
        };
        self.by_key.insert(key.clone(), event.number);
        self.by_number.insert(event.number, (key, event));
        while self.by_number.len() > self.max_keys {
            if let Some((_, (key, _))) = self.by_number.pop_first() {
                self.by_key.remove(&key);
            }
        }
    }

    /// The latest events of these numbers, oldest first.
    pub(super) fn within(&self, numbers: RangeInclusive<u64>) -> impl Iterator<Item = &Kept> {
        self.by_number.range(numbers).map(|(_, (_, event))| event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: u64, text: &str, at: Instant) -> Kept {
        Kept {
            number,
            index: number,
            text: Bytes::from(text.to_owned()),
            payload: 0..text.len(),
            binary: false,
            is_in_history: true,
            at,
        }
    }

    #[test]
    fn history_is_bounded_by_number_bytes_and_age() {
        let start = Instant::now();
        let limits = HistoryLimits { events: 3, bytes: 10, age: Duration::from_secs(60) };
        let mut history = History::new(limits, 0);
        (1..=5).for_each(|number| history.push(kept(number, "ab", start)));
        assert_eq!((history.first(), history.forgotten()), (Some(3), 2));
        history.push(kept(6, "abcdefgh", start));
        assert_eq!((history.first(), history.forgotten()), (Some(5), 4));
        assert_eq!(history.from(6).map(|event| event.number).collect::<Vec<_>>(), [6]);
        history.trim(start + Duration::from_secs(61));
        assert!(history.is_empty() && history.forgotten() == 6);
    }

    #[test]
    fn numbers_may_have_holes() {
        let now = Instant::now();
        let mut history = History::new(HistoryLimits { events: 2, bytes: 100, age: Duration::from_secs(60) }, 4095);
        for (index, number) in [(1, 4096), (2, 8200), (3, 8201)] {
            history.push(Kept { index, ..kept(number, "ab", now) });
        }
        assert_eq!((history.first(), history.forgotten()), (Some(2), 4096));
        let behind = [0, 4096, 8199, 8200, 8201].map(|number| history.behind(number));
        assert_eq!(behind, [Some(2), Some(2), Some(2), Some(3), None]);
        history.clear(12_287);
        assert_eq!((history.first(), history.behind(0), history.forgotten()), (None, None, 12_287));
    }

    #[test]
    fn the_latest_event_of_each_key_is_kept_and_the_stalest_keys_go_first() {
        let now = Instant::now();
        let mut latest = Latest::new(2);
        latest.set("a", kept(1, "a1", now));
        latest.set("b", kept(2, "b1", now));
        latest.set("a", kept(3, "a2", now));
        latest.set("c", kept(4, "c1", now));
        assert_eq!(latest.within(0..=9).map(|event| event.number).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(latest.by_key.len(), 2);
    }
}
