//! What a consumer was asked for and has not sent, and when to ask for more. No I/O, no clock.
//!
//! A pull asks for a number of messages and bytes, and ends when it got one of them, when its time is over, or when the
//! server says so. The server takes turns between pulls that wait, and does not say to which one a message belongs: so
//! what is missing is counted over all of them. Where the count is wrong because a pull ended without a word, it is right
//! again when the time of the pull is over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use eventflux_core::backoff::{Backoff, Growth};

/// How long a pull waits for messages at the server. Short, because a pull cannot be taken back: who stops has to wait for
/// its end before he gives messages back, or they would be sent to him.
pub(in crate::source) const EXPIRES: Duration = Duration::from_secs(1);

/// How much later than that the server may say so.
const GRACE: Duration = Duration::from_secs(2);

/// Pulls that wait at the same time: one that is served, and one behind it.
const MAX_PULLS: usize = 2;

/// First and longest pause before a pull after one that was refused.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) struct Request {
    /// Which pull; answers name it.
    pub(in crate::source) id: u64,
    pub(in crate::source) messages: usize,
    /// `None`: whatever the size of the message.
    pub(in crate::source) bytes: Option<usize>,
    pub(in crate::source) expires: Duration,
}

/// How a pull ended, as the server said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) enum End {
    /// Its time is over, or it got what it may.
    Over,
    /// The next message is larger than what it asked for.
    TooLarge,
    /// The server does not serve it now.
    Refused(String),
    /// There is no such consumer.
    Gone(String),
}

#[derive(Debug)]
pub(in crate::source) struct Pulls {
    messages: usize,
    bytes: usize,
    expires: Duration,
    waiting: VecDeque<Pull>,
    missing_messages: usize,
    missing_bytes: usize,
    next_id: u64,
    /// The next message has to be asked for alone.
    large: bool,
    not_before: Option<Instant>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Pull {
    id: u64,
    until: Instant,
    began: Instant,
    messages: usize,
    bytes: usize,
}

impl Pulls {
    /// Asks for that much at a time; pulls wait as long as `expires`, where the consumer allows less than is usual.
    pub(in crate::source) fn new(messages: usize, bytes: usize, expires: Duration) -> Self {
        Self {
            messages: messages.max(1),
            bytes: bytes.max(1),
            expires,
            waiting: VecDeque::new(),
            missing_messages: 0,
            missing_bytes: 0,
            next_id: 1,
            large: false,
            not_before: None,
            backoff: Backoff::new(RETRY.0, RETRY.1, Growth::Exponential),
        }
    }

    /// Asks for that much from now on, as the consumer allows it.
    pub(in crate::source) fn resize(&mut self, messages: usize, bytes: usize, expires: Duration) {
        (self.messages, self.bytes, self.expires) = (messages.max(1), bytes.max(1), expires);
    }

    /// What may still come.
    pub(in crate::source) fn missing(&self) -> usize {
        self.missing_messages
    }

    /// Whether the server has ended all of them.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What to ask for now, when there is room for `room` messages besides those that are missing.
    pub(in crate::source) fn ask(&mut self, room: usize, now: Instant) -> Option<Request> {
        let is_served = !self.waiting.is_empty();
        let is_enough = self.missing_messages > self.messages / 2 || self.waiting.len() >= MAX_PULLS || self.large;
        let messages = room.min(self.messages);
        // A little room is not worth a pull as long as another one waits.
        let is_little = messages < self.messages.div_ceil(4);
        if messages == 0 || (is_served && (is_enough || is_little)) || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        let (messages, bytes) = if self.large { (1, None) } else { (messages, Some(self.bytes)) };
        let asked = bytes.unwrap_or(usize::MAX);
        self.missing_messages += messages;
        self.missing_bytes = self.missing_bytes.saturating_add(asked);
        self.waiting.push_back(Pull { id, until: now + self.expires + GRACE, began: now, messages, bytes: asked });
        Some(Request { id, messages, bytes, expires: self.expires })
    }

    /// A message of `bytes` came, as the server counts them.
    pub(in crate::source) fn received(&mut self, bytes: usize) {
        self.missing_messages = self.missing_messages.saturating_sub(1);
        self.missing_bytes = self.missing_bytes.saturating_sub(bytes);
        if self.missing_messages == 0 || self.missing_bytes == 0 {
            self.forget();
        }
        self.large = false;
        self.works();
    }

    /// The server says that pull `id` ended, with what it has not sent of it. Says how that is to be taken; nothing when it
    /// is about a pull that is known to have ended.
    pub(in crate::source) fn ended(
        &mut self,
        id: u64,
        messages: usize,
        bytes: usize,
        end: End,
        now: Instant,
    ) -> Option<End> {
        let place = self.waiting.iter().position(|pull| pull.id == id)?;
        let pull = self.waiting.remove(place)?;
        self.missing_messages = self.missing_messages.saturating_sub(messages);
        self.missing_bytes = self.missing_bytes.saturating_sub(bytes);
        if self.waiting.is_empty() {
            self.forget();
        }
        // Whatever it is called, what ends at once again and again must not be asked for without a pause.
        let end = match end {
            End::Over if now < pull.began + self.expires / 2 => {
                End::Refused("the server ends pulls at once".to_owned())
            }
            End::TooLarge if self.large => End::Refused("the server does not send a message".to_owned()),
            end => end,
        };
        match &end {
            End::Over => self.works(),
            End::TooLarge => self.large = true,
            End::Refused(_) | End::Gone(_) => self.not_before = Some(now + self.backoff.next_equal_jitter()),
        }
        Some(end)
    }

    /// The pull was not sent, and will not be.
    pub(in crate::source) fn withdraw(&mut self, id: u64) {
        let Some(place) = self.waiting.iter().position(|pull| pull.id == id) else { return };
        if let Some(pull) = self.waiting.remove(place) {
            self.missing_messages = self.missing_messages.saturating_sub(pull.messages);
            self.missing_bytes = self.missing_bytes.saturating_sub(pull.bytes);
        }
    }

    /// The connection was lost: the server does not know of any pull any more.
    pub(in crate::source) fn lost(&mut self) {
        self.forget();
        self.works();
    }

    /// The consumer is gone: whatever it was asked for, and the pause before the next pull stays.
    pub(in crate::source) fn lost_consumer(&mut self) {
        self.forget();
    }

    /// Forgets pulls of which the server should have said long ago that they ended; says whether there were any.
    pub(in crate::source) fn expire(&mut self, now: Instant) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|pull| now < pull.until);
        if self.waiting.is_empty() {
            self.forget();
        }
        self.waiting.len() < before
    }

    /// When to call [`Pulls::expire`] and [`Pulls::ask`] again: later than `now`.
    pub(in crate::source) fn deadline(&self, now: Instant) -> Option<Instant> {
        let until = self.waiting.iter().map(|pull| pull.until);
        until.chain(self.not_before).filter(|&at| at > now).min()
    }

    fn forget(&mut self) {
        self.waiting.clear();
        (self.missing_messages, self.missing_bytes) = (0, 0);
    }

    fn works(&mut self) {
        self.not_before = None;
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        pulls: Pulls,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { pulls: Pulls::new(100, 1_000, EXPIRES), now: Instant::now() }
        }

        /// Number and messages of the next pull.
        fn ask(&mut self, room: usize) -> Option<(u64, usize)> {
            self.pulls.ask(room, self.now).map(|request| (request.id, request.messages))
        }

        fn end(&mut self, id: u64, left: (usize, usize), end: End) -> Option<End> {
            self.pulls.ended(id, left.0, left.1, end, self.now)
        }

        fn receive(&mut self, count: usize, bytes: usize) {
            (0..count).for_each(|_| self.pulls.received(bytes));
        }
    }

    #[test]
    fn the_next_pull_waits_behind_one_that_is_half_served() {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(1_000), Some((1, 100)));
        assert_eq!(bench.ask(1_000), None);
        bench.receive(50, 1);
        assert_eq!(bench.ask(1_000), Some((2, 100)));
        assert_eq!(bench.ask(1_000), None, "two at a time");
        assert_eq!(bench.pulls.missing(), 150);
        bench.receive(100, 1);
        assert_eq!(bench.ask(1_000), None, "the server has not said that the first one ended");
        bench.receive(50, 1);
        assert_eq!(bench.ask(1_000), Some((3, 100)), "everything came, so that both ended");
    }

    #[test]
    fn no_more_is_asked_for_than_there_is_room() {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(0), None);
        assert_eq!(bench.ask(7), Some((1, 7)));
        bench.receive(7, 1);
        assert_eq!(bench.ask(100), Some((2, 100)));
        bench.receive(60, 1);
        assert_eq!(bench.ask(10), None, "too little for another one");
        assert_eq!(bench.ask(60), Some((3, 60)));
    }

    #[test]
    fn a_pull_ends_when_its_bytes_are_there() {
        let mut bench = Bench::new();
        bench.ask(100);
        bench.receive(3, 400);
        assert_eq!((bench.pulls.missing(), bench.ask(100)), (0, Some((2, 100))));
    }

    #[test]
    fn what_the_server_has_not_sent_is_missing_no_more() {
        let mut bench = Bench::new();
        bench.ask(100);
        bench.receive(60, 1);
        bench.ask(100);
        bench.now += EXPIRES;
        assert_eq!(bench.end(1, (40, 900), End::Over), Some(End::Over));
        assert_eq!(bench.pulls.missing(), 100);
        assert_eq!(bench.end(1, (40, 900), End::Over), None, "known");
        assert_eq!(bench.end(2, (100, 1_000), End::Over), Some(End::Over));
        assert_eq!((bench.pulls.missing(), bench.ask(100)), (0, Some((3, 100))));
    }

    #[test]
    fn a_message_that_is_too_large_is_asked_for_alone() {
        let mut bench = Bench::new();
        bench.ask(100);
        assert_eq!(bench.end(1, (100, 1_000), End::TooLarge), Some(End::TooLarge));
        let request = bench.pulls.ask(100, bench.now).unwrap();
        assert_eq!((request.messages, request.bytes), (1, None));
        assert_eq!(bench.ask(100), None);
        bench.receive(1, 5_000);
        assert_eq!(bench.ask(100), Some((3, 100)), "others as ever");
    }

    #[test]
    fn there_is_a_pause_after_a_refusal_that_grows() {
        let mut bench = Bench::new();
        let mut pauses = Vec::new();
        for id in 1..=8 {
            assert_eq!(bench.ask(100), Some((id, 100)));
            assert!(bench.end(id, (100, 1_000), End::Refused("no".into())).is_some());
            assert_eq!(bench.ask(100), None);
            let at = bench.pulls.deadline(bench.now).unwrap();
            pauses.push(at - bench.now);
            bench.now = at;
        }
        assert!(pauses[0] <= RETRY.0 && pauses[7] >= RETRY.1 / 2, "{pauses:?}");
    }

    #[test]
    fn pulls_that_end_at_once_are_refusals() {
        let mut bench = Bench::new();
        bench.ask(100);
        assert!(matches!(bench.end(1, (100, 1_000), End::Over), Some(End::Refused(_))));
        assert_eq!(bench.ask(100), None);
        bench.pulls.lost();
        bench.ask(100);
        bench.end(2, (100, 1_000), End::TooLarge);
        bench.ask(100);
        assert!(matches!(bench.end(3, (1, 0), End::TooLarge), Some(End::Refused(_))));
    }

    #[test]
    fn a_pull_that_was_not_sent_is_taken_back() {
        let mut bench = Bench::new();
        bench.ask(100);
        bench.receive(60, 1);
        bench.ask(100);
        bench.pulls.withdraw(2);
        assert_eq!((bench.pulls.missing(), bench.pulls.is_empty()), (40, false));
        bench.pulls.withdraw(2);
        bench.pulls.withdraw(1);
        assert!(bench.pulls.is_empty());
    }

    #[test]
    fn silence_ends_pulls_too() {
        let mut bench = Bench::new();
        bench.ask(100);
        assert!(!bench.pulls.expire(bench.now + EXPIRES));
        bench.now = bench.pulls.deadline(bench.now).unwrap();
        assert!(bench.pulls.expire(bench.now));
        assert_eq!((bench.pulls.missing(), bench.ask(100)), (0, Some((2, 100))));
        bench.pulls.lost();
        assert_eq!((bench.pulls.missing(), bench.ask(100)), (0, Some((3, 100))), "a new connection");
    }
}
