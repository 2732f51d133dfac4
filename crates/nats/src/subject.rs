//! Names of subjects: what is one, and what data may put into one.

/// Longest subject, in bytes. A server ends a connection that sends a longer line than it takes (4,096 bytes, with reply
/// subject and sizes), so that one bad value would cost everybody the connection.
pub const MAX_BYTES: usize = 2_048;

/// What is said of a longer one.
const TOO_LONG: &str = "a subject cannot be longer than 2048 bytes";

/// Whether `text` is a subject that messages can be published to: tokens separated by dots, none of them empty, without
/// `*`, `>`, white space and control characters, [`MAX_BYTES`] at most.
///
/// # Errors
/// Why not, without the text itself.
pub fn check(text: &str) -> Result<(), &'static str> {
    check_characters(text)?;
    if text.contains(['*', '>']) {
        return Err("a subject to publish to has no wildcards (* and >)");
    }
    check_tokens(text)
}

/// Whether `text` is a subject to subscribe to: as [`check`], where a token may be `*` and the last one `>`.
///
/// # Errors
/// Why not.
pub fn check_pattern(text: &str) -> Result<(), &'static str> {
    check_characters(text)?;
    check_tokens(text)?;
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        match token {
            "*" => {}
            ">" if tokens.peek().is_none() => {}
            ">" => return Err("> can only be the last token"),
            _ if token.contains(['*', '>']) => return Err("* and > have to be tokens of their own"),
            _ => {}
        }
    }
    Ok(())
}

/// Whether `text`, made of a template in which `tokens` tokens stand, is a subject to publish to that has as many: so that no
/// value brought a dot, a wildcard, white space, or left a token empty.
///
/// # Errors
/// Why not, without the text itself.
pub fn check_filled(text: &str, tokens: usize) -> Result<(), &'static str> {
    check(text)?;
    if text.split('.').count() != tokens {
        return Err("a value with a dot would make another subject of it");
    }
    Ok(())
}

/// Whether messages of `subject` match `pattern`.
#[must_use]
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    let mut wanted = pattern.split('.').peekable();
    while let Some(want) = wanted.next() {
        let Some(token) = tokens.next() else { return false };
        if want == ">" && wanted.peek().is_none() {
            return true;
        }
        if want != "*" && want != token {
            return false;
        }
    }
    tokens.next().is_none()
}

fn check_characters(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("a subject cannot be empty");
    }
    if text.len() > MAX_BYTES {
        return Err(TOO_LONG);
    }
    if text.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err("a subject has no white space and no control characters");
    }
    Ok(())
}

fn check_tokens(text: &str) -> Result<(), &'static str> {
    if text.split('.').any(str::is_empty) {
        return Err("a subject has no empty tokens: no dot at its ends, and no two that follow each other");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_subject_to_publish_to_is_plain_tokens() {
        for good in ["a", "a.b", "$JS.API.INFO", "orders.Zürich.1", "a-b_c.d/e", &"x".repeat(MAX_BYTES)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.\tb", "a\r\nPUB b 0", "a.*", ">", "a*", "a\0", "a\u{a0}b"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check(&"x".repeat(MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn a_pattern_may_have_wildcards_as_tokens_of_their_own() {
        for good in ["a", "*", ">", "a.*", "a.*.c", "*.*", "a.>", "*.>"] {
            assert_eq!(check_pattern(good), Ok(()), "{good}");
        }
        for bad in ["", "a.>.b", ">.a", "a*", "a.b>", "**", "a..>", "a. .b", "a.", ">>"] {
            assert!(check_pattern(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_value_adds_a_token_takes_one_away_or_makes_a_wildcard() {
        let filled = |value: &str| check_filled(&format!("trades.{value}.raw"), 3);
        assert_eq!(filled("BTC"), Ok(()));
        for bad in ["", ".", "a.b", "*", ">", "a b", "a\r\n", "a.*", "x."] {
            assert!(filled(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn patterns_match_as_the_server_matches() {
        for (pattern, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.b", "a", false),
            ("a", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            (">", "a.b.c", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.*.>", "a.b", false),
            ("a.*.>", "a.b.c", true),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    /// The definition, written as a recursion over lists.
    fn slow_matches(pattern: &[&str], subject: &[&str]) -> bool {
        match (pattern, subject) {
            ([], []) => true,
            ([">"], [_, ..]) => true,
            (["*", pattern @ ..], [_, subject @ ..]) => slow_matches(pattern, subject),
            ([want, pattern @ ..], [token, subject @ ..]) => want == token && slow_matches(pattern, subject),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(
            pattern in proptest::collection::vec(proptest::sample::select(vec!["a", "b", "*", ">"]), 1..5),
            subject in proptest::collection::vec(proptest::sample::select(vec!["a", "b", "c"]), 1..5),
        ) {
            let pattern_text = pattern.join(".");
            prop_assume!(check_pattern(&pattern_text).is_ok());
            let expected = slow_matches(&pattern, &subject);
            prop_assert_eq!(matches(&pattern_text, &subject.join(".")), expected);
        }

        #[test]
        fn what_was_filled_with_any_values_has_the_tokens_of_its_template(
            values in proptest::collection::vec(".{0,6}|[a-z.*> ]{0,4}", 1..4),
        ) {
            let text = format!("root.{}", values.join("."));
            if check_filled(&text, values.len() + 1).is_ok() {
                prop_assert_eq!(text.split('.').skip(1).collect::<Vec<_>>(), values);
                prop_assert_eq!(check(&text), Ok(()));
                prop_assert!(matches("root.>", &text));
            }
        }

        #[test]
        fn what_can_be_published_to_can_be_subscribed_to_and_matches_itself(text in ".{0,12}|[a-c.*>]{0,8}") {
            if check(&text).is_ok() {
                prop_assert_eq!(check_pattern(&text), Ok(()));
                prop_assert!(matches(&text, &text));
            }
        }
    }
}
