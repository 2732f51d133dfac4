//! The contract of a format: bytes to rows, rows to bytes.

use bytes::Bytes;

use crate::{EventBatch, PayloadWriter, RowFailure};

/// Decodes messages into rows of one stream.
pub trait SourceMapper: Send {
    /// Appends the rows of `messages` to `batch`; message number `i` has position `first_position + i`. A message may
    /// yield no row, one, or several. A message that cannot be decoded leaves no row behind and is added to
    /// `failures` with its index; the others are decoded.
    fn decode(
        &mut self,
        messages: &[Bytes],
        first_position: u64,
        batch: &mut EventBatch,
        failures: &mut Vec<RowFailure>,
    );
}

/// Encodes rows of one stream into payloads.
pub trait SinkMapper: Send {
    /// Appends a payload for each row of `batch` to `out`, in order and with the row's position. A row that cannot be
    /// encoded leaves no payload behind and is added to `failures` with its index; the others are encoded.
    fn encode(&mut self, batch: &EventBatch, out: &mut PayloadWriter, failures: &mut Vec<RowFailure>);
}
