//! Which messages are to be sent, which are under way, and which have to be sent again. No I/O, no clock.
//!
//! A message waits, is sent, and is decided: stored, or failed. One that was sent in vain waits again, and as long as one
//! of those is not decided nothing is sent that has not been sent before. After a refusal, or a confirmation that does
//! not come, the oldest of them goes alone, after a pause, when nothing else is under way: while the stream is full or gone
//! there is one attempt at a time. As soon as one succeeds, the others follow it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use eventflux_core::EventFluxError;
use eventflux_core::backoff::{Backoff, Growth};

use super::Outcome;

/// The limits of a window.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Most messages that are not decided, or decided behind one that is not.
    pub(super) messages: usize,
    /// How long a confirmation may take.
    pub(super) ack_timeout: Duration,
    /// How long a confirmation may take after the server said that it does not permit the message.
    pub(super) denied_timeout: Duration,
    /// First and longest pause before an attempt after a refusal.
    pub(super) retry: (Duration, Duration),
    /// Refusals after which a message fails; `None`: never.
    pub(super) max_attempts: Option<u32>,
}

/// A message to send, marked as sent.
#[derive(Debug)]
pub(super) struct Sending<'a, T> {
    /// Its number.
    pub(super) number: u64,
    /// Which attempt this is, counted from 1.
    pub(super) attempt: u32,
    /// The message.
    pub(super) message: &'a T,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Window<T> {
    limits: Limits,
    entries: VecDeque<Entry<T>>,
    /// Number of the first entry.
    first: u64,
    /// Number of the first entry that was never sent.
    fresh: u64,
    /// No entry before this one, of those that were sent before, waits.
    again: u64,
    /// Entries under way.
    under_way: usize,
    /// Entries that were sent in vain and are not decided.
    repeated: usize,
    /// Whether they are sent one at a time.
    alone: bool,
    /// When the next of them may be sent.
    hold: Option<Instant>,
    backoff: Backoff,
    /// When attempts are over, in order of time; those that have an answer are still in it.
    ends: VecDeque<End>,
    /// The same for attempts that the server does not permit.
    denied: VecDeque<End>,
}

#[derive(Debug)]
struct Entry<T> {
    message: T,
    state: State,
    attempt: u32,
    refusals: u32,
    repeated: bool,
}

#[derive(Debug)]
enum State {
    Waiting,
    Sent,
    Denied(String),
    Stored { sequence: u64, duplicate: bool },
    Failed(EventFluxError),
}

#[derive(Debug, Clone, Copy)]
struct End {
    at: Instant,
    number: u64,
    attempt: u32,
}

impl<T> Window<T> {
    pub(super) fn new(limits: Limits) -> Self {
        let backoff = Backoff::new(limits.retry.0, limits.retry.1, Growth::Exponential);
        Self {
            limits,
            entries: VecDeque::new(),
            first: 1,
            fresh: 1,
            again: 1,
            under_way: 0,
            repeated: 0,
            alone: false,
            hold: None,
            backoff,
            ends: VecDeque::new(),
            denied: VecDeque::new(),
        }
    }

    /// How many more messages it takes.
    pub(super) fn room(&self) -> usize {
        self.limits.messages.saturating_sub(self.entries.len())
    }

    pub(super) fn has_room(&self) -> bool {
        self.room() > 0
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether something was sent in vain and is not decided.
    pub(super) fn is_repeating(&self) -> bool {
        self.repeated > 0
    }

    pub(super) fn push(&mut self, message: T) -> u64 {
        self.entries.push_back(Entry { message, state: State::Waiting, attempt: 0, refusals: 0, repeated: false });
        self.first + self.entries.len() as u64 - 1
    }

    /// Whether [`Window::send`] has something to send now.
    pub(super) fn can_send(&mut self, now: Instant) -> bool {
        self.next_to_send(now).is_some()
    }

    /// The next message to send, which is under way from now on.
    pub(super) fn send(&mut self, now: Instant) -> Option<Sending<'_, T>> {
        let number = self.next_to_send(now)?;
        self.fresh = self.fresh.max(number + 1);
        self.under_way += 1;
        let at = now + self.limits.ack_timeout;
        let entry = self.entries.get_mut(usize::try_from(number - self.first).ok()?)?;
        entry.state = State::Sent;
        entry.attempt = entry.attempt.wrapping_add(1);
        let attempt = entry.attempt;
        self.ends.push_back(End { at, number, attempt });
        Some(Sending { number, attempt, message: &entry.message })
    }

    /// The stream has it, by whichever attempt.
    pub(super) fn stored(&mut self, number: u64, sequence: u64, duplicate: bool) {
        if let Some(repeated) = self.decide(number, State::Stored { sequence, duplicate })
            && (repeated || self.repeated == 0)
        {
            self.alone = false;
            self.hold = None;
            self.backoff.reset();
        }
    }

    /// That attempt failed, and the next would as well. Says whether it was the present one.
    pub(super) fn failed(&mut self, number: u64, attempt: u32, error: EventFluxError) -> bool {
        let is_present = self.is_under_way(number, attempt);
        if is_present {
            self.decide(number, State::Failed(error));
            self.hold = None;
        }
        is_present
    }

    /// That attempt failed, and another one may succeed. Says whether it was the present one.
    pub(super) fn refused(&mut self, number: u64, attempt: u32, error: EventFluxError, now: Instant) -> bool {
        if !self.is_under_way(number, attempt) {
            return false;
        }
        let max = self.limits.max_attempts;
        let Some(entry) = self.entry(number) else { return false };
        entry.refusals = entry.refusals.saturating_add(1);
        let (is_last, was_repeated) = (max.is_some_and(|max| entry.refusals >= max), entry.repeated);
        if !self.alone || was_repeated {
            self.hold = Some(now + self.backoff.next_equal_jitter());
        }
        self.alone = true;
        if is_last {
            self.decide(number, State::Failed(error));
        } else {
            self.repeat(number);
        }
        true
    }

    /// What was under way may be lost. Returns how many messages that are.
    pub(super) fn lost(&mut self) -> usize {
        let lost: Vec<u64> = (self.first..self.fresh).filter(|&number| self.is_sent(number)).collect();
        lost.iter().for_each(|&number| self.repeat(number));
        self.ends.clear();
        self.denied.clear();
        self.alone = false;
        self.hold = None;
        lost.len()
    }

    /// The server does not permit what is under way and `concerns`: it fails, unless it is confirmed soon because it was
    /// sent before that.
    pub(super) fn deny(&mut self, concerns: impl Fn(&T) -> bool, reason: &str, now: Instant) {
        let at = now + self.limits.denied_timeout;
        for (number, entry) in (self.first..).zip(&mut self.entries) {
            if matches!(entry.state, State::Sent) && concerns(&entry.message) {
                entry.state = State::Denied(reason.to_owned());
                self.denied.push_back(End { at, number, attempt: entry.attempt });
            }
        }
    }

    /// Ends attempts that have had no answer for too long. Returns how many of them will be repeated.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let mut repeated = 0;
        while let Some(end) = pop_over(&mut self.denied, now) {
            if self.is_under_way(end.number, end.attempt)
                && let Some(State::Denied(reason)) = self.entry(end.number).map(|entry| &entry.state)
            {
                let error = EventFluxError::Send { reason: reason.clone(), retryable: false };
                self.decide(end.number, State::Failed(error));
            }
        }
        while let Some(end) = pop_over(&mut self.ends, now) {
            if self.is_under_way(end.number, end.attempt) {
                self.repeat(end.number);
                self.alone = true;
                repeated += 1;
            }
        }
        repeated
    }

    /// When to call [`Window::expire`], or [`Window::send`] again: later than `now`.
    pub(super) fn deadline(&mut self, now: Instant) -> Option<Instant> {
        while let Some(&end) = self.ends.front()
            && !self.is_under_way(end.number, end.attempt)
        {
            self.ends.pop_front();
        }
        let hold = self.hold.filter(|_| self.repeated > 0 && self.under_way == 0);
        let ends = [self.ends.front().map(|end| end.at), self.denied.front().map(|end| end.at)];
        ends.into_iter().chain([hold]).flatten().filter(|&at| at > now).min()
    }

    /// The outcome of the first message, when it is decided.
    pub(super) fn take(&mut self) -> Option<Outcome> {
        let number = self.first;
        let outcome = match &self.entries.front()?.state {
            State::Failed(error) => Outcome::Failed { number, error: error.clone() },
            &State::Stored { sequence, duplicate } => Outcome::Stored { number, sequence, duplicate },
            State::Waiting | State::Sent | State::Denied(_) => return None,
        };
        self.entries.pop_front();
        self.first += 1;
        Some(outcome)
    }

    fn next_to_send(&mut self, now: Instant) -> Option<u64> {
        if self.repeated == 0 {
            return (self.fresh < self.first + self.entries.len() as u64).then_some(self.fresh);
        }
        if (self.alone && self.under_way > 0) || self.hold.is_some_and(|hold| now < hold) {
            return None;
        }
        self.again = self.again.max(self.first);
        while self.again < self.fresh {
            if matches!(self.entry(self.again).map(|entry| &entry.state), Some(State::Waiting)) {
                return Some(self.again);
            }
            self.again += 1;
        }
        None
    }

    /// The entry has to be sent again.
    fn repeat(&mut self, number: u64) {
        let Some(entry) = self.entry(number) else { return };
        entry.state = State::Waiting;
        let is_new = !std::mem::replace(&mut entry.repeated, true);
        self.repeated += usize::from(is_new);
        self.under_way -= 1;
        self.again = self.again.min(number);
    }

    /// Its outcome is known now; says whether it had been sent in vain before, and nothing when it was known already.
    fn decide(&mut self, number: u64, state: State) -> Option<bool> {
        let entry = self.entry(number)?;
        let was_under_way = match entry.state {
            State::Stored { .. } | State::Failed(_) => return None,
            State::Waiting => false,
            State::Sent | State::Denied(_) => true,
        };
        // What was never sent has no outcome, whatever somebody says.
        if entry.attempt == 0 {
            return None;
        }
        entry.state = state;
        let repeated = entry.repeated;
        self.under_way -= usize::from(was_under_way);
        self.repeated -= usize::from(repeated);
        if self.repeated == 0 {
            self.alone = false;
            self.hold = None;
        }
        Some(repeated)
    }

    fn is_sent(&mut self, number: u64) -> bool {
        matches!(self.entry(number).map(|entry| &entry.state), Some(State::Sent | State::Denied(_)))
    }

    fn is_under_way(&mut self, number: u64, attempt: u32) -> bool {
        self.is_sent(number) && self.entry(number).is_some_and(|entry| entry.attempt == attempt)
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry<T>> {
        self.entries.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

/// The first of those whose time is over.
fn pop_over(ends: &mut VecDeque<End>, now: Instant) -> Option<End> {
    ends.front().is_some_and(|end| end.at <= now).then(|| ends.pop_front()).flatten()
}

#[cfg(test)]
mod tests;
