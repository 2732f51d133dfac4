//! Counters and gauges: a registry of bounded size, and the standard set every connector has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Largest number of series a registry keeps; further ones count, but are not shown.
pub const MAX_SERIES: usize = 10_000;

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds `count`.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// The count so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down, never below zero.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Subtracts one; stays at zero.
    pub fn decrement(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| value.checked_sub(1));
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    name: &'static str,
    labels: Vec<(&'static str, String)>,
}

/// The registry. Copies share it.
#[derive(Clone, Default)]
pub struct Metrics {
    series: Arc<Mutex<BTreeMap<Series, Arc<AtomicU64>>>>,
}

/// One series at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Metric name; counters end in `_total`.
    pub name: &'static str,
    /// Label names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: u64,
}

impl Metrics {
    /// The counter of that name and those labels, made when it is first asked for.
    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        Counter(self.cell(name, labels))
    }

    /// The gauge of that name and those labels, made when it is first asked for.
    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        Gauge(self.cell(name, labels))
    }

    /// All series, by name and labels.
    pub fn samples(&self) -> Vec<Sample> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series
            .iter()
            .map(|(key, value)| Sample {
                name: key.name,
                labels: key.labels.clone(),
                value: value.load(Ordering::Relaxed),
            })
            .collect()
    }

    fn cell(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Arc<AtomicU64> {
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let full = series.len() >= MAX_SERIES;
        match series.entry(Series { name, labels }) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.get().clone(),
            std::collections::btree_map::Entry::Vacant(_) if full => Arc::default(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Arc::default()).clone(),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.samples()).finish()
    }
}

macro_rules! connector_metrics {
    ($($field:ident: $kind:ident $source:literal $sink:literal $doc:literal,)*) => {
        /// The standard metrics of a source or sink. Copies share them.
        #[derive(Debug, Clone, Default)]
        pub struct ConnectorMetrics {
            $(#[doc = $doc] pub $field: $kind,)*
        }

        impl ConnectorMetrics {
            /// Registers the metrics of one source.
            pub fn for_source(metrics: &Metrics, stream: &str, connector: &str) -> Self {
                let labels = [("stream", stream), ("type", connector)];
                Self { $($field: connector_metrics!(@register metrics $kind $source labels),)* }
            }

            /// Registers the metrics of one sink.
            pub fn for_sink(metrics: &Metrics, stream: &str, connector: &str) -> Self {
                let labels = [("stream", stream), ("type", connector)];
                Self { $($field: connector_metrics!(@register metrics $kind $sink labels),)* }
            }

            /// Name for a source, name for a sink, and meaning of each metric.
            pub const TABLE: &[(&'static str, &'static str, &'static str)] = &[$(($source, $sink, $doc),)*];
        }
    };
    (@register $metrics:ident Counter $name:literal $labels:ident) => { $metrics.counter($name, &$labels) };
    (@register $metrics:ident Gauge $name:literal $labels:ident) => { $metrics.gauge($name, &$labels) };
}
connector_metrics! {
    messages: Counter "eventflux_source_messages_total" "eventflux_sink_messages_total" "Messages received from, or accepted for, the endpoint.",
    bytes: Counter "eventflux_source_bytes_total" "eventflux_sink_bytes_total" "Payload bytes of those messages.",
    events: Counter "eventflux_source_events_total" "eventflux_sink_events_total" "Events decoded from, or encoded into, those messages.",
    dropped: Counter "eventflux_source_dropped_total" "eventflux_sink_dropped_total" "Events given up by strategy or queue policy.",
    failed: Counter "eventflux_source_failed_total" "eventflux_sink_failed_total" "Events that failed, whatever became of them.",
    retried: Counter "eventflux_source_retries_total" "eventflux_sink_retries_total" "New tries of events that had failed.",
    dead_lettered: Counter "eventflux_source_dead_letters_total" "eventflux_sink_dead_letters_total" "Events handed to the dead-letter stream.",
    reconnects: Counter "eventflux_source_reconnects_total" "eventflux_sink_reconnects_total" "Connections made after the first one.",
    gaps: Counter "eventflux_source_gaps_total" "eventflux_sink_gaps_total" "Times the connection was away, so that the peer's messages of that time may be missing.",
    connections: Gauge "eventflux_source_connections" "eventflux_sink_connections" "Open connections.",
    queue_bytes: Gauge "eventflux_source_queue_bytes" "eventflux_sink_queue_bytes" "Bytes that wait in the queue.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_and_labels_are_the_same_series() {
        let metrics = Metrics::default();
        metrics.counter("a_total", &[("x", "1")]).add(2);
        metrics.counter("a_total", &[("x", "1")]).increment();
        metrics.counter("a_total", &[("x", "2")]).increment();
        let values: Vec<_> = metrics.samples().iter().map(|sample| sample.value).collect();
        assert_eq!(values, [3, 1]);
    }

    #[test]
    fn the_registry_is_bounded() {
        let metrics = Metrics::default();
        for number in 0..MAX_SERIES + 5 {
            metrics.counter("a_total", &[("x", &number.to_string())]).increment();
        }
        assert_eq!(metrics.samples().len(), MAX_SERIES);
    }

    #[test]
    fn a_gauge_stays_at_zero() {
        let gauge = Gauge::default();
        gauge.decrement();
        assert_eq!(gauge.value(), 0);
    }
}
