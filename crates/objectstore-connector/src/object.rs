//! An object: the payloads that become one, and how they stand in it.

use bytes::{Bytes, BytesMut};
use eventflux_core::{EncodedBatch, PayloadWriter, Template, Ticket};
use object_store::path::Path;

/// How payloads stand in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each as a line; one with a line break is refused.
    Lines,
    /// Each behind its length: 4 bytes, the most significant first.
    Length,
}

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;
/// What a payload counts for besides its bytes: where it ends, and where it came from.
pub(crate) const PAYLOAD_OVERHEAD: usize = 16;

impl Framing {
    /// Bytes a payload of that size takes.
    pub(crate) fn size(self, payload: usize) -> usize {
        match self {
            Self::Lines => payload + 1,
            Self::Length => LENGTH_BYTES + payload,
        }
    }

    fn write(self, body: &mut BytesMut, payload: &[u8]) {
        if self == Self::Length {
            // The batcher refuses what needs a longer one.
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            body.extend_from_slice(&length.to_be_bytes());
        }
        body.extend_from_slice(payload);
        if self == Self::Lines {
            body.extend_from_slice(b"\n");
        }
    }

    /// The payload of what [`Framing::write`] has written.
    fn read(self, framed: &[u8]) -> &[u8] {
        match self {
            Self::Lines => &framed[..framed.len() - 1],
            Self::Length => &framed[LENGTH_BYTES..],
        }
    }
}

/// Payloads of one path that are being collected.
#[derive(Debug)]
pub(crate) struct OpenObject {
    contents: Contents,
    body: BytesMut,
}

/// An object that is complete.
#[derive(Debug)]
pub(crate) struct Object {
    contents: Contents,
    body: Bytes,
    /// The batch it is made of, when it is tried again.
    batch: Option<EncodedBatch>,
}

/// What is known about the payloads of an object.
#[derive(Debug)]
struct Contents {
    number: u64,
    key: Path,
    path: String,
    framing: Framing,
    ends: Vec<usize>,
    positions: Vec<u64>,
    /// Where its first payload stands among all.
    ticket: Ticket,
}

impl OpenObject {
    /// `number`: counted up by the sink; `key`: its name, for good; `path`: that of its events, as the template gave it.
    pub(crate) fn new(number: u64, key: Path, path: &str, framing: Framing, ticket: Ticket) -> Self {
        let (path, ends, positions) = (path.to_owned(), Vec::new(), Vec::new());
        Self { contents: Contents { number, key, path, framing, ends, positions, ticket }, body: BytesMut::new() }
    }

    pub(crate) fn push(&mut self, payload: &[u8], position: u64) {
        self.contents.framing.write(&mut self.body, payload);
        self.contents.ends.push(self.body.len());
        self.contents.positions.push(position);
    }

    pub(crate) fn number(&self) -> u64 {
        self.contents.number
    }

    /// Number of payloads.
    pub(crate) fn len(&self) -> usize {
        self.contents.ends.len()
    }

    /// Size of the object in bytes.
    pub(crate) fn size(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn seal(self) -> Object {
        Object { contents: self.contents, body: self.body.freeze(), batch: None }
    }
}

impl Object {
    /// The object of a batch that came back: see [`Object::into_batch`].
    pub(crate) fn again(number: u64, key: Path, framing: Framing, batch: &EncodedBatch) -> Self {
        // Its batch has the texts; the path is not needed again.
        let mut object = OpenObject::new(number, key, "", framing, batch.ticket());
        for (row, payload) in batch.iter().enumerate() {
            object.push(payload, batch.position(row));
        }
        Self { batch: Some(batch.clone()), ..object.seal() }
    }

    /// Counted up by the sink: one that was begun earlier has a smaller number.
    pub(crate) fn number(&self) -> u64 {
        self.contents.number
    }

    pub(crate) fn key(&self) -> &Path {
        &self.contents.key
    }

    /// Number of payloads.
    pub(crate) fn len(&self) -> usize {
        self.contents.ends.len()
    }

    /// What is written.
    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// All its payloads as one batch, with the texts of `template`: what the engine gets back, and may publish again.
    pub(crate) fn into_batch(self, template: &Template) -> EncodedBatch {
        if let Some(batch) = self.batch {
            return batch;
        }
        let Contents { path, framing, ends, positions, ticket, .. } = self.contents;
        let mut writer = PayloadWriter::default();
        let mut start = 0;
        for (&end, &position) in ends.iter().zip(&positions) {
            writer.buffer().extend_from_slice(framing.read(&self.body[start..end]));
            writer.finish(position);
            start = end;
        }
        let texts = ends.iter().map(|_| path.as_str()).collect();
        let mut batch = writer.take().with_texts(template, texts);
        batch.set_ticket(ticket);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(framing: Framing, template: &Template) -> Object {
        let ticket = Ticket { number: 3, row: 7 };
        let mut object = OpenObject::new(1, Path::from("k"), "a/b", framing, ticket);
        object.push(b"one", 10);
        object.push(b"", 11);
        assert_eq!((object.len(), object.size()), (2, object.body.len()));
        let object = object.seal();
        assert_eq!((object.number(), object.len()), (1, 2));
        assert!(template.constant().is_none());
        object
    }

    #[test]
    fn payloads_are_lines_or_stand_behind_their_length() {
        let template = Template::parse("${p}").unwrap();
        assert_eq!(&object(Framing::Lines, &template).body()[..], b"one\n\n");
        assert_eq!(&object(Framing::Length, &template).body()[..], b"\0\0\0\x03one\0\0\0\0");
        assert_eq!((Framing::Lines.size(3), Framing::Length.size(3)), (4, 7));
    }

    #[test]
    fn an_object_gives_its_payloads_back_with_what_belongs_to_them() {
        let template = Template::parse("${p}").unwrap();
        for framing in [Framing::Lines, Framing::Length] {
            let batch = object(framing, &template).into_batch(&template);
            assert_eq!(batch.iter().collect::<Vec<_>>(), [&b"one"[..], b""]);
            assert_eq!((batch.position(0), batch.position(1)), (10, 11));
            assert_eq!((template.text(&batch, 0), template.text(&batch, 1)), ("a/b", "a/b"));
            assert_eq!(batch.ticket(), Ticket { number: 3, row: 7 });
            let again = Object::again(9, Path::from("k"), framing, &batch);
            assert_eq!(again.body(), object(framing, &template).body());
            assert_eq!((again.number(), again.into_batch(&template)), (9, batch));
        }
    }
}
