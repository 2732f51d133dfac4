//! The factories: from validated properties to a source or a sink.

use std::sync::Arc;

use eventflux_core::{
    ConnectorContext, EventFluxError, MetadataSpec, Properties, PropertySpec, Sink, SinkFactory, Source, SourceFactory,
};

use crate::config::{NatsSinkConfig, NatsSourceConfig};
use crate::replies::Exchanges;
use crate::{METADATA, NatsSink, NatsSource, SINK_PROPERTIES, SOURCE_PROPERTIES};

const NAME: &str = "nats";
const FORMATS: &[&str] = &["json", "text", "bytes", "csv"];

/// Makes `nats` sources.
#[derive(Debug, Clone, Default)]
pub struct NatsSourceFactory {
    exchanges: Arc<Exchanges>,
}

/// Makes `nats` sinks.
#[derive(Debug, Clone, Default)]
pub struct NatsSinkFactory {
    exchanges: Arc<Exchanges>,
}

impl NatsSourceFactory {
    pub(crate) fn sharing(exchanges: Arc<Exchanges>) -> Self {
        Self { exchanges }
    }
}

impl NatsSinkFactory {
    pub(crate) fn sharing(exchanges: Arc<Exchanges>) -> Self {
        Self { exchanges }
    }
}

impl SourceFactory for NatsSourceFactory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn doc(&self) -> &'static str {
        "Receives messages of NATS: of subjects, of a JetStream stream that is acknowledged, or answers to requests."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        FORMATS
    }

    fn properties(&self) -> &'static [PropertySpec] {
        SOURCE_PROPERTIES
    }

    fn metadata(&self) -> &'static [MetadataSpec] {
        METADATA
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Source>, EventFluxError> {
        let config = NatsSourceConfig::from_properties(properties)?;
        Ok(Box::new(NatsSource::new(config, context.clone(), &self.exchanges)?))
    }
}

impl SinkFactory for NatsSinkFactory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn doc(&self) -> &'static str {
        "Publishes each event to NATS: to a subject, to a JetStream stream that confirms it, as a request, or as an answer."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        FORMATS
    }

    fn properties(&self) -> &'static [PropertySpec] {
        SINK_PROPERTIES
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError> {
        let config = NatsSinkConfig::from_properties(properties)?;
        Ok(Box::new(NatsSink::new(config, context.clone(), &self.exchanges)?))
    }
}
