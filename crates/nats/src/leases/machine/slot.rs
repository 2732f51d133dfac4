//! What is known of one partition.

use std::time::Duration;

use super::super::record::Record;
use super::super::{Change, Origin, Term};

/// Most writes of unknown outcome that are remembered; an older one that succeeded is not recognised, and taken again.
const MAX_UNKNOWN: usize = 8;

/// What is known of one partition.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The newest known; 0: its key was never seen.
    pub(super) revision: u64,
    /// What it says.
    pub(super) record: Option<Record>,
    /// When it was learned.
    pub(super) since: Duration,
    /// How far it was worked through in our epoch, as far as this process saw: for a bucket that is gone.
    floor: Option<u64>,
    /// While this process holds it.
    pub(super) held: Option<Held>,
    /// The write that is under way.
    pub(super) in_flight: Option<Attempt>,
    /// Writes of which nobody knows what became of them, since the newest revision: each was tried with the same one, so
    /// that at most one of them succeeds.
    pub(super) unknown: Vec<Attempt>,
    /// Before that nothing is written.
    pub(super) retry_at: Duration,
    /// Writes that were refused since the newest revision.
    pub(super) refusals: u32,
    /// What the owner of the machine has not taken yet.
    pub(super) change: Option<Change>,
}

/// A write and when it was sent.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) sent: Duration,
    /// The revision it replaces.
    pub(super) expected: u64,
    pub(super) record: Record,
}

/// While a partition is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) term: Term,
    /// From then on nothing may be worked on.
    pub(super) until: Duration,
    /// When the last write was sent that succeeded.
    pub(super) sent: Duration,
    pub(super) phase: Phase,
    /// The next sequence that is not worked through.
    pub(super) settled: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is worked on.
    Working,
    /// It is to be given back when what was begun is finished.
    Releasing,
    /// It is finished, and to be given back.
    Finished,
}

impl Slot {
    /// Who holds it, as the bucket says.
    pub(super) fn owner(&self) -> Option<&str> {
        self.record.as_ref()?.owner.as_deref()
    }

    /// Whether it counts for this process: one that is given back does not.
    pub(super) fn is_working_or_taking(&self, me: &str) -> bool {
        match &self.held {
            Some(held) => held.phase == Phase::Working,
            None => self.in_flight.as_ref().is_some_and(|attempt| attempt.record.owner.as_deref() == Some(me)),
        }
    }

    /// From when on another process may try to take it. Who owns it and does not know may at once.
    pub(super) fn free_at(&self, me: &str, lease: Duration) -> Duration {
        match self.owner() {
            Some(owner) if owner != me => self.since + lease,
            _ => Duration::ZERO,
        }
    }

    /// Where whoever takes it begins.
    pub(super) fn next_position(&self, origin: Origin) -> u64 {
        match &self.record {
            Some(record) if record.epoch == origin.epoch => record.position,
            Some(_) => 1,
            None => self.floor.unwrap_or(origin.first),
        }
    }

    /// When the write was sent that `record` is of; `None`: it is not one of those that may have succeeded.
    pub(super) fn sent(&self, record: &Record) -> Option<Duration> {
        let mut attempts = self.in_flight.iter().chain(&self.unknown);
        attempts.find(|attempt| attempt.record == *record).map(|attempt| attempt.sent)
    }

    /// Nobody knows what became of a write.
    pub(super) fn is_unknown(&mut self, attempt: Attempt) {
        if attempt.expected != self.revision {
            return;
        }
        if self.unknown.len() >= MAX_UNKNOWN {
            self.unknown.remove(0);
        }
        self.unknown.push(attempt);
    }

    /// Ends what is held.
    pub(super) fn lose(&mut self) -> Option<Held> {
        let held = self.held.take()?;
        self.floor = self.floor.max(Some(held.settled));
        Some(held)
    }

    /// Forgets what the bucket showed, but not how far the partition was worked through.
    pub(super) fn forget(&mut self, epoch: u64) {
        let seen = self.record.take().filter(|record| record.epoch == epoch).map(|record| record.position);
        *self = Self { floor: self.floor.max(seen), change: self.change.take(), ..Self::default() };
    }
}
