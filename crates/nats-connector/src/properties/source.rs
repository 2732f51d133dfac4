//! Properties of the source.

use eventflux_core::{PropertyKind, PropertySpec};
use eventflux_nats::properties::CONNECTION;

/// Where it connects to.
pub(super) const SERVERS: &[PropertySpec] = &[PropertySpec::new(
    CONNECTION[0].key,
    PropertyKind::Text,
    "The servers, separated by commas: `nats://host:port`, or `tls://host:port` for servers that must speak TLS. Others of their cluster are learned from them. Credentials belong into nats.user and its like. Required without nats.replies.",
)
.example("nats://10.0.0.1:4222,nats://10.0.0.2:4222")];

/// What it hears.
pub(super) const SUBSCRIBING: &[PropertySpec] = &[
    PropertySpec::new(
        "nats.subject",
        PropertyKind::Text,
        "What to receive: a subject, in which `*` stands for one token and a last `>` for all that follow; several separated by commas, each of which keeps its order (with nats.stream: one, and default is the whole stream). Required without nats.stream and nats.replies.",
    )
    .example("blob.>"),
    PropertySpec::new(
        "nats.queue",
        PropertyKind::Text,
        "Subscribers of the same queue group share the messages: each one goes to one of them. Not with nats.stream: there nats.consumer is what instances share.",
    )
    .example("workers"),
    PropertySpec::new(
        "nats.pending.messages",
        PropertyKind::Integer { min: 1, max: 10_000_000 },
        "Messages that may wait for the pipeline. Without nats.stream more are dropped and counted: core NATS delivers at most once.",
    )
    .default("65536"),
    PropertySpec::new(
        "nats.pending.bytes",
        PropertyKind::Size,
        "Bytes of messages that may wait for the pipeline, beyond which messages are dropped and counted.",
    )
    .default("64MiB"),
];

/// What it reads of a stream.
pub(super) const JETSTREAM: &[PropertySpec] = &[
    PropertySpec::new(
        "nats.stream",
        PropertyKind::Text,
        "The JetStream stream to read. Messages are acknowledged when every sink that gets something of them has settled; until then they come again.",
    )
    .example("ORDERS"),
    PropertySpec::new(
        "nats.consumer",
        PropertyKind::Text,
        "The durable consumer: its name, under which NATS knows how far it has been read. Instances that name the same one share its messages. Required with nats.stream, but not with partition.count.",
    )
    .example("orders-to-browsers"),
    PropertySpec::new(
        "nats.start",
        PropertyKind::Choice(&["all", "new", "last", "last_per_subject", "sequence", "time"]),
        "Where a consumer begins that does not exist yet.",
    )
    .default("all"),
    PropertySpec::new("nats.start.sequence", PropertyKind::Integer { min: 1, max: i64::MAX }, "The first sequence, with nats.start='sequence'.")
        .required()
        .only_if("nats.start", "sequence"),
    PropertySpec::new("nats.start.time", PropertyKind::Text, "The time from which on, with nats.start='time' (RFC 3339).")
        .required()
        .only_if("nats.start", "time")
        .example("2026-01-31T00:00:00Z"),
    PropertySpec::new(
        "nats.ack.wait",
        PropertyKind::Duration,
        "How long the server waits for an acknowledgement before it delivers again. While the pipeline works on a message, the source says so in time.",
    )
    .default("30s"),
    PropertySpec::new(
        "nats.max.ack.pending",
        PropertyKind::Integer { min: 1, max: 1_000_000 },
        "Most messages that are delivered and not acknowledged, of all instances of the consumer together: what may come twice after a crash. With partition.count: that are delivered and not settled, of this instance.",
    )
    .default("4096"),
    PropertySpec::new(
        "nats.max.deliver",
        PropertyKind::Integer { min: 0, max: 1_000_000 },
        "How often a message is delivered; 0 for no end. One that was delivered so often without being acknowledged goes to the error strategy, and is acknowledged after that. Every delivery counts, also to an instance that crashed or was stopped before it worked on the message: choose it generously, with error.strategy='dlq', which keeps the message.",
    )
    .default("0"),
    PropertySpec::new(
        "nats.fetch.messages",
        PropertyKind::Integer { min: 1, max: 65_536 },
        "Most messages that are asked for at a time.",
    )
    .default("512"),
    PropertySpec::new("nats.fetch.bytes", PropertyKind::Size, "Most bytes that are asked for at a time. Nothing is asked for while more than that waits for the pipeline.").default("4MiB"),
];

/// How several instances share the work by key.
pub(super) const SHARING: &[PropertySpec] = &[
    PropertySpec::new(
        "partition.count",
        PropertyKind::Integer { min: 1, max: 1024 },
        "Number of partitions that the sink with partition.by made (its partition.count): each is held by one instance at a time, which keeps the order of every key. Needs nats.stream and partition.group.",
    )
    .example("16"),
    PropertySpec::new("partition.group", PropertyKind::Text, "Instances of the same group share the partitions: letters, digits, `-` and `_`.")
        .example("positions"),
    PropertySpec::new(
        "partition.lease",
        PropertyKind::Duration,
        "How long after the end of an instance, at most, others take its partitions over.",
    )
    .default("5s"),
    PropertySpec::new("partition.replicas", PropertyKind::Integer { min: 1, max: 5 }, "Servers of a cluster that keep the bucket of leases, when it is created.")
        .default("1"),
];

/// Answers to what a sink asked.
pub(super) const ANSWERS: &[PropertySpec] = &[PropertySpec::new(
    "nats.replies",
    PropertyKind::Text,
    "Receives the answers to the requests of the sink with this nats.request, instead of subscribing.",
)
.example("quotes")];
