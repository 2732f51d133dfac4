//! What the dialects have in common when they read a message of a client.
//!
//! A message is one JSON object. Its values stay text ([`Raw`]) until a dialect asks for one, so that data for the
//! pipeline is never built into a tree, and so that an error names the place and what belongs there, and never repeats
//! what the client sent: that may be a token. Names a dialect does not know are passed over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Position;
use crate::Problem;

/// How deep objects and arrays of a message may be nested; the message itself is the first.
pub(super) const MAX_DEPTH: usize = 128;
/// How long a type, a correlation id, a subscription id or an epoch may be.
pub(super) const MAX_NAME_BYTES: usize = 256;
/// How many channels, patterns or positions one message may name.
pub(super) const MAX_NAMES: usize = 16_384;
/// How long the text of exact matches may be.
pub(super) const MAX_FIELDS_BYTES: usize = 64 * 1024;

/// A value of a message as it stands there; `None` when it is absent or `null`.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// The object that `message` is.
pub(super) fn message<'a, T: Deserialize<'a>>(message: &'a Bytes) -> Result<T, Problem> {
    let text = std::str::from_utf8(message).map_err(|_| invalid("the text is not UTF-8"))?;
    check_depth(text.as_bytes())?;
    // Without this an array would do: its elements would be taken for the fields, in order.
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        return Err(invalid("a message is a JSON object"));
    }
    serde_json::from_str(text).map_err(|error| invalid(error.to_string()))
}

/// The object at `place`; all of its fields absent when there is none.
pub(super) fn object<'a, T: Deserialize<'a> + Default>(raw: Raw<'a>, place: &str) -> Result<T, Problem> {
    let Some(raw) = raw else { return Ok(T::default()) };
    if !raw.get().starts_with('{') {
        return Err(invalid(format!("'{place}' must be an object")));
    }
    serde_json::from_str(raw.get()).map_err(|error| invalid(format!("'{place}': {error}")))
}

/// The type of a message.
pub(super) fn kind(raw: Raw<'_>) -> Result<Cow<'_, str>, Problem> {
    short(raw, "type")?.ok_or_else(|| missing("type"))
}

/// The client's name for something: a correlation id, a subscription id.
pub(super) fn name(raw: Raw<'_>, place: &str) -> Result<Option<String>, Problem> {
    Ok(short(raw, place)?.map(Cow::into_owned))
}

/// The client's name for a message that is wrong elsewhere.
pub(super) fn readable(correlation: Raw<'_>) -> Option<String> {
    name(correlation, "correlation_id").ok().flatten()
}

/// A string.
pub(super) fn text(raw: Raw<'_>, place: &str) -> Result<Option<String>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    string(raw).map(|text| Some(text.into_owned())).ok_or_else(|| invalid(format!("'{place}' must be a string")))
}

/// A value that has to be there.
pub(super) fn required<T>(value: Option<T>, place: &str) -> Result<T, Problem> {
    value.ok_or_else(|| missing(place))
}

/// An array of strings, which has to be there.
pub(super) fn names(raw: Raw<'_>, place: &str) -> Result<Vec<String>, Problem> {
    let Some(raw) = raw else { return Err(missing(place)) };
    serde_json::from_str(raw.get())
        .map(|Names(names)| names)
        .map_err(|_| invalid(format!("'{place}' must be an array of at most {MAX_NAMES} strings")))
}

/// True or false; false when absent.
pub(super) fn flag(raw: Raw<'_>, place: &str) -> Result<bool, Problem> {
    match raw.map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(invalid(format!("'{place}' must be true or false"))),
    }
}

/// Exact matches by field; `None` when there are none, as an empty object says too.
pub(super) fn fields(raw: Raw<'_>, place: &str) -> Result<Option<Map<String, Value>>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    if raw.get().len() > MAX_FIELDS_BYTES {
        return Err(invalid(format!("'{place}' is longer than {MAX_FIELDS_BYTES} bytes")));
    }
    let Unique(fields) = serde_json::from_str::<Unique<Value>>(raw.get())
        .map_err(|_| invalid(format!("'{place}' must be an object in which every name is given once")))?;
    Ok((!fields.is_empty()).then(|| fields.into_iter().collect()))
}

/// Positions by channel.
pub(super) fn positions(raw: Raw<'_>, place: &str) -> Result<Vec<(String, Position)>, Problem> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let Unique(positions) = serde_json::from_str::<Unique<&RawValue>>(raw.get()).map_err(|_| {
        invalid(format!("'{place}' must be an object of at most {MAX_NAMES} channels, every one given once"))
    })?;
    positions.into_iter().map(|(channel, raw)| Ok((channel, position(raw, place)?))).collect()
}

/// One position, as in `{"epoch":"a1","offset":7}`.
pub(super) fn position(raw: &RawValue, place: &str) -> Result<Position, Problem> {
    read_position(raw).ok_or_else(|| {
        invalid(format!(
            "a position of '{place}' must be an object with 'epoch', a string, and 'offset', a whole number"
        ))
    })
}

/// The bytes of `raw` without a copy; an empty object when there is nothing.
pub(super) fn payload(message: &Bytes, raw: Raw<'_>) -> Bytes {
    match raw {
        // A borrowed `RawValue` is a part of the text it was read from, and that is `message`.
        Some(raw) => message.slice_ref(raw.get().as_bytes()),
        None => Bytes::from_static(b"{}"),
    }
}

/// The problem of a message that is none of the protocol.
pub(super) fn invalid(reason: impl Into<String>) -> Problem {
    Problem::InvalidMessage(reason.into())
}

/// `RawValue`s are passed over without recursion, so nothing else would bound their depth.
fn check_depth(text: &[u8]) -> Result<(), Problem> {
    // Nearly all messages have few brackets, in strings or not: counting them is much faster than reading.
    let opening = text.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if opening > MAX_DEPTH && depth(text) > MAX_DEPTH {
        return Err(invalid(format!("objects and arrays are nested deeper than {MAX_DEPTH}")));
    }
    Ok(())
}

fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn short<'a>(raw: Raw<'a>, place: &str) -> Result<Option<Cow<'a, str>>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    match string(raw) {
        Some(text) if (1..=MAX_NAME_BYTES).contains(&text.len()) => Ok(Some(text)),
        _ => Err(invalid(format!("'{place}' must be a string of 1 to {MAX_NAME_BYTES} bytes"))),
    }
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Some(plain.into()),
        _ => serde_json::from_str::<String>(raw.get()).ok().map(Cow::Owned),
    }
}

fn read_position(raw: &RawValue) -> Option<Position> {
    #[derive(Deserialize, Default)]
    struct Fields<'a> {
        #[serde(borrow)]
        epoch: Raw<'a>,
        #[serde(borrow)]
        offset: Raw<'a>,
    }
    let fields: Fields<'_> = object(Some(raw), "").ok()?;
    let epoch = short(fields.epoch, "").ok()??.into_owned();
    let offset = serde_json::from_str(fields.offset?.get()).ok()?;
    Some(Position { epoch, offset })
}

fn missing(place: &str) -> Problem {
    invalid(format!("'{place}' is missing"))
}

/// An array of at most [`MAX_NAMES`] strings.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;
        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = elements.next_element()? {
                    if names.len() == MAX_NAMES {
                        return Err(A::Error::custom("too many"));
                    }
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_seq(NamesVisitor)
    }
}

/// An object of at most [`MAX_NAMES`] names, none of them twice.
struct Unique<V>(BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UniqueVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueVisitor<V> {
            type Value = Unique<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique<V>, A::Error> {
                let mut unique = BTreeMap::new();
                while let Some((name, value)) = entries.next_entry()? {
                    if unique.len() == MAX_NAMES || unique.insert(name, value).is_some() {
                        return Err(A::Error::custom("too many, or twice"));
                    }
                }
                Ok(Unique(unique))
            }
        }
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}
