//! The partitions that are held: by number, and by where their messages come.

use std::collections::{BTreeMap, HashMap};

use async_nats::Message;
use eventflux_nats::leases::Term;

use super::reader::Reader;

/// See the module.
#[derive(Debug)]
pub(super) struct Readers {
    held: BTreeMap<u32, Held>,
    /// What the subjects at which messages come begin with, with the last dot.
    prefix: String,
    tokens: HashMap<u64, u32>,
    next_token: u64,
}

#[derive(Debug)]
struct Held {
    reader: Reader,
    /// The token behind the prefix that its present consumer's messages have.
    token: u64,
}

impl Readers {
    pub(super) fn new(prefix: String) -> Self {
        Self { held: BTreeMap::new(), prefix, tokens: HashMap::new(), next_token: 1 }
    }

    /// The subject at which everything comes.
    pub(super) fn subject(&self) -> String {
        format!("{}>", self.prefix)
    }

    /// Holds a partition; returns the reader it had.
    pub(super) fn insert(&mut self, partition: u32, reader: Reader) -> Option<Reader> {
        let before = self.remove(partition);
        self.held.insert(partition, Held { reader, token: 0 });
        before
    }

    pub(super) fn remove(&mut self, partition: u32) -> Option<Reader> {
        let held = self.held.remove(&partition)?;
        self.tokens.remove(&held.token);
        Some(held.reader)
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

    /// What comes for a partition comes at a new subject from now on, and what comes at the old one is nothing.
    pub(super) fn renew_subject(&mut self, partition: u32) {
        if let Some(held) = self.held.get_mut(&partition) {
            self.tokens.remove(&held.token);
            held.token = self.next_token;
            self.next_token += 1;
            self.tokens.insert(held.token, partition);
        }
    }

    /// Where the answers to a pull of a partition come.
    pub(super) fn reply(&self, partition: u32, pull: u64) -> String {
        let token = self.held.get(&partition).map_or(0, |held| held.token);
        format!("{}{token}.{pull}", self.prefix)
    }

    /// Whose message it is, and which pull it answers; `None` for one that comes too late.
    pub(super) fn receiver(&mut self, message: &Message) -> Option<(u32, u64, &mut Reader)> {
        let (token, pull) = message.subject.strip_prefix(&*self.prefix)?.split_once('.')?;
        let partition = *self.tokens.get(&token.parse().ok()?)?;
        let held = self.held.get_mut(&partition)?;
        Some((partition, pull.parse().ok()?, &mut held.reader))
    }
}
