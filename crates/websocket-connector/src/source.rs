//! The WebSocket source: one of the two roles behind the engine's contract.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::SourceWorker;
use eventflux_core::{ConnectorContext, EventFluxError, Source, SourceCallback};
use tokio::time::Instant;

use crate::client::{ClientSource, Connector};
use crate::config::{Mode, WebSocketSourceConfig};
use crate::federation::{self, Arriving, InletConfig, LinkSource, Observed};
use crate::server::{Declaration, Registry, ServerSource};

/// Receives messages over WebSocket.
///
/// In client mode it runs on a thread of its own. While the pipeline takes nothing more it does not read, so TCP tells
/// the peer; the peer's pings wait meanwhile. In server mode it takes messages from every client of its path; the order
/// of each client's messages is kept.
#[derive(Debug)]
pub struct WebSocketSource {
    config: WebSocketSourceConfig,
    context: ConnectorContext,
    listeners: Arc<Registry>,
    /// In server mode.
    declaration: Option<Arc<Declaration>>,
    /// When it connects, to take part in links.
    arriving: Option<Arc<Arriving>>,
    state: State,
    /// What is shown of it over links; longer than it runs, so that its end is seen.
    observed: Option<Observed>,
}

#[derive(Debug)]
enum State {
    New,
    Client { worker: SourceWorker, stop_by: Arc<OnceLock<Instant>> },
    Server(ServerSource),
    Link(Box<LinkSource>),
    Stopped,
}

impl WebSocketSource {
    /// # Errors
    /// [`EventFluxError::Configuration`] when another source or sink says something else of the place where it listens.
    pub(crate) fn new(
        config: WebSocketSourceConfig,
        context: ConnectorContext,
        listeners: Arc<Registry>,
    ) -> Result<Self, EventFluxError> {
        let declaration = match &config.mode {
            Mode::Client(_) => None,
            Mode::Server(server) => Some(listeners.declare(server, crate::SOURCE_PROPERTIES)?),
        };
        let arriving = match &config.mode {
            Mode::Client(client) if client.federation.is_some() => Some(listeners.links().expect(client)),
            _ => None,
        };
        Ok(Self { config, context, listeners, declaration, arriving, state: State::New, observed: None })
    }
}

impl WebSocketSource {
    fn start_link(&self, inlet: &InletConfig, callback: Arc<dyn SourceCallback>) -> Result<LinkSource, EventFluxError> {
        let (declaration, arriving) = (self.declaration.as_deref(), self.arriving.as_deref());
        let (mode, connection) = (&self.config.mode, &self.config.connection);
        let attached = federation::attach(&self.listeners, mode, declaration, connection, &self.context, arriving)?;
        let started = LinkSource::start(attached, inlet, self.context.clone(), callback);
        // What its peer says from now on is heard, if it has started.
        self.arriving.iter().for_each(|arriving| arriving.is_there());
        started
    }
}

impl Source for WebSocketSource {
    fn start(&mut self, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        if !matches!(self.state, State::New) {
            return Err(EventFluxError::configuration("a WebSocket source is started once; take a fresh one"));
        }
        let context = self.context.clone();
        if let Some(inlet) = &self.config.inlet {
            let link = self.start_link(inlet, callback)?;
            self.observed = Some(link.observed(self.config.health));
            self.state = State::Link(Box::new(link));
            return Ok(());
        }
        self.state = match (&self.config.mode, &self.declaration) {
            (Mode::Client(client), _) => {
                let stop_by = Arc::<OnceLock<Instant>>::default();
                let name = format!("ws-{}", context.stream);
                let source = ClientSource::new(client, &self.config, context, stop_by.clone())?;
                let worker =
                    SourceWorker::spawn(&name, callback, move |signal, callback| source.run(signal, callback))?;
                State::Client { worker, stop_by }
            }
            (Mode::Server(server), Some(declaration)) => State::Server(ServerSource::start(
                &self.listeners,
                server,
                declaration,
                &self.config,
                context,
                callback,
            )?),
            // Who listens has said where.
            (Mode::Server(_), None) => return Err(EventFluxError::Stopped),
        };
        Ok(())
    }

    fn stop(&mut self, deadline: Duration) {
        match &self.state {
            State::New => self.context.health.set(ConnectionState::Stopped, None),
            State::Client { worker, stop_by } => {
                let _ = stop_by.set(Instant::now() + deadline);
                if !worker.stop(deadline) {
                    log::warn!("[{}] the source did not stop within {}ms", self.context.stream, deadline.as_millis());
                }
            }
            State::Server(source) => source.stop(deadline),
            State::Link(source) => source.stop(deadline),
            State::Stopped => return,
        }
        self.state = State::Stopped;
    }

    fn clone_box(&self) -> Box<dyn Source> {
        Box::new(Self {
            config: self.config.clone(),
            context: self.context.clone(),
            listeners: self.listeners.clone(),
            declaration: self.declaration.clone(),
            arriving: self.arriving.clone(),
            state: State::New,
            observed: None,
        })
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        match &self.config.mode {
            Mode::Client(client) => Connector::validate(client, &self.config.connection),
            // Whether its address is free shows at start.
            Mode::Server(server) => server.validate(),
        }
    }
}

impl Drop for WebSocketSource {
    fn drop(&mut self) {
        // One that never started has nothing to end, and shares its health with a clone that may be running.
        if !matches!(self.state, State::New) {
            self.stop(Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::metrics::Metrics;
    use eventflux_core::{ConnectorRole, Properties, SourceFactory};

    use super::*;
    use crate::auth::AuthConfig;
    use crate::config::ClientConfig;
    use crate::{SOURCE_PROPERTIES, WebSocketSourceFactory};

    fn config(raw: &[(&str, &str)]) -> Result<WebSocketSourceConfig, EventFluxError> {
        WebSocketSourceConfig::from_properties(&Properties::from_pairs(SOURCE_PROPERTIES, raw.iter().copied())?)
    }

    fn client(config: &WebSocketSourceConfig) -> &ClientConfig {
        match &config.mode {
            Mode::Client(client) => client,
            Mode::Server(_) => panic!("not a client"),
        }
    }

    fn context() -> ConnectorContext {
        ConnectorContext::new(&Metrics::default(), ConnectorRole::Source, "S", "websocket")
    }

    fn create(raw: &[(&str, &str)]) -> Result<Box<dyn Source>, EventFluxError> {
        let properties = Properties::from_pairs(SOURCE_PROPERTIES, raw.iter().copied())?;
        WebSocketSourceFactory::default().create_initialized(&properties, &context())
    }

    #[test]
    fn config_from_properties_required_only() {
        let config = config(&[("websocket.url", "ws://localhost:8080/feed")]).unwrap();
        let client = client(&config);
        assert_eq!(client.url.url().as_str(), "ws://localhost:8080/feed");
        assert!(client.reconnect.enabled);
        assert_eq!(client.reconnect.delay, Duration::from_millis(1000));
        assert_eq!(client.reconnect.max_delay, Duration::from_millis(30_000));
        assert_eq!(client.reconnect.max_attempts, None);
        assert!(client.headers.is_empty() && client.subprotocols.is_empty() && client.tls.is_none());
        assert!(config.subscribe.is_empty() && config.inflate.is_none() && config.connection.tcp.nodelay);
    }

    #[test]
    fn config_from_properties_all_options() {
        let config = config(&[
            ("websocket.url", "wss://h/feed"),
            ("websocket.reconnect", "true"),
            ("websocket.reconnect.delay.ms", "5"),
            ("websocket.reconnect.max.delay.ms", "50"),
            ("websocket.reconnect.max.attempts", "7"),
            ("websocket.headers.X-API-Key", "k"),
            ("websocket.subprotocol", "v2, v1"),
            ("websocket.connect.timeout", "3s"),
            ("websocket.ping.interval", "0"),
            ("websocket.idle.timeout", "1m"),
            ("websocket.heartbeat.message", "ping"),
            ("websocket.subscribe.message", "hello"),
            ("websocket.compression", "gzip"),
            ("auth.type", "bearer"),
            ("auth.bearer_token_env", "TOKEN"),
            ("websocket.tls.skip.verify", "true"),
        ])
        .unwrap();
        let client = client(&config);
        assert_eq!((client.reconnect.enabled, client.reconnect.max_attempts), (true, Some(7)));
        assert_eq!(client.headers[0].0, "X-API-Key");
        assert_eq!(client.headers[0].1.expose(), "k");
        assert_eq!(client.subprotocols, ["v2", "v1"]);
        assert_eq!(client.connect_timeout, Duration::from_secs(3));
        assert_eq!(client.auth, AuthConfig::Bearer { token_env: "TOKEN".into() });
        assert!(client.tls.as_ref().unwrap().skip_verify && client.heartbeat.is_some());
        assert_eq!(config.connection.keep_alive.ping_interval, None);
        assert_eq!(config.connection.keep_alive.idle_timeout, Some(Duration::from_secs(60)));
        assert_eq!((config.subscribe.len(), config.inflate.is_some()), (1, true));
    }

    #[test]
    fn config_missing_url() {
        let error = config(&[]).unwrap_err().to_string();
        assert!(error.contains("'websocket.url': is required but missing"), "{error}");
    }

    #[test]
    fn config_invalid_reconnect_delay() {
        for bad in ["soon", "-1", "1.5", "40000"] {
            let raw = [("websocket.url", "ws://h"), ("websocket.reconnect.delay.ms", bad)];
            let error = config(&raw).unwrap_err().to_string();
            assert!(error.contains("'websocket.reconnect.delay.ms'"), "{error}");
        }
    }

    #[test]
    fn websocket_url_parsing() {
        for good in ["ws://h", "wss://h:9443/ws/btcusdt@trade", "ws://[::1]:1/a?streams=a@trade/b@trade", "WS://H/"] {
            assert!(config(&[("websocket.url", good)]).is_ok(), "{good}");
        }
        for bad in ["http://h", "ws://", "h:80", "ws://h:99999", "ws://u:hunter2@h/", "ws://h/#hunter2"] {
            let error = config(&[("websocket.url", bad)]).unwrap_err().to_string();
            assert!(error.contains("'websocket.url'") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn factory_metadata() {
        let factory = WebSocketSourceFactory::default();
        assert_eq!(factory.name(), "websocket");
        assert!(["json", "text", "bytes"].iter().all(|format| factory.supported_formats().contains(format)));
        assert!(factory.required_parameters().contains(&"websocket.url"));
        assert!(factory.optional_parameters().contains(&"websocket.headers.*"));
    }

    #[test]
    fn factory_create() {
        assert!(create(&[("websocket.url", "ws://h")]).is_ok());
        assert!(create(&[("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0")]).is_ok());
    }

    #[test]
    fn source_clone() {
        let source = create(&[("websocket.url", "ws://h/feed?token=hunter2")]).unwrap();
        let shown = format!("{:?}", source.clone_box());
        assert!(shown.contains("ws://h/feed?***") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn properties_that_contradict_each_other_are_refused_by_name() {
        let url = ("websocket.url", "ws://h");
        let secure = ("websocket.url", "wss://h");
        let cases: [&[(&str, &str)]; 14] = [
            &[url, ("websocket.tls.ca.file", "x")],
            &[secure, ("websocket.tls.cert.file", "x")],
            &[secure, ("websocket.tls.key.file", "x")],
            &[url, ("websocket.headers.Sec-WebSocket-Key", "x")],
            &[url, ("websocket.headers.Bad Name", "x")],
            &[url, ("websocket.headers.X", "a\r\nB: c")],
            &[url, ("websocket.headers.authorization", "x"), ("auth.type", "bearer"), ("auth.bearer_token_env", "T")],
            &[url, ("websocket.subprotocol", "a b")],
            &[url, ("websocket.heartbeat.interval", "5s")],
            &[url, ("websocket.compression.max.size", "1MiB")],
            &[url, ("websocket.connect.timeout", "0")],
            &[url, ("websocket.reconnect", "false"), ("websocket.reconnect.max.attempts", "5")],
            &[url, ("websocket.ping.interval", "0"), ("websocket.pong.timeout", "5s")],
            &[url, ("websocket.headers.X-Key", "1"), ("websocket.headers.x-key", "2")],
        ];
        for case in cases {
            assert!(matches!(config(case), Err(EventFluxError::Configuration { property: Some(_), .. })), "{case:?}");
        }
    }

    #[test]
    fn missing_files_and_variables_are_named_at_start() {
        let cases = [
            (vec![("websocket.url", "wss://h"), ("websocket.tls.ca.file", "/nowhere/ca.pem")], "/nowhere/ca.pem"),
            (
                vec![
                    ("websocket.url", "ws://h"),
                    ("auth.type", "bearer"),
                    ("auth.bearer_token_env", "EVENTFLUX_UNSET"),
                ],
                "EVENTFLUX_UNSET",
            ),
        ];
        for (raw, expected) in cases {
            let error = create(&raw).unwrap().validate_connectivity().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
