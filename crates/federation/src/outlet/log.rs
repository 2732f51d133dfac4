//! Payloads in order, each with its sequence and the time it was published.

use std::collections::VecDeque;

/// Memory of a chunk that gets no further payload. Of a log that is small, a chunk is a small part all the same: what is
/// forgotten is forgotten chunk by chunk.
const CHUNK_BYTES: std::ops::RangeInclusive<usize> = 1024..=64 * 1024;

/// Chunks of a log that is full.
const CHUNKS: usize = 16;

/// Memory that a payload takes besides its bytes.
const ENTRY_BYTES: usize = size_of::<Entry>();

/// The payloads `first..next`.
#[derive(Debug, Default)]
pub(crate) struct Log {
    chunks: VecDeque<Chunk>,
    first: u64,
    next: u64,
    bytes: usize,
    chunk_bytes: usize,
}

/// Consecutive payloads in one buffer.
#[derive(Debug)]
pub(crate) struct Chunk {
    first: u64,
    data: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where the payload ends in the chunk's buffer.
    end: u32,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    time_ms: u64,
}

/// One payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entered<'a> {
    pub(crate) sequence: u64,
    pub(crate) time_ms: u64,
    pub(crate) payload: &'a [u8],
}

impl Log {
    /// An empty log whose first payload will have the number `first`, and that will hold about `bytes`.
    pub(crate) fn starting_at(first: u64, bytes: usize) -> Self {
        let chunk_bytes = (bytes / CHUNKS).clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end());
        Self { chunks: VecDeque::new(), first, next: first, bytes: 0, chunk_bytes }
    }

    /// The oldest payload there is, or [`Log::next`].
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next payload.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Memory of the payloads.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, payload: &[u8], time_ms: u64) {
        let fits = |chunk: &Chunk| chunk.memory() + payload.len() <= self.chunk_bytes;
        if !self.chunks.back().is_some_and(fits) {
            self.begin_chunk(payload.len());
        }
        let Some(chunk) = self.chunks.back_mut() else { return };
        chunk.push(payload, time_ms);
        self.bytes += payload.len() + ENTRY_BYTES;
        self.next += 1;
    }

    /// Begins a chunk, for a payload of so many bytes. The one before keeps no memory that it does not use.
    fn begin_chunk(&mut self, bytes: usize) {
        let mut chunk = Chunk { first: self.next, data: Vec::new(), entries: Vec::new() };
        if let Some(full) = self.chunks.back_mut() {
            full.data.shrink_to_fit();
            full.entries.shrink_to_fit();
            // It will be about as full. Growing step by step takes copies, and up to twice the memory.
            chunk.data.reserve_exact(self.chunk_bytes.max(bytes));
            chunk.entries.reserve_exact(full.entries.len());
        }
        self.chunks.push_back(chunk);
    }

    /// Forgets what is before `sequence`, chunk by chunk: a chunk goes when nothing of it is needed. Returns whether
    /// memory was given back.
    pub(crate) fn forget(&mut self, before: u64) -> bool {
        let before = before.min(self.next);
        let mut freed = false;
        while let Some(chunk) = self.chunks.front()
            && chunk.next() <= before
        {
            self.bytes -= chunk.memory();
            self.chunks.pop_front();
            freed = true;
        }
        self.first = self.first.max(before);
        freed
    }

    /// Whether there is more than the newest chunk.
    pub(crate) fn has_older_chunks(&self) -> bool {
        self.chunks.len() > 1
    }

    pub(crate) fn oldest_chunk(&self) -> Option<&Chunk> {
        self.chunks.front()
    }

    /// The number behind the oldest chunk.
    pub(crate) fn oldest_chunk_next(&self) -> Option<u64> {
        self.chunks.front().map(Chunk::next)
    }

    /// Gives up the oldest chunk: the sequence that is the first one then; `None` when there is none.
    pub(crate) fn forget_oldest_chunk(&mut self) -> Option<u64> {
        let next = self.chunks.front()?.next();
        self.forget(next);
        Some(next)
    }

    /// The payloads from `sequence` on.
    pub(crate) fn from(&self, sequence: u64) -> impl Iterator<Item = Entered<'_>> {
        let skip = self.chunks.partition_point(|chunk| chunk.next() <= sequence);
        self.chunks.range(skip..).flat_map(move |chunk| chunk.from(sequence))
    }

    /// The first payload published at `time_ms` or later, as far as is known.
    pub(crate) fn since(&self, time_ms: u64) -> u64 {
        let earlier = |chunk: &Chunk| chunk.entries.last().is_some_and(|entry| entry.time_ms < time_ms);
        let skip = self.chunks.partition_point(earlier);
        let mut payloads = self.chunks.range(skip..).flat_map(|chunk| chunk.from(self.first));
        payloads.find(|entered| entered.time_ms >= time_ms).map_or(self.next, |entered| entered.sequence)
    }
}

impl Chunk {
    /// The number behind its last payload.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// From what a store kept.
    pub(crate) fn new<'a>(first: u64, payloads: impl IntoIterator<Item = (&'a [u8], u64)>) -> Self {
        let mut chunk = Self { first, data: Vec::new(), entries: Vec::new() };
        payloads.into_iter().for_each(|(payload, time_ms)| chunk.push(payload, time_ms));
        chunk
    }

    /// Its payloads from `sequence` on.
    pub(crate) fn from(&self, sequence: u64) -> impl Iterator<Item = Entered<'_>> {
        let skip = usize::try_from(sequence.saturating_sub(self.first)).unwrap_or(usize::MAX);
        (skip.min(self.entries.len())..self.entries.len()).map(|index| self.entered(index))
    }

    fn push(&mut self, payload: &[u8], time_ms: u64) {
        self.data.extend_from_slice(payload);
        // A payload is far below 4 GiB, and a chunk that has something takes none that would go beyond its size.
        self.entries.push(Entry { end: self.data.len() as u32, time_ms });
    }

    fn entered(&self, index: usize) -> Entered<'_> {
        let start = if index == 0 { 0 } else { self.entries[index - 1].end as usize };
        let Entry { end, time_ms } = self.entries[index];
        Entered { sequence: self.first + index as u64, time_ms, payload: &self.data[start..end as usize] }
    }

    /// When its last payload was published.
    pub(crate) fn last_ms(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.time_ms)
    }

    /// What it takes.
    pub(crate) fn memory(&self) -> usize {
        self.data.len() + self.entries.len() * ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(payloads: usize, bytes: usize) -> Log {
        let mut log = Log::starting_at(1, usize::MAX);
        (0..payloads).for_each(|index| log.push(&vec![b'x'; bytes], index as u64));
        log
    }

    #[test]
    fn payloads_are_read_from_any_place() {
        let log = log(1_000, 1_000);
        for sequence in [1, 65, 66, 67, 999, 1_000, 1_001, 5_000] {
            let read: Vec<_> = log.from(sequence).map(|entered| entered.sequence).collect();
            assert_eq!(read, (sequence..1_001).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_forgotten_frees_whole_chunks() {
        let mut log = log(1_000, 1_000);
        let before = log.bytes();
        assert!(!log.forget(10));
        assert_eq!((log.first(), log.bytes()), (10, before));
        assert_eq!(log.from(log.first()).next().map(|entered| entered.sequence), Some(10));
        assert!(log.forget(501));
        assert!(log.bytes() < before * 6 / 10);
        assert!(log.forget(5_000));
        assert_eq!((log.first(), log.next(), log.bytes()), (1_001, 1_001, 0));
    }

    #[test]
    fn it_takes_the_memory_that_it_counts() {
        for (payloads, bytes) in [(100_000, 1), (10_000, 109), (10_000, 600), (100, 50_000)] {
            let log = log(payloads, bytes);
            let capacity = |chunk: &Chunk| chunk.data.capacity() + chunk.entries.capacity() * ENTRY_BYTES;
            let reserved: usize = log.chunks.iter().map(capacity).sum();
            let newest = 2 * log.chunks.back().map_or(0, capacity);
            assert!(reserved <= log.bytes() + newest, "{payloads} of {bytes}: {reserved} for {}", log.bytes());
        }
    }

    #[test]
    fn the_first_payload_since_a_time_is_found() {
        let log = log(1_000, 10);
        assert_eq!((log.since(0), log.since(500), log.since(10_000)), (1, 501, 1_001));
    }

    #[test]
    fn chunks_of_payloads_without_bytes_and_of_small_logs_are_small() {
        for (bytes, payloads) in [(usize::MAX, 10_000), (0, 200)] {
            let mut log = Log::starting_at(1, bytes);
            (0..payloads).for_each(|_| log.push(b"", 0));
            assert!(log.chunks.len() > 1, "{bytes}");
        }
    }

    #[test]
    fn a_payload_larger_than_a_chunk_has_one_of_its_own() {
        let mut log = log(3, CHUNK_BYTES.end() + 1);
        log.push(b"small", 9);
        assert_eq!(log.from(1).map(|entered| entered.payload.len()).collect::<Vec<_>>(), [65_537, 65_537, 65_537, 5]);
        assert_eq!(log.forget_oldest_chunk(), Some(2));
    }
}
