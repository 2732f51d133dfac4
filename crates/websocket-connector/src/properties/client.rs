//! Properties of a source or sink that connects out.

use eventflux_core::{PropertyKind, PropertySpec};

use super::{CLIENT, DAY_MS};

pub(super) const URL: PropertySpec = PropertySpec::new(
    "websocket.url",
    PropertyKind::Url(&["ws", "wss"]),
    "The endpoint to connect to. Credentials belong into `auth.*` or a header; a query is shown nowhere.",
)
.required()
.example("wss://stream.binance.com:9443/ws/btcusdt@trade")
.only_if("websocket.mode", CLIENT);

pub(super) const RECONNECT: PropertySpec = PropertySpec::new(
    "websocket.reconnect",
    PropertyKind::Boolean,
    "Whether to connect again when the connection is lost or refused.",
)
.default("true")
.only_if("websocket.mode", CLIENT);

pub(super) const RECONNECT_DELAY: PropertySpec = PropertySpec::new(
    "websocket.reconnect.delay.ms",
    PropertyKind::Integer { min: 0, max: DAY_MS },
    "Longest pause before the second attempt. The longest pause doubles with each attempt; the actual one is random between zero and it.",
)
.default("1000")
.unit("ms")
.only_if("websocket.mode", CLIENT);

pub(super) const RECONNECT_MAX_DELAY: PropertySpec = PropertySpec::new(
    "websocket.reconnect.max.delay.ms",
    PropertyKind::Integer { min: 0, max: DAY_MS },
    "Where the longest pause stops to grow.",
)
.default("30000")
.unit("ms")
.only_if("websocket.mode", CLIENT);

pub(super) const RECONNECT_MAX_ATTEMPTS: PropertySpec = PropertySpec::new(
    "websocket.reconnect.max.attempts",
    PropertyKind::Integer { min: -1, max: i32::MAX as i64 },
    "Attempts in a row before giving up; -1 for no end, 0 is taken as 1. Every reason counts, a refusal with 401 as well as a connection that did not stay.",
)
.only_if("websocket.mode", CLIENT);

pub(super) const RECONNECT_STABLE: PropertySpec = PropertySpec::new(
    "websocket.reconnect.stable.ms",
    PropertyKind::Integer { min: 0, max: DAY_MS },
    "How long a connection must have been up for attempts and pauses to start over; a server that accepts and hangs up is not hammered.",
)
.default("30000")
.unit("ms")
.only_if("websocket.mode", CLIENT);

pub(super) const HEADERS: PropertySpec = PropertySpec::new(
    "websocket.headers.*",
    PropertyKind::Text,
    "A header of the handshake, by name: websocket.headers.X-API-Key. Never shown.",
)
.secret()
.example("${env:API_KEY}")
.only_if("websocket.mode", CLIENT);

pub(super) const CONNECT_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.connect.timeout",
    PropertyKind::Duration,
    "How long one attempt may take: name, TCP, TLS and handshake together.",
)
.default("10s")
.only_if("websocket.mode", CLIENT);

pub(super) const SUBSCRIBE_MESSAGE: PropertySpec = PropertySpec::new(
    "websocket.subscribe.message",
    PropertyKind::Text,
    "A text message to send after every connect. Never shown.",
)
.secret()
.example("{\"type\":\"subscribe\",\"channels\":[\"ticker\"]}")
.only_if("websocket.mode", CLIENT);

pub(super) const SUBSCRIBE_EXPECT: PropertySpec = PropertySpec::new(
    "websocket.subscribe.message.expect",
    PropertyKind::Text,
    "The reply to wait for before anything else is sent: a JSON object whose members the reply must have (numbers and strings equal, objects searched inside), or else a text the reply must contain. The reply itself is not delivered; what comes before it is.",
)
.secret()
.example("{\"type\":\"subscriptions\"}")
.only_if("websocket.mode", CLIENT);

pub(super) const SUBSCRIBE_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.subscribe.message.timeout",
    PropertyKind::Duration,
    "How long to wait for the expected reply before the connection counts as failed.",
)
.default("10s")
.only_if("websocket.mode", CLIENT);

pub(super) const SUBSCRIBE_MORE: PropertySpec = PropertySpec::new(
    "websocket.subscribe.message.*",
    PropertyKind::Text,
    "Further messages, sent in the order of their numbers: websocket.subscribe.message.2, .3 and so on, each with its own .2.expect and .2.timeout.",
)
.secret()
.example("{\"op\":\"subscribe\",\"args\":[\"orders\"]}")
.only_if("websocket.mode", CLIENT);

pub(super) const HEARTBEAT_MESSAGE: PropertySpec = PropertySpec::new(
    "websocket.heartbeat.message",
    PropertyKind::Text,
    "A text message to send again and again, for endpoints that want pings as messages.",
)
.secret()
.example("{\"op\":\"ping\"}")
.only_if("websocket.mode", CLIENT);

pub(super) const HEARTBEAT_INTERVAL: PropertySpec =
    PropertySpec::new("websocket.heartbeat.interval", PropertyKind::Duration, "Time between two heartbeat messages.")
        .default("15s")
        .only_if("websocket.mode", CLIENT);

pub(super) const AUTH_TYPE: PropertySpec = PropertySpec::new(
    "auth.type",
    PropertyKind::Choice(&["none", "bearer", "basic"]),
    "The Authorization header of the handshake.",
)
.default("none")
.only_if("websocket.mode", CLIENT);

pub(super) const AUTH_BEARER_TOKEN: PropertySpec = PropertySpec::new(
    "auth.bearer_token_env",
    PropertyKind::Text,
    "Name of the environment variable that holds the token; read at start. This, or auth.bearer_token_file, is required.",
)
.example("WS_INGEST_TOKEN")
.only_if("auth.type", "bearer");

pub(super) const AUTH_BEARER_FILE: PropertySpec = PropertySpec::new(
    "auth.bearer_token_file",
    PropertyKind::Path,
    "A file that holds the token and nothing else; read for each connect. With websocket.protocol='federation' a changed file is noticed within a second, and the new token is shown to the server over the connection that stands, before the old one expires.",
)
.example("/run/secrets/hub-token")
.only_if("auth.type", "bearer");

pub(super) const AUTH_USERNAME: PropertySpec = PropertySpec::new(
    "auth.basic_auth.username_env",
    PropertyKind::Text,
    "Name of the environment variable that holds the user's name; read at start.",
)
.required()
.example("WS_USERNAME")
.only_if("auth.type", "basic");

pub(super) const AUTH_PASSWORD: PropertySpec = PropertySpec::new(
    "auth.basic_auth.password_env",
    PropertyKind::Text,
    "Name of the environment variable that holds the password; read at start.",
)
.required()
.example("WS_PASSWORD")
.only_if("auth.type", "basic");
