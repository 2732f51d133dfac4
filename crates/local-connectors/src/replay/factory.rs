//! Makes `replay` sources.

use eventflux_core::{ConnectorContext, EventFluxError, Properties, PropertySpec, Source, SourceFactory};

use super::{ReplaySource, ReplaySourceConfig, SOURCE_PROPERTIES};

/// The factory of type `replay`.
#[derive(Debug, Clone, Copy)]
pub struct ReplaySourceFactory;

impl SourceFactory for ReplaySourceFactory {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn doc(&self) -> &'static str {
        "Messages from a file of lines, at a rate or at the times they were recorded, once or again and again."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["json", "text", "csv", "bytes"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        SOURCE_PROPERTIES
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Source>, EventFluxError> {
        let config = ReplaySourceConfig::from_properties(properties)?;
        Ok(Box::new(ReplaySource::new(config, context.clone())))
    }
}
