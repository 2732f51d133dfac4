//! Writes envelopes. Members come in one order, the payload last: [`read_trusted`](super::read_trusted) relies on it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use super::cbor::Cbor;
use super::messagepack::MessagePack;
use super::transcode::{self, Format};
use super::{Content, Encoding, Kind, MAX_DEPTH, MAX_ID_BYTES, Unwritable};

/// Bytes of the longest payload that is written. No transport of ours takes one as long.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// One message to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeRef<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: &'a str,
    /// Milliseconds since 1970-01-01T00:00:00Z, where it is told.
    pub timestamp: Option<u64>,
    /// JSON text, or bytes.
    pub payload: &'a [u8],
    /// Which of the two.
    pub content: Content,
    /// Whether it was sent before and is repeated on request.
    pub replayed: bool,
}

/// Appends one message to `out`, all of it; nothing where it cannot be written.
///
/// A JSON payload that goes into a JSON envelope is copied without a look into it, and without white space around it: who
/// cannot vouch for it asks [`check_json`] before. For MessagePack and CBOR it is transcoded, and refused where it is no JSON.
///
/// Integers of a JSON payload, numbers without a fraction and an exponent, are exact there or refused: they have to be in
/// the range of `i64` or `u64`. All others become the nearest `f64`, and are refused where that would be infinite.
///
/// # Errors
/// What cannot be written: an id of more than [`MAX_ID_BYTES`], a payload of more than [`MAX_PAYLOAD_BYTES`], an empty JSON
/// payload, and what does not become MessagePack or CBOR.
pub fn write(encoding: Encoding, envelope: EnvelopeRef<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    check_id(envelope.id.len())?;
    let start = out.len();
    match encoding {
        Encoding::Json => write_json(&envelope, out),
        Encoding::MessagePack => write_map::<MessagePack>(&envelope, out),
        Encoding::Cbor => write_map::<Cbor>(&envelope, out),
    }
    .inspect_err(|_| out.truncate(start))
}

/// Whether a payload can go into a JSON envelope: one JSON value in UTF-8, nested no more than [`MAX_DEPTH`] levels deep.
///
/// # Errors
/// The reason why not, which repeats nothing of the payload.
pub fn check_json(payload: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(payload).map_err(|error| error.to_string())?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
    if transcode::is_nested_deeper(text, MAX_DEPTH) {
        return Err(format!("nested more than {MAX_DEPTH} levels deep"));
    }
    Ok(())
}

/// Refuses an id that is too long.
pub(super) fn check_id(bytes: usize) -> Result<(), Unwritable> {
    if bytes > MAX_ID_BYTES {
        return Err(Unwritable::IdTooLong { bytes, max: MAX_ID_BYTES });
    }
    Ok(())
}

/// Appends the payload as it is in a JSON message.
pub(super) fn json_payload(content: Content, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritable> {
    check_length(payload)?;
    match content {
        Content::Json => match trimmed(payload) {
            [] => return Err(Unwritable::NotJson("it is empty".to_owned())),
            json => out.extend_from_slice(json),
        },
        Content::Binary => {
            out.push(b'"');
            append_base64(payload, out);
            out.push(b'"');
        }
    }
    Ok(())
}

/// Appends the payload as it is in a MessagePack or CBOR message.
pub(super) fn map_payload<F: Format>(content: Content, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritable> {
    check_length(payload)?;
    match content {
        Content::Json => transcode::from_json::<F>(payload, MAX_DEPTH, out),
        Content::Binary => {
            F::bytes(payload, out);
            Ok(())
        }
    }
}

/// Appends a text with quotes around it.
pub(super) fn append_json_text(text: &str, out: &mut Vec<u8>) {
    // A vector takes every byte, and a text is never refused.
    let _ = serde_json::to_writer(out, text);
}

/// Appends base64, with padding.
pub(super) fn append_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, b'=');
    // There is exactly the room that it needs.
    let _ = STANDARD.encode_slice(bytes, &mut out[start..]);
}

/// What is left without the white space of JSON around it.
pub(super) fn trimmed(json: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let start = json.iter().position(|byte| !is_space(byte)).unwrap_or(json.len());
    let end = json.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &json[start..end]
}

fn check_length(payload: &[u8]) -> Result<(), Unwritable> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(Unwritable::TooLong { bytes: payload.len(), max: MAX_PAYLOAD_BYTES });
    }
    Ok(())
}

fn write_json(envelope: &EnvelopeRef<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    out.reserve(envelope.payload.len() + envelope.id.len() + 96);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(envelope.kind.name().as_bytes());
    out.extend_from_slice(b"\",\"id\":");
    append_json_text(envelope.id, out);
    if let Some(timestamp) = envelope.timestamp {
        out.extend_from_slice(b",\"timestamp\":");
        out.extend_from_slice(itoa::Buffer::new().format(timestamp).as_bytes());
    }
    if envelope.content == Content::Binary {
        out.extend_from_slice(b",\"encoding\":\"base64\"");
    }
    if envelope.replayed {
        out.extend_from_slice(b",\"replayed\":true");
    }
    out.extend_from_slice(b",\"payload\":");
    json_payload(envelope.content, envelope.payload, out)?;
    out.push(b'}');
    Ok(())
}

fn write_map<F: Format>(envelope: &EnvelopeRef<'_>, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    out.reserve(envelope.payload.len() + envelope.id.len() + 64);
    let members = 3 + u64::from(envelope.timestamp.is_some()) + u64::from(envelope.replayed);
    F::map(members, out);
    F::text("type", out);
    F::text(envelope.kind.name(), out);
    F::text("id", out);
    F::text(envelope.id, out);
    if let Some(timestamp) = envelope.timestamp {
        F::text("timestamp", out);
        F::unsigned(timestamp, out);
    }
    if envelope.replayed {
        F::text("replayed", out);
        F::boolean(true, out);
    }
    F::text("payload", out);
    map_payload::<F>(envelope.content, envelope.payload, out)
}
