//! Which channels a client may subscribe to and publish to.

use crate::Pattern;

/// The most patterns that one client's credentials may give it for one verb.
pub const MAX_GRANTS: usize = 256;

/// What somebody may do with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// To receive what is published there.
    Subscribe,
    /// To publish.
    Publish,
}

/// The channels a client may subscribe to and publish to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// `None`: all channels.
    pub subscribe: Option<Vec<Pattern>>,
    /// `None`: all channels.
    pub publish: Option<Vec<Pattern>>,
}

impl Grants {
    /// Grants that allow everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Grants that allow nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { subscribe: Some(Vec::new()), publish: Some(Vec::new()) }
    }

    /// Whether the channel of that name may be used so.
    #[must_use]
    pub fn allows(&self, verb: Verb, name: &str) -> bool {
        self.of(verb).is_none_or(|granted| granted.iter().any(|pattern| pattern.matches(name)))
    }

    /// What of a wanted pattern is granted: patterns of which none covers another. Empty: nothing.
    #[must_use]
    pub fn cut(&self, verb: Verb, wanted: &Pattern) -> Vec<Pattern> {
        let Some(granted) = self.of(verb) else {
            return vec![wanted.clone()];
        };
        let mut cut: Vec<Pattern> = Vec::new();
        for pattern in granted.iter().filter_map(|pattern| pattern.intersection(wanted)) {
            if !cut.iter().any(|known| known.covers(&pattern)) {
                cut.retain(|known| !pattern.covers(known));
                cut.push(pattern);
            }
        }
        cut
    }

    fn of(&self, verb: Verb) -> Option<&[Pattern]> {
        match verb {
            Verb::Subscribe => self.subscribe.as_deref(),
            Verb::Publish => self.publish.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn grants(subscribe: &[&str]) -> Grants {
        Grants { subscribe: Some(subscribe.iter().copied().map(pattern).collect()), publish: Some(Vec::new()) }
    }

    fn cut(subscribe: &[&str], wanted: &str) -> Vec<String> {
        let cut = grants(subscribe).cut(Verb::Subscribe, &pattern(wanted));
        cut.iter().map(|pattern| pattern.text().to_owned()).collect()
    }

    #[test]
    fn a_pattern_wider_than_the_grant_is_cut_to_it() {
        assert_eq!(cut(&["a.*", "b.x"], "*"), ["a.*", "b.x"]);
        assert_eq!(cut(&["a.*"], "a.b.*"), ["a.b.*"]);
        assert_eq!(cut(&["a.*"], "a.b"), ["a.b"]);
        assert_eq!(cut(&["a.*"], "other.tenant"), [""; 0]);
        assert_eq!(cut(&["a.x"], "a.*"), ["a.x"]);
        assert_eq!(cut(&[], "*"), [""; 0]);
    }

    #[test]
    fn what_a_wider_grant_covers_does_not_come_twice() {
        assert_eq!(cut(&["a.b", "a.*", "a.c"], "*"), ["a.*"]);
        assert_eq!(cut(&["a.*", "*"], "a.b.*"), ["a.b.*"]);
    }

    #[test]
    fn each_verb_has_its_own_grants() {
        let grants = grants(&["a.*"]);
        assert!(grants.allows(Verb::Subscribe, "a.b") && !grants.allows(Verb::Subscribe, "ab"));
        assert!(!grants.allows(Verb::Publish, "a.b"));
        assert!(Grants::everything().allows(Verb::Publish, "a.b"));
        assert_eq!(Grants::everything().cut(Verb::Publish, &pattern("*")), [pattern("*")]);
        assert!(!Grants::nothing().allows(Verb::Subscribe, "a"));
    }

    proptest! {
        #[test]
        fn a_cut_pattern_matches_exactly_what_is_both_wanted_and_granted(
            granted in prop::collection::vec("[ab]{0,2}\\*|[ab]{1,3}", 0..4),
            wanted in "[ab]{0,2}\\*|[ab]{1,3}",
            name in "[ab]{1,4}",
        ) {
            let grants = grants(&granted.iter().map(String::as_str).collect::<Vec<_>>());
            let wanted = pattern(&wanted);
            let cut = grants.cut(Verb::Subscribe, &wanted);
            let matches = cut.iter().filter(|pattern| pattern.matches(&name)).count();
            let expected = wanted.matches(&name) && grants.allows(Verb::Subscribe, &name);
            prop_assert_eq!(matches, usize::from(expected));
        }
    }
}
