//! The WebSocket sink: one of the two roles behind the engine's contract.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::{BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, RowFailure, Sink, SinkCallback};
use eventflux_websocket_wire::MessageKind;

use crate::client::{ClientSink, Connector};
use crate::config::{MessageType, Mode, SinkMode, WebSocketSinkConfig};
use crate::federation::{self, Arriving, LinkSink};
use crate::queue::Slice;
use crate::server::{Declaration, Registry, ServerSink};

/// Sends each payload as a WebSocket message.
///
/// In client mode payloads wait in one bounded queue, also while the connection is away; a payload leaves it when the
/// kernel has accepted it. In server mode each connected client has a bounded queue of its own.
#[derive(Debug)]
pub struct WebSocketSink {
    config: WebSocketSinkConfig,
    context: ConnectorContext,
    listeners: Arc<Registry>,
    /// In server mode.
    declaration: Option<Arc<Declaration>>,
    /// When it connects, to take part in links.
    arriving: Option<Arc<Arriving>>,
    /// Set once, by `start`.
    role: OnceLock<Role>,
    /// Serialises `start` and `stop`; whether it was stopped.
    stopped: Mutex<bool>,
}

#[derive(Debug)]
enum Role {
    Client(ClientSink),
    Server(Box<ServerSink>),
    Link(Box<LinkSink>),
}

impl WebSocketSink {
    /// # Errors
    /// [`EventFluxError::Configuration`] when another source or sink says something else of the place where it listens.
    pub(crate) fn new(
        config: WebSocketSinkConfig,
        context: ConnectorContext,
        listeners: Arc<Registry>,
    ) -> Result<Self, EventFluxError> {
        let declaration = match &config.mode {
            SinkMode::Client(..) | SinkMode::Links(Mode::Client(_), _) => None,
            SinkMode::Server(server, _) | SinkMode::Links(Mode::Server(server), _) => {
                Some(listeners.declare(server, crate::SINK_PROPERTIES)?)
            }
        };
        let arriving = match &config.mode {
            SinkMode::Links(Mode::Client(client), _) => Some(listeners.links().expect(client)),
            _ => None,
        };
        let (role, stopped) = (OnceLock::new(), Mutex::new(false));
        Ok(Self { config, context, listeners, declaration, arriving, role, stopped })
    }

    fn lifecycle(&self) -> MutexGuard<'_, bool> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kind(&self) -> MessageKind {
        match self.config.message_type {
            MessageType::Text => MessageKind::Text,
            MessageType::Binary => MessageKind::Binary,
        }
    }

    /// `payloads`: what is sent of the first rows of `batch`.
    fn accept(&self, role: &Role, batch: &EncodedBatch, payloads: EncodedBatch) -> Result<(), RowFailure> {
        match role {
            Role::Client(sink) => sink.publish(Slice::whole(Arc::new(payloads), self.kind())),
            Role::Server(sink) => sink.publish(batch, &payloads, self.config.message_type == MessageType::Binary),
            Role::Link(sink) => sink.publish(batch),
        }
    }

    /// A text message must be UTF-8 (RFC 6455 section 5.6); a peer would close the connection on any other.
    fn first_bad(&self, batch: &EncodedBatch) -> Option<RowFailure> {
        if self.config.message_type == MessageType::Binary {
            return None;
        }
        let (row, error) =
            batch.iter().enumerate().find_map(|(row, payload)| Some((row, std::str::from_utf8(payload).err()?)))?;
        let reason = format!("a text message must be UTF-8: {error}; use websocket.message.type='binary'");
        Some(RowFailure { row, error: EventFluxError::Send { reason, retryable: false } })
    }
}

impl Sink for WebSocketSink {
    fn start(&self, callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        let stopped = self.lifecycle();
        if *stopped || self.role.get().is_some() {
            return Err(EventFluxError::configuration("a WebSocket sink is started once; take a fresh one"));
        }
        let context = self.context.clone();
        let role = match (&self.config.mode, &self.declaration) {
            (SinkMode::Client(client, queue), _) => {
                Role::Client(ClientSink::start(client, *queue, &self.config, context, callback)?)
            }
            (SinkMode::Server(server, publishing), Some(declaration)) => {
                let sink = ServerSink::start(&self.listeners, server, declaration, publishing, context, callback)?;
                Role::Server(Box::new(sink))
            }
            (SinkMode::Links(mode, sending), declaration) => {
                let (declaration, connection) = (declaration.as_deref(), &self.config.connection);
                let arriving = self.arriving.as_deref();
                let attached = federation::attach(&self.listeners, mode, declaration, connection, &context, arriving)?;
                let started = LinkSink::start(attached, sending, context, callback);
                arriving.into_iter().for_each(Arriving::is_there);
                Role::Link(Box::new(started?))
            }
            // Who listens has said where.
            (SinkMode::Server(..), None) => return Err(EventFluxError::Stopped),
        };
        // Empty until now, as checked above under the lock.
        let _ = self.role.set(role);
        Ok(())
    }

    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        let batch = EncodedBatch::single(Bytes::copy_from_slice(payload), 0);
        self.publish_batch(&batch).map_err(|failure| failure.error)
    }

    fn publish_batch(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        let Some(role) = self.role.get() else {
            return Err(RowFailure { row: 0, error: EventFluxError::Stopped });
        };
        if batch.is_empty() {
            return Ok(());
        }
        if let Role::Link(sink) = role {
            return sink.publish(batch);
        }
        let bad = self.first_bad(batch);
        let payloads = match self.config.compression {
            Some(format) => format.compress_batch(batch)?,
            None => batch.clone(),
        };
        match bad {
            None => self.accept(role, batch, payloads),
            Some(failure) => {
                if failure.row > 0 {
                    self.accept(role, batch, payloads.head(failure.row))?;
                }
                Err(failure)
            }
        }
    }

    fn is_ready(&self) -> bool {
        match self.role.get() {
            Some(Role::Client(sink)) => sink.is_ready(),
            Some(Role::Link(sink)) => sink.is_ready(),
            Some(Role::Server(sink)) => sink.is_ready(),
            None => true,
        }
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        match self.role.get() {
            Some(Role::Client(sink)) => Box::pin(sink.ready()),
            Some(Role::Link(sink)) => sink.ready(),
            Some(Role::Server(sink)) => sink.ready(),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        match self.role.get() {
            Some(Role::Client(sink)) => sink.settled(),
            Some(Role::Link(sink)) => sink.settled(),
            Some(Role::Server(sink)) => sink.settled(),
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn stop(&self, deadline: Duration) -> u64 {
        let mut stopped = self.lifecycle();
        *stopped = true;
        match self.role.get() {
            None => {
                self.context.health.set(ConnectionState::Stopped, None);
                0
            }
            Some(Role::Client(sink)) => sink.stop(deadline),
            Some(Role::Server(sink)) => sink.stop(deadline),
            Some(Role::Link(sink)) => sink.stop(deadline),
        }
    }

    fn clone_box(&self) -> Box<dyn Sink> {
        Box::new(Self {
            config: self.config.clone(),
            context: self.context.clone(),
            listeners: self.listeners.clone(),
            declaration: self.declaration.clone(),
            arriving: self.arriving.clone(),
            role: OnceLock::new(),
            stopped: Mutex::new(false),
        })
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        match &self.config.mode {
            SinkMode::Client(client, _) | SinkMode::Links(Mode::Client(client), _) => {
                Connector::validate(client, &self.config.connection)
            }
            // Whether its address is free shows at start.
            SinkMode::Server(server, _) | SinkMode::Links(Mode::Server(server), _) => server.validate(),
        }
    }
}

impl Drop for WebSocketSink {
    fn drop(&mut self) {
        // One that never started has nothing to end, and shares its health with a clone that may be running.
        if self.role.get().is_some() && !*self.lifecycle() {
            self.stop(Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::metrics::Metrics;
    use eventflux_core::{ConnectorRole, Properties, SinkFactory};

    use super::*;
    use crate::compression::Format;
    use crate::config::ClientConfig;
    use crate::queue::{FullPolicy, QueueConfig};
    use crate::{SINK_PROPERTIES, WebSocketSinkFactory};

    fn config(raw: &[(&str, &str)]) -> Result<WebSocketSinkConfig, EventFluxError> {
        WebSocketSinkConfig::from_properties(&Properties::from_pairs(SINK_PROPERTIES, raw.iter().copied())?)
    }

    fn client(config: &WebSocketSinkConfig) -> (&ClientConfig, &QueueConfig) {
        match &config.mode {
            SinkMode::Client(client, queue) => (client, queue),
            SinkMode::Server(..) | SinkMode::Links(..) => panic!("not a client"),
        }
    }

    fn create(raw: &[(&str, &str)]) -> Box<dyn Sink> {
        let properties = Properties::from_pairs(SINK_PROPERTIES, raw.iter().copied()).unwrap();
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "S", "websocket");
        WebSocketSinkFactory::default().create_initialized(&properties, &context).unwrap()
    }

    #[test]
    fn config_from_properties_required_only() {
        let config = config(&[("websocket.url", "ws://localhost:8080/events")]).unwrap();
        let (client, queue) = client(&config);
        assert_eq!(client.url.url().as_str(), "ws://localhost:8080/events");
        assert!(client.reconnect.enabled);
        assert_eq!(client.reconnect.delay, Duration::from_millis(1000));
        assert_eq!(client.reconnect.max_delay, Duration::from_millis(30_000));
        assert_eq!(client.reconnect.max_attempts, Some(3));
        assert_eq!(config.message_type, MessageType::Text);
        assert_eq!((queue.max_bytes, queue.full), (1 << 20, FullPolicy::Block));
    }

    #[test]
    fn config_from_properties_all_options() {
        let config = config(&[
            ("websocket.url", "wss://h/events"),
            ("websocket.reconnect.delay.ms", "5"),
            ("websocket.reconnect.max.delay.ms", "50"),
            ("websocket.message.type", "binary"),
            ("websocket.headers.Authorization", "Bearer x"),
            ("websocket.subprotocol", "v1"),
            ("websocket.queue.bytes", "4KiB"),
            ("websocket.queue.full", "drop_oldest"),
            ("websocket.compression", "zstd"),
        ])
        .unwrap();
        let (client, queue) = client(&config);
        assert!(client.tls.is_some());
        assert_eq!(client.reconnect.max_delay, Duration::from_millis(50));
        assert_eq!((client.headers.len(), &client.subprotocols[..]), (1, &["v1".to_owned()][..]));
        assert_eq!((config.message_type, config.compression), (MessageType::Binary, Some(Format::Zstd)));
        assert_eq!((queue.max_bytes, queue.full), (4096, FullPolicy::DropOldest));
    }

    #[test]
    fn config_missing_url() {
        let error = config(&[]).unwrap_err().to_string();
        assert!(error.contains("'websocket.url': is required but missing"), "{error}");
    }

    #[test]
    fn message_type_parsing() {
        assert_eq!(MessageType::parse("text").unwrap(), MessageType::Text);
        assert_eq!(MessageType::parse("binary").unwrap(), MessageType::Binary);
        assert!(MessageType::parse("TEXT").unwrap_err().to_string().contains("'TEXT' is not allowed"));
        assert!(config(&[("websocket.url", "ws://h"), ("websocket.message.type", "json")]).is_err());
    }

    #[test]
    fn factory_metadata() {
        let factory = WebSocketSinkFactory::default();
        assert_eq!(factory.name(), "websocket");
        assert!(["json", "text", "bytes"].iter().all(|format| factory.supported_formats().contains(format)));
        assert!(factory.required_parameters().contains(&"websocket.url"));
        assert!(factory.optional_parameters().contains(&"websocket.message.type"));
    }

    #[test]
    fn factory_create() {
        let sink = create(&[("websocket.url", "ws://h")]);
        assert!(sink.is_ready());
        create(&[("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0")]);
    }

    #[test]
    fn sink_clone() {
        let sink = create(&[("websocket.url", "ws://h/?token=hunter2"), ("websocket.headers.X", "hunter3")]);
        let shown = format!("{:?}", sink.clone_box());
        assert!(shown.contains("ws://h/?***") && !shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn compressed_payloads_are_no_text() {
        let error = config(&[("websocket.url", "ws://h"), ("websocket.compression", "gzip")]).unwrap_err();
        assert!(error.to_string().contains("websocket.message.type='binary'"), "{error}");
    }

    #[test]
    fn a_sink_that_is_not_started_takes_nothing_and_stops_at_once() {
        let sink = create(&[("websocket.url", "ws://h")]);
        assert_eq!(sink.publish(b"x"), Err(EventFluxError::Stopped));
        assert_eq!(sink.stop(Duration::from_secs(5)), 0);
    }
}
