//! MessagePack and CBOR made into JSON text.
//!
//! The text is at most six times as long as the message: a control character becomes an escape of six bytes.

use super::Reason;
use super::tokens::{Entries, Problem, Token, Tokens, broken};
use super::write::{append_base64, append_json_text};

/// Appends a value that begins with `token` as JSON text, without white space. Byte strings become base64 texts; what JSON
/// has not is refused.
pub(super) fn to_json<'a, T: Tokens<'a>>(
    tokens: &mut T,
    token: (usize, Token<'a>),
    max_depth: u8,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    value(tokens, token, Depth { left: max_depth, max: max_depth }, out)
}

/// Levels that may still be opened.
#[derive(Clone, Copy)]
struct Depth {
    left: u8,
    max: u8,
}

impl Depth {
    fn deeper(self) -> Result<Self, Reason> {
        let left = self.left.checked_sub(1).ok_or(Reason::TooDeep { max: self.max })?;
        Ok(Self { left, ..self })
    }
}

fn value<'a, T: Tokens<'a>>(
    tokens: &mut T,
    (at, token): (usize, Token<'a>),
    depth: Depth,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    let refused = |problem| Err(Reason::NotRepresentable { at, problem });
    match token {
        Token::Null => out.extend_from_slice(b"null"),
        Token::Boolean(true) => out.extend_from_slice(b"true"),
        Token::Boolean(false) => out.extend_from_slice(b"false"),
        Token::Unsigned(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Token::Negative(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Token::Float(value) if value.is_finite() => {
            // A vector takes every byte.
            let _ = serde_json::to_writer(out, &value);
        }
        Token::Float(_) => return refused("a number that is infinite or none, which JSON has not"),
        Token::Text(text) => append_json_text(&text, out),
        Token::Bytes(bytes) => {
            out.push(b'"');
            append_base64(&bytes, out);
            out.push(b'"');
        }
        Token::Array(entries) => return array(tokens, entries, depth.deeper()?, out),
        Token::Map(entries) => return object(tokens, entries, depth.deeper()?, out),
        Token::Break => return Err(broken::<T>(at, Problem::STRAY_BREAK)),
        Token::Tag => return refused("a tag of CBOR, which JSON has not"),
        Token::Strange(what) => return refused(what),
    }
    Ok(())
}

fn array<'a, T: Tokens<'a>>(
    tokens: &mut T,
    entries: Option<u64>,
    depth: Depth,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    let mut entries = Entries(entries);
    out.push(b'[');
    let mut is_first = true;
    while let Some(entry) = entries.next(tokens)? {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        value(tokens, entry, depth, out)?;
    }
    out.push(b']');
    Ok(())
}

fn object<'a, T: Tokens<'a>>(
    tokens: &mut T,
    entries: Option<u64>,
    depth: Depth,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    let mut entries = Entries(entries);
    out.push(b'{');
    let mut is_first = true;
    while let Some((at, key)) = entries.next(tokens)? {
        let Token::Text(key) = key else {
            return Err(Reason::NotRepresentable { at, problem: "a key that is no text, which JSON has not" });
        };
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        append_json_text(&key, out);
        out.push(b':');
        let entry = tokens.read()?;
        value(tokens, entry, depth, out)?;
    }
    out.push(b'}');
    Ok(())
}
