//! Who holds what: is told the time, what the bucket shows and what became of writes; says what to write, and what changed.
//!
//! No clock, no I/O. Times are since a moment that stays the same. [`Machine::poll`] after every input, and at
//! [`Machine::deadline`].

mod members;
mod plan;
mod slot;

use std::collections::VecDeque;
use std::time::Duration;

use super::record::{Presence, Record};
use super::{Change, LeaseConfig, Origin, Term};
use members::Members;
use slot::{Held, Phase, Slot};

/// Longest time between a change of a position and its write.
const STORE_EVERY: Duration = Duration::from_secs(1);

/// The bucket is read anew when our own sign of life is not seen for so many leases.
const DEAF_AFTER_LEASES: u32 = 2;

/// The bucket is read anew when a key was refused so often in a row without being seen to change.
const CONFUSED_AFTER: u32 = 2;

/// Something to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// The record of a partition, if its key still has this revision (0: does not exist).
    Partition { partition: u32, expected: u64, record: Record },
    /// Our sign of life.
    Alive(String, Presence),
    /// We are leaving: our key is to be marked as deleted.
    Leave(String),
    /// The key of a process that is gone is to be removed altogether.
    Remove(String),
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there, with this revision.
    Stored(u64),
    /// The key has another revision.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Machine {
    me: String,
    origin: Origin,
    timing: Timing,
    slots: Vec<Slot>,
    members: Members,
    changes: VecDeque<u32>,
    /// The newest stream that others know and this process does not.
    newer: Option<u64>,
    /// Whether that is still to be told.
    is_outdated: bool,
    leaving: bool,
    writes: u64,
    terms: u64,
    deadline: Option<Duration>,
}

/// What follows from how long a lease lasts.
#[derive(Debug, Clone, Copy)]
struct Timing {
    lease: Duration,
    /// How long a holder works after it sent the last write that succeeded.
    hold: Duration,
    renew: Duration,
    store: Duration,
    retry: Duration,
}

impl Timing {
    fn new(lease: Duration) -> Self {
        let renew = lease / 3;
        Self { lease, hold: lease * 2 / 3, renew, store: renew.min(STORE_EVERY), retry: lease / 20 }
    }
}

impl Machine {
    /// A process called `me`, which nobody else is called or was called, that knows nothing yet.
    pub(super) fn new(config: &LeaseConfig, origin: Origin, me: String) -> Self {
        let slots = (0..config.partitions).map(|_| Slot::default()).collect();
        Self {
            members: Members::new(me.clone()),
            me,
            origin,
            timing: Timing::new(config.lease),
            slots,
            changes: VecDeque::new(),
            newer: None,
            is_outdated: false,
            leaving: false,
            writes: 0,
            terms: 0,
            deadline: None,
        }
    }

    /// How long a write may take before its outcome counts as unknown.
    pub(super) fn write_timeout(&self) -> Duration {
        self.timing.lease / 4
    }

    /// The bucket shows the record of a partition; `None`: it was deleted, or makes no sense.
    pub(super) fn partition_seen(&mut self, now: Duration, partition: u32, revision: u64, record: Option<Record>) {
        if (partition as usize) < self.slots.len() {
            self.learn(now, partition, revision, record);
        }
    }

    /// The bucket shows a sign of life, or that a process has left.
    pub(super) fn member_seen(&mut self, now: Duration, id: &str, revision: u64, presence: Option<Presence>) {
        self.members.seen(now, id, revision, presence.is_some_and(|presence| presence.ready));
    }

    /// What became of [`Request::Partition`].
    pub(super) fn partition_written(&mut self, now: Duration, partition: u32, write: u64, outcome: Outcome) {
        let retry = self.timing.retry;
        let Some(slot) = self.slots.get_mut(partition as usize) else { return };
        let Some(attempt) = slot.in_flight.take_if(|attempt| attempt.record.write == write) else { return };
        match outcome {
            Outcome::Stored(revision) => {
                let record = attempt.record.clone();
                slot.is_unknown(attempt);
                self.learn(now, partition, revision, Some(record));
            }
            // What made it fail is known already.
            Outcome::Refused if attempt.expected < slot.revision => {}
            Outcome::Refused => {
                slot.refusals += 1;
                slot.retry_at = now + self.timing.lease;
                // It may be one of our own that came before.
                if slot.unknown.is_empty() {
                    self.lose(partition);
                }
            }
            Outcome::Unknown => {
                slot.is_unknown(attempt);
                slot.retry_at = now + retry;
            }
        }
    }

    /// What became of [`Request::Alive`].
    pub(super) fn alive_written(&mut self, now: Duration, outcome: Outcome) {
        self.members.alive_written(now, outcome, self.timing.retry);
    }

    /// What became of [`Request::Leave`].
    pub(super) fn leave_written(&mut self, now: Duration, outcome: Outcome) {
        self.members.leave_written(now, outcome, self.timing.retry);
    }

    /// Everything below `position` has been worked through. Of no effect when the term is over.
    pub(super) fn advance(&mut self, partition: u32, term: Term, position: u64) {
        if let Some(held) = self.held_mut(partition, term) {
            held.settled = held.settled.max(position);
        }
    }

    /// Nothing of the partition is worked on any more: the answer to [`Change::Release`].
    pub(super) fn release(&mut self, partition: u32, term: Term) {
        if let Some(held) = self.held_mut(partition, term) {
            held.phase = Phase::Finished;
        }
    }

    /// Nothing is worked on any more: everything is given back.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.members.leave();
        self.slots.iter_mut().filter_map(|slot| slot.held.as_mut()).for_each(|held| held.phase = Phase::Finished);
    }

    /// Whether everything has been given back, and the others know.
    pub(super) fn has_left(&self) -> bool {
        self.members.has_left()
    }

    /// Forgets what the bucket showed, to read it anew: it may be another one. What is held is lost.
    pub(super) fn forget(&mut self) {
        for partition in 0..self.slots.len() {
            self.lose(partition as u32);
            self.slots[partition].forget(self.origin.epoch);
        }
        self.members.forget();
    }

    /// Whether what the bucket shows does not come here any more, though it can be written.
    pub(super) fn is_deaf(&self, now: Duration) -> bool {
        self.members.is_unheard(now, self.timing.lease * DEAF_AFTER_LEASES)
            || self.slots.iter().any(|slot| slot.refusals >= CONFUSED_AFTER)
    }

    /// Whether it may work on a partition in this term at this moment.
    pub(super) fn may_work(&self, now: Duration, partition: u32, term: Term) -> bool {
        self.slots
            .get(partition as usize)
            .and_then(|slot| slot.held.as_ref())
            .is_some_and(|held| held.term == term && held.phase != Phase::Finished && now < held.until)
    }

    /// The partitions it holds.
    pub(super) fn held(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().enumerate().filter(|(_, slot)| slot.held.is_some()).map(|(partition, _)| partition as u32)
    }

    /// Processes alive, this one included.
    pub(super) fn members(&self, now: Duration) -> usize {
        self.members.alive(now, self.timing.lease).count()
    }

    /// What changed since this was last called: of each partition the latest.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let mut changes: Vec<_> =
            self.changes.drain(..).filter_map(|partition| self.slots[partition as usize].change.take()).collect();
        if std::mem::take(&mut self.is_outdated)
            && let Some(epoch) = self.newer
        {
            changes.push(Change::Outdated { epoch });
        }
        changes
    }

    /// Whether there are changes to take.
    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty() || self.is_outdated
    }

    /// When to poll at the latest.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn expire(&mut self, now: Duration) {
        for partition in 0..self.slots.len() as u32 {
            if self.slots[partition as usize].held.as_ref().is_some_and(|held| now >= held.until) {
                self.lose(partition);
            }
        }
    }

    /// A key has a newer revision.
    fn learn(&mut self, now: Duration, partition: u32, revision: u64, record: Option<Record>) {
        let slot = &mut self.slots[partition as usize];
        if revision <= slot.revision {
            return;
        }
        let sent = record.as_ref().and_then(|record| slot.sent(record));
        let owner = record.as_ref().and_then(|record| record.owner.as_deref());
        let (is_ours, is_nobodys) = (owner == Some(&self.me), owner.is_none());
        let epoch = record.as_ref().map(|record| record.epoch).filter(|epoch| self.origin.is_before(*epoch));
        if epoch > self.newer {
            (self.newer, self.is_outdated) = (epoch, true);
        }
        slot.revision = revision;
        slot.since = now;
        slot.record = record;
        slot.refusals = 0;
        slot.retry_at = Duration::ZERO;
        slot.unknown.clear();
        match sent {
            Some(sent) if is_ours => self.confirmed(now, partition, sent),
            // We gave it back, as was asked.
            Some(_) if is_nobodys => slot.held = None,
            // Ours, but of a write that was given up: what is held ends when it ends.
            _ if is_ours => {}
            _ => self.lose(partition),
        }
    }

    /// A write that was sent at `sent` says that the partition is ours.
    fn confirmed(&mut self, now: Duration, partition: u32, sent: Duration) {
        let until = sent + self.timing.hold;
        // Whoever asked meanwhile was told that it is over, and it stays over.
        if self.slots[partition as usize].held.as_ref().is_some_and(|held| now >= held.until) {
            self.lose(partition);
        }
        if now >= until {
            return;
        }
        let slot = &mut self.slots[partition as usize];
        if let Some(held) = &mut slot.held {
            held.until = held.until.max(until);
            held.sent = held.sent.max(sent);
            return;
        }
        let position = slot.record.as_ref().map_or(0, |record| record.position);
        self.terms += 1;
        let term = Term(self.terms);
        let phase = if self.leaving { Phase::Finished } else { Phase::Working };
        slot.held = Some(Held { term, until, sent, phase, settled: position });
        if !self.leaving {
            self.report(partition, Change::Acquired { partition, term, position });
        }
    }

    fn lose(&mut self, partition: u32) {
        if let Some(held) = self.slots[partition as usize].lose() {
            self.report(partition, Change::Lost { partition, term: held.term });
        }
    }

    fn report(&mut self, partition: u32, change: Change) {
        if self.slots[partition as usize].change.replace(change).is_none() {
            self.changes.push_back(partition);
        }
    }

    fn held_mut(&mut self, partition: u32, term: Term) -> Option<&mut Held> {
        self.slots.get_mut(partition as usize)?.held.as_mut().filter(|held| held.term == term)
    }
}

#[cfg(test)]
mod tests;
