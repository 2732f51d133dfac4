//! Who is there: what processes say of themselves, and what this one says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Outcome;

/// Most processes that are known; further ones do not count for the shares.
const MAX_MEMBERS: usize = 1024;

/// Most keys of processes long gone that are removed at a time.
const MAX_REMOVALS: usize = 16;

#[derive(Debug)]
pub(super) struct Members {
    me: String,
    others: BTreeMap<String, Sign>,
    /// The newest revision of our own key that was stored since the bucket is read.
    stored: Option<u64>,
    /// The newest that was seen.
    seen: u64,
    is_caught_up: bool,
    /// Since when a sign of life of ours is stored that was not seen.
    unheard_since: Option<Duration>,
    /// When the next one is due.
    due_at: Duration,
    is_under_way: bool,
    has_left: bool,
}

#[derive(Debug)]
struct Sign {
    revision: u64,
    at: Duration,
    /// It can hold partitions.
    is_alive: bool,
}

impl Members {
    pub(super) fn new(me: String) -> Self {
        Self {
            me,
            others: BTreeMap::new(),
            stored: None,
            seen: 0,
            is_caught_up: false,
            unheard_since: None,
            due_at: Duration::ZERO,
            is_under_way: false,
            has_left: false,
        }
    }

    pub(super) fn seen(&mut self, now: Duration, id: &str, revision: u64, is_alive: bool) {
        if id == self.me {
            self.seen = self.seen.max(revision);
            self.unheard_since = None;
            self.catch_up();
            return;
        }
        if let Some(sign) = self.others.get_mut(id) {
            if revision > sign.revision {
                *sign = Sign { revision, at: now, is_alive };
            }
        } else if self.others.len() < MAX_MEMBERS {
            self.others.insert(id.to_owned(), Sign { revision, at: now, is_alive });
        }
    }

    /// Whether what the bucket shows is known: all of it was seen once, and our own sign of life comes back soon.
    pub(super) fn is_ready(&self, now: Duration, lease: Duration) -> bool {
        self.is_caught_up && !self.is_unheard(now, lease)
    }

    /// Whether everything was seen that the bucket held when we began: what it shows comes in order, and ours came last.
    pub(super) fn is_caught_up(&self) -> bool {
        self.is_caught_up
    }

    fn catch_up(&mut self) {
        if !self.is_caught_up && self.stored.is_some_and(|stored| self.seen >= stored) {
            self.is_caught_up = true;
            // The others are to know.
            self.due_at = Duration::ZERO;
        }
    }

    /// Those alive, this one included.
    pub(super) fn alive(&self, now: Duration, lease: Duration) -> impl Iterator<Item = &str> {
        let is_alive = move |sign: &Sign| sign.is_alive && now < sign.at + lease;
        let others = self.others.iter().filter(move |(_, sign)| is_alive(sign)).map(|(id, _)| id.as_str());
        others.chain(std::iter::once(self.me.as_str()))
    }

    /// When the next one is counted as dead, if it gives no sign of life.
    pub(super) fn next_death(&self, now: Duration, lease: Duration) -> Option<Duration> {
        self.others.values().filter(|sign| sign.is_alive).map(|sign| sign.at + lease).filter(|at| *at > now).min()
    }

    /// Those long gone, whose keys this process is to remove: the first one alive does it.
    pub(super) fn forgotten(&mut self, now: Duration, lease: Duration, after: Duration) -> Vec<String> {
        if !self.is_caught_up || self.alive(now, lease).min() != Some(&self.me) {
            return Vec::new();
        }
        let gone = self.others.iter().filter(|(_, sign)| now >= sign.at + after).map(|(id, _)| id.clone());
        let gone: Vec<_> = gone.take(MAX_REMOVALS).collect();
        for id in &gone {
            self.others.remove(id);
        }
        gone
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        !self.is_under_way && now >= self.due_at
    }

    /// When the next sign of life, or the deletion of our key, is due.
    pub(super) fn due_at(&self) -> Duration {
        self.due_at
    }

    pub(super) fn sent(&mut self, due_at: Duration) {
        self.due_at = due_at;
        self.is_under_way = true;
    }

    pub(super) fn alive_written(&mut self, now: Duration, outcome: Outcome, retry: Duration) {
        self.is_under_way = false;
        let Outcome::Stored(revision) = outcome else {
            self.due_at = now + retry;
            return;
        };
        self.stored.get_or_insert(revision);
        if self.seen < revision {
            self.unheard_since.get_or_insert(now);
        }
        self.catch_up();
    }

    /// Whether our key is to be deleted now.
    pub(super) fn begins_to_leave(&mut self, now: Duration) -> bool {
        let begins = !self.is_under_way && !self.has_left && now >= self.due_at;
        self.is_under_way |= begins;
        begins
    }

    pub(super) fn leave(&mut self) {
        self.due_at = Duration::ZERO;
    }

    pub(super) fn leave_written(&mut self, now: Duration, outcome: Outcome, retry: Duration) {
        self.is_under_way = false;
        self.has_left = outcome != Outcome::Unknown;
        self.due_at = now + retry;
    }

    pub(super) fn has_left(&self) -> bool {
        self.has_left
    }

    pub(super) fn is_unheard(&self, now: Duration, longest: Duration) -> bool {
        self.unheard_since.is_some_and(|since| now >= since + longest)
    }

    /// The bucket is read anew.
    pub(super) fn forget(&mut self) {
        *self = Self { has_left: self.has_left, ..Self::new(std::mem::take(&mut self.me)) };
    }
}
