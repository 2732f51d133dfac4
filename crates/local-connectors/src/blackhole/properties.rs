//! The property table of the `blackhole` sink: the only place where a property is described.

use eventflux_core::{PropertyKind, PropertySpec};

/// Properties of the sink, besides the common ones.
pub const SINK_PROPERTIES: &[PropertySpec] = &[PropertySpec::new(
    "blackhole.delay",
    PropertyKind::Duration,
    "How long the sink is busy with each batch; meanwhile the sources that feed it stop.",
)
.default("0")
.example("5ms")];
