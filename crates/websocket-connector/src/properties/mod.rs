//! The property tables of the `websocket` source and sink: the only place where a property is described.

pub(crate) mod access;
mod client;
mod connection;
mod deflate;
mod gateway;
pub(crate) mod http;
mod server;

use eventflux_core::{PropertyKind, PropertySpec};

use crate::net::properties as net;

const DAY_MS: i64 = 86_400_000;
const CLIENT: &str = "client";
const SERVER: &str = "server";

/// On which many defaults depend.
const PROTOCOL: &str = "websocket.protocol";

/// Properties of the source, besides the common ones.
pub const SOURCE_PROPERTIES: &[PropertySpec] = &[
    connection::MODE,
    client::URL,
    client::RECONNECT,
    client::RECONNECT_DELAY,
    client::RECONNECT_MAX_DELAY,
    client::RECONNECT_MAX_ATTEMPTS.default("-1"),
    client::RECONNECT_STABLE,
    client::HEADERS,
    connection::SUBPROTOCOL,
    connection::SUBPROTOCOL_REQUIRED,
    client::CONNECT_TIMEOUT,
    client::SUBSCRIBE_MESSAGE,
    client::SUBSCRIBE_EXPECT,
    client::SUBSCRIBE_TIMEOUT,
    client::SUBSCRIBE_MORE,
    client::HEARTBEAT_MESSAGE,
    client::HEARTBEAT_INTERVAL,
    connection::NODELAY,
    net::TCP_KEEP_ALIVE,
    net::ADDRESS_FAMILY,
    net::PROXY_URL,
    client::AUTH_TYPE,
    client::AUTH_BEARER_TOKEN,
    client::AUTH_USERNAME,
    client::AUTH_PASSWORD,
    net::TLS_CA,
    net::TLS_CERT,
    net::TLS_KEY,
    net::TLS_SKIP_VERIFY,
    server::LISTEN,
    server::PATH,
    gateway::PROTOCOL,
    access::AUTH,
    access::REQUIRED,
    access::TOKENS,
    access::TOKENS_FILE,
    access::USERS,
    access::USERS_FILE,
    access::JWT_SECRET,
    access::JWT_KEY,
    access::JWT_KEY_FILE,
    access::JWKS_URL,
    access::JWKS_REFRESH,
    access::JWT_ALGORITHMS,
    access::JWT_AUDIENCE,
    access::JWT_ISSUER,
    access::JWT_LEEWAY,
    access::JWT_USER_CLAIM,
    access::JWT_CHANNELS_CLAIM,
    access::JWT_EXPIRY_REQUIRED,
    access::HTTP_URL,
    access::HTTP_TIMEOUT,
    access::HTTP_CACHE,
    access::HTTP_SUBSCRIBE_URL,
    access::QUERY,
    access::MESSAGE_TIMEOUT,
    access::ATTEMPTS,
    access::GRANTS_SUBSCRIBE,
    access::GRANTS_PUBLISH,
    gateway::DRAIN_SPREAD,
    gateway::MAX_CONNECTIONS_PER_USER,
    gateway::MAX_SUBSCRIPTIONS,
    gateway::MAX_SUBSCRIBERS,
    gateway::MAX_CHANNELS,
    gateway::MAX_REPLY_BYTES,
    gateway::RATE_LIMITING,
    gateway::RATE_LIMIT,
    gateway::RATE_PERIOD,
    gateway::FILTER_MAX_SIZE,
    gateway::FILTER_MAX_TERMS,
    gateway::PRESENCE,
    gateway::MAX_REQUESTS,
    gateway::REQUEST_TIMEOUT,
    gateway::BATCH_DELAY,
    gateway::BATCH_SIZE,
    gateway::ACCEPT,
    http::SSE,
    http::PUBLISH,
    server::MAX_CONNECTIONS,
    server::MAX_CONNECTIONS_TOTAL,
    server::MAX_CONNECTIONS_PER_ADDRESS,
    server::MAX_HANDSHAKES,
    server::MAX_HEAD_SIZE,
    server::HANDSHAKE_TIMEOUT,
    net::TLS_CLIENT_AUTH,
    net::TLS_CLIENT_CA,
    net::ORIGINS,
    net::ORIGIN_REQUIRED,
    net::HOSTS,
    net::TRUSTED_PROXIES,
    net::PROXY_PROTOCOL,
    connection::PING_INTERVAL,
    connection::PONG_TIMEOUT,
    connection::IDLE_TIMEOUT,
    connection::MESSAGE_TIMEOUT,
    connection::WRITE_TIMEOUT,
    connection::CLOSE_TIMEOUT,
    connection::MAX_MESSAGE_SIZE,
    connection::MAX_FRAGMENTS,
    connection::MAX_PINGS,
    deflate::DEFLATE,
    deflate::DEFLATE_THRESHOLD,
    deflate::DEFLATE_LEVEL,
    deflate::DEFLATE_SEND_WINDOW,
    deflate::DEFLATE_SEND_TAKEOVER,
    deflate::DEFLATE_RECEIVE_WINDOW,
    deflate::DEFLATE_RECEIVE_TAKEOVER,
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
    connection::MODE,
    client::URL,
    client::RECONNECT,
    client::RECONNECT_DELAY,
    client::RECONNECT_MAX_DELAY,
    client::RECONNECT_MAX_ATTEMPTS.default("3"),
    client::RECONNECT_STABLE,
    client::HEADERS,
    connection::SUBPROTOCOL,
    connection::SUBPROTOCOL_REQUIRED,
    client::CONNECT_TIMEOUT,
    client::HEARTBEAT_MESSAGE,
    client::HEARTBEAT_INTERVAL,
    connection::NODELAY,
    net::TCP_KEEP_ALIVE,
    net::ADDRESS_FAMILY,
    net::PROXY_URL,
    client::AUTH_TYPE,
    client::AUTH_BEARER_TOKEN,
    client::AUTH_USERNAME,
    client::AUTH_PASSWORD,
    net::TLS_CA,
    net::TLS_CERT,
    net::TLS_KEY,
    net::TLS_SKIP_VERIFY,
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
    server::LISTEN,
    server::PATH,
    gateway::PROTOCOL,
    access::AUTH,
    access::REQUIRED,
    access::TOKENS,
    access::TOKENS_FILE,
    access::USERS,
    access::USERS_FILE,
    access::JWT_SECRET,
    access::JWT_KEY,
    access::JWT_KEY_FILE,
    access::JWKS_URL,
    access::JWKS_REFRESH,
    access::JWT_ALGORITHMS,
    access::JWT_AUDIENCE,
    access::JWT_ISSUER,
    access::JWT_LEEWAY,
    access::JWT_USER_CLAIM,
    access::JWT_CHANNELS_CLAIM,
    access::JWT_EXPIRY_REQUIRED,
    access::HTTP_URL,
    access::HTTP_TIMEOUT,
    access::HTTP_CACHE,
    access::HTTP_SUBSCRIBE_URL,
    access::QUERY,
    access::MESSAGE_TIMEOUT,
    access::ATTEMPTS,
    access::GRANTS_SUBSCRIBE,
    access::GRANTS_PUBLISH,
    gateway::DRAIN_SPREAD,
    gateway::MAX_CONNECTIONS_PER_USER,
    gateway::MAX_SUBSCRIPTIONS,
    gateway::MAX_SUBSCRIBERS,
    gateway::MAX_CHANNELS,
    gateway::MAX_REPLY_BYTES,
    gateway::RATE_LIMITING,
    gateway::RATE_LIMIT,
    gateway::RATE_PERIOD,
    gateway::FILTER_MAX_SIZE,
    gateway::FILTER_MAX_TERMS,
    gateway::PRESENCE,
    gateway::MAX_REQUESTS,
    gateway::REQUEST_TIMEOUT,
    gateway::BATCH_DELAY,
    gateway::BATCH_SIZE,
    gateway::CHANNEL,
    gateway::USER,
    gateway::REPLY,
    gateway::KEY,
    gateway::CORRELATION,
    gateway::HISTORY_EVENTS,
    gateway::HISTORY_BYTES,
    gateway::HISTORY_AGE,
    gateway::SNAPSHOT_KEYS,
    http::SSE,
    http::PUBLISH,
    server::MAX_CONNECTIONS,
    server::MAX_CONNECTIONS_TOTAL,
    server::MAX_CONNECTIONS_PER_ADDRESS,
    server::MAX_HANDSHAKES,
    server::MAX_HEAD_SIZE,
    server::HANDSHAKE_TIMEOUT,
    net::TLS_CLIENT_AUTH,
    net::TLS_CLIENT_CA,
    net::ORIGINS,
    net::ORIGIN_REQUIRED,
    net::HOSTS,
    net::TRUSTED_PROXIES,
    net::PROXY_PROTOCOL,
    PropertySpec::new(
        "websocket.client.queue.bytes",
        PropertyKind::Size,
        "How much may wait to be sent to one client.",
    )
    .default("1MiB")
    .only_if("websocket.mode", SERVER),
    PropertySpec::new(
        "websocket.client.queue.full",
        PropertyKind::Choice(&["drop_oldest", "drop_newest", "conflate", "disconnect"]),
        "What happens when that much waits for one client: drop (and count) its oldest or newest payloads, keep only the newest of each websocket.key, or close its connection with code 1008. Other clients do not notice.",
    )
    .default("drop_oldest")
    .only_if("websocket.mode", SERVER),
    gateway::CLIENT_QUEUE_AGE,
    connection::PING_INTERVAL,
    connection::PONG_TIMEOUT,
    connection::IDLE_TIMEOUT,
    connection::MESSAGE_TIMEOUT,
    connection::WRITE_TIMEOUT,
    connection::CLOSE_TIMEOUT,
    connection::MAX_MESSAGE_SIZE,
    connection::MAX_FRAGMENTS,
    connection::MAX_PINGS,
    deflate::DEFLATE,
    deflate::DEFLATE_THRESHOLD,
    deflate::DEFLATE_LEVEL,
    deflate::DEFLATE_SEND_WINDOW,
    deflate::DEFLATE_SEND_TAKEOVER,
    deflate::DEFLATE_RECEIVE_WINDOW,
    deflate::DEFLATE_RECEIVE_TAKEOVER,
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
