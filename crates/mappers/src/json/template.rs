//! A JSON template: text with `${column}` as a value, or inside a string.

use std::sync::Arc;

use bytes::BytesMut;
use eventflux_core::{DataType, EventBatch, EventFluxError, Schema, Value};

use super::encode::RowError;
use super::scan::{Problem, ScanError, Scanner};
use super::write::{push_in_string, push_value};
use crate::template::{self, Piece};
use crate::timestamp::TimeFormat;

const KEY: &str = "json.template";

/// A template that yields JSON for every row.
#[derive(Debug)]
pub(super) struct JsonTemplate {
    parts: Vec<Part>,
    time: TimeFormat,
}

#[derive(Debug)]
enum Part {
    Literal(Vec<u8>),
    /// The value of a column.
    Value(usize),
    /// The text of a column, inside a string.
    InString(usize),
}

impl JsonTemplate {
    /// Reads a template, and proves it with sample rows.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for an unknown column, or when it does not yield JSON.
    pub(super) fn new(text: &str, schema: &Schema, time: TimeFormat) -> Result<Self, EventFluxError> {
        let mut in_string = false;
        let pieces = template::parse(KEY, text, schema)?;
        let parts = pieces.into_iter().map(|piece| match piece {
            Piece::Literal(literal) => {
                in_string = ends_in_string(&literal, in_string);
                Part::Literal(literal.into_bytes())
            }
            Piece::Column(column) if in_string => Part::InString(column),
            Piece::Column(column) => Part::Value(column),
        });
        let template = Self { parts: parts.collect(), time };
        template.check(schema)?;
        Ok(template)
    }

    /// Appends one row.
    ///
    /// # Errors
    /// The column without a JSON form, and why.
    pub(super) fn row(&self, batch: &EventBatch, row: usize, out: &mut BytesMut) -> Result<(), RowError> {
        for part in &self.parts {
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal),
                Part::Value(column) => {
                    push_value(out, batch.column(*column), row, self.time).map_err(|reason| (*column, reason))?
                }
                Part::InString(column) => {
                    push_in_string(out, batch.column(*column), row, self.time).map_err(|reason| (*column, reason))?
                }
            }
        }
        Ok(())
    }

    /// Encodes a row of ordinary values and a row of `NULL`s. A place where one value fits and another does not (a key,
    /// the middle of a number) fails for one of them.
    fn check(&self, schema: &Schema) -> Result<(), EventFluxError> {
        for sample in [sample_value, |_| Value::Null] {
            let mut batch = EventBatch::new(Arc::new(schema.clone()));
            let values: Vec<_> = schema.fields().iter().map(|field| sample(field.data_type)).collect();
            batch.push_row(&values, 0)?;
            let mut out = BytesMut::new();
            self.row(&batch, 0, &mut out).map_err(|(_, reason)| EventFluxError::property(KEY, reason))?;
            let text = String::from_utf8_lossy(&out);
            Scanner::check(&text).map_err(|error| not_json(&text, &error))?;
        }
        Ok(())
    }
}

fn not_json(text: &str, error: &ScanError) -> EventFluxError {
    let what = match error.problem {
        Problem::Syntax(what) => what,
        _ => "nested too deep",
    };
    let reason = format!("does not yield JSON: with sample values it is {text}, and at byte {} {what}", error.at);
    EventFluxError::property(KEY, reason).with_hint("put ${column} where a value goes, or inside a string")
}

/// Whether the end of `literal` is inside a string, when its beginning is or not.
fn ends_in_string(literal: &str, mut in_string: bool) -> bool {
    let mut escaped = false;
    for byte in literal.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    in_string
}

fn sample_value(data_type: DataType) -> Value {
    match data_type {
        DataType::String => Value::String("x~".into()),
        DataType::Int => Value::Int(-1),
        DataType::Long => Value::Long(-1),
        DataType::Float => Value::Float(-1.5),
        DataType::Double => Value::Double(-1.5),
        DataType::Bool => Value::Bool(true),
        DataType::Bytes => Value::Bytes(b"x~".to_vec()),
        DataType::Timestamp => Value::Timestamp(1_700_000_000_000_000),
        DataType::Json => Value::Json("{}".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::TimeUnit;

    const MS: TimeFormat = TimeFormat::Number(TimeUnit::Milliseconds);

    fn schema() -> Schema {
        Schema::new([("s", DataType::String), ("n", DataType::Long), ("j", DataType::Json)])
    }

    #[test]
    fn templates_that_could_yield_no_json_are_refused() {
        for text in [
            "",
            "${s",
            "{${s}:1}",
            "{\"a\":${s}",
            "{\"a\":1${n}}",
            "{\"a\":-${n}}",
            "{\"a\":${n}0}",
            "{\"a\":\"\\${s}\"}",
            "{\"a\":\"\\u00${s}\"}",
            "${n} ${n}",
            "\"${s}",
            "{\"a\":${s}x}",
        ] {
            let error = JsonTemplate::new(text, &schema(), MS).unwrap_err().to_string();
            assert!(error.contains("json.template"), "{text}: {error}");
        }
    }

    #[test]
    fn values_are_written_by_their_place() {
        let text = r#"{"q":"<${s}|${n}|${j}>","\"":${s},"n":[${n},${j}],"${s}":"$${s}"}"#;
        let template = JsonTemplate::new(text, &schema(), MS).unwrap();
        let mut batch = EventBatch::new(Arc::new(schema()));
        batch.push_row(&["a\"b".into(), Value::Long(7), Value::Json("[\"x\"]".into())], 1).unwrap();
        batch.push_row(&[Value::Null, Value::Null, Value::Null], 1).unwrap();
        let encode = |row| {
            let mut out = BytesMut::new();
            template.row(&batch, row, &mut out).unwrap();
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(encode(0), r#"{"q":"<a\"b|7|[\"x\"]>","\"":"a\"b","n":[7,["x"]],"a\"b":"${s}"}"#);
        assert_eq!(encode(1), r#"{"q":"<||>","\"":null,"n":[null,null],"":"${s}"}"#);
    }
}
