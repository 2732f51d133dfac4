//! What is awaited until a deadline.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// Values by key, each with its deadline. As large as its user lets it become.
#[derive(Debug)]
pub(super) struct Waiting<K, V> {
    values: HashMap<K, (Instant, V)>,
    deadlines: BTreeSet<(Instant, K)>,
}

impl<K, V> Default for Waiting<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), deadlines: BTreeSet::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord, V> Waiting<K, V> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.values.values().map(|(_, value)| value)
    }

    /// The key must not be there yet.
    pub(super) fn insert(&mut self, key: K, deadline: Instant, value: V) {
        self.deadlines.insert((deadline, key.clone()));
        self.values.insert(key, (deadline, value));
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (deadline, value) = self.values.remove(key)?;
        self.deadlines.remove(&(deadline, key.clone()));
        Some(value)
    }

    /// Takes out one whose deadline has passed.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(K, V)> {
        if self.earliest()? > now {
            return None;
        }
        let (_, key) = self.deadlines.pop_first()?;
        let (_, value) = self.values.remove(&key)?;
        Some((key, value))
    }

    /// The next deadline.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out everything.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (K, V)> {
        self.deadlines.clear();
        std::mem::take(&mut self.values).into_iter().map(|(key, (_, value))| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_comes_in_the_order_of_deadlines() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut waiting = Waiting::default();
        [("c", 3), ("a", 1), ("b", 2)].into_iter().for_each(|(key, due)| waiting.insert(key, at(due), due));
        assert_eq!(waiting.remove(&"b"), Some(2));
        assert_eq!(waiting.remove(&"b"), None);
        assert_eq!((waiting.len(), waiting.earliest()), (2, Some(at(1))));
        assert_eq!(waiting.pop_due(at(0)), None);
        assert_eq!(waiting.pop_due(at(5)), Some(("a", 1)));
        assert_eq!(waiting.pop_due(at(5)), Some(("c", 3)));
        assert_eq!((waiting.pop_due(at(5)), waiting.earliest()), (None, None));
    }
}
