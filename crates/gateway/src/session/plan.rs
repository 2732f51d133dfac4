//! Which of a session's subscriptions gets an event that several of them match: an event reaches a client once.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::Pattern;
use crate::filter::Filter;
use crate::hub::Before;

/// A channel or pattern that a session subscribed to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) pattern: &'a Pattern,
    pub(super) filter: Option<&'a Filter>,
    /// Whether it is told the past before it gets what is published.
    pub(super) replays: bool,
}

/// How it gets its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Not at all: others get them all.
    Dormant,
    /// It reads all there are.
    Reading,
    /// It is given those that match, and none of these others does.
    Matching(Before),
}

/// The role of each wish. Where each subscription gets a copy of its own, all events of its filter are its.
pub(super) fn roles(wishes: &[Wish<'_>], has_copies: bool) -> Vec<Role> {
    if has_copies {
        return vec![Role::Matching(None); wishes.len()];
    }
    let wide: Vec<_> = (0..wishes.len()).filter(|index| !wishes[*index].pattern.is_exact()).collect();
    (0..wishes.len()).map(|index| role(wishes, &wide, index)).collect()
}

fn role(wishes: &[Wish<'_>], wide: &[usize], index: usize) -> Role {
    let wish = &wishes[index];
    let others: Vec<_> = match wish.pattern.is_exact() {
        // The same channel may be there twice, but few patterns are.
        true => {
            let same = (0..wishes.len()).filter(|other| wishes[*other].pattern == wish.pattern);
            wide.iter().copied().chain(same).filter(|other| *other != index).collect()
        }
        false => (0..wishes.len()).filter(|other| *other != index).collect(),
    };
    if others.iter().any(|other| wishes[*other].makes_dormant(wish, *other < index)) {
        return Role::Dormant;
    }
    let before: Arc<[_]> = others
        .iter()
        .map(|other| (*other, &wishes[*other]))
        .filter(|(other, theirs)| theirs.overlaps(wish) && theirs.goes_before(wish, *other < index))
        .map(|(_, theirs)| (theirs.pattern.clone(), theirs.filter.cloned()))
        .collect();
    match (wish.filter, before.is_empty()) {
        (None, true) => Role::Reading,
        (_, is_empty) => Role::Matching(Some(before).filter(|_| !is_empty)),
    }
}

impl Wish<'_> {
    /// Whether it gets the events that both match. Who is told the past gets what comes meanwhile when it is through, and
    /// nobody else does; then, who reads costs less than who is given.
    fn goes_before(&self, other: &Self, is_first: bool) -> bool {
        let rank = |wish: &Self| (!wish.replays, wish.filter.is_some());
        match rank(self).cmp(&rank(other)) {
            Ordering::Equal => is_first && rank(self) != (true, false),
            different => different == Ordering::Less,
        }
    }

    /// Whether it gets all events of another one.
    fn makes_dormant(&self, other: &Self, is_first: bool) -> bool {
        if self.replays || other.replays {
            return false;
        }
        let is_same = self.pattern == other.pattern && self.filter == other.filter;
        let gets_all = self.filter.is_none() && self.pattern.covers(other.pattern);
        (is_same && is_first) || (gets_all && !is_same)
    }

    /// Whether both match some channel.
    fn overlaps(&self, other: &Self) -> bool {
        self.pattern.covers(other.pattern) || other.pattern.covers(self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filter::Document;

    fn filter(predicate: &str) -> Option<Filter> {
        Filter::new(None, Some(predicate), &Default::default()).unwrap()
    }

    /// The roles of patterns with filters; those that replay end in `!`.
    fn plan(wishes: &[(&str, Option<&str>)]) -> Vec<Role> {
        let wishes: Vec<_> = wishes
            .iter()
            .map(|(text, predicate)| {
                let replays = text.ends_with('!');
                (Pattern::parse(text.trim_end_matches('!')).unwrap(), predicate.and_then(filter), replays)
            })
            .collect();
        roles(&views(&wishes), false)
    }

    fn views(wishes: &[(Pattern, Option<Filter>, bool)]) -> Vec<Wish<'_>> {
        wishes
            .iter()
            .map(|(pattern, filter, replays)| Wish { pattern, filter: filter.as_ref(), replays: *replays })
            .collect()
    }

    fn before(wishes: &[(&str, Option<&str>)]) -> Role {
        let pattern = |text: &str| Pattern::parse(text).unwrap();
        Role::Matching(Some(
            wishes.iter().map(|(text, predicate)| (pattern(text), predicate.and_then(filter))).collect(),
        ))
    }

    #[test]
    fn the_widest_without_a_filter_reads_and_what_it_covers_sleeps() {
        assert_eq!(plan(&[("a.b", None), ("c", None)]), [Role::Reading, Role::Reading]);
        assert_eq!(
            plan(&[("a.b", None), ("a.*", None), ("a*", Some("n > 1"))]),
            [Role::Dormant, Role::Reading, before(&[("a.b", None), ("a.*", None)]),]
        );
        assert_eq!(plan(&[("a.*", Some("n > 1")), ("*", None)]), [Role::Dormant, Role::Reading]);
    }

    #[test]
    fn of_the_same_twice_one_sleeps() {
        assert_eq!(plan(&[("a", None), ("a", None)]), [Role::Reading, Role::Dormant]);
        assert_eq!(plan(&[("a", Some("n > 1")), ("a", Some("1 < n"))]), [Role::Matching(None), Role::Dormant]);
    }

    #[test]
    fn who_replays_keeps_its_events_from_those_that_would_read_them() {
        assert_eq!(plan(&[("a.b!", None), ("a.*", None)]), [Role::Reading, before(&[("a.b", None)])]);
        let filtered = plan(&[("a.*", None), ("a.b!", Some("n > 1"))]);
        assert_eq!(filtered, [before(&[("a.b", Some("n > 1"))]), Role::Matching(None)]);
    }

    #[test]
    fn where_each_has_a_copy_none_minds_the_others() {
        let pattern = Pattern::parse("a").unwrap();
        let wish = Wish { pattern: &pattern, filter: None, replays: false };
        assert_eq!(roles(&[wish, wish], true), [Role::Matching(None), Role::Matching(None)]);
    }

    proptest! {
        #[test]
        fn an_event_that_any_wish_matches_is_got_by_exactly_one(
            wishes in prop::collection::vec(("a|b|a\\.a|a\\.b|a\\*|a\\.\\*|\\*", 0..4_usize, any::<bool>()), 1..8),
            channel in "a|b|a\\.a|a\\.b|c",
            n in 0..4,
        ) {
            let predicates = [None, Some("n > 0"), Some("n > 1"), Some("n < 2")];
            let wishes: Vec<_> = wishes
                .into_iter()
                .map(|(text, index, replays)| {
                    let pattern = Pattern::parse(&text).unwrap();
                    // Only channels are told the past.
                    let replays = replays && pattern.is_exact();
                    (pattern, predicates[index].and_then(filter), replays)
                })
                .collect();
            let payload = format!("{{\"n\":{n}}}");
            let document = Document::new(payload.as_bytes());
            let matches = |pattern: &Pattern, filter: Option<&Filter>| {
                pattern.matches(&channel) && filter.is_none_or(|filter| filter.matches(&document))
            };
            let got = wishes.iter().zip(roles(&views(&wishes), false)).filter(|((pattern, filter, _), role)| match role {
                Role::Dormant => false,
                Role::Reading => pattern.matches(&channel),
                Role::Matching(before) => {
                    let before = before.iter().flat_map(|before| before.iter());
                    matches(pattern, filter.as_ref())
                        && !before.into_iter().any(|(pattern, filter)| matches(pattern, filter.as_ref()))
                }
            });
            let wanted = wishes.iter().any(|(pattern, filter, _)| matches(pattern, filter.as_ref()));
            prop_assert_eq!(got.count(), usize::from(wanted));
        }
    }
}
