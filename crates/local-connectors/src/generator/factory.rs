//! Makes `generator` sources.

use eventflux_core::{ConnectorContext, EventFluxError, Properties, PropertySpec, Source, SourceFactory};

use super::{GeneratorSource, GeneratorSourceConfig, SOURCE_PROPERTIES};

/// The factory of type `generator`.
#[derive(Debug, Clone, Copy)]
pub struct GeneratorSourceFactory;

impl SourceFactory for GeneratorSourceFactory {
    fn name(&self) -> &'static str {
        "generator"
    }

    fn doc(&self) -> &'static str {
        "Synthetic messages from a template with random and running values, at a rate."
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
        let config = GeneratorSourceConfig::from_properties(properties)?;
        Ok(Box::new(GeneratorSource::new(config, context.clone())))
    }
}
