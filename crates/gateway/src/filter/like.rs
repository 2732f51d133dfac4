//! `LIKE`, in time proportional to the text.

use super::MAX_LIKE_STRETCH;

/// What makes the next character of a pattern stand for itself, as in the queries of a pipeline.
const ESCAPE: char = '\\';

/// A pattern of `LIKE`: `%` is any text, `_` any character, and a backslash before one of the three makes it an ordinary
/// character. Made of the stretches between the `%`; they are looked for one behind the other, never again from the start.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Like {
    /// What a text begins with.
    first: Stretch,
    /// What comes behind that, in this order, with anything in between; `None` when nothing does.
    others: Option<(Vec<Stretch>, Stretch)>,
}

/// The part of a pattern between two `%`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Stretch {
    Text(Box<str>),
    Holes(Holes),
}

/// Characters some of which may be any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Holes {
    /// `None` stands for any. At most 64, so that a search keeps its state in one word.
    characters: Box<[Option<char>]>,
    /// Where each character fits, a bit for each position, in the order of the characters.
    positions: Box<[(char, u64)]>,
    /// Where every other character fits.
    any: u64,
}

impl Like {
    /// # Errors
    /// Why that is no pattern.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let mut stretches = Vec::new();
        let mut current = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' => stretches.push(Stretch::new(std::mem::take(&mut current))?),
                '_' => current.push(None),
                ESCAPE => {
                    let escaped = characters.next();
                    current.push(Some(escaped.ok_or("a LIKE pattern cannot end in a backslash; write two of them")?));
                }
                other => current.push(Some(other)),
            }
        }
        let last = Stretch::new(current)?;
        let mut stretches = stretches.into_iter();
        Ok(match stretches.next() {
            None => Self { first: last, others: None },
            Some(first) => Self { first, others: Some((stretches.collect(), last)) },
        })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some(rest) = self.first.strip_from_start(text) else { return false };
        let Some((middle, last)) = &self.others else { return rest.is_empty() };
        let behind = middle.iter().try_fold(rest, |rest, stretch| stretch.find_in(rest));
        behind.is_some_and(|rest| last.ends(rest))
    }
}

impl Stretch {
    fn new(characters: Vec<Option<char>>) -> Result<Self, String> {
        if let Some(text) = characters.iter().copied().collect::<Option<String>>() {
            return Ok(Self::Text(text.into()));
        }
        if characters.len() > MAX_LIKE_STRETCH {
            return Err(format!(
                "a LIKE pattern with '_' can have at most {MAX_LIKE_STRETCH} characters without a '%' in between"
            ));
        }
        Ok(Self::Holes(Holes::new(characters)))
    }

    /// What is behind it in a text that starts with it.
    fn strip_from_start<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Text(own) => text.strip_prefix(&**own),
            Self::Holes(Holes { characters, .. }) => {
                let mut rest = text.chars();
                characters.iter().all(|expected| is_match(*expected, rest.next())).then_some(rest.as_str())
            }
        }
    }

    /// Whether a text ends in it.
    fn ends(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => text.ends_with(&**own),
            Self::Holes(Holes { characters, .. }) => {
                let mut rest = text.chars().rev();
                characters.iter().rev().all(|expected| is_match(*expected, rest.next()))
            }
        }
    }

    /// What is behind the first place where it is in a text.
    fn find_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Text(own) => text.find(&**own).map(|at| &text[at + own.len()..]),
            Self::Holes(holes) => holes.find_in(text),
        }
    }
}

impl Holes {
    fn new(characters: Vec<Option<char>>) -> Self {
        let bits = |fits: &dyn Fn(Option<char>) -> bool| {
            characters.iter().rev().fold(0, |bits, character| bits << 1 | u64::from(fits(*character)))
        };
        let any = bits(&|character| character.is_none());
        let mut distinct: Vec<char> = characters.iter().copied().flatten().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let fitting = |wanted| (wanted, any | bits(&|character| character == Some(wanted)));
        let positions = distinct.into_iter().map(fitting).collect();
        Self { characters: characters.into(), positions, any }
    }

    /// Shift-and: bit `n` of the state says that the last `n + 1` characters of the text are the first ones of these.
    fn find_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        let all = 1_u64 << (self.characters.len() - 1);
        let mut state = 0_u64;
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            let known = self.positions.binary_search_by_key(&character, |(known, _)| *known);
            state = (state << 1 | 1) & known.map_or(self.any, |index| self.positions[index].1);
            if state & all != 0 {
                return Some(rest.as_str());
            }
        }
        None
    }
}

fn is_match(expected: Option<char>, found: Option<char>) -> bool {
    found.is_some() && (expected.is_none() || expected == found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(text: &str, pattern: &str) -> bool {
        Like::new(pattern).unwrap().matches(text)
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (text, pattern, expected) in [
            ("abc", "abc", true),
            ("abcd", "abc", false),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "a%c", true),
            ("ac", "a%c", true),
            ("a", "a%a", false),
            ("aba", "a%a", true),
            ("abc", "a_c", true),
            ("aéc", "a_c", true),
            ("ac", "a_c", false),
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("abcabd", "%ab_", true),
            ("xabcab", "%a_c%b", true),
            ("xabcab", "%a_c%_b", true),
            ("xabcb", "%a_c%_b", false),
            ("ABC", "abc", false),
            ("100%", "100\\%", true),
            ("1000", "100\\%", false),
            ("a_b\\", "a\\_b\\\\", true),
        ] {
            assert_eq!(matches(text, pattern), expected, "{text} LIKE {pattern}");
        }
    }

    #[test]
    fn patterns_that_cannot_be_are_refused() {
        assert!(Like::new("a\\").unwrap_err().contains("backslash"));
        Like::new(&"_".repeat(MAX_LIKE_STRETCH)).unwrap();
        Like::new(&format!("{}%{}", "_".repeat(MAX_LIKE_STRETCH), "_".repeat(MAX_LIKE_STRETCH))).unwrap();
        assert!(Like::new(&"_".repeat(MAX_LIKE_STRETCH + 1)).unwrap_err().contains("64 characters"));
        Like::new(&"a".repeat(MAX_LIKE_STRETCH + 1)).unwrap();
    }

    #[test]
    fn many_wildcards_do_not_take_exponential_time() {
        let text = "a".repeat(100_000);
        assert!(!matches(&text, &format!("{}b_", "%a".repeat(50))));
        assert!(!matches(&text, &format!("{}%b", "%_a_a_a_a".repeat(50))));
    }

    proptest! {
        #[test]
        fn agrees_with_trying_everything(text in "[abé]{0,8}", pattern in "[abé%_]{0,6}") {
            fn tries(text: &[char], pattern: &[char]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some(('%', rest)) => (0..=text.len()).any(|from| tries(&text[from..], rest)),
                    Some(('_', rest)) => !text.is_empty() && tries(&text[1..], rest),
                    Some((expected, rest)) => text.first() == Some(expected) && tries(&text[1..], rest),
                }
            }
            let split = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&text, &pattern), tries(&split(&text), &split(&pattern)));
        }
    }
}
