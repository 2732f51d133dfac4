//! The property table of the `log` sink: the only place where a property is described.

use eventflux_core::{PropertyKind, PropertySpec};

/// Properties of the sink, besides the common ones.
pub const SINK_PROPERTIES: &[PropertySpec] = &[
    PropertySpec::new(
        "log.target",
        PropertyKind::Choice(&["stdout", "stderr", "log"]),
        "Where lines go: standard output, standard error, or the program's log, which has levels and times of its own.",
    )
    .default("stdout"),
    PropertySpec::new(
        "log.level",
        PropertyKind::Choice(&["trace", "debug", "info", "warn", "error"]),
        "Level of the lines in the program's log.",
    )
    .default("info")
    .only_if("log.target", "log"),
    PropertySpec::new("log.prefix", PropertyKind::Text, "Text in front of each line.").example("large trade: "),
    PropertySpec::new(
        "log.every",
        PropertyKind::Integer { min: 1, max: i64::MAX },
        "Prints the first of every so many payloads. The others count as delivered, not as failed or dropped.",
    )
    .default("1")
    .example("100"),
    PropertySpec::new(
        "log.max.line.size",
        PropertyKind::Size,
        "How much of a payload is shown; a longer one is cut, and the line says by how much.",
    )
    .default("16KiB"),
    PropertySpec::new(
        "log.queue.bytes",
        PropertyKind::Size,
        "How much may wait while the terminal or pipe is full; then the sources that feed the sink stop.",
    )
    .default("1MiB"),
];
