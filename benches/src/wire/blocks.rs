//! The messages as ready frames, so that who sends them spends no time on making them.

use super::framing::{Deflater, push_text};
use super::messages::{MESSAGE_BYTES, PERIOD, period};
use crate::error::BenchError;
use crate::workload::SplitMix;

/// How frames are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framing {
    /// As a client sends them.
    pub(super) masked: bool,
    /// Compressed with context takeover.
    pub(super) deflate: bool,
}

/// An endless stream of ready frames: one period to begin with, then another one again and again.
///
/// Compressed with context takeover, the two differ: a message refers to the up to 32 KiB before it, which for the
/// first messages are not there. After the first period they always are, and always the same.
#[derive(Debug)]
pub(super) struct Frames {
    first: Block,
    repeated: Block,
}

impl Frames {
    /// Makes the frames of all messages.
    pub(super) fn new(framing: Framing) -> Result<Self, BenchError> {
        let messages = period();
        let mut deflater = framing.deflate.then(Deflater::new);
        let first = Block::new(&messages, framing.masked, deflater.as_mut())?;
        let repeated = Block::new(&messages, framing.masked, deflater.as_mut())?;
        Ok(Self { first, repeated })
    }

    /// The frames of so many messages, at most `batch` and never more than a period at a time.
    pub(super) fn batches(&self, messages: u64, batch: usize) -> impl Iterator<Item = &[u8]> {
        let mut sent = 0;
        std::iter::from_fn(move || {
            let start = (sent % PERIOD as u64) as usize;
            // No more than a period, so it fits.
            let end = start + (messages - sent).min(batch.min(PERIOD - start) as u64) as usize;
            let block = if sent < PERIOD as u64 { &self.first } else { &self.repeated };
            sent += (end - start) as u64;
            (end > start).then(|| &block.bytes[block.starts[start]..block.starts[end]])
        })
    }
}

/// The frames of one period.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    /// Where each frame starts, and where the last one ends.
    starts: Vec<usize>,
}

impl Block {
    fn new(messages: &[String], masked: bool, mut deflater: Option<&mut Deflater>) -> Result<Self, BenchError> {
        let mut random = SplitMix(0x3A5C);
        let (mut bytes, mut starts) = (Vec::new(), vec![0]);
        let mut packed = Vec::with_capacity(MESSAGE_BYTES);
        for message in messages {
            let mask = masked.then(|| (random.below(1 << 32) as u32).to_ne_bytes());
            match &mut deflater {
                None => push_text(&mut bytes, message.as_bytes(), false, mask),
                Some(deflater) => {
                    deflater.compress(message.as_bytes(), &mut packed)?;
                    push_text(&mut bytes, &packed, true, mask);
                }
            }
            starts.push(bytes.len());
        }
        Ok(Self { bytes, starts })
    }
}

#[cfg(test)]
mod tests {
    use super::super::framing::{Header, Inflater};
    use super::*;
    use crate::frame::unmask;

    fn read_back(mut bytes: &[u8], inflater: &mut Inflater) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while let Some(header) = Header::read(bytes).unwrap() {
            let mut payload = bytes[header.header_bytes..header.frame_bytes()].to_vec();
            if let Some(mask) = header.mask {
                unmask(&mut payload, mask);
            }
            if header.compressed {
                let mut unpacked = Vec::new();
                inflater.inflate(&payload, MESSAGE_BYTES + 1, &mut unpacked).unwrap();
                payload = unpacked;
            }
            messages.push(payload);
            bytes = &bytes[header.frame_bytes()..];
        }
        messages
    }

    #[test]
    fn every_framing_carries_the_messages_over_several_periods() {
        let expected = period();
        let count = PERIOD * 3 + 100;
        for (masked, deflate) in [(false, false), (true, false), (false, true), (true, true)] {
            let frames = Frames::new(Framing { masked, deflate }).unwrap();
            let mut inflater = Inflater::new();
            let mut read = 0;
            for batch in frames.batches(count as u64, 300) {
                for message in read_back(batch, &mut inflater) {
                    assert_eq!(message, expected[read % PERIOD].as_bytes());
                    read += 1;
                }
            }
            assert_eq!(read, count);
        }
    }

    #[test]
    fn a_batch_has_as_many_messages_as_asked_for() {
        let frames = Frames::new(Framing { masked: false, deflate: false }).unwrap();
        let sizes = |count, batch| frames.batches(count, batch).map(<[u8]>::len).collect::<Vec<_>>();
        let frame = MESSAGE_BYTES + 4;
        assert_eq!(sizes(5, 2), [2 * frame, 2 * frame, frame]);
        assert_eq!(sizes(2, usize::MAX), [2 * frame]);
        assert_eq!(sizes(0, 1), [0; 0]);
    }
}
