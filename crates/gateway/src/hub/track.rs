//! The events of a channel in one framing: contiguous bytes that many connections write from where each of them is.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::config::QueueLimits;
use super::framing::{Framed, SharedFraming};

/// Bytes that are appended to one allocation before the next is begun.
const SEGMENT_BYTES: usize = 64 * 1024;

/// Framed events in order. Events are numbered; `first` is the oldest that is kept, `next` the one to come.
#[derive(Debug)]
pub(super) struct Track {
    framing: SharedFraming,
    /// Subscribers that read it.
    pub(super) readers: usize,
    /// No reader without a track of its own is at an older event.
    pub(super) claimed: u64,
    first: u64,
    marks: VecDeque<Mark>,
    /// Where the first event begins.
    start: u64,
    segments: VecDeque<Segment>,
    /// Where the segments end, and the tail begins.
    sealed: u64,
    /// What was appended since anybody read.
    tail: Vec<u8>,
}

/// What is known of one event.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// Where it ends, in bytes since the track began.
    end: u64,
    key: u64,
    at: Instant,
}

#[derive(Debug)]
struct Segment {
    start: u64,
    bytes: Bytes,
}

/// A run of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The event behind the last one.
    pub(super) next: u64,
    /// Bytes of the events.
    pub(super) bytes: usize,
}

impl Track {
    /// An empty track; the first event will be number `next`.
    pub(super) fn new(framing: SharedFraming, next: u64) -> Self {
        Self {
            framing,
            readers: 0,
            claimed: next,
            first: next,
            marks: VecDeque::new(),
            start: 0,
            segments: VecDeque::new(),
            sealed: 0,
            tail: Vec::new(),
        }
    }

    pub(super) fn is_of(&self, framing: &SharedFraming) -> bool {
        self.framing == *framing
    }

    /// The oldest event that is kept.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The event to come.
    pub(super) fn next(&self) -> u64 {
        self.first + self.marks.len() as u64
    }

    /// Bytes of the events from `event` on, as far as they are kept.
    pub(super) fn bytes_from(&self, event: u64) -> u64 {
        self.end() - self.begin(event.max(self.first))
    }

    /// Whether more waits for a reader at `event` than may. One event may be as large as it is.
    pub(super) fn exceeds(&self, event: u64, limits: &QueueLimits) -> bool {
        let is_more_than_one = event + 1 < self.next();
        let bytes = self.end() - self.begin(event);
        is_more_than_one && (bytes > limits.bytes as u64 || self.next() - event > limits.events() as u64)
    }

    /// Whether `event` waits longer than it may.
    pub(super) fn is_expired(&self, event: u64, now: Instant, limits: &QueueLimits) -> bool {
        limits.is_too_long(self.mark(event).map(|mark| mark.at), now)
    }

    /// The oldest event from `event` on that may wait.
    pub(super) fn newest_within(&self, event: u64, now: Instant, limits: &QueueLimits) -> u64 {
        let fitting = self.newest(limits.bytes).min(self.next() - 1);
        let oldest = fitting.max(self.next().saturating_sub(limits.events() as u64)).max(event);
        (oldest..self.next()).find(|event| !self.is_expired(*event, now, limits)).unwrap_or(self.next())
    }

    /// A track of the events from `event` on that may wait: as many of the oldest as fit, and that came before it had
    /// waited too long.
    pub(super) fn oldest_within(&mut self, event: u64, limits: &QueueLimits) -> Self {
        let most = event.saturating_add(limits.events() as u64);
        let mut to = self.run(event, limits.bytes).next.min(most);
        if let (Some(age), Some(mark)) = (limits.age, self.mark(event)) {
            let by = mark.at + age;
            to = (event..to).find(|event| self.mark(*event).is_some_and(|mark| mark.at > by)).unwrap_or(to);
        }
        self.excerpt(event, to)
    }

    fn excerpt(&mut self, from: u64, to: u64) -> Self {
        let mut excerpt = Self::new(self.framing.clone(), from);
        excerpt.start = self.begin(from);
        excerpt.sealed = excerpt.start;
        excerpt.marks = (from..to).filter_map(|event| self.mark(event).copied()).collect();
        let mut bytes = Vec::new();
        self.read(from, to, &mut bytes);
        for bytes in bytes {
            let start = excerpt.sealed;
            excerpt.sealed += bytes.len() as u64;
            excerpt.segments.push_back(Segment { start, bytes });
        }
        excerpt
    }

    pub(super) fn append(&mut self, message: &Framed<'_>, key: u64, at: Instant) {
        if self.tail.capacity() == 0 {
            self.tail.reserve(message.text.len() + 16);
        }
        self.framing.frame(message, &mut self.tail);
        let end = self.sealed + self.tail.len() as u64;
        self.marks.push_back(Mark { end, key, at });
        if self.tail.len() >= SEGMENT_BYTES {
            self.seal();
        }
    }

    /// Forgets the oldest events until at most so many bytes and events are kept, but never the newest.
    pub(super) fn trim(&mut self, bytes: usize, events: usize) {
        while (self.end() - self.start > bytes as u64 || self.marks.len() > events) && self.marks.len() > 1 {
            self.forget_first();
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.first = self.next();
        self.start = self.end();
        self.sealed = self.start;
        self.marks.clear();
        self.segments.clear();
        self.tail = Vec::new();
        if self.marks.capacity() > 64 {
            self.marks = VecDeque::new();
        }
    }

    /// The events from `event` on that fit into `room` bytes, but at least one (if there is one).
    pub(super) fn run(&self, event: u64, room: usize) -> Run {
        let begin = self.begin(event);
        let limit = begin.saturating_add(room as u64);
        let index = (event - self.first) as usize;
        let fitting = self.marks.partition_point(|mark| mark.end <= limit);
        let behind = fitting.max(index + 1).min(self.marks.len());
        let end = if behind == 0 { begin } else { self.marks[behind - 1].end.max(begin) };
        Run { next: self.first + behind as u64, bytes: (end - begin) as usize }
    }

    /// The oldest event such that at most `bytes` follow from it on.
    fn newest(&self, bytes: usize) -> u64 {
        let from = self.end().saturating_sub(bytes as u64);
        if from <= self.start {
            return self.first;
        }
        self.first + self.marks.partition_point(|mark| mark.end < from) as u64 + 1
    }

    /// Appends the bytes of events `from..to` to `out`, shared.
    pub(super) fn read(&mut self, from: u64, to: u64, out: &mut Vec<Bytes>) {
        let (mut begin, end) = (self.begin(from), self.begin(to));
        if end > self.sealed {
            self.seal();
        }
        let mut index = self.segments.partition_point(|segment| segment.end() <= begin);
        while begin < end {
            let Some(segment) = self.segments.get(index) else { return };
            let upto = segment.end().min(end);
            out.push(segment.bytes.slice((begin - segment.start) as usize..(upto - segment.start) as usize));
            begin = upto;
            index += 1;
        }
    }

    /// The newest event of each key among those from `event` on, oldest first. Events without a key (0) all count.
    pub(super) fn latest_of_each_key(&self, event: u64) -> Vec<u64> {
        let mut seen = std::collections::HashSet::new();
        let range = event.max(self.first)..self.next();
        let mut latest: Vec<u64> = range
            .rev()
            .filter(|event| self.mark(*event).is_some_and(|mark| mark.key == 0 || seen.insert(mark.key)))
            .collect();
        latest.reverse();
        latest
    }

    fn mark(&self, event: u64) -> Option<&Mark> {
        self.marks.get(usize::try_from(event.checked_sub(self.first)?).ok()?)
    }

    /// Where `event` begins; the end for the event to come.
    fn begin(&self, event: u64) -> u64 {
        match event.checked_sub(self.first + 1) {
            None => self.start,
            Some(before) => self.marks.get(before as usize).map_or_else(|| self.end(), |mark| mark.end),
        }
    }

    fn end(&self) -> u64 {
        self.marks.back().map_or(self.start, |mark| mark.end)
    }

    fn seal(&mut self) {
        let bytes = Bytes::from(std::mem::take(&mut self.tail));
        let start = self.sealed;
        self.sealed += bytes.len() as u64;
        self.segments.push_back(Segment { start, bytes });
    }

    fn forget_first(&mut self) {
        let Some(mark) = self.marks.pop_front() else { return };
        self.first += 1;
        self.start = mark.end;
        if self.marks.is_empty() {
            self.segments.clear();
            self.tail = Vec::new();
            self.sealed = self.start;
            return;
        }
        while self.segments.front().is_some_and(|segment| segment.end() <= self.start) {
            self.segments.pop_front();
        }
        if self.start > self.sealed {
            // What is forgotten is in the tail: sealed, so that it can be let go as a segment.
            self.seal();
        }
    }
}

impl Segment {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::framing::Framing;
    use super::*;

    #[derive(Debug)]
    struct Plain;

    impl Framing for Plain {
        fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
            out.extend_from_slice(message.text);
        }
    }

    fn track() -> Track {
        Track::new(SharedFraming::new(Plain), 1)
    }

    fn append(track: &mut Track, text: &str, key: u64) {
        track.append(&Framed { text: text.as_bytes(), binary: false, number: None }, key, Instant::now());
    }

    fn text(track: &mut Track, from: u64, to: u64) -> String {
        let mut out = Vec::new();
        track.read(from, to, &mut out);
        String::from_utf8(out.concat()).unwrap()
    }

    #[test]
    fn events_are_read_from_where_a_subscriber_is() {
        let mut track = track();
        ["a", "bb", "ccc"].iter().for_each(|text| append(&mut track, text, 0));
        assert_eq!(text(&mut track, 1, 4), "abbccc");
        append(&mut track, "dddd", 0);
        assert_eq!((text(&mut track, 3, 5), track.next()), ("cccdddd".to_owned(), 5));
        assert_eq!(text(&mut track, 5, 5), "");
    }

    #[test]
    fn a_run_ends_between_two_events_and_holds_at_least_one() {
        let mut track = track();
        ["aaaa", "bb", "cc"].iter().for_each(|text| append(&mut track, text, 0));
        assert_eq!(track.run(1, 1), Run { next: 2, bytes: 4 });
        assert_eq!(track.run(1, 7), Run { next: 3, bytes: 6 });
        assert_eq!(track.run(2, 100), Run { next: 4, bytes: 4 });
        assert_eq!(track.run(4, 100), Run { next: 4, bytes: 0 });
    }

    #[test]
    fn trimming_forgets_the_oldest_and_keeps_whole_events() {
        let mut track = track();
        ["aaaa", "bb", "cc"].iter().for_each(|text| append(&mut track, text, 0));
        track.trim(5, usize::MAX);
        assert_eq!(track.first(), 2);
        append(&mut track, "d", 0);
        assert_eq!(text(&mut track, 2, 5), "bbccd");
        track.clear();
        assert_eq!((track.first(), track.next()), (5, 5));
        append(&mut track, "e", 0);
        assert_eq!(text(&mut track, 5, 6), "e");
    }

    #[test]
    fn as_many_events_as_wanted_are_kept() {
        let mut track = track();
        ["a", "b", "c"].iter().for_each(|text| append(&mut track, text, 0));
        track.trim(usize::MAX, 3);
        assert_eq!(track.first(), 1);
        track.trim(usize::MAX, 2);
        assert_eq!((track.first(), text(&mut track, 2, 4)), (2, "bc".to_owned()));
    }

    #[test]
    fn the_newest_events_of_a_size_are_whole() {
        let mut track = track();
        ["aaaa", "bb", "cc"].iter().for_each(|text| append(&mut track, text, 0));
        let newest: Vec<_> = [0, 1, 2, 3, 4, 7, 8, 100].map(|bytes| track.newest(bytes)).into();
        assert_eq!(newest, [4, 4, 3, 3, 2, 2, 1, 1]);
    }

    #[test]
    fn conflation_keeps_the_newest_of_each_key_in_order() {
        let mut track = track();
        [("a1", 1), ("b1", 2), ("n", 0), ("a2", 1)].iter().for_each(|(text, key)| append(&mut track, text, *key));
        assert_eq!(track.latest_of_each_key(1), [2, 3, 4]);
        assert_eq!(track.latest_of_each_key(4), [4]);
    }

    proptest! {
        #[test]
        fn whatever_is_appended_trimmed_and_read_the_bytes_are_those_of_the_events(
            steps in prop::collection::vec((0..4u8, 0..200usize), 1..200)
        ) {
            let mut track = track();
            let mut model: VecDeque<String> = VecDeque::new();
            let mut first = 1;
            for (index, (step, size)) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        let event = index.to_string().repeat(size % 7 + 1);
                        append(&mut track, &event, 0);
                        model.push_back(event);
                    }
                    2 => {
                        track.trim(size, usize::MAX);
                        while model.len() > 1 && model.iter().map(String::len).sum::<usize>() > size {
                            model.pop_front();
                            first += 1;
                        }
                    }
                    _ => {
                        let from = first + size as u64 % (model.len() as u64 + 1);
                        let expected: String = model.iter().skip((from - first) as usize).cloned().collect();
                        let to = track.next();
                        prop_assert_eq!(text(&mut track, from, to), expected);
                    }
                }
                prop_assert_eq!((track.first(), track.next()), (first, first + model.len() as u64));
            }
        }
    }
}
