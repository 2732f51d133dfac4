//! Properties of a source or sink that listens.

use eventflux_core::{PropertyKind, PropertySpec};

use super::{PROTOCOL, SERVER};

pub(super) const LISTEN: PropertySpec = PropertySpec::new(
    "websocket.listen",
    PropertyKind::Address,
    "Where to listen. Port 0 takes a free one; the log and the connector's health tell which. Sources and sinks that name the same address share it.",
)
.required()
.example("127.0.0.1:8080")
.default_for(
    PROTOCOL,
    &[("analytics", "${env:STREAMING_WEBSOCKET__HOST:0.0.0.0}:${env:STREAMING_WEBSOCKET__PORT:8765}")],
)
.only_if("websocket.mode", SERVER);

pub(super) const PATH: PropertySpec = PropertySpec::new(
    "websocket.path",
    PropertyKind::Text,
    "The path clients connect to. A source and a sink of the same path share its connections.",
)
.default("/")
.only_if("websocket.mode", SERVER);

pub(super) const MAX_CONNECTIONS: PropertySpec = PropertySpec::new(
    "websocket.max.connections",
    PropertyKind::Integer { min: 1, max: 1_000_000 },
    "Largest number of connections to the path; more are refused with status 503, or, with `analytics`, with close code 1013.",
)
.default("1000")
.default_for(PROTOCOL, &[("analytics", "${env:STREAMING_WEBSOCKET__MAX_CONNECTIONS:1000}")])
.only_if("websocket.mode", SERVER);

pub(super) const MAX_CONNECTIONS_TOTAL: PropertySpec = PropertySpec::new(
    "websocket.max.connections.total",
    PropertyKind::Integer { min: 0, max: 10_000_000 },
    "Largest number of connections to all paths of the address together; more are refused as those beyond websocket.max.connections are. 0 for no limit.",
)
.default("0")
.only_if("websocket.mode", SERVER);

pub(super) const MAX_CONNECTIONS_PER_ADDRESS: PropertySpec = PropertySpec::new(
    "websocket.max.connections.per.address",
    PropertyKind::Integer { min: 0, max: 1_000_000 },
    "Largest number of connections to the path from one address; more are refused with status 429, or, with `analytics`, with close code 1013. 0 for no limit.",
)
.default("0")
.default_for(PROTOCOL, &[("channels", "10")])
.only_if("websocket.mode", SERVER);

pub(super) const MAX_HANDSHAKES: PropertySpec = PropertySpec::new(
    "websocket.max.handshakes",
    PropertyKind::Integer { min: 1, max: 100_000 },
    "Largest number of handshakes at the same time at the address; further clients wait in the system's backlog.",
)
.default("1024")
.only_if("websocket.mode", SERVER);

pub(super) const MAX_HEAD_SIZE: PropertySpec = PropertySpec::new(
    "websocket.max.head.size",
    PropertyKind::Size,
    "Largest request line and headers of a handshake together; a larger one is refused with status 431, and so are more than 100 headers.",
)
.default("16KiB")
.only_if("websocket.mode", SERVER);

pub(super) const HANDSHAKE_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.handshake.timeout",
    PropertyKind::Duration,
    "How long a client may take from TCP to the end of its request, TLS included.",
)
.default("10s")
.only_if("websocket.mode", SERVER);
