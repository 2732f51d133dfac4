//! Makes `objectstore` sinks.

use eventflux_core::{ConnectorContext, EventFluxError, Properties, PropertySpec, Sink, SinkFactory};

use crate::{ObjectStoreSink, ObjectStoreSinkConfig, SINK_PROPERTIES};

/// The factory of type `objectstore`.
#[derive(Debug, Clone, Copy)]
pub struct ObjectStoreSinkFactory;

impl SinkFactory for ObjectStoreSinkFactory {
    fn name(&self) -> &'static str {
        "objectstore"
    }

    fn doc(&self) -> &'static str {
        "Collects events into objects: files below a directory, or objects of S3."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["json", "csv", "text", "bytes"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        SINK_PROPERTIES
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError> {
        let config = ObjectStoreSinkConfig::from_properties(properties)?;
        Ok(Box::new(ObjectStoreSink::new(config, context.clone())?))
    }
}
