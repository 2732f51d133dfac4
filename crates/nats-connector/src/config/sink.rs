//! What a sink does.

use eventflux_core::{EventFluxError, Properties};
use eventflux_nats::ConnectionConfig;

use super::ineffective;
use crate::sink::{Addressing, JetStreamSinkConfig, RequestConfig};

const QUEUE: &str = "nats.queue.bytes";

/// What a `nats` sink does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NatsSinkConfig {
    /// How to reach NATS.
    pub(crate) connection: ConnectionConfig,
    /// Subject and headers of each event.
    pub(crate) addressing: Addressing,
    /// Payloads that may wait, in bytes.
    pub(crate) queue_bytes: usize,
    /// What it does with them.
    pub(crate) mode: SinkMode,
}

/// What a sink does with events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SinkMode {
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
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        ineffective::refuse_of_sink(properties)?;
        let connection = ConnectionConfig::from_properties(properties)?;
        let addressing = Addressing::from_properties(properties)?;
        let mode = match (properties.is_given("nats.request"), properties.is_given("nats.stream")) {
            (true, _) => SinkMode::Request(RequestConfig::from_properties(properties)?),
            (false, true) => SinkMode::JetStream(JetStreamSinkConfig::from_properties(properties, &addressing)?),
            (false, false) => SinkMode::Core,
        };
        let queue_bytes = properties.size(QUEUE)?;
        if queue_bytes == 0 {
            return Err(
                EventFluxError::property(QUEUE, "'0' leaves no room for an event").with_hint("for example 16MiB")
            );
        }
        Ok(Self { connection, addressing, queue_bytes, mode })
    }
}
