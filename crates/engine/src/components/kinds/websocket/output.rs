//! The end that sends messages.

use super::{
    AUTH_TYPE, BEARER_TOKEN, BIDIRECTIONAL_ENABLED, CLIENT, FIXED, MAX_REQUESTS, MAX_RETRIES, MODES, PASSWORD,
    REQUEST_TIMEOUT, SERVER, USERNAME,
};
use crate::components::config::Config;
use crate::components::kinds::{Becomes, Field, Kind, Shape, Target, address};

const RECONNECTING: &[(&str, &str)] = &[("mode", "client"), ("reconnect.enabled", "true")];

pub(in crate::components::kinds) const OUTPUT: Kind = Kind {
    category: "output",
    name: "websocket",
    doc: "Sends messages to other instances over a WebSocket: to all that connect, or to the one it connects to.",
    fields: &[
        Field::new(
            "mode",
            MODES,
            Target::Property("websocket.mode"),
            "Whether to listen (`server`) or to connect (`client`); by default `client` when there is a `url`.",
        )
        .default("server")
        .default_with("url", "client"),
        Field::new(
            "http_port",
            Shape::PORT,
            Target::Made("`websocket.listen`", listen),
            "The port to listen on; 0 for any.",
        )
        .required()
        .when(SERVER),
        Field::new("bind", Shape::TEXT, Target::PartOf("websocket.listen"), "The address to listen on.")
            .default("0.0.0.0")
            .when(SERVER),
        Field::new("path", Shape::TEXT, Target::Property("websocket.path"), "The path peers connect to.")
            .default("/")
            .when(SERVER),
        Field::new(
            "max_connections",
            Shape::integer(1, 1_000_000),
            Target::Property("websocket.max.connections"),
            "The most connections at a time.",
        )
        .default("100")
        .when(SERVER),
        Field::new("url", Shape::url(&["ws", "wss"]), Target::Property("websocket.url"), "The peer to connect to.")
            .required()
            .when(CLIENT),
        Field::new(
            "reconnect.enabled",
            Shape::BOOLEAN,
            Target::Property("websocket.reconnect"),
            "Whether to connect again when the connection is lost or refused.",
        )
        .default("true")
        .when(CLIENT),
        Field::new(
            "reconnect.max_retries",
            MAX_RETRIES,
            Target::Property("websocket.reconnect.max.attempts"),
            "Attempts in a row before giving up; -1, as when it is not given, for no end.",
        )
        .when(RECONNECTING),
        Field::new(
            "reconnect.initial_interval",
            Shape::DURATION,
            Target::Milliseconds("websocket.reconnect.delay.ms"),
            "The longest pause before the second attempt.",
        )
        .when(RECONNECTING),
        Field::new(
            "reconnect.max_interval",
            Shape::DURATION,
            Target::Milliseconds("websocket.reconnect.max.delay.ms"),
            "Where the longest pause stops to grow.",
        )
        .when(RECONNECTING),
        Field::new(
            "enable_compression",
            Shape::BOOLEAN,
            Target::Property("websocket.permessage-deflate"),
            "Whether messages may be compressed.",
        ),
        AUTH_TYPE,
        BEARER_TOKEN,
        USERNAME,
        PASSWORD,
        BIDIRECTIONAL_ENABLED,
        REQUEST_TIMEOUT,
        MAX_REQUESTS,
    ],
    becomes: Becomes::Sink { connector: "websocket", fixed: FIXED, format: &[] },
};

fn listen(config: &Config<'_>) -> Vec<(&'static str, String)> {
    address(config, "bind", "http_port").map(|address| ("websocket.listen", address)).into_iter().collect()
}
