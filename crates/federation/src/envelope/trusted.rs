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

/// Bytes of a JSON text up to its quotation mark, if it has no escapes and nothing that needs one.
fn plain_text(text: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'"', text)?;
    // Without an early exit, the compiler looks at many bytes at once.
    let is_plain = text[..end].iter().fold(true, |plain, &byte| plain & (byte != b'\\') & (byte >= b' '));
    is_plain.then_some(end)
}

/// A number as JSON writes it: without zeros before it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // No number of 19 digits is beyond 64 bits; longer ones are rare.
    if digits == 0 || digits > 19 || (digits > 1 && text[0] == b'0') {
        return None;
    }
    let (digits, rest) = text.split_at(digits);
    Some((digits.iter().fold(0u64, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))), rest))
}

fn optional<'a>(text: &'a [u8], member: &[u8]) -> (bool, &'a [u8]) {
    text.strip_prefix(member).map_or((false, text), |rest| (true, rest))
}

/// Whether it begins and ends as an object, an array or a text does. Numbers and the like are short; let `read` look at them.
fn is_enclosed(payload: &[u8]) -> bool {
    let ends = (payload.first(), payload.last());
    payload.len() >= 2 && matches!(ends, (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) | (Some(b'"'), Some(b'"')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{DataWriter, Encoding, EnvelopeRef, MessageId, write};

    #[test]
    fn our_own_data_is_taken_without_a_look_into_the_payload() {
        let limits = Limits::default();
        for (stream, content) in
            [("trades", Content::Json), ("köln/trades", Content::Json), ("trades", Content::Binary)]
        {
            let mut out = Vec::new();
            DataWriter::new(Encoding::Json, content, stream, 7).write(42, 1, b"{}", &mut out).unwrap();
            let message = Bytes::from(out);
            let taken = data(&message, &limits).unwrap();
            assert_eq!(Ok(&taken), read(&message, false, &limits).as_ref());
            let id = MessageId::parse(std::str::from_utf8(&taken.id).unwrap()).unwrap();
            assert_eq!((id.stream, id.epoch, id.sequence), (stream, 7, 42));
        }
    }

    #[test]
    fn a_repeated_message_and_one_without_a_time_are_taken_too() {
        let limits = Limits::default();
        for (timestamp, replayed) in [(None, false), (None, true), (Some(u64::MAX / 2), true)] {
            let (kind, content) = (Kind::Data, Content::Json);
            let envelope = EnvelopeRef { kind, id: "1", timestamp, payload: b"[1]", content, replayed };
            let mut out = Vec::new();
            write(Encoding::Json, envelope, &mut out).unwrap();
            let message = Bytes::from(out);
            assert_eq!(data(&message, &limits), read(&message, false, &limits).ok());
        }
    }
}
