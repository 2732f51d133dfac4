//! Values as plain text: how formats without types, and templates, write them.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};

use crate::{Column, EventFluxError, Properties, Values};

/// Names of the units of a time, as properties spell them.
pub const TIME_UNITS: &[&str] = &["s", "ms", "us", "ns"];

/// Names of the ways to write a time, as properties spell them.
pub const TIME_FORMATS: &[&str] = &["ms", "us", "s", "rfc3339"];

/// The unit of a number that is a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// `s`
    Seconds,
    /// `ms`
    Milliseconds,
    /// `us`
    Microseconds,
    /// `ns`
    Nanoseconds,
}

impl TimeUnit {
    /// The unit a property names, one of [`TIME_UNITS`].
    ///
    /// # Errors
    /// When the property has no value.
    pub fn from_property(properties: &Properties, key: &str) -> Result<Self, EventFluxError> {
        Ok(match properties.text(key)? {
            "s" => Self::Seconds,
            "us" => Self::Microseconds,
            "ns" => Self::Nanoseconds,
            _ => Self::Milliseconds,
        })
    }

    /// Decimal places between the unit and a microsecond.
    pub fn places(self) -> i64 {
        match self {
            Self::Seconds => 6,
            Self::Milliseconds => 3,
            Self::Microseconds => 0,
            Self::Nanoseconds => -3,
        }
    }
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// A number; with as many decimals as it takes to lose nothing.
    Number(TimeUnit),
    /// RFC 3339 text, in UTC.
    Rfc3339,
}

impl TimeFormat {
    /// The format a property names, one of [`TIME_FORMATS`].
    ///
    /// # Errors
    /// When the property has no value.
    pub fn from_property(properties: &Properties, key: &str) -> Result<Self, EventFluxError> {
        match properties.text(key)? {
            "rfc3339" => Ok(Self::Rfc3339),
            _ => TimeUnit::from_property(properties, key).map(Self::Number),
        }
    }
}

/// Appends entry `row` of `column`, which is not `NULL`: text as it is, bytes as Base64, numbers in their shortest form
/// that reads back as the same value.
///
/// # Errors
/// A reason when a time cannot be written in the format.
///
/// # Panics
/// When there is no such row.
pub fn push_text(out: &mut impl Write, column: &Column, row: usize, time: TimeFormat) -> Result<(), &'static str> {
    match column.values() {
        Values::String(values) | Values::Json(values) => push(out, values.get(row)),
        Values::Bytes(values) => push(out, &BASE64.encode(values.get(row))),
        Values::Bool(values) => push(out, if values[row] { "true" } else { "false" }),
        Values::Int(values) => push(out, itoa::Buffer::new().format(values[row])),
        Values::Long(values) => push(out, itoa::Buffer::new().format(values[row])),
        Values::Float(values) => push(out, zmij::Buffer::new().format(values[row])),
        Values::Double(values) => push(out, zmij::Buffer::new().format(values[row])),
        Values::Timestamp(values) => match time {
            TimeFormat::Number(unit) => push_time_number(out, values[row], unit),
            TimeFormat::Rfc3339 => push_rfc3339(out, values[row])?,
        },
    }
    Ok(())
}

/// Appends a time (microseconds since 1970-01-01T00:00:00Z) as a number of `unit`, with as many decimals as it takes.
/// Nothing finer than a microsecond exists, so nanoseconds are written as microseconds.
pub fn push_time_number(out: &mut impl Write, micros: i64, unit: TimeUnit) {
    let places = unit.places().max(0) as usize;
    let per_unit = 10_u64.pow(places as u32);
    let magnitude = micros.unsigned_abs();
    let (whole, mut fraction) = (magnitude / per_unit, magnitude % per_unit);
    if micros < 0 {
        push(out, "-");
    }
    push(out, itoa::Buffer::new().format(whole));
    if fraction == 0 {
        return;
    }
    let mut digits = [b'0'; 7];
    digits[0] = b'.';
    for place in (1..=places).rev() {
        digits[place] += (fraction % 10) as u8;
        fraction /= 10;
    }
    let shown = digits[..=places].iter().rposition(|&digit| digit != b'0').unwrap_or(0);
    // Digits and a dot are UTF-8.
    push(out, std::str::from_utf8(&digits[..=shown]).unwrap_or_default());
}

/// Appends a time (microseconds since 1970-01-01T00:00:00Z) as RFC 3339 text in UTC, with as many decimals as it takes.
///
/// # Errors
/// A reason when the year does not have four digits.
pub fn push_rfc3339(out: &mut impl Write, micros: i64) -> Result<(), &'static str> {
    let time = DateTime::<Utc>::from_timestamp_micros(micros).filter(|time| (0..=9999).contains(&time.year()));
    let time = time.ok_or("the time is not in the years 0000 to 9999 of RFC 3339")?;
    let precision = match micros {
        whole if whole % 1_000_000 == 0 => SecondsFormat::Secs,
        millis if millis % 1_000 == 0 => SecondsFormat::Millis,
        _ => SecondsFormat::Micros,
    };
    push(out, &time.to_rfc3339_opts(precision, true));
    Ok(())
}

/// Buffers in memory take everything.
#[inline]
fn push(out: &mut impl Write, text: &str) {
    let _ = out.write_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataType, Value};

    fn text(value: &Value, time: TimeFormat) -> Result<String, &'static str> {
        let mut column = Column::new(value.as_ref().data_type().unwrap());
        column.push(value.as_ref());
        let mut out = String::new();
        push_text(&mut out, &column, 0, time).map(|()| out)
    }

    fn number(micros: i64, unit: TimeUnit) -> String {
        text(&Value::Timestamp(micros), TimeFormat::Number(unit)).unwrap()
    }

    #[test]
    fn every_type_has_a_plain_text() {
        let cases = [
            (Value::from("a \"b\"\n"), "a \"b\"\n"),
            (Value::Json(r#"{"x": 1}"#.into()), r#"{"x": 1}"#),
            (Value::Bytes(vec![0, 255]), "AP8="),
            (Value::Bool(true), "true"),
            (Value::Int(-7), "-7"),
            (Value::Long(i64::MAX), "9223372036854775807"),
            (Value::Float(0.1), "0.1"),
            (Value::Double(50_000.01), "50000.01"),
            (Value::Timestamp(1_700_000_000_123_000), "2023-11-14T22:13:20.123Z"),
        ];
        assert_eq!(cases.len(), DataType::ALL.len());
        for (value, expected) in cases {
            assert_eq!(text(&value, TimeFormat::Rfc3339).unwrap(), expected);
        }
    }

    #[test]
    fn numbers_are_as_long_as_they_must_be() {
        assert_eq!(number(1_700_000_000_000_000, TimeUnit::Milliseconds), "1700000000000");
        assert_eq!(number(1_700_000_000_123_456, TimeUnit::Milliseconds), "1700000000123.456");
        assert_eq!(number(1_700_000_000_120_000, TimeUnit::Seconds), "1700000000.12");
        assert_eq!(number(-1_500, TimeUnit::Milliseconds), "-1.5");
        assert_eq!(number(-1, TimeUnit::Seconds), "-0.000001");
        assert_eq!(number(7, TimeUnit::Microseconds), "7");
    }

    #[test]
    fn a_time_of_another_age_has_no_rfc_3339_text() {
        assert!(text(&Value::Timestamp(i64::MAX), TimeFormat::Rfc3339).unwrap_err().contains("RFC 3339"));
    }
}
