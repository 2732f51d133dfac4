//! One value as JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use eventflux_core::{Column, Values};

use super::swar::{stops, word_at};
use crate::timestamp::{TimeFormat, push_rfc3339, push_time_number};

/// Why a value has no JSON form.
pub(super) type Unencodable = &'static str;

const NOT_FINITE: Unencodable = "NaN and infinity have no JSON form; replace them in the query";

/// Appends entry `row` of `column`, `null` for `NULL`.
///
/// # Errors
/// When JSON has no such value; part of it may have been appended.
#[inline]
pub(super) fn push_value(out: &mut BytesMut, column: &Column, row: usize, time: TimeFormat) -> Result<(), Unencodable> {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match column.values() {
        Values::String(values) => {
            out.extend_from_slice(b"\"");
            push_escaped(out, values.get(row));
            out.extend_from_slice(b"\"");
        }
        Values::Long(values) => out.extend_from_slice(itoa::Buffer::new().format(values[row]).as_bytes()),
        Values::Double(values) => {
            let value = Some(values[row]).filter(|value| value.is_finite()).ok_or(NOT_FINITE)?;
            out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        }
        Values::Bool(values) => out.extend_from_slice(if values[row] { b"true" } else { b"false" }),
        Values::Int(values) => out.extend_from_slice(itoa::Buffer::new().format(values[row]).as_bytes()),
        Values::Float(values) => {
            let value = Some(values[row]).filter(|value| value.is_finite()).ok_or(NOT_FINITE)?;
            out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        }
        Values::Json(values) => out.extend_from_slice(values.get(row).as_bytes()),
        Values::Bytes(_) | Values::Timestamp(_) => push_quoted_as_needed(out, column, row, time)?,
    }
    Ok(())
}

fn push_quoted_as_needed(out: &mut BytesMut, column: &Column, row: usize, time: TimeFormat) -> Result<(), Unencodable> {
    let quoted = time == TimeFormat::Rfc3339 || column.byte_values().is_some();
    if quoted {
        out.extend_from_slice(b"\"");
    }
    push_in_string(out, column, row, time)?;
    if quoted {
        out.extend_from_slice(b"\"");
    }
    Ok(())
}

/// Appends entry `row` of `column` as part of a JSON string: escaped text, nothing for `NULL`.
///
/// # Errors
/// As [`push_value`].
pub(super) fn push_in_string(
    out: &mut BytesMut,
    column: &Column,
    row: usize,
    time: TimeFormat,
) -> Result<(), Unencodable> {
    if column.is_null(row) {
        return Ok(());
    }
    match (column.values(), time) {
        (Values::String(values) | Values::Json(values), _) => push_escaped(out, values.get(row)),
        (Values::Bytes(values), _) => out.extend_from_slice(BASE64.encode(values.get(row)).as_bytes()),
        (Values::Timestamp(values), TimeFormat::Number(unit)) => push_time_number(out, values[row], unit),
        (Values::Timestamp(values), TimeFormat::Rfc3339) => push_rfc3339(out, values[row])?,
        _ => push_value(out, column, row, time)?,
    }
    Ok(())
}

/// Appends `text` with what JSON requires to be escaped, escaped.
#[inline]
pub(super) fn push_escaped(out: &mut BytesMut, text: &str) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    while let Some(stop) = next_stop(bytes, copied) {
        out.extend_from_slice(&bytes[copied..stop]);
        push_escape(out, bytes[stop]);
        copied = stop + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Where the first byte from `at` on that must be escaped is.
#[inline]
fn next_stop(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(word) = word_at(bytes, at) {
        let stops = stops(word);
        if stops != 0 {
            return Some(at + (stops.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    let stop = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)?;
    Some(at + stop)
}

#[cold]
fn push_escape(out: &mut BytesMut, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\u00");
            return out.extend_from_slice(&digits);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_escaped_as_serde_json_reads_it(text: String, control in "[\\x00-\\x20\"\\\\a]{0,20}") {
            for text in [text, control] {
                let mut out = BytesMut::from(&b"\""[..]);
                push_escaped(&mut out, &text);
                out.extend_from_slice(b"\"");
                prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            }
        }
    }
}
