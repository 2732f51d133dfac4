//! Reads JSON text token by token, without building anything.
//!
//! Every value goes through the same code whether a column wants it or not, so a message is valid or invalid for every
//! schema alike. The grammar is RFC 8259's, with the verdicts of `serde_json::Value`: a lone surrogate and a number too
//! large for a 64-bit float are invalid. The text is UTF-8 by type; what to do with a value is not decided here.

use std::num::NonZeroU64;

use super::number;

/// Deepest nesting the scanner can follow: one bit of a `u128` for each open container.
pub(super) const MAX_DEPTH: u32 = u128::BITS;

/// Largest message in bytes: a [`Slot`] holds offsets of this many bits.
pub(super) const MAX_MESSAGE_BYTES: usize = (1 << Slot::OFFSET_BITS) - 1;

/// What a value is, before anybody asks for a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The message has no such value.
    Missing = 1,
    Null,
    True,
    False,
    /// Digits with an optional sign.
    Integer,
    /// A number with a fraction or an exponent.
    Decimal,
    /// A string without escapes: its text is its value.
    Plain,
    /// A string with at least one escape.
    Escaped,
    Object,
    Array,
}

impl Kind {
    /// With its article, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Missing => "nothing",
            Self::Null => "null",
            Self::True | Self::False => "a boolean",
            Self::Integer | Self::Decimal => "a number",
            Self::Plain | Self::Escaped => "a string",
            Self::Object => "an object",
            Self::Array => "an array",
        }
    }
}

/// What a value is and where it stands in the message. Offsets of a string leave out its quotes.
///
/// Packed into one word (kind, end, start from the top), because slots are what the scanner returns and stores most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(NonZeroU64);

impl Slot {
    const OFFSET_BITS: u32 = 30;
    const KIND_SHIFT: u32 = 2 * Self::OFFSET_BITS;
    const KINDS: [Kind; 16] = {
        let mut kinds = [Kind::Missing; 16];
        kinds[Kind::Null as usize] = Kind::Null;
        kinds[Kind::True as usize] = Kind::True;
        kinds[Kind::False as usize] = Kind::False;
        kinds[Kind::Integer as usize] = Kind::Integer;
        kinds[Kind::Decimal as usize] = Kind::Decimal;
        kinds[Kind::Plain as usize] = Kind::Plain;
        kinds[Kind::Escaped as usize] = Kind::Escaped;
        kinds[Kind::Object as usize] = Kind::Object;
        kinds[Kind::Array as usize] = Kind::Array;
        kinds
    };

    /// No value.
    pub(super) const MISSING: Self = match NonZeroU64::new((Kind::Missing as u64) << Self::KIND_SHIFT) {
        Some(bits) => Self(bits),
        None => Self(NonZeroU64::MIN),
    };

    /// A value from `start` to `end`, both at most [`MAX_MESSAGE_BYTES`].
    #[inline]
    pub(super) fn new(kind: Kind, start: usize, end: usize) -> Self {
        let bits = (kind as u64) << Self::KIND_SHIFT | (end as u64) << Self::OFFSET_BITS | start as u64;
        // No kind is 0, so there is always a bit.
        NonZeroU64::new(bits).map_or(Self::MISSING, Self)
    }

    /// What the value is.
    #[inline]
    pub(super) fn kind(self) -> Kind {
        Self::KINDS[(self.0.get() >> Self::KIND_SHIFT) as usize & 15]
    }

    #[inline]
    pub(super) fn start(self) -> usize {
        self.0.get() as usize & MAX_MESSAGE_BYTES
    }

    #[inline]
    pub(super) fn end(self) -> usize {
        (self.0.get() >> Self::OFFSET_BITS) as usize & MAX_MESSAGE_BYTES
    }

    /// The value's own text; a string's is without quotes.
    #[inline]
    pub(super) fn text(self, message: &str) -> &str {
        &message[self.start()..self.end()]
    }

    /// The value as it stands in the message, a string with its quotes.
    pub(super) fn raw(self, message: &str) -> &str {
        let quote = usize::from(matches!(self.kind(), Kind::Plain | Kind::Escaped));
        &message[self.start() - quote..self.end() + quote]
    }
}

/// Why a message is not what it should be, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScanError {
    /// Byte offset in the message.
    pub(super) at: usize,
    pub(super) problem: Problem,
}

impl ScanError {
    /// For a scanner that stopped without a reason, which it never does.
    pub(super) const UNKNOWN: Self = Self {
        at: 0,
        problem: Problem::Syntax("cannot be read"),
    };
}

/// What is wrong at that place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// Not JSON.
    Syntax(&'static str),
    /// Deeper than the limit.
    Depth,
    /// More events than the limit.
    Events,
    /// Something that cannot be an event, where one is expected.
    NotAnEvent(Kind),
}

/// A place in a message.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    max_depth: u32,
    error: Option<ScanError>,
}

/// The scanner stopped; [`Scanner::error`] says why. Kept there so that results stay in registers.
#[derive(Debug)]
pub(super) struct Stopped;

/// A result of scanning.
pub(super) type Scan<T> = Result<T, Stopped>;

impl<'a> Scanner<'a> {
    /// At the start of `message`; `max_depth` is at most [`MAX_DEPTH`].
    pub(super) fn new(message: &'a str, max_depth: u32) -> Self {
        Self {
            text: message,
            bytes: message.as_bytes(),
            at: 0,
            max_depth: max_depth.min(MAX_DEPTH),
            error: None,
        }
    }

    /// Why the scanner stopped, when it did.
    pub(super) fn error(&self) -> Option<ScanError> {
        self.error
    }

    /// The byte here; 0 at the end (a NUL is never valid outside a string).
    #[inline]
    pub(super) fn byte(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// The eight bytes here, the first one lowest; `None` near the end.
    #[inline]
    pub(super) fn word(&self) -> Option<u64> {
        word_at(self.bytes, self.at)
    }

    #[cold]
    #[inline(never)]
    pub(super) fn syntax<T>(&mut self, expected: &'static str) -> Scan<T> {
        let what = if self.at >= self.bytes.len() {
            "the message ends too early"
        } else {
            expected
        };
        self.fail(Problem::Syntax(what))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn fail<T>(&mut self, problem: Problem) -> Scan<T> {
        self.error = Some(ScanError { at: self.at, problem });
        Err(Stopped)
    }

    /// Refuses a container at `depth` (the outermost is 1).
    #[inline]
    pub(super) fn check_depth(&mut self, depth: u32) -> Scan<()> {
        if depth > self.max_depth {
            return self.fail(Problem::Depth);
        }
        Ok(())
    }

    /// Passes whitespace.
    #[inline]
    pub(super) fn space(&mut self) {
        while matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Passes whitespace, then the end of the message.
    pub(super) fn finish(&mut self) -> Scan<()> {
        self.space();
        if self.at < self.bytes.len() {
            return self.syntax("unexpected text after the end of the value");
        }
        Ok(())
    }

    /// Passes all of the message, which is one value; for texts nobody looks into.
    ///
    /// # Errors
    /// When it is not JSON.
    pub(super) fn check(text: &'a str) -> Result<Slot, ScanError> {
        let mut scanner = Self::new(text, MAX_DEPTH);
        scanner.space();
        let value = scanner.value(0).and_then(|value| scanner.finish().map(|()| value));
        value.map_err(|Stopped| scanner.error.unwrap_or(ScanError::UNKNOWN))
    }

    /// Passes a value that starts here. `depth` is the number of open containers around it.
    #[inline]
    pub(super) fn value(&mut self, depth: u32) -> Scan<Slot> {
        let start = self.at;
        let kind = match self.byte() {
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.literal(b"true", Kind::True)?,
            b'f' => self.literal(b"false", Kind::False)?,
            b'n' => self.literal(b"null", Kind::Null)?,
            b'{' | b'[' => self.container(depth)?,
            _ => return self.syntax("expected a value"),
        };
        Ok(Slot::new(kind, start, self.at))
    }

    #[inline]
    fn literal(&mut self, word: &[u8], kind: Kind) -> Scan<Kind> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.syntax("expected a value");
        }
        self.at += word.len();
        Ok(kind)
    }

    /// Passes a string that starts here with its quote.
    #[inline]
    pub(super) fn string(&mut self) -> Scan<Slot> {
        self.at += 1;
        let start = self.at;
        let mut kind = Kind::Plain;
        loop {
            self.plain_text();
            match self.byte() {
                b'"' => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(Slot::new(kind, start, end));
                }
                b'\\' => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                _ => return self.syntax("a control character in a string must be escaped"),
            }
        }
    }

    /// Passes text up to a quote, a backslash, a control character or the end, eight bytes at a time.
    #[inline]
    fn plain_text(&mut self) {
        while let Some(word) = self.word() {
            let stops = stops(word);
            if stops != 0 {
                self.at += (stops.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while let Some(&byte) = self.bytes.get(self.at) {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return;
            }
            self.at += 1;
        }
    }

    #[inline(never)]
    fn escape(&mut self) -> Scan<()> {
        self.at += 1;
        match self.byte() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let unit = self.unicode_escape()?;
                match unit {
                    0xD800..=0xDBFF => {
                        if !self.bytes[self.at..].starts_with(b"\\u") {
                            return self.syntax("a high surrogate without its low one");
                        }
                        self.at += 1;
                        if !matches!(self.unicode_escape()?, 0xDC00..=0xDFFF) {
                            return self.syntax("a high surrogate without its low one");
                        }
                    }
                    0xDC00..=0xDFFF => return self.syntax("a low surrogate without its high one"),
                    _ => {}
                }
            }
            _ => return self.syntax("an unknown escape in a string"),
        }
        Ok(())
    }

    /// Passes `uXXXX`.
    fn unicode_escape(&mut self) -> Scan<u16> {
        let Some(unit) = hex4(self.bytes.get(self.at + 1..self.at + 5)) else {
            self.at = (self.at + 1).min(self.bytes.len());
            return self.syntax("expected four hexadecimal digits");
        };
        self.at += 5;
        Ok(unit)
    }

    #[inline]
    fn number(&mut self) -> Scan<Kind> {
        let start = self.at;
        if self.byte() == b'-' {
            self.at += 1;
        }
        match self.byte() {
            b'0' => {
                self.at += 1;
                if self.byte().is_ascii_digit() {
                    return self.syntax("a number must not start with 0 and more digits");
                }
            }
            b'1'..=b'9' => self.digits(),
            _ => return self.syntax("expected a digit"),
        }
        if matches!(self.byte(), b'.' | b'e' | b'E') {
            return self.decimal(start);
        }
        if self.at - start > number::ALWAYS_FINITE_BYTES {
            self.check_range(start)?;
        }
        Ok(Kind::Integer)
    }

    fn decimal(&mut self, start: usize) -> Scan<Kind> {
        if self.byte() == b'.' {
            self.at += 1;
            self.some_digits()?;
        }
        let mut short = self.at - start <= number::ALWAYS_FINITE_BYTES;
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.at += 1;
            }
            let exponent = self.at;
            self.some_digits()?;
            short &= self.at - exponent <= number::ALWAYS_FINITE_EXPONENT_DIGITS;
        }
        if !short {
            self.check_range(start)?;
        }
        Ok(Kind::Decimal)
    }

    #[cold]
    fn check_range(&mut self, start: usize) -> Scan<()> {
        if number::is_finite(&self.bytes[start..self.at]) {
            return Ok(());
        }
        self.at = start;
        self.syntax("a number is out of range")
    }

    fn some_digits(&mut self) -> Scan<()> {
        let start = self.at;
        self.digits();
        if self.at == start {
            return self.syntax("expected a digit");
        }
        Ok(())
    }

    /// Passes digits, eight at a time.
    #[inline]
    fn digits(&mut self) {
        while let Some(word) = self.word() {
            let others = number::non_digits(word);
            if others != 0 {
                self.at += (others.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
    }

    /// Passes an object or array nobody looks into; its nesting is kept in the bits of `arrays`, innermost lowest.
    #[inline(never)]
    fn container(&mut self, outer: u32) -> Scan<Kind> {
        let kind = if self.byte() == b'{' { Kind::Object } else { Kind::Array };
        let (mut arrays, mut open) = (0_u128, 0_u32);
        'values: loop {
            // Here a value starts.
            match self.byte() {
                bracket @ (b'{' | b'[') => {
                    open += 1;
                    self.check_depth(outer + open)?;
                    self.at += 1;
                    self.space();
                    let is_array = bracket == b'[';
                    arrays = arrays << 1 | u128::from(is_array);
                    if self.byte() == (if is_array { b']' } else { b'}' }) {
                        // Falls through to the closing below.
                    } else if is_array {
                        continue 'values;
                    } else {
                        self.key()?;
                        continue 'values;
                    }
                }
                _ => {
                    self.scalar()?;
                    self.space();
                }
            }
            // Here a value has ended, or an empty container is about to close.
            loop {
                let is_array = arrays & 1 == 1;
                match (self.byte(), is_array) {
                    (b']', true) | (b'}', false) => {
                        self.at += 1;
                        arrays >>= 1;
                        open -= 1;
                        if open == 0 {
                            return Ok(kind);
                        }
                        self.space();
                    }
                    (b',', true) => {
                        self.at += 1;
                        self.space();
                        continue 'values;
                    }
                    (b',', false) => {
                        self.at += 1;
                        self.space();
                        self.key()?;
                        continue 'values;
                    }
                    (_, true) => return self.syntax("expected ',' or ']'"),
                    (_, false) => return self.syntax("expected ',' or '}'"),
                }
            }
        }
    }

    fn scalar(&mut self) -> Scan<()> {
        match self.byte() {
            b'"' => drop(self.string()?),
            b'-' | b'0'..=b'9' => drop(self.number()?),
            b't' => drop(self.literal(b"true", Kind::True)?),
            b'f' => drop(self.literal(b"false", Kind::False)?),
            b'n' => drop(self.literal(b"null", Kind::Null)?),
            _ => return self.syntax("expected a value"),
        }
        Ok(())
    }

    /// Passes a key, its colon and the space around it.
    #[inline]
    pub(super) fn key(&mut self) -> Scan<Slot> {
        if self.byte() != b'"' {
            return self.syntax("expected a key in quotes");
        }
        let key = self.string()?;
        self.space();
        if self.byte() != b':' {
            return self.syntax("expected ':'");
        }
        self.at += 1;
        self.space();
        Ok(key)
    }
}

/// Eight bytes at `at`, the first one lowest; `None` when there are fewer.
#[inline]
pub(super) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(chunk.try_into().ok()?))
}

/// The high bit of the first byte that ends plain text: a quote, a backslash or a control character. Bits above the
/// first may be wrong (a borrow carries upwards); the lowest one is exact.
#[inline]
pub(super) fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (is_quote | is_backslash | is_control) & (ONES * 0x80)
}

fn hex4(digits: Option<&[u8]>) -> Option<u16> {
    digits?.iter().try_fold(0_u16, |unit, &digit| {
        let value = (digit as char).to_digit(16)?;
        Some(unit << 4 | value as u16)
    })
}

/// Appends the value of an escaped string to `out`; `text` is a string the scanner has passed, without its quotes.
pub(super) fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(place) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..place]);
        let escape = rest.as_bytes().get(place + 1).copied().unwrap_or(0);
        let mut used = place + 2;
        let character = match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let bytes = rest.as_bytes();
                let high = hex4(bytes.get(used..used + 4)).unwrap_or(0);
                used += 4;
                let low = hex4(bytes.get(used + 2..used + 6)).filter(|_| (0xD800..0xDC00).contains(&high));
                let units = [Some(high), low];
                used += if low.is_some() { 6 } else { 0 };
                char::decode_utf16(units.into_iter().flatten())
                    .next()
                    .and_then(Result::ok)
                    .unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other as char,
        };
        out.push(character);
        rest = &rest[used..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<Kind, ScanError> {
        Scanner::check(text).map(|value| value.kind())
    }

    #[test]
    fn valid_and_invalid_texts_are_told_apart_as_serde_json_does() {
        const TEXTS: &[&str] = &[
            "", " ", "null", "nul", "nulll", "true", "tru", "false ", "0", "-0", "-", "00", "01", "-01", "1.", ".5",
            "1.5", "1e", "1e5", "1E+5", "1e-5", "1e+", "1.e5", "1e400", "-1e400", "0e400", "1e-400", "+1", "NaN",
            "Infinity", "-Infinity", "0x10", "1_0", "\"", "\"a", "\"a\"", "\"a\"b", "\"\u{1}\"", "\"\\u0001\"",
            "\"\t\"", "\"\u{7f}\"", "\"\\x\"", "\"\\u12\"", "\"\\u123g\"", "\"\\ud800\"", "\"\\udc00\"",
            "\"\\ud83d\\ude00\"", "\"\\ud83d\\u0041\"", "\"\\ud83dx\"", "\"\\ud83d\\n\"", "\"\\", "\"\\u", "{", "}", "{}",
            "{ }", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1}", "{\"a\":1,}", "{,}", "{a:1}", "{\"a\" : 1 , \"b\":2}",
            "{\"a\":1 \"b\":2}", "[", "]", "[]", "[ ]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1,2]", "[[],{}]",
            "[[]", "[}", "{]", "[{\"a\":[{}]}]", "[1]]", "\u{feff}{}", "{}{}", "{} ", "{}\n\t\r", "{}\u{b}", "{}\u{a0}",
            "// c\n1", "'a'", "1 ,", "[\"a\",\"b\\\"\"]", "{\"\\ud800\":1}", "{\"\\u0061\":1}", "[1e400]", "[\"\\ud800\"]",
        ];
        for text in TEXTS {
            let theirs = serde_json::from_str::<serde_json::Value>(text);
            let ours = verdict(text);
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{text:?}: ours {ours:?}, serde_json {theirs:?}");
        }
    }

    #[test]
    fn numbers_too_long_to_be_finite_are_refused_and_long_finite_ones_are_not() {
        assert!(verdict(&"9".repeat(400)).is_err());
        assert!(verdict(&"9".repeat(300)).is_ok());
        assert!(verdict(&format!("0.{}", "1".repeat(5_000))).is_ok());
        assert!(verdict(&format!("0.{}e400", "0".repeat(300))).is_ok());
        assert!(verdict(&format!("1e{}", "9".repeat(50))).is_err());
        assert!(verdict(&format!("1e-{}", "9".repeat(50))).is_ok());
    }

    #[test]
    fn the_offset_names_the_place() {
        let error = verdict("{\"a\":1,\"b\":x}").unwrap_err();
        assert_eq!(error.at, 11);
        assert_eq!(verdict("[1").unwrap_err().problem, Problem::Syntax("the message ends too early"));
    }

    #[test]
    fn nesting_is_followed_to_the_limit_and_no_further() {
        let nested = |depth: usize| format!("{}1{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
        assert!(verdict(&nested(128)).is_ok());
        assert_eq!(verdict(&nested(130)).unwrap_err().problem, Problem::Depth);
        assert_eq!(verdict(&"[".repeat(1_000_000)).unwrap_err().problem, Problem::Depth);
    }

    #[test]
    fn every_stop_is_found_at_every_place_of_a_word() {
        for place in 0..8 {
            for stop in (0..0x20).chain([b'"', b'\\']) {
                let mut bytes = [b'a'; 8];
                bytes[place] = stop;
                let mask = stops(u64::from_le_bytes(bytes));
                assert_eq!((mask.trailing_zeros() / 8) as usize, place, "{stop:#x}");
            }
        }
        for plain in [0x20_u8, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
            assert_eq!(stops(u64::from_le_bytes([plain; 8])), 0, "{plain:#x}");
        }
    }

    #[test]
    fn escapes_become_the_characters_they_stand_for() {
        let mut out = String::new();
        unescape(r#"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000z"#, &mut out);
        assert_eq!(out, "a\"\\/\u{8}\u{c}\n\r\té😀\0z");
    }
}
