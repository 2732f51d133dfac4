//! The thread that writes: it takes everything that waits, commits it together, and says what is stored.
//!
//! A disk that fails or runs full does not end it. What was to be written is kept, the file is opened again (redb asks for
//! that after an error, and readers get on), and the commit is tried again after a pause. Before each further attempt a
//! small file tells whether the disk takes anything at all. What was forgotten meanwhile goes first: it makes room.

use std::sync::Arc;

use crate::block::Block;
use crate::config::Backoff;
use crate::error::SpoolError;
use crate::shared::{Shared, Work};
use crate::store::{Change, Outcome, Place};

pub(crate) struct Writer<P> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) place: P,
    pub(crate) backoff: Backoff,
    /// Attempts that failed since the last one that did not.
    pub(crate) failures: u32,
}

impl<P: Place> Writer<P> {
    /// Runs until the spool is closed. The file and its lock are free again before whoever closes it goes on.
    pub(crate) fn run(mut self) {
        let ended = Ended(Arc::clone(&self.shared));
        self.shared.begin();
        while self.turn() {}
        self.shared.close_store();
        drop(self);
        drop(ended);
    }

    /// One commit. `false` when it was the last.
    fn turn(&mut self) -> bool {
        match self.shared.next_work() {
            Work::Commit(change) => self.write(change),
            Work::Reopen => {
                self.shared.close_store();
                self.write(Change::default())
            }
            Work::End => false,
        }
    }

    /// Tries until it is written. `false` when nobody waits for it any more.
    fn write(&mut self, mut change: Change) -> bool {
        let before = self.shared.numbers().next;
        loop {
            match self.attempt(&mut change) {
                Ok(outcome) => {
                    self.tell(&outcome, before);
                    return true;
                }
                Err(error) => self.shared.observer.failed(&error),
            }
            self.failures = self.failures.saturating_add(1);
            // For readers, now. When it does not work, the next attempt says so.
            let _ = self.open_again(&change);
            if !self.shared.pause(self.backoff.pause(self.failures)) {
                return false;
            }
        }
    }

    fn attempt(&mut self, change: &mut Change) -> Result<Outcome, SpoolError> {
        self.open_again(change)?;
        if self.failures > 0 {
            self.place.probe()?;
            self.make_room(change)?;
        }
        let next = self.shared.numbers().next;
        // An attempt that failed may have been carried out.
        change.blocks.retain(|block| block.first >= next);
        self.commit(change, true)
    }

    /// Commits what was forgotten and noted, old and new, without the blocks.
    fn make_room(&self, change: &mut Change) -> Result<(), SpoolError> {
        let rest = self.shared.take_rest();
        change.forget = change.forget.max(rest.forget);
        change.marks.extend(rest.marks);
        let outcome = self.commit(&Change { blocks: Vec::new(), ..change.clone() }, false)?;
        if outcome.removed > 0 {
            self.shared.observer.freed();
        }
        Ok(())
    }

    fn commit(&self, change: &Change, blocks: bool) -> Result<Outcome, SpoolError> {
        let result = self.shared.commit(change);
        match &result {
            Ok(outcome) => self.shared.committed(outcome, blocks),
            Err(_) => self.shared.close_store(),
        }
        result
    }

    /// Opens the file when it is not open. It has to hold what was reported stored, and at most `change` beside it.
    fn open_again(&self, change: &Change) -> Result<(), SpoolError> {
        if self.shared.is_open() {
            return Ok(());
        }
        let (store, known) = (self.place.open()?, self.shared.numbers());
        let found = store.numbers()?;
        let end = change.blocks.last().map_or(known.next, Block::end);
        if found.epoch != known.epoch || (found.next != known.next && found.next != end) {
            let reason = format!(
                "it was stored up to number {} of epoch {}, and is up to {} of {} now",
                known.next, known.epoch, found.next, found.epoch
            );
            let file = self.shared.config.directory.join("spool.redb");
            return Err(SpoolError::Damaged { file, reason });
        }
        self.shared.opened(store, found);
        Ok(())
    }

    fn tell(&mut self, outcome: &Outcome, before: u64) {
        let observer = &self.shared.observer;
        if std::mem::take(&mut self.failures) > 0 {
            observer.recovered();
        }
        if outcome.numbers.next > before {
            observer.stored(outcome.numbers.next);
        }
        if outcome.removed > 0 {
            observer.freed();
        }
    }
}

/// However the writer ends, nobody waits for it after that.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}
