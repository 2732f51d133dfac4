//! What a store read for links that are further behind than memory reaches.

use std::collections::{HashMap, VecDeque};

use super::log::{Chunk, Entered};
use super::store::{Store, StoredPayloads};

/// How much is read for a link at once.
const LOAD_BYTES: usize = 256 * 1024;

/// By reader; there is one entry for each that is behind.
#[derive(Debug, Default)]
pub(super) struct Loads(HashMap<u64, Load>);

#[derive(Debug)]
enum Load {
    Asked,
    Here(VecDeque<Chunk>),
    Failed,
}

impl Loads {
    pub(super) fn loaded(&mut self, reader: u64, payloads: &[StoredPayloads]) {
        // A reader that has gone meanwhile gets nothing.
        let Some(load) = self.0.get_mut(&reader) else { return };
        let chunks: Option<_> = payloads.iter().map(StoredPayloads::decode).collect();
        *load = chunks.filter(|chunks: &VecDeque<_>| !chunks.is_empty()).map_or(Load::Failed, Load::Here);
    }

    pub(super) fn forget(&mut self, reader: u64) {
        self.0.remove(&reader);
    }

    /// Whether what the store read for the reader makes no sense.
    pub(super) fn has_failed(&self, reader: u64) -> bool {
        matches!(self.0.get(&reader), Some(Load::Failed))
    }

    /// The payloads from `from` on, as far as they are here; asks `store` for them otherwise.
    pub(super) fn from(&mut self, store: &dyn Store, reader: u64, from: u64) -> impl Iterator<Item = Entered<'_>> {
        let here = match self.0.get_mut(&reader) {
            Some(Load::Here(chunks)) => {
                while chunks.front().is_some_and(|chunk| chunk.next() <= from) {
                    chunks.pop_front();
                }
                chunks.front().is_some_and(|chunk| chunk.first() <= from)
            }
            Some(Load::Asked | Load::Failed) => true,
            None => false,
        };
        if !here {
            self.0.insert(reader, Load::Asked);
            store.load(reader, from, LOAD_BYTES);
        }
        let chunks = match self.0.get(&reader) {
            Some(Load::Here(chunks)) => Some(chunks),
            _ => None,
        };
        chunks.into_iter().flatten().flat_map(move |chunk| chunk.from(from))
    }
}
