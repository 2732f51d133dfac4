//! Who holds what: is told the time, what the bucket shows and what became of writes; says what to write, and what changed.
//!
//! No clock, no I/O. Times are since a moment that stays the same. [`Machine::poll`] after every input, and at
//! [`Machine::deadline`].

mod members;
mod slot;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::record::{Presence, Record};
use super::share::quota;
use super::{Change, LeaseConfig, Origin, Term};
use members::Members;
use slot::{Attempt, Held, Phase, Slot};

/// Longest time between a change of a position and its write.
const STORE_EVERY: Duration = Duration::from_secs(1);

/// A process without a sign of life is forgotten, and its key removed, after so many leases.
const FORGET_AFTER_LEASES: u32 = 10;

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
    outdated: Option<bool>,
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
            outdated: None,
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
        if self.outdated == Some(true) {
            self.outdated = Some(false);
            changes.push(Change::Outdated);
        }
        changes
    }

    /// Whether there are changes to take.
    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty() || self.outdated == Some(true)
    }

    /// When to poll at the latest.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// What is to be written now.
    pub(super) fn poll(&mut self, now: Duration) -> Vec<Request> {
        self.deadline = None;
        let mut requests = Vec::new();
        self.expire(now);
        if self.members.has_left() {
            return requests;
        }
        self.sign_of_life(now, &mut requests);
        if self.members.is_caught_up() && !self.leaving {
            self.balance(now, &mut requests);
        }
        self.renew(now, &mut requests);
        requests
    }

    fn sign_of_life(&mut self, now: Duration, requests: &mut Vec<Request>) {
        let lease = self.timing.lease;
        if self.leaving {
            let is_busy = self.slots.iter().any(|slot| slot.held.is_some() || slot.in_flight.is_some());
            if !is_busy && self.members.begins_to_leave(now) {
                requests.push(Request::Leave(self.me.clone()));
            }
        } else {
            if self.members.is_due(now) {
                self.members.sent(now + self.timing.renew);
                requests.push(Request::Alive(
                    self.me.clone(),
                    Presence { held: self.held().count(), ready: self.members.is_ready(now, lease) },
                ));
            }
            requests.extend(
                self.members.forgotten(now, lease, lease * FORGET_AFTER_LEASES).into_iter().map(Request::Remove),
            );
            self.wake(now, self.members.next_death(now, lease));
        }
        self.wake(now, Some(self.members.due_at()));
    }

    /// Gives up what is too much, takes what is too little.
    fn balance(&mut self, now: Duration, requests: &mut Vec<Request>) {
        let mut working = self.slots.iter().filter(|slot| slot.is_working_or_taking(&self.me)).count();
        let quota = self.quota(now, working);
        for partition in (0..self.slots.len() as u32).rev() {
            if working <= quota {
                break;
            }
            if self.begin_release(partition) {
                working -= 1;
            }
        }
        // Each begins somewhere else, so that they do not all try the same.
        let first = self.me.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
        for offset in 0..self.slots.len() {
            let partition = first.wrapping_add(offset) % self.slots.len();
            if working >= quota {
                break;
            }
            if self.begin_acquire(now, partition as u32, requests) {
                working += 1;
            }
        }
    }

    fn quota(&self, now: Duration, working: usize) -> usize {
        let mut owned = BTreeMap::<&str, usize>::new();
        let lease = self.timing.lease;
        // What anybody may take is nobody's, also when it is said to be somebody's who is alive.
        let taken = self.slots.iter().filter(|slot| now < slot.free_at(&self.me, lease));
        taken.filter_map(Slot::owner).for_each(|owner| *owned.entry(owner).or_default() += 1);
        owned.insert(&self.me, working);
        let alive = self.members.alive(now, self.timing.lease);
        quota(self.slots.len() as u32, &self.me, alive.map(|id| (id, owned.get(id).copied().unwrap_or_default())))
    }

    fn begin_release(&mut self, partition: u32) -> bool {
        let held = self.slots[partition as usize].held.as_mut().filter(|held| held.phase == Phase::Working);
        let Some(held) = held else { return false };
        held.phase = Phase::Releasing;
        let term = held.term;
        self.report(partition, Change::Release { partition, term });
        true
    }

    fn begin_acquire(&mut self, now: Duration, partition: u32, requests: &mut Vec<Request>) -> bool {
        let slot = &self.slots[partition as usize];
        if slot.held.is_some() || slot.in_flight.is_some() {
            return false;
        }
        if slot.record.as_ref().is_some_and(|record| record.epoch > self.origin.epoch) {
            return false;
        }
        let free_at = slot.free_at(&self.me, self.timing.lease).max(slot.retry_at);
        if now < free_at {
            self.wake(now, Some(free_at));
            return false;
        }
        let position = slot.next_position(self.origin);
        let owner = Some(self.me.clone());
        self.write(now, partition, owner, position, requests);
        true
    }

    /// Writes what is held and due.
    fn renew(&mut self, now: Duration, requests: &mut Vec<Request>) {
        for partition in 0..self.slots.len() as u32 {
            let slot = &self.slots[partition as usize];
            let Some(held) = &slot.held else { continue };
            self.deadline = Some(self.deadline.map_or(held.until, |at| at.min(held.until)));
            let stored = slot.record.as_ref().map_or(0, |record| record.position);
            let due = match held.phase {
                Phase::Finished => held.sent,
                _ if held.settled > stored => held.sent + self.timing.store,
                _ => held.sent + self.timing.renew,
            };
            let due = due.max(slot.retry_at);
            if slot.in_flight.is_some() {
                continue;
            }
            if now < due {
                self.wake(now, Some(due));
                continue;
            }
            let owner = (held.phase != Phase::Finished).then(|| self.me.clone());
            let position = held.settled.max(stored);
            self.write(now, partition, owner, position, requests);
        }
    }

    fn write(
        &mut self,
        now: Duration,
        partition: u32,
        owner: Option<String>,
        position: u64,
        requests: &mut Vec<Request>,
    ) {
        self.writes += 1;
        let record = Record { owner, position, epoch: self.origin.epoch, write: self.writes };
        let slot = &mut self.slots[partition as usize];
        slot.in_flight = Some(Attempt { sent: now, expected: slot.revision, record: record.clone() });
        requests.push(Request::Partition { partition, expected: slot.revision, record });
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
        if record.as_ref().is_some_and(|record| record.epoch > self.origin.epoch) {
            self.outdated.get_or_insert(true);
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

    /// Polls again then; what is due already waits for something else.
    fn wake(&mut self, now: Duration, at: Option<Duration>) {
        if let Some(at) = at.filter(|at| *at > now) {
            self.deadline = Some(self.deadline.map_or(at, |deadline| deadline.min(at)));
        }
    }
}

#[cfg(test)]
mod tests;
