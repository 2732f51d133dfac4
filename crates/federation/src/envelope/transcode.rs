//! What MessagePack and CBOR have in common, and JSON text made into either.
//!
//! No tree is built in between. Integers stay exact or are refused; other numbers are `f64`, as most readers of JSON take them.

use super::Unwritable;

/// Writes values of a binary encoding.
pub(super) trait Format {
    /// Entries of the largest array or map whose head is one byte.
    const SMALL: u8;
    /// That byte for an array without entries; the number of entries is added to it.
    const SMALL_ARRAY: u8;
    /// The same for a map.
    const SMALL_MAP: u8;

    fn null(out: &mut Vec<u8>);
    fn boolean(value: bool, out: &mut Vec<u8>);
    fn unsigned(value: u64, out: &mut Vec<u8>);
    fn signed(value: i64, out: &mut Vec<u8>);
    fn float(value: f64, out: &mut Vec<u8>);
    fn bytes(value: &[u8], out: &mut Vec<u8>);
    /// What comes before the bytes of a text.
    fn text_length(bytes: usize, out: &mut Vec<u8>);
    /// What comes before the entries of an array.
    fn array(entries: u64, out: &mut Vec<u8>);
    /// What comes before the entries of a map.
    fn map(entries: u64, out: &mut Vec<u8>);

    fn text(value: &str, out: &mut Vec<u8>) {
        Self::text_length(value.len(), out);
        out.extend_from_slice(value.as_bytes());
    }
}

/// Appends JSON text as values of `F`. What is in `out` after an error is of no use.
pub(super) fn from_json<F: Format>(json: &[u8], max_depth: u8, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let text = std::str::from_utf8(json).map_err(|error| Unwritable::NotJson(error.to_string()))?;
    // The grammar is left to serde_json; what follows relies on it, and needs the text because numbers that serde_json
    // hands over may have been rounded.
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| Unwritable::NotJson(error.to_string()))?;
    Walk { text, at: 0, max_depth, out }.value::<F>(max_depth)
}

/// Whether valid JSON has more than `max` arrays and objects in one another.
pub(super) fn is_nested_deeper(json: &str, max: u8) -> bool {
    // Each level takes two bytes at least.
    if json.len() <= 2 * usize::from(max) {
        return false;
    }
    let (mut depth, mut in_text, mut bytes) = (0u32, false, json.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' => _ = bytes.next(),
            b'[' | b'{' if !in_text => {
                depth += 1;
                if depth > u32::from(max) {
                    return true;
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Goes through valid JSON, and writes it.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    max_depth: u8,
    out: &'a mut Vec<u8>,
}

impl Walk<'_> {
    fn value<F: Format>(&mut self, levels_left: u8) -> Result<(), Unwritable> {
        match self.peek() {
            b'{' => self.entries::<F>(levels_left, b'}', F::SMALL_MAP, F::map),
            b'[' => self.entries::<F>(levels_left, b']', F::SMALL_ARRAY, F::array),
            b'"' => self.string::<F>(),
            b'n' => {
                F::null(self.out);
                self.at += "null".len();
                Ok(())
            }
            b't' => {
                F::boolean(true, self.out);
                self.at += "true".len();
                Ok(())
            }
            b'f' => {
                F::boolean(false, self.out);
                self.at += "false".len();
                Ok(())
            }
            _ => self.number::<F>(),
        }
    }

    /// An array or an object. How many entries it has is known at its end: one byte is kept free for the head, which is
    /// enough for most, and for others what has been written moves on, once for each level at most.
    fn entries<F: Format>(
        &mut self,
        levels_left: u8,
        end: u8,
        small: u8,
        head: fn(u64, &mut Vec<u8>),
    ) -> Result<(), Unwritable> {
        let levels_left = levels_left.checked_sub(1).ok_or(Unwritable::TooDeep { max: self.max_depth })?;
        let start = self.out.len();
        self.out.push(small);
        let mut entries = 0u64;
        self.at += 1;
        while self.peek() != end {
            if self.peek() == b',' {
                self.at += 1;
            }
            if end == b'}' {
                self.peek();
                self.string::<F>()?;
                self.peek();
                self.at += ":".len();
            }
            self.value::<F>(levels_left)?;
            entries += 1;
        }
        self.at += 1;
        match u8::try_from(entries) {
            Ok(few) if few <= F::SMALL => self.out[start] = small + few,
            _ => {
                let mut bytes = Vec::new();
                head(entries, &mut bytes);
                self.out.splice(start..=start, bytes);
            }
        }
        Ok(())
    }

    fn string<F: Format>(&mut self) -> Result<(), Unwritable> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        let mut has_escapes = false;
        while let Some(&byte) = bytes.get(end) {
            match byte {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    end += 2;
                }
                _ => end += 1,
            }
        }
        self.at = end + 1;
        if !has_escapes {
            F::text(&self.text[start + 1..end], self.out);
            return Ok(());
        }
        // The grammar allows half of a surrogate pair, and no text can have one.
        let text: String = serde_json::from_str(&self.text[start..=end])
            .map_err(|_| Unwritable::NotJson(format!("the text at byte {start} has half of a surrogate pair")))?;
        F::text(&text, self.out);
        Ok(())
    }

    fn number<F: Format>(&mut self) -> Result<(), Unwritable> {
        let start = self.at;
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let rest = &self.text[start..];
        let text = &rest[..rest.bytes().position(|byte| !is_part(&byte)).unwrap_or(rest.len())];
        self.at += text.len();
        let refused = |problem| Unwritable::Number { at: start, problem };
        // Minus zero is no integer.
        if text != "-0" && !text.contains(['.', 'e', 'E']) {
            if let Ok(value) = text.parse() {
                F::unsigned(value, self.out);
            } else {
                let too_large = "an integer beyond 64 bits, and would be rounded; send it as a text";
                F::signed(text.parse().map_err(|_| refused(too_large))?, self.out);
            }
            return Ok(());
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => F::float(value, self.out),
            _ => return Err(refused("larger than an f64 can be; send it as a text")),
        }
        Ok(())
    }

    /// The next byte that is no white space. Valid JSON has one wherever this is asked.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }
}
