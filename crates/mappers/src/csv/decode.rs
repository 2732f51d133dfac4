//! CSV messages to rows.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use csv::{ByteRecord, Reader, ReaderBuilder};
use eventflux_core::{
    Column, DataType, EventBatch, EventFluxError, Field, Properties, RowFailure, Schema, SourceMapper, ValueRef,
};

use super::properties;
use crate::excerpt::excerpt;
use crate::json::number::{self, Scaled};
use crate::timestamp::{TimeUnit, micros_from_number, micros_from_rfc3339};

/// Most bytes the reader buffers; a message is in memory already, so this only sizes its working copy.
const MAX_READ_BUFFER_BYTES: usize = 8 * 1024;

/// Decodes CSV messages.
#[derive(Debug)]
pub(super) struct CsvSourceMapper {
    schema: Arc<Schema>,
    reader: ReaderBuilder,
    header: bool,
    /// The column of each field; of the header's fields, when there is one.
    columns: Vec<Option<usize>>,
    null: String,
    unit: TimeUnit,
    max_events: usize,
    record: ByteRecord,
    /// For each column its field of the current line.
    fields: Vec<usize>,
    bytes: Vec<u8>,
}

impl CsvSourceMapper {
    /// A decoder into `schema`.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the property.
    pub(super) fn new(schema: &Arc<Schema>, properties: &Properties) -> Result<Self, EventFluxError> {
        let header = properties.flag("csv.header")?;
        if header && properties.is_given("csv.columns") {
            let error = EventFluxError::property("csv.columns", "has no effect: the header names the columns");
            return Err(error.with_hint("remove it, or set csv.header='false'"));
        }
        let (delimiter, quote) = properties::delimiters(properties)?;
        let mut reader = ReaderBuilder::new();
        reader.has_headers(false).flexible(true).delimiter(delimiter).quote(quote);
        let columns = properties::columns(schema, properties)?;
        let fields = fields_of(&columns, schema)
            .map_err(|name| EventFluxError::property("csv.columns", format!("does not name the column '{name}'")))?;
        Ok(Self {
            schema: Arc::clone(schema),
            reader,
            header,
            columns,
            fields,
            null: properties.text("csv.null")?.to_owned(),
            unit: TimeUnit::from_property(properties, "csv.timestamp.unit")?,
            max_events: properties.integer("csv.max.events")?,
            record: ByteRecord::new(),
            bytes: Vec::new(),
        })
    }

    fn message(&mut self, message: &[u8], position: u64, batch: &mut EventBatch) -> Result<(), EventFluxError> {
        if let Err(error) = std::str::from_utf8(message) {
            let reason = format!("the message is not UTF-8 at byte {}", error.valid_up_to());
            return Err(EventFluxError::mapping(None, reason));
        }
        self.reader.buffer_capacity(message.len().clamp(1, MAX_READ_BUFFER_BYTES));
        let mut reader = self.reader.from_reader(message);
        if self.header {
            self.read_header(&mut reader)?;
        }
        let mut events = 0;
        while self.next_record(&mut reader)? {
            if events == self.max_events {
                return Err(EventFluxError::mapping(None, "more lines than csv.max.events"));
            }
            events += 1;
            self.line(batch)?;
            batch.finish_row(position);
        }
        Ok(())
    }

    fn read_header(&mut self, reader: &mut Reader<&[u8]>) -> Result<(), EventFluxError> {
        if !self.next_record(reader)? {
            return Err(EventFluxError::mapping(None, "the message has no header"));
        }
        self.columns.clear();
        for name in &self.record {
            let column = std::str::from_utf8(name).ok().and_then(|name| self.schema.index_of(name));
            if column.is_some() && self.columns.contains(&column) {
                let reason = format!("the header names \"{}\" twice", excerpt(&String::from_utf8_lossy(name)));
                return Err(EventFluxError::mapping(None, reason));
            }
            self.columns.push(column);
        }
        self.fields = fields_of(&self.columns, &self.schema)
            .map_err(|name| EventFluxError::mapping(Some(name), "the header does not name it"))?;
        Ok(())
    }

    fn next_record(&mut self, reader: &mut Reader<&[u8]>) -> Result<bool, EventFluxError> {
        let read = reader.read_byte_record(&mut self.record);
        read.map_err(|error| EventFluxError::mapping(None, excerpt(&error.to_string())))
    }

    /// Appends the values of the current line.
    fn line(&mut self, batch: &mut EventBatch) -> Result<(), EventFluxError> {
        let line = self.record.position().map_or(1, csv::Position::line);
        if self.record.len() != self.columns.len() {
            let (found, expected) = (self.record.len(), self.columns.len());
            let reason = format!("line {line} has {found} fields instead of {expected}");
            return Err(EventFluxError::mapping(None, reason));
        }
        let columns = self.schema.fields().iter().zip(batch.columns_mut());
        for ((field, column), &index) in columns.zip(&self.fields) {
            let text = std::str::from_utf8(&self.record[index]).map_err(|_| bad(field, line, "\u{fffd}", ""))?;
            if text == self.null {
                column.push_null();
            } else {
                push(field, column, text, self.unit, &mut self.bytes)
                    .map_err(|reason| bad(field, line, text, reason))?;
            }
        }
        Ok(())
    }
}

impl SourceMapper for CsvSourceMapper {
    fn decode(
        &mut self,
        messages: &[Bytes],
        first_position: u64,
        batch: &mut EventBatch,
        failures: &mut Vec<RowFailure>,
    ) {
        for (row, message) in messages.iter().enumerate() {
            let rows = batch.len();
            if let Err(error) = self.message(message, first_position + row as u64, batch) {
                batch.truncate(rows);
                failures.push(RowFailure { row, error });
            }
        }
    }
}

/// For each column the index of its field; the name of a column without one otherwise.
fn fields_of<'a>(columns: &[Option<usize>], schema: &'a Schema) -> Result<Vec<usize>, &'a str> {
    let field_of = |(index, name)| columns.iter().position(|column| *column == Some(index)).ok_or(name);
    schema.names().enumerate().map(field_of).collect()
}

#[cold]
fn bad(field: &Field, line: u64, text: &str, reason: &str) -> EventFluxError {
    let reason = format!("\"{}\" in line {line} is not {}{reason}", excerpt(text), field.data_type);
    EventFluxError::mapping(Some(&field.name), reason)
}

fn push(
    field: &Field,
    column: &mut Column,
    text: &str,
    unit: TimeUnit,
    bytes: &mut Vec<u8>,
) -> Result<(), &'static str> {
    const RANGE: &str = ": it is out of range";
    let trimmed = text.trim_ascii();
    let value = match field.data_type {
        DataType::String => ValueRef::String(text),
        DataType::Int => ValueRef::Int(i32::try_from(whole(trimmed)?).map_err(|_| RANGE)?),
        DataType::Long => ValueRef::Long(whole(trimmed)?),
        DataType::Float => ValueRef::Float(trimmed.parse().map_err(|_| "").and_then(finite_float)?),
        DataType::Double => ValueRef::Double(trimmed.parse().map_err(|_| "").and_then(finite_double)?),
        DataType::Bool => ValueRef::Bool(boolean(trimmed).ok_or(": use true or false")?),
        DataType::Timestamp => {
            ValueRef::Timestamp(micros(trimmed, unit).ok_or(": a time is a number or RFC 3339 text")?)
        }
        DataType::Json => ValueRef::Json(json(trimmed).ok_or("")?),
        DataType::Bytes => {
            bytes.clear();
            BASE64.decode_vec(trimmed, bytes).map_err(|_| ": bytes are Base64 text with padding")?;
            ValueRef::Bytes(bytes)
        }
    };
    column.push(value);
    Ok(())
}

fn whole(text: &str) -> Result<i64, &'static str> {
    if let Ok(value) = text.parse() {
        return Ok(value);
    }
    if !number::is_number(text) {
        return Err("");
    }
    match number::scaled(text, 0) {
        Scaled::Exact(value) => Ok(value),
        Scaled::Above(_) => Err(": it has a fraction"),
        Scaled::OutOfRange => Err(": it is out of range"),
    }
}

fn finite_double(value: f64) -> Result<f64, &'static str> {
    if value.is_finite() { Ok(value) } else { Err(": it is not a finite number") }
}

fn finite_float(value: f32) -> Result<f32, &'static str> {
    if value.is_finite() { Ok(value) } else { Err(": it is not a finite number") }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn micros(text: &str, unit: TimeUnit) -> Option<i64> {
    if number::is_number(text) { micros_from_number(text, unit) } else { micros_from_rfc3339(text) }
}

fn json(text: &str) -> Option<&str> {
    crate::json::is_json(text).then_some(text)
}
