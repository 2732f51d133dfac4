//! Properties of what gateways share.

use eventflux_core::{PropertyKind, PropertySpec};
use eventflux_nats::properties::CONNECTION;

use super::SERVER;

const BACKPLANE: &str = "gateway.backplane";
const NATS: &str = "nats";

/// What the gateways of a path do as one.
pub(super) const SHARING: &[PropertySpec] = &[
    PropertySpec::new(
        BACKPLANE,
        PropertyKind::Choice(&["none", NATS]),
        "What connects this path with the same path of other processes: `nats` makes them one. What is published at one of them reaches the clients of all, and a client may go on at any of them where it was at another. Not with `federation`.",
    )
    .default("none")
    .only_if("websocket.mode", SERVER),
    PropertySpec::new(
        "gateway.backplane.name",
        PropertyKind::Text,
        "Which paths are one: those of the same name and the same account of NATS. Letters, digits, `-` and `_`. When not given: the path, with `-` for everything else in it, and `root` for `/`.",
    )
    .example("trades")
    .only_if(BACKPLANE, NATS),
    PropertySpec::new(
        "gateway.backplane.storage",
        PropertyKind::Choice(&["file", "memory"]),
        "Where NATS keeps the log of what is published, when it is created.",
    )
    .default("file")
    .only_if(BACKPLANE, NATS),
    PropertySpec::new(
        "gateway.backplane.replicas",
        PropertyKind::Integer { min: 1, max: 5 },
        "Servers of a NATS cluster that keep the log, when it is created.",
    )
    .default("1")
    .only_if(BACKPLANE, NATS),
    PropertySpec::new(
        "gateway.backplane.max.bytes",
        PropertyKind::Size,
        "Largest size of the log, when it is created; the oldest is removed. A process that begins reads all of it, and remembers of it what histories and snapshots keep.",
    )
    .default("256MiB")
    .only_if(BACKPLANE, NATS),
    PropertySpec::new(
        "gateway.backplane.max.age",
        PropertyKind::Duration,
        "Age at which what is published is removed from the log, when it is created: the longest websocket.history.age, and how old a snapshot's events can be at a process that begins.",
    )
    .default("1h")
    .only_if(BACKPLANE, NATS),
    PropertySpec::new(
        "gateway.backplane.in.flight",
        PropertyKind::Integer { min: 1, max: 100_000 },
        "Most batches that were sent to NATS and are not confirmed.",
    )
    .default("256")
    .only_if(BACKPLANE, NATS),
    PropertySpec::new(
        "gateway.backplane.queue.bytes",
        PropertyKind::Size,
        "How much may wait to be sent to NATS or confirmed by it, of all sinks of the path together; beyond that the sources that feed them wait.",
    )
    .default("8MiB")
    .only_if(BACKPLANE, NATS),
    PropertySpec::new(
        "gateway.backplane.presence.ttl",
        PropertyKind::Duration,
        "How long others count the clients of a process as present that has gone without a word; with websocket.presence.",
    )
    .default("30s")
    .only_if(BACKPLANE, NATS),
];

/// How NATS is reached.
pub(super) const REACHING_NATS: &[PropertySpec] = &dependent::<{ CONNECTION.len() }>(CONNECTION);

/// The same properties, of which none applies without the backplane that needs them.
const fn dependent<const COUNT: usize>(specs: &[PropertySpec]) -> [PropertySpec; COUNT] {
    assert!(specs.len() == COUNT, "as many as there are");
    let mut dependent = [specs[0]; COUNT];
    let mut index = 0;
    while index < COUNT {
        dependent[index] = match specs[index].only_if {
            // What depends on another one of them depends on the backplane with it.
            Some(_) => specs[index],
            None => specs[index].only_if(BACKPLANE, NATS),
        };
        index += 1;
    }
    dependent
}
