//! The property tables of the `websocket` source and sink: the only place where a property is described.

pub(crate) mod access;
mod backplane;
mod client;
mod connection;
mod deflate;
mod federation;
mod gateway;
pub(crate) mod http;
mod server;
mod shared;

use eventflux_core::property::{concat, count};
use eventflux_core::{PropertyKind, PropertySpec};

const DAY_MS: i64 = 86_400_000;
const CLIENT: &str = "client";
const SERVER: &str = "server";

/// On which many defaults depend.
const PROTOCOL: &str = "websocket.protocol";

/// Properties of the source, besides the common ones.
pub const SOURCE_PROPERTIES: &[PropertySpec] = &concat::<{ count(SOURCE) }>(SOURCE);

/// Properties of the sink, besides the common ones.
pub const SINK_PROPERTIES: &[PropertySpec] = &concat::<{ count(SINK) }>(SINK);

const SOURCE: &[&[PropertySpec]] = &[
    shared::REACHING,
    &[client::RECONNECT_MAX_ATTEMPTS.default("-1")],
    shared::OPENING,
    &[
        client::SUBSCRIBE_MESSAGE,
        client::SUBSCRIBE_EXPECT,
        client::SUBSCRIBE_TIMEOUT,
        client::SUBSCRIBE_MORE,
    ],
    shared::CONNECTED,
    shared::SERVING,
    &[gateway::ACCEPT],
    shared::ADMITTING,
    shared::KEEPING,
    backplane::SHARING,
    backplane::REACHING_NATS,
    federation::OF_PLACE,
    federation::OF_SOURCE,
    &[
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
    ],
];

const SINK: &[&[PropertySpec]] = &[
    shared::REACHING,
    &[client::RECONNECT_MAX_ATTEMPTS.default("3").default_for(PROTOCOL, &[("federation", "-1")])],
    shared::OPENING,
    shared::CONNECTED,
    &[
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
    ],
    shared::SERVING,
    &[
        gateway::CHANNEL,
        gateway::USER,
        gateway::REPLY,
        gateway::KEY,
        gateway::CORRELATION,
        gateway::HISTORY_EVENTS,
        gateway::HISTORY_BYTES,
        gateway::HISTORY_AGE,
        gateway::SNAPSHOT_KEYS,
    ],
    shared::ADMITTING,
    &[
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
    ],
    shared::KEEPING,
    backplane::SHARING,
    backplane::REACHING_NATS,
    federation::OF_PLACE,
    federation::OF_SINK,
    &[
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
    ],
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
