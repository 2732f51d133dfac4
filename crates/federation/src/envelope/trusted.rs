//! Reads messages of a peer that is known to write as [`write`](super::write) does, without a look into the payload.

use bytes::Bytes;

use super::read::{decode_base64, read};
use super::write::trimmed;
use super::{Content, Envelope, Kind, Limits, Malformed};

/// Reads a message as [`read`] does; of data in JSON text whose members are in the order of [`write`](super::write), with
/// the payload last, the payload is taken as it is: everything up to the brace at the end.
///
/// What is in it is not looked at then. It may be no JSON at all, be nested more deeply than [`Limits`] allow, or have
/// members of the envelope behind it. Everything else is as with [`read`], which is asked about all other messages:
/// MessagePack and CBOR are transcoded, and so cannot be passed over.
///
/// # Errors
/// Those of [`read`], but for what it finds in such a payload.
pub fn read_trusted(message: &Bytes, binary: bool, limits: &Limits) -> Result<Envelope, Malformed> {
    // Text has been found to be UTF-8 when it was received; who sends JSON in a binary message has not vouched for it.
    match if binary { None } else { data(message, limits) } {
        Some(envelope) => Ok(envelope),
        None => read(message, binary, limits),
    }
}

/// The message, if nothing about it is out of the ordinary.
fn data(message: &Bytes, limits: &Limits) -> Option<Envelope> {
    let rest = message.strip_prefix(b"{\"type\":\"data\",\"id\":\"")?;
    let id = &rest[..plain_text(rest)?];
    if id.len() > limits.max_id_bytes || (!id.is_ascii() && std::str::from_utf8(id).is_err()) {
        return None;
    }
    let mut rest = rest[id.len()..].strip_prefix(b"\",\"")?;
    let mut timestamp = None;
    if let Some(digits) = rest.strip_prefix(b"timestamp\":") {
        let (value, behind) = number(digits)?;
        timestamp = Some(value);
        rest = behind.strip_prefix(b",\"")?;
    }
    let (is_base64, rest) = optional(rest, b"encoding\":\"base64\",\"");
    let (replayed, rest) = optional(rest, b"replayed\":true,\"");
    let payload = trimmed(rest.strip_prefix(b"payload\":")?.strip_suffix(b"}")?);
    let (payload, content) = if is_base64 {
        // None of its letters can end a JSON text.
        (decode_base64(payload).ok()?, Content::Binary)
    } else if is_enclosed(payload) {
        (message.slice_ref(payload), Content::Json)
    } else {
        return None;
    };
    Some(Envelope { kind: Kind::Data, id: message.slice_ref(id), timestamp, payload, content, replayed })
}

/// Bytes of a JSON text up to its quotation mark, if it has no escapes.
fn plain_text(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
    (text[end] == b'"').then_some(end)
}

/// A number as JSON writes it: without zeros before it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || (digits > 1 && text[0] == b'0') {
        return None;
    }
    let value = text[..digits]
        .iter()
        .try_fold(0u64, |value, &digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    Some((value, &text[digits..]))
}

fn optional<'a>(text: &'a [u8], member: &[u8]) -> (bool, &'a [u8]) {
    text.strip_prefix(member).map_or((false, text), |rest| (true, rest))
}

/// Whether it begins and ends as an object, an array or a text does. Numbers and the like are short; let `read` look at them.
fn is_enclosed(payload: &[u8]) -> bool {
    let ends = (payload.first(), payload.last());
    payload.len() >= 2 && matches!(ends, (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) | (Some(b'"'), Some(b'"')))
}
