//! MessagePack.

use std::borrow::Cow;

use rmp::{Marker, encode};

use super::tokens::{Problem, Token, Tokens};
use super::transcode::Format;

/// Writes MessagePack. Vectors take every byte, and lengths are below 4 GiB: no payload is as long.
pub(super) struct MessagePack;

impl Format for MessagePack {
    const SMALL: u8 = 15;
    const SMALL_ARRAY: u8 = 0x90;
    const SMALL_MAP: u8 = 0x80;

    fn null(out: &mut Vec<u8>) {
        let _ = encode::write_nil(out);
    }

    fn boolean(value: bool, out: &mut Vec<u8>) {
        let _ = encode::write_bool(out, value);
    }

    fn unsigned(value: u64, out: &mut Vec<u8>) {
        let _ = encode::write_uint(out, value);
    }

    fn signed(value: i64, out: &mut Vec<u8>) {
        let _ = encode::write_sint(out, value);
    }

    fn float(value: f64, out: &mut Vec<u8>) {
        let _ = encode::write_f64(out, value);
    }

    fn bytes(value: &[u8], out: &mut Vec<u8>) {
        let _ = encode::write_bin(out, value);
    }

    fn text_length(bytes: usize, out: &mut Vec<u8>) {
        let _ = encode::write_str_len(out, length(bytes as u64));
    }

    fn array(entries: u64, out: &mut Vec<u8>) {
        let _ = encode::write_array_len(out, length(entries));
    }

    fn map(entries: u64, out: &mut Vec<u8>) {
        let _ = encode::write_map_len(out, length(entries));
    }
}

fn length(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Reads MessagePack.
pub(super) struct MessagePackTokens<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> MessagePackTokens<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Problem> {
        let taken = self.message.get(self.at..).and_then(|rest| rest.get(..bytes)).ok_or(Problem::BROKEN_OFF)?;
        self.at += bytes;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| Problem::BROKEN_OFF)
    }

    fn length(&mut self, bytes: u8) -> Result<usize, Problem> {
        let length = match bytes {
            1 => u32::from(u8::from_be_bytes(self.array()?)),
            2 => u32::from(u16::from_be_bytes(self.array()?)),
            _ => u32::from_be_bytes(self.array()?),
        };
        usize::try_from(length).map_err(|_| Problem::BROKEN_OFF)
    }

    fn text(&mut self, bytes: usize) -> Result<Token<'a>, Problem> {
        let text = std::str::from_utf8(self.take(bytes)?).map_err(|_| Problem::NOT_UTF8)?;
        Ok(Token::Text(Cow::Borrowed(text)))
    }

    fn bytes(&mut self, bytes: usize) -> Result<Token<'a>, Problem> {
        Ok(Token::Bytes(Cow::Borrowed(self.take(bytes)?)))
    }

    /// An extension: its type is one byte.
    fn extension(&mut self, bytes: usize) -> Result<Token<'a>, Problem> {
        self.take(1)?;
        self.take(bytes)?;
        Ok(Token::Strange("an extension type of MessagePack, which JSON has not"))
    }

    fn signed(value: i64) -> Token<'a> {
        u64::try_from(value).map_or(Token::Negative(value), Token::Unsigned)
    }
}

impl<'a> Tokens<'a> for MessagePackTokens<'a> {
    const NAME: &'static str = "MessagePack";

    fn position(&self) -> usize {
        self.at
    }

    fn next(&mut self) -> Result<Token<'a>, Problem> {
        let [first] = self.array()?;
        Ok(match Marker::from_u8(first) {
            Marker::Null => Token::Null,
            Marker::True => Token::Boolean(true),
            Marker::False => Token::Boolean(false),
            Marker::FixPos(value) => Token::Unsigned(value.into()),
            Marker::U8 => Token::Unsigned(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Token::Unsigned(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Token::Unsigned(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            Marker::FixNeg(value) => Token::Negative(value.into()),
            Marker::I8 => Self::signed(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Self::signed(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Self::signed(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Self::signed(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Token::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.array()?)),
            marker => return self.sized(marker),
        })
    }
}

impl<'a> MessagePackTokens<'a> {
    /// What has a length.
    fn sized(&mut self, marker: Marker) -> Result<Token<'a>, Problem> {
        let length = match marker {
            Marker::Str8 | Marker::Bin8 | Marker::Ext8 => self.length(1)?,
            Marker::Str16 | Marker::Bin16 | Marker::Ext16 | Marker::Array16 | Marker::Map16 => self.length(2)?,
            Marker::Str32 | Marker::Bin32 | Marker::Ext32 | Marker::Array32 | Marker::Map32 => self.length(4)?,
            Marker::FixStr(length) | Marker::FixArray(length) | Marker::FixMap(length) => length.into(),
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::FixExt16 => 16,
            _ => return Err(Problem("a byte that MessagePack never uses")),
        };
        match marker {
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => self.text(length),
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => self.bytes(length),
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => Ok(Token::Array(Some(length as u64))),
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => Ok(Token::Map(Some(length as u64))),
            _ => self.extension(length),
        }
    }
}
