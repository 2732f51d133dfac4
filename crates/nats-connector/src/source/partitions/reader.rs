//! One partition: what is asked for, what came, how far it is. No I/O, no clock.

use std::time::Instant;

use async_nats::{HeaderMap, Message, StatusCode, jetstream};
use eventflux_nats::leases::Term;

use super::consumers::Opened;
use crate::source::jetstream::pulls::{EXPIRES, End, Pulls, Request};
use crate::source::jetstream::status::Status;

const LAST_CONSUMER: &str = "Nats-Last-Consumer";
const LAST_STREAM: &str = "Nats-Last-Stream";

/// A partition while it is held.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) term: Term,
    stage: Stage,
    /// The next sequence to read.
    next: u64,
    /// Messages that came and are not delivered.
    waiting: usize,
    /// Their bytes, as the server counts them.
    waiting_bytes: usize,
    /// Messages that are delivered and not settled.
    unsettled: usize,
    /// Messages of the partition behind those that came.
    pub(super) pending: u64,
    /// It is to be given back.
    pub(super) is_releasing: bool,
}

#[derive(Debug)]
enum Stage {
    /// It needs a consumer.
    Closed,
    Open(Open),
}

#[derive(Debug)]
struct Open {
    name: String,
    /// Messages that came from this consumer.
    received: u64,
    pulls: Pulls,
}

/// What a message means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is the next one.
    Next {
        /// Its place in the stream.
        sequence: u64,
        /// When it was stored.
        published_ms: i64,
    },
    /// Nothing.
    None,
    /// Everything below this sequence has been read, and nothing of it is under way.
    Idle(u64),
    /// A new consumer is needed.
    Reopen(String),
}

/// What the reply subject of a message says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) stream_sequence: u64,
    pub(super) consumer_sequence: u64,
    pub(super) pending: u64,
    pub(super) published_ms: i64,
}

impl Reader {
    /// Begins at `position`.
    pub(super) fn new(term: Term, position: u64) -> Self {
        Self {
            term,
            stage: Stage::Closed,
            next: position.max(1),
            waiting: 0,
            waiting_bytes: 0,
            unsettled: 0,
            pending: 0,
            is_releasing: false,
        }
    }

    /// Where a consumer has to begin.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The name of its consumer.
    pub(super) fn consumer(&self) -> Option<&str> {
        match &self.stage {
            Stage::Open(open) => Some(&open.name),
            Stage::Closed => None,
        }
    }

    /// It has a consumer. Returns how many sequences are missing before its first one, when the partition was taken over
    /// and what it would have begun with was removed.
    pub(super) fn opened(&mut self, opened: Opened, messages: usize, bytes: usize) -> u64 {
        let missing = opened.first.saturating_sub(self.next);
        self.next = self.next.max(opened.first);
        self.pending = opened.pending;
        let pulls = Pulls::new(messages, bytes, EXPIRES);
        self.stage = Stage::Open(Open { name: opened.name, received: 0, pulls });
        missing
    }

    /// It has none any more. Returns its name.
    pub(super) fn close(&mut self) -> Option<String> {
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Open(open) => Some(open.name),
            Stage::Closed => None,
        }
    }

    /// The share of one partition has changed.
    pub(super) fn resize(&mut self, messages: usize, bytes: usize) {
        if let Stage::Open(open) = &mut self.stage {
            open.pulls.resize(messages, bytes, EXPIRES);
        }
    }

    /// What to ask for now, when `messages` and `bytes` are what is asked for at a time: while what waits is not more bytes, and
    /// at most twice the messages are here.
    pub(super) fn ask(&mut self, messages: usize, bytes: usize, now: Instant) -> Option<Request> {
        let Stage::Open(open) = &mut self.stage else { return None };
        if self.is_releasing || self.waiting_bytes > bytes {
            return None;
        }
        let room = (2 * messages).saturating_sub(self.waiting + open.pulls.missing());
        open.pulls.ask(room, now)
    }

    /// When to ask again, and to call [`Reader::expire`].
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        match &self.stage {
            Stage::Open(open) => open.pulls.deadline(now),
            Stage::Closed => None,
        }
    }

    /// Whether the server has not said of a pull that it ended, long after it should have.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        match &mut self.stage {
            Stage::Open(open) => open.pulls.expire(now),
            Stage::Closed => false,
        }
    }

    /// What a message of its consumer means, which answers pull number `pull`. `place` is what its reply subject says;
    /// `None`: it has none.
    pub(super) fn receive(&mut self, message: &Message, pull: u64, place: Option<Place>, now: Instant) -> Meaning {
        let Stage::Open(open) = &mut self.stage else { return Meaning::None };
        if message.status == Some(StatusCode::IDLE_HEARTBEAT) {
            return self.heartbeat(message.headers.as_ref());
        }
        if let Some(status) = Status::read(message) {
            return match open.pulls.ended(pull, status.messages, status.bytes, status.end, now) {
                Some(End::Gone(reason)) => Meaning::Reopen(reason),
                _ => Meaning::None,
            };
        }
        let Some(place) = place else { return Meaning::None };
        open.pulls.received(message.length);
        open.received += 1;
        if place.consumer_sequence != open.received {
            return Meaning::Reopen(format!("message {} of it is missing", open.received));
        }
        self.next = place.stream_sequence + 1;
        self.pending = place.pending;
        self.waiting += 1;
        self.waiting_bytes += message.length;
        Meaning::Next { sequence: place.stream_sequence, published_ms: place.published_ms }
    }

    /// The server says how far it is: also behind messages of other partitions.
    fn heartbeat(&mut self, headers: Option<&HeaderMap>) -> Meaning {
        let Stage::Open(open) = &mut self.stage else { return Meaning::None };
        let number = |name| headers?.get(name)?.as_str().trim().parse::<u64>().ok();
        let (Some(received), Some(read)) = (number(LAST_CONSUMER), number(LAST_STREAM)) else { return Meaning::None };
        if received > open.received {
            return Meaning::Reopen(format!("{} messages of it are missing", received - open.received));
        }
        if received < open.received || read < self.next || self.waiting + self.unsettled > 0 {
            return Meaning::None;
        }
        self.next = read + 1;
        Meaning::Idle(self.next)
    }

    /// A message of so many bytes is delivered.
    pub(super) fn delivered(&mut self, bytes: usize) {
        self.waiting = self.waiting.saturating_sub(1);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        self.unsettled += 1;
    }

    /// Messages are settled.
    pub(super) fn settled(&mut self, messages: usize) {
        self.unsettled = self.unsettled.saturating_sub(messages);
    }

    /// Messages that came are not delivered any more.
    pub(super) fn drop_waiting(&mut self) {
        (self.waiting, self.waiting_bytes) = (0, 0);
    }

    /// Whether everything that was delivered is settled.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled == 0
    }
}

impl From<&jetstream::message::Info<'_>> for Place {
    fn from(info: &jetstream::message::Info<'_>) -> Self {
        Self {
            stream_sequence: info.stream_sequence,
            consumer_sequence: info.consumer_sequence,
            pending: info.pending,
            published_ms: i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        reader: Reader,
        now: Instant,
    }

    impl Bench {
        /// At sequence 10 of the stream, with a consumer that begins at `first`.
        fn open(first: u64) -> Self {
            let mut reader = Reader::new(Term::default(), 10);
            reader.opened(Opened { name: "c".to_owned(), first, pending: 5 }, 100, 10_000);
            let mut bench = Self { reader, now: Instant::now() };
            assert!(bench.reader.ask(100, 10_000, bench.now).is_some());
            bench
        }

        fn receive(&mut self, stream_sequence: u64, consumer_sequence: u64) -> Meaning {
            let place = Place { stream_sequence, consumer_sequence, pending: 1, published_ms: 7 };
            self.reader.receive(&message(None, &[]), 0, Some(place), self.now)
        }

        fn heartbeat(&mut self, consumer_sequence: u64, stream_sequence: u64) -> Meaning {
            let headers = [(LAST_CONSUMER, consumer_sequence), (LAST_STREAM, stream_sequence)];
            self.reader.receive(&message(Some(100), &headers), 1, None, self.now)
        }
    }

    fn message(status: Option<u16>, headers: &[(&str, u64)]) -> Message {
        let headers = headers.iter().fold(HeaderMap::new(), |mut all, (name, value)| {
            all.insert(*name, value.to_string());
            all
        });
        Message {
            subject: "s".into(),
            reply: None,
            payload: bytes::Bytes::new(),
            headers: Some(headers),
            status: status.map(|status| StatusCode::from_u16(status).unwrap()),
            description: None,
            length: 10,
        }
    }

    #[test]
    fn messages_in_order_are_next_and_one_that_is_missing_needs_another_consumer() {
        let mut bench = Bench::open(10);
        assert_eq!(bench.receive(10, 1), Meaning::Next { sequence: 10, published_ms: 7 });
        assert_eq!(bench.receive(13, 2), Meaning::Next { sequence: 13, published_ms: 7 });
        assert!(matches!(bench.receive(20, 4), Meaning::Reopen(_)));
        assert_eq!(bench.reader.next(), 14, "from behind the last one that came");
    }

    #[test]
    fn what_was_removed_is_known_when_the_consumer_is_there() {
        let mut reader = Reader::new(Term::default(), 10);
        let opened = |first| Opened { name: "c".to_owned(), first, pending: 0 };
        assert_eq!(reader.opened(opened(10), 1, 1), 0);
        assert_eq!(reader.opened(opened(25), 1, 1), 15);
        assert_eq!(reader.next(), 25);
        assert_eq!((reader.close().as_deref(), reader.close()), (Some("c"), None));
    }

    #[test]
    fn a_heartbeat_moves_what_is_idle_and_nothing_else() {
        let mut bench = Bench::open(10);
        assert_eq!(bench.heartbeat(0, 30), Meaning::Idle(31));
        assert_eq!(bench.heartbeat(0, 30), Meaning::None, "once");
        bench.receive(31, 1);
        assert_eq!(bench.heartbeat(1, 40), Meaning::None, "a message waits");
        bench.reader.delivered(10);
        assert_eq!(bench.heartbeat(1, 40), Meaning::None, "it is not settled");
        bench.reader.settled(1);
        assert_eq!(bench.heartbeat(1, 40), Meaning::Idle(41));
        assert!(matches!(bench.heartbeat(3, 50), Meaning::Reopen(_)), "messages did not come");
    }

    #[test]
    fn nothing_more_is_asked_for_than_twice_the_share() {
        let mut reader = Reader::new(Term::default(), 1);
        assert_eq!(reader.ask(100, 10_000, Instant::now()), None, "there is no consumer");
        let mut bench = Bench::open(10);
        for number in 1..=100 {
            bench.receive(9 + number, number);
        }
        assert_eq!(bench.reader.ask(100, 10_000, bench.now).map(|request| request.messages), Some(100));
        for number in 101..=200 {
            bench.receive(9 + number, number);
        }
        assert_eq!(bench.reader.ask(100, 10_000, bench.now), None);
        (0..200).for_each(|_| bench.reader.delivered(10));
        assert!(bench.reader.ask(100, 10_000, bench.now).is_some());
    }

    #[test]
    fn nothing_more_is_asked_for_while_many_bytes_wait() {
        let mut bench = Bench::open(10);
        for number in 1..=60 {
            bench.receive(9 + number, number);
        }
        assert_eq!(bench.reader.ask(100, 599, bench.now), None);
        bench.reader.delivered(10);
        assert!(bench.reader.ask(100, 599, bench.now).is_some());
        bench.reader.is_releasing = true;
        bench.reader.drop_waiting();
        bench.reader.is_releasing = false;
        assert_eq!((bench.reader.waiting, bench.reader.waiting_bytes), (0, 0));
    }

    #[test]
    fn one_that_is_given_back_asks_for_nothing() {
        let mut bench = Bench::open(10);
        bench.receive(10, 1);
        bench.reader.is_releasing = true;
        bench.reader.drop_waiting();
        assert_eq!(bench.reader.ask(100, 10_000, bench.now), None);
        assert!(bench.reader.is_settled());
    }
}
