//! Validated configuration of the source and the sink: raw properties in, values that cannot be wrong out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use eventflux_core::{EventFluxError, Properties, Secret, redact_url};
use eventflux_federation::health::HealthLimits;
use eventflux_gateway::Accepts;
use eventflux_websocket_wire::deflate::DeflateConfig;
use eventflux_websocket_wire::handshake::{is_field_value, is_token};
use eventflux_websocket_wire::{KeepAliveConfig, Limits};
use url::Url;

use crate::auth::AuthConfig;
use crate::client::{ReconnectPolicy, SubscribeStep};
use crate::compression::{Format, Inflate};
use crate::deflate;
use crate::federation::{FederationSettings, InletConfig, PoolConfig, Sending, health_limits, is_federation};
use crate::net::dial::DialConfig;
use crate::net::tcp::TcpOptions;
use crate::net::tls_client::TlsClientConfig;
use crate::queue::QueueConfig;
use crate::server::{Publishing, ServerConfig, accepts};

const URL: &str = "websocket.url";
const HEADERS: &str = "websocket.headers.";

/// Headers the handshake itself sets.
const RESERVED_HEADERS: &[&str] =
    &["host", "connection", "upgrade", "content-length", "transfer-encoding", "sec-websocket-protocol"];

/// Configuration of a WebSocket source. Its debug form shows no secret.
#[derive(Debug, Clone)]
pub struct WebSocketSourceConfig {
    pub(crate) mode: Mode,
    pub(crate) connection: ConnectionConfig,
    pub(crate) subscribe: Arc<[SubscribeStep]>,
    pub(crate) inflate: Option<Inflate>,
    /// In server mode: which messages of clients it takes.
    pub(crate) accepts: Accepts,
    /// What it takes over links, when it speaks the protocol `federation`.
    pub(crate) inlet: Option<InletConfig>,
    /// When it is not well, where it speaks that protocol.
    pub(crate) health: HealthLimits,
}

/// Configuration of a WebSocket sink. Its debug form shows no secret.
#[derive(Debug, Clone)]
pub struct WebSocketSinkConfig {
    pub(crate) mode: SinkMode,
    pub(crate) connection: ConnectionConfig,
    pub(crate) message_type: MessageType,
    pub(crate) compression: Option<Format>,
}

/// What payloads are sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageType {
    /// Text messages; payloads must be UTF-8.
    #[default]
    Text,
    /// Binary messages.
    Binary,
}

/// The role on the wire.
#[derive(Debug, Clone)]
pub(crate) enum Mode {
    /// Connects out.
    Client(Box<ClientConfig>),
    /// Listens.
    Server(Box<ServerConfig>),
}

/// The role on the wire of a sink.
#[derive(Debug, Clone)]
pub(crate) enum SinkMode {
    /// Connects out; what waits is queued.
    Client(Box<ClientConfig>, QueueConfig),
    /// Listens, and publishes to whoever connects.
    Server(Box<ServerConfig>, Box<Publishing>),
    /// Sends over links, in either role.
    Links(Mode, Sending),
}

/// How to connect.
#[derive(Debug, Clone)]
pub(crate) struct ClientConfig {
    pub(crate) url: TargetUrl,
    pub(crate) reconnect: ReconnectPolicy,
    pub(crate) headers: Vec<(String, Secret)>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) subprotocol_required: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) dial: DialConfig,
    pub(crate) auth: AuthConfig,
    /// For `wss://` only.
    pub(crate) tls: Option<TlsClientConfig>,
    pub(crate) heartbeat: Option<Heartbeat>,
    /// Further servers; only of links.
    pub(crate) pool: Option<PoolConfig>,
    /// The name under which several share one connection; only of links.
    pub(crate) connection: Option<String>,
    /// How its link behaves, when it speaks the protocol `federation`.
    pub(crate) federation: Option<FederationSettings>,
}

/// What holds for every open connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionConfig {
    pub(crate) limits: Limits,
    /// Shared by the timers of all connections.
    pub(crate) keep_alive: Arc<KeepAliveConfig>,
    /// Pings the peer may send in ten seconds.
    pub(crate) max_pings: usize,
    /// How long a goodbye may take.
    pub(crate) close_timeout: Duration,
    pub(crate) tcp: TcpOptions,
    /// What to negotiate.
    pub(crate) deflate: Option<DeflateConfig>,
}

/// A message to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) message: Secret,
    pub(crate) interval: Duration,
}

/// A URL that prints redacted.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TargetUrl(Url);

impl WebSocketSourceConfig {
    /// Takes the configuration out of validated properties.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let inflate = match Format::from_properties(properties)? {
            Some(format) => {
                Some(Inflate { format, max_bytes: at_least_one_byte(properties, "websocket.compression.max.size")? })
            }
            None if properties.is_given("websocket.compression.max.size") => {
                let key = "websocket.compression.max.size";
                return Err(EventFluxError::property(key, "has no effect without websocket.compression"));
            }
            None => None,
        };
        let mode = Mode::from_properties(properties)?;
        let listens = matches!(mode, Mode::Server(_));
        Ok(Self {
            mode,
            connection: ConnectionConfig::from_properties(properties)?,
            health: match is_federation(properties) {
                true => health_limits(properties, listens)?,
                false => HealthLimits::default(),
            },
            subscribe: SubscribeStep::from_properties(properties)?.into(),
            inflate,
            inlet: is_federation(properties).then(|| InletConfig::from_properties(properties)).transpose()?,
            accepts: if properties.text("websocket.mode")? == "server" && !is_federation(properties) {
                accepts(properties)?
            } else {
                Accepts::default()
            },
        })
    }
}

impl WebSocketSinkConfig {
    /// Takes the configuration out of validated properties.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let mode = match Mode::from_properties(properties)? {
            mode if is_federation(properties) => {
                let listens = matches!(mode, Mode::Server(_));
                SinkMode::Links(mode, Sending::from_properties(properties, listens)?)
            }
            Mode::Client(client) => SinkMode::Client(client, QueueConfig::from_properties(properties)?),
            Mode::Server(server) => SinkMode::Server(server, Box::new(Publishing::from_properties(properties)?)),
        };
        let message_type = MessageType::parse(properties.text("websocket.message.type")?)?;
        let compression = Format::from_properties(properties)?;
        if compression.is_some() && message_type == MessageType::Text {
            let error = EventFluxError::property("websocket.compression", "makes payloads that are no text");
            return Err(error.with_hint("add websocket.message.type='binary'"));
        }
        Ok(Self { mode, connection: ConnectionConfig::from_properties(properties)?, message_type, compression })
    }
}

impl MessageType {
    /// `text` or `binary`.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for anything else.
    pub fn parse(text: &str) -> Result<Self, EventFluxError> {
        match text {
            "text" => Ok(Self::Text),
            "binary" => Ok(Self::Binary),
            other => Err(EventFluxError::property("websocket.message.type", format!("'{other}' is not allowed"))
                .with_hint("use text or binary")),
        }
    }
}

impl Mode {
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(match properties.text("websocket.mode")? {
            "server" => Self::Server(Box::new(ServerConfig::from_properties(properties)?)),
            _ => Self::Client(Box::new(ClientConfig::from_properties(properties)?)),
        })
    }
}

impl ClientConfig {
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let url = TargetUrl::parse(properties.text(URL)?)?;
        refuse_ineffective_reconnect(properties)?;
        check_protocol(properties)?;
        let pool = PoolConfig::from_properties(properties, &url)?;
        let further = pool.iter().flat_map(|pool| &pool.further);
        let secure = further.chain([&url]).any(TargetUrl::is_secure);
        let tls = TlsClientConfig::from_properties(properties, secure)?;
        let auth = AuthConfig::from_properties(properties)?;
        let headers = headers(properties)?;
        if auth != AuthConfig::None && headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            let reason = "sets the Authorization header, and so does websocket.headers.Authorization";
            return Err(EventFluxError::property("auth.type", reason).with_hint("keep one of them"));
        }
        Ok(Self {
            url,
            reconnect: ReconnectPolicy::from_properties(properties)?,
            headers,
            subprotocols: subprotocols(properties)?,
            subprotocol_required: properties.flag("websocket.subprotocol.required")?,
            connect_timeout: positive(properties, "websocket.connect.timeout")?,
            dial: DialConfig::from_properties(properties)?,
            auth,
            tls: secure.then_some(tls),
            heartbeat: Heartbeat::from_properties(properties)?,
            pool,
            connection: properties.optional_text("websocket.connection").map(str::to_owned),
            federation: FederationSettings::from_properties(properties)?,
        })
    }

    /// One for each of its servers, in order.
    pub(crate) fn servers(&self) -> Vec<Self> {
        let further = self.pool.iter().flat_map(|pool| &pool.further);
        let of = |url: &TargetUrl| Self { url: url.clone(), pool: None, ..self.clone() };
        [&self.url].into_iter().chain(further).map(of).collect()
    }
}

impl ConnectionConfig {
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let optional = |key| properties.duration(key).map(|duration| Some(duration).filter(|time| !time.is_zero()));
        let ping_interval = optional("websocket.ping.interval")?;
        if ping_interval.is_none() && properties.is_given("websocket.pong.timeout") {
            let error = EventFluxError::property("websocket.pong.timeout", "has no effect without pings");
            return Err(error.with_hint("remove it, or set websocket.ping.interval to more than 0"));
        }
        Ok(Self {
            limits: Limits {
                max_message_bytes: at_least_one_byte(properties, "websocket.max.message.size")?,
                max_fragments: properties.integer("websocket.max.fragments")?,
            },
            keep_alive: Arc::new(KeepAliveConfig {
                ping_interval,
                pong_timeout: positive(properties, "websocket.pong.timeout")?,
                idle_timeout: optional("websocket.idle.timeout")?,
                message_timeout: optional("websocket.message.timeout")?,
                write_timeout: positive(properties, "websocket.write.timeout")?,
            }),
            max_pings: properties.integer("websocket.max.pings")?,
            close_timeout: positive(properties, "websocket.close.timeout")?,
            tcp: TcpOptions::from_properties(properties)?,
            deflate: deflate::from_properties(properties)?,
        })
    }

    /// What suits two users of one connection: the larger message, the earlier deadline. They agree on compression.
    pub(crate) fn strictest(self, other: Self) -> Self {
        let earlier = |one: Option<Duration>, other: Option<Duration>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let (mine, theirs) = (&self.keep_alive, &other.keep_alive);
        Self {
            limits: Limits {
                max_message_bytes: self.limits.max_message_bytes.max(other.limits.max_message_bytes),
                max_fragments: self.limits.max_fragments.max(other.limits.max_fragments),
            },
            keep_alive: Arc::new(KeepAliveConfig {
                ping_interval: earlier(mine.ping_interval, theirs.ping_interval),
                pong_timeout: mine.pong_timeout.min(theirs.pong_timeout),
                idle_timeout: earlier(mine.idle_timeout, theirs.idle_timeout),
                message_timeout: earlier(mine.message_timeout, theirs.message_timeout),
                write_timeout: mine.write_timeout.min(theirs.write_timeout),
            }),
            max_pings: self.max_pings.max(other.max_pings),
            close_timeout: self.close_timeout.min(other.close_timeout),
            tcp: self.tcp.either(other.tcp),
            deflate: self.deflate,
        }
    }
}

impl Heartbeat {
    fn from_properties(properties: &Properties) -> Result<Option<Self>, EventFluxError> {
        let interval = "websocket.heartbeat.interval";
        match properties.optional_text("websocket.heartbeat.message") {
            Some(message) => {
                Ok(Some(Self { message: Secret::new(message), interval: positive(properties, interval)? }))
            }
            None if properties.is_given(interval) => {
                Err(EventFluxError::property(interval, "has no effect without websocket.heartbeat.message"))
            }
            None => Ok(None),
        }
    }
}

impl TargetUrl {
    /// # Errors
    /// When it is no `ws` or `wss` URL with a host, or has credentials or a fragment in it.
    pub(crate) fn parse(text: &str) -> Result<Self, EventFluxError> {
        Self::parse_as(URL, text)
    }

    /// The same for the URL of another property.
    ///
    /// # Errors
    /// Those of [`TargetUrl::parse`].
    pub(crate) fn parse_as(property: &str, text: &str) -> Result<Self, EventFluxError> {
        let error = |reason: String| {
            EventFluxError::property(property, reason).with_hint("write it as ws://host:port/path or wss://host/path")
        };
        let url = Url::parse(text).map_err(|reason| error(format!("'{}' is no URL: {reason}", redact_url(text))))?;
        if !matches!(url.scheme(), "ws" | "wss") || url.host_str().is_none_or(str::is_empty) {
            return Err(error(format!("'{}' names no WebSocket endpoint", redact_url(text))));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EventFluxError::property(property, "has credentials in it")
                .with_hint("take them out and use auth.type='basic' with environment variables"));
        }
        if url.fragment().is_some() {
            return Err(error(format!("'{}' has a fragment (#...)", redact_url(text))));
        }
        Ok(Self(url))
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.0.scheme() == "wss"
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact_url(self.0.as_str()))
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A duration that is not zero.
pub(crate) fn positive(properties: &Properties, key: &str) -> Result<Duration, EventFluxError> {
    let duration = properties.duration(key)?;
    if duration.is_zero() { Err(EventFluxError::property(key, "must not be 0")) } else { Ok(duration) }
}

/// A size that is not zero.
pub(crate) fn at_least_one_byte(properties: &Properties, key: &str) -> Result<usize, EventFluxError> {
    match properties.size(key)? {
        0 => Err(EventFluxError::property(key, "must not be 0")),
        bytes => Ok(bytes),
    }
}

fn refuse_ineffective_reconnect(properties: &Properties) -> Result<(), EventFluxError> {
    let keys =
        ["delay.ms", "max.delay.ms", "max.attempts", "stable.ms"].map(|end| format!("websocket.reconnect.{end}"));
    if !properties.flag("websocket.reconnect")?
        && let Some(key) = keys.iter().find(|key| properties.is_given(key))
    {
        return Err(EventFluxError::property(key, "has no effect with websocket.reconnect='false'")
            .with_hint("remove it, or set websocket.reconnect='true'"));
    }
    Ok(())
}

/// What a client can speak.
fn check_protocol(properties: &Properties) -> Result<(), EventFluxError> {
    let protocol = properties.text("websocket.protocol")?;
    if !matches!(protocol, "raw" | "federation") {
        let error = EventFluxError::property("websocket.protocol", format!("'{protocol}' is spoken by who listens"));
        return Err(error.with_hint("use raw or federation, or websocket.mode='server'"));
    }
    if protocol == "raw" && properties.is_given("websocket.connection") {
        let error = EventFluxError::property("websocket.connection", "has no effect with websocket.protocol='raw'");
        return Err(error.with_hint("remove it: only links share a connection"));
    }
    if protocol == "raw" && properties.is_given("websocket.pool.urls") {
        let error = EventFluxError::property("websocket.pool.urls", "has no effect with websocket.protocol='raw'");
        return Err(error.with_hint("remove it: only links know several servers"));
    }
    Ok(())
}

fn headers(properties: &Properties) -> Result<Vec<(String, Secret)>, EventFluxError> {
    let mut headers: Vec<(String, Secret)> = Vec::new();
    for (name, value) in properties.prefixed(HEADERS) {
        let error = |reason: &str| EventFluxError::property(&format!("{HEADERS}{name}"), reason);
        let lower = name.to_ascii_lowercase();
        if !is_token(name) {
            return Err(error("is no header name").with_hint("use letters, digits and hyphens"));
        }
        if RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
            let hint = if lower == "sec-websocket-protocol" { "use websocket.subprotocol" } else { "remove it" };
            return Err(error("is a header the handshake sets itself").with_hint(hint));
        }
        if headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Err(error("is set twice: case makes no difference in a header").with_hint("keep one of them"));
        }
        if !is_field_value(value) {
            return Err(error("has a line break or control character in its value"));
        }
        headers.push((name.to_owned(), Secret::new(value)));
    }
    Ok(headers)
}

/// The subprotocols in order of preference.
pub(crate) fn subprotocols(properties: &Properties) -> Result<Vec<String>, EventFluxError> {
    const KEY: &str = "websocket.subprotocol";
    let mut names: Vec<String> = Vec::new();
    for name in properties.optional_text(KEY).iter().flat_map(|text| text.split(',')).map(str::trim) {
        if !is_token(name) || names.iter().any(|known| known == name) {
            let error = EventFluxError::property(KEY, format!("'{name}' is no name, or named twice"));
            return Err(error.with_hint("write names without spaces, separated by commas"));
        }
        names.push(name.to_owned());
    }
    if names.is_empty() && properties.flag("websocket.subprotocol.required")? {
        return Err(EventFluxError::property(
            "websocket.subprotocol.required",
            "has no effect without websocket.subprotocol",
        ));
    }
    Ok(names)
}
