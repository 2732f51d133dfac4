//! Makes payloads safe to show: what would move the cursor, forge a line or reorder text is written as an escape.

use std::fmt::Write;

use eventflux_core::escape_control;

/// Appends `payload` to `line` as text when it is UTF-8, else as `0x` and hexadecimal digits, at most `max_bytes` of
/// it.
///
/// Text is escaped by [`escape_control`].
pub(crate) fn append(line: &mut String, payload: &[u8], max_bytes: usize) {
    match std::str::from_utf8(payload) {
        Ok(text) => {
            let shown = &text[..boundary(text, max_bytes)];
            line.push_str(&escape_control(shown));
            note_rest(line, text.len() - shown.len());
        }
        Err(_) => {
            let shown = &payload[..payload.len().min(max_bytes)];
            append_hex(line, shown);
            note_rest(line, payload.len() - shown.len());
        }
    }
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
    fn text_is_shown_with_its_control_characters_escaped() {
        assert_eq!(shown(b"a\r\nINFO \x1b[2J"), r"a\r\nINFO \u{1b}[2J");
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
