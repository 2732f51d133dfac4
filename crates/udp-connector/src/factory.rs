//! Makes `udp` sources.

use eventflux_core::{ConnectorContext, EventFluxError, MetadataSpec, Properties, PropertySpec, Source, SourceFactory};

use crate::{METADATA, SOURCE_PROPERTIES, UdpSource, UdpSourceConfig};

/// The factory of type `udp`.
#[derive(Debug, Clone, Copy)]
pub struct UdpSourceFactory;

impl SourceFactory for UdpSourceFactory {
    fn name(&self) -> &'static str {
        "udp"
    }

    fn doc(&self) -> &'static str {
        "Receives datagrams: each one is a message."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["json", "text", "csv", "bytes"]
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
        let config = UdpSourceConfig::from_properties(properties)?;
        Ok(Box::new(UdpSource::new(config, context.clone())))
    }
}
