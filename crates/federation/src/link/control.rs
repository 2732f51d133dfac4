//! Messages of ours that are no events, on their way to the peer.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Outgoing;
use crate::Ending;
use crate::envelope::{Content, Encoding, EnvelopeRef, Kind, write};

/// See the module. Bounded by bytes: a peer that asks and does not read is ended.
#[derive(Debug)]
pub(super) struct Control {
    encoding: Encoding,
    texts: VecDeque<Bytes>,
    bytes: usize,
    max_bytes: usize,
    /// Messages so far, for their ids.
    told: u64,
}

impl Control {
    pub(super) fn new(encoding: Encoding, max_bytes: usize) -> Self {
        Self { encoding, texts: VecDeque::new(), bytes: 0, max_bytes, told: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether there is room for what can wait, [`FederationConfig::max_request_bytes`](crate::FederationConfig) of it.
    pub(super) fn has_room(&self) -> bool {
        self.bytes <= self.max_bytes / 2
    }

    /// Queues a message with an id of ours.
    pub(super) fn tell(&mut self, kind: Kind, payload: &impl serde::Serialize, unix_ms: u64) -> Result<(), Ending> {
        self.told += 1;
        let id = format!("{}-{}", kind.name(), self.told);
        // What we say of ourselves always serialises.
        let payload = serde_json::to_vec(payload).unwrap_or_default();
        self.tell_as(kind, &id, &payload, unix_ms)
    }

    /// Queues a message.
    ///
    /// # Errors
    /// When too much waits for the peer.
    pub(super) fn tell_as(&mut self, kind: Kind, id: &str, payload: &[u8], unix_ms: u64) -> Result<(), Ending> {
        let mut text = Vec::new();
        let timestamp = Some(unix_ms);
        let envelope = EnvelopeRef { kind, id, timestamp, payload, content: Content::Json, replayed: false };
        if let Err(error) = write(self.encoding, envelope, &mut text) {
            log::warn!("a '{}' cannot be written: {error}", kind.name());
            return Ok(());
        }
        self.bytes += text.len();
        self.texts.push_back(text.into());
        if self.bytes > self.max_bytes {
            return Err(Ending::policy("the peer asks and does not read"));
        }
        Ok(())
    }

    /// Takes everything out.
    pub(super) fn take(&mut self, out: &mut Vec<Outgoing>) {
        let binary = self.encoding != Encoding::Json;
        out.extend(self.texts.drain(..).map(|text| Outgoing { text, binary }));
        self.bytes = 0;
    }
}
