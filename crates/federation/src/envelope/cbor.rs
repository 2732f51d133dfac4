//! CBOR (RFC 8949).

use std::borrow::Cow;
use std::convert::Infallible;

use minicbor::data::Token as CborToken;
use minicbor::encode::{Encoder, Error};

use super::tokens::{Problem, Token, Tokens};
use super::transcode::Format;

/// Writes CBOR.
pub(super) struct Cbor;

impl Format for Cbor {
    const SMALL: u8 = 23;
    const SMALL_ARRAY: u8 = 0x80;
    const SMALL_MAP: u8 = 0xa0;

    fn null(out: &mut Vec<u8>) {
        done(encoder(out).null());
    }

    fn boolean(value: bool, out: &mut Vec<u8>) {
        done(encoder(out).bool(value));
    }

    fn unsigned(value: u64, out: &mut Vec<u8>) {
        done(encoder(out).u64(value));
    }

    fn signed(value: i64, out: &mut Vec<u8>) {
        done(encoder(out).i64(value));
    }

    fn float(value: f64, out: &mut Vec<u8>) {
        done(encoder(out).f64(value));
    }

    fn bytes(value: &[u8], out: &mut Vec<u8>) {
        done(encoder(out).bytes(value));
    }

    fn text_length(bytes: usize, out: &mut Vec<u8>) {
        done(encoder(out).str_len(bytes as u64));
    }

    fn array(entries: u64, out: &mut Vec<u8>) {
        done(encoder(out).array(entries));
    }

    fn map(entries: u64, out: &mut Vec<u8>) {
        done(encoder(out).map(entries));
    }
}

fn encoder(out: &mut Vec<u8>) -> Encoder<&mut Vec<u8>> {
    Encoder::new(out)
}

/// Writing to a vector does not fail.
fn done<T>(_written: Result<T, Error<Infallible>>) {}

/// Reads CBOR.
pub(super) struct CborTokens<'a> {
    decoder: minicbor::Decoder<'a>,
}

impl<'a> CborTokens<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self::after_tag(message, 0)
    }

    /// The message without a tag of so many bytes at its beginning.
    pub(super) fn after_tag(message: &'a [u8], bytes: usize) -> Self {
        let mut decoder = minicbor::Decoder::new(message);
        decoder.set_position(bytes);
        Self { decoder }
    }

    fn token(&mut self) -> Result<CborToken<'a>, Problem> {
        self.decoder.decode().map_err(|error| {
            if error.is_end_of_input() {
                Problem::BROKEN_OFF
            } else {
                Problem("bytes that CBOR does not allow there, or a text that is not UTF-8")
            }
        })
    }

    /// The rest of a text that comes in pieces.
    fn text_pieces(&mut self) -> Result<Token<'a>, Problem> {
        let mut text = String::new();
        loop {
            match self.token()? {
                CborToken::String(piece) => text.push_str(piece),
                CborToken::Break => return Ok(Token::Text(Cow::Owned(text))),
                _ => return Err(Problem("something else than a piece of a text in a text of pieces")),
            }
        }
    }

    /// The rest of a byte string that comes in pieces.
    fn byte_pieces(&mut self) -> Result<Token<'a>, Problem> {
        let mut bytes = Vec::new();
        loop {
            match self.token()? {
                CborToken::Bytes(piece) => bytes.extend_from_slice(piece),
                CborToken::Break => return Ok(Token::Bytes(Cow::Owned(bytes))),
                _ => return Err(Problem("something else than a piece of a byte string in a byte string of pieces")),
            }
        }
    }
}

impl<'a> Tokens<'a> for CborTokens<'a> {
    const NAME: &'static str = "CBOR";

    fn position(&self) -> usize {
        self.decoder.position()
    }

    fn next(&mut self) -> Result<Token<'a>, Problem> {
        Ok(match self.token()? {
            CborToken::Null => Token::Null,
            CborToken::Bool(value) => Token::Boolean(value),
            CborToken::U8(value) => Token::Unsigned(value.into()),
            CborToken::U16(value) => Token::Unsigned(value.into()),
            CborToken::U32(value) => Token::Unsigned(value.into()),
            CborToken::U64(value) => Token::Unsigned(value),
            CborToken::I8(value) => Token::Negative(value.into()),
            CborToken::I16(value) => Token::Negative(value.into()),
            CborToken::I32(value) => Token::Negative(value.into()),
            CborToken::I64(value) => Token::Negative(value),
            CborToken::Int(_) => Token::Strange("an integer beyond 64 bits"),
            CborToken::F16(value) | CborToken::F32(value) => Token::Float(value.into()),
            CborToken::F64(value) => Token::Float(value),
            CborToken::String(text) => Token::Text(Cow::Borrowed(text)),
            CborToken::Bytes(bytes) => Token::Bytes(Cow::Borrowed(bytes)),
            CborToken::BeginString => self.text_pieces()?,
            CborToken::BeginBytes => self.byte_pieces()?,
            CborToken::Array(entries) => Token::Array(Some(entries)),
            CborToken::Map(entries) => Token::Map(Some(entries)),
            CborToken::BeginArray => Token::Array(None),
            CborToken::BeginMap => Token::Map(None),
            CborToken::Break => Token::Break,
            CborToken::Tag(_) => Token::Tag,
            CborToken::Undefined => Token::Strange("'undefined', which JSON has not"),
            CborToken::Simple(_) => Token::Strange("a simple value of CBOR, which JSON has not"),
        })
    }
}
