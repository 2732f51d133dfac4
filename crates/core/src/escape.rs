//! Text that came from outside, made safe to show: what would move the cursor, forge a line or reorder text is written
//! as an escape.

use std::borrow::Cow;

/// The text with its control characters (line breaks, the escape character of terminals, ...) and the characters that
/// change the direction of text written as `\n`, `\r`, `\t` or `\u{..}`. Backslashes stay as they are, for JSON's sake.
pub fn escape_control(text: &str) -> Cow<'_, str> {
    // Most texts need nothing: find that out bytewise. Whatever is not ASCII is looked at as a character.
    if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            character if is_unsafe(character) => escaped.extend(character.escape_unicode()),
            character => escaped.push(character),
        }
    }
    escaped.into()
}

/// Control characters, line and paragraph separators, marks and overrides of text direction.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_safe_stays_as_it_is() {
        assert!(matches!(escape_control(r#"{"a":"b\n"}"#), Cow::Borrowed(_)));
        for text in ["naïve 価格 🚀", ""] {
            assert_eq!(escape_control(text), text);
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
        for (text, expected) in cases {
            assert_eq!(escape_control(text), expected);
        }
    }
}
