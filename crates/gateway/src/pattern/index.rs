//! Things found by the patterns they were put under.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Members, Pattern, shrink_map};

/// Things by pattern.
///
/// A look-up asks a hash map once for the name, and once for each length of prefix that is in use and not longer than the
/// name: its cost is bounded by the length of the name and does not depend on how many patterns there are.
#[derive(Debug)]
pub struct PatternIndex<T> {
    names: HashMap<Arc<str>, Members<T>>,
    prefixes: HashMap<Arc<str>, Members<T>>,
    /// How many prefixes of each length there are.
    lengths: BTreeMap<usize, usize>,
    places: HashMap<u64, Place>,
    next: u64,
}

/// What was put into a [`PatternIndex`]. It belongs to that index; none has the same key again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PatternKey(u64);

/// Where something is.
#[derive(Debug)]
struct Place {
    /// A name or a prefix.
    text: Arc<str>,
    is_prefix: bool,
    /// In the members of that text.
    place: usize,
}

impl<T> PatternIndex<T> {
    /// One without anything in it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            names: HashMap::new(),
            prefixes: HashMap::new(),
            lengths: BTreeMap::new(),
            places: HashMap::new(),
            next: 0,
        }
    }

    /// How many things are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Puts a thing under a pattern, where others may be already.
    pub fn insert(&mut self, pattern: &Pattern, thing: T) -> PatternKey {
        let number = self.next;
        self.next += 1;
        let (text, place) = match pattern.prefix() {
            None => put(&mut self.names, &pattern.text, number, thing),
            Some(prefix) => {
                if !self.prefixes.contains_key(prefix) {
                    *self.lengths.entry(prefix.len()).or_default() += 1;
                }
                put(&mut self.prefixes, prefix, number, thing)
            }
        };
        self.places.insert(number, Place { text, is_prefix: !pattern.is_exact(), place });
        PatternKey(number)
    }

    /// Takes a thing out; `None` when it was taken out before.
    pub fn remove(&mut self, key: PatternKey) -> Option<T> {
        let Place { text, is_prefix, place } = self.places.remove(&key.0)?;
        shrink_map(&mut self.places);
        let map = if is_prefix { &mut self.prefixes } else { &mut self.names };
        let members = map.get_mut(&text)?;
        let (thing, moved) = members.take(place)?;
        if members.is_empty() {
            map.remove(&text);
            shrink_map(map);
            if is_prefix {
                self.forget_length(text.len());
            }
        }
        if let Some(moved) = moved.and_then(|number| self.places.get_mut(&number)) {
            moved.place = place;
        }
        Some(thing)
    }

    /// Visits, in no particular order, everything whose pattern matches the name.
    pub fn for_each_match<'a>(&'a self, name: &str, mut visit: impl FnMut(&'a T)) {
        if let Some(members) = self.names.get(name) {
            members.iter().for_each(&mut visit);
        }
        for length in self.lengths.range(..=name.len()).map(|(length, _)| *length) {
            // No prefix ends within a character.
            let Some(prefix) = name.get(..length) else { continue };
            if let Some(members) = self.prefixes.get(prefix) {
                members.iter().for_each(&mut visit);
            }
        }
    }

    fn forget_length(&mut self, length: usize) {
        if let Some(count) = self.lengths.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
    }
}

impl<T> Default for PatternIndex<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds to the members of a text, and tells where. All places of a text share one allocation of it.
fn put<T>(map: &mut HashMap<Arc<str>, Members<T>>, text: &str, number: u64, thing: T) -> (Arc<str>, usize) {
    let text = map.get_key_value(text).map_or_else(|| text.into(), |(text, _)| Arc::clone(text));
    let place = map.entry(Arc::clone(&text)).or_insert_with(Members::new).push(number, thing);
    (text, place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(index: &PatternIndex<usize>, name: &str) -> Vec<usize> {
        let mut found = Vec::new();
        index.for_each_match(name, |thing| found.push(*thing));
        found.sort_unstable();
        found
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn names_and_prefixes_are_found_and_each_as_often_as_it_was_put_in() {
        let mut index = PatternIndex::new();
        for (thing, text) in
            ["blob.*", "blob.created", "*", "blob.*", "b*", "job.*", "blo", "größe*"].iter().enumerate()
        {
            index.insert(&pattern(text), thing);
        }
        assert_eq!(matches(&index, "blob.created"), [0, 1, 2, 3, 4]);
        assert_eq!(matches(&index, "blo"), [2, 4, 6]);
        assert_eq!(matches(&index, "grün"), [2]);
        assert_eq!(matches(&index, "größer"), [2, 7]);
    }

    #[test]
    fn a_key_removes_one_thing_once() {
        let mut index = PatternIndex::new();
        let first = index.insert(&pattern("a.*"), 1);
        let second = index.insert(&pattern("a.*"), 2);
        let third = index.insert(&pattern("a.*"), 3);
        assert_eq!(index.remove(first), Some(1));
        assert_eq!(index.remove(first), None);
        assert_eq!(matches(&index, "a.b"), [2, 3]);
        assert_eq!(index.remove(third), Some(3));
        assert_eq!(index.remove(second), Some(2));
        assert!(index.is_empty());
    }

    #[test]
    fn nothing_of_what_was_removed_remains() {
        let mut index = PatternIndex::new();
        let keys: Vec<_> = (0..10_000)
            .map(|number| {
                index.insert(&pattern(&format!("n{number}{}", if number % 2 == 0 { "*" } else { "" })), number)
            })
            .collect();
        for key in keys {
            index.remove(key).unwrap();
        }
        assert!(index.names.is_empty() && index.prefixes.is_empty() && index.lengths.is_empty());
        assert!(index.names.capacity() + index.prefixes.capacity() + index.places.capacity() < 100);
    }

    proptest! {
        #[test]
        fn finds_what_asking_each_pattern_finds(
            steps in prop::collection::vec(prop_oneof![
                3 => "[ab.]{0,3}[ab*]".prop_map(Ok),
                1 => any::<prop::sample::Index>().prop_map(Err),
            ], 0..60),
            names in prop::collection::vec("[ab.]{1,5}", 5),
        ) {
            let mut index = PatternIndex::new();
            let mut held: Vec<(Pattern, usize, PatternKey)> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Ok(text) => {
                        let key = index.insert(&pattern(&text), number);
                        held.push((pattern(&text), number, key));
                    }
                    Err(which) if !held.is_empty() => {
                        let (_, number, key) = held.swap_remove(which.index(held.len()));
                        prop_assert_eq!(index.remove(key), Some(number));
                    }
                    Err(_) => {}
                }
                prop_assert_eq!(index.len(), held.len());
                for name in &names {
                    let mut expected: Vec<_> =
                        held.iter().filter(|(pattern, ..)| pattern.matches(name)).map(|(_, number, _)| *number).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(matches(&index, name), expected);
                }
            }
        }
    }
}
