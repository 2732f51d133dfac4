//! What waits to be written: the side of a spool that its owner calls. Nothing here does I/O, waits, or looks at a clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::block::Block;
use crate::config::{BLOCK_BYTES, COMMIT_BYTES, LAZY_COMMIT, READER_NAME_BYTES, READERS, SpoolConfig};
use crate::store::{Change, Contents, Numbers, Outcome};

/// A block that was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// The block, as it was given.
    pub block: Block,
    /// Why.
    pub reason: Refusal,
}

/// Why a block was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There would be more than [`SpoolConfig::max_bytes`]. There is room again after [`Observer::freed`](crate::Observer::freed).
    #[error("the spool is full: it holds {bytes} of {max_bytes} bytes until receivers acknowledge some of it")]
    Full {
        /// What is there and what waits.
        bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// More than [`SpoolConfig::max_unwritten_bytes`] would wait. There is room again after
    /// [`Observer::stored`](crate::Observer::stored).
    #[error("the disk is behind: {bytes} of {max_bytes} bytes wait to be written")]
    Behind {
        /// What waits.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// It is larger than an empty spool would take: [`SpoolConfig::largest_block`].
    #[error(
        "a block of {bytes} bytes is larger than the spool takes, {largest}: raise its limits, or make smaller blocks"
    )]
    TooLarge {
        /// The size of its data.
        bytes: usize,
        /// The largest that is taken.
        largest: usize,
    },
    /// It does not begin where the last block ended, or holds no message.
    #[error("a block has to begin with number {expected} and to hold a message: it begins with {found}")]
    Number {
        /// The number that comes next.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The spool was closed, or its writer ended.
    #[error("the spool is closed")]
    Closed,
}

impl Refusal {
    /// Whether the same block is taken later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Behind { .. })
    }
}

/// When there is something to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    At(Instant),
    Never,
}

/// Everything that waits, and what the file is known to hold.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    waiting: VecDeque<Block>,
    waiting_bytes: usize,
    /// Blocks that the writer has taken and that are not on the disk.
    in_flight: usize,
    in_flight_bytes: usize,
    next: u64,
    forget: u64,
    forget_waits: bool,
    marks: BTreeMap<String, Option<(u64, u64)>>,
    readers: BTreeSet<String>,
    numbers: Numbers,
    /// Whether the file holds more that was forgotten.
    more: bool,
    /// When the first of the blocks that wait came, and the first of the rest.
    blocks_since: Option<Instant>,
    rest_since: Option<Instant>,
    closed: bool,
}

#[derive(Debug)]
struct Limits {
    max_bytes: u64,
    max_unwritten_bytes: usize,
    largest_block: usize,
    group: Duration,
}

impl Queue {
    pub(crate) fn new(config: &SpoolConfig, contents: &Contents) -> Self {
        let &Contents { epoch, first, next, bytes, .. } = contents;
        Self {
            limits: Limits {
                max_bytes: config.max_bytes,
                max_unwritten_bytes: config.max_unwritten_bytes,
                largest_block: config.largest_block().min(BLOCK_BYTES),
                group: config.group,
            },
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            in_flight: 0,
            in_flight_bytes: 0,
            next,
            forget: first,
            forget_waits: false,
            marks: BTreeMap::new(),
            readers: contents.readers.iter().map(|reader| reader.name.clone()).collect(),
            numbers: Numbers { epoch, first, next, bytes },
            // The last process may have ended before all that it forgot was removed.
            more: true,
            blocks_since: None,
            rest_since: None,
            closed: false,
        }
    }

    pub(crate) fn append(&mut self, block: Block, now: Instant) -> Result<(), Refused> {
        if let Some(reason) = self.refusal(&block) {
            return Err(Refused { block, reason });
        }
        self.next = block.end();
        self.waiting_bytes += block.cost();
        self.waiting.push_back(block);
        self.blocks_since.get_or_insert(now);
        Ok(())
    }

    fn refusal(&self, block: &Block) -> Option<Refusal> {
        if self.closed {
            return Some(Refusal::Closed);
        }
        if block.first != self.next || block.count == 0 || block.first.checked_add(u64::from(block.count)).is_none() {
            return Some(Refusal::Number { expected: self.next, found: block.first });
        }
        if block.data.len() > self.limits.largest_block {
            return Some(Refusal::TooLarge { bytes: block.data.len(), largest: self.limits.largest_block });
        }
        self.full(block.cost())
    }

    /// Why there is no room for `cost` bytes more.
    fn full(&self, cost: usize) -> Option<Refusal> {
        let (bytes, max_bytes) = (self.bytes(), self.limits.max_bytes);
        if bytes.saturating_add(cost as u64) > max_bytes {
            return Some(Refusal::Full { bytes, max_bytes });
        }
        let (bytes, max_bytes) = (self.unwritten_bytes(), self.limits.max_unwritten_bytes);
        (bytes.saturating_add(cost) > max_bytes).then_some(Refusal::Behind { bytes, max_bytes })
    }

    pub(crate) fn has_room(&self, cost: usize) -> bool {
        !self.closed && self.full(cost).is_none()
    }

    pub(crate) fn forget(&mut self, before: u64, now: Instant) {
        let before = before.min(self.next);
        if before > self.forget {
            self.forget = before;
            self.forget_waits = true;
            self.rest_since.get_or_insert(now);
        }
    }

    /// Notes where a reader is. The error says what is wrong with it.
    pub(crate) fn mark(&mut self, name: &str, mark: (u64, u64), now: Instant) -> Result<(), String> {
        if !self.readers.contains(name) {
            if name.len() > READER_NAME_BYTES {
                return Err(format!("its name has {} bytes, and {READER_NAME_BYTES} are allowed", name.len()));
            }
            if self.readers.len() >= READERS {
                return Err(format!("there are {READERS} readers already; unmark those that are gone"));
            }
            self.readers.insert(name.to_owned());
        }
        self.note(name, Some(mark), now);
        Ok(())
    }

    pub(crate) fn unmark(&mut self, name: &str, now: Instant) {
        if self.readers.remove(name) {
            self.note(name, None, now);
        }
    }

    fn note(&mut self, name: &str, mark: Option<(u64, u64)>, now: Instant) {
        self.marks.insert(name.to_owned(), mark);
        self.rest_since.get_or_insert(now);
    }

    /// When to write: at once what there is enough of or what makes room, the rest when it has waited for company.
    pub(crate) fn due(&self) -> Due {
        let enough = COMMIT_BYTES.min(self.limits.max_unwritten_bytes / 2);
        let scarce = self.forget_waits && self.bytes() > self.limits.max_bytes / 2;
        if self.more || scarce || self.waiting_bytes > enough || (self.closed && !self.is_idle()) {
            return Due::Now;
        }
        let blocks = self.blocks_since.map(|since| since + self.limits.group);
        let rest = self.rest_since.map(|since| since + LAZY_COMMIT);
        blocks.into_iter().chain(rest).min().map_or(Due::Never, Due::At)
    }

    /// What the next commit is to write. It is in flight until [`Queue::stored`] or [`Queue::housekept`].
    pub(crate) fn take(&mut self, now: Instant) -> Change {
        let mut change = self.take_rest();
        let mut bytes = 0;
        while let Some(block) = self.waiting.front() {
            if bytes > 0 && bytes + block.cost() > COMMIT_BYTES {
                break;
            }
            bytes += block.cost();
            change.blocks.extend(self.waiting.pop_front());
        }
        self.waiting_bytes -= bytes;
        self.in_flight_bytes += bytes;
        self.in_flight += change.blocks.len();
        self.blocks_since = (!self.waiting.is_empty()).then_some(now);
        change
    }

    /// What is to be forgotten and noted, without the blocks.
    pub(crate) fn take_rest(&mut self) -> Change {
        (self.forget_waits, self.rest_since) = (false, None);
        Change { blocks: Vec::new(), forget: self.forget, marks: std::mem::take(&mut self.marks) }
    }

    /// A commit is on the disk. Whether its blocks are, `blocks` says.
    pub(crate) fn committed(&mut self, outcome: &Outcome, blocks: bool) {
        (self.numbers, self.more) = (outcome.numbers, outcome.more);
        if blocks {
            (self.in_flight, self.in_flight_bytes) = (0, 0);
        }
    }

    /// The file was opened again, and holds this.
    pub(crate) fn found(&mut self, numbers: Numbers) {
        (self.numbers, self.more) = (numbers, true);
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether nothing waits. What is in flight does not count.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.marks.is_empty() && !self.forget_waits && !self.more
    }

    /// Blocks that are not on the disk.
    pub(crate) fn unwritten(&self) -> u64 {
        (self.waiting.len() + self.in_flight) as u64
    }

    pub(crate) fn unwritten_bytes(&self) -> usize {
        self.waiting_bytes + self.in_flight_bytes
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.numbers.bytes + self.unwritten_bytes() as u64
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn numbers(&self) -> Numbers {
        self.numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BLOCK_OVERHEAD;

    fn queue(max_bytes: u64, max_unwritten_bytes: usize) -> (Queue, Instant) {
        let config = SpoolConfig { max_bytes, max_unwritten_bytes, ..SpoolConfig::new("/nowhere") };
        let contents = Contents { epoch: 1, first: 0, next: 0, bytes: 0, readers: Vec::new() };
        let mut queue = Queue::new(&config, &contents);
        queue.more = false;
        (queue, Instant::now())
    }

    fn block(first: u64, bytes: usize) -> Block {
        Block { first, count: 1, data: vec![0; bytes].into(), time_ms: 0 }
    }

    fn outcome(numbers: Numbers) -> Outcome {
        Outcome { numbers, removed: 0, more: false }
    }

    #[test]
    fn a_block_has_to_begin_where_the_last_one_ended() {
        let (mut queue, now) = queue(10_000, 10_000);
        queue.append(Block { count: 5, ..block(0, 10) }, now).unwrap();
        for wrong in [block(4, 10), block(6, 10), Block { count: 0, ..block(5, 10) }] {
            let refused = queue.append(wrong.clone(), now).unwrap_err();
            assert_eq!(refused.block, wrong);
            assert_eq!(refused.reason, Refusal::Number { expected: 5, found: wrong.first });
            assert!(!refused.reason.is_passing());
        }
        queue.append(block(5, 10), now).unwrap();
    }

    #[test]
    fn a_block_is_refused_when_it_would_exceed_a_limit_and_taken_when_there_is_room_again() {
        let (mut queue, now) = queue(1000, 400);
        queue.append(block(0, 200), now).unwrap();
        let refused = queue.append(block(1, 200), now).unwrap_err();
        assert_eq!(refused.reason, Refusal::Behind { bytes: 200 + BLOCK_OVERHEAD, max_bytes: 400 });
        assert!(!queue.has_room(200 + BLOCK_OVERHEAD) && queue.has_room(400 - 200 - BLOCK_OVERHEAD));
        queue.take(now);
        assert!(queue.append(refused.block.clone(), now).is_err(), "what is in flight counts");
        queue.committed(&outcome(Numbers { epoch: 1, first: 0, next: 1, bytes: 900 }), true);
        let refused = queue.append(refused.block, now).unwrap_err();
        assert_eq!(refused.reason, Refusal::Full { bytes: 900, max_bytes: 1000 });
        queue.committed(&outcome(Numbers { epoch: 1, first: 1, next: 1, bytes: 0 }), true);
        queue.append(refused.block, now).unwrap();
    }

    #[test]
    fn a_block_that_never_fits_is_told_from_one_that_has_to_wait() {
        let (mut queue, now) = queue(1000, 400);
        let refused = queue.append(block(0, 400), now).unwrap_err();
        assert_eq!(refused.reason, Refusal::TooLarge { bytes: 400, largest: 400 - BLOCK_OVERHEAD });
        assert!(!refused.reason.is_passing());
        queue.append(block(0, 400 - BLOCK_OVERHEAD), now).unwrap();
    }

    #[test]
    fn blocks_wait_for_others_and_marks_wait_longer() {
        let (mut queue, now) = queue(1_000_000, 1_000_000);
        assert_eq!(queue.due(), Due::Never);
        queue.mark("a", (0, 0), now).unwrap();
        assert_eq!(queue.due(), Due::At(now + LAZY_COMMIT));
        queue.append(block(0, 10), now).unwrap();
        assert_eq!(queue.due(), Due::At(now + queue.limits.group));
        queue.take(now);
        assert_eq!(queue.due(), Due::Never);
    }

    #[test]
    fn what_is_enough_or_makes_room_is_written_at_once() {
        let (mut waiting, now) = queue(1_000_000, 1000);
        waiting.append(block(0, 600), now).unwrap();
        assert_eq!(waiting.due(), Due::Now, "half of what may wait");
        let (mut full, now) = queue(1000, 1000);
        full.committed(&outcome(Numbers { epoch: 1, first: 0, next: 9, bytes: 700 }), true);
        full.next = 9;
        full.forget(5, now);
        assert_eq!(full.due(), Due::Now, "more than half of what may be stored");
        full.take(now);
        full.forget(5, now);
        assert_eq!(full.due(), Due::Never, "it was forgotten already");
    }

    #[test]
    fn marks_of_a_reader_replace_each_other_and_go_before_blocks_that_came_later() {
        let (mut queue, now) = queue(1_000_000_000, 1_000_000_000);
        queue.mark("a", (1, 10), now).unwrap();
        queue.mark("b", (1, 10), now).unwrap();
        queue.mark("a", (2, 20), now).unwrap();
        queue.unmark("b", now);
        queue.unmark("never marked", now);
        for first in 0..3 {
            queue.append(block(first, COMMIT_BYTES / 2), now).unwrap();
        }
        let change = queue.take(now);
        assert_eq!(change.marks, [("a".into(), Some((2, 20))), ("b".into(), None)].into());
        assert_eq!(change.blocks.len(), 1, "the rest is more than one commit");
        assert_eq!((queue.unwritten(), queue.take(now).blocks.len()), (3, 1));
    }

    #[test]
    fn readers_and_their_names_have_limits() {
        let (mut queue, now) = queue(1000, 1000);
        let long = "n".repeat(READER_NAME_BYTES + 1);
        assert!(queue.mark(&long, (0, 0), now).unwrap_err().contains("1025 bytes"));
        for index in 0..READERS {
            queue.mark(&index.to_string(), (0, 0), now).unwrap();
        }
        assert!(queue.mark("one more", (0, 0), now).unwrap_err().contains("10000 readers"));
        queue.mark("0", (1, 0), now).unwrap();
        queue.unmark("0", now);
        queue.mark("one more", (0, 0), now).unwrap();
    }

    #[test]
    fn nothing_is_taken_once_closed_and_what_waits_is_due() {
        let (mut queue, now) = queue(1000, 1000);
        queue.append(block(0, 10), now).unwrap();
        queue.close();
        assert_eq!(queue.append(block(1, 10), now).unwrap_err().reason, Refusal::Closed);
        assert_eq!((queue.due(), queue.has_room(1)), (Due::Now, false));
        queue.take(now);
        assert!(queue.is_idle());
    }
}
