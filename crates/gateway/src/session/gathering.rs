//! Small messages to one client that wait for each other.

use std::time::Instant;

use bytes::Bytes;

use super::Outgoing;
use crate::dialects::BatchFrame;
use crate::hub::Batching;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    texts: Vec<Bytes>,
    bytes: usize,
    due: Option<Instant>,
}

impl Gathering {
    /// When it is to be sent, if there is something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Number of messages that wait.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Adds a message; what is enough goes at once.
    pub(super) fn add(
        &mut self,
        text: Bytes,
        (batching, frame): (Batching, BatchFrame),
        now: Instant,
        out: &mut Vec<Outgoing>,
    ) {
        if self.bytes + text.len() > batching.max_bytes {
            self.flush(frame, out);
        }
        self.due.get_or_insert(now + batching.delay);
        self.bytes += text.len();
        self.texts.push(text);
        if self.bytes >= batching.max_bytes {
            self.flush(frame, out);
        }
    }

    /// Sends what waits: a single message as it is.
    pub(super) fn flush(&mut self, frame: BatchFrame, out: &mut Vec<Outgoing>) {
        let Self { mut texts, bytes, .. } = std::mem::take(self);
        let text = match texts.len() {
            0 => return,
            1 => texts.swap_remove(0),
            _ => join(&texts, bytes, frame),
        };
        out.push(Outgoing::Message { text, binary: false, place: None });
    }
}

fn join(texts: &[Bytes], bytes: usize, frame: BatchFrame) -> Bytes {
    let separators = frame.separator.len() * (texts.len() - 1);
    let mut batch = Vec::with_capacity(bytes + separators + frame.open.len() + frame.close.len());
    batch.extend_from_slice(frame.open.as_bytes());
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            batch.extend_from_slice(frame.separator.as_bytes());
        }
        batch.extend_from_slice(text);
    }
    batch.extend_from_slice(frame.close.as_bytes());
    batch.into()
}
