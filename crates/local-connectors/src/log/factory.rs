//! Makes `log` sinks.

use eventflux_core::{ConnectorContext, EventFluxError, Properties, PropertySpec, Sink, SinkFactory};

use super::{LogSink, LogSinkConfig, SINK_PROPERTIES};

/// The factory of type `log`.
#[derive(Debug, Clone, Copy)]
pub struct LogSinkFactory;

impl SinkFactory for LogSinkFactory {
    fn name(&self) -> &'static str {
        "log"
    }

    fn doc(&self) -> &'static str {
        "Each event as a line on the terminal or in the program's log, safe to show."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["text", "json", "csv", "bytes"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        SINK_PROPERTIES
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError> {
        let config = LogSinkConfig::from_properties(properties)?;
        Ok(Box::new(LogSink::new(config, context.clone())))
    }
}
