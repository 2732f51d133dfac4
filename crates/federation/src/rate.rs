//! How fast events go by, and how fast they may.

use std::time::{Duration, Instant};

/// Seconds that the long average covers.
const MINUTE: u64 = 60;

/// Seconds that the current rate is taken from.
const CURRENT_SECONDS: u64 = 5;

/// One for each second of the long average, and one for the second that has begun.
const BUCKETS: u64 = MINUTE + 1;

/// Counts events by seconds.
#[derive(Debug, Clone)]
pub struct Meter {
    started: Instant,
    counts: [u64; BUCKETS as usize],
    /// The last second that something was counted in, since the start.
    last: u64,
}

impl Meter {
    /// One that has counted nothing.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { started: now, counts: [0; BUCKETS as usize], last: 0 }
    }

    /// So many more.
    pub fn add(&mut self, count: u64, now: Instant) {
        let second = self.second(now);
        // What lies between is long ago, or has no events.
        for passed in (self.last + 1..=second).rev().take(BUCKETS as usize) {
            self.counts[(passed % BUCKETS) as usize] = 0;
        }
        self.last = self.last.max(second);
        self.counts[(self.last % BUCKETS) as usize] += count;
    }

    /// Events per second in the last few seconds.
    #[must_use]
    pub fn current(&self, now: Instant) -> u64 {
        self.average(CURRENT_SECONDS, now)
    }

    /// Events per second in the last minute, or since the start.
    #[must_use]
    pub fn average_1m(&self, now: Instant) -> u64 {
        self.average(MINUTE, now)
    }

    /// Over the whole seconds before this one, and what has passed of it.
    fn average(&self, seconds: u64, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.started);
        let second = self.second(now);
        let is_known = |passed: &u64| *passed <= self.last && self.last - passed < BUCKETS;
        let first = second.saturating_sub(seconds);
        let counts = (first..=second).filter(is_known).map(|passed| self.counts[(passed % BUCKETS) as usize]);
        let covered = age - Duration::from_secs(first);
        (counts.sum::<u64>() as f64 / covered.as_secs_f64().max(1.0)).round() as u64
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs().max(self.last.saturating_sub(BUCKETS))
    }
}

/// What a limit lets through at once after a pause, in seconds of it.
const BURST_SECONDS: f64 = 0.1;

/// Who waits for room gets so much of it at once, in seconds of the limit: a wake-up for each event would be dear.
const PORTION_SECONDS: f64 = 0.01;

/// Nobody waits longer without having another look.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// A limit of events per second. The burst is what a tenth of a second lets through, and one event at least.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limit {
    /// `None`: there is none.
    per_second: Option<f64>,
    tokens: f64,
    filled: Option<Instant>,
}

impl Limit {
    /// Lets through so many from now on; nothing when that is zero.
    pub(crate) fn set(&mut self, per_second: Option<f64>, now: Instant) {
        self.fill(now);
        if self.per_second.is_none() {
            self.tokens = 0.0;
        }
        self.per_second = per_second;
        self.filled = Some(now);
        self.tokens = self.tokens.min(self.burst());
    }

    pub(crate) fn per_second(&self) -> Option<f64> {
        self.per_second
    }

    /// How many may go now.
    pub(crate) fn allowance(&mut self, now: Instant) -> u64 {
        self.fill(now);
        if self.per_second.is_some() { self.tokens as u64 } else { u64::MAX }
    }

    /// So many have gone.
    pub(crate) fn spend(&mut self, events: u64) {
        self.tokens = (self.tokens - events as f64).max(0.0);
    }

    /// When some may go, if none may now and some may ever.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let rate = self.per_second.filter(|rate| *rate > 0.0)?;
        if self.tokens >= 1.0 {
            return None;
        }
        let wanted = (rate * PORTION_SECONDS).max(1.0);
        let wait = Duration::try_from_secs_f64((wanted - self.tokens) / rate).unwrap_or(LONGEST_WAIT);
        // What the computation loses is less.
        Some(self.filled? + wait.min(LONGEST_WAIT) + Duration::from_micros(1))
    }

    fn burst(&self) -> f64 {
        self.per_second.map_or(0.0, |rate| if rate > 0.0 { (rate * BURST_SECONDS).max(1.0) } else { 0.0 })
    }

    fn fill(&mut self, now: Instant) {
        if let (Some(rate), Some(filled)) = (self.per_second, self.filled) {
            let passed = now.saturating_duration_since(filled).as_secs_f64();
            self.tokens = (self.tokens + rate * passed).min(self.burst());
            self.filled = Some(filled.max(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_meter_tells_the_last_seconds_and_the_last_minute() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        assert_eq!((meter.current(start), meter.average_1m(start)), (0, 0));
        for millisecond in 0..30_000 {
            meter.add(1, start + millisecond * MILLISECOND);
        }
        let half = start + 30_000 * MILLISECOND;
        assert_eq!((meter.current(half), meter.average_1m(half)), (1_000, 1_000));
        for tick in 0..300 {
            meter.add(25, half + tick * 100 * MILLISECOND);
        }
        let minute = half + 30_000 * MILLISECOND;
        assert_eq!((meter.current(minute), meter.average_1m(minute)), (250, 625));
        let silent = minute + Duration::from_secs(10);
        assert_eq!((meter.current(silent), meter.average_1m(silent)), (0, (20_000 + 7_500) / 60));
        assert_eq!(meter.average_1m(minute + Duration::from_secs(3_600)), 0);
        meter.add(60, minute + Duration::from_secs(3_600));
        assert_eq!(meter.average_1m(minute + Duration::from_secs(3_600)), 1);
    }

    #[test]
    fn a_first_moment_is_not_taken_for_a_rate() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.add(500, start + MILLISECOND);
        assert_eq!(meter.current(start + 2 * MILLISECOND), 500);
    }

    #[test]
    fn what_passes_a_limit_is_what_it_says() {
        for rate in [0.5, 1.0, 7.0, 100.0, 5_000.0, 1e6] {
            let (start, mut limit, mut passed) = (Instant::now(), Limit::default(), 0);
            limit.set(Some(rate), start);
            let (mut now, end) = (start, start + Duration::from_secs(20));
            while now < end {
                let allowance = limit.allowance(now);
                assert!(allowance as f64 <= (rate / 10.0).max(1.0), "{rate}: {allowance} at once");
                limit.spend(allowance);
                passed += allowance;
                now = limit.deadline().unwrap();
            }
            let expected = rate * 20.0;
            assert!((passed as f64 - expected).abs() <= expected / 50.0 + 1.0, "{rate}: {passed} in 20 s");
        }
    }

    #[test]
    fn a_pause_saves_up_no_more_than_a_tenth_of_a_second() {
        let (start, mut limit) = (Instant::now(), Limit::default());
        limit.set(Some(1_000.0), start);
        assert_eq!(limit.allowance(start), 0);
        assert_eq!(limit.allowance(start + Duration::from_secs(60)), 100);
    }

    #[test]
    fn saying_it_again_gains_nothing() {
        let (start, mut limit) = (Instant::now(), Limit::default());
        for _ in 0..1_000 {
            limit.set(Some(1e9), start);
            limit.set(Some(1.0), start);
        }
        assert_eq!(limit.allowance(start), 0);
    }

    #[test]
    fn zero_lets_nothing_through_until_it_is_lifted() {
        let (start, mut limit) = (Instant::now(), Limit::default());
        assert_eq!((limit.allowance(start), limit.deadline()), (u64::MAX, None));
        limit.set(Some(0.0), start);
        assert_eq!((limit.allowance(start + LONGEST_WAIT), limit.deadline()), (0, None));
        limit.set(None, start);
        assert_eq!((limit.allowance(start), limit.deadline()), (u64::MAX, None));
    }

    #[test]
    fn the_smallest_limit_is_waited_for_in_steps() {
        let (start, mut limit) = (Instant::now(), Limit::default());
        limit.set(Some(f64::MIN_POSITIVE), start);
        assert_eq!(limit.allowance(start), 0);
        assert!(limit.deadline().unwrap() <= start + LONGEST_WAIT + MILLISECOND);
    }
}
