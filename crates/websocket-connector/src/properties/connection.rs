//! Properties of both modes: what holds for every connection.

use eventflux_core::{PropertyKind, PropertySpec};

use super::{CLIENT, PROTOCOL, SERVER};

pub(super) const MODE: PropertySpec = PropertySpec::new(
    "websocket.mode",
    PropertyKind::Choice(&[CLIENT, SERVER]),
    "Whether to connect to an endpoint or to listen for connections.",
)
.default(CLIENT);

pub(super) const SUBPROTOCOL: PropertySpec = PropertySpec::new(
    "websocket.subprotocol",
    PropertyKind::Text,
    "Subprotocols, in order of preference, separated by commas. A client offers them, and the server may choose one or none; a server chooses the first one the client offers.",
)
.example("graphql-transport-ws");

pub(super) const SUBPROTOCOL_REQUIRED: PropertySpec = PropertySpec::new(
    "websocket.subprotocol.required",
    PropertyKind::Boolean,
    "Whether there is no connection without one of the subprotocols: a client gives the attempt up, a server answers with status 400.",
)
.default("false");

pub(super) const NODELAY: PropertySpec = PropertySpec::new(
    "websocket.nodelay",
    PropertyKind::Boolean,
    "Whether TCP sends small messages at once instead of waiting for more (Nagle's algorithm off).",
)
.default("true");

pub(super) const PING_INTERVAL: PropertySpec =
    PropertySpec::new("websocket.ping.interval", PropertyKind::Duration, "Time between two pings; 0 for none.")
        .default("20s")
        .default_for(PROTOCOL, &[("channels", "30s"), ("analytics", "${env:STREAMING_WEBSOCKET__PING_INTERVAL:20}s")]);

pub(super) const PONG_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.pong.timeout",
    PropertyKind::Duration,
    "How long after a ping the peer may stay silent; anything it sends counts as an answer. Then the connection is dropped.",
)
.default("10s")
.default_for(PROTOCOL, &[("analytics", "${env:STREAMING_WEBSOCKET__PING_TIMEOUT:10}s")]);

pub(super) const IDLE_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.idle.timeout",
    PropertyKind::Duration,
    "How long no message may come before the connection is dropped, pongs notwithstanding; 0 for ever.",
)
.default("0");

pub(super) const MESSAGE_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.message.timeout",
    PropertyKind::Duration,
    "How long one message may take from its first byte to its last before the connection is closed with code 1008; 0 for ever.",
)
.default("60s");

pub(super) const CLOSE_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.close.timeout",
    PropertyKind::Duration,
    "How long a goodbye may take: our Close, the peer's, and the end of the connection.",
)
.default("5s")
.default_for(PROTOCOL, &[("analytics", "${env:STREAMING_WEBSOCKET__CLOSE_TIMEOUT:10}s")]);

pub(super) const WRITE_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.write.timeout",
    PropertyKind::Duration,
    "How long the peer may take no part of what we send before the connection is dropped.",
)
.default("30s");

pub(super) const MAX_MESSAGE_SIZE: PropertySpec = PropertySpec::new(
    "websocket.max.message.size",
    PropertyKind::Size,
    "Largest message to receive; a larger one is reported to the error strategy and closes the connection with code 1009.",
)
.default("16MiB")
.default_for(
    PROTOCOL,
    &[("channels", "64KiB"), ("events", "64KiB"), ("analytics", "${env:STREAMING_WEBSOCKET__MAX_MESSAGE_SIZE:1048576}")],
);

pub(super) const MAX_FRAGMENTS: PropertySpec = PropertySpec::new(
    "websocket.max.fragments",
    PropertyKind::Integer { min: 1, max: 1_000_000_000 },
    "Largest number of frames a received message may have; more close the connection with code 1008.",
)
.default("100000");

pub(super) const MAX_PINGS: PropertySpec = PropertySpec::new(
    "websocket.max.pings",
    PropertyKind::Integer { min: 1, max: 1_000_000 },
    "Largest number of pings the peer may send in ten seconds; more close the connection with code 1008.",
)
.default("1000");
