//! Properties of permessage-deflate.

use eventflux_core::{PropertyKind, PropertySpec};

use super::PROTOCOL;

/// Values that say yes.
const ON: &[&str] = &["true", "deflate"];

pub(super) const DEFLATE: PropertySpec = PropertySpec::new(
    "websocket.permessage-deflate",
    PropertyKind::Choice(&["true", "false", "deflate", "none"]),
    "Whether to offer (client) or accept (server) compression of messages by the protocol itself (RFC 7692): `true` or `deflate`, `false` or `none`. A peer that does not know it goes on without.",
)
.default("false")
.default_for(PROTOCOL, &[("channels", "true"), ("events", "true"), ("analytics", "${env:STREAMING_WEBSOCKET__COMPRESSION:deflate}")]);

pub(super) const DEFLATE_THRESHOLD: PropertySpec =
    PropertySpec::new("websocket.permessage-deflate.threshold", PropertyKind::Size, "Smallest message to compress.")
        .default("1KiB")
        .only_if_any("websocket.permessage-deflate", ON);

pub(super) const DEFLATE_LEVEL: PropertySpec = PropertySpec::new(
    "websocket.permessage-deflate.level",
    PropertyKind::Integer { min: 1, max: 9 },
    "How hard to compress: 1 is fast, 9 is small.",
)
.default("1")
.only_if_any("websocket.permessage-deflate", ON);

pub(super) const DEFLATE_SEND_WINDOW: PropertySpec = PropertySpec::new(
    "websocket.permessage-deflate.send.window.bits",
    PropertyKind::Integer { min: 9, max: 15 },
    "How far back we look for repetitions, as a power of two; the peer may ask for less. Each bit less halves the memory of a sending connection.",
)
.default("12")
.only_if_any("websocket.permessage-deflate", ON);

pub(super) const DEFLATE_SEND_TAKEOVER: PropertySpec = PropertySpec::new(
    "websocket.permessage-deflate.send.context.takeover",
    PropertyKind::Boolean,
    "Whether messages are compressed with regard to earlier ones: smaller, but every connection keeps a compressor. Without it a message to many clients is compressed once for all of them.",
)
.default("false")
.only_if_any("websocket.permessage-deflate", ON);

pub(super) const DEFLATE_RECEIVE_WINDOW: PropertySpec = PropertySpec::new(
    "websocket.permessage-deflate.receive.window.bits",
    PropertyKind::Integer { min: 9, max: 15 },
    "How far back the peer may look for repetitions, as a power of two.",
)
.default("15")
.only_if_any("websocket.permessage-deflate", ON);

pub(super) const DEFLATE_RECEIVE_TAKEOVER: PropertySpec = PropertySpec::new(
    "websocket.permessage-deflate.receive.context.takeover",
    PropertyKind::Boolean,
    "Whether the peer may compress with regard to earlier messages; then every connection keeps a window.",
)
.default("true")
.only_if_any("websocket.permessage-deflate", ON);
