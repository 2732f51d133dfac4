//! Groups found by what is in a payload.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::MAX_PATH_BYTES;
use super::condition::{Comparison, Path};
use super::document::{Node, Tree};
use super::plan::Step;
use super::scalar::Scalar;
use crate::pattern::{shrink_map, shrink_vec};

/// Groups by the steps that lead to them. Each equality leads to a level of its own.
#[derive(Debug, Default)]
pub(super) struct Level {
    paths: HashMap<Path, AtPath>,
    /// Groups without a further step.
    rest: Vec<u64>,
}

/// Groups by the value at one path.
#[derive(Debug, Default)]
struct AtPath {
    equal: HashMap<Scalar<'static>, Level>,
    above: BTreeMap<Scalar<'static>, Bounded>,
    below: BTreeMap<Scalar<'static>, Bounded>,
}

/// Groups that have the same bound.
#[derive(Debug, Default)]
struct Bounded {
    /// The bound itself is wanted.
    inclusive: Vec<u64>,
    exclusive: Vec<u64>,
}

impl Level {
    pub(super) fn insert(&mut self, steps: &[Step], group: u64) {
        match steps.split_first() {
            None => self.rest.push(group),
            Some((Step::OneOf(alternatives), later)) => {
                for (path, value) in alternatives {
                    let at_path = self.paths.entry(path.clone()).or_default();
                    at_path.equal.entry(value.clone()).or_default().insert(later, group);
                }
            }
            Some((Step::Range { path, comparison, bound }, _)) => {
                let at_path = self.paths.entry(path.clone()).or_default();
                at_path.side(*comparison).entry(bound.clone()).or_default().groups(*comparison).push(group);
            }
        }
    }

    /// Takes out what [`Level::insert`] put in with the same steps.
    pub(super) fn remove(&mut self, steps: &[Step], group: u64) {
        match steps.split_first() {
            None => remove_from(&mut self.rest, group),
            Some((Step::OneOf(alternatives), later)) => {
                for (path, value) in alternatives {
                    self.at_path(path, |at_path| at_path.remove_equal(value, later, group));
                }
            }
            Some((Step::Range { path, comparison, bound }, _)) => {
                self.at_path(path, |at_path| at_path.remove_range(*comparison, bound, group));
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.rest.is_empty()
    }

    /// Adds every group all of whose steps are true of a payload, some perhaps more than once.
    pub(super) fn collect(&self, tree: &Tree<'_>, found: &mut Vec<u64>) {
        found.extend_from_slice(&self.rest);
        // Whichever is less: to look up all paths that are asked for, or all that are there.
        if self.paths.len() <= tree.members {
            for (path, at_path) in &self.paths {
                if let Some(node) = tree.root.find(path) {
                    at_path.collect(node, tree, found);
                }
            }
        } else {
            for (path, at_path) in self.paths_of(tree) {
                if let Some(node) = tree.root.find(path) {
                    at_path.collect(node, tree, found);
                }
            }
        }
    }

    /// The paths that are in a payload and here, each once.
    fn paths_of(&self, tree: &Tree<'_>) -> Vec<(&Path, &AtPath)> {
        let mut paths = Vec::new();
        tree.root.for_each_path(MAX_PATH_BYTES, &mut |path| paths.extend(self.paths.get_key_value(path)));
        paths.sort_unstable_by_key(|(path, _)| *path);
        paths.dedup_by_key(|(path, _)| *path);
        paths
    }

    fn at_path(&mut self, path: &str, change: impl FnOnce(&mut AtPath)) {
        let Some(at_path) = self.paths.get_mut(path) else { return };
        change(at_path);
        if at_path.is_empty() {
            self.paths.remove(path);
            shrink_map(&mut self.paths);
        }
    }
}

impl AtPath {
    fn is_empty(&self) -> bool {
        self.equal.is_empty() && self.above.is_empty() && self.below.is_empty()
    }

    fn side(&mut self, comparison: Comparison) -> &mut BTreeMap<Scalar<'static>, Bounded> {
        match comparison {
            Comparison::Greater | Comparison::GreaterOrEqual => &mut self.above,
            Comparison::Less | Comparison::LessOrEqual | Comparison::Equal => &mut self.below,
        }
    }

    fn remove_equal(&mut self, value: &Scalar<'static>, later: &[Step], group: u64) {
        let Some(level) = self.equal.get_mut(value) else { return };
        level.remove(later, group);
        if level.is_empty() {
            self.equal.remove(value);
            shrink_map(&mut self.equal);
        }
    }

    fn remove_range(&mut self, comparison: Comparison, bound: &Scalar<'static>, group: u64) {
        let side = self.side(comparison);
        let Some(bounded) = side.get_mut(bound) else { return };
        remove_from(bounded.groups(comparison), group);
        if bounded.inclusive.is_empty() && bounded.exclusive.is_empty() {
            side.remove(bound);
        }
    }

    fn collect<'a>(&self, node: &Node<'a>, tree: &Tree<'_>, found: &mut Vec<u64>) {
        // Keys that live for ever are keys that live as long as the payload.
        let equal: &HashMap<Scalar<'a>, Level> = &self.equal;
        match node {
            Node::Scalar(scalar) => {
                if let Some(level) = equal.get(scalar) {
                    level.collect(tree, found);
                }
                self.collect_ranges(scalar, found);
            }
            Node::Array(items) if !equal.is_empty() => {
                let scalars =
                    items.iter().filter_map(|item| if let Node::Scalar(value) = item { Some(value) } else { None });
                let mut known: Vec<_> = scalars.filter_map(|scalar| equal.get_key_value(scalar)).collect();
                known.sort_unstable_by_key(|(value, _)| *value);
                known.dedup_by_key(|(value, _)| *value);
                for (_, level) in known {
                    level.collect(tree, found);
                }
            }
            Node::Array(_) | Node::Object(_) | Node::Null => {}
        }
    }

    fn collect_ranges<'a>(&self, value: &Scalar<'a>, found: &mut Vec<u64>) {
        let above: &BTreeMap<Scalar<'a>, Bounded> = &self.above;
        let below: &BTreeMap<Scalar<'a>, Bounded> = &self.below;
        // Bounds of one type are next to each other: another type ends the search.
        let passed = above.range((Bound::Unbounded, Bound::Excluded(value))).rev();
        let ahead = below.range((Bound::Excluded(value), Bound::Unbounded));
        for (_, bounded) in passed.take_while(|(bound, _)| bound.is_like(value)) {
            bounded.collect(found);
        }
        for (_, bounded) in ahead.take_while(|(bound, _)| bound.is_like(value)) {
            bounded.collect(found);
        }
        for reached in [above.get(value), below.get(value)].into_iter().flatten() {
            found.extend_from_slice(&reached.inclusive);
        }
    }
}

impl Bounded {
    fn groups(&mut self, comparison: Comparison) -> &mut Vec<u64> {
        match comparison {
            Comparison::GreaterOrEqual | Comparison::LessOrEqual | Comparison::Equal => &mut self.inclusive,
            Comparison::Greater | Comparison::Less => &mut self.exclusive,
        }
    }

    fn collect(&self, found: &mut Vec<u64>) {
        found.extend_from_slice(&self.inclusive);
        found.extend_from_slice(&self.exclusive);
    }
}

fn remove_from(groups: &mut Vec<u64>, group: u64) {
    if let Some(place) = groups.iter().position(|known| *known == group) {
        groups.swap_remove(place);
        shrink_vec(groups);
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::super::{Filter, FilterLimits};
    use super::*;
    use crate::filter::plan::steps;

    /// What is found in a payload, before duplicates are taken out.
    fn found(predicates: &[&str], payload: &str) -> Vec<u64> {
        let mut level = Level::default();
        for (group, predicate) in (0..).zip(predicates) {
            let filter = Filter::new(None, Some(predicate), &FilterLimits::default()).unwrap().unwrap();
            level.insert(&steps(&filter.condition), group);
        }
        let mut found = Vec::new();
        level.collect(Document::new(payload.as_bytes()).tree().unwrap(), &mut found);
        found.sort_unstable();
        found
    }

    #[test]
    fn a_payload_cannot_make_a_group_be_found_again_and_again() {
        let tags = format!("{{\"tag\":[{}]}}", vec!["1,2"; 1_000].join(","));
        assert_eq!(found(&["tag = 1", "tag IN (1, 2, 3)", "tag = 3"], &tags), [0, 1, 1]);
        // More paths than members: the payload is walked.
        let twice = r#"{"a":{"b":1},"a.b":1}"#;
        assert_eq!(found(&["a.b = 1", "c = 1", "d = 1", "e = 1", "f = 1"], twice), [0]);
    }

    #[test]
    fn only_bounds_that_are_passed_are_found() {
        let predicates = ["a > 1", "a >= 1", "a < 1", "a <= 1", "a > 'x'", "a < 'x'", "a > FALSE", "a <= TRUE"];
        for (payload, expected) in [
            (r#"{"a":1}"#, vec![1, 3]),
            (r#"{"a":1.5}"#, vec![0, 1]),
            (r#"{"a":0.5}"#, vec![2, 3]),
            (r#"{"a":"x"}"#, vec![]),
            (r#"{"a":"y"}"#, vec![4]),
            (r#"{"a":""}"#, vec![5]),
            (r#"{"a":true}"#, vec![6, 7]),
            (r#"{"a":[1,2]}"#, vec![]),
            (r#"{"a":null}"#, vec![]),
            ("{}", vec![]),
        ] {
            assert_eq!(found(&predicates, payload), expected, "{payload}");
        }
    }
}
