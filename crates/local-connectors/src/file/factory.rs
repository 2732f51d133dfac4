//! Makes `file` sinks.

use eventflux_core::{ConnectorContext, EventFluxError, Properties, PropertySpec, Sink, SinkFactory};

use super::{FileSink, FileSinkConfig, SINK_PROPERTIES};

/// The factory of type `file`.
#[derive(Debug, Clone, Copy)]
pub struct FileSinkFactory;

impl SinkFactory for FileSinkFactory {
    fn name(&self) -> &'static str {
        "file"
    }

    fn doc(&self) -> &'static str {
        "Each event as a line of a file, with rotation by size; survives a full disk."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["json", "csv", "text"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        SINK_PROPERTIES
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError> {
        let config = FileSinkConfig::from_properties(properties)?;
        Ok(Box::new(FileSink::new(config, context.clone())))
    }
}
