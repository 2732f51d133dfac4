//! The order of what one process publishes. Knows no socket and no clock.
//!
//! When a connection is lost, entries that were under way may get into the log behind later ones: those the client still
//! held are sent as soon as it is back, before what was lost on the way is repeated. So each entry carries its number in a
//! *series*. Readers pass over one that comes before its predecessors; its publisher sees the same from the places of its
//! entries in the log, and publishes it again, in a new series, when everything that was under way has come to rest. An
//! entry that comes twice, because the server did not know its id any more, is passed over as well.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use eventflux_core::EventFluxError;

use crate::publisher::Outcome;

/// Most processes of which a reader knows where they are; beyond, it begins anew with all of them.
const MAX_PUBLISHERS: usize = 10_000;

/// What a process has under way.
#[derive(Debug)]
pub(super) struct Outbox {
    instance: String,
    series: u64,
    /// The number of the next entry in this series.
    next: u64,
    /// Where the last one of this series is in the log.
    last: u64,
    /// An entry of this series is missing or too early: nothing behind it counts.
    broken: bool,
    /// Whether the outcome of the first entry of all is known: it is under way alone, so that readers who do not know this
    /// process yet see its beginning first.
    introduced: bool,
    under_way: VecDeque<Entry>,
    again: VecDeque<Entry>,
    /// The number of the entry that was taken last from the queue.
    taken: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    payload: Bytes,
}

impl Outbox {
    pub(super) fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            series: 0,
            next: 0,
            last: 0,
            broken: false,
            introduced: false,
            under_way: VecDeque::new(),
            again: VecDeque::new(),
            taken: 0,
        }
    }

    /// What to publish next, with its id: what has to be repeated, and then what `fresh` gives.
    pub(super) fn next(&mut self, fresh: impl FnOnce() -> Option<Bytes>) -> Option<(String, Bytes)> {
        if self.broken || !(self.introduced || self.under_way.is_empty()) {
            return None;
        }
        let entry = match self.again.pop_front() {
            Some(entry) => entry,
            None => {
                let payload = fresh()?;
                self.taken += 1;
                Entry { number: self.taken, payload }
            }
        };
        let id = format!("{}.{:x}.{:x}", self.instance, self.series, self.next);
        let payload = entry.payload.clone();
        self.next += 1;
        self.under_way.push_back(entry);
        Some((id, payload))
    }

    /// Whether an entry that is at `sequence` seems to be before its predecessor. It is not when the log is another one:
    /// then say [`restart`](Self::restart) first.
    pub(super) fn is_early(&self, outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Stored { sequence, .. } if *sequence <= self.last) && !self.broken
    }

    /// The log is another one: its numbers begin anew.
    pub(super) fn restart(&mut self) {
        self.last = 0;
    }

    /// Takes the outcome of what is under way longest. Returns that of the entry, unless it has to be published again.
    pub(super) fn settle(&mut self, outcome: Outcome) -> Option<Outcome> {
        let entry = self.under_way.pop_front()?;
        let number = entry.number;
        self.introduced |= matches!(outcome, Outcome::Stored { .. });
        let settled = match outcome {
            Outcome::Stored { sequence, duplicate, .. } if !self.broken && sequence > self.last => {
                self.last = sequence;
                Some(Outcome::Stored { number, sequence, duplicate })
            }
            // Outcomes are told in order: not before that of an entry that is published again.
            Outcome::Failed { error, .. } if self.again.is_empty() => Some(self.fail(number, error)),
            Outcome::Stored { .. } | Outcome::Failed { .. } => {
                self.broken = true;
                self.again.push_back(entry);
                None
            }
        };
        if self.broken && self.under_way.is_empty() {
            (self.broken, self.next, self.last) = (false, 0, 0);
            self.series += 1;
        }
        settled
    }

    fn fail(&mut self, number: u64, error: EventFluxError) -> Outcome {
        self.broken = true;
        Outcome::Failed { number, error }
    }
}

/// How far a reader has read what each process published.
#[derive(Debug, Default)]
pub(super) struct Order {
    publishers: HashMap<String, Place>,
}

#[derive(Debug)]
struct Place {
    series: u64,
    /// The number that is next.
    next: u64,
    /// The first number that was seen: those before it may be missing only here.
    first: u64,
}

impl Order {
    /// Whether the entry with this id is in its place. What was not published by a bus always is.
    pub(super) fn accepts(&mut self, id: &str) -> bool {
        let Some((instance, series, number)) = parse(id) else { return true };
        let Some(place) = self.publishers.get_mut(instance) else {
            if self.publishers.len() >= MAX_PUBLISHERS {
                self.publishers.clear();
            }
            self.publishers.insert(instance.to_owned(), Place { series, next: number + 1, first: number });
            return true;
        };
        let begins = series > place.series && number == 0;
        let follows = series == place.series && (number == place.next || number < place.first);
        if begins || follows {
            place.first = if begins { 0 } else { place.first.min(number) };
            (place.series, place.next) = (series, number + 1);
        }
        begins || follows
    }

    /// Entries are missing, or the log is another one.
    pub(super) fn forget(&mut self) {
        self.publishers.clear();
    }
}

fn parse(id: &str) -> Option<(&str, u64, u64)> {
    let mut tokens = id.split('.');
    let (instance, series, number) = (tokens.next()?, tokens.next()?, tokens.next()?);
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok().filter(|number| *number < u64::MAX);
    Some((instance, hexadecimal(series)?, hexadecimal(number)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(sequence: u64) -> Outcome {
        Outcome::Stored { number: 0, sequence, duplicate: false }
    }

    fn failed() -> Outcome {
        Outcome::Failed { number: 0, error: EventFluxError::Send { reason: "no".to_owned(), retryable: false } }
    }

    fn told(outcome: Option<Outcome>) -> Option<(u64, bool)> {
        outcome.map(|outcome| match outcome {
            Outcome::Stored { number, .. } => (number, true),
            Outcome::Failed { number, .. } => (number, false),
        })
    }

    /// One that has published something.
    fn introduced() -> Outbox {
        let mut outbox = Outbox::new("i");
        push(&mut outbox, b"first");
        assert_eq!(outbox.next(|| Some(Bytes::new())), None, "the first is under way alone");
        outbox.settle(stored(1));
        outbox
    }

    fn push(outbox: &mut Outbox, payload: &'static [u8]) -> String {
        outbox.next(|| Some(Bytes::from_static(payload))).unwrap().0
    }

    #[test]
    fn what_is_stored_in_order_is_told_in_order() {
        let mut outbox = introduced();
        assert_eq!([push(&mut outbox, b"a"), push(&mut outbox, b"b")], ["i.0.1", "i.0.2"]);
        assert_eq!(told(outbox.settle(stored(7))), Some((2, true)));
        assert!(!outbox.is_early(&stored(8)));
        assert_eq!(told(outbox.settle(stored(8))), Some((3, true)));
        assert_eq!(outbox.next(|| None), None);
    }

    #[test]
    fn what_is_too_early_is_published_again_with_what_is_behind_it() {
        let mut outbox = introduced();
        for payload in [b"a", b"b", b"c"] {
            push(&mut outbox, payload);
        }
        assert_eq!(told(outbox.settle(stored(7))), Some((2, true)));
        assert!(outbox.is_early(&stored(5)));
        assert_eq!(told(outbox.settle(stored(5))), None);
        assert_eq!(outbox.next(|| Some(Bytes::from_static(b"d"))), None, "not before c has come to rest");
        assert_eq!(told(outbox.settle(stored(8))), None);
        let again: Vec<_> = std::iter::from_fn(|| outbox.next(|| None)).collect();
        let wanted = [("i.1.0", "b"), ("i.1.1", "c")].map(|(id, payload)| (id.to_owned(), Bytes::from(payload)));
        assert_eq!(again, wanted);
        assert_eq!(told(outbox.settle(stored(9))), Some((3, true)));
    }

    #[test]
    fn behind_one_that_failed_a_new_series_begins_and_outcomes_stay_in_order() {
        let mut outbox = introduced();
        for payload in [b"a", b"b", b"c", b"d"] {
            push(&mut outbox, payload);
        }
        assert_eq!(told(outbox.settle(failed())), Some((2, false)));
        assert_eq!(told(outbox.settle(failed())), Some((3, false)));
        assert_eq!(told(outbox.settle(stored(3))), None);
        assert_eq!(told(outbox.settle(failed())), None);
        assert_eq!([push(&mut outbox, b"e"), push(&mut outbox, b"e")], ["i.1.0", "i.1.1"]);
        assert_eq!(told(outbox.settle(stored(4))), Some((4, true)));
        assert_eq!(told(outbox.settle(failed())), Some((5, false)));
        assert_eq!(push(&mut outbox, b"e"), "i.2.0");
    }

    #[test]
    fn another_log_begins_with_smaller_numbers() {
        let mut outbox = introduced();
        push(&mut outbox, b"a");
        assert!(outbox.is_early(&stored(1)));
        outbox.restart();
        assert!(!outbox.is_early(&stored(1)));
        assert_eq!(told(outbox.settle(stored(1))), Some((2, true)));
    }

    #[test]
    fn a_reader_that_came_later_misses_nothing() {
        let mut order = Order::default();
        assert!(order.accepts("i.0.5"), "what came before may be gone");
        assert!(order.accepts("i.0.3") && order.accepts("i.0.4") && !order.accepts("i.0.3"));
        assert!(order.accepts("i.0.5"), "it comes twice rather than never");
        assert!(!order.accepts("i.0.5") && !order.accepts("i.0.7") && !order.accepts("i.1.1"));
        assert!(order.accepts("i.1.0") && !order.accepts("i.0.6") && order.accepts("i.1.1"));
        assert!(order.accepts("j.0.0") && order.accepts("of somebody else") && order.accepts("a.b.c"));
        order.forget();
        assert!(order.accepts("i.1.9"));
    }

    proptest! {
        /// However entries under way overtake each other or fail: who has read from the beginning gets each that was
        /// stored once, in order.
        #[test]
        fn readers_and_publishers_agree(seed in proptest::collection::vec((any::<bool>(), 0_usize..6, any::<bool>()), 1..60)) {
            let (mut outbox, mut order) = (Outbox::new("i"), Order::default());
            let (mut log, mut read, mut wanted, mut sequence, mut fresh) = (Vec::new(), Vec::new(), Vec::new(), 0, 0_u8);
            let mut steps = seed.into_iter();
            loop {
                let step = steps.next();
                let mut lot = Vec::new();
                while lot.len() < 6 {
                    let more = |fresh: &mut u8| { *fresh += 1; Some(Bytes::copy_from_slice(&[*fresh])) };
                    let pushed = outbox.next(|| if step.is_some() && fresh < 200 { more(&mut fresh) } else { None });
                    let Some(pushed) = pushed else { break };
                    lot.push(pushed);
                }
                if lot.is_empty() && step.is_none() {
                    break;
                }
                let (fails, turn, twice) = step.unwrap_or((false, 0, false));
                let mut places = vec![None; lot.len()];
                for index in 0..lot.len() {
                    let index = (index + turn) % lot.len();
                    if fails && index == turn % lot.len() {
                        continue;
                    }
                    for _ in 0..1 + usize::from(twice && turn == 0) {
                        sequence += 1;
                        log.push(lot[index].clone());
                    }
                    places[index] = Some(sequence);
                }
                for place in places {
                    let outcome = place.map_or_else(failed, stored);
                    if let Some(Outcome::Stored { number, .. }) = outbox.settle(outcome) {
                        wanted.push(number);
                    }
                }
                for (id, payload) in log.drain(..) {
                    if order.accepts(&id) {
                        read.push(u64::from(payload[0]));
                    }
                }
            }
            prop_assert_eq!(read, wanted);
        }
    }
}
