//! Subscribers found by what they want.

use std::collections::HashMap;

use super::Filter;
use super::document::{Document, Tree};
use super::level::Level;
use super::plan::steps;
use crate::pattern::{Members, shrink_map};

/// Subscribers by filter.
///
/// Subscribers with equal filters are a group; its filter is held once, and asked once for an event. Groups are found by the
/// values their filter wants to see, then by the bounds it sets, so that the cost of an event grows with the groups it
/// matches, and not with the groups there are. Only groups whose filter has nothing of that kind at its top (`LIKE`, `<>`,
/// `IS NULL`, `NOT`, a comparison of two fields, an `OR` of anything but equalities) are asked for every event.
#[derive(Debug)]
pub struct FilterIndex<S> {
    /// Subscribers that want everything.
    unfiltered: Members<S>,
    groups: HashMap<u64, Group<S>>,
    by_filter: HashMap<Filter, u64>,
    level: Level,
    places: HashMap<u64, Place>,
    next: u64,
}

/// A subscriber in a [`FilterIndex`]. It belongs to that index; none has the same key again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FilterKey(u64);

/// Subscribers that want the same.
#[derive(Debug)]
struct Group<S> {
    filter: Filter,
    members: Members<S>,
}

/// Where a subscriber is.
#[derive(Debug)]
struct Place {
    /// `None` for those that want everything.
    group: Option<u64>,
    /// In the members.
    place: usize,
}

impl<S> FilterIndex<S> {
    /// One without subscribers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            unfiltered: Members::new(),
            groups: HashMap::new(),
            by_filter: HashMap::new(),
            level: Level::default(),
            places: HashMap::new(),
            next: 0,
        }
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no subscribers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many distinct filters there are.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Adds a subscriber; one without a filter wants everything.
    pub fn insert(&mut self, filter: Option<Filter>, subscriber: S) -> FilterKey {
        let number = self.number();
        let group = filter.map(|filter| self.group_of(filter));
        let members = match group.and_then(|group| self.groups.get_mut(&group)) {
            Some(group) => &mut group.members,
            None => &mut self.unfiltered,
        };
        let place = members.push(number, subscriber);
        self.places.insert(number, Place { group, place });
        FilterKey(number)
    }

    /// Takes a subscriber out; `None` when it was taken out before.
    pub fn remove(&mut self, key: FilterKey) -> Option<S> {
        let Place { group, place } = self.places.remove(&key.0)?;
        shrink_map(&mut self.places);
        let members = match group {
            Some(group) => &mut self.groups.get_mut(&group)?.members,
            None => &mut self.unfiltered,
        };
        let (subscriber, moved) = members.take(place)?;
        let is_last = members.is_empty();
        if let Some(moved) = moved.and_then(|number| self.places.get_mut(&number)) {
            moved.place = place;
        }
        if let (Some(group), true) = (group, is_last) {
            self.remove_group(group);
        }
        Some(subscriber)
    }

    /// Visits, in no particular order, every subscriber that wants the payload. It is not read when all want everything.
    pub fn for_each_match<'s>(&'s self, document: &Document<'_>, mut visit: impl FnMut(&'s S)) {
        self.unfiltered.iter().for_each(&mut visit);
        if self.groups.is_empty() {
            return;
        }
        let Some(tree) = document.tree() else { return };
        for group in self.candidates(tree) {
            let Some(group) = self.groups.get(&group) else { continue };
            if group.filter.wants(tree) {
                group.members.iter().for_each(&mut visit);
            }
        }
    }

    /// The groups that have to be asked, each once.
    pub(super) fn candidates(&self, tree: &Tree<'_>) -> Vec<u64> {
        let mut found = Vec::new();
        self.level.collect(tree, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn group_of(&mut self, filter: Filter) -> u64 {
        if let Some(group) = self.by_filter.get(&filter) {
            return *group;
        }
        let group = self.number();
        self.level.insert(&steps(&filter.condition), group);
        self.by_filter.insert(filter.clone(), group);
        self.groups.insert(group, Group { filter, members: Members::new() });
        group
    }

    /// Whether neither a filter nor memory worth mentioning is left.
    #[cfg(test)]
    pub(super) fn holds_nothing(&self) -> bool {
        let capacity = self.groups.capacity() + self.by_filter.capacity() + self.places.capacity();
        self.groups.is_empty() && self.by_filter.is_empty() && self.level.is_empty() && capacity < 200
    }

    fn remove_group(&mut self, group: u64) {
        let Some(Group { filter, .. }) = self.groups.remove(&group) else { return };
        self.by_filter.remove(&filter);
        self.level.remove(&steps(&filter.condition), group);
        shrink_map(&mut self.groups);
        shrink_map(&mut self.by_filter);
    }
}

impl<S> Default for FilterIndex<S> {
    fn default() -> Self {
        Self::new()
    }
}
