//! Rows to JSON payloads.

use bytes::BytesMut;
use eventflux_core::{EventBatch, EventFluxError, PayloadWriter, RowFailure, Schema, SinkMapper};

use super::properties::{Output, SinkConfig};
use super::template::JsonTemplate;
use super::write::{Unencodable, push_escaped, push_value};
use crate::timestamp::TimeFormat;

/// Encodes rows as JSON objects.
#[derive(Debug)]
pub(super) struct JsonSinkMapper {
    shape: Shape,
    one_line: bool,
    time: TimeFormat,
}

#[derive(Debug)]
enum Shape {
    /// For each column what stands before its value, `{"a":` or `,"b":`, and what stands after the last one.
    All {
        before: Vec<Fragment>,
        after: Vec<u8>,
    },
    /// What stands before the columns, for each column its `"a":`, and what stands after them.
    NotNull {
        before: Vec<u8>,
        keys: Vec<Vec<u8>>,
        after: Vec<u8>,
    },
    Template(JsonTemplate),
}

/// The column that has no JSON form, and why.
pub(super) type RowError = (usize, Unencodable);

impl JsonSinkMapper {
    /// An encoder of `schema`.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for a template that does not yield JSON.
    pub(super) fn new(schema: &Schema, config: &SinkConfig) -> Result<Self, EventFluxError> {
        let (open, after) = match &config.output {
            Output::Template(template) => {
                let shape = Shape::Template(JsonTemplate::new(template, schema, config.time)?);
                return Ok(Self { shape, one_line: config.one_line, time: config.time });
            }
            Output::Envelope(key) => ([b"{", &key_fragment(key)[..], b"{"].concat(), b"}}".to_vec()),
            Output::Object => (b"{".to_vec(), b"}".to_vec()),
        };
        let keys: Vec<_> = schema.names().map(key_fragment).collect();
        let shape = if config.omit_nulls || keys.is_empty() {
            Shape::NotNull { before: open, keys, after }
        } else {
            let lead = |index| if index == 0 { &open[..] } else { b"," };
            let before = keys.iter().enumerate().map(|(index, key)| Fragment::new([lead(index), key].concat()));
            Shape::All { before: before.collect(), after }
        };
        Ok(Self { shape, one_line: config.one_line, time: config.time })
    }

    fn row(&self, batch: &EventBatch, row: usize, out: &mut BytesMut) -> Result<(), RowError> {
        match &self.shape {
            Shape::All { before, after } => {
                for (index, (before, column)) in before.iter().zip(batch.columns()).enumerate() {
                    before.push(out);
                    push_value(out, column, row, self.time).map_err(|reason| (index, reason))?;
                }
                out.extend_from_slice(after);
            }
            Shape::NotNull { before, keys, after } => {
                out.extend_from_slice(before);
                let columns = keys.iter().zip(batch.columns()).enumerate();
                let given = columns.filter(|(_, (_, column))| !column.is_null(row));
                for (count, (index, (key, column))) in given.enumerate() {
                    if count > 0 {
                        out.extend_from_slice(b",");
                    }
                    out.extend_from_slice(key);
                    push_value(out, column, row, self.time).map_err(|reason| (index, reason))?;
                }
                out.extend_from_slice(after);
            }
            Shape::Template(template) => template.row(batch, row, out)?,
        }
        Ok(())
    }
}

impl SinkMapper for JsonSinkMapper {
    fn encode(&mut self, batch: &EventBatch, out: &mut PayloadWriter, failures: &mut Vec<RowFailure>) {
        for (row, &position) in batch.positions().iter().enumerate() {
            let start = out.buffer().len();
            match self.row(batch, row, out.buffer()) {
                Ok(()) => {
                    if self.one_line {
                        join_lines(&mut out.buffer()[start..]);
                    }
                    out.finish(position);
                }
                Err((column, reason)) => {
                    out.rollback();
                    let name = &batch.schema().fields()[column].name;
                    let error = EventFluxError::mapping(Some(name), reason);
                    failures.push(RowFailure { row, error });
                }
            }
        }
    }
}

/// Writes spaces over line breaks. In JSON they stand between the parts only: inside a string they are escaped.
fn join_lines(payload: &mut [u8]) {
    for byte in payload.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
}

/// A few bytes written for every row. Short ones are copied as a whole block, whose size the compiler knows, and cut off.
#[derive(Debug)]
struct Fragment {
    text: Vec<u8>,
    block: [u8; Self::BLOCK_BYTES],
}

impl Fragment {
    const BLOCK_BYTES: usize = 16;

    fn new(text: Vec<u8>) -> Self {
        let mut block = [0; Self::BLOCK_BYTES];
        let short = text.len().min(block.len());
        block[..short].copy_from_slice(&text[..short]);
        Self { text, block }
    }

    #[inline]
    fn push(&self, out: &mut BytesMut) {
        if self.text.len() > Self::BLOCK_BYTES {
            return out.extend_from_slice(&self.text);
        }
        let end = out.len() + self.text.len();
        out.extend_from_slice(&self.block);
        out.truncate(end);
    }
}

/// `"key":`
fn key_fragment(key: &str) -> Vec<u8> {
    let mut out = BytesMut::from(&b"\""[..]);
    push_escaped(&mut out, key);
    out.extend_from_slice(b"\":");
    out.to_vec()
}
