//! The contract of a plugin: how the engine makes sources, sinks and mappers from properties.

use std::sync::Arc;

use crate::{
    ConnectorContext, EventFluxError, MetadataSpec, Properties, PropertyKind, PropertySpec, Schema, Sink, SinkMapper,
    Source, SourceMapper,
};

/// Properties every source and sink has, besides [`strategy::PROPERTIES`](crate::strategy::PROPERTIES).
pub const COMMON_PROPERTIES: &[PropertySpec] = &[PropertySpec::new(
    "validate.connectivity",
    PropertyKind::Boolean,
    "Whether the endpoint is tried once before the pipeline starts, and a failure ends the run. Without it, an endpoint that is down is retried as the connector's reconnect properties say.",
)
.default("false")];

/// Properties every source has besides [`COMMON_PROPERTIES`].
pub const SOURCE_PROPERTIES: &[PropertySpec] = &[PropertySpec::new(
    "metadata.*",
    PropertyKind::Text,
    "The metadata field of the source that fills the column the key ends with. The format does not decode that column.",
)
.example("received_time")];

/// Properties every format has in the `@map` of a sink.
pub const ENCODER_PROPERTIES: &[PropertySpec] = &[PropertySpec::new(
    "exclude",
    PropertyKind::Text,
    "Columns that are not part of the payload, separated by commas: those only a template of the sink needs.",
)
.example("client,request")];

/// Makes sources of one type.
pub trait SourceFactory: Send + Sync {
    /// The value of `type` in `@source(type='...')`.
    fn name(&self) -> &'static str;

    /// One sentence for the pipeline author.
    fn doc(&self) -> &'static str;

    /// The formats its messages can be decoded with.
    fn supported_formats(&self) -> &'static [&'static str];

    /// Every property it has, besides the common ones.
    fn properties(&self) -> &'static [PropertySpec];

    /// Keys of the properties that must be given (where they apply).
    fn required_parameters(&self) -> Vec<&'static str> {
        keys(self.properties(), true)
    }

    /// Keys of the properties that may be given.
    fn optional_parameters(&self) -> Vec<&'static str> {
        keys(self.properties(), false)
    }

    /// What it can tell about a message besides its bytes.
    fn metadata(&self) -> &'static [MetadataSpec] {
        &[]
    }

    /// Makes a source from validated properties. Does no I/O: `eventflux check` calls it offline.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Source>, EventFluxError>;
}

/// Makes sinks of one type.
pub trait SinkFactory: Send + Sync {
    /// The value of `type` in `@sink(type='...')`.
    fn name(&self) -> &'static str;

    /// One sentence for the pipeline author.
    fn doc(&self) -> &'static str;

    /// The formats its payloads can be encoded with.
    fn supported_formats(&self) -> &'static [&'static str];

    /// Every property it has, besides the common ones.
    fn properties(&self) -> &'static [PropertySpec];

    /// Keys of the properties that must be given (where they apply).
    fn required_parameters(&self) -> Vec<&'static str> {
        keys(self.properties(), true)
    }

    /// Keys of the properties that may be given.
    fn optional_parameters(&self) -> Vec<&'static str> {
        keys(self.properties(), false)
    }

    /// Makes a sink from validated properties. Does no I/O: `eventflux check` calls it offline.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError>;
}

/// Makes mappers of one format.
pub trait MapperFactory: Send + Sync {
    /// The value of `type` in `@map(type='...')`.
    fn name(&self) -> &'static str;

    /// One sentence for the pipeline author.
    fn doc(&self) -> &'static str;

    /// Properties of its decoder.
    fn source_properties(&self) -> &'static [PropertySpec];

    /// Properties of its encoder.
    fn sink_properties(&self) -> &'static [PropertySpec];

    /// Makes a decoder into `schema`.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when format and schema do not fit.
    fn source_mapper(
        &self,
        schema: &Arc<Schema>,
        properties: &Properties,
    ) -> Result<Box<dyn SourceMapper>, EventFluxError>;

    /// Makes an encoder of `schema`.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when format and schema do not fit.
    fn sink_mapper(&self, schema: &Arc<Schema>, properties: &Properties)
    -> Result<Box<dyn SinkMapper>, EventFluxError>;
}

fn keys(specs: &[PropertySpec], required: bool) -> Vec<&'static str> {
    specs.iter().filter(|spec| spec.required == required).map(|spec| spec.key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sound() {
        for table in [COMMON_PROPERTIES, SOURCE_PROPERTIES, ENCODER_PROPERTIES] {
            assert_eq!(crate::property::table_mistakes(table), Vec::<String>::new());
        }
    }
}
