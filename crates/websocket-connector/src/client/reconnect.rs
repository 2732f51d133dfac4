//! When to try again and when to give up. No socket and no clock: the time goes in.

use std::time::Duration;

use eventflux_core::backoff::{Backoff, Growth};
use eventflux_core::{EventFluxError, Properties};
use tokio::time::Instant;

const DELAY: &str = "websocket.reconnect.delay.ms";
const MAX_DELAY: &str = "websocket.reconnect.max.delay.ms";

/// The properties `websocket.reconnect*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReconnectPolicy {
    /// Whether to try more than once.
    pub(crate) enabled: bool,
    /// Longest first pause.
    pub(crate) delay: Duration,
    /// Longest pause.
    pub(crate) max_delay: Duration,
    /// Attempts in a row; `None`: no end.
    pub(crate) max_attempts: Option<u32>,
    /// How long a connection must be up to count as a success.
    pub(crate) stable: Duration,
}

/// What comes after an attempt or a connection that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Pause this long, then try again.
    Wait(Duration),
    /// No more attempts.
    GiveUp,
}

/// The attempts so far.
///
/// Every attempt that brings no stable connection counts, whatever the reason: refused, timed out, or accepted and
/// closed at once. Only a connection that was up for the stable period lets attempts and pauses start over.
#[derive(Debug)]
pub(crate) struct Reconnect {
    policy: ReconnectPolicy,
    backoff: Backoff,
    failures: u32,
    connected_at: Option<Instant>,
}

impl ReconnectPolicy {
    /// # Errors
    /// When a property is missing or two contradict each other.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let millis = |key| properties.integer(key).map(Duration::from_millis);
        let policy = Self {
            enabled: properties.flag("websocket.reconnect")?,
            delay: millis(DELAY)?,
            max_delay: millis(MAX_DELAY)?,
            max_attempts: u32::try_from(properties.integer::<i64>("websocket.reconnect.max.attempts")?).ok(),
            stable: millis("websocket.reconnect.stable.ms")?,
        };
        if policy.delay > policy.max_delay {
            let reason = format!("is larger than {MAX_DELAY}, which is {}", policy.max_delay.as_millis());
            return Err(EventFluxError::property(DELAY, reason).with_hint(format!("make {MAX_DELAY} larger too")));
        }
        Ok(policy)
    }
}

impl Reconnect {
    /// Before the first attempt.
    pub(crate) fn new(policy: ReconnectPolicy) -> Self {
        let backoff = Backoff::new(policy.delay, policy.max_delay, Growth::Exponential);
        Self { policy, backoff, failures: 0, connected_at: None }
    }

    /// An attempt brought a connection.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
    }

    /// The connection ended, or the attempt brought none.
    pub(crate) fn ended(&mut self, now: Instant) -> Next {
        let up = self.connected_at.take().map(|since| now.saturating_duration_since(since));
        if up.is_some_and(|up| up >= self.policy.stable) {
            self.failures = 0;
            self.backoff.reset();
        } else {
            self.failures = self.failures.saturating_add(1);
        }
        let exhausted = self.policy.max_attempts.is_some_and(|max| self.failures >= max.max(1));
        if !self.policy.enabled || exhausted {
            return Next::GiveUp;
        }
        Next::Wait(self.backoff.next_full_jitter())
    }

    /// Attempts in a row that brought no stable connection.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// A new series of attempts after giving up. Pauses go on growing, so that series after series does not hammer the
    /// peer; returns the pause before the first attempt.
    pub(crate) fn new_round(&mut self) -> Duration {
        self.failures = 0;
        self.backoff.next_full_jitter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: ReconnectPolicy = ReconnectPolicy {
        enabled: true,
        delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(30),
        max_attempts: None,
        stable: Duration::from_secs(30),
    };

    fn longest_pause(
        reconnect: &mut Reconnect,
        rounds: usize,
        mut end: impl FnMut(&mut Reconnect) -> Next,
    ) -> Duration {
        let pauses = (0..rounds).map(|_| match end(reconnect) {
            Next::Wait(pause) => pause,
            Next::GiveUp => panic!("gave up"),
        });
        pauses.max().unwrap()
    }

    #[test]
    fn pauses_grow_from_the_delay_to_the_maximum() {
        let start = Instant::now();
        let mut reconnect = Reconnect::new(POLICY);
        assert!(longest_pause(&mut reconnect, 1, |r| r.ended(start)) <= Duration::from_secs(1));
        assert!(longest_pause(&mut reconnect, 1, |r| r.ended(start)) <= Duration::from_secs(2));
        // Full jitter over 200 draws of up to 30 s stays below 10 s with a probability of 3 to the power of -195.
        let longest = longest_pause(&mut reconnect, 200, |r| r.ended(start));
        assert!((Duration::from_secs(10)..=Duration::from_secs(30)).contains(&longest), "{longest:?}");
    }

    #[test]
    fn a_server_that_accepts_and_closes_gets_growing_pauses() {
        let start = Instant::now();
        let mut reconnect = Reconnect::new(POLICY);
        let longest = longest_pause(&mut reconnect, 200, |r| {
            r.connected(start);
            r.ended(start + Duration::from_secs(29))
        });
        assert!(longest > Duration::from_secs(10), "{longest:?}");
    }

    #[test]
    fn a_stable_connection_starts_over() {
        let start = Instant::now();
        let mut reconnect = Reconnect::new(ReconnectPolicy { max_attempts: Some(2), ..POLICY });
        for _ in 0..50 {
            assert_ne!(reconnect.ended(start), Next::GiveUp);
            reconnect.connected(start);
            let pause = longest_pause(&mut reconnect, 1, |r| r.ended(start + Duration::from_secs(30)));
            assert!(pause <= Duration::from_secs(1));
        }
    }

    #[test]
    fn attempts_end_at_the_maximum_and_a_new_round_has_as_many() {
        let start = Instant::now();
        let mut reconnect = Reconnect::new(ReconnectPolicy { max_attempts: Some(3), ..POLICY });
        for _ in 0..2 {
            assert_ne!(reconnect.ended(start), Next::GiveUp);
            assert_ne!(reconnect.ended(start), Next::GiveUp);
            assert_eq!(reconnect.ended(start), Next::GiveUp);
            reconnect.new_round();
        }
    }

    #[test]
    fn without_reconnect_the_first_end_is_the_last() {
        let start = Instant::now();
        let mut reconnect = Reconnect::new(ReconnectPolicy { enabled: false, ..POLICY });
        reconnect.connected(start);
        assert_eq!(reconnect.ended(start + Duration::from_secs(3600)), Next::GiveUp);
    }
}
