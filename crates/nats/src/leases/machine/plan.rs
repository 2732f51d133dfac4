//! What to write now: signs of life, partitions to take, to give up and to renew.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Change;
use super::super::record::{Presence, Record};
use super::super::share::quota;
use super::slot::{Attempt, Phase, Slot};
use super::{Machine, Request};

/// A process without a sign of life is forgotten, and its key removed, after so many leases.
const FORGET_AFTER_LEASES: u32 = 10;

impl Machine {
    /// What is to be written now.
    pub(in crate::leases) fn poll(&mut self, now: Duration) -> Vec<Request> {
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
        if slot.record.as_ref().is_some_and(|record| self.origin.is_before(record.epoch)) {
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

    /// Polls again then; what is due already waits for something else.
    fn wake(&mut self, now: Duration, at: Option<Duration>) {
        if let Some(at) = at.filter(|at| *at > now) {
            self.deadline = Some(self.deadline.map_or(at, |deadline| deadline.min(at)));
        }
    }
}
