//! Dead letters: what a stream that is named by `error.dlq.stream` receives.
//!
//! The stream is an ordinary one. Its author declares any of the columns of [`COLUMNS`]; the engine fills them.

use bytes::Bytes;

use crate::{Column, DataType, EventBatch, EventFluxError, Schema};

/// Where an event failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// At the connector, before the message was complete (too large, bad compression, ...).
    Receive,
    /// From bytes to columns.
    Decode,
    /// In an expression of a query.
    Query,
    /// From columns to bytes.
    Encode,
    /// On the way to the sink's endpoint.
    Send,
}

impl Stage {
    /// `receive`, `decode`, `query`, `encode` or `send`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Decode => "decode",
            Self::Query => "query",
            Self::Encode => "encode",
            Self::Send => "send",
        }
    }
}

/// An event that could not be processed, with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The event as the failing stage saw it: raw bytes of the message (receive, decode), the row as JSON (query,
    /// encode), or the encoded payload (send).
    pub original: Bytes,
    /// Why it failed.
    pub error: EventFluxError,
    /// Where it failed.
    pub stage: Stage,
    /// The stream whose source, query or sink failed.
    pub stream: String,
    /// Position of the message it came from, counted from 1 by the source.
    pub position: u64,
    /// Number of tries, the first one included.
    pub attempts: u32,
    /// When it was given up, microseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
}

/// One column a dead-letter stream may declare.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterColumn {
    /// Name.
    pub name: &'static str,
    /// Types it may be declared with.
    pub types: &'static [DataType],
    /// What it holds.
    pub doc: &'static str,
}

/// The columns a dead-letter stream may declare, any of them, in any order.
pub const COLUMNS: &[DeadLetterColumn] = &[
    column(
        "originalEvent",
        &[DataType::String, DataType::Bytes],
        "The event as the failing stage saw it: raw message, row as JSON, or encoded payload. As STRING, bytes that are not UTF-8 are replaced by U+FFFD; as BYTES they are exact.",
    ),
    column("errorMessage", &[DataType::String], "Why it failed."),
    column("errorType", &[DataType::String], "configuration, connection, mapping, query, send or panic."),
    column("errorClass", &[DataType::String], "fatal, transient or invalid."),
    column(
        "timestamp",
        &[DataType::Timestamp, DataType::Long],
        "When it was given up; as BIGINT, milliseconds since 1970.",
    ),
    column("attemptCount", &[DataType::Int, DataType::Long], "Number of tries, the first one included."),
    column("streamName", &[DataType::String], "The stream whose source, query or sink failed."),
    column("stage", &[DataType::String], "receive, decode, query, encode or send."),
    column(
        "sourcePosition",
        &[DataType::Long],
        "Position of the message it came from, counted from 1 since the source started.",
    ),
];

const fn column(name: &'static str, types: &'static [DataType], doc: &'static str) -> DeadLetterColumn {
    DeadLetterColumn { name, types, doc }
}

/// A declaration of a dead-letter stream with all columns, to be shown in hints and documentation.
pub fn declaration(stream: &str) -> String {
    let columns: Vec<_> = COLUMNS.iter().map(|column| format!("{} {}", column.name, column.types[0])).collect();
    format!("CREATE STREAM {stream} ({});", columns.join(", "))
}

/// Checks that `schema` can take dead letters.
///
/// # Errors
/// For each column that is not one of [`COLUMNS`] or has another type: its index and what is wrong.
pub fn check_schema(schema: &Schema) -> Result<(), Vec<(usize, String)>> {
    let problems: Vec<_> = schema
        .fields()
        .iter()
        .enumerate()
        .filter_map(|(index, field)| {
            let Some(known) = COLUMNS.iter().find(|column| column.name == field.name) else {
                let names: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
                return Some((
                    index,
                    format!("'{}' is no dead-letter column; they are {}", field.name, names.join(", ")),
                ));
            };
            let allowed: Vec<_> = known.types.iter().map(|data_type| data_type.name()).collect();
            (!known.types.contains(&field.data_type))
                .then(|| (index, format!("dead-letter column '{}' is {}", field.name, allowed.join(" or "))))
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

impl DeadLetter {
    /// Appends the letter as a row of a batch whose schema passed [`check_schema`].
    pub fn append_to(&self, batch: &mut EventBatch) {
        let schema = batch.schema().clone();
        for (field, column) in schema.fields().iter().zip(batch.columns_mut()) {
            self.append_column(&field.name, column);
        }
        batch.finish_row(self.position);
    }

    fn append_column(&self, name: &str, column: &mut Column) {
        match (name, column.data_type()) {
            ("originalEvent", DataType::Bytes) => column.push_bytes(&self.original),
            ("originalEvent", DataType::String) => column.push_str(&String::from_utf8_lossy(&self.original)),
            ("errorMessage", DataType::String) => column.push_str(&self.error.to_string()),
            ("errorType", DataType::String) => column.push_str(self.error.error_type()),
            ("errorClass", DataType::String) => column.push_str(self.error.class().name()),
            ("timestamp", DataType::Timestamp) => column.push_timestamp(self.timestamp),
            ("timestamp", DataType::Long) => column.push_long(self.timestamp.div_euclid(1_000)),
            ("attemptCount", DataType::Int) => column.push_int(i32::try_from(self.attempts).unwrap_or(i32::MAX)),
            ("attemptCount", DataType::Long) => column.push_long(i64::from(self.attempts)),
            ("streamName", DataType::String) => column.push_str(&self.stream),
            ("stage", DataType::String) => column.push_str(self.stage.name()),
            ("sourcePosition", DataType::Long) => column.push_long(i64::try_from(self.position).unwrap_or(i64::MAX)),
            _ => column.push_null(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ValueRef;

    #[test]
    fn a_letter_fills_the_columns_that_are_declared() {
        let schema = Schema::new([
            ("stage", DataType::String),
            ("originalEvent", DataType::Bytes),
            ("timestamp", DataType::Long),
            ("attemptCount", DataType::Int),
        ]);
        assert!(check_schema(&schema).is_ok());
        let mut batch = EventBatch::new(Arc::new(schema));
        let letter = DeadLetter {
            original: Bytes::from_static(b"\xff{"),
            error: EventFluxError::mapping(None, "no JSON"),
            stage: Stage::Decode,
            stream: "S".into(),
            position: 9,
            attempts: 1,
            timestamp: 1_700_000_000_123_456,
        };
        letter.append_to(&mut batch);
        let values: Vec<_> = batch.row(0).values().collect();
        let expected = [
            ValueRef::String("decode"),
            ValueRef::Bytes(b"\xff{"),
            ValueRef::Long(1_700_000_000_123),
            ValueRef::Int(1),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn a_column_of_another_name_or_type_is_named() {
        let schema = Schema::new([("orignalEvent", DataType::String), ("stage", DataType::Int)]);
        let problems = check_schema(&schema).unwrap_err();
        assert_eq!(problems.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1]);
        assert!(problems[1].1.contains("STRING"));
    }
}
