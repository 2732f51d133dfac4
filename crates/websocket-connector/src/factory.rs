//! The factories: from validated properties to a source or a sink.

use std::sync::Arc;

use eventflux_core::{
    ConnectorContext, EventFluxError, MetadataSpec, Properties, PropertySpec, Sink, SinkFactory, Source, SourceFactory,
};

use crate::server::{METADATA, Registry};
use crate::{
    SINK_PROPERTIES, SOURCE_PROPERTIES, WebSocketSink, WebSocketSinkConfig, WebSocketSource, WebSocketSourceConfig,
};

const NAME: &str = "websocket";
const FORMATS: &[&str] = &["json", "text", "bytes", "csv"];

/// Makes WebSocket sources.
#[derive(Debug, Clone, Default)]
pub struct WebSocketSourceFactory {
    listeners: Arc<Registry>,
}

/// Makes WebSocket sinks.
#[derive(Debug, Clone, Default)]
pub struct WebSocketSinkFactory {
    listeners: Arc<Registry>,
}

impl WebSocketSourceFactory {
    pub(crate) fn sharing(listeners: Arc<Registry>) -> Self {
        Self { listeners }
    }
}

impl WebSocketSinkFactory {
    pub(crate) fn sharing(listeners: Arc<Registry>) -> Self {
        Self { listeners }
    }
}

impl SourceFactory for WebSocketSourceFactory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn doc(&self) -> &'static str {
        "Receives messages over WebSocket: from a feed it connects to, or from clients that connect to it."
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
        let config = WebSocketSourceConfig::from_properties(properties)?;
        Ok(Box::new(WebSocketSource::new(config, context.clone(), self.listeners.clone())?))
    }
}

impl SinkFactory for WebSocketSinkFactory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn doc(&self) -> &'static str {
        "Sends each event as a WebSocket message: to an endpoint it connects to, or to all clients connected to it."
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
        let config = WebSocketSinkConfig::from_properties(properties)?;
        Ok(Box::new(WebSocketSink::new(config, context.clone(), self.listeners.clone())?))
    }
}
