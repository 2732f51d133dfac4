//! What a sink does.

use eventflux_core::{EventFluxError, Properties};
use eventflux_nats::ConnectionConfig;

use crate::sink::{Addressing, JetStreamSinkConfig, RequestConfig};

/// What a `nats` sink does.
#[derive(Debug, Clone, PartialEq)]
pub struct NatsSinkConfig {
    /// How to reach NATS.
    pub connection: ConnectionConfig,
    /// Subject and headers of each event.
    pub addressing: Addressing,
    /// Payloads that may wait, in bytes.
    pub queue_bytes: usize,
    /// What it does with them.
    pub mode: SinkMode,
}

/// What a sink does with events.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkMode {
    /// Publishes them, or answers with them.
    Core,
    /// Has a stream store them.
    JetStream(JetStreamSinkConfig),
    /// Asks.
    Request(RequestConfig),
}

impl NatsSinkConfig {
    /// Reads validated properties. Does no I/O.
    ///
    /// # Errors
    /// As [`NatsSourceConfig::from_properties`](super::NatsSourceConfig::from_properties).
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let connection = ConnectionConfig::from_properties(properties)?;
        let addressing = Addressing::from_properties(properties)?;
        let mode = match (properties.is_given("nats.request"), properties.is_given("nats.stream")) {
            (true, _) => SinkMode::Request(RequestConfig::from_properties(properties)?),
            (false, true) => SinkMode::JetStream(JetStreamSinkConfig::from_properties(properties, &addressing)?),
            (false, false) => SinkMode::Core,
        };
        Ok(Self { connection, addressing, queue_bytes: properties.size("nats.queue.bytes")?, mode })
    }
}
