//! Slows down who guesses credentials: failures are counted by address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::Denied;

/// The most addresses remembered; beyond, those whose failures are oldest are forgotten.
pub const MAX_ADDRESSES: usize = 10_000;

/// Failures by address. An address with as many failures in a window as allowed is locked out until its window ends.
///
/// IPv6 addresses count by their network of 64 bits: that is what one customer has.
#[derive(Debug)]
pub struct Attempts {
    /// `None`: no limit.
    limit: Option<u32>,
    window: Duration,
    failures: HashMap<IpAddr, Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Attempts {
    /// Allows that many failures per window and address; 0: any number.
    #[must_use]
    pub fn new(limit: u32, window: Duration) -> Self {
        Self { limit: Some(limit).filter(|limit| *limit > 0), window, failures: HashMap::new() }
    }

    /// Whether an attempt from there is looked at.
    ///
    /// # Errors
    /// [`Denied::LockedOut`] when not.
    pub fn check(&self, address: IpAddr, now: Instant) -> Result<(), Denied> {
        let (Some(limit), Some(failures)) = (self.limit, self.failures.get(&network(address))) else {
            return Ok(());
        };
        let left = self.window.saturating_sub(now.saturating_duration_since(failures.since));
        if failures.count < limit || left.is_zero() {
            return Ok(());
        }
        Err(Denied::LockedOut { retry_after: left })
    }

    /// Counts a failure from there; tells whether the address is locked out from now on, and was not before.
    pub fn failed(&mut self, address: IpAddr, now: Instant) -> bool {
        let Some(limit) = self.limit else {
            return false;
        };
        let address = network(address);
        if self.failures.len() >= MAX_ADDRESSES && !self.failures.contains_key(&address) {
            self.make_room(now);
        }
        let window = self.window;
        let failures = self.failures.entry(address).or_insert(Failures { count: 0, since: now });
        if now.saturating_duration_since(failures.since) >= window {
            *failures = Failures { count: 0, since: now };
        }
        failures.count = failures.count.saturating_add(1);
        failures.count == limit
    }

    /// Forgets what is over; when that is little, also the older half of the rest.
    fn make_room(&mut self, now: Instant) {
        let window = self.window;
        self.failures.retain(|_, failures| now.saturating_duration_since(failures.since) < window);
        if self.failures.len() > MAX_ADDRESSES / 2 {
            let mut times: Vec<_> = self.failures.values().map(|failures| failures.since).collect();
            let (_, middle, _) = times.select_nth_unstable(self.failures.len() / 2);
            let middle = *middle;
            self.failures.retain(|_, failures| failures.since > middle);
        }
        self.failures.shrink_to(MAX_ADDRESSES / 2);
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_fails_too_often_is_locked_out_until_the_window_ends() {
        let (start, eve) = (Instant::now(), address("192.0.2.1"));
        let mut attempts = Attempts::new(3, MINUTE);
        for (second, locks) in [(0, false), (10, false), (20, true), (21, false)] {
            let now = start + Duration::from_secs(second);
            assert_eq!(attempts.failed(eve, now), locks, "{second}");
        }
        let retry_after = Duration::from_secs(30);
        assert_eq!(attempts.check(eve, start + Duration::from_secs(30)), Err(Denied::LockedOut { retry_after }));
        assert_eq!(attempts.check(address("192.0.2.2"), start), Ok(()));
        assert_eq!(attempts.check(eve, start + MINUTE), Ok(()));
        assert!(!attempts.failed(eve, start + MINUTE));
        assert_eq!(attempts.check(eve, start + MINUTE), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_so_does_an_ipv4_address_in_either_form() {
        let now = Instant::now();
        let mut attempts = Attempts::new(1, MINUTE);
        assert!(attempts.failed(address("2001:db8::1"), now));
        assert!(attempts.check(address("2001:db8::ffff:2"), now).is_err());
        assert!(attempts.check(address("2001:db8:0:1::1"), now).is_ok());
        assert!(attempts.failed(address("::ffff:192.0.2.1"), now));
        assert!(attempts.check(address("192.0.2.1"), now).is_err());
    }

    #[test]
    fn without_a_limit_nobody_is_locked_out() {
        let (now, eve) = (Instant::now(), address("192.0.2.1"));
        let mut attempts = Attempts::new(0, MINUTE);
        assert!((0..100).all(|_| !attempts.failed(eve, now)));
        assert_eq!((attempts.check(eve, now), attempts.failures.len()), (Ok(()), 0));
    }

    #[test]
    fn memory_is_bounded_and_the_latest_offenders_stay() {
        let start = Instant::now();
        let mut attempts = Attempts::new(1, MINUTE);
        let offender = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 0..50_000 {
            attempts.failed(offender(number), start + Duration::from_micros(number.into()));
            assert!(attempts.failures.len() <= MAX_ADDRESSES);
        }
        assert!(attempts.check(offender(49_999), start + Duration::from_secs(1)).is_err());
        assert!(attempts.check(offender(0), start).is_ok());
        // When all windows are over, one more failure forgets them.
        attempts.make_room(start + 2 * MINUTE);
        assert!(attempts.failures.is_empty());
    }

    #[test]
    fn offenders_of_one_moment_make_room_for_others() {
        let now = Instant::now();
        let mut attempts = Attempts::new(1, MINUTE);
        for number in 0..2 * MAX_ADDRESSES {
            attempts.failed(IpAddr::from(u32::try_from(number).unwrap().to_be_bytes()), now);
            assert!(attempts.failures.len() <= MAX_ADDRESSES);
        }
    }
}
