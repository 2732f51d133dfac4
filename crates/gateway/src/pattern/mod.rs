//! Names of channels, patterns of such names, and things found by pattern.

use std::fmt;
use std::sync::Arc;

use crate::Problem;

mod index;
mod members;

pub use index::{PatternIndex, PatternKey};
pub(crate) use members::{Members, shrink_map, shrink_vec};

/// The longest name of a channel and the longest pattern, in bytes.
pub const MAX_CHANNEL_BYTES: usize = 256;

/// The most characters of a name that a message quotes.
const MAX_QUOTED_CHARACTERS: usize = 40;

/// A channel's name, or all names that start alike: `blob.*` is every name that starts with `blob.`, and `*` every name.
/// The star stands at the end and nowhere else. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Arc<str>,
}

impl Pattern {
    /// # Errors
    /// [`Problem::InvalidChannel`] when it is empty or longer than [`MAX_CHANNEL_BYTES`], has a star elsewhere than at its
    /// end, or a character that names do not have: see [`check_name`].
    pub fn parse(text: &str) -> Result<Self, Problem> {
        check_length(text)?;
        check_characters(text, text.strip_suffix('*').unwrap_or(text))?;
        Ok(Self { text: text.into() })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is the name of one channel.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.prefix().is_none()
    }

    /// Whether the channel of that name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.prefix().map_or_else(|| *self.text == *name, |prefix| name.starts_with(prefix))
    }

    /// Whether it matches every name that the other one matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self.prefix(), other.prefix()) {
            (None, Some(_)) => false,
            (None, None) => self == other,
            (Some(prefix), theirs) => theirs.unwrap_or(&other.text).starts_with(prefix),
        }
    }

    /// The pattern of the names that both match: the narrower one; `None` when there are no such names.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            Some(other.clone())
        } else if other.covers(self) {
            Some(self.clone())
        } else {
            None
        }
    }

    /// What its names start with; `None` when it is a name.
    fn prefix(&self) -> Option<&str> {
        self.text.strip_suffix('*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, formatter)
    }
}

/// Whether a channel can have that name: 1 to [`MAX_CHANNEL_BYTES`] bytes, without white space, control characters, `*` and
/// `>`, which mean something in patterns and in the subjects of brokers.
///
/// # Errors
/// [`Problem::InvalidChannel`] with the reason.
pub fn check_name(name: &str) -> Result<(), Problem> {
    check_length(name)?;
    check_characters(name, name)
}

fn check_length(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(invalid("a name cannot be empty".to_owned()));
    }
    if text.len() > MAX_CHANNEL_BYTES {
        return Err(invalid(format!(
            "{} is {} bytes long, at most {MAX_CHANNEL_BYTES} are allowed",
            quoted(text),
            text.len()
        )));
    }
    Ok(())
}

/// Looks at the name in a text, which is all of it, or what is in front of the star of a pattern.
fn check_characters(text: &str, name: &str) -> Result<(), Problem> {
    let reason = name.chars().find_map(|character| match character {
        '*' => Some("has a '*' that is not at the end of a pattern"),
        '>' => Some("contains '>', which names cannot"),
        _ if character.is_control() => Some("contains a control character, which names cannot"),
        _ if character.is_whitespace() => Some("contains white space, which names cannot"),
        _ => None,
    });
    reason.map_or(Ok(()), |reason| Err(invalid(format!("{} {reason}", quoted(text)))))
}

fn invalid(reason: String) -> Problem {
    Problem::InvalidChannel(reason)
}

/// The beginning of a text that may hold anything, fit for a message and a log.
fn quoted(text: &str) -> String {
    let beginning: String = text.chars().take(MAX_QUOTED_CHARACTERS).flat_map(char::escape_debug).collect();
    let rest = if text.chars().nth(MAX_QUOTED_CHARACTERS).is_some() { "..." } else { "" };
    format!("'{beginning}{rest}'")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_star_at_the_end_matches_every_name_that_starts_alike() {
        for (text, name, matches) in [
            ("blob.*", "blob.created", true),
            ("blob.*", "blob.created.late", true),
            ("blob.*", "blob.", true),
            ("blob.*", "blob", false),
            ("blob.*", "Blob.created", false),
            ("blob.*", "a.blob.created", false),
            ("blob*", "blobs", true),
            ("*", "anything", true),
            ("blob.created", "blob.created", true),
            ("blob.created", "blob.created2", false),
            ("größe.*", "größe.neu", true),
        ] {
            assert_eq!(pattern(text).matches(name), matches, "{text} {name}");
        }
        assert!(pattern("blob.created").is_exact());
        assert!(!pattern("blob.*").is_exact());
        assert_eq!(pattern("blob.*").text(), "blob.*");
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "Invalid channel: a name cannot be empty"),
            ("a b", "Invalid channel: 'a b' contains white space, which names cannot"),
            ("a\u{a0}b", "Invalid channel: 'a\\u{a0}b' contains white space, which names cannot"),
            ("a\r\nPUB x", "Invalid channel: 'a\\r\\nPUB x' contains a control character, which names cannot"),
            ("a\u{1b}[31m", "Invalid channel: 'a\\u{1b}[31m' contains a control character, which names cannot"),
            ("a.>", "Invalid channel: 'a.>' contains '>', which names cannot"),
            ("a.*.b", "Invalid channel: 'a.*.b' has a '*' that is not at the end of a pattern"),
            ("a.**", "Invalid channel: 'a.**' has a '*' that is not at the end of a pattern"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err().to_string(), reason);
            check_name(text).unwrap_err();
        }
        assert_eq!(
            check_name("a.*").unwrap_err().to_string(),
            "Invalid channel: 'a.*' has a '*' that is not at the end of a pattern"
        );
    }

    #[test]
    fn names_are_as_long_as_the_limit_and_not_longer() {
        check_name(&"n".repeat(MAX_CHANNEL_BYTES)).unwrap();
        let problem = check_name(&"n".repeat(MAX_CHANNEL_BYTES + 1)).unwrap_err();
        let shown = format!("Invalid channel: '{}...' is 257 bytes long, at most 256 are allowed", "n".repeat(40));
        assert_eq!(problem.to_string(), shown);
        Pattern::parse(&format!("{}*", "n".repeat(MAX_CHANNEL_BYTES - 1))).unwrap();
        Pattern::parse(&format!("{}*", "n".repeat(MAX_CHANNEL_BYTES))).unwrap_err();
    }

    #[test]
    fn the_intersection_is_the_narrower_one() {
        for (one, other, both) in [
            ("*", "a.*", Some("a.*")),
            ("a.*", "a.b.*", Some("a.b.*")),
            ("a.*", "a.b", Some("a.b")),
            ("a.*", "a.*", Some("a.*")),
            ("a", "a", Some("a")),
            ("a.*", "b.*", None),
            ("a.*", "b", None),
            ("a.*", "a", None),
            ("a", "b", None),
            ("a.", "a.*", Some("a.")),
        ] {
            let both = both.map(pattern);
            assert_eq!(pattern(one).intersection(&pattern(other)), both, "{one} {other}");
            assert_eq!(pattern(other).intersection(&pattern(one)), both, "{other} {one}");
        }
    }

    proptest! {
        #[test]
        fn the_intersection_matches_what_both_match(
            (one, other, name) in ("[ab.]{0,3}[ab*]", "[ab.]{0,3}[ab*]", "[ab.]{1,5}")
        ) {
            let (one, other) = (pattern(&one), pattern(&other));
            let both = one.intersection(&other);
            prop_assert_eq!(both.is_some_and(|both| both.matches(&name)), one.matches(&name) && other.matches(&name));
        }

        #[test]
        fn any_text_is_a_pattern_or_a_problem(text in any::<String>()) {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(pattern.text(), &text);
                prop_assert_eq!(pattern.is_exact(), check_name(&text).is_ok());
            }
        }
    }
}
