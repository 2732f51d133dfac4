//! The property table of the `replay` source: the only place where a property is described.

use eventflux_core::{PropertyKind, PropertySpec};

/// Properties of the source, besides the common ones.
pub const SOURCE_PROPERTIES: &[PropertySpec] = &[
    PropertySpec::new(
        "replay.file",
        PropertyKind::Path,
        "The file with one message per line; a relative path starts at the working directory.",
    )
    .required()
    .example("examples/data/trades.jsonl"),
    PropertySpec::new(
        "replay.timing",
        PropertyKind::Choice(&["rate", "recorded"]),
        "Whether messages come at a fixed rate, or with the pauses between the timestamps they carry.",
    )
    .default("rate"),
    PropertySpec::new(
        "replay.rate",
        PropertyKind::Text,
        "Messages per second, or `max` for as fast as the pipeline takes them. After a stall at most one second is made up for.",
    )
    .default("100")
    .example("max")
    .only_if("replay.timing", "rate"),
    PropertySpec::new(
        "replay.timestamp.path",
        PropertyKind::Text,
        "Where the timestamp is in a JSON message: a key such as `T` or `$.T`, or keys with dots between them. A message without it follows the one before at once.",
    )
    .required()
    .example("$.T")
    .only_if("replay.timing", "recorded"),
    PropertySpec::new(
        "replay.timestamp.unit",
        PropertyKind::Choice(&["s", "ms", "us", "ns", "rfc3339"]),
        "What the timestamp counts since the Unix epoch, or `rfc3339` for a date and time as text.",
    )
    .default("ms")
    .only_if("replay.timing", "recorded"),
    PropertySpec::new(
        "replay.speed",
        PropertyKind::Number { min: 0, max: 1_000_000 },
        "How many times faster than recorded; 0.5 is half as fast.",
    )
    .default("1")
    .example("10")
    .only_if("replay.timing", "recorded"),
    PropertySpec::new(
        "replay.max.pause",
        PropertyKind::Duration,
        "Longest pause between two messages; longer recorded ones are cut to it.",
    )
    .default("10s")
    .only_if("replay.timing", "recorded"),
    PropertySpec::new(
        "replay.loop",
        PropertyKind::Boolean,
        "Whether to start over at the end of the file. Without it the source ends there.",
    )
    .default("false"),
    PropertySpec::new(
        "replay.max.line.size",
        PropertyKind::Size,
        "Longest line, without its line break; a longer one goes to the error strategy.",
    )
    .default("1MiB"),
];
