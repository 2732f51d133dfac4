//! A piece of data as it may stand in an error message or a log line.

/// Longest excerpt in characters, before escaping.
const MAX_EXCERPT_CHARS: usize = 40;

/// The beginning of `text`, control characters and other invisible ones escaped.
pub(crate) fn excerpt(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown = String::new();
    for character in characters.by_ref().take(MAX_EXCERPT_CHARS) {
        push_visible(&mut shown, character);
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Appends `character`, escaped when it is invisible or steers a terminal.
pub(crate) fn push_visible(out: &mut String, character: char) {
    match character {
        '"' | '\'' | '\\' => out.push(character),
        other => out.extend(other.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_show_no_control_characters() {
        assert_eq!(excerpt("\"a'\\b\""), "\"a'\\b\"");
        assert_eq!(excerpt("a\u{1b}[31m\r\nb\0"), "a\\u{1b}[31m\\r\\nb\\0");
        let long = excerpt(&"x".repeat(1_000));
        assert_eq!(long.chars().count(), MAX_EXCERPT_CHARS + 1);
    }
}
