//! Properties of a path that is served over plain HTTP as well.

use eventflux_core::{PropertyKind, PropertySpec};

use super::SERVER;

pub(crate) const SSE: PropertySpec = PropertySpec::new(
    "websocket.sse",
    PropertyKind::Boolean,
    "Whether the path also serves its channels as server-sent events: `GET <path>?channel=...` with `Accept: text/event-stream`.",
)
.default("false")
.only_if("websocket.mode", SERVER);

pub(crate) const PUBLISH: PropertySpec = PropertySpec::new(
    "websocket.http.publish",
    PropertyKind::Boolean,
    "Whether clients may also send messages to the sources of the path by `POST <path>?channel=...`.",
)
.default("false")
.only_if("websocket.mode", SERVER);
