//! When messages are due: a rate, and a pacer that turns offsets into waits.
//!
//! Pure: the time comes in as an argument. [`supply`](crate::supply) does the waiting.

use std::time::Duration;

use eventflux_core::{EventFluxError, Properties};
use tokio::time::Instant;

/// How much lateness is made up for after a stall. What is later than that stays late, so that a stall of minutes is
/// not followed by minutes of messages at full speed.
pub(crate) const MAX_CATCH_UP: Duration = Duration::from_secs(1);
/// Slowest rate, in messages per second.
const MIN_RATE: f64 = 0.001;
/// Fastest rate, in messages per second; `max` is not limited by it.
const MAX_RATE: f64 = 10_000_000.0;

/// How fast messages are delivered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// As fast as the pipeline takes them.
    Max,
    /// Messages per second.
    PerSecond(f64),
}

impl Rate {
    /// Reads a property that holds `max` or a number of messages per second.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when it holds something else.
    pub(crate) fn from_property(properties: &Properties, key: &str) -> Result<Self, EventFluxError> {
        let text = properties.text(key)?.trim();
        if text == "max" {
            return Ok(Self::Max);
        }
        text.parse().ok().filter(|rate| (MIN_RATE..=MAX_RATE).contains(rate)).map(Self::PerSecond).ok_or_else(|| {
            EventFluxError::property(key, format!("'{text}' is no rate"))
                .with_hint(format!("use messages per second, from {MIN_RATE} to {MAX_RATE}, or 'max'"))
        })
    }

    /// When message number `index` is due, counted from the first message (number 0); `None`: at once.
    pub(crate) fn offset(self, index: u64) -> Option<Duration> {
        match self {
            Self::Max => None,
            Self::PerSecond(rate) => Some(Duration::try_from_secs_f64(index as f64 / rate).unwrap_or(Duration::MAX)),
        }
    }
}

/// Turns offsets from the first message into waits. Deadlines are absolute, so errors of single waits do not add up.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// When the message of offset zero was due.
    anchor: Option<Instant>,
}

impl Pacer {
    /// How long the message at `offset` has to wait at `now`; `None` when it is due. The first message is due at once.
    pub(crate) fn wait(&mut self, offset: Duration, now: Instant) -> Option<Duration> {
        let anchor = *self.anchor.get_or_insert(now);
        let since = now.saturating_duration_since(anchor);
        if offset > since {
            return Some(offset - since);
        }
        let late = since - offset;
        if let Some(given_up) = late.checked_sub(MAX_CATCH_UP) {
            self.anchor = Some(anchor + given_up);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::{PropertyKind, PropertySpec};

    use super::*;

    const SPECS: &[PropertySpec] = &[PropertySpec::new("x.rate", PropertyKind::Text, "Rate.").default("100")];

    fn rate(text: &str) -> Result<Rate, EventFluxError> {
        Rate::from_property(&Properties::from_pairs(SPECS, [("x.rate", text)])?, "x.rate")
    }

    /// Messages out of `rate` that are due at `now`, in order from `next` on.
    fn due(pacer: &mut Pacer, rate: Rate, next: &mut u64, now: Instant) -> u64 {
        let first = *next;
        while rate.offset(*next).and_then(|offset| pacer.wait(offset, now)).is_none() {
            *next += 1;
        }
        *next - first
    }

    #[test]
    fn a_rate_is_a_number_in_bounds_or_max() {
        assert_eq!(rate("max"), Ok(Rate::Max));
        assert_eq!(rate(" 0.5 "), Ok(Rate::PerSecond(0.5)));
        for bad in ["0", "-1", "NaN", "inf", "fast", "1e9", ""] {
            let error = rate(bad).unwrap_err().to_string();
            assert!(error.starts_with("property 'x.rate': ") && error.contains("'max'"), "{error}");
        }
    }

    #[test]
    fn the_first_message_is_due_at_once_and_the_others_at_their_offset() {
        let (mut pacer, start) = (Pacer::default(), Instant::now());
        let rate = Rate::PerSecond(10.0);
        assert_eq!(pacer.wait(rate.offset(0).unwrap(), start), None);
        let early = start + Duration::from_millis(30);
        assert_eq!(pacer.wait(rate.offset(1).unwrap(), early), Some(Duration::from_millis(70)));
        assert_eq!(pacer.wait(rate.offset(1).unwrap(), start + Duration::from_millis(100)), None);
    }

    #[test]
    fn late_wake_ups_do_not_add_up() {
        let (mut pacer, start, mut next) = (Pacer::default(), Instant::now(), 0);
        let rate = Rate::PerSecond(1_000.0);
        for millis in (0..=60_000).step_by(7) {
            due(&mut pacer, rate, &mut next, start + Duration::from_millis(millis) + Duration::from_micros(900));
        }
        // The first message starts the clock 0.9 ms late; the last look is at 59,997 ms.
        assert_eq!(next, 59_998);
    }

    #[test]
    fn after_a_stall_at_most_one_second_is_made_up_for() {
        let (mut pacer, start, mut next) = (Pacer::default(), Instant::now(), 0);
        let rate = Rate::PerSecond(100.0);
        due(&mut pacer, rate, &mut next, start);
        let woken = start + Duration::from_secs(600);
        assert_eq!(due(&mut pacer, rate, &mut next, woken), 101);
        assert_eq!(due(&mut pacer, rate, &mut next, woken + Duration::from_secs(1)), 100);
    }

    #[test]
    fn a_short_stall_is_made_up_for_in_full() {
        let (mut pacer, start, mut next) = (Pacer::default(), Instant::now(), 0);
        let rate = Rate::PerSecond(100.0);
        due(&mut pacer, rate, &mut next, start);
        assert_eq!(due(&mut pacer, rate, &mut next, start + Duration::from_millis(500)), 50);
    }

    #[test]
    fn an_absurd_offset_does_not_overflow() {
        let mut pacer = Pacer::default();
        let now = Instant::now();
        assert_eq!(pacer.wait(Duration::ZERO, now), None);
        assert!(pacer.wait(Duration::MAX, now).is_some());
        assert_eq!(Rate::PerSecond(0.001).offset(u64::MAX).map(|o| o > Duration::from_secs(1)), Some(true));
    }
}
