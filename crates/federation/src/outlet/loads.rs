//! What a store read for links that are further behind than memory reaches.

use std::collections::{HashMap, VecDeque};

use super::log::{Chunk, Entered};
use super::store::{Store, StoredPayloads};

/// How much is read for a link at once.
const LOAD_BYTES: usize = 256 * 1024;

/// By reader; there is one entry for each that is behind.
#[derive(Debug, Default)]
pub(super) struct Loads {
    loads: HashMap<u64, Load>,
    /// How many there were so far: an answer that comes too late is nobody's.
    asked: u64,
}

#[derive(Debug)]
struct Load {
    number: u64,
    /// What was asked for.
    from: u64,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Awaited,
    Here(VecDeque<Chunk>),
    /// The store has it no longer; this is what it has instead, if that is anything.
    Lost(Option<u64>),
}

impl Loads {
    /// Takes the answer to load `number`. Returns the reader that waits for it.
    pub(super) fn loaded(&mut self, number: u64, payloads: &[StoredPayloads]) -> Option<u64> {
        let (reader, load) = self.loads.iter_mut().find(|(_, load)| load.number == number)?;
        let chunks: Option<VecDeque<_>> = payloads.iter().map(StoredPayloads::decode).collect();
        load.answer = match chunks {
            Some(chunks) if follow_each_other(&chunks) => match (chunks.front(), chunks.back()) {
                (Some(first), Some(last)) if first.first() <= load.from && load.from < last.next() => {
                    Answer::Here(chunks)
                }
                (Some(first), _) if first.first() > load.from => Answer::Lost(Some(first.first())),
                _ => Answer::Lost(None),
            },
            _ => Answer::Lost(None),
        };
        Some(*reader)
    }

    pub(super) fn forget(&mut self, reader: u64) {
        self.loads.remove(&reader);
    }

    /// Whether the store has no longer what the reader asked for, and what it has instead.
    pub(super) fn lost(&self, reader: u64) -> Option<Option<u64>> {
        match self.loads.get(&reader)?.answer {
            Answer::Lost(first) => Some(first),
            _ => None,
        }
    }

    /// The payloads from `from` on, as far as they are here; asks `store` for them otherwise.
    pub(super) fn from(&mut self, store: &dyn Store, reader: u64, from: u64) -> impl Iterator<Item = Entered<'_>> {
        let is_answered = self.loads.get_mut(&reader).is_some_and(|load| load.is_about(from));
        if !is_answered {
            self.asked += 1;
            self.loads.insert(reader, Load { number: self.asked, from, answer: Answer::Awaited });
            store.load(self.asked, from, LOAD_BYTES);
        }
        let chunks = match self.loads.get(&reader).map(|load| &load.answer) {
            Some(Answer::Here(chunks)) => Some(chunks),
            _ => None,
        };
        chunks.into_iter().flatten().flat_map(move |chunk| chunk.from(from))
    }
}

impl Load {
    /// Whether it answers the question for `from`, or will. Gives back the memory of what is before.
    fn is_about(&mut self, from: u64) -> bool {
        match &mut self.answer {
            Answer::Awaited | Answer::Lost(_) => self.from == from,
            Answer::Here(chunks) => {
                while chunks.front().is_some_and(|chunk| chunk.next() <= from) {
                    chunks.pop_front();
                }
                chunks.front().is_some_and(|chunk| chunk.first() <= from)
            }
        }
    }
}

fn follow_each_other(chunks: &VecDeque<Chunk>) -> bool {
    chunks.iter().zip(chunks.iter().skip(1)).all(|(chunk, behind)| chunk.next() == behind.first())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Remembers what it was asked for.
    #[derive(Debug, Default)]
    struct Asked(Mutex<Vec<(u64, u64)>>);

    impl Store for Asked {
        fn append(&self, _: StoredPayloads) {}

        fn has_room(&self) -> bool {
            true
        }

        fn load(&self, number: u64, from: u64, _: usize) {
            self.0.lock().unwrap().push((number, from));
        }

        fn forget(&self, _: u64) {}

        fn mark(&self, _: &str, _: u64, _: u64) {}

        fn unmark(&self, _: &str) {}

        fn unwritten_bytes(&self) -> usize {
            0
        }
    }

    fn payloads(first: u64, count: usize) -> StoredPayloads {
        StoredPayloads::new(first, 0, std::iter::repeat_n(&b"x"[..], count))
    }

    fn read(loads: &mut Loads, store: &Asked, from: u64) -> Vec<u64> {
        loads.from(store, 7, from).map(|entered| entered.sequence).collect()
    }

    #[test]
    fn an_answer_that_comes_too_late_is_nobodys() {
        let (mut loads, store) = (Loads::default(), Asked::default());
        assert!(read(&mut loads, &store, 1).is_empty());
        loads.forget(7);
        assert!(read(&mut loads, &store, 50).is_empty());
        assert_eq!(*store.0.lock().unwrap(), [(1, 1), (2, 50)]);
        assert_eq!(loads.loaded(1, &[]), None);
        assert_eq!(loads.lost(7), None);
        assert_eq!(loads.loaded(2, &[payloads(49, 2), payloads(51, 2)]), Some(7));
        assert_eq!(read(&mut loads, &store, 50), [50, 51, 52]);
    }

    #[test]
    fn what_a_store_has_no_longer_is_lost_only_where_it_was_asked_for() {
        let (mut loads, store) = (Loads::default(), Asked::default());
        for (answer, lost) in [
            (vec![], None),
            (vec![payloads(9, 2)], Some(9)),
            (vec![payloads(1, 2)], None),
            (vec![payloads(3, 2), payloads(6, 2)], None),
        ] {
            read(&mut loads, &store, 3);
            loads.loaded(loads.asked, &answer);
            assert_eq!(loads.lost(7), Some(lost), "{answer:?}");
            // It goes on behind.
            assert!(read(&mut loads, &store, 9).is_empty());
            assert_eq!(loads.lost(7), None);
            loads.forget(7);
        }
    }
}
