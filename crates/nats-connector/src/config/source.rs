//! What a source does.

use eventflux_core::{EventFluxError, Properties};
use eventflux_nats::ConnectionConfig;

use crate::source::{CoreConfig, JetStreamConfig, PartitionsConfig};

/// What a `nats` source does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsSourceConfig {
    /// How to reach NATS.
    pub connection: ConnectionConfig,
    /// What it receives.
    pub mode: SourceMode,
}

/// What a source receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceMode {
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
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let connection = ConnectionConfig::from_properties(properties)?;
        let is_given = |key| properties.is_given(key);
        let mode = match (is_given("nats.replies"), is_given("nats.stream"), is_given("partition.count")) {
            (true, ..) => SourceMode::Replies(properties.text("nats.replies")?.to_owned()),
            (false, false, _) => SourceMode::Core(CoreConfig::from_properties(properties)?),
            (false, true, false) => SourceMode::JetStream(JetStreamConfig::from_properties(properties)?),
            (false, true, true) => SourceMode::Partitions(PartitionsConfig::from_properties(properties)?),
        };
        Ok(Self { connection, mode })
    }
}
