use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const ACK_TIMEOUT: Duration = Duration::from_secs(5);
const DENIED_TIMEOUT: Duration = Duration::from_millis(500);
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A window of ten messages, and a clock.
struct Bench {
    window: Window<u64>,
    now: Instant,
}

impl Bench {
    fn new(max_attempts: Option<u32>) -> Self {
        let limits = Limits {
            messages: 10,
            ack_timeout: ACK_TIMEOUT,
            denied_timeout: DENIED_TIMEOUT,
            retry: RETRY,
            max_attempts,
        };
        Self { window: Window::new(limits), now: Instant::now() }
    }

    fn with(count: u64) -> Self {
        let mut bench = Self::new(None);
        (1..=count).for_each(|number| assert_eq!(bench.window.push(number), number));
        bench
    }

    /// Everything that may be sent now: numbers and attempts.
    fn send(&mut self) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| {
            self.window.send(self.now).map(|sending| {
                assert_eq!(sending.number, *sending.message);
                (sending.number, sending.attempt)
            })
        })
        .collect()
    }

    fn sent(&mut self) -> Vec<u64> {
        self.send().into_iter().map(|(number, _)| number).collect()
    }

    fn refuse(&mut self, number: u64, attempt: u32) -> bool {
        self.window.refused(number, attempt, full(), self.now)
    }

    fn outcomes(&mut self) -> Vec<Outcome> {
        std::iter::from_fn(|| self.window.take()).collect()
    }

    /// Lets the time pass until something is to be done.
    fn pass(&mut self) {
        self.now = self.window.deadline(self.now).expect("something to wait for");
    }
}

fn full() -> EventFluxError {
    EventFluxError::Send { reason: "full".into(), retryable: true }
}

fn stored(number: u64) -> Outcome {
    Outcome::Stored { number, sequence: number * 10, duplicate: false }
}

#[test]
fn outcomes_come_in_the_order_of_numbers() {
    let mut bench = Bench::with(3);
    assert_eq!(bench.send(), [(1, 1), (2, 1), (3, 1)]);
    assert_eq!(bench.window.under_way(), 3);
    bench.window.stored(2, 20, false);
    assert_eq!(bench.outcomes(), []);
    bench.window.stored(1, 10, false);
    assert_eq!(bench.outcomes(), [stored(1), stored(2)]);
    bench.window.failed(3, 1, full());
    assert_eq!(bench.outcomes(), [Outcome::Failed { number: 3, error: full() }]);
    assert_eq!((bench.window.len(), bench.window.under_way()), (0, 0));
    assert_eq!(bench.window.deadline(bench.now), None);
}

#[test]
fn there_is_room_for_as_many_as_the_limit_says() {
    let mut bench = Bench::with(10);
    assert!(!bench.window.has_room());
    bench.send();
    bench.window.stored(2, 20, false);
    assert!(!bench.window.has_room(), "its outcome cannot be taken before that of the first");
    bench.window.stored(1, 10, false);
    bench.outcomes();
    assert!(bench.window.has_room());
}

#[test]
fn what_was_refused_goes_alone_and_after_a_pause_before_anything_new() {
    let mut bench = Bench::with(3);
    bench.send();
    bench.window.push(4);
    assert!(bench.refuse(2, 1));
    assert_eq!(bench.sent(), [0; 0], "others are under way");
    bench.window.stored(1, 10, false);
    assert!(bench.refuse(3, 1));
    assert_eq!(bench.sent(), [0; 0], "there is a pause");
    let start = bench.now;
    bench.pass();
    assert!((RETRY.0 / 2..=RETRY.0).contains(&(bench.now - start)));
    assert_eq!(bench.send(), [(2, 2)], "one attempt at a time");
    assert!(bench.refuse(2, 2));
    let start = bench.now;
    bench.pass();
    assert!((RETRY.0..=RETRY.0 * 2).contains(&(bench.now - start)), "a longer pause");
    assert_eq!(bench.send(), [(2, 3)]);
    bench.window.stored(2, 20, false);
    assert_eq!(bench.send(), [(3, 2)], "no pause, but nothing new yet");
    bench.window.stored(3, 30, false);
    assert_eq!(bench.send(), [(4, 1)]);
}

#[test]
fn what_was_under_way_when_the_connection_was_lost_is_sent_again_at_once_and_in_order() {
    let mut bench = Bench::with(3);
    bench.send();
    bench.window.push(4);
    bench.window.stored(1, 10, false);
    assert_eq!(bench.window.lost(), 2);
    assert_eq!(bench.send(), [(2, 2), (3, 2)], "and nothing new");
    assert_eq!(bench.window.lost(), 2, "again");
    assert_eq!(bench.send(), [(2, 3), (3, 3)]);
    bench.window.stored(3, 30, true);
    bench.window.stored(2, 20, true);
    assert_eq!(bench.send(), [(4, 1)]);
}

#[test]
fn a_lost_connection_ends_pauses() {
    let mut bench = Bench::with(2);
    bench.send();
    bench.refuse(1, 1);
    bench.refuse(2, 1);
    assert_eq!(bench.sent(), [0; 0]);
    bench.window.lost();
    assert_eq!(bench.sent(), [1, 2]);
}

#[test]
fn what_is_not_confirmed_in_time_is_sent_again_one_at_a_time() {
    let mut bench = Bench::with(2);
    bench.send();
    bench.pass();
    assert_eq!(bench.window.expire(bench.now), 2);
    assert_eq!(bench.send(), [(1, 2)]);
    assert_eq!(bench.window.expire(bench.now), 0);
    bench.window.stored(2, 20, false);
    bench.window.stored(1, 10, false);
    assert_eq!(bench.outcomes(), [stored(1), stored(2)], "late confirmations count");
}

#[test]
fn answers_to_earlier_attempts_are_believed_only_when_they_are_good() {
    let mut bench = Bench::with(1);
    bench.send();
    bench.window.lost();
    bench.send();
    assert!(!bench.refuse(1, 1));
    assert!(!bench.window.failed(1, 1, full()));
    assert_eq!(bench.window.under_way(), 1);
    bench.window.stored(1, 10, false);
    assert_eq!(bench.outcomes(), [stored(1)]);
    bench.window.stored(1, 11, true);
    assert!(!bench.refuse(1, 2));
    assert_eq!(bench.outcomes(), []);
}

#[test]
fn answers_to_what_was_not_sent_are_ignored() {
    let mut bench = Bench::with(1);
    bench.window.stored(1, 10, false);
    bench.window.stored(0, 10, false);
    bench.window.stored(2, 10, false);
    assert!(!bench.refuse(1, 0));
    assert_eq!((bench.outcomes(), bench.window.under_way()), (vec![], 0));
    assert_eq!(bench.send(), [(1, 1)]);
}

#[test]
fn attempts_are_limited_when_a_limit_is_set() {
    let mut bench = Bench::new(Some(2));
    bench.window.push(1);
    bench.send();
    bench.refuse(1, 1);
    bench.pass();
    assert_eq!(bench.send(), [(1, 2)]);
    bench.refuse(1, 2);
    assert_eq!(bench.outcomes(), [Outcome::Failed { number: 1, error: full() }]);
}

#[test]
fn what_is_not_permitted_fails_unless_it_was_stored_before() {
    let mut bench = Bench::with(3);
    bench.send();
    bench.window.deny(|message| *message != 3, "not permitted", bench.now);
    bench.window.stored(1, 10, false);
    let start = bench.now;
    bench.pass();
    assert_eq!(bench.now - start, DENIED_TIMEOUT);
    assert_eq!(bench.window.expire(bench.now), 0);
    let denied = EventFluxError::Send { reason: "not permitted".into(), retryable: false };
    assert_eq!(bench.outcomes(), [stored(1), Outcome::Failed { number: 2, error: denied }]);
    assert_eq!(bench.window.under_way(), 1);
}

#[test]
fn a_failure_for_good_does_not_hold_up_what_waits() {
    let mut bench = Bench::with(2);
    bench.send();
    bench.refuse(1, 1);
    bench.refuse(2, 1);
    bench.pass();
    assert_eq!(bench.sent(), [1]);
    bench.window.failed(1, 2, full());
    assert_eq!(bench.sent(), [2]);
}

/// What happens to a window in a simulated world.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A message comes.
    Push,
    /// What may be sent is sent.
    Send,
    /// The server stores the oldest message on its way and confirms it.
    Store,
    /// It stores it, and the confirmation is lost.
    StoreSilently,
    /// It refuses it.
    Refuse,
    /// It refuses it for good.
    Fail,
    /// The connection is lost, with everything on its way in both directions.
    Lose,
    /// Time passes until something is to be done.
    Pass,
}

fn steps(losses_only: bool) -> impl Strategy<Value = Vec<Step>> {
    let good = prop_oneof![4 => Just(Step::Push), 4 => Just(Step::Send), 6 => Just(Step::Store), 1 => Just(Step::Lose)];
    let bad = prop_oneof![
        2 => Just(Step::Refuse),
        1 => Just(Step::StoreSilently),
        1 => Just(Step::Fail),
        2 => Just(Step::Pass),
    ];
    let step = if losses_only { good.boxed() } else { prop_oneof![3 => good, 1 => bad].boxed() };
    proptest::collection::vec(step, 1..300)
}

/// A server that stores each message once, and what it keeps of a window's promises.
struct World {
    bench: Bench,
    pushed: u64,
    way: VecDeque<(u64, u32)>,
    log: Vec<u64>,
    known: BTreeSet<u64>,
    outcomes: BTreeMap<u64, bool>,
}

impl World {
    fn new() -> Self {
        let (way, log, known, outcomes) = Default::default();
        Self { bench: Bench::new(None), pushed: 0, way, log, known, outcomes }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push if self.bench.window.has_room() => {
                self.pushed += 1;
                assert_eq!(self.bench.window.push(self.pushed), self.pushed);
            }
            Step::Push => {}
            Step::Send => self.send(),
            Step::Store | Step::StoreSilently => {
                if let Some((number, _)) = self.way.pop_front() {
                    let duplicate = !self.known.insert(number);
                    if !duplicate {
                        self.log.push(number);
                    }
                    if matches!(step, Step::Store) {
                        self.bench.window.stored(number, self.log.len() as u64, duplicate);
                    }
                }
            }
            Step::Refuse => {
                if let Some((number, attempt)) = self.way.pop_front() {
                    self.bench.refuse(number, attempt);
                }
            }
            Step::Fail => {
                if let Some((number, attempt)) = self.way.pop_front().filter(|(number, _)| !self.known.contains(number))
                {
                    self.bench.window.failed(number, attempt, full());
                }
            }
            Step::Lose => {
                self.way.clear();
                self.bench.window.lost();
            }
            Step::Pass => {
                if let Some(at) = self.bench.window.deadline(self.bench.now) {
                    self.bench.now = at;
                    self.bench.window.expire(at);
                }
            }
        }
        self.take();
    }

    fn send(&mut self) {
        let newest = self.way.iter().map(|&(number, _)| number).max().unwrap_or(0);
        let repeating = self.bench.window.is_repeating();
        let sent = self.bench.send();
        assert!(sent.iter().is_sorted(), "{sent:?}");
        if repeating {
            assert!(sent.iter().all(|&(_, attempt)| attempt > 1), "new ones overtake: {sent:?}");
        } else {
            assert!(sent.iter().all(|&(number, attempt)| attempt == 1 && number > newest), "{sent:?}");
        }
        self.way.extend(sent);
        assert!(self.bench.window.under_way() <= 10 && self.bench.window.len() <= 10);
        assert!(self.bench.window.ends.len() <= 10 * 20, "answered attempts are forgotten");
    }

    fn take(&mut self) {
        for outcome in self.bench.outcomes() {
            let (number, is_stored) = match outcome {
                Outcome::Stored { number, .. } => (number, true),
                Outcome::Failed { number, .. } => (number, false),
            };
            assert_eq!(self.outcomes.len() as u64 + 1, number, "each once and in order");
            assert_eq!(self.known.contains(&number), is_stored, "the truth about {number}");
            self.outcomes.insert(number, is_stored);
        }
    }

    /// The server works from now on: everything is decided soon.
    fn finish(&mut self) {
        for _ in 0..2_000 {
            if self.bench.window.len() == 0 {
                assert_eq!(self.outcomes.len() as u64, self.pushed);
                assert_eq!(self.bench.window.under_way(), 0);
                assert!(!self.bench.window.is_repeating());
                return;
            }
            self.step(Step::Send);
            let idle = self.way.is_empty();
            self.step(if idle { Step::Pass } else { Step::Store });
        }
        panic!("not decided: {:?}", self.bench.window);
    }
}

proptest! {
    #[test]
    fn every_message_is_decided_once_and_truly(steps in steps(false)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.step(step));
        world.finish();
    }

    #[test]
    fn losing_connections_changes_no_order(steps in steps(true)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.step(step));
        world.finish();
        prop_assert!(world.log.is_sorted(), "{:?}", world.log);
        prop_assert_eq!(world.log.len() as u64, world.pushed);
    }
}
