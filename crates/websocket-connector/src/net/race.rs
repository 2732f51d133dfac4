//! Which address to try when: Happy Eyeballs (RFC 8305 section 5) without its clock and its sockets.
//!
//! The next attempt starts [`ATTEMPT_DELAY`] after the last one began, or at once when that one failed. Whoever drives
//! the race starts the attempts, takes the first that connects and drops the others. Reduced as usual: both families
//! are looked up together, and no history of round-trip times is kept.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::addresses::Candidates;

/// Head start of an attempt over the next one (the Connection Attempt Delay of RFC 8305 section 8).
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// One attempt to connect from its first address to its last.
#[derive(Debug)]
pub(super) struct Race {
    waiting: VecDeque<SocketAddr>,
    running: Vec<SocketAddr>,
    lost: Vec<FailedAddress>,
    left_out: usize,
    /// When the next attempt starts; `None`: at once.
    due: Option<Instant>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Begin to connect to this address, then ask again.
    Start(SocketAddr),
    /// Wait for a result, at most until this time where there is one, then ask again.
    Wait(Option<Instant>),
    /// Every address failed.
    Lost,
}

/// An address that brought no connection, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedAddress {
    /// The address.
    pub(crate) address: SocketAddr,
    /// What the system said; `None`: nothing came back in time.
    pub(crate) reason: Option<String>,
}

/// How an attempt over several addresses went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FailedAddresses {
    /// Those that were tried, in the order in which they failed; then those without an answer.
    pub(crate) tried: Vec<FailedAddress>,
    /// How many were not.
    pub(crate) untried: usize,
}

impl Race {
    /// A race over these addresses.
    pub(super) fn new(candidates: Candidates) -> Self {
        Self {
            waiting: candidates.addresses.into(),
            running: Vec::new(),
            lost: Vec::new(),
            left_out: candidates.left_out,
            due: None,
        }
    }

    /// What to do at `now`.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        if self.due.is_none_or(|due| due <= now)
            && let Some(address) = self.waiting.pop_front()
        {
            self.running.push(address);
            self.due = Some(now + ATTEMPT_DELAY);
            return Step::Start(address);
        }
        match (self.waiting.is_empty(), self.running.is_empty()) {
            (true, true) => Step::Lost,
            (true, false) => Step::Wait(None),
            (false, _) => Step::Wait(self.due),
        }
    }

    /// An attempt that was started failed.
    pub(super) fn failed(&mut self, address: SocketAddr, reason: String) {
        if self.running.last() == Some(&address) {
            self.due = None;
        }
        self.running.retain(|running| *running != address);
        self.lost.push(FailedAddress { address, reason: Some(reason) });
    }

    /// How it went so far.
    pub(super) fn into_failures(self) -> FailedAddresses {
        let mut tried = self.lost;
        tried.extend(self.running.into_iter().map(|address| FailedAddress { address, reason: None }));
        FailedAddresses { tried, untried: self.waiting.len() + self.left_out }
    }
}

impl fmt::Display for FailedAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FailedAddress { address, reason }) in self.tried.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{address}: {}", reason.as_deref().unwrap_or("no answer"))?;
        }
        match self.untried {
            0 => Ok(()),
            1 => f.write_str("; 1 more address was not tried"),
            more => write!(f, "; {more} more addresses were not tried"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::addresses::AddressFamily;

    fn address(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 80).into()
    }

    fn race(count: u8) -> Race {
        Race::new(Candidates::new((1..=count).map(address).collect(), AddressFamily::Any))
    }

    #[test]
    fn attempts_start_a_delay_apart_while_none_fails() {
        let (mut race, start) = (race(3), Instant::now());
        for step in 0..3 {
            let now = start + ATTEMPT_DELAY * u32::from(step);
            assert_eq!(race.step(now), Step::Start(address(step + 1)));
            let due = (step < 2).then(|| now + ATTEMPT_DELAY);
            assert_eq!(race.step(now + ATTEMPT_DELAY - Duration::from_millis(1)), Step::Wait(due));
        }
    }

    #[test]
    fn the_next_attempt_starts_at_once_when_the_last_one_failed() {
        let (mut race, now) = (race(2), Instant::now());
        assert_eq!(race.step(now), Step::Start(address(1)));
        race.failed(address(1), "refused".into());
        assert_eq!(race.step(now), Step::Start(address(2)));
        race.failed(address(2), "unreachable".into());
        assert_eq!(race.step(now), Step::Lost);
        assert_eq!(race.into_failures().to_string(), "192.0.2.1:80: refused; 192.0.2.2:80: unreachable");
    }

    #[test]
    fn the_failure_of_an_earlier_attempt_does_not_hurry_the_next() {
        let (mut race, start) = (race(3), Instant::now());
        race.step(start);
        let second = start + ATTEMPT_DELAY;
        assert_eq!(race.step(second), Step::Start(address(2)));
        race.failed(address(1), "refused".into());
        assert_eq!(race.step(second), Step::Wait(Some(second + ATTEMPT_DELAY)));
        race.failed(address(2), "refused".into());
        assert_eq!(race.step(second), Step::Start(address(3)));
    }

    #[test]
    fn a_race_over_nothing_is_lost() {
        assert_eq!(race(0).step(Instant::now()), Step::Lost);
    }

    #[test]
    fn what_ran_and_what_waited_is_told_at_the_end() {
        let (mut race, now) = (race(10), Instant::now());
        race.step(now);
        assert_eq!(race.into_failures().to_string(), "192.0.2.1:80: no answer; 9 more addresses were not tried");
    }

    proptest::proptest! {
        /// Whatever fails whenever: each address is started once, in order, and the race ends.
        #[test]
        fn every_address_gets_its_turn(
            count in 0..10u8,
            events in proptest::collection::vec((0..400u64, 0..8usize), 0..40),
        ) {
            let (mut race, mut now) = (race(count), Instant::now());
            let (mut started, mut running) = (Vec::new(), Vec::new());
            let mut drive = |race: &mut Race, now, running: &mut Vec<SocketAddr>| loop {
                match race.step(now) {
                    Step::Start(address) => { started.push(address); running.push(address); }
                    other => break other,
                }
            };
            drive(&mut race, now, &mut running);
            for (milliseconds, index) in events {
                now += Duration::from_millis(milliseconds);
                if index < running.len() {
                    race.failed(running.remove(index), "refused".into());
                }
                drive(&mut race, now, &mut running);
            }
            let end = loop {
                match drive(&mut race, now, &mut running) {
                    Step::Lost => break race.into_failures(),
                    _ if running.is_empty() => panic!("waits for nothing"),
                    _ => race.failed(running.remove(0), "refused".into()),
                }
            };
            let expected: Vec<_> = (1..=count.min(8)).map(address).collect();
            proptest::prop_assert_eq!(&started, &expected);
            let untried = usize::from(count.saturating_sub(8));
            proptest::prop_assert_eq!((end.tried.len(), end.untried), (expected.len(), untried));
        }
    }
}
