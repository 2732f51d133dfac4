//! The values of a binary encoding, one after the other.
//!
//! Nothing is allocated because of a length that a message claims.

use std::borrow::Cow;

use super::Reason;

/// A value, or the beginning of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    Null,
    Boolean(bool),
    Unsigned(u64),
    /// Below zero.
    Negative(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// An array; its values follow, as many as it says or up to the break.
    Array(Option<u64>),
    /// A map; its keys and values follow, as many pairs as it says or up to the break.
    Map(Option<u64>),
    /// The end of an array or a map that does not say how much it has.
    Break,
    /// What follows is something special.
    Tag,
    /// A whole value that JSON has not, and what it is.
    Strange(&'static str),
}

/// What is wrong with a message at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Problem(pub(super) &'static str);

impl Problem {
    pub(super) const BROKEN_OFF: Self = Self("the message ends in the midst of a value");
    pub(super) const NOT_UTF8: Self = Self("a text that is not UTF-8");
    pub(super) const STRAY_BREAK: Self = Self("a break where a value has to be");
    pub(super) const TOO_DEEP: Self = Self("nested too deeply in a member that is passed over");
}

/// Reads values.
pub(super) trait Tokens<'a> {
    /// What the encoding is called.
    const NAME: &'static str;

    /// Bytes that have been read.
    fn position(&self) -> usize;

    /// The next value.
    fn next(&mut self) -> Result<Token<'a>, Problem>;

    /// The next value, and where it begins.
    fn read(&mut self) -> Result<(usize, Token<'a>), Reason> {
        let at = self.position();
        let token = self.next().map_err(|problem| broken::<Self>(at, problem))?;
        Ok((at, token))
    }
}

/// What is wrong at a place of the message.
pub(super) fn broken<'a, T: Tokens<'a> + ?Sized>(at: usize, Problem(problem): Problem) -> Reason {
    Reason::NotBinary { format: T::NAME, at, problem }
}

/// Entries of an array or a map that are still to come.
pub(super) struct Entries(pub(super) Option<u64>);

impl Entries {
    /// The next value of an array or the next key of a map.
    pub(super) fn next<'a, T: Tokens<'a>>(&mut self, tokens: &mut T) -> Result<Option<(usize, Token<'a>)>, Reason> {
        match &mut self.0 {
            Some(0) => Ok(None),
            Some(left) => {
                *left -= 1;
                tokens.read().map(Some)
            }
            None => Ok(Some(tokens.read()?).filter(|(_, token)| *token != Token::Break)),
        }
    }
}

/// Passes over the rest of a value that began with `token`, whatever is in it.
pub(super) fn skip<'a, T: Tokens<'a>>(
    tokens: &mut T,
    (at, token): (usize, Token<'a>),
    levels_left: u8,
) -> Result<(), Reason> {
    let is_map = matches!(token, Token::Map(_));
    match token {
        Token::Array(entries) | Token::Map(entries) => {
            let levels_left = levels_left.checked_sub(1).ok_or_else(|| broken::<T>(at, Problem::TOO_DEEP))?;
            let mut entries = Entries(entries);
            while let Some(entry) = entries.next(tokens)? {
                skip(tokens, entry, levels_left)?;
                if is_map {
                    let value = tokens.read()?;
                    skip(tokens, value, levels_left)?;
                }
            }
            Ok(())
        }
        Token::Tag => {
            let levels_left = levels_left.checked_sub(1).ok_or_else(|| broken::<T>(at, Problem::TOO_DEEP))?;
            let tagged = tokens.read()?;
            skip(tokens, tagged, levels_left)
        }
        Token::Break => Err(broken::<T>(at, Problem::STRAY_BREAK)),
        _ => Ok(()),
    }
}
