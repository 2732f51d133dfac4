//! Blocks, and the chunks of them that the file holds.
//!
//! A chunk is one value of the file: the number behind its last block, and its blocks with their heads. Many small blocks share
//! a chunk; a large one has its own. Numbers are little-endian.
//!
//! ```text
//! end: u64, then for each block  count: u32, time_ms: u64, length: u32, data
//! ```

use bytes::{Buf, BufMut, Bytes};

use crate::config::BLOCK_OVERHEAD;

/// Chunks are filled up to this: with what the database adds, a value of this size has a page of 64 KiB.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024 - 256;
const END_BYTES: usize = 8;
const HEAD_BYTES: usize = 16;
const _: () = assert!(END_BYTES + HEAD_BYTES <= BLOCK_OVERHEAD);

/// Consecutive messages of one owner: opaque bytes under the numbers of the messages in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The number of the first message.
    pub first: u64,
    /// How many messages there are; at least one.
    pub count: u32,
    /// What the owner keeps.
    pub data: Bytes,
    /// When, in milliseconds since 1970, as the owner says it.
    pub time_ms: u64,
}

impl Block {
    /// The number behind the last message.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// What the limits count for it.
    pub(crate) fn cost(&self) -> usize {
        self.data.len().saturating_add(BLOCK_OVERHEAD)
    }
}

/// Writes chunks: blocks in, values out.
#[derive(Default)]
pub(crate) struct Chunk {
    first: u64,
    bytes: Vec<u8>,
}

impl Chunk {
    /// Whether `block` goes into this one.
    pub(crate) fn fits(&self, block: &Block) -> bool {
        self.bytes.is_empty() || self.bytes.len() + HEAD_BYTES + block.data.len() <= CHUNK_BYTES
    }

    /// Adds a block that [`Chunk::fits`], and that begins where the last one ended.
    pub(crate) fn push(&mut self, block: &Block) {
        if self.bytes.is_empty() {
            self.first = block.first;
            self.bytes.put_u64_le(0);
        }
        self.bytes[..END_BYTES].copy_from_slice(&block.end().to_le_bytes());
        self.bytes.put_u32_le(block.count);
        self.bytes.put_u64_le(block.time_ms);
        // Appending refuses blocks larger than BLOCK_BYTES.
        self.bytes.put_u32_le(u32::try_from(block.data.len()).unwrap_or(u32::MAX));
        self.bytes.put_slice(&block.data);
    }

    /// The number of the first message and the value, when there is one.
    pub(crate) fn value(&self) -> Option<(u64, &[u8])> {
        (!self.bytes.is_empty()).then_some((self.first, &self.bytes[..]))
    }

    /// Begins the next one, in the memory of this one.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// The number behind the last block of a chunk.
pub(crate) fn chunk_end(value: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(value.get(..END_BYTES)?.try_into().ok()?))
}

/// The number of the first block in the chunk that ends behind `before`: it is the one that holds `before`, or follows it.
pub(crate) fn border(first: u64, value: &[u8], before: u64) -> Option<u64> {
    Heads::new(first, value).find_map(|head| head.filter(|head| head.end > before).map(|head| head.first))
}

/// The blocks of a chunk that end behind `from`, up to `max_bytes` of data, or one if the first is larger. They share one copy.
pub(crate) fn blocks(first: u64, value: &[u8], from: u64, max_bytes: usize) -> Option<Vec<Block>> {
    let mut heads = Vec::new();
    let mut taken = 0usize;
    for head in Heads::new(first, value) {
        let head = head?;
        if head.end <= from {
            continue;
        }
        taken = taken.saturating_add(head.length);
        if taken > max_bytes && !heads.is_empty() {
            break;
        }
        heads.push(head);
    }
    let (Some(start), Some(last)) = (heads.first(), heads.last()) else { return Some(Vec::new()) };
    let start = start.data;
    let copy = Bytes::copy_from_slice(&value[start..last.data + last.length]);
    let block = |head: &Head| Block {
        first: head.first,
        count: head.count,
        data: copy.slice(head.data - start..head.data - start + head.length),
        time_ms: head.time_ms,
    };
    Some(heads.iter().map(block).collect())
}

struct Head {
    first: u64,
    end: u64,
    count: u32,
    time_ms: u64,
    /// Where in the value the data begins.
    data: usize,
    length: usize,
}

/// Goes through the heads of a chunk. `None` stands for one that contradicts the chunk, and ends it.
struct Heads<'a> {
    next: u64,
    end: u64,
    value: &'a [u8],
    position: usize,
    over: bool,
}

impl<'a> Heads<'a> {
    fn new(first: u64, value: &'a [u8]) -> Self {
        // A chunk without an end is one that ends before it begins: the first head says that it is wrong.
        Self { next: first, end: chunk_end(value).unwrap_or(0), value, position: END_BYTES, over: false }
    }

    fn head(&mut self) -> Option<Head> {
        let mut head = self.value.get(self.position..self.position + HEAD_BYTES)?;
        let (count, time_ms, length) = (head.get_u32_le(), head.get_u64_le(), head.get_u32_le() as usize);
        let data = self.position + HEAD_BYTES;
        let end = self.next.checked_add(u64::from(count))?;
        self.value.get(data..data.checked_add(length)?)?;
        let head = Head { first: self.next, end, count, time_ms, data, length };
        (self.position, self.next) = (data + length, end);
        (count > 0 && end <= self.end).then_some(head)
    }
}

impl Iterator for Heads<'_> {
    type Item = Option<Head>;

    fn next(&mut self) -> Option<Self::Item> {
        let complete = self.position == self.value.len() && self.next == self.end;
        if self.over || complete {
            return None;
        }
        let head = self.head();
        self.over = head.is_none();
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(first: u64, counts: &[u32]) -> (Vec<Block>, Chunk) {
        let (mut chunk, mut made, mut next) = (Chunk::default(), Vec::new(), first);
        for &count in counts {
            let data = Bytes::from(format!("{next}").repeat(count as usize));
            let block = Block { first: next, count, data, time_ms: next * 10 };
            assert!(chunk.fits(&block));
            chunk.push(&block);
            next = block.end();
            made.push(block);
        }
        (made, chunk)
    }

    #[test]
    fn blocks_of_a_chunk_come_back_as_they_were() {
        let (made, chunk) = sample(7, &[1, 3, 2]);
        let (first, value) = chunk.value().unwrap();
        assert_eq!((first, chunk_end(value)), (7, Some(13)));
        assert_eq!(blocks(first, value, 0, usize::MAX).unwrap(), made);
    }

    #[test]
    fn a_chunk_is_read_from_the_block_that_holds_a_number() {
        let (made, chunk) = sample(7, &[1, 3, 2]);
        let (first, value) = chunk.value().unwrap();
        assert_eq!(blocks(first, value, 10, usize::MAX).unwrap(), made[1..]);
        assert_eq!(blocks(first, value, 13, usize::MAX).unwrap(), []);
        assert_eq!(border(first, value, 10), Some(8));
        assert_eq!(border(first, value, 11), Some(11));
    }

    #[test]
    fn no_more_is_taken_than_asked_for_but_one_block() {
        let (made, chunk) = sample(1, &[2, 2, 2]);
        let (first, value) = chunk.value().unwrap();
        assert_eq!(blocks(first, value, 0, 0).unwrap(), made[..1]);
        assert_eq!(blocks(first, value, 0, 4).unwrap(), made[..2]);
        assert_eq!(blocks(first, value, 0, 5).unwrap(), made[..2]);
    }

    #[test]
    fn a_chunk_that_contradicts_itself_is_not_read() {
        let (_, chunk) = sample(1, &[2, 2]);
        let whole = chunk.value().unwrap().1.to_vec();
        for length in 0..whole.len() {
            assert_eq!(blocks(1, &whole[..length], 0, usize::MAX), None, "cut at {length}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(blocks(1, &longer, 0, usize::MAX), None);
        assert_eq!(blocks(2, &whole, 0, usize::MAX), None, "numbers that do not end where the chunk says");
    }

    #[test]
    fn a_chunk_is_full_before_its_page_is() {
        let block = Block { first: 0, count: 1, data: Bytes::from(vec![0; CHUNK_BYTES]), time_ms: 0 };
        let mut chunk = Chunk::default();
        assert!(chunk.fits(&block), "a large block has a chunk of its own");
        chunk.push(&Block { data: Bytes::from_static(b"x"), ..block.clone() });
        assert!(!chunk.fits(&block));
    }
}
