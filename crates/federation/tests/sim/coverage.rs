//! What simulations came across: a scenario that never happens proves nothing.

use std::collections::BTreeMap;

/// How often something happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// What a run of all families has to come across.
    pub(crate) const NEEDED: [&'static str; 24] = [
        "published",
        "taken",
        "publisher waited for room",
        "cut with something under way",
        "half-open connection",
        "connection taken over",
        "duplicate recognised",
        "not taken",
        "given again",
        "receiver restarted",
        "sender restarted with its store",
        "sender restarted without a store",
        "published, not stored, and gone",
        "loaded from the store",
        "store failed",
        "store full",
        "dropped, oldest",
        "dropped, newest",
        "gap told",
        "receiver forgotten",
        "wants changed",
        "stream replaced",
        "acknowledged after a delay",
        "plain events",
    ];

    pub(crate) fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, count)| self.add(what, *count));
    }

    pub(crate) fn never(&self) -> Vec<&'static str> {
        Self::NEEDED.into_iter().filter(|what| self.0.get(what).copied().unwrap_or(0) == 0).collect()
    }
}
