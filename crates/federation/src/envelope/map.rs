//! Reads messages that are a map of MessagePack or CBOR.

use std::borrow::Cow;

use bytes::Bytes;

use super::read::{self, Draft, ENCODING, ID, MEMBERS, PAYLOAD, REPLAYED, TIMESTAMP, TYPE};
use super::to_json::to_json;
use super::tokens::{Entries, Problem, Token, Tokens, broken, skip};
use super::{Content, Limits, Reason};

/// Reads a message into `draft`, as far as it goes.
pub(super) fn read<'a, T: Tokens<'a>>(
    tokens: &mut T,
    message: &'a Bytes,
    limits: &Limits,
    draft: &mut Draft,
) -> Result<(), Reason> {
    let (_, Token::Map(entries)) = tokens.read()? else {
        return Err(Reason::NotObject);
    };
    let mut reader = Reader { message, limits, draft, seen: [false; MEMBERS.len()] };
    let mut entries = Entries(entries);
    while let Some(key) = entries.next(tokens)? {
        reader.member(tokens, key)?;
    }
    if tokens.position() < message.len() {
        return Err(broken::<T>(tokens.position(), Problem("something behind the map")));
    }
    Ok(())
}

struct Reader<'a, 'd> {
    message: &'a Bytes,
    limits: &'d Limits,
    draft: &'d mut Draft,
    seen: [bool; MEMBERS.len()],
}

impl<'a> Reader<'a, '_> {
    fn member<T: Tokens<'a>>(&mut self, tokens: &mut T, key: (usize, Token<'a>)) -> Result<(), Reason> {
        let place = match &key.1 {
            Token::Text(name) => MEMBERS.iter().position(|member| member == name),
            _ => None,
        };
        skip(tokens, key, self.limits.max_depth)?;
        let value = tokens.read()?;
        let Some(place) = place else {
            return skip(tokens, value, self.limits.max_depth);
        };
        if std::mem::replace(&mut self.seen[place], true) {
            self.draft.problem.get_or_insert(Reason::Duplicate(MEMBERS[place]));
            return skip(tokens, value, self.limits.max_depth);
        }
        if MEMBERS[place] == PAYLOAD {
            return self.payload(tokens, value);
        }
        let simple = match value.1 {
            Token::Null => return Ok(()),
            Token::Array(_) | Token::Map(_) | Token::Tag | Token::Break => {
                skip(tokens, value, self.limits.max_depth)?;
                Token::Strange("more than one value")
            }
            simple => simple,
        };
        self.simple(MEMBERS[place], simple);
        Ok(())
    }

    fn simple(&mut self, member: &'static str, value: Token<'a>) {
        let draft = &mut *self.draft;
        match member {
            TYPE => draft.kind = draft.note(text(TYPE, value).and_then(|name| read::kind(&name))),
            ID => {
                let id = text(ID, value).and_then(|id| {
                    read::check_id(&id, self.limits)?;
                    Ok(match id {
                        Cow::Borrowed(id) => self.message.slice_ref(id.as_bytes()),
                        Cow::Owned(id) => Bytes::from(id),
                    })
                });
                draft.id = draft.note(id);
            }
            TIMESTAMP => draft.timestamp = draft.note(time(&value)),
            ENCODING => {
                let encoding = text(ENCODING, value).and_then(|name| read::payload_encoding(&name));
                draft.is_base64 = draft.note(encoding).unwrap_or(false);
            }
            REPLAYED => {
                let replayed = if let Token::Boolean(value) = value { Ok(value) } else { Err(read::NO_TRUTH) };
                draft.replayed = draft.note(replayed).unwrap_or(false);
            }
            _ => {}
        }
    }

    fn payload<T: Tokens<'a>>(&mut self, tokens: &mut T, value: (usize, Token<'a>)) -> Result<(), Reason> {
        self.draft.payload = Some(match value.1 {
            Token::Bytes(Cow::Borrowed(bytes)) => (self.message.slice_ref(bytes), Content::Binary),
            Token::Bytes(Cow::Owned(bytes)) => (Bytes::from(bytes), Content::Binary),
            _ => {
                let mut json = Vec::with_capacity(self.message.len() - value.0);
                to_json(tokens, value, self.limits.max_depth, &mut json)?;
                (Bytes::from(json), Content::Json)
            }
        });
        Ok(())
    }
}

fn text<'a>(member: &'static str, value: Token<'a>) -> Result<Cow<'a, str>, Reason> {
    match value {
        Token::Text(text) => Ok(text),
        _ => Err(Reason::Unexpected { member, expected: "a text" }),
    }
}

fn time(value: &Token<'_>) -> Result<u64, Reason> {
    match *value {
        Token::Unsigned(value) => Ok(value),
        Token::Float(value) => read::milliseconds(value).ok_or(read::NO_TIME),
        _ => Err(read::NO_TIME),
    }
}
