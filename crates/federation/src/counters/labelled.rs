//! Counters of one name that differ in one label of few values.

use std::sync::Arc;

use eventflux_core::metrics::Counter;

/// What methods that nobody here knows are called in metrics: peers must not make up labels.
pub const OTHER_METHOD: &str = "other";

/// Methods as metrics call them.
pub const METHOD_LABELS: [&str; 8] =
    ["backpressure", "subscribe", "replay", "status", "announce", "unsubscribe", "authenticate", OTHER_METHOD];

/// What replies say of themselves, as metrics call it.
pub const STATUS_LABELS: [&str; 3] = ["ok", "error", "other"];

/// See the module. Copies share the counters.
#[derive(Debug, Clone)]
pub struct Labelled(Arc<[(&'static str, Counter)]>);

impl Labelled {
    /// One counter for each label. The last one stands for all others.
    #[must_use]
    pub fn new(labels: &[&'static str], mut counter: impl FnMut(&'static str) -> Counter) -> Self {
        Self(labels.iter().map(|&label| (label, counter(label))).collect())
    }

    /// One more of that label.
    pub fn increment(&self, label: &str) {
        let known = self.0.iter().find(|(known, _)| *known == label);
        if let Some((_, counter)) = known.or(self.0.last()) {
            counter.increment();
        }
    }

    /// Labels and counts.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(label, counter)| (*label, counter.value()))
    }

    /// The count of that label; 0 where there is none.
    #[must_use]
    pub fn value(&self, label: &str) -> u64 {
        self.values().find(|(known, _)| *known == label).map_or(0, |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_label_counts_as_other() {
        let counters = Labelled::new(&METHOD_LABELS, |_| Counter::default());
        ["status", "made up", "status", "another"].into_iter().for_each(|method| counters.increment(method));
        assert_eq!((counters.value("status"), counters.value(OTHER_METHOD), counters.value("made up")), (2, 2, 0));
        assert_eq!(counters.values().map(|(_, count)| count).sum::<u64>(), 4);
    }
}
