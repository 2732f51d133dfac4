//! Which messages are under way here, and which were settled lately: so that what the server delivers again is not handed to
//! the pipeline again where that is known. No I/O, no clock.

use std::collections::{HashMap, VecDeque};

use async_nats::Subject;

/// Least that is remembered of what was settled. A server that crashes forgets acknowledgements: it writes down how far a
/// consumer is now and then, and sends again what came since.
const LEAST_REMEMBERED: usize = 16_384;

/// A place in a stream. One that was deleted and created again has the same sequences at other times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sequence: u64,
    /// When the message was stored, in nanoseconds since 1970.
    pub(super) published: i128,
}

/// What is known of a message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it is under way from now on.
    New,
    /// It is under way.
    UnderWay,
    /// It is settled, and the server has not heard of it.
    Settled,
}

#[derive(Debug)]
pub(super) struct Ledger {
    open: HashMap<u64, Entry>,
    settled: HashMap<u64, i128>,
    /// Those that were settled, the oldest first.
    order: VecDeque<u64>,
    /// Most that are remembered of those.
    remembered: usize,
}

#[derive(Debug)]
struct Entry {
    published: i128,
    /// Where to acknowledge it.
    reply: Subject,
}

impl Ledger {
    /// Of a consumer with so many messages under way at most.
    pub(super) fn new(under_way: usize) -> Self {
        Self::remembering(under_way.max(LEAST_REMEMBERED))
    }

    fn remembering(remembered: usize) -> Self {
        Self { open: HashMap::new(), settled: HashMap::new(), order: VecDeque::new(), remembered }
    }

    /// Messages under way.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn receive(&mut self, place: Place, reply: &Subject) -> Verdict {
        if let Some(entry) = self.open.get_mut(&place.sequence)
            && entry.published == place.published
        {
            // The latest delivery is the one the server waits for.
            entry.reply = reply.clone();
            return Verdict::UnderWay;
        }
        if self.settled.get(&place.sequence) == Some(&place.published) {
            return Verdict::Settled;
        }
        self.open.insert(place.sequence, Entry { published: place.published, reply: reply.clone() });
        Verdict::New
    }

    /// The message is settled: where to acknowledge it. `None` when another one is at its place by now.
    pub(super) fn settle(&mut self, place: Place) -> Option<Subject> {
        let entry = self.remove(place)?;
        if self.settled.insert(place.sequence, place.published).is_none() {
            self.order.push_back(place.sequence);
        }
        if self.order.len() > self.remembered
            && let Some(oldest) = self.order.pop_front()
        {
            self.settled.remove(&oldest);
        }
        Some(entry)
    }

    /// The message was not handed over: where to give it back.
    pub(super) fn remove(&mut self, place: Place) -> Option<Subject> {
        if self.open.get(&place.sequence)?.published != place.published {
            return None;
        }
        self.open.remove(&place.sequence).map(|entry| entry.reply)
    }

    /// Where to say that they are still being worked on.
    pub(super) fn replies(&self) -> impl Iterator<Item = &Subject> {
        self.open.values().map(|entry| &entry.reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64) -> Place {
        Place { sequence, published: 7 }
    }

    fn reply(text: &str) -> Subject {
        Subject::from(text)
    }

    #[test]
    fn a_message_is_new_once() {
        let mut ledger = Ledger::new(10);
        assert_eq!(ledger.receive(place(1), &reply("a")), Verdict::New);
        assert_eq!(ledger.receive(place(1), &reply("b")), Verdict::UnderWay);
        assert_eq!(ledger.replies().collect::<Vec<_>>(), [&reply("b")]);
        assert_eq!(ledger.settle(place(1)), Some(reply("b")));
        assert_eq!((ledger.settle(place(1)), ledger.len()), (None, 0));
        assert_eq!(ledger.receive(place(1), &reply("c")), Verdict::Settled);
    }

    #[test]
    fn what_is_given_back_is_new_again() {
        let mut ledger = Ledger::new(10);
        ledger.receive(place(1), &reply("a"));
        assert_eq!(ledger.remove(place(1)), Some(reply("a")));
        assert_eq!(ledger.receive(place(1), &reply("b")), Verdict::New);
    }

    #[test]
    fn a_stream_that_was_made_again_has_other_messages_at_the_same_places() {
        let mut ledger = Ledger::new(10);
        let again = Place { published: 8, ..place(1) };
        ledger.receive(place(1), &reply("a"));
        ledger.settle(place(1));
        assert_eq!(ledger.receive(again, &reply("b")), Verdict::New);
        assert_eq!((ledger.settle(place(1)), ledger.remove(place(1))), (None, None), "it is another one");
        assert_eq!(ledger.settle(again), Some(reply("b")));
    }

    #[test]
    fn it_forgets_what_was_settled_long_ago() {
        let mut ledger = Ledger::remembering(2);
        for sequence in 1..=3 {
            ledger.receive(place(sequence), &reply("a"));
            ledger.settle(place(sequence));
        }
        assert_eq!(ledger.receive(place(3), &reply("a")), Verdict::Settled);
        assert_eq!(ledger.receive(place(2), &reply("a")), Verdict::Settled);
        assert_eq!(ledger.receive(place(1), &reply("a")), Verdict::New);
        assert_eq!((ledger.settled.len(), ledger.order.len()), (2, 2));
    }
}
