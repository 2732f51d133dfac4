//! The property tables of the `websocket` source and sink: the only place where a property is described.

use eventflux_core::{PropertyKind, PropertySpec};

const DAY_MS: i64 = 86_400_000;
const CLIENT: &str = "client";
const SERVER: &str = "server";

/// Properties of the source, besides the common ones.
pub const SOURCE_PROPERTIES: &[PropertySpec] = &[
    MODE,
    URL,
    RECONNECT,
    RECONNECT_DELAY,
    RECONNECT_MAX_DELAY,
    RECONNECT_MAX_ATTEMPTS.default("-1"),
    RECONNECT_STABLE,
    HEADERS,
    SUBPROTOCOL,
    CONNECT_TIMEOUT,
    SUBSCRIBE_MESSAGE,
    SUBSCRIBE_EXPECT,
    SUBSCRIBE_TIMEOUT,
    SUBSCRIBE_MORE,
    HEARTBEAT_MESSAGE,
    HEARTBEAT_INTERVAL,
    NODELAY,
    AUTH_TYPE,
    AUTH_BEARER_TOKEN,
    AUTH_USERNAME,
    AUTH_PASSWORD,
    TLS_CA,
    TLS_CERT,
    TLS_KEY,
    TLS_SKIP_VERIFY,
    LISTEN,
    PATH,
    MAX_CONNECTIONS,
    PING_INTERVAL,
    PONG_TIMEOUT,
    IDLE_TIMEOUT,
    WRITE_TIMEOUT,
    MAX_MESSAGE_SIZE,
    PropertySpec::new(
        "websocket.compression",
        PropertyKind::Choice(&["none", "gzip", "deflate", "zstd"]),
        "How binary messages are compressed before they become WebSocket messages; text messages are taken as they are. `deflate` takes both the zlib format and raw deflate.",
    )
    .default("none"),
    PropertySpec::new(
        "websocket.compression.max.size",
        PropertyKind::Size,
        "Largest size of a message once decompressed; a larger one goes to the error strategy.",
    )
    .default("16MiB"),
];

/// Properties of the sink, besides the common ones.
pub const SINK_PROPERTIES: &[PropertySpec] = &[
    MODE,
    URL,
    RECONNECT,
    RECONNECT_DELAY,
    RECONNECT_MAX_DELAY,
    RECONNECT_MAX_ATTEMPTS.default("3"),
    RECONNECT_STABLE,
    HEADERS,
    SUBPROTOCOL,
    CONNECT_TIMEOUT,
    HEARTBEAT_MESSAGE,
    HEARTBEAT_INTERVAL,
    NODELAY,
    AUTH_TYPE,
    AUTH_BEARER_TOKEN,
    AUTH_USERNAME,
    AUTH_PASSWORD,
    TLS_CA,
    TLS_CERT,
    TLS_KEY,
    TLS_SKIP_VERIFY,
    PropertySpec::new(
        "websocket.queue.bytes",
        PropertyKind::Size,
        "How much may wait to be sent, also while the connection is away. A payload leaves the queue when the kernel has taken it.",
    )
    .default("1MiB")
    .only_if("websocket.mode", CLIENT),
    PropertySpec::new(
        "websocket.queue.full",
        PropertyKind::Choice(&["block", "drop_oldest", "drop_newest"]),
        "What happens when that much waits: stop the sources that feed the sink, or drop (and count) the oldest or the newest payloads.",
    )
    .default("block")
    .only_if("websocket.mode", CLIENT),
    LISTEN,
    PATH,
    MAX_CONNECTIONS,
    PropertySpec::new(
        "websocket.client.queue.bytes",
        PropertyKind::Size,
        "How much may wait to be sent to one client.",
    )
    .default("1MiB")
    .only_if("websocket.mode", SERVER),
    PropertySpec::new(
        "websocket.client.queue.full",
        PropertyKind::Choice(&["drop_oldest", "drop_newest", "disconnect"]),
        "What happens when that much waits for one client: drop (and count) its oldest or newest payloads, or close its connection with code 1008. Other clients do not notice.",
    )
    .default("drop_oldest")
    .only_if("websocket.mode", SERVER),
    PING_INTERVAL,
    PONG_TIMEOUT,
    IDLE_TIMEOUT,
    WRITE_TIMEOUT,
    MAX_MESSAGE_SIZE,
    PropertySpec::new(
        "websocket.message.type",
        PropertyKind::Choice(&["text", "binary"]),
        "Whether payloads are sent as text or as binary messages. A text message must be UTF-8.",
    )
    .default("text"),
    PropertySpec::new(
        "websocket.compression",
        PropertyKind::Choice(&["none", "gzip", "deflate", "zstd"]),
        "How each payload is compressed before it is sent; needs websocket.message.type='binary'. `deflate` is the zlib format.",
    )
    .default("none"),
];

const MODE: PropertySpec = PropertySpec::new(
    "websocket.mode",
    PropertyKind::Choice(&[CLIENT, SERVER]),
    "Whether to connect to an endpoint or to listen for connections.",
)
.default(CLIENT);

const URL: PropertySpec = PropertySpec::new(
    "websocket.url",
    PropertyKind::Url(&["ws", "wss"]),
    "The endpoint to connect to. Credentials belong into `auth.*` or a header; a query is shown nowhere.",
)
.required()
.example("wss://stream.binance.com:9443/ws/btcusdt@trade")
.only_if("websocket.mode", CLIENT);

const RECONNECT: PropertySpec = PropertySpec::new(
    "websocket.reconnect",
    PropertyKind::Boolean,
    "Whether to connect again when the connection is lost or refused.",
)
.default("true")
.only_if("websocket.mode", CLIENT);

const RECONNECT_DELAY: PropertySpec = PropertySpec::new(
    "websocket.reconnect.delay.ms",
    PropertyKind::Integer { min: 0, max: DAY_MS },
    "Longest pause before the second attempt. The longest pause doubles with each attempt; the actual one is random between zero and it.",
)
.default("1000")
.unit("ms")
.only_if("websocket.mode", CLIENT);

const RECONNECT_MAX_DELAY: PropertySpec = PropertySpec::new(
    "websocket.reconnect.max.delay.ms",
    PropertyKind::Integer { min: 0, max: DAY_MS },
    "Where the longest pause stops to grow.",
)
.default("30000")
.unit("ms")
.only_if("websocket.mode", CLIENT);

const RECONNECT_MAX_ATTEMPTS: PropertySpec = PropertySpec::new(
    "websocket.reconnect.max.attempts",
    PropertyKind::Integer { min: -1, max: i32::MAX as i64 },
    "Attempts in a row before giving up; -1 for no end, 0 is taken as 1. Every reason counts, a refusal with 401 as well as a connection that did not stay.",
)
.only_if("websocket.mode", CLIENT);

const RECONNECT_STABLE: PropertySpec = PropertySpec::new(
    "websocket.reconnect.stable.ms",
    PropertyKind::Integer { min: 0, max: DAY_MS },
    "How long a connection must have been up for attempts and pauses to start over; a server that accepts and hangs up is not hammered.",
)
.default("30000")
.unit("ms")
.only_if("websocket.mode", CLIENT);

const HEADERS: PropertySpec = PropertySpec::new(
    "websocket.headers.*",
    PropertyKind::Text,
    "A header of the handshake, by name: websocket.headers.X-API-Key. Never shown.",
)
.secret()
.example("${env:API_KEY}")
.only_if("websocket.mode", CLIENT);

const SUBPROTOCOL: PropertySpec = PropertySpec::new(
    "websocket.subprotocol",
    PropertyKind::Text,
    "Subprotocols to offer, in order of preference, separated by commas. The server may choose one of them or none.",
)
.example("graphql-transport-ws")
.only_if("websocket.mode", CLIENT);

const CONNECT_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.connect.timeout",
    PropertyKind::Duration,
    "How long one attempt may take: name, TCP, TLS and handshake together.",
)
.default("10s")
.only_if("websocket.mode", CLIENT);

const SUBSCRIBE_MESSAGE: PropertySpec = PropertySpec::new(
    "websocket.subscribe.message",
    PropertyKind::Text,
    "A text message to send after every connect. Never shown.",
)
.secret()
.example("{\"type\":\"subscribe\",\"channels\":[\"ticker\"]}")
.only_if("websocket.mode", CLIENT);

const SUBSCRIBE_EXPECT: PropertySpec = PropertySpec::new(
    "websocket.subscribe.message.expect",
    PropertyKind::Text,
    "The reply to wait for before anything else is sent: a JSON object whose members the reply must have (numbers and strings equal, objects searched inside), or else a text the reply must contain. The reply itself is not delivered; what comes before it is.",
)
.secret()
.example("{\"type\":\"subscriptions\"}")
.only_if("websocket.mode", CLIENT);

const SUBSCRIBE_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.subscribe.message.timeout",
    PropertyKind::Duration,
    "How long to wait for the expected reply before the connection counts as failed.",
)
.default("10s")
.only_if("websocket.mode", CLIENT);

const SUBSCRIBE_MORE: PropertySpec = PropertySpec::new(
    "websocket.subscribe.message.*",
    PropertyKind::Text,
    "Further messages, sent in the order of their numbers: websocket.subscribe.message.2, .3 and so on, each with its own .2.expect and .2.timeout.",
)
.secret()
.example("{\"op\":\"subscribe\",\"args\":[\"orders\"]}")
.only_if("websocket.mode", CLIENT);

const HEARTBEAT_MESSAGE: PropertySpec = PropertySpec::new(
    "websocket.heartbeat.message",
    PropertyKind::Text,
    "A text message to send again and again, for endpoints that want pings as messages.",
)
.secret()
.example("{\"op\":\"ping\"}")
.only_if("websocket.mode", CLIENT);

const HEARTBEAT_INTERVAL: PropertySpec =
    PropertySpec::new("websocket.heartbeat.interval", PropertyKind::Duration, "Time between two heartbeat messages.")
        .default("15s")
        .only_if("websocket.mode", CLIENT);

const NODELAY: PropertySpec = PropertySpec::new(
    "websocket.nodelay",
    PropertyKind::Boolean,
    "Whether TCP sends small messages at once instead of waiting for more (Nagle's algorithm off).",
)
.default("true");

const AUTH_TYPE: PropertySpec = PropertySpec::new(
    "auth.type",
    PropertyKind::Choice(&["none", "bearer", "basic"]),
    "The Authorization header of the handshake.",
)
.default("none")
.only_if("websocket.mode", CLIENT);

const AUTH_BEARER_TOKEN: PropertySpec = PropertySpec::new(
    "auth.bearer_token_env",
    PropertyKind::Text,
    "Name of the environment variable that holds the token; read at start.",
)
.required()
.example("WS_INGEST_TOKEN")
.only_if("auth.type", "bearer");

const AUTH_USERNAME: PropertySpec = PropertySpec::new(
    "auth.basic_auth.username_env",
    PropertyKind::Text,
    "Name of the environment variable that holds the user's name; read at start.",
)
.required()
.example("WS_USERNAME")
.only_if("auth.type", "basic");

const AUTH_PASSWORD: PropertySpec = PropertySpec::new(
    "auth.basic_auth.password_env",
    PropertyKind::Text,
    "Name of the environment variable that holds the password; read at start.",
)
.required()
.example("WS_PASSWORD")
.only_if("auth.type", "basic");

const TLS_CA: PropertySpec =
    PropertySpec::new("websocket.tls.ca.file", PropertyKind::Path, "Certificates (PEM) to trust besides the system's.")
        .only_if("websocket.mode", CLIENT);

const TLS_CERT: PropertySpec = PropertySpec::new(
    "websocket.tls.cert.file",
    PropertyKind::Path,
    "Our certificate (PEM, with its chain) for servers that ask for one.",
)
.only_if("websocket.mode", CLIENT);

const TLS_KEY: PropertySpec = PropertySpec::new(
    "websocket.tls.key.file",
    PropertyKind::Path,
    "The private key of that certificate (PEM, PKCS #8).",
)
.only_if("websocket.mode", CLIENT);

const TLS_SKIP_VERIFY: PropertySpec = PropertySpec::new(
    "websocket.tls.skip.verify",
    PropertyKind::Boolean,
    "Trust any certificate, of any name and date. For tests only: anybody on the way can read and change everything.",
)
.default("false")
.only_if("websocket.mode", CLIENT);

const LISTEN: PropertySpec = PropertySpec::new(
    "websocket.listen",
    PropertyKind::Address,
    "Where to listen. Port 0 takes a free one; the log and the connector's health tell which. Sources and sinks that name the same address share it.",
)
.required()
.example("127.0.0.1:8080")
.only_if("websocket.mode", SERVER);

const PATH: PropertySpec = PropertySpec::new(
    "websocket.path",
    PropertyKind::Text,
    "The path clients connect to. A source and a sink of the same path share its connections.",
)
.default("/")
.only_if("websocket.mode", SERVER);

const MAX_CONNECTIONS: PropertySpec = PropertySpec::new(
    "websocket.max.connections",
    PropertyKind::Integer { min: 1, max: 1_000_000 },
    "Largest number of connections to the path; more are refused with status 503.",
)
.default("1000")
.only_if("websocket.mode", SERVER);

const PING_INTERVAL: PropertySpec =
    PropertySpec::new("websocket.ping.interval", PropertyKind::Duration, "Time between two pings; 0 for none.")
        .default("20s");

const PONG_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.pong.timeout",
    PropertyKind::Duration,
    "How long after a ping the peer may stay silent; anything it sends counts as an answer. Then the connection is dropped.",
)
.default("10s");

const IDLE_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.idle.timeout",
    PropertyKind::Duration,
    "How long no message may come before the connection is dropped, pongs notwithstanding; 0 for ever.",
)
.default("0");

const WRITE_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.write.timeout",
    PropertyKind::Duration,
    "How long the peer may take no part of what we send before the connection is dropped.",
)
.default("30s");

const MAX_MESSAGE_SIZE: PropertySpec = PropertySpec::new(
    "websocket.max.message.size",
    PropertyKind::Size,
    "Largest message to receive; a larger one is reported to the error strategy and closes the connection with code 1009.",
)
.default("16MiB");

#[cfg(test)]
mod tests {
    use eventflux_core::{PropertyKind, PropertySpec};

    use super::{SINK_PROPERTIES, SOURCE_PROPERTIES};

    fn find<'a>(table: &'a [PropertySpec], key: &str) -> &'a PropertySpec {
        table.iter().find(|spec| spec.key == key).unwrap()
    }

    #[test]
    fn defaults_are_values_of_their_kind_and_keys_are_unique() {
        for table in [SOURCE_PROPERTIES, SINK_PROPERTIES] {
            for (index, spec) in table.iter().enumerate() {
                assert!(table[index + 1..].iter().all(|other| other.key != spec.key), "{} twice", spec.key);
                assert!(spec.default.is_none_or(|text| spec.kind.parse(text, spec.unit).is_some()), "{}", spec.key);
            }
        }
    }

    #[test]
    fn the_designs_defaults_hold() {
        for (table, attempts) in [(SOURCE_PROPERTIES, "-1"), (SINK_PROPERTIES, "3")] {
            for (key, default) in [
                ("websocket.reconnect", "true"),
                ("websocket.reconnect.delay.ms", "1000"),
                ("websocket.reconnect.max.delay.ms", "30000"),
                ("websocket.reconnect.max.attempts", attempts),
                ("auth.type", "none"),
                ("websocket.path", "/"),
            ] {
                assert_eq!(find(table, key).default, Some(default), "{key}");
            }
            assert!(find(table, "websocket.headers.*").secret && find(table, "websocket.url").required);
        }
        assert_eq!(find(SINK_PROPERTIES, "websocket.message.type").default, Some("text"));
    }

    #[test]
    fn numbered_messages_come_after_the_keys_they_would_swallow() {
        let position = |key: &str| SOURCE_PROPERTIES.iter().position(|spec| spec.key == key).unwrap();
        assert!(position("websocket.subscribe.message.timeout") < position("websocket.subscribe.message.*"));
        assert_eq!(find(SOURCE_PROPERTIES, "websocket.subscribe.message.timeout").kind, PropertyKind::Duration);
    }
}
