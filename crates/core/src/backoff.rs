//! Pauses between attempts: fixed, linear or exponential, capped, with jitter.

use std::time::Duration;

/// How pauses grow with the number of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Always the initial delay.
    Fixed,
    /// The initial delay times the attempt's number.
    Linear,
    /// The initial delay, doubled with each attempt.
    Exponential,
}

/// A series of pauses. Does not wait itself and has no clock.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    growth: Growth,
    attempts: u32,
}

impl Backoff {
    /// A series that starts at `initial` and never exceeds `max`.
    pub fn new(initial: Duration, max: Duration, growth: Growth) -> Self {
        Self { initial, max, growth, attempts: 0 }
    }

    /// The same series as if `attempts` pauses had passed.
    #[must_use]
    pub fn after(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Attempts since the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Starts over.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next pause before jitter: the cap of this attempt.
    pub fn next_cap(&mut self) -> Duration {
        let attempt = self.attempts;
        self.attempts = self.attempts.saturating_add(1);
        let delay = match self.growth {
            Growth::Fixed => self.initial,
            Growth::Linear => self.initial.saturating_mul(attempt.saturating_add(1)),
            Growth::Exponential => self.initial.saturating_mul(2_u32.saturating_pow(attempt)),
        };
        delay.min(self.max)
    }

    /// The next pause with full jitter: anything from zero to the cap of this attempt, so that many clients do not
    /// come back together.
    pub fn next_full_jitter(&mut self) -> Duration {
        let cap = u64::try_from(self.next_cap().as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(fastrand::u64(0..=cap))
    }

    /// The next pause with equal jitter: from half the cap of this attempt to the cap, for retries of one event.
    pub fn next_equal_jitter(&mut self) -> Duration {
        let cap = u64::try_from(self.next_cap().as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(fastrand::u64(cap / 2..=cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(growth: Growth) -> Vec<u128> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(450), growth);
        (0..4).map(|_| backoff.next_cap().as_millis()).collect()
    }

    #[test]
    fn pauses_grow_as_named_up_to_the_cap() {
        assert_eq!(caps(Growth::Fixed), [100, 100, 100, 100]);
        assert_eq!(caps(Growth::Linear), [100, 200, 300, 400]);
        assert_eq!(caps(Growth::Exponential), [100, 200, 400, 450]);
        let mut later = Backoff::new(Duration::from_millis(100), Duration::from_secs(9), Growth::Exponential).after(3);
        assert_eq!(later.next_cap().as_millis(), 800);
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_huge_series_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::from_secs(30), Growth::Exponential);
        for _ in 0..100 {
            assert!(backoff.next_full_jitter() <= Duration::from_secs(30));
            let pause = backoff.next_equal_jitter();
            assert!((Duration::from_secs(15)..=Duration::from_secs(30)).contains(&pause));
        }
        assert_eq!(backoff.attempts(), 200);
        backoff.reset();
        assert_eq!(backoff.attempts(), 0);
    }
}
