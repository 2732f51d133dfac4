//! Counters and gauges: a registry of bounded size, and the standard set every connector has.

mod registry;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::reports::Reports;
use registry::Registry;
pub use registry::{FOLDED, Family, Labels, MAX_NAMES, MAX_SERIES, MAX_SERIES_PER_NAME, MILLION, MetricKind, OTHER};

/// Largest number of measurements; further ones are not made.
pub const MAX_MEASUREMENTS: usize = 1_000;

type Measure = dyn Fn() + Send + Sync;

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

    /// Makes it at least `count`: for what somebody else counts, and is only shown here.
    pub fn raise_to(&self, count: u64) {
        self.0.fetch_max(count, Ordering::Relaxed);
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

/// A gauge of a number with decimals, such as seconds or a part of a whole: exact to the millionth, never below zero.
#[derive(Debug, Clone, Default)]
pub struct DecimalGauge(Arc<AtomicU64>);

impl DecimalGauge {
    /// Replaces the value. What is no number, or below zero, is zero.
    pub fn set(&self, value: f64) {
        // A cast of floats saturates.
        self.0.store((value * MILLION as f64).round() as u64, Ordering::Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / MILLION as f64
    }
}

/// The registry of the numbers of a pipeline, and of what its parts report about themselves. Copies share it.
///
/// Labels whose values come from peers are safe: the number of series of a name is bounded, and what finds no room goes
/// into a series labelled [`OTHER`]. A gauge that is set there shows what was set last by any of those it stands for.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    measurements: Arc<Mutex<Vec<Weak<Measure>>>>,
    reports: Reports,
    components: Reports,
}

/// What is measured when the series are read, until this is dropped.
#[must_use = "nothing is measured any more when this is dropped"]
pub struct Measurement(Option<Arc<Measure>>);

/// One series at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Metric name; counters end in `_total`.
    pub name: &'static str,
    /// Label names and values.
    pub labels: Labels,
    /// The value; of a [`DecimalGauge`] in millionths.
    pub value: u64,
}

impl Metrics {
    /// The counter of that name and those labels, made when it is first asked for.
    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        Counter(self.cell(MetricKind::Counter, name, labels))
    }

    /// The gauge of that name and those labels, made when it is first asked for.
    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        Gauge(self.cell(MetricKind::Gauge, name, labels))
    }

    /// The gauge of that name and those labels whose value has decimals, made when it is first asked for.
    pub fn decimal_gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> DecimalGauge {
        DecimalGauge(self.cell(MetricKind::Decimal, name, labels))
    }

    /// Says in one sentence what the metrics of that name count; what was said first stays.
    pub fn describe(&self, name: &'static str, help: &'static str) {
        self.lock().describe(name, help);
    }

    /// All series, by name and labels.
    pub fn samples(&self) -> Vec<Sample> {
        let samples = |family: Family| {
            family.series.into_iter().map(move |(labels, value)| Sample { name: family.name, labels, value })
        };
        self.families().into_iter().flat_map(samples).collect()
    }

    /// All series, grouped by name, with what is known about each name. Measures first.
    pub fn families(&self) -> Vec<Family> {
        let measurements: Vec<_> = self.measurements().iter().filter_map(Weak::upgrade).collect();
        // Without a lock: they set gauges.
        measurements.iter().for_each(|measure| measure());
        self.lock().families()
    }

    /// Calls `measure` whenever the series are read, until what this returns is dropped: to set gauges that would cost
    /// too much to keep up to date all the time. It must not block for long, and must not read the series itself.
    pub fn measure(&self, measure: impl Fn() + Send + Sync + 'static) -> Measurement {
        let mut measurements = self.measurements();
        measurements.retain(|known| known.strong_count() > 0);
        if measurements.len() >= MAX_MEASUREMENTS {
            log::warn!("{MAX_MEASUREMENTS} measurements are made, and no further one");
            return Measurement(None);
        }
        let measure: Arc<Measure> = Arc::new(measure);
        measurements.push(Arc::downgrade(&measure));
        Measurement(Some(measure))
    }

    /// Where parts of the pipeline report about themselves in more than numbers.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Where parts of the pipeline say whether they are well: JSON objects with `healthy`, a boolean, made in no time.
    pub fn components(&self) -> &Reports {
        &self.components
    }

    fn cell(&self, kind: MetricKind, name: &'static str, labels: &[(&'static str, &str)]) -> Arc<AtomicU64> {
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        self.lock().cell(kind, name, labels)
    }

    fn measurements(&self) -> MutexGuard<'_, Vec<Weak<Measure>>> {
        self.measurements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measurement").field("is_made", &self.0.is_some()).finish()
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
                $(metrics.describe($source, $doc);)*
                Self { $($field: connector_metrics!(@register metrics $kind $source labels),)* }
            }

            /// Registers the metrics of one sink.
            pub fn for_sink(metrics: &Metrics, stream: &str, connector: &str) -> Self {
                let labels = [("stream", stream), ("type", connector)];
                $(metrics.describe($sink, $doc);)*
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
    bytes: Counter "eventflux_source_bytes_total" "eventflux_sink_bytes_total" "Payload bytes of the messages.",
    events: Counter "eventflux_source_events_total" "eventflux_sink_events_total" "Events decoded from, or encoded into, the messages.",
    dropped: Counter "eventflux_source_dropped_total" "eventflux_sink_dropped_total" "Events given up by strategy or queue policy.",
    failed: Counter "eventflux_source_failed_total" "eventflux_sink_failed_total" "Events that failed, whatever became of them.",
    unreadable: Counter "eventflux_source_unreadable_total" "eventflux_sink_unwritable_total" "Of those that failed: messages that could not be decoded, or events that could not be encoded.",
    refused: Counter "eventflux_source_refused_total" "eventflux_sink_refused_total" "Times an event was not taken: from a source by a query, from a sink by its endpoint; tries that were repeated included.",
    retried: Counter "eventflux_source_retries_total" "eventflux_sink_retries_total" "New tries of events that had failed.",
    dead_lettered: Counter "eventflux_source_dead_letters_total" "eventflux_sink_dead_letters_total" "Events handed to the dead-letter stream.",
    reconnects: Counter "eventflux_source_reconnects_total" "eventflux_sink_reconnects_total" "Connections made after the first one.",
    gaps: Counter "eventflux_source_gaps_total" "eventflux_sink_gaps_total" "Times the connection was away, so that the peer's messages of that time may be missing.",
    connections: Gauge "eventflux_source_connections" "eventflux_sink_connections" "Open connections.",
    queue_bytes: Gauge "eventflux_source_queue_bytes" "eventflux_sink_queue_bytes" "Bytes that wait in the queue; of a sink that serves clients: in that of the client for which most waits.",
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
    fn series_beyond_the_limit_of_a_name_are_counted_together() {
        let metrics = Metrics::default();
        for number in 0..MAX_SERIES_PER_NAME + 5 {
            let labels = [("endpoint", &*number.to_string()), ("reason", "x")];
            metrics.counter("a_total", &labels).increment();
        }
        metrics.counter("a_total", &[("endpoint", "0"), ("reason", "x")]).increment();
        let samples = metrics.samples();
        let other: Labels = vec![("endpoint", OTHER.to_owned()), ("reason", OTHER.to_owned())];
        let of = |name: &str, labels: &Labels| {
            samples.iter().find(|sample| sample.name == name && &sample.labels == labels).map(|sample| sample.value)
        };
        assert_eq!(samples.iter().filter(|sample| sample.name == "a_total").count(), MAX_SERIES_PER_NAME + 1);
        assert_eq!(of("a_total", &other), Some(5));
        assert_eq!(of("a_total", &vec![("endpoint", "0".to_owned()), ("reason", "x".to_owned())]), Some(2));
        assert_eq!(of(FOLDED, &vec![("metric", "a_total".to_owned())]), Some(5));
    }

    #[test]
    fn all_names_together_are_bounded_and_a_metric_without_labels_always_finds_room() {
        let metrics = Metrics::default();
        let names: Vec<&'static str> = (0..MAX_SERIES / MAX_SERIES_PER_NAME + 2)
            .map(|number| &*Box::leak(format!("name_{number:02}_total").into_boxed_str()))
            .collect();
        for name in &names {
            for number in 0..MAX_SERIES_PER_NAME {
                metrics.counter(name, &[("x", &number.to_string())]).increment();
            }
        }
        metrics.counter("z_total", &[]).increment();
        let samples = metrics.samples();
        let count = samples.iter().filter(|sample| sample.name.starts_with("name_")).count();
        // The two names that found everything full have a series each.
        assert_eq!(count, MAX_SERIES + 2);
        assert_eq!(samples.iter().find(|sample| sample.name == "z_total").map(|sample| sample.value), Some(1));
    }

    #[test]
    fn names_are_bounded() {
        let metrics = Metrics::default();
        for number in 0..MAX_NAMES + 5 {
            metrics.counter(Box::leak(number.to_string().into_boxed_str()), &[]).increment();
        }
        assert_eq!(metrics.families().len(), MAX_NAMES);
    }

    #[test]
    fn a_family_knows_its_kind_and_what_was_said_about_it() {
        let metrics = Metrics::default();
        metrics.gauge("open", &[]).set(3);
        metrics.describe("open", "Open doors.");
        metrics.describe("open", "Something else.");
        metrics.counter("opened_total", &[("door", "a")]).increment();
        let [open, opened] = &metrics.families()[..] else { panic!("{metrics:?}") };
        assert_eq!((open.kind, open.help), (MetricKind::Gauge, Some("Open doors.")));
        assert_eq!((opened.kind, opened.help), (MetricKind::Counter, None));
        assert_eq!(opened.series, [(vec![("door", "a".to_owned())], 1)]);
    }

    #[test]
    fn the_metrics_of_every_connector_are_described() {
        let metrics = Metrics::default();
        ConnectorMetrics::for_source(&metrics, "S", "memory");
        ConnectorMetrics::for_sink(&metrics, "S", "memory");
        let families = metrics.families();
        assert_eq!(families.len(), 2 * ConnectorMetrics::TABLE.len());
        let counter = |family: &Family| family.kind == MetricKind::Counter;
        assert!(
            families.iter().all(|family| family.help.is_some() && counter(family) == family.name.ends_with("_total"))
        );
    }

    #[test]
    fn what_is_measured_is_measured_when_the_series_are_read_until_nobody_wants_it_any_more() {
        let metrics = Metrics::default();
        let gauge = metrics.gauge("waiting", &[]);
        let (measured, count) = (gauge.clone(), Counter::default());
        let measurement = metrics.clone().measure(move || {
            count.increment();
            measured.set(count.value());
        });
        assert_eq!(gauge.value(), 0);
        assert_eq!((metrics.samples()[0].value, metrics.samples()[0].value), (1, 2));
        drop(measurement);
        assert_eq!(metrics.samples()[0].value, 2);
    }

    #[test]
    fn a_gauge_with_decimals_is_exact_to_the_millionth() {
        let metrics = Metrics::default();
        let gauge = metrics.decimal_gauge("part", &[]);
        for (set, expected, millionths) in
            [(0.045, 0.045, 45_000), (2.000_000_4, 2.0, 2_000_000), (-1.0, 0.0, 0), (f64::NAN, 0.0, 0)]
        {
            gauge.set(set);
            assert_eq!((gauge.value(), metrics.samples()[0].value), (expected, millionths));
        }
        assert_eq!(metrics.families()[0].kind.name(), "gauge");
    }

    #[test]
    fn a_counter_that_shows_what_somebody_else_counts_never_goes_back() {
        let counter = Counter::default();
        [3, 7, 5].into_iter().for_each(|count| counter.raise_to(count));
        assert_eq!(counter.value(), 7);
    }

    #[test]
    fn measurements_are_bounded() {
        let metrics = Metrics::default();
        let count = Counter::default();
        let measure = || {
            let count = count.clone();
            metrics.measure(move || count.increment())
        };
        let measurements: Vec<_> = (0..MAX_MEASUREMENTS + 5).map(|_| measure()).collect();
        metrics.families();
        assert_eq!(count.value(), MAX_MEASUREMENTS as u64);
        drop(measurements);
        let _measurement = measure();
        metrics.families();
        assert_eq!(count.value(), MAX_MEASUREMENTS as u64 + 1);
    }

    #[test]
    fn a_gauge_stays_at_zero() {
        let gauge = Gauge::default();
        gauge.decrement();
        assert_eq!(gauge.value(), 0);
    }
}
