//! What a source does.

use eventflux_core::{EventFluxError, Properties};
use eventflux_nats::ConnectionConfig;

use super::ineffective;
use crate::source::{CoreConfig, JetStreamConfig, PartitionsConfig};

/// What a `nats` source does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NatsSourceConfig {
    /// How to reach NATS; `None` for one that hears answers: who asks is connected.
    pub(crate) connection: Option<ConnectionConfig>,
    /// What it receives.
    pub(crate) mode: SourceMode,
}

/// What a source receives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SourceMode {
    /// What is published to subjects.
    Core(CoreConfig),
    /// The messages of a stream that a durable consumer shares out.
    JetStream(JetStreamConfig),
    /// The messages of a stream by partitions.
    Partitions(PartitionsConfig),
    /// Answers to the requests of a sink.
    Replies(String),
}

impl NatsSourceConfig {
    /// Reads validated properties. Does no I/O.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express, and for properties that have no effect
    /// beside what is given: one that is accepted works.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        ineffective::refuse_of_source(properties)?;
        if properties.is_given("nats.replies") {
            return Ok(Self { connection: None, mode: SourceMode::Replies(super::name(properties, "nats.replies")?) });
        }
        if !properties.is_given("nats.url") {
            let error = EventFluxError::property("nats.url", "is required but missing");
            return Err(error.with_hint("for example 'nats://10.0.0.1:4222'"));
        }
        let connection = Some(ConnectionConfig::from_properties(properties)?);
        let mode = match (properties.is_given("nats.stream"), properties.is_given("partition.count")) {
            (false, _) => SourceMode::Core(CoreConfig::from_properties(properties)?),
            (true, false) => SourceMode::JetStream(JetStreamConfig::from_properties(properties)?),
            (true, true) => SourceMode::Partitions(PartitionsConfig::from_properties(properties)?),
        };
        Ok(Self { connection, mode })
    }
}
