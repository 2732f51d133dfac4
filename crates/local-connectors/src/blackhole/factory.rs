//! Makes `blackhole` sinks.

use eventflux_core::{ConnectorContext, EventFluxError, Properties, PropertySpec, Sink, SinkFactory};

use super::{BlackholeSink, BlackholeSinkConfig, SINK_PROPERTIES};

/// The factory of type `blackhole`.
#[derive(Debug, Clone, Copy)]
pub struct BlackholeSinkFactory;

impl SinkFactory for BlackholeSinkFactory {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn doc(&self) -> &'static str {
        "Counts events and forgets them, for benchmarks and tests."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["json", "text", "csv", "bytes"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        SINK_PROPERTIES
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError> {
        let config = BlackholeSinkConfig::from_properties(properties)?;
        Ok(Box::new(BlackholeSink::new(config, context.clone())))
    }
}
