//! The registry of plugins, and what the engine gives each connector.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::health::HealthReporter;
use crate::metrics::{ConnectorMetrics, Metrics};
use crate::reports::Reports;
use crate::{BoundMetadata, MapperFactory, ScalarFunction, SinkFactory, SourceFactory};

/// Gauges of a source's state, with the label `state`.
pub const SOURCE_STATE: &str = "eventflux_source_connection_state";

/// Gauges of a sink's state, with the label `state`.
pub const SINK_STATE: &str = "eventflux_sink_connection_state";

/// Whether a connector brings events in or takes them out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectorRole {
    /// Brings events in.
    Source,
    /// Takes events out.
    Sink,
}

impl ConnectorRole {
    /// `source` or `sink`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
        }
    }
}

/// What the engine gives a connector besides its properties. Copies share metrics and health.
#[derive(Debug, Clone)]
pub struct ConnectorContext {
    /// Name of the stream the connector belongs to.
    pub stream: String,
    /// Source or sink.
    pub role: ConnectorRole,
    /// Its type; from the second of a type on the same stream on with a number: `websocket-2`.
    pub connector: String,
    /// Standard metrics. The engine counts messages, bytes, events, failures, retries and dead letters; the connector
    /// counts reconnects, gaps, connections, queue bytes, and what its queue policy drops.
    pub metrics: ConnectorMetrics,
    /// Where the connector reports its state.
    pub health: HealthReporter,
    /// The registry, for metrics of its own.
    pub registry: Metrics,
    /// The metadata fields of a source that columns are bound to.
    pub metadata: BoundMetadata,
    /// Where the connector reports about itself in more than numbers.
    pub reports: Reports,
}

impl ConnectorContext {
    /// The context of a connector of type `connector` on `stream`, with its metrics registered.
    pub fn new(registry: &Metrics, role: ConnectorRole, stream: &str, connector: &str) -> Self {
        let (metrics, state) = match role {
            ConnectorRole::Source => (ConnectorMetrics::for_source(registry, stream, connector), SOURCE_STATE),
            ConnectorRole::Sink => (ConnectorMetrics::for_sink(registry, stream, connector), SINK_STATE),
        };
        Self {
            stream: stream.to_owned(),
            role,
            connector: connector.to_owned(),
            metrics,
            health: HealthReporter::with_gauges(registry, state, stream, connector),
            registry: registry.clone(),
            metadata: BoundMetadata::default(),
            reports: registry.reports().clone(),
        }
    }

    /// The same, with columns bound to these metadata fields.
    #[must_use]
    pub fn with_metadata(self, metadata: BoundMetadata) -> Self {
        Self { metadata, ..self }
    }
}

/// The registry of everything a pipeline can name: sources, sinks, formats and functions.
#[derive(Clone, Default)]
pub struct EventFluxContext {
    sources: BTreeMap<String, Arc<dyn SourceFactory>>,
    sinks: BTreeMap<String, Arc<dyn SinkFactory>>,
    mappers: BTreeMap<String, Arc<dyn MapperFactory>>,
    functions: BTreeMap<String, Arc<dyn ScalarFunction>>,
}

impl EventFluxContext {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source type; one of the same name is replaced.
    pub fn add_source_factory(&mut self, factory: impl SourceFactory + 'static) {
        self.sources.insert(factory.name().to_owned(), Arc::new(factory));
    }

    /// Adds a sink type; one of the same name is replaced.
    pub fn add_sink_factory(&mut self, factory: impl SinkFactory + 'static) {
        self.sinks.insert(factory.name().to_owned(), Arc::new(factory));
    }

    /// Adds a format; one of the same name is replaced.
    pub fn add_mapper_factory(&mut self, factory: impl MapperFactory + 'static) {
        self.mappers.insert(factory.name().to_owned(), Arc::new(factory));
    }

    /// Adds a SQL function; one of the same name (in any case) is replaced.
    pub fn add_function(&mut self, function: impl ScalarFunction + 'static) {
        self.functions.insert(function.name().to_ascii_lowercase(), Arc::new(function));
    }

    /// The source type of that name.
    pub fn source_factory(&self, name: &str) -> Option<&Arc<dyn SourceFactory>> {
        self.sources.get(name)
    }

    /// The sink type of that name.
    pub fn sink_factory(&self, name: &str) -> Option<&Arc<dyn SinkFactory>> {
        self.sinks.get(name)
    }

    /// The format of that name.
    pub fn mapper_factory(&self, name: &str) -> Option<&Arc<dyn MapperFactory>> {
        self.mappers.get(name)
    }

    /// The function of that name, in any case.
    pub fn function(&self, name: &str) -> Option<&Arc<dyn ScalarFunction>> {
        self.functions.get(&name.to_ascii_lowercase())
    }

    /// All source types, by name.
    pub fn sources(&self) -> impl Iterator<Item = &Arc<dyn SourceFactory>> {
        self.sources.values()
    }

    /// All sink types, by name.
    pub fn sinks(&self) -> impl Iterator<Item = &Arc<dyn SinkFactory>> {
        self.sinks.values()
    }

    /// All formats, by name.
    pub fn mappers(&self) -> impl Iterator<Item = &Arc<dyn MapperFactory>> {
        self.mappers.values()
    }

    /// All functions that were added, by name.
    pub fn functions(&self) -> impl Iterator<Item = &Arc<dyn ScalarFunction>> {
        self.functions.values()
    }
}
