//! An event on its way to subscribers.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;

use super::config::Retention;
use super::mailbox::{Mailbox, Pushed};
use crate::filter::Document;

/// An event on its way to a channel and to patterns.
pub(super) struct Passing<'a, 'p> {
    pub(super) channel: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) text: &'a [u8],
    /// Where in the text the payload is.
    pub(super) payload: Range<usize>,
    pub(super) binary: bool,
    pub(super) at: Instant,
    pub(super) retention: &'a Retention,
    pub(super) document: &'a Document<'p>,
    /// The text, once somebody keeps it.
    pub(super) shared: OnceCell<Bytes>,
}

/// Who is to be woken when no lock is held. Done when it is dropped, so that nobody is forgotten.
#[derive(Default)]
pub(super) struct Woken {
    /// Sessions that have something to read, and where.
    readers: Vec<(Arc<Mailbox>, u32)>,
    wakers: Vec<Waker>,
}

impl Passing<'_, '_> {
    pub(super) fn shared(&self) -> &Bytes {
        self.shared.get_or_init(|| Bytes::copy_from_slice(self.text))
    }
}

impl Woken {
    /// Remembers to wake a session that has something to read.
    pub(super) fn read(&mut self, mailbox: Arc<Mailbox>, cursor: u32) {
        self.readers.push((mailbox, cursor));
    }

    /// Remembers whom to wake for what was left; returns whether it was taken.
    pub(super) fn push(&mut self, Pushed { taken, waker }: Pushed) -> bool {
        self.wakers.extend(waker);
        taken
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        for (mailbox, cursor) in self.readers.drain(..) {
            mailbox.ready(cursor);
        }
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// Keys are compared by hash: two keys that share one are thinned as if they were the same.
pub(super) fn hash(key: &str) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key).max(1)
}
