//! Writes the data of one stream: what is the same in every message is prepared once.

use std::ops::Range;

use super::cbor::Cbor;
use super::id::EPOCH_DIGITS;
use super::messagepack::MessagePack;
use super::transcode::Format;
use super::write::{append_json_text, check_id, json_payload, map_payload};
use super::{Content, Encoding, Kind, Unwritable};

/// Writes the data messages of one stream, with the ids of [`MessageId`](super::MessageId).
#[derive(Debug, Clone)]
pub struct DataWriter {
    encoding: Encoding,
    content: Content,
    /// JSON: the message up to the sequence. The others: the message up to the id.
    before: Vec<u8>,
    /// The id up to the sequence.
    id: String,
    /// JSON: what is between timestamp and payload. The others: nothing.
    after: &'static [u8],
    replayed: bool,
}

impl DataWriter {
    /// For the events of `stream` in the run `epoch`.
    pub fn new(encoding: Encoding, content: Content, stream: &str, epoch: u64) -> Self {
        let id = format!("{stream}/{epoch:0EPOCH_DIGITS$x}/");
        let before = match encoding {
            Encoding::Json => json_beginning(&id),
            Encoding::MessagePack => map_beginning::<MessagePack>(4),
            Encoding::Cbor => map_beginning::<Cbor>(4),
        };
        let after: &[u8] = match content {
            Content::Json => b",\"payload\":",
            Content::Binary => b",\"encoding\":\"base64\",\"payload\":",
        };
        Self { encoding, content, before, id, after, replayed: false }
    }

    /// Marks every message as one that was sent before and is repeated on request.
    #[must_use]
    pub fn replayed(mut self) -> Self {
        self.replayed = true;
        match self.encoding {
            Encoding::Json => {}
            Encoding::MessagePack => self.before = map_beginning::<MessagePack>(5),
            Encoding::Cbor => self.before = map_beginning::<Cbor>(5),
        }
        self.after = match self.content {
            Content::Json => b",\"replayed\":true,\"payload\":",
            Content::Binary => b",\"encoding\":\"base64\",\"replayed\":true,\"payload\":",
        };
        self
    }

    /// Appends one message to `out`, as [`write`](super::write) would; nothing where it cannot be written.
    ///
    /// Tells where the payload is, in bytes from the beginning of this message. In a JSON message with JSON content that is
    /// the payload as it was given, without white space around it; everywhere else what has become of it.
    ///
    /// # Errors
    /// Those of [`write`](super::write).
    pub fn write(
        &self,
        sequence: u64,
        timestamp: u64,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Range<u32>, Unwritable> {
        let mut digits = itoa::Buffer::new();
        let sequence = digits.format(sequence);
        check_id(self.id.len() + sequence.len())?;
        let start = out.len();
        match self.encoding {
            Encoding::Json => self.write_json(sequence, timestamp, payload, out),
            Encoding::MessagePack => self.write_map::<MessagePack>(sequence, timestamp, payload, out),
            Encoding::Cbor => self.write_map::<Cbor>(sequence, timestamp, payload, out),
        }
        .inspect_err(|_| out.truncate(start))
    }

    fn write_json(
        &self,
        sequence: &str,
        timestamp: u64,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Range<u32>, Unwritable> {
        let start = out.len();
        out.reserve(self.before.len() + self.after.len() + payload.len() + 64);
        out.extend_from_slice(&self.before);
        out.extend_from_slice(sequence.as_bytes());
        out.extend_from_slice(b"\",\"timestamp\":");
        out.extend_from_slice(itoa::Buffer::new().format(timestamp).as_bytes());
        out.extend_from_slice(self.after);
        let payload_start = out.len();
        json_payload(self.content, payload, out)?;
        let range = place(start, payload_start, out.len());
        out.push(b'}');
        Ok(range)
    }

    fn write_map<F: Format>(
        &self,
        sequence: &str,
        timestamp: u64,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Range<u32>, Unwritable> {
        let start = out.len();
        out.reserve(self.before.len() + self.id.len() + payload.len() + 64);
        out.extend_from_slice(&self.before);
        F::text_length(self.id.len() + sequence.len(), out);
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(sequence.as_bytes());
        F::text("timestamp", out);
        F::unsigned(timestamp, out);
        if self.replayed {
            F::text("replayed", out);
            F::boolean(true, out);
        }
        F::text("payload", out);
        let payload_start = out.len();
        map_payload::<F>(self.content, payload, out)?;
        Ok(place(start, payload_start, out.len()))
    }
}

fn json_beginning(id: &str) -> Vec<u8> {
    let mut before = b"{\"type\":\"data\",\"id\":".to_vec();
    append_json_text(id, &mut before);
    // The sequence is still to come, and the quotation mark behind it.
    before.pop();
    before
}

fn map_beginning<F: Format>(members: u64) -> Vec<u8> {
    let mut before = Vec::new();
    F::map(members, &mut before);
    F::text("type", &mut before);
    F::text(Kind::Data.name(), &mut before);
    F::text("id", &mut before);
    before
}

/// Payloads are limited to much less than 4 GiB, and so is what becomes of them.
fn place(message: usize, start: usize, end: usize) -> Range<u32> {
    let offset = |at: usize| u32::try_from(at - message).unwrap_or(u32::MAX);
    offset(start)..offset(end)
}

#[cfg(test)]
mod tests {
    use super::super::{EnvelopeRef, write};
    use super::*;

    #[test]
    fn repeated_events_are_marked_as_any_envelope_would_be() {
        for encoding in [Encoding::Json, Encoding::MessagePack, Encoding::Cbor] {
            for (content, payload) in [(Content::Json, &b"{\"a\":1}"[..]), (Content::Binary, b"\x00\xff")] {
                let (mut expected, mut written) = (Vec::new(), Vec::new());
                let (kind, id, timestamp) = (Kind::Data, "s/0000000000000007/9", Some(5));
                let envelope = EnvelopeRef { kind, id, timestamp, payload, content, replayed: true };
                write(encoding, envelope, &mut expected).unwrap();
                DataWriter::new(encoding, content, "s", 7).replayed().write(9, 5, payload, &mut written).unwrap();
                assert_eq!(written, expected, "{encoding:?} {content:?}");
            }
        }
    }
}
