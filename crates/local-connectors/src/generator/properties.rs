//! The property table of the `generator` source: the only place where a property is described.

use eventflux_core::{PropertyKind, PropertySpec};

/// Properties of the source, besides the common ones.
pub const SOURCE_PROPERTIES: &[PropertySpec] = &[
    PropertySpec::new(
        "generator.template",
        PropertyKind::Text,
        "A message with placeholders: `${seq}` (0, 1, 2, ...), `${now.ms}`, `${now.us}`, `${now.rfc3339}`, `${int:min:max}`, `${float:min:max:digits}` (2 digits when left out), `${choice:a,b,c}`, `${uuid}`, `${walk:start:step}` (a number that moves by at most a step from message to message).",
    )
    .required()
    .example(r#"{"symbol":"${choice:BTCUSDT,ETHUSDT}","price":${walk:60000:5.00},"seq":${seq},"time":${now.ms}}"#),
    PropertySpec::new(
        "generator.rate",
        PropertyKind::Text,
        "Messages per second, or `max` for as fast as the pipeline takes them. After a stall at most one second is made up for.",
    )
    .default("10")
    .example("1000"),
    PropertySpec::new(
        "generator.count",
        PropertyKind::Integer { min: 0, max: i64::MAX },
        "Number of messages after which the source ends; 0: it does not end.",
    )
    .default("0"),
    PropertySpec::new(
        "generator.seed",
        PropertyKind::Integer { min: 0, max: i64::MAX },
        "The same seed gives the same random values with each start; without it they differ.",
    )
    .example("42"),
];
