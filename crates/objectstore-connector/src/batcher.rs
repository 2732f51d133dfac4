//! From payloads to objects: one that is being collected for each path. No I/O, and the time is told.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use eventflux_core::{EncodedBatch, EventFluxError, Ticket};
use tokio::time::Instant;

use crate::naming::Namer;
use crate::object::{Framing, Object, OpenObject, PAYLOAD_OVERHEAD};

/// When an object is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Its size in bytes, unless a single payload is larger.
    pub bytes: usize,
    /// Its payloads.
    pub events: usize,
    /// How long its first payload waits.
    pub delay: Duration,
    /// How many are collected at a time.
    pub open: usize,
}

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// For waiting.
    pub(crate) instant: Instant,
    /// For names.
    pub(crate) wall: SystemTime,
}

impl Now {
    pub(crate) fn read() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// Collects payloads.
#[derive(Debug)]
pub(crate) struct Batcher {
    limits: BatchLimits,
    framing: Framing,
    namer: Namer,
    open: HashMap<String, OpenObject>,
    /// When each one was begun, and its path, by number: from the oldest on.
    ages: BTreeMap<u64, (Instant, String)>,
    /// The number of the next one.
    next: u64,
}

/// What a payload has led to.
#[derive(Debug)]
pub(crate) struct Added {
    /// Number of the object it is in.
    pub(crate) number: u64,
    /// What it counts for in the queue, in bytes.
    pub(crate) cost: usize,
}

impl Batcher {
    pub(crate) fn new(limits: BatchLimits, framing: Framing, namer: Namer) -> Self {
        Self { limits, framing, namer, open: HashMap::new(), ages: BTreeMap::new(), next: 0 }
    }

    /// Adds payload number `row` of `batch`, whose path is `path`. Objects that are complete go to `sealed`.
    ///
    /// # Errors
    /// [`EventFluxError::Send`] for a payload that no object can hold.
    pub(crate) fn add(
        &mut self,
        path: &str,
        batch: &EncodedBatch,
        row: usize,
        now: Now,
        sealed: &mut Vec<Object>,
    ) -> Result<Added, EventFluxError> {
        let payload = batch.payload(row);
        self.check(payload)?;
        let size = self.framing.size(payload.len());
        if self.open.get(path).is_some_and(|open| open.size() + size > self.limits.bytes) {
            sealed.extend(self.seal(path));
        }
        if !self.open.contains_key(path) {
            if self.open.len() >= self.limits.open {
                sealed.extend(self.seal_oldest());
            }
            let ticket = batch.ticket();
            self.begin(path, Ticket { row: ticket.row + row as u64, ..ticket }, now)?;
        }
        let (number, is_complete) = self.open.get_mut(path).map_or((0, false), |open| {
            open.push(payload, batch.position(row));
            (open.number(), open.len() >= self.limits.events || open.size() >= self.limits.bytes)
        });
        if is_complete {
            sealed.extend(self.seal(path));
        }
        Ok(Added { number, cost: size + PAYLOAD_OVERHEAD })
    }

    /// The number of a new object.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Numbers below this one have been given.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// When the next object is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (begun, _) = self.ages.values().next()?;
        Some(*begun + self.limits.delay)
    }

    /// Completes those that are due, from the oldest on.
    pub(crate) fn seal_due(&mut self, now: Instant, sealed: &mut impl Extend<Object>) {
        while self.due().is_some_and(|due| due <= now) {
            sealed.extend(self.seal_oldest());
        }
    }

    /// Completes all, from the oldest on.
    pub(crate) fn seal_all(&mut self, sealed: &mut impl Extend<Object>) {
        while !self.ages.is_empty() {
            sealed.extend(self.seal_oldest());
        }
    }

    fn check(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        let reason = match self.framing {
            Framing::Lines if payload.iter().any(|byte| matches!(byte, b'\n' | b'\r')) => {
                "the payload has more than one line; objectstore.framing='length' takes it"
            }
            Framing::Length if u32::try_from(payload.len()).is_err() => "the payload has 4 GiB or more",
            _ => return Ok(()),
        };
        Err(EventFluxError::Send { reason: reason.to_owned(), retryable: false })
    }

    fn begin(&mut self, path: &str, ticket: Ticket, now: Now) -> Result<(), EventFluxError> {
        let key = self.namer.key(path, now.wall.into()).map_err(|reason| Namer::refusal(path, &reason))?;
        let number = self.number();
        self.open.insert(path.to_owned(), OpenObject::new(number, key, path, self.framing, ticket));
        self.ages.insert(number, (now.instant, path.to_owned()));
        Ok(())
    }

    fn seal_oldest(&mut self) -> Option<Object> {
        let (_, (_, path)) = self.ages.first_key_value()?;
        self.seal(&path.clone())
    }

    fn seal(&mut self, path: &str) -> Option<Object> {
        let open = self.open.remove(path)?;
        self.ages.remove(&open.number());
        Some(open.seal())
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::Template;

    use super::*;
    use crate::testing::batch;

    const LIMITS: BatchLimits = BatchLimits { bytes: 10, events: 3, delay: Duration::from_secs(5), open: 2 };

    struct Bench {
        batcher: Batcher,
        start: Now,
        sealed: Vec<Object>,
    }

    impl Bench {
        fn new(framing: Framing) -> Self {
            let namer = Namer::new("", &Template::parse("${p}").unwrap(), "", "jsonl").unwrap();
            Self { batcher: Batcher::new(LIMITS, framing, namer), start: Now::read(), sealed: Vec::new() }
        }

        fn add_at(&mut self, seconds: u64, path: &str, payload: &[u8]) -> Result<Added, EventFluxError> {
            let after = Duration::from_secs(seconds);
            let now = Now { instant: self.start.instant + after, wall: self.start.wall + after };
            self.batcher.add(path, &batch([payload]), 0, now, &mut self.sealed)
        }

        fn add(&mut self, path: &str, payload: &str) {
            self.add_at(0, path, payload.as_bytes()).unwrap();
        }

        fn sealed(&mut self) -> Vec<(u64, String)> {
            let text = |object: &Object| String::from_utf8(object.body().to_vec()).unwrap();
            self.sealed.drain(..).map(|object| (object.number(), text(&object))).collect()
        }
    }

    fn object(number: u64, body: &str) -> (u64, String) {
        (number, body.to_owned())
    }

    #[test]
    fn an_object_is_complete_by_number_or_by_size() {
        let mut bench = Bench::new(Framing::Lines);
        for payload in ["a", "b", "c", "1234", "12345", "123456789", "d"] {
            bench.add("p", payload);
        }
        let expected = [object(0, "a\nb\nc\n"), object(1, "1234\n"), object(2, "12345\n"), object(3, "123456789\n")];
        assert_eq!(bench.sealed(), expected);
    }

    #[test]
    fn a_payload_larger_than_an_object_has_one_of_its_own() {
        let mut bench = Bench::new(Framing::Lines);
        for payload in ["a", "much larger than that", "b"] {
            bench.add("p", payload);
        }
        assert_eq!(bench.sealed(), [object(0, "a\n"), object(1, "much larger than that\n")]);
    }

    #[test]
    fn an_object_is_due_when_its_first_payload_has_waited() {
        let mut bench = Bench::new(Framing::Lines);
        assert_eq!(bench.batcher.due(), None);
        bench.add_at(0, "p", b"a").unwrap();
        bench.add_at(1, "q", b"b").unwrap();
        bench.add_at(4, "p", b"c").unwrap();
        let at = |seconds| bench.start.instant + Duration::from_secs(seconds);
        assert_eq!(bench.batcher.due(), Some(at(5)));
        let (before, then) = (at(5) - Duration::from_millis(1), at(5));
        bench.batcher.seal_due(before, &mut bench.sealed);
        assert_eq!(bench.sealed(), []);
        bench.batcher.seal_due(then, &mut bench.sealed);
        assert_eq!(bench.sealed(), [object(0, "a\nc\n")]);
        bench.batcher.seal_all(&mut bench.sealed);
        assert_eq!(bench.sealed(), [object(1, "b\n")]);
        assert_eq!(bench.batcher.due(), None);
    }

    #[test]
    fn more_paths_than_allowed_complete_the_oldest() {
        let mut bench = Bench::new(Framing::Lines);
        for path in ["p", "q", "p", "r"] {
            bench.add(path, path);
        }
        assert_eq!(bench.sealed(), [object(0, "p\np\n")]);
        assert_eq!(bench.batcher.open.len(), 2);
    }

    #[test]
    fn a_line_break_is_refused_in_lines_and_taken_with_lengths() {
        let mut bench = Bench::new(Framing::Lines);
        for payload in ["a\nb", "a\r", "\n"] {
            let error = bench.add_at(0, "p", payload.as_bytes()).unwrap_err();
            assert!(!error.is_retryable() && error.to_string().contains("objectstore.framing='length'"), "{error}");
        }
        assert_eq!(bench.batcher.due(), None, "nothing was begun");
        let mut bench = Bench::new(Framing::Length);
        bench.add("p", "a\nb");
        bench.add("p", "cdef");
        assert_eq!(bench.sealed(), [object(0, "\0\0\0\x03a\nb")]);
    }

    #[test]
    fn a_path_that_is_none_begins_nothing() {
        let mut bench = Bench::new(Framing::Lines);
        let error = bench.add_at(0, "..", b"a").unwrap_err();
        assert!(error.to_string().contains("objectstore.path: '..'"), "{error}");
        assert_eq!((bench.batcher.due(), bench.batcher.next_number()), (None, 0));
    }

    #[test]
    fn an_object_knows_where_its_first_payload_stands() {
        let mut bench = Bench::new(Framing::Lines);
        let mut batch = batch(["a", "b", "c"]);
        batch.set_ticket(Ticket { number: 5, row: 20 });
        for row in 1..3 {
            bench.batcher.add("p", &batch, row, bench.start, &mut bench.sealed).unwrap();
        }
        bench.batcher.seal_all(&mut bench.sealed);
        let back = bench.sealed.pop().unwrap().into_batch(&Template::parse("${p}").unwrap());
        assert_eq!((back.ticket(), back.position(0)), (Ticket { number: 5, row: 21 }, 1));
    }
}
