//! Encoded messages on their way to a sink: one buffer, many payloads.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::texts::Texts;
use crate::{Template, TextValues};

/// Payloads in order, sharing one buffer; with them the texts of the sink's templates.
#[derive(Debug, Clone, Default)]
pub struct EncodedBatch {
    buffer: Bytes,
    ends: Vec<usize>,
    positions: Vec<u64>,
    texts: Texts,
    ticket: Ticket,
    failed_tries: u32,
}

/// Where payloads stand among everything a sink was given: the engine numbers the batches it publishes, and a part of a
/// batch remembers which row it starts with. So the engine knows what it gets back, and what is older than what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Number of the batch, counted from 1; 0: unknown.
    pub number: u64,
    /// Row of that batch.
    pub row: u64,
}

impl EncodedBatch {
    /// A batch of one payload that came from message `position`.
    pub fn single(payload: Bytes, position: u64) -> Self {
        Self {
            ends: vec![payload.len()],
            buffer: payload,
            positions: vec![position],
            texts: Texts::default(),
            ticket: Ticket::default(),
            failed_tries: 0,
        }
    }

    /// The same payloads with the texts of `template`, one for each. The engine does this for a sink whose properties
    /// have templates.
    ///
    /// # Panics
    /// When there are more or fewer texts than payloads.
    #[must_use]
    pub fn with_texts(mut self, template: &Template, texts: TextValues) -> Self {
        assert_eq!(texts.len(), self.len(), "one text per payload");
        if template.constant().is_none() {
            self.texts.set(template.slot(), texts);
        }
        self
    }

    /// Says where the first payload stands. The engine does this before it publishes.
    pub fn set_ticket(&mut self, ticket: Ticket) {
        self.ticket = ticket;
    }

    /// Where the first payload stands.
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Says how often the first payload has failed before. The engine does this before it publishes.
    pub fn set_failed_tries(&mut self, failed_tries: u32) {
        self.failed_tries = failed_tries;
    }

    /// How often the first payload has failed before; the others may have as often, or not at all.
    pub fn failed_tries(&self) -> u32 {
        self.failed_tries
    }

    /// The same payloads with texts and ticket of `other`: for a sink that makes a payload of each payload.
    ///
    /// # Panics
    /// When `other` has more or fewer payloads.
    #[must_use]
    pub fn with_texts_of(self, other: &Self) -> Self {
        assert_eq!(other.len(), self.len(), "one text per payload");
        Self { texts: other.texts.clone(), ticket: other.ticket, failed_tries: other.failed_tries, ..self }
    }

    /// Whether there are texts for `template`. Templates without columns need none.
    pub fn has_texts(&self, template: &Template) -> bool {
        template.constant().is_some() || self.texts.has(template.slot())
    }

    pub(crate) fn text(&self, slot: usize, row: usize) -> &str {
        self.texts.get(slot, row)
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
    #[must_use]
    pub fn tail(&self, first: usize) -> Self {
        self.slice(first..self.len())
    }

    /// The first `count` payloads, sharing the buffer.
    ///
    /// # Panics
    /// When there are fewer than `count` payloads.
    #[must_use]
    pub fn head(&self, count: usize) -> Self {
        self.slice(0..count)
    }

    /// The payloads `rows`, sharing the buffer.
    ///
    /// # Panics
    /// When there are not as many payloads.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let end_of = |count: usize| if count == 0 { 0 } else { self.ends[count - 1] };
        let (start, end) = (end_of(rows.start), end_of(rows.end));
        Self {
            buffer: self.buffer.slice(start..end),
            ends: self.ends[rows.clone()].iter().map(|end| end - start).collect(),
            positions: self.positions[rows.clone()].to_vec(),
            texts: self.texts.skip(rows.start),
            ticket: Ticket { row: self.ticket.row + rows.start as u64, ..self.ticket },
            failed_tries: if rows.start == 0 { self.failed_tries } else { 0 },
        }
    }

    fn range(&self, index: usize) -> Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }
}

impl PartialEq for EncodedBatch {
    /// Whether payloads, positions and texts are the same.
    fn eq(&self, other: &Self) -> bool {
        self.buffer == other.buffer
            && self.ends == other.ends
            && self.positions == other.positions
            && self.texts.same(&other.texts, self.len())
    }
}

impl Eq for EncodedBatch {}

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
            texts: Texts::default(),
            ticket: Ticket::default(),
            failed_tries: 0,
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

    fn templates() -> [Template; 2] {
        [Template::parse("${a}").unwrap().at(0), Template::parse("${b}").unwrap().at(1)]
    }

    #[test]
    fn texts_stay_with_their_payloads() {
        let [a, b] = templates();
        let whole = batch(&["x", "y", "z"])
            .with_texts(&a, TextValues::from_iter(["a0", "a1", "a2"]))
            .with_texts(&b, TextValues::from_iter(["b0", "b1", "b2"]));
        let texts = |batch: &EncodedBatch| -> Vec<String> {
            (0..batch.len()).map(|row| format!("{}{}", a.text(batch, row), b.text(batch, row))).collect()
        };
        assert_eq!(texts(&whole.tail(1).head(1)), ["a1b1"]);
        assert_eq!(texts(&whole.slice(1..3).clone()), ["a1b1", "a2b2"]);
        assert_eq!(texts(&batch(&["p", "q"]).with_texts_of(&whole.tail(1))), ["a1b1", "a2b2"]);
        let changed = whole.tail(1).with_texts(&b, TextValues::from_iter(["c1", "c2"]));
        assert_eq!(texts(&changed), ["a1c1", "a2c2"]);
        assert_eq!(texts(&whole), ["a0b0", "a1b1", "a2b2"]);
    }

    #[test]
    fn a_part_of_a_batch_remembers_where_it_stands() {
        let mut whole = batch(&["a", "b", "c"]);
        whole.set_ticket(Ticket { number: 7, row: 10 });
        assert_eq!(whole.tail(1).tail(1).ticket(), Ticket { number: 7, row: 12 });
        assert_eq!(whole.head(2).ticket(), Ticket { number: 7, row: 10 });
        assert_eq!(batch(&["x", "y"]).with_texts_of(&whole.tail(1)).ticket(), Ticket { number: 7, row: 11 });
        assert_eq!(whole, batch(&["a", "b", "c"]), "payloads are the same wherever they stand");
    }

    #[test]
    fn batches_are_the_same_when_payloads_and_texts_are() {
        let [a, b] = templates();
        let with = |texts: [&str; 2]| batch(&["x", "x"]).with_texts(&a, TextValues::from_iter(texts));
        assert_eq!(with(["s", "t"]).head(1), with(["s", "u"]).head(1));
        assert_ne!(with(["s", "t"]), with(["s", "u"]));
        assert_ne!(with(["s", "t"]), batch(&["x", "x"]));
        assert!(with(["s", "t"]).has_texts(&a) && !with(["s", "t"]).has_texts(&b));
    }

    #[test]
    fn a_batch_without_texts_has_empty_ones_and_constants_need_none() {
        let constant = Template::parse("all").unwrap();
        let batch = batch(&["x"]).with_texts(&constant, TextValues::from_iter(["other"]));
        assert_eq!((constant.text(&batch, 0), templates()[0].text(&batch, 0)), ("all", ""));
        assert!(batch.has_texts(&constant));
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
