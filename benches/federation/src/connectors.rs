//! Our sources and sinks, made from the registry as a program would.

use std::time::Duration;

use eventflux_benches::clock::monotonic_ns;
use eventflux_benches::error::BenchError;
use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::Metrics;
use eventflux_core::{
    ConnectorContext, ConnectorRole, EncodedBatch, EventFluxContext, EventFluxError, Properties, Sink, SinkCallback,
    Source,
};

use crate::job::Job;
use crate::message::STREAM;

/// Longest wait for a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Between two looks at the state of a connection.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// So soon is connected again after a cut.
const RECONNECT: [(&str, &str); 2] =
    [("websocket.reconnect.delay.ms", "1"), ("websocket.reconnect.max.delay.ms", "10")];

/// A registry; its sources and sinks share connections.
pub(crate) struct Registry(EventFluxContext);

/// A source or a sink with what it tells of itself.
pub(crate) struct Connector<T: ?Sized> {
    pub(crate) it: Box<T>,
    context: ConnectorContext,
}

/// Where a sink reports what it could not deliver.
#[derive(Debug)]
pub(crate) struct Failures;

impl SinkCallback for Failures {
    fn on_failed(&self, batch: EncodedBatch, error: EventFluxError) {
        eprintln!("{} messages could not be delivered: {error}", batch.len());
    }
}

impl Registry {
    pub(crate) fn new() -> Self {
        let mut context = EventFluxContext::new();
        eventflux_websocket_connector::register(&mut context);
        Self(context)
    }

    pub(crate) fn source(&self, properties: &[(String, String)]) -> Result<Connector<dyn Source>, BenchError> {
        let factory = self.0.source_factory("websocket").ok_or_else(missing)?;
        let properties = Properties::from_pairs(factory.properties(), pairs(properties)).map_err(refused)?;
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Source, STREAM, "websocket");
        let it = factory.create_initialized(&properties, &context).map_err(refused)?;
        Ok(Connector { it, context })
    }

    pub(crate) fn sink(&self, properties: &[(String, String)]) -> Result<Connector<dyn Sink>, BenchError> {
        let factory = self.0.sink_factory("websocket").ok_or_else(missing)?;
        let properties = Properties::from_pairs(factory.properties(), pairs(properties)).map_err(refused)?;
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, STREAM, "websocket");
        let it = factory.create_initialized(&properties, &context).map_err(refused)?;
        Ok(Connector { it, context })
    }
}

impl<T: ?Sized> Connector<T> {
    /// The URL of one that listens.
    pub(crate) fn url(&self) -> String {
        self.context.health.current().detail.unwrap_or_default()
    }

    /// Waits for the connection of one that connects.
    pub(crate) fn wait_until_connected(&self) -> Result<(), BenchError> {
        let start = monotonic_ns();
        while self.context.health.current().state != ConnectionState::Connected {
            if monotonic_ns() - start > CONNECT_DEADLINE.as_nanos() as u64 {
                return Err(BenchError::Protocol(format!("no connection: {:?}", self.context.health.current())));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }
}

/// The properties of the source or sink of a job.
pub(crate) fn properties(job: &Job) -> Vec<(String, String)> {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let mut properties: Vec<_> = job.system.properties(job.end).into_iter().map(owned).collect();
    match &job.url {
        Some(url) => {
            properties.push(("websocket.url".to_owned(), url.clone()));
            properties.extend(RECONNECT.map(owned));
        }
        None => properties.extend([("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0")].map(owned)),
    }
    properties.extend(job.properties.iter().cloned());
    properties
}

/// What our connectors refuse.
pub(crate) fn refused(error: EventFluxError) -> BenchError {
    BenchError::Protocol(error.to_string())
}

fn missing() -> BenchError {
    BenchError::Protocol("there is no connector 'websocket'".to_owned())
}

fn pairs(properties: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    properties.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}
