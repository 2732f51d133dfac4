//! Escapes of JSON strings.

/// The value of four hexadecimal digits.
pub(super) fn hex4(digits: Option<&[u8]>) -> Option<u16> {
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

    #[test]
    fn escapes_become_the_characters_they_stand_for() {
        let mut out = String::new();
        unescape(r#"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000z"#, &mut out);
        assert_eq!(out, "a\"\\/\u{8}\u{c}\n\r\té😀\0z");
    }
}
