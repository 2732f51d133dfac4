//! `CAST`, `TRY_CAST` and the widening of numbers: one loop per pair of types.

use std::fmt::Write as _;

use eventflux_core::{ByteValues, DataType, TextValues, Values};

use super::json;
use super::node::Node;
use super::operand::{Operand, map};
use super::text::{self, Reason};
use super::{RowErrors, Rows};

/// Whether a cast between the types is defined.
pub(super) fn is_possible(from: DataType, to: DataType) -> bool {
    use DataType::{Bool, Bytes, Double, Float, Int, Json, Long, String, Timestamp};
    match (from, to) {
        (from, to) if from == to => true,
        (String, _) | (Timestamp | Bytes, String) => true,
        (Json, to) => to != Bytes,
        (from, String | Int | Long | Float | Double | Json) if from.is_numeric() => true,
        (Int | Long, Bool) | (Bool, Int | Long | String | Json) => true,
        _ => false,
    }
}

/// `operand` as the node's type; lenient where a value that cannot be converted is `NULL`.
pub(super) fn cast<'b, 'r>(
    node: &Node,
    lenient: bool,
    operand: Operand<'b, 'r>,
    rows: Rows<'_>,
    errors: &mut RowErrors,
) -> Operand<'b, 'r> {
    let to = node.data_type;
    if operand.column.data_type() == to {
        return operand;
    }
    let mut cast = Cast { node, lenient, rows, errors, nulls: operand.nulls(rows.len()) };
    if operand.column.data_type() == DataType::Json {
        let texts = cast.json_to_texts(&operand);
        let operand = Operand::of(Values::String(texts), std::mem::take(&mut cast.nulls));
        cast.nulls = operand.nulls(rows.len());
        return if to == DataType::String { operand } else { cast.convert(&operand) };
    }
    cast.convert(&operand)
}

struct Cast<'n, 'r, 'e> {
    node: &'n Node,
    lenient: bool,
    rows: Rows<'r>,
    errors: &'e mut RowErrors,
    nulls: Vec<bool>,
}

impl Cast<'_, '_, '_> {
    fn convert<'b, 'r>(mut self, operand: &Operand<'_, '_>) -> Operand<'b, 'r> {
        let values = match self.node.data_type {
            DataType::Int => Values::Int(self.ints_of(operand)),
            DataType::Long => Values::Long(self.longs_of(operand)),
            DataType::Float => Values::Float(self.floats_of(operand)),
            DataType::Double => Values::Double(self.doubles_of(operand)),
            DataType::Bool => Values::Bool(self.bools_of(operand)),
            DataType::Timestamp => {
                let texts = operand.texts();
                Values::Timestamp(self.each(operand, |entry| text::parse_timestamp(texts.get(entry))))
            }
            DataType::String => Values::String(self.texts_of(operand)),
            DataType::Json => Values::Json(self.json_of(operand)),
            DataType::Bytes => {
                let mut bytes = ByteValues::default();
                let texts = operand.texts();
                (0..self.rows.len()).for_each(|i| bytes.push(texts.get(operand.index.at(i)).as_bytes()));
                Values::Bytes(bytes)
            }
        };
        Operand::of(values, self.nulls)
    }

    /// `parse(entry)` for every row that is not `NULL`.
    #[inline]
    fn each<T: Default>(&mut self, operand: &Operand<'_, '_>, parse: impl Fn(usize) -> Result<T, Reason>) -> Vec<T> {
        let len = self.rows.len();
        let mut values = Vec::with_capacity(len);
        for position in 0..len {
            if !self.nulls.is_empty() && self.nulls[position] {
                values.push(T::default());
                continue;
            }
            values.push(parse(operand.index.at(position)).unwrap_or_else(|reason| {
                self.refuse(operand, position, reason);
                T::default()
            }));
        }
        values
    }

    #[cold]
    fn refuse(&mut self, operand: &Operand<'_, '_>, position: usize, reason: Reason) {
        self.nulls.resize(self.rows.len(), false);
        self.nulls[position] = true;
        if !self.lenient {
            let (value, to) = (text::shown(operand.value(position)), self.node.data_type);
            let message = format_args!("cannot cast {value} to {to}: it {reason}");
            self.errors.fail(self.rows.row(position), message, false, &self.node.place);
        }
    }

    fn ints_of(&mut self, operand: &Operand<'_, '_>) -> Vec<i32> {
        const RANGE: Reason = "is out of range";
        let narrow = |value: i64| i32::try_from(value).map_err(|_| RANGE);
        match operand.column.values() {
            Values::Long(v) => self.each(operand, |entry| narrow(v[entry])),
            Values::Float(v) => self.each(operand, |entry| whole(f64::from(v[entry])).and_then(narrow)),
            Values::Double(v) => self.each(operand, |entry| whole(v[entry]).and_then(narrow)),
            Values::Bool(v) => map(v, operand.index, self.rows.len(), |_, value| i32::from(value)),
            _ => {
                let texts = operand.texts();
                self.each(operand, |entry| text::parse_long(texts.get(entry)).and_then(narrow))
            }
        }
    }

    fn longs_of(&mut self, operand: &Operand<'_, '_>) -> Vec<i64> {
        match operand.column.values() {
            Values::Int(v) => map(v, operand.index, self.rows.len(), |_, value| i64::from(value)),
            Values::Float(v) => self.each(operand, |entry| whole(f64::from(v[entry]))),
            Values::Double(v) => self.each(operand, |entry| whole(v[entry])),
            Values::Bool(v) => map(v, operand.index, self.rows.len(), |_, value| i64::from(value)),
            _ => {
                let texts = operand.texts();
                self.each(operand, |entry| text::parse_long(texts.get(entry)))
            }
        }
    }

    fn floats_of(&mut self, operand: &Operand<'_, '_>) -> Vec<f32> {
        match operand.column.values() {
            Values::Int(v) => map(v, operand.index, self.rows.len(), |_, value| value as f32),
            Values::Long(v) => map(v, operand.index, self.rows.len(), |_, value| value as f32),
            Values::Double(v) => self.each(operand, |entry| {
                let value = v[entry] as f32;
                if value.is_infinite() && v[entry].is_finite() { Err("is out of range") } else { Ok(value) }
            }),
            _ => {
                let texts = operand.texts();
                self.each(operand, |entry| text::parse_float(texts.get(entry)))
            }
        }
    }

    fn doubles_of(&mut self, operand: &Operand<'_, '_>) -> Vec<f64> {
        match operand.column.values() {
            Values::Int(v) => map(v, operand.index, self.rows.len(), |_, value| f64::from(value)),
            Values::Long(v) => map(v, operand.index, self.rows.len(), |_, value| value as f64),
            Values::Float(v) => map(v, operand.index, self.rows.len(), |_, value| f64::from(value)),
            _ => {
                let texts = operand.texts();
                self.each(operand, |entry| text::parse_double(texts.get(entry)))
            }
        }
    }

    fn bools_of(&mut self, operand: &Operand<'_, '_>) -> Vec<bool> {
        match operand.column.values() {
            Values::Int(v) => map(v, operand.index, self.rows.len(), |_, value| value != 0),
            Values::Long(v) => map(v, operand.index, self.rows.len(), |_, value| value != 0),
            _ => {
                let texts = operand.texts();
                self.each(operand, |entry| text::parse_bool(texts.get(entry)))
            }
        }
    }

    /// Appends a text per row that is not `NULL`.
    fn write_each(
        &mut self,
        operand: &Operand<'_, '_>,
        write: impl Fn(usize, &mut String) -> Result<(), Reason>,
    ) -> TextValues {
        let mut texts = TextValues::default();
        for position in 0..self.rows.len() {
            if !self.nulls.is_empty() && self.nulls[position] {
                texts.push("");
                continue;
            }
            let mut outcome = Ok(());
            texts.push_with(|out| outcome = write(operand.index.at(position), out));
            if let Err(reason) = outcome {
                self.refuse(operand, position, reason);
            }
        }
        texts
    }

    fn texts_of(&mut self, operand: &Operand<'_, '_>) -> TextValues {
        let values = operand.column.values();
        self.write_each(operand, |entry, out| {
            match values {
                Values::Bytes(bytes) => {
                    out.push_str(std::str::from_utf8(bytes.get(entry)).map_err(|_| "is not UTF-8")?);
                }
                _ => write_scalar(values, entry, out),
            }
            Ok(())
        })
    }

    fn json_of(&mut self, operand: &Operand<'_, '_>) -> TextValues {
        let values = operand.column.values();
        self.write_each(operand, |entry, out| {
            match values {
                Values::String(texts) => {
                    let text = texts.get(entry).trim();
                    json::check(text).map_err(|_| "is not JSON")?;
                    out.push_str(text);
                }
                Values::Float(v) if !v[entry].is_finite() => return Err("has no JSON form"),
                Values::Double(v) if !v[entry].is_finite() => return Err("has no JSON form"),
                _ => write_scalar(values, entry, out),
            }
            Ok(())
        })
    }

    fn json_to_texts(&mut self, operand: &Operand<'_, '_>) -> TextValues {
        let mut texts = TextValues::default();
        let source = operand.texts();
        for position in 0..self.rows.len() {
            if !self.nulls.is_empty() && self.nulls[position] {
                texts.push("");
                continue;
            }
            match json::text_of(source.get(operand.index.at(position))) {
                Ok(Some(text)) => texts.push(&text),
                Ok(None) => {
                    texts.push("");
                    self.nulls.resize(self.rows.len(), false);
                    self.nulls[position] = true;
                }
                Err(_) => {
                    texts.push("");
                    self.refuse(operand, position, "is not JSON");
                }
            }
        }
        texts
    }
}

/// Appends the text of a number, a truth value or a timestamp.
pub(crate) fn write_scalar(values: &Values, entry: usize, out: &mut String) {
    // Writing to a String does not fail.
    let _ = match values {
        Values::Bool(v) => write!(out, "{}", v[entry]),
        Values::Int(v) => write!(out, "{}", v[entry]),
        Values::Long(v) => write!(out, "{}", v[entry]),
        Values::Float(v) => {
            text::write_float(v[entry], out);
            Ok(())
        }
        Values::Double(v) => {
            text::write_double(v[entry], out);
            Ok(())
        }
        Values::Timestamp(v) => {
            text::write_timestamp(v[entry], out);
            Ok(())
        }
        Values::String(v) | Values::Json(v) => {
            out.push_str(v.get(entry));
            Ok(())
        }
        Values::Bytes(_) => Ok(()),
    };
}

/// The integer a floating-point number is.
fn whole(value: f64) -> Result<i64, Reason> {
    /// 2^63
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if !value.is_finite() {
        Err("is not a finite number")
    } else if value.fract() != 0.0 {
        Err("has a fraction; use ROUND, FLOOR, CEIL or TRUNC first")
    } else if (-LIMIT..LIMIT).contains(&value) {
        // Whole and in range: the conversion is exact.
        Ok(value as i64)
    } else {
        Err("is out of range")
    }
}
