//! `LIKE` and `ILIKE`.

use super::eval;
use super::operand::{Operand, either_null};

/// What makes the next character of a pattern stand for itself.
pub(crate) type Escape = Option<char>;

/// The escape character of a pattern without an `ESCAPE` clause.
pub(super) const DEFAULT_ESCAPE: Escape = Some('\\');

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// `abc`
    Exact(String),
    /// `abc%`
    Prefix(String),
    /// `%abc`
    Suffix(String),
    /// `%abc%`
    Contains(String),
    /// Everything else, and every pattern of `ILIKE`.
    General { parts: Vec<Part>, fold_case: bool },
}

/// One character of a general pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// `%`
    AnyText,
    /// `_`
    AnyCharacter,
    Character(char),
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it ends in its escape character.
    pub(super) fn new(pattern: &str, escape: Escape, fold_case: bool) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            let part = match character {
                c if Some(c) == escape => {
                    let escaped = characters.next();
                    Part::Character(escaped.ok_or("a LIKE pattern must not end in its escape character")?)
                }
                '%' => Part::AnyText,
                '_' => Part::AnyCharacter,
                c => Part::Character(c),
            };
            if part != Part::AnyText || parts.last() != Some(&Part::AnyText) {
                parts.push(part);
            }
        }
        if fold_case {
            let fold = |part| if let Part::Character(c) = part { Part::Character(folded(c)) } else { part };
            return Ok(Self::General { parts: parts.into_iter().map(fold).collect(), fold_case });
        }
        Ok(Self::simplest(parts))
    }

    fn simplest(parts: Vec<Part>) -> Self {
        let (leading, inner) = match parts.split_first() {
            Some((Part::AnyText, inner)) => (true, inner),
            _ => (false, parts.as_slice()),
        };
        let (trailing, inner) = match inner.split_last() {
            Some((Part::AnyText, inner)) => (true, inner),
            _ => (false, inner),
        };
        let literal: Option<String> =
            inner.iter().map(|part| if let Part::Character(c) = part { Some(*c) } else { None }).collect();
        match (literal, leading, trailing) {
            (Some(literal), false, false) => Self::Exact(literal),
            (Some(literal), false, true) => Self::Prefix(literal),
            // `%` alone is both: everything contains the empty text.
            (Some(literal), true, _) if literal.is_empty() => Self::Contains(literal),
            (Some(literal), true, false) => Self::Suffix(literal),
            (Some(literal), true, true) => Self::Contains(literal),
            (None, ..) => Self::General { parts, fold_case: false },
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(literal) => text == literal,
            Self::Prefix(literal) => text.starts_with(literal.as_str()),
            Self::Suffix(literal) => text.ends_with(literal.as_str()),
            Self::Contains(literal) => text.contains(literal.as_str()),
            Self::General { parts, fold_case } => general(parts, text, *fold_case),
        }
    }
}

/// The character that stands for both cases.
fn folded(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(single), None) => single,
        _ => character,
    }
}

/// Greedy matching that returns to the last `%` only: at most text times pattern steps, no recursion.
fn general(parts: &[Part], text: &str, fold_case: bool) -> bool {
    let mut rest = text.chars();
    let mut part = 0;
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let mut after = rest.clone();
        let next = after.next();
        match (parts.get(part), next) {
            (None, None) => return true,
            (Some(Part::AnyText), _) => {
                part += 1;
                retry = Some((part, rest.clone()));
                continue;
            }
            (Some(Part::AnyCharacter), Some(_)) => {
                part += 1;
                rest = after;
                continue;
            }
            (Some(Part::Character(expected)), Some(found))
                if *expected == found || fold_case && *expected == folded(found) =>
            {
                part += 1;
                rest = after;
                continue;
            }
            _ => {}
        }
        // No match here: let the last `%` take one character more.
        let Some((behind, mut from)) = retry.take() else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        part = behind;
        rest = from.clone();
        retry = Some((behind, from));
    }
}

/// Where `operand` matches, or with `negated` does not match, the pattern.
pub(super) fn like<'b, 'r>(operand: &Operand<'_, '_>, pattern: &Pattern, negated: bool, len: usize) -> Operand<'b, 'r> {
    let texts = operand.texts();
    let matches = |position| pattern.matches(texts.get(operand.index.at(position))) != negated;
    eval::bools((0..len).map(matches).collect(), operand.nulls(len))
}

/// [`like`] with a pattern of each row; a bad one is an error of the row.
pub(super) fn like_each<'b, 'r>(
    operand: &Operand<'_, '_>,
    patterns: &Operand<'_, '_>,
    escape: Escape,
    fold_case: bool,
    negated: bool,
    len: usize,
    mut fail: impl FnMut(usize, &str),
) -> Operand<'b, 'r> {
    let nulls = either_null(operand, patterns, len);
    let mut values = vec![false; len];
    for (position, value) in values.iter_mut().enumerate() {
        if nulls.get(position).copied().unwrap_or(false) {
            continue;
        }
        match Pattern::new(patterns.texts().get(patterns.index.at(position)), escape, fold_case) {
            Ok(pattern) => *value = pattern.matches(operand.texts().get(operand.index.at(position))) != negated,
            Err(reason) => fail(position, reason),
        }
    }
    eval::bools(values, nulls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(text: &str, pattern: &str) -> bool {
        Pattern::new(pattern, DEFAULT_ESCAPE, false).unwrap().matches(text)
    }

    #[test]
    fn simple_patterns_become_simple_searches() {
        let compile = |pattern| Pattern::new(pattern, DEFAULT_ESCAPE, false).unwrap();
        assert_eq!(compile("abc"), Pattern::Exact("abc".into()));
        assert_eq!(compile("a\\%%"), Pattern::Prefix("a%".into()));
        assert_eq!(compile("%%é"), Pattern::Suffix("é".into()));
        assert_eq!(compile("%b%"), Pattern::Contains("b".into()));
        assert_eq!(compile("%"), Pattern::Contains(String::new()));
        assert!(matches!(compile("a_c"), Pattern::General { .. }));
        assert!(Pattern::new("a\\", DEFAULT_ESCAPE, false).is_err());
        assert!(Pattern::new("a\\", None, false).is_ok());
    }

    #[test]
    fn many_wildcards_do_not_take_exponential_time() {
        let text = "a".repeat(10_000);
        assert!(!matches(&text, &format!("{}b_", "%a".repeat(50))));
    }

    proptest! {
        #[test]
        fn general_matching_agrees_with_a_regular_expression(text in "[abé]{0,8}", pattern in "[abé%_]{0,6}") {
            let regex = pattern.replace('%', ".*").replace('_', ".");
            let expected = regex::Regex::new(&format!("^(?s:{regex})$")).unwrap().is_match(&text);
            prop_assert_eq!(matches(&text, &pattern), expected);
            let upper = text.to_uppercase();
            let folding = Pattern::new(&pattern, DEFAULT_ESCAPE, true).unwrap();
            prop_assert_eq!(folding.matches(&upper), expected);
        }
    }
}
