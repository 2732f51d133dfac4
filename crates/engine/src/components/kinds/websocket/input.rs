//! The end that takes messages.

use super::{
    AUTH_TYPE, BEARER_TOKEN, BIDIRECTIONAL_ENABLED, CLIENT, FIXED, MAX_REQUESTS, MAX_RETRIES, MODES, PASSWORD,
    REQUEST_TIMEOUT, SERVER, USERNAME,
};
use crate::components::config::Config;
use crate::components::kinds::{Becomes, Field, Kind, Shape, Target, address};

const RECONNECTING: &[(&str, &str)] = &[("mode", "client"), ("client.reconnect.enabled", "true")];
const QUEUEING: &[(&str, &str)] = &[("backpressure.enabled", "true")];
const BUFFER_SIZES: &str = "buffers belong to threads and not to connections";
const DOUBLING: &str = "pauses double with each attempt, and each is random up to that";

pub(in crate::components::kinds) const INPUT: Kind = Kind {
    category: "input",
    name: "websocket_input",
    doc: "Takes what another instance sends over a WebSocket, with requests and replies.",
    fields: &[
        Field::new(
            "mode",
            MODES,
            Target::Property("websocket.mode"),
            "Whether to listen (`server`) or to connect (`client`). The section of the other mode is validated and not used.",
        )
        .required(),
        Field::new(
            "server.http_port",
            Shape::PORT,
            Target::Made("`websocket.listen`", server_listen),
            "The port to listen on; 0 for any.",
        )
        .required()
        .when(SERVER),
        Field::new("server.bind", Shape::TEXT, Target::PartOf("websocket.listen"), "The address to listen on.")
            .default("0.0.0.0")
            .when(SERVER),
        Field::new("server.path", Shape::TEXT, Target::Property("websocket.path"), "The path peers connect to.")
            .default("/")
            .when(SERVER),
        Field::new(
            "server.max_connections",
            Shape::integer(1, 1_000_000),
            Target::Property("websocket.max.connections"),
            "The most connections at a time.",
        )
        .default("100")
        .when(SERVER),
        Field::new(
            "server.read_buffer_size",
            Shape::SIZE,
            Target::Nothing(BUFFER_SIZES),
            "Accepted for files that have it; of no effect, which a warning says.",
        )
        .when(SERVER),
        Field::new(
            "server.write_buffer_size",
            Shape::SIZE,
            Target::Nothing(BUFFER_SIZES),
            "Accepted for files that have it; of no effect, which a warning says.",
        )
        .when(SERVER),
        Field::new(
            "server.enable_compression",
            Shape::BOOLEAN,
            Target::Property("websocket.permessage-deflate"),
            "Whether peers may compress messages.",
        )
        .when(SERVER),
        Field::new(
            "client.url",
            Shape::url(&["ws", "wss"]),
            Target::Property("websocket.url"),
            "The peer to connect to.",
        )
        .required()
        .when(CLIENT),
        Field::new(
            "client.reconnect.enabled",
            Shape::BOOLEAN,
            Target::Property("websocket.reconnect"),
            "Whether to connect again when the connection is lost or refused.",
        )
        .default("true")
        .when(CLIENT),
        Field::new(
            "client.reconnect.max_retries",
            MAX_RETRIES,
            Target::Property("websocket.reconnect.max.attempts"),
            "Attempts in a row before giving up; -1, as when it is not given, for no end.",
        )
        .when(RECONNECTING),
        Field::new(
            "client.reconnect.initial_interval",
            Shape::DURATION,
            Target::Milliseconds("websocket.reconnect.delay.ms"),
            "The longest pause before the second attempt.",
        )
        .when(RECONNECTING),
        Field::new(
            "client.reconnect.max_interval",
            Shape::DURATION,
            Target::Milliseconds("websocket.reconnect.max.delay.ms"),
            "Where the longest pause stops to grow.",
        )
        .when(RECONNECTING),
        Field::new(
            "client.reconnect.multiplier",
            Shape::Like(eventflux_core::PropertyKind::Number { min: 0, max: 1000 }),
            Target::Always(2.0, DOUBLING),
            "2: by how much the longest pause grows.",
        )
        .when(RECONNECTING),
        AUTH_TYPE,
        BEARER_TOKEN,
        USERNAME,
        PASSWORD,
        BIDIRECTIONAL_ENABLED,
        REQUEST_TIMEOUT,
        MAX_REQUESTS,
        Field::new(
            "backpressure.enabled",
            Shape::BOOLEAN,
            Target::Made("`websocket.queue.full='block'` when `false`", unqueued),
            "Whether a queue lets messages go when it is full, as `on_full` says; otherwise the peer has to wait.",
        )
        .default("true"),
        Field::new(
            "backpressure.queue_size",
            Shape::integer(1, 10_000_000),
            Target::Property("websocket.queue.size"),
            "How many messages may wait for the pipeline.",
        )
        .default("1000")
        .when(QUEUEING),
        Field::new(
            "backpressure.on_full",
            Shape::choice(&["drop_oldest", "drop_newest", "block"]),
            Target::Property("websocket.queue.full"),
            "What happens when that many wait.",
        )
        .default("drop_oldest")
        .when(QUEUEING),
    ],
    becomes: Becomes::Source { connector: "websocket", fixed: FIXED, control: true },
};

fn server_listen(config: &Config<'_>) -> Vec<(&'static str, String)> {
    address(config, "server.bind", "server.http_port")
        .map(|address| ("websocket.listen", address))
        .into_iter()
        .collect()
}

fn unqueued(config: &Config<'_>) -> Vec<(&'static str, String)> {
    let blocks = config.is("backpressure.enabled", "false");
    blocks.then(|| ("websocket.queue.full", "block".to_owned())).into_iter().collect()
}
