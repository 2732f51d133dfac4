//! Reads messages of any peer.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::cbor::CborTokens;
use super::messagepack::MessagePackTokens;
use super::{Content, Envelope, Kind, Limits, Malformed, Reason, json, map};

/// With padding or without: peers differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The tag that says "this is CBOR" (RFC 8949, section 3.4.6).
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// Reads a message: text is JSON; a binary one is MessagePack, CBOR or JSON, as its first byte tells.
///
/// Members may come in any order, and those that nobody knows are passed over. `type` and `payload` have to be there, and
/// `id` in all but data, where it is empty then. A known member that is `null` counts as left out, but for `payload`, whose
/// `null` is a value. A time with a fraction loses it.
///
/// A JSON payload of a JSON message is a slice of it. MessagePack and CBOR payloads become JSON text, and are refused where
/// they have what JSON has not: extension types, tags, keys that are no texts, numbers that are none. Byte strings in them
/// become base64 texts; a payload that is a byte string is [`Content::Binary`].
///
/// # Errors
/// What is wrong with the message, with its type and id where they can be read.
pub fn read(message: &Bytes, binary: bool, limits: &Limits) -> Result<Envelope, Malformed> {
    let mut draft = Draft::default();
    let first = message.first().copied();
    let result = match first {
        Some(0x80..=0x8f | 0xde | 0xdf) if binary => {
            map::read(&mut MessagePackTokens::new(message), message, limits, &mut draft)
        }
        Some(0xa0..=0xbf) if binary => map::read(&mut CborTokens::new(message), message, limits, &mut draft),
        Some(_) if binary && message.starts_with(&SELF_DESCRIBED) => {
            map::read(&mut CborTokens::after_tag(message, SELF_DESCRIBED.len()), message, limits, &mut draft)
        }
        Some(first) if binary && !matches!(first, b'{' | b' ' | b'\t' | b'\n' | b'\r') => {
            Err(Reason::UnknownEncoding { first })
        }
        _ => json::read(message, limits, &mut draft),
    };
    result.and_then(|()| draft.finish()).map_err(|reason| Malformed {
        reason,
        kind: draft.kind,
        id: draft.id.take().and_then(|id| String::from_utf8(id.into()).ok()),
    })
}

/// What has been read of a message.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) kind: Option<Kind>,
    pub(super) id: Option<Bytes>,
    pub(super) timestamp: Option<u64>,
    /// JSON text, or bytes.
    pub(super) payload: Option<(Bytes, Content)>,
    pub(super) is_base64: bool,
    pub(super) replayed: bool,
    /// The first member that is wrong. What comes after it is still read: it may be the id.
    pub(super) problem: Option<Reason>,
}

impl Draft {
    /// Notes what is wrong with a member, where it is.
    pub(super) fn note<T>(&mut self, member: Result<T, Reason>) -> Option<T> {
        member.map_err(|reason| self.problem.get_or_insert(reason)).ok()
    }

    /// The envelope, if it is one. The id stays here if it is none.
    fn finish(&mut self) -> Result<Envelope, Reason> {
        if let Some(reason) = self.problem.take() {
            return Err(reason);
        }
        let kind = self.kind.ok_or(Reason::Missing(TYPE))?;
        if self.id.is_none() && kind != Kind::Data {
            return Err(Reason::Missing(ID));
        }
        let (payload, content) = match self.payload.take().ok_or(Reason::Missing(PAYLOAD))? {
            (text, Content::Json) if self.is_base64 => (decode_base64(&text)?, Content::Binary),
            (_, Content::Binary) if self.is_base64 => return Err(Reason::NotBase64),
            payload => payload,
        };
        let id = self.id.take().unwrap_or_default();
        Ok(Envelope { kind, id, timestamp: self.timestamp, payload, content, replayed: self.replayed })
    }
}

pub(super) const TYPE: &str = "type";
pub(super) const ID: &str = "id";
pub(super) const TIMESTAMP: &str = "timestamp";
pub(super) const ENCODING: &str = "encoding";
pub(super) const REPLAYED: &str = "replayed";
pub(super) const PAYLOAD: &str = "payload";

/// The members that are known.
pub(super) const MEMBERS: [&str; 6] = [TYPE, ID, TIMESTAMP, ENCODING, REPLAYED, PAYLOAD];

pub(super) const NO_TIME: Reason =
    Reason::Unexpected { member: TIMESTAMP, expected: "a number of milliseconds since 1970, zero or more" };
pub(super) const NO_TRUTH: Reason = Reason::Unexpected { member: REPLAYED, expected: "true or false" };

/// What `type` says.
pub(super) fn kind(name: &str) -> Result<Kind, Reason> {
    Kind::from_name(name).ok_or(Reason::UnknownType)
}

/// What `encoding` says: whether the payload is base64.
pub(super) fn payload_encoding(name: &str) -> Result<bool, Reason> {
    if name == "base64" { Ok(true) } else { Err(Reason::UnknownPayloadEncoding) }
}

/// A time with a fraction, as milliseconds.
pub(super) fn milliseconds(value: f64) -> Option<u64> {
    // u64::MAX as f64 is 2^64, the first that is too large.
    (value >= 0.0 && value < u64::MAX as f64).then_some(value as u64)
}

/// Refuses an id that is too long.
pub(super) fn check_id(id: &str, limits: &Limits) -> Result<(), Reason> {
    if id.len() > limits.max_id_bytes {
        return Err(Reason::IdTooLong { bytes: id.len(), max: limits.max_id_bytes });
    }
    Ok(())
}

/// Takes the base64 in a JSON text apart.
pub(super) fn decode_base64(json: &[u8]) -> Result<Bytes, Reason> {
    let inner = json.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).ok_or(Reason::NotBase64)?;
    // Some write every slash as an escape.
    let decoded = if inner.contains(&b'\\') {
        let text: String = serde_json::from_slice(json).map_err(|_| Reason::NotBase64)?;
        BASE64.decode(text)
    } else {
        BASE64.decode(inner)
    };
    decoded.map(Bytes::from).map_err(|_| Reason::NotBase64)
}
