//! Events that wait for one session, and what becomes of them when they are too many.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::config::{FullPolicy, Losses, QueueLimits, Retention};
use super::item::Event;

/// Channels whose losses are told one by one; those of further ones are told together.
const MAX_GAPS: usize = 16;

/// Events that are gone and still take a place, at least, before the others move up.
const MIN_GONE: usize = 64;

/// Oldest first. What it holds is within the limits of whoever published last; one event may be as large as it is.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    places: VecDeque<Place>,
    /// Number of the place to come.
    next: u64,
    /// Events that are there, and what they cost.
    events: usize,
    bytes: usize,
    limits: QueueLimits,
    losses: Losses,
    /// Where the one event of each key is: from when there was too much until all is taken.
    by_key: Option<HashMap<Key, u64>>,
    gaps: Vec<(Arc<str>, u64)>,
    /// Since when not everything was taken.
    behind_since: Option<Instant>,
}

/// A place in the order; without its event when that was dropped.
#[derive(Debug)]
struct Place {
    number: u64,
    event: Option<Event>,
}

/// Channel, and hash of the key.
type Key = (Arc<str>, u64);

/// The client is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooSlow;

impl Backlog {
    /// Adds an event; returns whether it was taken.
    pub(super) fn push(&mut self, event: Event, retention: &Retention) -> Result<bool, TooSlow> {
        if self.events == 0 {
            self.losses = retention.losses.clone();
        }
        self.limits = retention.queue;
        self.drop_expired(event.shared.at);
        if self.is_full(&event) && !self.make_room(&event)? {
            self.missed(&event);
            return Ok(false);
        }
        let thinned = self.by_key.as_mut().filter(|_| event.shared.key != 0);
        if let Some(superseded) = thinned.and_then(|by_key| by_key.insert(key(&event), self.next)) {
            self.drop_at(superseded);
        }
        self.events += 1;
        self.bytes += event.cost();
        self.places.push_back(Place { number: self.next, event: Some(event) });
        self.next += 1;
        Ok(true)
    }

    /// The number of the next event's place; smaller than those of all that come.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes the oldest event, if its place is before that of the given number.
    pub(super) fn pop_before(&mut self, number: u64) -> Option<Event> {
        let front = self.places.front()?;
        if front.number >= number {
            return None;
        }
        let event = self.remove_front();
        if self.events == 0 {
            self.by_key = None;
        }
        event
    }

    /// Prepares for events being taken: what waited too long goes.
    ///
    /// # Errors
    /// When the client is to be closed.
    pub(super) fn prepare(&mut self, now: Instant) -> Result<(), TooSlow> {
        // Before something was left, events waited for us, and not for the client.
        if self.limits.is_too_long(self.behind_since, now)
            && self.limits.full == FullPolicy::Disconnect
            && self.is_expired(now)
        {
            self.losses.evicted.increment();
            return Err(TooSlow);
        }
        self.drop_expired(now);
        Ok(())
    }

    /// The same, when the client takes nothing.
    ///
    /// # Errors
    /// When the client is to be closed.
    pub(super) fn overtake(&mut self, now: Instant) -> Result<(), TooSlow> {
        self.note_lag(now);
        self.prepare(now)
    }

    /// Notes whether something is left.
    pub(super) fn note_lag(&mut self, now: Instant) {
        self.behind_since = if self.events > 0 { self.behind_since.or(Some(now)) } else { None };
    }

    /// Takes the losses since the last time.
    pub(super) fn take_gaps(&mut self) -> Vec<(Arc<str>, u64)> {
        std::mem::take(&mut self.gaps)
    }

    /// Events that wait.
    pub(super) fn len(&self) -> usize {
        self.events
    }

    /// What they cost, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to take and nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.events == 0 && self.gaps.is_empty()
    }

    fn is_full(&self, event: &Event) -> bool {
        let is_too_much = self.bytes + event.cost() > self.limits.bytes || self.events >= self.limits.events();
        let is_too_late = self.limits.full == FullPolicy::DropNewest && self.is_expired(event.shared.at);
        self.events > 0 && (is_too_much || is_too_late)
    }

    /// Applies the policy; returns whether the event may come in.
    fn make_room(&mut self, event: &Event) -> Result<bool, TooSlow> {
        match self.limits.full {
            FullPolicy::Disconnect => {
                self.losses.evicted.increment();
                return Err(TooSlow);
            }
            FullPolicy::DropNewest => return Ok(false),
            FullPolicy::DropOldest => {}
            FullPolicy::Conflate => self.conflate(event),
        }
        while self.is_full(event) {
            self.drop_front();
        }
        Ok(true)
    }

    /// Of each key only the newest stays, and the older one of the key that comes goes.
    fn conflate(&mut self, event: &Event) {
        let mut by_key = self.by_key.take().unwrap_or_else(|| self.newest_of_each_key());
        if event.shared.key != 0
            && let Some(number) = by_key.remove(&key(event))
        {
            self.drop_at(number);
        }
        self.by_key = Some(by_key);
    }

    /// Drops all others that have a key.
    fn newest_of_each_key(&mut self) -> HashMap<Key, u64> {
        let mut by_key = HashMap::new();
        let mut superseded = Vec::new();
        for Place { number, event } in &self.places {
            let Some(event) = event.as_ref().filter(|event| event.shared.key != 0) else { continue };
            superseded.extend(by_key.insert(key(event), *number));
        }
        for number in superseded {
            self.drop_at(number);
        }
        by_key
    }

    fn drop_at(&mut self, number: u64) {
        let index = self.places.partition_point(|place| place.number < number);
        let Some(place) = self.places.get_mut(index).filter(|place| place.number == number) else { return };
        let Some(event) = place.event.take() else { return };
        self.forget(&event);
        self.missed(&event);
        if self.places.len() > self.events * 2 + MIN_GONE {
            self.places.retain(|place| place.event.is_some());
        }
        self.settle_front();
    }

    fn drop_front(&mut self) {
        if let Some(event) = self.remove_front() {
            self.missed(&event);
        }
    }

    fn drop_expired(&mut self, now: Instant) {
        if !matches!(self.limits.full, FullPolicy::DropOldest | FullPolicy::Conflate) {
            return;
        }
        while self.is_expired(now) {
            self.drop_front();
        }
    }

    /// Whether the oldest event waits longer than it may.
    fn is_expired(&self, now: Instant) -> bool {
        let oldest = self.places.front().and_then(|place| place.event.as_ref());
        self.limits.is_too_long(oldest.map(|event| event.shared.at), now)
    }

    fn remove_front(&mut self) -> Option<Event> {
        let Place { number, event } = self.places.pop_front()?;
        let event = event?;
        if let Some(by_key) = &mut self.by_key
            && let Entry::Occupied(known) = by_key.entry(key(&event))
            && *known.get() == number
        {
            known.remove();
        }
        self.forget(&event);
        self.settle_front();
        Some(event)
    }

    /// No place without its event stays at the front.
    fn settle_front(&mut self) {
        while self.places.front().is_some_and(|place| place.event.is_none()) {
            self.places.pop_front();
        }
    }

    fn forget(&mut self, event: &Event) {
        self.events -= 1;
        self.bytes -= event.cost();
    }

    fn missed(&mut self, event: &Event) {
        let missed = event.events();
        self.losses.dropped.add(missed);
        let full = self.gaps.len() >= MAX_GAPS;
        match self.gaps.iter_mut().find(|(known, _)| *known == event.shared.channel) {
            Some((_, count)) => *count += missed,
            None if full => self.gaps[MAX_GAPS - 1].1 += missed,
            None => self.gaps.push((event.shared.channel.clone(), missed)),
        }
    }
}

fn key(event: &Event) -> Key {
    (event.shared.channel.clone(), event.shared.key)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::item::{Content, SharedEvent};
    use super::*;

    fn event(channel: &str, key: u64, size: usize, at: Instant) -> Event {
        let content = Content::Text { text: Bytes::from(vec![b'x'; size]), binary: false };
        Event::new(SharedEvent { channel: channel.into(), key, number: None, at, content }, None)
    }

    fn retention(bytes: usize, full: FullPolicy) -> Retention {
        Retention { queue: QueueLimits { bytes, full, ..QueueLimits::default() }, ..Retention::default() }
    }

    fn keys(backlog: &mut Backlog) -> Vec<u64> {
        std::iter::from_fn(|| backlog.pop_before(u64::MAX)).map(|event| event.shared.key).collect()
    }

    #[test]
    fn conflation_keeps_the_newest_of_each_key_and_channel() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        let retention = retention(64 * 6, FullPolicy::Conflate);
        for (channel, key) in [("a", 1), ("a", 2), ("b", 1), ("a", 1), ("a", 0), ("a", 2), ("a", 1)] {
            assert_eq!(backlog.push(event(channel, key, 0, now), &retention), Ok(true));
        }
        assert_eq!(keys(&mut backlog), [1, 0, 2, 1]);
        assert_eq!(backlog.take_gaps(), [("a".into(), 3)]);
    }

    #[test]
    fn what_is_superseded_goes_before_what_is_not_however_the_queue_filled() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        let retention = retention(64 * 5, FullPolicy::Conflate);
        for key in [1, 2, 3, 2, 3, 2, 2, 2, 2, 4, 5] {
            backlog.push(event("a", key, 0, now), &retention).unwrap();
        }
        assert_eq!(keys(&mut backlog), [1, 3, 2, 4, 5]);
    }

    #[test]
    fn places_that_are_gone_are_given_back() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        let retention = retention(64 * 3, FullPolicy::Conflate);
        backlog.push(event("a", 9, 0, now), &retention).unwrap();
        for n in 0..100_000 {
            backlog.push(event("a", n % 2 + 1, 0, now), &retention).unwrap();
            assert!(backlog.places.len() <= 3 * 2 + MIN_GONE + 1);
        }
        assert_eq!(keys(&mut backlog), [9, 1, 2]);
    }

    #[test]
    fn losses_of_many_channels_are_counted_though_not_told_one_by_one() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        for n in 0..100 {
            backlog.push(event(&format!("c{n}"), 0, 0, now), &retention(64, FullPolicy::DropOldest)).unwrap();
        }
        let gaps = backlog.take_gaps();
        assert_eq!((gaps.len(), gaps.iter().map(|(_, missed)| missed).sum::<u64>()), (MAX_GAPS, 99));
        assert!(!backlog.is_empty() && backlog.take_gaps().is_empty());
    }

    #[test]
    fn limits_are_those_of_whoever_published_last() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        for _ in 0..10 {
            backlog.push(event("a", 0, 36, now), &retention(1000, FullPolicy::DropOldest)).unwrap();
        }
        assert_eq!(backlog.len(), 10);
        backlog.push(event("a", 0, 36, now), &retention(300, FullPolicy::DropOldest)).unwrap();
        assert_eq!(backlog.len(), 3);
        assert_eq!(backlog.push(event("a", 0, 36, now), &retention(300, FullPolicy::Disconnect)), Err(TooSlow));
    }

    proptest! {
        #[test]
        fn whatever_comes_it_is_within_its_limits_and_every_loss_is_told(
            full in prop_oneof![Just(FullPolicy::DropOldest), Just(FullPolicy::DropNewest), Just(FullPolicy::Conflate)],
            bytes in 64..2000_usize,
            events in prop::option::of(1..10_usize),
            age in prop::option::of(1..20_u64),
            steps in prop::collection::vec((0..5_u8, 0..4_u64, 0..300_usize), 1..200),
        ) {
            let mut now = Instant::now();
            let queue = QueueLimits { bytes, events, age: age.map(Duration::from_secs), full };
            let retention = Retention { queue, ..Retention::default() };
            let mut backlog = Backlog::default();
            let (mut pushed, mut taken, mut missed, mut last) = (0, 0, 0, None);
            for (step, key, size) in steps {
                match step {
                    0 => {
                        backlog.prepare(now).unwrap();
                        let place = backlog.places.front().map(|place| place.number);
                        taken += u64::from(backlog.pop_before(u64::MAX).is_some());
                        prop_assert!(place.is_none() || place > last, "in order");
                        last = place.or(last);
                        backlog.note_lag(now);
                    }
                    1 => now += Duration::from_secs(key),
                    _ => {
                        pushed += 1;
                        backlog.push(event("a", key, size, now), &retention).unwrap();
                    }
                }
                missed += backlog.take_gaps().iter().map(|(_, missed)| missed).sum::<u64>();
                prop_assert_eq!(taken + missed + backlog.len() as u64, pushed);
                let held: Vec<_> = backlog.places.iter().filter_map(|place| place.event.as_ref()).collect();
                prop_assert_eq!((held.len(), held.iter().map(|event| event.cost()).sum()), (backlog.events, backlog.bytes));
                prop_assert!(backlog.by_key.as_ref().is_none_or(|by_key| by_key.len() <= held.len()));
                prop_assert!(backlog.bytes <= bytes || backlog.events == 1);
                prop_assert!(backlog.events <= queue.events());
                prop_assert!(backlog.places.front().is_none_or(|place| place.event.is_some()));
            }
            prop_assert_eq!(missed, backlog.losses.dropped.value());
        }
    }
}
