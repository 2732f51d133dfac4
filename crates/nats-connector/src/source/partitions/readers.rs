//! The partitions that are held: by number, and by where their messages come.

use std::collections::{BTreeMap, HashMap};

use eventflux_nats::leases::Term;

use super::reader::Reader;

/// See the module.
#[derive(Debug)]
pub(super) struct Readers {
    held: BTreeMap<u32, Held>,
    /// What the subjects at which messages come begin with, with the last dot.
    prefix: String,
    /// Those that have a consumer, by its name: messages say it.
    consumers: HashMap<String, u32>,
    /// The same by the token behind the prefix: what the server says about pulls comes there.
    tokens: HashMap<u64, u32>,
    next_token: u64,
}

#[derive(Debug)]
struct Held {
    reader: Reader,
    /// The token of its present consumer.
    token: u64,
}

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receiver {
    pub(super) partition: u32,
    /// Which pull the server speaks of, when it does.
    pub(super) pull: u64,
}

impl Readers {
    pub(super) fn new(prefix: String) -> Self {
        Self { held: BTreeMap::new(), prefix, consumers: HashMap::new(), tokens: HashMap::new(), next_token: 1 }
    }

    /// The subject at which everything comes.
    pub(super) fn subject(&self) -> String {
        format!("{}>", self.prefix)
    }

    /// Holds a partition that was not held before.
    pub(super) fn insert(&mut self, partition: u32, reader: Reader) {
        self.held.insert(partition, Held { reader, token: 0 });
    }

    pub(super) fn remove(&mut self, partition: u32) -> Option<Reader> {
        self.close(partition);
        self.held.remove(&partition).map(|held| held.reader)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Reader)> {
        self.held.iter_mut().map(|(partition, held)| (*partition, &mut held.reader))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Reader)> {
        self.held.iter().map(|(partition, held)| (*partition, &held.reader))
    }

    /// That of a partition in this term.
    pub(super) fn of(&mut self, partition: u32, term: Term) -> Option<&mut Reader> {
        self.held.get_mut(&partition).map(|held| &mut held.reader).filter(|reader| reader.term == term)
    }

    /// A partition has a consumer: what comes from there is for it, from now on.
    pub(super) fn opened(&mut self, partition: u32) {
        let Some(held) = self.held.get_mut(&partition) else { return };
        let Some(name) = held.reader.consumer() else { return };
        self.consumers.insert(name.to_owned(), partition);
        held.token = self.next_token;
        self.next_token += 1;
        self.tokens.insert(held.token, partition);
    }

    /// A partition has none any more: what still comes from there is for nobody. Returns its name.
    pub(super) fn close(&mut self, partition: u32) -> Option<String> {
        let held = self.held.get_mut(&partition)?;
        self.tokens.remove(&held.token);
        let name = held.reader.close()?;
        self.consumers.remove(&name);
        Some(name)
    }

    /// Where the answers to a pull of a partition come.
    pub(super) fn reply(&self, partition: u32, pull: u64) -> String {
        let token = self.held.get(&partition).map_or(0, |held| held.token);
        format!("{}{token}.{pull}", self.prefix)
    }

    /// Whose message of that consumer it is; `None` for one that comes too late.
    pub(super) fn of_consumer(&self, name: &str) -> Option<Receiver> {
        self.consumers.get(name).map(|partition| Receiver { partition: *partition, pull: 0 })
    }

    /// Whom it concerns what the server says at that subject; `None` when it comes too late.
    pub(super) fn of_subject(&self, subject: &str) -> Option<Receiver> {
        let (token, pull) = subject.strip_prefix(&*self.prefix)?.split_once('.')?;
        let partition = *self.tokens.get(&token.parse().ok()?)?;
        Some(Receiver { partition, pull: pull.parse().ok()? })
    }

    /// The present one of a partition.
    pub(super) fn present(&mut self, partition: u32) -> Option<&mut Reader> {
        self.held.get_mut(&partition).map(|held| &mut held.reader)
    }
}

#[cfg(test)]
mod tests {
    use super::super::consumers::Opened;
    use super::*;

    fn open(readers: &mut Readers, partition: u32, name: &str) {
        let reader = readers.present(partition).unwrap();
        reader.opened(Opened { name: name.to_owned(), first: 1, pending: 0 }, 1, 1);
        readers.opened(partition);
    }

    #[test]
    fn what_comes_is_for_the_present_consumer_of_a_partition_only() {
        let mut readers = Readers::new("inbox.".to_owned());
        readers.insert(3, Reader::new(Term::default(), 1));
        assert_eq!(readers.of_consumer("a"), None);
        open(&mut readers, 3, "a");
        let reply = readers.reply(3, 7);
        assert_eq!(readers.of_consumer("a"), Some(Receiver { partition: 3, pull: 0 }));
        assert_eq!(readers.of_subject(&reply), Some(Receiver { partition: 3, pull: 7 }));
        assert_eq!(readers.close(3).as_deref(), Some("a"));
        open(&mut readers, 3, "b");
        assert_eq!((readers.of_consumer("a"), readers.of_subject(&reply)), (None, None));
        assert!(readers.of_consumer("b").is_some() && readers.of_subject(&readers.reply(3, 1)).is_some());
        readers.remove(3);
        assert_eq!((readers.of_consumer("b"), readers.len()), (None, 0));
    }

    #[test]
    fn other_subjects_are_for_nobody() {
        let readers = Readers::new("inbox.".to_owned());
        for subject in ["", "inbox.", "inbox.1", "inbox.x.y", "other.1.1"] {
            assert_eq!(readers.of_subject(subject), None, "{subject}");
        }
    }
}
