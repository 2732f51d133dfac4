//! Encoded messages on their way to a sink: one buffer, many payloads.

use bytes::{Bytes, BytesMut};

/// Payloads in order, sharing one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodedBatch {
    buffer: Bytes,
    ends: Vec<usize>,
    positions: Vec<u64>,
}

impl EncodedBatch {
    /// A batch of one payload that came from message `position`.
    pub fn single(payload: Bytes, position: u64) -> Self {
        Self { ends: vec![payload.len()], buffer: payload, positions: vec![position] }
    }

    /// Number of payloads.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no payload.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Total size of the payloads in bytes.
    pub fn bytes(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Payload number `index`, borrowed.
    ///
    /// # Panics
    /// When there is no such payload.
    pub fn payload(&self, index: usize) -> &[u8] {
        &self.buffer[self.range(index)]
    }

    /// Payload number `index`, sharing the batch's buffer.
    ///
    /// # Panics
    /// When there is no such payload.
    pub fn shared(&self, index: usize) -> Bytes {
        self.buffer.slice(self.range(index))
    }

    /// Position of the source message payload number `index` came from.
    ///
    /// # Panics
    /// When there is no such payload.
    pub fn position(&self, index: usize) -> u64 {
        self.positions[index]
    }

    /// The payloads in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.payload(index))
    }

    /// The payloads from number `first` on, sharing the buffer.
    ///
    /// # Panics
    /// When there are fewer than `first` payloads.
    pub fn tail(&self, first: usize) -> Self {
        let start = if first == 0 { 0 } else { self.ends[first - 1] };
        Self {
            buffer: self.buffer.slice(start..self.bytes()),
            ends: self.ends[first..].iter().map(|end| end - start).collect(),
            positions: self.positions[first..].to_vec(),
        }
    }

    /// The first `count` payloads, sharing the buffer.
    ///
    /// # Panics
    /// When there are fewer than `count` payloads.
    pub fn head(&self, count: usize) -> Self {
        let end = if count == 0 { 0 } else { self.ends[count - 1] };
        Self {
            buffer: self.buffer.slice(..end),
            ends: self.ends[..count].to_vec(),
            positions: self.positions[..count].to_vec(),
        }
    }

    fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }
}

/// Builds [`EncodedBatch`]es, reusing memory that no batch holds any more.
#[derive(Debug, Default)]
pub struct PayloadWriter {
    buffer: BytesMut,
    ends: Vec<usize>,
    positions: Vec<u64>,
}

impl PayloadWriter {
    /// The buffer to append one payload to; then call [`PayloadWriter::finish`].
    #[inline]
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Ends the payload that was just appended.
    #[inline]
    pub fn finish(&mut self, position: u64) {
        self.ends.push(self.buffer.len());
        self.positions.push(position);
    }

    /// Forgets what was appended since the last [`PayloadWriter::finish`].
    pub fn rollback(&mut self) {
        self.buffer.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// Number of finished payloads.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no payload is finished.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes the finished payloads out.
    pub fn take(&mut self) -> EncodedBatch {
        self.rollback();
        let count = self.ends.len();
        EncodedBatch {
            buffer: self.buffer.split().freeze(),
            ends: std::mem::replace(&mut self.ends, Vec::with_capacity(count)),
            positions: std::mem::replace(&mut self.positions, Vec::with_capacity(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(payloads: &[&str]) -> EncodedBatch {
        let mut writer = PayloadWriter::default();
        for (index, payload) in payloads.iter().enumerate() {
            writer.buffer().extend_from_slice(payload.as_bytes());
            writer.finish(index as u64);
        }
        writer.take()
    }

    #[test]
    fn a_tail_holds_the_later_payloads_with_their_positions() {
        let tail = batch(&["a", "", "bcd"]).tail(1);
        assert_eq!(tail.iter().collect::<Vec<_>>(), [&b""[..], b"bcd"]);
        assert_eq!((tail.position(0), tail.position(1), tail.bytes()), (1, 2, 3));
        assert!(tail.tail(2).is_empty());
        assert_eq!(tail.head(1).iter().collect::<Vec<_>>(), [&b""[..]]);
    }

    #[test]
    fn an_unfinished_payload_is_not_in_the_batch() {
        let mut writer = PayloadWriter::default();
        writer.buffer().extend_from_slice(b"one");
        writer.finish(1);
        writer.buffer().extend_from_slice(b"half");
        let first = writer.take();
        writer.buffer().extend_from_slice(b"two");
        writer.finish(2);
        assert_eq!(first.payload(0), b"one");
        assert_eq!(first.len(), 1);
        assert_eq!(writer.take().payload(0), b"two");
    }
}
