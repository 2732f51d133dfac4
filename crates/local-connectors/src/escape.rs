//! Makes payloads safe to show: what would move the cursor, forge a line or reorder text is written as an escape.

use std::fmt::Write;

/// Appends `payload` to `line` as text when it is UTF-8, else as `0x` and hexadecimal digits, at most `max_bytes` of
/// it.
///
/// Control characters (line breaks, the escape character of terminals, ...) and the characters that change the
/// direction of text are written as `\n`, `\r`, `\t` or `\u{..}`. Backslashes stay as they are, for JSON's sake.
pub(crate) fn append(line: &mut String, payload: &[u8], max_bytes: usize) {
    match std::str::from_utf8(payload) {
        Ok(text) => {
            let shown = &text[..boundary(text, max_bytes)];
            append_text(line, shown);
            note_rest(line, text.len() - shown.len());
        }
        Err(_) => {
            let shown = &payload[..payload.len().min(max_bytes)];
            append_hex(line, shown);
            note_rest(line, payload.len() - shown.len());
        }
    }
}

/// Appends `text` with its control characters escaped.
pub(crate) fn append_text(line: &mut String, text: &str) {
    // Most payloads need nothing: find that out bytewise. Whatever is not ASCII is looked at as a character.
    if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        line.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            character if is_unsafe(character) => line.extend(character.escape_unicode()),
            character => line.push(character),
        }
    }
}

/// Control characters, line and paragraph separators, marks and overrides of text direction.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The last boundary between characters that is not behind `index`.
fn boundary(text: &str, index: usize) -> usize {
    // Index 0 is a boundary, so there always is one.
    (0..=index.min(text.len())).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0)
}

fn append_hex(line: &mut String, bytes: &[u8]) {
    line.push_str("0x");
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(line, "{byte:02x}");
    }
}

fn note_rest(line: &mut String, bytes: usize) {
    if bytes > 0 {
        // Writing to a string cannot fail.
        let _ = write!(line, "... ({bytes} bytes more)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(payload: &[u8]) -> String {
        let mut line = String::new();
        append(&mut line, payload, 32);
        line
    }

    #[test]
    fn text_that_is_safe_stays_as_it_is() {
        for text in [r#"{"a":"b\n"}"#, "naïve 価格 🚀", ""] {
            assert_eq!(shown(text.as_bytes()), text);
        }
    }

    #[test]
    fn line_breaks_and_terminal_sequences_are_escaped() {
        let cases = [
            ("a\r\nINFO forged", r"a\r\nINFO forged"),
            ("\u{1b}[2J\u{1b}]0;x\u{7}", r"\u{1b}[2J\u{1b}]0;x\u{7}"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("a\tb\u{7f}\0", r"a\tb\u{7f}\u{0}"),
            ("ab\u{202e}cd\u{2028}", r"ab\u{202e}cd\u{2028}"),
        ];
        for (payload, expected) in cases {
            assert_eq!(shown(payload.as_bytes()), expected);
        }
    }

    #[test]
    fn what_is_no_text_is_shown_in_hexadecimal() {
        assert_eq!(shown(&[0xff, 0x00, 0x1b]), "0xff001b");
    }

    #[test]
    fn a_long_payload_is_cut_and_says_so() {
        assert_eq!(shown(&[b'x'; 40]), format!("{}... (8 bytes more)", "x".repeat(32)));
        assert_eq!(shown(&[0xff; 33]), format!("0x{}... (1 bytes more)", "ff".repeat(32)));
        let text = "é".repeat(17);
        assert_eq!(shown(format!("x{text}").as_bytes()), format!("x{}... (4 bytes more)", "é".repeat(15)));
    }
}
