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
