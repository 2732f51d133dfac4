//! Reads JSON messages.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::read::{self, Draft, ENCODING, ID, MEMBERS, TYPE};
use super::{Content, Limits, Reason, transcode};

/// Reads a message into `draft`, as far as it goes.
pub(super) fn read(message: &Bytes, limits: &Limits, draft: &mut Draft) -> Result<(), Reason> {
    let text = std::str::from_utf8(message).map_err(|error| Reason::NotJson(error.to_string()))?;
    let mut members = Members::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let result = json.deserialize_map(&mut members).and_then(|()| json.end());
    members.interpret(message, limits, draft);
    result.map_err(|error| match error.classify() {
        // The texts of the others repeat nothing of the message.
        Category::Data => Reason::NotObject,
        _ => Reason::NotJson(error.to_string()),
    })
}

/// The known members, as they are written.
#[derive(Default)]
struct Members<'a> {
    values: [Option<&'a RawValue>; MEMBERS.len()],
    duplicate: Option<&'static str>,
}

impl<'a> Members<'a> {
    fn interpret(&self, message: &Bytes, limits: &Limits, draft: &mut Draft) {
        if let Some(member) = self.duplicate {
            draft.problem = Some(Reason::Duplicate(member));
        }
        let [kind, id, timestamp, encoding, replayed, payload] = self.values;
        let kind = kind.and_then(not_null).map(|value| text(TYPE, value).and_then(|name| read::kind(&name)));
        draft.kind = kind.and_then(|kind| draft.note(kind));
        let id = id.and_then(not_null).map(|value| id_of(value, message, limits));
        draft.id = id.and_then(|id| draft.note(id));
        let timestamp = timestamp.and_then(not_null).map(time);
        draft.timestamp = timestamp.and_then(|timestamp| draft.note(timestamp));
        let encoding = encoding.and_then(not_null);
        let encoding = encoding.map(|value| text(ENCODING, value).and_then(|name| read::payload_encoding(&name)));
        draft.is_base64 = encoding.and_then(|encoding| draft.note(encoding)).unwrap_or(false);
        let replayed = replayed.and_then(not_null).map(truth);
        draft.replayed = replayed.and_then(|replayed| draft.note(replayed)).unwrap_or(false);
        if let Some(payload) = payload {
            if transcode::is_nested_deeper(payload.get(), limits.max_depth) {
                draft.problem.get_or_insert(Reason::TooDeep { max: limits.max_depth });
            }
            draft.payload = Some((message.slice_ref(payload.get().as_bytes()), Content::Json));
        }
    }
}

impl<'de> Visitor<'de> for &mut Members<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Member(member)) = map.next_key()? {
            let Some(member) = member else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value()?;
            if self.values[member].is_some() {
                self.duplicate.get_or_insert(MEMBERS[member]);
            } else {
                self.values[member] = Some(value);
            }
        }
        Ok(())
    }
}

/// The place of a name in [`MEMBERS`], if it is there.
struct Member(Option<usize>);

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a member")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Member, E> {
                Ok(Member(MEMBERS.iter().position(|member| *member == name)))
            }
        }

        deserializer.deserialize_str(Name)
    }
}

fn not_null(value: &RawValue) -> Option<&RawValue> {
    (value.get() != "null").then_some(value)
}

fn id_of(value: &RawValue, message: &Bytes, limits: &Limits) -> Result<Bytes, Reason> {
    let id = text(ID, value)?;
    read::check_id(&id, limits)?;
    Ok(match id {
        Cow::Borrowed(id) => message.slice_ref(id.as_bytes()),
        Cow::Owned(id) => Bytes::from(id),
    })
}

fn text<'a>(member: &'static str, value: &'a RawValue) -> Result<Cow<'a, str>, Reason> {
    let unexpected = Reason::Unexpected { member, expected: "a text" };
    let json = value.get();
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(json).map(Cow::Owned).map_err(|_| unexpected),
        None => Err(unexpected),
    }
}

fn time(value: &RawValue) -> Result<u64, Reason> {
    let json = value.get();
    let with_fraction = || serde_json::from_str(json).ok().and_then(read::milliseconds);
    json.parse().ok().or_else(with_fraction).ok_or(read::NO_TIME)
}

fn truth(value: &RawValue) -> Result<bool, Reason> {
    value.get().parse().map_err(|_| read::NO_TRUTH)
}
