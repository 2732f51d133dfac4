//! From a value's place in the message to an entry of a column.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use eventflux_core::{Column, DataType, EventFluxError, ValueRef};

use super::escape::unescape;
use super::number::{self, Scaled};
use super::slot::{Kind, Slot};
use crate::excerpt::excerpt;
use crate::timestamp::{TimeUnit, micros_from_integer, micros_from_number, micros_from_rfc3339};

/// What becomes of a value that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    Null,
    Error,
}

/// What becomes of a value that does not fit the column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrongType {
    Error,
    Null,
    Coerce,
}

/// The rules for values, from the properties.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) missing: Absent,
    pub(super) null: Absent,
    pub(super) wrong_type: WrongType,
    pub(super) unit: TimeUnit,
}

/// A column to fill.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) data_type: DataType,
    /// Its path, for messages.
    pub(super) path: String,
    /// Whether the value stands beside the events (else in them).
    pub(super) beside: bool,
    /// Number of the slot.
    pub(super) slot: usize,
}

/// Memory that conversions reuse.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: String,
    bytes: Vec<u8>,
}

/// Why a value does not fit.
#[derive(Debug)]
enum Mismatch {
    /// It is of another type, or not written as the type wants it.
    Type,
    /// A number with a fraction, for a whole one.
    Fraction,
    /// A number the type cannot hold.
    Range,
    /// A string that is no RFC 3339 time.
    Time,
    /// A string that is no Base64.
    Base64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "",
            Self::Fraction => ": it has a fraction",
            Self::Range => ": it is out of range",
            Self::Time => ": a time is a number or RFC 3339 text",
            Self::Base64 => ": bytes are Base64 text with padding",
        })
    }
}

impl Target {
    /// Appends the value at `slot` of `message` to `column`.
    ///
    /// # Errors
    /// [`EventFluxError::Mapping`] that names the column; nothing is appended.
    #[inline]
    pub(super) fn push(
        &self,
        slot: Slot,
        message: &str,
        rules: &Rules,
        scratch: &mut Scratch,
        column: &mut Column,
    ) -> Result<(), EventFluxError> {
        match (self.data_type, slot.kind()) {
            (DataType::String, Kind::Plain) => {
                column.push_str(slot.text(message));
                return Ok(());
            }
            (DataType::Long | DataType::Timestamp, Kind::Integer) => {
                let value = number::integer(message.as_bytes(), slot.start(), slot.end());
                if self.data_type == DataType::Long {
                    if let Some(value) = value {
                        column.push_long(value);
                        return Ok(());
                    }
                } else if let Some(micros) = value.and_then(|value| micros_from_integer(value, rules.unit)) {
                    column.push_timestamp(micros);
                    return Ok(());
                }
            }
            (DataType::Bool, Kind::True | Kind::False) => {
                column.push_bool(slot.kind() == Kind::True);
                return Ok(());
            }
            (DataType::Double, Kind::Integer | Kind::Decimal) => {
                if let Some(value) = number::double(slot.text(message)) {
                    column.push_double(value);
                    return Ok(());
                }
            }
            (DataType::Double, Kind::Plain) if rules.wrong_type == WrongType::Coerce => {
                if let Some(value) = number::short_double(slot.text(message).as_bytes()) {
                    column.push_double(value);
                    return Ok(());
                }
            }
            _ => {}
        }
        self.push_other(slot, message, rules, scratch, column)
    }

    #[inline(never)]
    fn push_other(
        &self,
        slot: Slot,
        message: &str,
        rules: &Rules,
        scratch: &mut Scratch,
        column: &mut Column,
    ) -> Result<(), EventFluxError> {
        let absent = match slot.kind() {
            Kind::Missing => Some((rules.missing, "missing")),
            Kind::Null => Some((rules.null, "null")),
            _ => None,
        };
        match absent {
            Some((Absent::Null, _)) => {
                column.push_null();
                return Ok(());
            }
            Some((Absent::Error, what)) => {
                return Err(EventFluxError::mapping(Some(&self.name), format!("{} is {what}", self.path)));
            }
            None => {}
        }
        match convert(self.data_type, slot, message, rules, scratch) {
            Ok(value) => column.push(value),
            Err(_) if rules.wrong_type == WrongType::Null => column.push_null(),
            Err(mismatch) => return Err(self.mismatch(slot, message, rules, &mismatch)),
        }
        Ok(())
    }

    #[cold]
    fn mismatch(&self, slot: Slot, message: &str, rules: &Rules, mismatch: &Mismatch) -> EventFluxError {
        let raw = slot.raw(message);
        let at = slot.start() - (raw.len() - slot.text(message).len()) / 2;
        let lax = Rules { wrong_type: WrongType::Coerce, ..*rules };
        let fits = convert(self.data_type, slot, message, &lax, &mut Scratch::default()).is_ok();
        let hint = if fits { "; json.on.wrong.type='coerce' accepts it" } else { "" };
        let reason =
            format!("{} at byte {at} is {}, not {}{mismatch}{hint}", excerpt(raw), slot.kind().name(), self.data_type);
        EventFluxError::mapping(Some(&self.name), reason)
    }
}

fn convert<'a>(
    data_type: DataType,
    slot: Slot,
    message: &'a str,
    rules: &Rules,
    scratch: &'a mut Scratch,
) -> Result<ValueRef<'a>, Mismatch> {
    let Scratch { text, bytes } = scratch;
    let coerce = rules.wrong_type == WrongType::Coerce;
    if data_type == DataType::Json {
        return Ok(ValueRef::Json(slot.raw(message)));
    }
    match slot.kind() {
        Kind::Plain => from_string(data_type, slot.text(message), coerce, rules, bytes),
        Kind::Escaped => {
            text.clear();
            unescape(slot.text(message), text);
            from_string(data_type, text, coerce, rules, bytes)
        }
        Kind::Integer | Kind::Decimal => from_number(data_type, slot.text(message), coerce, rules),
        Kind::True | Kind::False if data_type == DataType::Bool => Ok(ValueRef::Bool(slot.kind() == Kind::True)),
        _ if coerce && data_type == DataType::String => Ok(ValueRef::String(slot.raw(message))),
        _ => Err(Mismatch::Type),
    }
}

fn from_string<'a>(
    data_type: DataType,
    text: &'a str,
    coerce: bool,
    rules: &Rules,
    bytes: &'a mut Vec<u8>,
) -> Result<ValueRef<'a>, Mismatch> {
    match data_type {
        DataType::String => Ok(ValueRef::String(text)),
        DataType::Bytes => {
            bytes.clear();
            BASE64.decode_vec(text, bytes).map_err(|_| Mismatch::Base64)?;
            Ok(ValueRef::Bytes(bytes))
        }
        DataType::Timestamp => match micros_from_rfc3339(text) {
            Some(micros) => Ok(ValueRef::Timestamp(micros)),
            None if coerce && number::is_number(text) => from_number(data_type, text, coerce, rules),
            None => Err(Mismatch::Time),
        },
        DataType::Bool if coerce && text == "true" => Ok(ValueRef::Bool(true)),
        DataType::Bool if coerce && text == "false" => Ok(ValueRef::Bool(false)),
        _ if coerce && number::is_number(text) => from_number(data_type, text, coerce, rules),
        _ => Err(Mismatch::Type),
    }
}

fn from_number<'a>(data_type: DataType, text: &'a str, coerce: bool, rules: &Rules) -> Result<ValueRef<'a>, Mismatch> {
    match data_type {
        DataType::Int => i32::try_from(whole(text)?).map(ValueRef::Int).map_err(|_| Mismatch::Range),
        DataType::Long => whole(text).map(ValueRef::Long),
        DataType::Float => number::float(text).map(ValueRef::Float).ok_or(Mismatch::Range),
        DataType::Double => number::double(text).map(ValueRef::Double).ok_or(Mismatch::Range),
        DataType::Timestamp => micros_from_number(text, rules.unit).map(ValueRef::Timestamp).ok_or(Mismatch::Range),
        DataType::String if coerce => Ok(ValueRef::String(text)),
        DataType::Bool if coerce && text == "1" => Ok(ValueRef::Bool(true)),
        DataType::Bool if coerce && text == "0" => Ok(ValueRef::Bool(false)),
        _ => Err(Mismatch::Type),
    }
}

/// A whole number, however it is written: `1`, `1.0` and `1e0` are the same number.
fn whole(text: &str) -> Result<i64, Mismatch> {
    match number::scaled(text, 0) {
        Scaled::Exact(value) => Ok(value),
        Scaled::Above(_) => Err(Mismatch::Fraction),
        Scaled::OutOfRange => Err(Mismatch::Range),
    }
}
