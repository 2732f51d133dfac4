//! What the properties of a source with partitions mean.

use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use eventflux_core::{EventFluxError, Properties};
use eventflux_nats::leases::LeaseConfig;
use eventflux_nats::{StreamConfig, subject};

use crate::source::jetstream::config;

const SUBJECT: &str = "nats.subject";
const GROUP: &str = "partition.group";
const LEASE: &str = "partition.lease";
const START: &str = "nats.start";
const RETENTION: &str = "nats.stream.retention";

/// Shortest and longest lease: a shorter one would end while a server of a cluster is replaced.
const LEASES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

const MAX_GROUP_BYTES: usize = 64;

/// What a source reads by partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionsConfig {
    pub(super) stream: StreamConfig,
    /// The subject of all partitions, without the number.
    pub(super) subject: String,
    pub(super) leases: LeaseConfig,
    /// Where partitions begin that nobody has worked on.
    pub(super) start: DeliverPolicy,
    /// Most messages that are delivered and not settled.
    pub(super) unsettled: usize,
    /// Most messages that are asked for at a time, of all partitions together.
    pub(super) fetch_messages: usize,
    /// Most bytes, likewise.
    pub(super) fetch_bytes: usize,
}

impl PartitionsConfig {
    /// Reads validated properties.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let subject = subject_of(properties)?;
        let fetch_bytes = properties.size("nats.fetch.bytes")?;
        if fetch_bytes == 0 {
            let error = EventFluxError::property("nats.fetch.bytes", "'0' leaves no room for a message");
            return Err(error.with_hint("for example 4MiB"));
        }
        if properties.is_given(RETENTION) && properties.text(RETENTION)? != "limits" {
            return Err(retention_error(RETENTION, properties.text(RETENTION)?));
        }
        let all = format!("{subject}.*");
        Ok(Self {
            stream: StreamConfig::from_properties(properties.text("nats.stream")?, properties, &[all])?,
            leases: leases(properties)?,
            subject,
            start: start(properties)?,
            unsettled: properties.integer("nats.max.ack.pending")?,
            fetch_messages: properties.integer("nats.fetch.messages")?,
            fetch_bytes,
        })
    }

    /// The subjects of one partition.
    pub(super) fn filter(&self, partition: u32) -> String {
        format!("{}.{partition}", self.subject)
    }

    /// The subjects of all of them.
    pub(super) fn filter_of_all(&self) -> String {
        format!("{}.*", self.subject)
    }
}

/// For streams that remove what somebody has read: where a partition was left would be gone.
pub(super) fn retention_error(property: &str, found: &str) -> EventFluxError {
    let reason =
        format!("with partition.count the stream has to keep messages until a limit is reached, not '{found}'");
    EventFluxError::property(property, reason)
        .with_hint("a stream with the retention 'limits'; or nats.consumer instead of partitions")
}

fn subject_of(properties: &Properties) -> Result<String, EventFluxError> {
    let Some(text) = properties.optional_text(SUBJECT).map(str::trim) else {
        let error = EventFluxError::property(SUBJECT, "is required with partition.count, but missing");
        return Err(error.with_hint("that of the sink, with * for each column, without the partition: 'trades.*'"));
    };
    if text.contains(',') {
        let error = EventFluxError::property(SUBJECT, format!("'{text}' is more than one subject"));
        return Err(error.with_hint("one, with * for each column: 'trades.*'"));
    }
    subject::check_pattern(text).map_err(|reason| {
        EventFluxError::property(SUBJECT, format!("'{text}' is no subject: {reason}"))
            .with_hint("one, with * for each column: 'trades.*'")
    })?;
    if text.contains('>') {
        let reason = format!("'{text}' ends with > although the number of the partition comes behind it");
        let error = EventFluxError::property(SUBJECT, reason);
        return Err(error.with_hint("* for each token: 'trades.*'"));
    }
    Ok(text.to_owned())
}

fn leases(properties: &Properties) -> Result<LeaseConfig, EventFluxError> {
    let Some(group) = properties.optional_text(GROUP).map(str::trim) else {
        let error = EventFluxError::property(GROUP, "is required with partition.count, but missing");
        return Err(error.with_hint("a name that instances have in common which share the partitions"));
    };
    let is_good = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    if group.is_empty() || group.len() > MAX_GROUP_BYTES || !group.chars().all(is_good) {
        let error = EventFluxError::property(GROUP, format!("'{group}' is no name of a group"));
        return Err(error.with_hint(format!("up to {MAX_GROUP_BYTES} letters, digits, - and _")));
    }
    let lease = properties.duration(LEASE)?;
    if !(LEASES.0..=LEASES.1).contains(&lease) {
        let error = EventFluxError::property(LEASE, format!("'{}ms' is out of range", lease.as_millis()));
        return Err(error.with_hint("from 1s to 10m"));
    }
    Ok(LeaseConfig {
        group: group.to_owned(),
        partitions: properties.integer("partition.count")?,
        lease,
        replicas: properties.integer("partition.replicas")?,
    })
}

fn start(properties: &Properties) -> Result<DeliverPolicy, EventFluxError> {
    if properties.text(START)? == "last_per_subject" {
        let error = EventFluxError::property(START, "'last_per_subject' has no effect with partition.count");
        return Err(error.with_hint("a partition begins at one place: all, new, last, sequence, or time"));
    }
    config::start(properties)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SOURCE_PROPERTIES;

    fn read(raw: &[(&str, &str)]) -> Result<PartitionsConfig, EventFluxError> {
        let base = [
            ("nats.url", "nats://h"),
            ("nats.stream", "TRADES"),
            ("nats.subject", "trades.*"),
            ("partition.count", "16"),
            ("partition.group", "positions"),
        ];
        let base = base.into_iter().filter(|(key, _)| raw.iter().all(|(other, _)| other != key));
        let all = base.chain(raw.iter().copied()).filter(|(_, value)| !value.is_empty());
        PartitionsConfig::from_properties(&Properties::from_pairs(SOURCE_PROPERTIES, all)?)
    }

    #[test]
    fn properties_become_a_configuration() {
        let config = read(&[("partition.lease", "3s"), ("nats.start", "new"), ("partition.replicas", "3")]).unwrap();
        let leases =
            LeaseConfig { group: "positions".to_owned(), partitions: 16, lease: Duration::from_secs(3), replicas: 3 };
        assert_eq!((config.leases.clone(), config.start), (leases, DeliverPolicy::New));
        let config = read(&[]).unwrap();
        assert_eq!((config.filter(7), config.filter_of_all()), ("trades.*.7".to_owned(), "trades.*.*".to_owned()));
        assert_eq!((config.leases.lease, config.start), (Duration::from_secs(5), DeliverPolicy::All));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let cases: [&[(&str, &str)]; 12] = [
            &[("partition.group", "")],
            &[("partition.group", "a.b")],
            &[("partition.lease", "999ms")],
            &[("partition.lease", "11m")],
            &[("nats.subject", "")],
            &[("nats.subject", "trades.>")],
            &[("nats.subject", "trades..a")],
            &[("nats.subject", "a,b")],
            &[("nats.fetch.bytes", "0")],
            &[("nats.start", "last_per_subject")],
            &[("nats.start", "time"), ("nats.start.time", "yesterday")],
            &[("nats.stream.create", "true"), ("nats.stream.retention", "workqueue")],
        ];
        for case in cases {
            let error = read(case).unwrap_err();
            let EventFluxError::Configuration { property: Some(property), hint, .. } = &error else {
                panic!("{case:?}: {error}")
            };
            assert_eq!(property, case.last().unwrap().0, "{error}");
            assert!(hint.is_some(), "{error}");
        }
    }
}
