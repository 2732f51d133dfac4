//! One value as plain text, for formats without types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use eventflux_core::{Column, Values};

use crate::timestamp::{TimeFormat, push_number, push_rfc3339};

/// Appends entry `row` of `column`, which is not `NULL`: text as it is, bytes as Base64, numbers in their shortest form
/// that reads back as the same value.
///
/// # Errors
/// A reason when a time cannot be written in the format.
pub(crate) fn push_text(out: &mut BytesMut, column: &Column, row: usize, time: TimeFormat) -> Result<(), &'static str> {
    match column.values() {
        Values::String(values) | Values::Json(values) => out.extend_from_slice(values.get(row).as_bytes()),
        Values::Bytes(values) => out.extend_from_slice(BASE64.encode(values.get(row)).as_bytes()),
        Values::Bool(values) => out.extend_from_slice(if values[row] { b"true" } else { b"false" }),
        Values::Int(values) => out.extend_from_slice(itoa::Buffer::new().format(values[row]).as_bytes()),
        Values::Long(values) => out.extend_from_slice(itoa::Buffer::new().format(values[row]).as_bytes()),
        Values::Float(values) => out.extend_from_slice(zmij::Buffer::new().format(values[row]).as_bytes()),
        Values::Double(values) => out.extend_from_slice(zmij::Buffer::new().format(values[row]).as_bytes()),
        Values::Timestamp(values) => match time {
            TimeFormat::Number(unit) => push_number(out, values[row], unit),
            TimeFormat::Rfc3339 => push_rfc3339(out, values[row])?,
        },
    }
    Ok(())
}
