//! Reads JSON text token by token, without building anything.
//!
//! Every value goes through the same code whether a column wants it or not, so a message is valid or invalid for every
//! schema alike. The grammar is RFC 8259's, with the verdicts of `serde_json::Value`: a lone surrogate and a number too
//! large for a 64-bit float are invalid. The text is UTF-8 by type; what to do with a value is not decided here.

use super::escape::hex4;
use super::number;
use super::slot::{Kind, Slot};
use super::swar::{non_digits, stops, word_at};

/// Deepest nesting the scanner can follow: one bit of a `u128` for each open container.
pub(super) const MAX_DEPTH: u32 = u128::BITS;

/// Why a message is not what it should be, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScanError {
    /// Byte offset in the message.
    pub(super) at: usize,
    pub(super) problem: Problem,
}

impl ScanError {
    /// For a scanner that stopped without a reason, which it never does.
    pub(super) const UNKNOWN: Self = Self { at: 0, problem: Problem::Syntax("cannot be read") };
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
        Self { text: message, bytes: message.as_bytes(), at: 0, max_depth: max_depth.min(MAX_DEPTH), error: None }
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
        let what = if self.at >= self.bytes.len() { "the message ends too early" } else { expected };
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

    /// Passes a value that starts here, or after whitespace. `depth` is the number of open containers around it.
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
            _ => return self.value_after_space(depth),
        };
        Ok(Slot::new(kind, start, self.at))
    }

    #[inline(never)]
    fn value_after_space(&mut self, depth: u32) -> Scan<Slot> {
        let start = self.at;
        self.space();
        if self.at == start {
            return self.syntax("expected a value");
        }
        self.value(depth)
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
            let others = non_digits(word);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<Kind, ScanError> {
        Scanner::check(text).map(|value| value.kind())
    }

    #[test]
    fn valid_and_invalid_texts_are_told_apart_as_serde_json_does() {
        const TEXTS: &[&str] = &[
            "",
            " ",
            "null",
            "nul",
            "nulll",
            "true",
            "tru",
            "false ",
            "0",
            "-0",
            "-",
            "00",
            "01",
            "-01",
            "1.",
            ".5",
            "1.5",
            "1e",
            "1e5",
            "1E+5",
            "1e-5",
            "1e+",
            "1.e5",
            "1e400",
            "-1e400",
            "0e400",
            "1e-400",
            "+1",
            "NaN",
            "Infinity",
            "-Infinity",
            "0x10",
            "1_0",
            "\"",
            "\"a",
            "\"a\"",
            "\"a\"b",
            "\"\u{1}\"",
            "\"\\u0001\"",
            "\"\t\"",
            "\"\u{7f}\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u123g\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\\u0041\"",
            "\"\\ud83dx\"",
            "\"\\ud83d\\n\"",
            "\"\\",
            "\"\\u",
            "{",
            "}",
            "{}",
            "{ }",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{,}",
            "{a:1}",
            "{\"a\" : 1 , \"b\":2}",
            "{\"a\":1 \"b\":2}",
            "[",
            "]",
            "[]",
            "[ ]",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,2]",
            "[[],{}]",
            "[[]",
            "[}",
            "{]",
            "[{\"a\":[{}]}]",
            "[1]]",
            "\u{feff}{}",
            "{}{}",
            "{} ",
            "{}\n\t\r",
            "{}\u{b}",
            "{}\u{a0}",
            "// c\n1",
            "'a'",
            "1 ,",
            "[\"a\",\"b\\\"\"]",
            "{\"\\ud800\":1}",
            "{\"\\u0061\":1}",
            "[1e400]",
            "[\"\\ud800\"]",
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
}
