//! From messages to rows: decodes, and fills the columns that are bound to metadata of the source.

use std::sync::Arc;

use bytes::Bytes;
use eventflux_core::{EventBatch, MessageMetadata, RowFailure, Schema, SourceMapper};

use super::control::contain;
use super::metadata::MetadataColumns;
use crate::plan::SourceFormat;

/// Decodes the messages of one source, and numbers them.
pub(super) struct Decoder {
    /// `None` for programs that push rows.
    mapper: Option<Box<dyn SourceMapper>>,
    /// The columns the mapper does not decode.
    metadata: Option<MetadataColumns>,
    /// What the mapper decodes.
    batch: EventBatch,
    /// Messages so far.
    position: u64,
}

impl Decoder {
    /// For a stream of `schema`.
    pub(super) fn new(schema: &Arc<Schema>, format: Option<SourceFormat>) -> Self {
        let (mapper, metadata) = format.map_or((None, None), |format| (Some(format.mapper), format.metadata));
        let decoded = metadata.as_ref().map_or(schema, |metadata| &metadata.decoded.schema);
        Self {
            mapper,
            batch: EventBatch::new(decoded.clone()),
            metadata: metadata.map(|metadata| MetadataColumns::new(metadata, schema)),
            position: 0,
        }
    }

    /// Numbers the next `count` messages: the position of the first one.
    pub(super) fn number(&mut self, count: usize) -> u64 {
        let first_position = self.position + 1;
        self.position += count as u64;
        first_position
    }

    /// Decodes messages in place of what was decoded before, and returns those that cannot be, in order. See
    /// [`Decoder::rows`].
    pub(super) fn decode(&mut self, messages: &[Bytes], first_position: u64) -> Vec<RowFailure> {
        let (batch, mut failures) = (&mut self.batch, Vec::new());
        batch.clear();
        let Some(mapper) = &mut self.mapper else { return failures };
        if contain("a mapper", || mapper.decode(messages, first_position, batch, &mut failures)).is_err() {
            batch.clear();
            failures.clear();
            decode_one_by_one(mapper.as_mut(), messages, first_position, batch, &mut failures);
        }
        failures
    }

    /// Leaves out the rows of the message at `position` and of those behind it.
    pub(super) fn leave_out_from(&mut self, position: u64) {
        self.batch.truncate(self.batch.positions().partition_point(|&row| row < position));
    }

    /// What was decoded, with the metadata of the messages; to be asked for once.
    pub(super) fn rows(&mut self, metadata: &[MessageMetadata], first_position: u64) -> &EventBatch {
        match &mut self.metadata {
            Some(columns) => columns.complete(&mut self.batch, metadata, first_position),
            None => &self.batch,
        }
    }
}

/// After a panic: finds the messages that cause it.
fn decode_one_by_one(
    mapper: &mut dyn SourceMapper,
    messages: &[Bytes],
    first_position: u64,
    batch: &mut EventBatch,
    failures: &mut Vec<RowFailure>,
) {
    for (row, message) in messages.iter().enumerate() {
        let (rows, mut failed) = (batch.len(), Vec::new());
        let one = std::slice::from_ref(message);
        match contain("a mapper", || mapper.decode(one, first_position + row as u64, batch, &mut failed)) {
            Ok(()) => failures.extend(failed.into_iter().map(|failure| RowFailure { row, error: failure.error })),
            Err(error) => {
                batch.truncate(rows);
                failures.push(RowFailure { row, error });
            }
        }
    }
}
