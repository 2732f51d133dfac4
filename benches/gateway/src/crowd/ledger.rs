//! Who has got what: counts deliveries, notices what is missing or in the wrong order or place, and says how far the
//! publisher may go.

use eventflux_benches::control::Latency;
use eventflux_benches::error::BenchError;
use hdrhistogram::Histogram;

use super::message::Mark;
use crate::event::Report;
use crate::job::{Audience, Task, Work};

/// Part of a window after which all subscribers' progress is looked at, as a power of two: an eighth.
const CHECKPOINTS_PER_WINDOW_BITS: u32 = 3;

/// Longest latency that is told from longer ones, in nanoseconds.
const MAX_LATENCY_NS: u64 = 60_000_000_000;

/// Significant digits of latencies.
const LATENCY_DIGITS: u8 = 3;

/// The books of a crowd.
#[derive(Debug)]
pub(super) struct Ledger {
    work: Work,
    accounts: Vec<Account>,
    awake: usize,
    delivered: u64,
    misordered: u64,
    misrouted: u64,
    progress: Progress,
    latency: Histogram<u64>,
}

/// One subscriber.
#[derive(Debug, Clone, Copy)]
struct Account {
    /// The number after the highest one it got.
    next: u64,
    awake: bool,
}

/// How far everybody is: how many subscribers have passed each checkpoint.
#[derive(Debug)]
struct Progress {
    /// Messages between two checkpoints, as a power of two.
    step_bits: u32,
    passed: Vec<usize>,
    /// Checkpoints that everybody has passed.
    by_all: usize,
}

impl Ledger {
    /// Opens the books of some work, without subscribers.
    ///
    /// # Errors
    /// When the histogram cannot be made.
    pub(super) fn new(work: &Work) -> Result<Self, BenchError> {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_NS, LATENCY_DIGITS)
            .map_err(|error| BenchError::Protocol(format!("making a histogram: {error}")))?;
        let progress = Progress::new(work);
        Ok(Self {
            work: *work,
            accounts: Vec::with_capacity(work.subscribers),
            awake: 0,
            delivered: 0,
            misordered: 0,
            misrouted: 0,
            progress,
            latency,
        })
    }

    /// Adds a subscriber; the first one has number 0.
    pub(super) fn admit(&mut self) {
        self.accounts.push(Account { next: 1, awake: false });
    }

    /// Whether every subscriber has got something.
    pub(super) fn everybody_awake(&self) -> bool {
        self.awake == self.accounts.len()
    }

    /// Subscribers that have got nothing yet.
    pub(super) fn asleep(&self) -> usize {
        self.accounts.len() - self.awake
    }

    /// Books a delivery at `now_ns`, which counts where latency is measured.
    #[inline]
    pub(super) fn book(&mut self, subscriber: usize, mark: Mark, now_ns: u64) {
        let Some(account) = self.accounts.get_mut(subscriber) else { return };
        if !account.awake {
            account.awake = true;
            self.awake += 1;
        }
        if mark.number == 0 {
            return;
        }
        self.delivered += 1;
        if self.work.audience != Audience::Everyone && !self.work.wants(subscriber, self.work.topic(mark.number)) {
            self.misrouted += 1;
        }
        if mark.number < account.next {
            self.misordered += 1;
            return;
        }
        let before = account.next;
        account.next = mark.number + 1;
        self.progress.advance(before - 1, mark.number, self.accounts.len());
        if let Task::Pace { warm_up, .. } = self.work.task
            && mark.number > warm_up
        {
            self.latency.saturating_record(now_ns.saturating_sub(mark.at_ns));
        }
    }

    /// The highest number that subscribers are ready for.
    pub(super) fn limit(&self) -> u64 {
        match (self.work.task, self.work.audience) {
            (Task::Saturate { window, .. }, Audience::Everyone) => self.progress.everybody_has() + window,
            (Task::Saturate { window, .. }, Audience::Split { .. }) => self.delivered + window,
            (Task::Pace { messages, .. }, _) => messages,
            (Task::Idle { .. }, _) => 0,
        }
    }

    /// Whether nothing more is to come of `published` messages.
    pub(super) fn is_complete(&self, published: u64) -> bool {
        match self.work.audience {
            Audience::Everyone => self.accounts.iter().all(|account| account.next > published),
            Audience::Split { .. } => self.delivered >= self.expected(published),
        }
    }

    /// Deliveries booked.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Closes the books.
    pub(super) fn report(&self, published: u64) -> Report {
        let quantile = |quantile| self.latency.value_at_quantile(quantile);
        let latency = Latency {
            count: self.latency.len(),
            p50_ns: quantile(0.5),
            p99_ns: quantile(0.99),
            p999_ns: quantile(0.999),
            max_ns: self.latency.max(),
        };
        Report {
            published,
            expected: self.expected(published),
            delivered: self.delivered,
            misordered: self.misordered,
            misrouted: self.misrouted,
            latency: (!self.latency.is_empty()).then_some(latency),
            ..Report::default()
        }
    }

    fn expected(&self, published: u64) -> u64 {
        published * self.work.fan_out()
    }
}

impl Progress {
    fn new(work: &Work) -> Self {
        let window = match work.task {
            Task::Saturate { window, .. } => window,
            Task::Pace { .. } | Task::Idle { .. } => 1,
        };
        let step_bits = window.max(1).ilog2().saturating_sub(CHECKPOINTS_PER_WINDOW_BITS);
        Self { step_bits, passed: Vec::new(), by_all: 0 }
    }

    /// A subscriber whose highest message was `from` has got `to`.
    #[inline]
    fn advance(&mut self, from: u64, to: u64, subscribers: usize) {
        let (from, to) = ((from >> self.step_bits) as usize, (to >> self.step_bits) as usize);
        if from == to {
            return;
        }
        if self.passed.len() <= to {
            self.passed.resize(to + 1, 0);
        }
        for passed in self.passed.iter_mut().take(to + 1).skip(from + 1) {
            *passed += 1;
        }
        while self.passed.get(self.by_all + 1).is_some_and(|passed| *passed >= subscribers) {
            self.by_all += 1;
        }
    }

    fn everybody_has(&self) -> u64 {
        (self.by_all as u64) << self.step_bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::RUN;

    fn ledger(subscribers: usize, audience: Audience, task: Task) -> Ledger {
        let mut ledger = Ledger::new(&Work { subscribers, frozen: 0, audience, task }).unwrap();
        (0..subscribers).for_each(|_| ledger.admit());
        ledger
    }

    fn mark(number: u64) -> Mark {
        Mark { number, at_ns: PUBLISHED_NS }
    }

    const PUBLISHED_NS: u64 = 1_000_000_000_000;

    const SATURATE: Task = Task::Saturate { milliseconds: 1, window: 16 };

    #[test]
    fn the_slowest_subscriber_holds_the_publisher_back() {
        let mut ledger = ledger(2, Audience::Everyone, SATURATE);
        assert_eq!(ledger.limit(), 16);
        (1..=40).for_each(|number| ledger.book(0, mark(number), 0));
        assert_eq!(ledger.limit(), 16);
        (1..=9).for_each(|number| ledger.book(1, mark(number), 0));
        assert_eq!(ledger.limit(), 24, "everybody has 8, and the step is 2");
        (10..=100).for_each(|number| ledger.book(1, mark(number), 0));
        (41..=100).for_each(|number| ledger.book(0, mark(number), 0));
        assert_eq!(ledger.limit(), 116);
        assert!(ledger.is_complete(100) && !ledger.is_complete(101));
        assert!(ledger.report(100).is_clean());
    }

    #[test]
    fn what_is_missing_repeated_or_late_shows() {
        let mut ledger = ledger(1, Audience::Everyone, SATURATE);
        for number in [1, 2, 2, 5, 4, 100] {
            ledger.book(0, mark(number), 0);
        }
        let report = ledger.report(100);
        assert_eq!((report.delivered, report.misordered, report.lost()), (6, 2, 94));
        assert!(ledger.is_complete(100), "the last message ends the run");
        assert_eq!(ledger.limit(), 116, "a gap does not stop the publisher");
    }

    #[test]
    fn messages_that_do_not_count_wake_subscribers_up() {
        let mut ledger = ledger(2, Audience::Everyone, SATURATE);
        ledger.book(1, mark(0), 0);
        assert!(!ledger.everybody_awake() && ledger.asleep() == 1);
        ledger.book(0, mark(0), 0);
        assert!(ledger.everybody_awake());
        assert_eq!(ledger.delivered(), 0);
    }

    #[test]
    fn somebody_elses_message_is_misrouted() {
        let mut ledger = ledger(2, Audience::Split { topics: 1 }, Task::Saturate { milliseconds: 1, window: 1 });
        ledger.book(0, mark(1), 0);
        assert_eq!(ledger.limit(), 2);
        ledger.book(0, mark(RUN + 1), 0);
        assert!(ledger.is_complete(2));
        assert_eq!(ledger.report(2).misrouted, 1);
    }

    #[test]
    fn latency_counts_after_the_warm_up() {
        let mut ledger = ledger(1, Audience::Everyone, Task::Pace { messages: 4, per_second: 1, warm_up: 1 });
        ledger.book(0, mark(1), PUBLISHED_NS + 90_000_000);
        assert_eq!(ledger.report(4).latency, None);
        ledger.book(0, mark(2), PUBLISHED_NS + 2_000_000);
        ledger.book(0, mark(3), PUBLISHED_NS + 3_000_000);
        ledger.book(0, mark(4), PUBLISHED_NS + 70_000_000);
        let latency = ledger.report(4).latency.unwrap();
        let rounded = [latency.p50_ns, latency.max_ns].map(|ns| (ns as f64 / 1e6).round());
        assert_eq!((latency.count, rounded), (3, [3.0, 70.0]));
    }
}
