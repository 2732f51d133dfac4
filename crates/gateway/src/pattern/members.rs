//! A list whose members are found again by where they are: adding and removing cost the same however long it is.

use std::collections::HashMap;
use std::hash::Hash;

/// What is smaller than this is not worth giving back, in elements.
const KEPT_CAPACITY: usize = 8;

/// Members of a group without order or gaps, each with the number it is known by outside.
#[derive(Debug)]
pub(crate) struct Members<T>(Vec<(u64, T)>);

impl<T> Members<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, member)| member)
    }

    /// Adds a member; gives its place.
    pub(crate) fn push(&mut self, number: u64, member: T) -> usize {
        self.0.push((number, member));
        self.0.len() - 1
    }

    /// Takes the member of that place, and tells the number of the one that is at that place now.
    pub(crate) fn take(&mut self, place: usize) -> Option<(T, Option<u64>)> {
        if place >= self.0.len() {
            return None;
        }
        let (_, member) = self.0.swap_remove(place);
        shrink_vec(&mut self.0);
        Some((member, self.0.get(place).map(|(number, _)| *number)))
    }
}

/// Gives memory back after a removal, so rarely that removals stay cheap.
pub(crate) fn shrink_map<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if is_sparse(map.len(), map.capacity()) {
        map.shrink_to(map.len() * 2);
    }
}

/// Gives memory back after a removal, so rarely that removals stay cheap.
pub(crate) fn shrink_vec<T>(vec: &mut Vec<T>) {
    if is_sparse(vec.len(), vec.capacity()) {
        vec.shrink_to(vec.len() * 2);
    }
}

fn is_sparse(len: usize, capacity: usize) -> bool {
    capacity > KEPT_CAPACITY && len < capacity / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back() {
        let mut members = Members::new();
        let mut map = HashMap::new();
        for number in 0..10_000 {
            members.push(number, number);
            map.insert(number, number);
        }
        for number in 10..10_000 {
            members.take(10).unwrap();
            map.remove(&number);
            shrink_map(&mut map);
        }
        assert_eq!(members.iter().count(), 10);
        assert!(members.0.capacity() < 100, "{}", members.0.capacity());
        assert!(map.capacity() < 100, "{}", map.capacity());
    }
}
