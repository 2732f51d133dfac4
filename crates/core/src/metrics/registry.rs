//! What a [`Metrics`](super::Metrics) holds: series by name and labels, within limits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Largest number of names a registry keeps; series of further ones count, but are not shown.
pub const MAX_NAMES: usize = 1_000;

/// Largest number of series (sets of labels) of one name. What further ones count goes into one more series, whose
/// labels all have the value [`OTHER`].
pub const MAX_SERIES_PER_NAME: usize = 1_000;

/// Largest number of series of all names together; beyond it each name still has the one of [`OTHER`].
pub const MAX_SERIES: usize = 10_000;

/// Value of the labels of the series that stands for all that found no room.
pub const OTHER: &str = "other";

/// Counts how often a series was asked for that found no room, by the name of its `metric`.
pub const FOLDED: &str = "eventflux_metrics_folded_total";

/// What the value of a [`MetricKind::Decimal`] counts is so small a part of one.
pub const MILLION: u64 = 1_000_000;

/// Names and values of labels.
pub type Labels = Vec<(&'static str, String)>;

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A gauge whose value is in millionths.
    Decimal,
}

impl MetricKind {
    /// `counter` or `gauge`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Decimal => "gauge",
        }
    }
}

/// All series of one name at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Metric name; counters end in `_total`.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: MetricKind,
    /// What it counts, in one sentence, when that was said.
    pub help: Option<&'static str>,
    /// Labels and value of each series, by labels.
    pub series: Vec<(Labels, u64)>,
}

#[derive(Default)]
pub(super) struct Registry {
    members: BTreeMap<&'static str, Member>,
    helps: BTreeMap<&'static str, &'static str>,
    /// Number of series of all names, those of `OTHER` included.
    series: usize,
}

struct Member {
    kind: MetricKind,
    series: BTreeMap<Labels, Arc<AtomicU64>>,
    folded: u64,
}

impl Registry {
    /// The number of that name and those labels. Who asks first decides what kind it is.
    pub(super) fn cell(&mut self, kind: MetricKind, name: &'static str, labels: Labels) -> Arc<AtomicU64> {
        if self.members.len() >= MAX_NAMES && !self.members.contains_key(name) {
            return Arc::default();
        }
        let member = self.members.entry(name).or_insert_with(|| Member { kind, series: BTreeMap::new(), folded: 0 });
        if let Some(cell) = member.series.get(&labels) {
            return cell.clone();
        }
        let full = member.series.len() >= MAX_SERIES_PER_NAME || self.series >= MAX_SERIES;
        let labels = if full && !labels.is_empty() { member.fold(labels) } else { labels };
        let before = member.series.len();
        let cell = member.series.entry(labels).or_default().clone();
        self.series += member.series.len() - before;
        cell
    }

    pub(super) fn describe(&mut self, name: &'static str, help: &'static str) {
        if self.helps.len() < MAX_NAMES {
            self.helps.entry(name).or_insert(help);
        }
    }

    /// Everything, by name.
    pub(super) fn families(&self) -> Vec<Family> {
        let mut families: Vec<_> = self.members.iter().map(|(name, member)| self.family(name, member)).collect();
        families.extend(self.folded());
        families.sort_by_key(|family| family.name);
        families
    }

    fn family(&self, name: &'static str, member: &Member) -> Family {
        let series = member.series.iter().map(|(labels, value)| (labels.clone(), value.load(Ordering::Relaxed)));
        Family { name, kind: member.kind, help: self.helps.get(name).copied(), series: series.collect() }
    }

    /// The count of what found no room; none as long as there is room.
    fn folded(&self) -> Option<Family> {
        let folded = self.members.iter().filter(|(_, member)| member.folded > 0);
        let series: Vec<_> =
            folded.map(|(name, member)| (vec![("metric", (*name).to_owned())], member.folded)).collect();
        let help = Some("Times a series was asked for that found no room and went into the one labelled 'other'.");
        (!series.is_empty()).then_some(Family { name: FOLDED, kind: MetricKind::Counter, help, series })
    }
}

impl Member {
    /// The labels of the series that stands for `labels`.
    fn fold(&mut self, labels: Labels) -> Labels {
        self.folded += 1;
        labels.into_iter().map(|(name, _)| (name, OTHER.to_owned())).collect()
    }
}
