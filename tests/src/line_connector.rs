//! A source and a sink in a page: lines that come over TCP, and lines that go into a file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventflux_core::backoff::{Backoff, Growth};
use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::{SourceWorker, StopSignal};
use eventflux_core::{
    ConnectorContext, EventFluxContext, EventFluxError, Properties, PropertyKind, PropertySpec, Sink, SinkCallback,
    SinkFactory, Source, SourceCallback, SourceFactory,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest line that is taken, in bytes.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Adds both to the registry.
pub fn register(context: &mut EventFluxContext) {
    context.add_source_factory(TcpLinesFactory);
    context.add_sink_factory(LineFileFactory);
}

/// Makes `tcp-lines` sources.
#[derive(Debug)]
pub struct TcpLinesFactory;

impl SourceFactory for TcpLinesFactory {
    fn name(&self) -> &'static str {
        "tcp-lines"
    }

    fn doc(&self) -> &'static str {
        "Takes each line that a TCP server sends as a message."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["json", "csv", "text", "bytes"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        const PROPERTIES: &[PropertySpec] = &[
            PropertySpec::new("tcp-lines.address", PropertyKind::Address, "The server to connect to.")
                .required()
                .example("127.0.0.1:7000"),
            PropertySpec::new("tcp-lines.reconnect.delay", PropertyKind::Duration, "Longest first pause.")
                .default("1s"),
            PropertySpec::new("tcp-lines.reconnect.max.delay", PropertyKind::Duration, "Longest pause of all.")
                .default("30s"),
        ];
        PROPERTIES
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Source>, EventFluxError> {
        let config = TcpLines {
            address: properties.text("tcp-lines.address")?.to_owned(),
            delay: properties.duration("tcp-lines.reconnect.delay")?,
            max_delay: properties.duration("tcp-lines.reconnect.max.delay")?,
            context: context.clone(),
        };
        Ok(Box::new(TcpLinesSource { config, worker: None }))
    }
}

#[derive(Debug)]
struct TcpLinesSource {
    config: TcpLines,
    worker: Option<SourceWorker>,
}

impl Source for TcpLinesSource {
    fn start(&mut self, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        if self.worker.is_some() {
            return Err(EventFluxError::configuration("the source was started before"));
        }
        let config = self.config.clone();
        self.worker = Some(SourceWorker::spawn("tcp-lines", callback, |stop, callback| config.run(stop, callback))?);
        Ok(())
    }

    fn stop(&mut self, deadline: Duration) {
        if let Some(worker) = &self.worker {
            worker.stop(deadline);
        }
    }

    fn clone_box(&self) -> Box<dyn Source> {
        Box::new(Self { config: self.config.clone(), worker: None })
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        let address = &self.config.address;
        let connected = address.to_socket_addrs().and_then(|mut found| match found.next() {
            Some(first) => std::net::TcpStream::connect_timeout(&first, CONNECT_TIMEOUT),
            None => Err(std::io::ErrorKind::NotFound.into()),
        });
        connected.map(drop).map_err(|error| EventFluxError::ConnectionUnavailable {
            endpoint: address.clone(),
            reason: error.to_string(),
            retryable: true,
        })
    }
}

#[derive(Debug, Clone)]
struct TcpLines {
    address: String,
    delay: Duration,
    max_delay: Duration,
    context: ConnectorContext,
}

impl TcpLines {
    /// Reads from one connection after the other until it is stopped, or the pipeline takes no more.
    async fn run(self, stop: StopSignal, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        let (health, metrics) = (&self.context.health, &self.context.metrics);
        let mut backoff = Backoff::new(self.delay, self.max_delay, Growth::Exponential);
        health.set(ConnectionState::Connecting, None);
        loop {
            let lost = tokio::select! {
                () = stop.stopped() => break,
                lost = self.read(&*callback, &mut backoff) => lost?,
            };
            metrics.connections.set(0);
            health.set(ConnectionState::Reconnecting, lost);
            if !stop.sleep(backoff.next_full_jitter()).await {
                break;
            }
        }
        metrics.connections.set(0);
        health.set(ConnectionState::Stopped, None);
        Ok(())
    }

    /// Delivers line by line. Returns why the connection ended; an error means that the pipeline takes no more.
    async fn read(&self, callback: &dyn SourceCallback, backoff: &mut Backoff) -> Result<String, EventFluxError> {
        let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Ok(error.to_string()),
            Err(_) => return Ok("no answer".to_owned()),
        };
        self.context.metrics.connections.set(1);
        self.context.health.set(ConnectionState::Connected, self.address.clone());
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            // Not before the pipeline can take it: meanwhile TCP slows the server down.
            callback.ready().await;
            line.clear();
            match (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
                Ok(0) => return Ok("closed by the server".to_owned()),
                Ok(_) if line.pop_if(|last| *last == b'\n').is_some() => callback.on_data(&line)?,
                Ok(_) => {
                    let error = EventFluxError::mapping(None, "a line is too long, or was cut off");
                    callback.on_error(error, &line)?;
                    return Ok("a line without an end".to_owned());
                }
                Err(error) => return Ok(error.to_string()),
            }
            backoff.reset();
        }
    }
}

/// Makes `line-file` sinks.
#[derive(Debug)]
pub struct LineFileFactory;

impl SinkFactory for LineFileFactory {
    fn name(&self) -> &'static str {
        "line-file"
    }

    fn doc(&self) -> &'static str {
        "Appends each event to a file, as one line."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["json", "csv", "text"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        const PATH: &str = "The file to append to; made when it does not exist.";
        const PROPERTIES: &[PropertySpec] =
            &[PropertySpec::new("line-file.path", PropertyKind::Path, PATH).required().example("trades.jsonl")];
        PROPERTIES
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError> {
        let path = properties.text("line-file.path")?.to_owned();
        Ok(Box::new(LineFileSink { path, context: context.clone(), state: Mutex::new(State::New) }))
    }
}

#[derive(Debug)]
struct LineFileSink {
    path: String,
    context: ConnectorContext,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    New,
    Open(File),
    Stopped,
}

impl Sink for LineFileSink {
    fn start(&self, _callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        let mut state = self.state();
        if !matches!(*state, State::New) {
            return Err(EventFluxError::configuration("the sink was started before"));
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let refused = |error| EventFluxError::property("line-file.path", format!("cannot be opened: {error}"));
        *state = State::Open(file.map_err(refused)?);
        self.context.health.set(ConnectionState::Connected, None);
        Ok(())
    }

    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        let State::Open(file) = &mut *self.state() else {
            return Err(EventFluxError::Stopped);
        };
        if payload.contains(&b'\n') {
            return Err(EventFluxError::Send {
                reason: "the payload has more than one line".to_owned(),
                retryable: false,
            });
        }
        let failed = |error: std::io::Error| EventFluxError::Send { reason: error.to_string(), retryable: true };
        file.write_all(&[payload, b"\n"].concat()).map_err(failed)
    }

    fn stop(&self, _deadline: Duration) -> u64 {
        *self.state() = State::Stopped;
        self.context.health.set(ConnectionState::Stopped, None);
        0
    }

    fn clone_box(&self) -> Box<dyn Sink> {
        Box::new(Self { path: self.path.clone(), context: self.context.clone(), state: Mutex::new(State::New) })
    }
}

impl LineFileSink {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
