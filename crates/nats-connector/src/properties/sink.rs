//! Properties of the sink.

use eventflux_core::{PropertyKind, PropertySpec};

/// Where messages go.
pub(super) const ADDRESSING: &[PropertySpec] = &[
    PropertySpec::new("nats.subject", PropertyKind::Template, "Where each event is published. Values of columns must be single tokens: an event with a value that has a dot, a wildcard or white space in it, or that leaves a token empty, goes to the error strategy. Required without nats.reply.")
        .example("trades.${symbol}"),
    PropertySpec::new(
        "nats.reply",
        PropertyKind::Template,
        "Answers a request: the subject is the metadata `reply` of the message that asked. Subjects that begin with `$` are refused. Not with nats.subject, nats.stream and nats.request.",
    )
    .example("${reply_to}"),
    PropertySpec::new("nats.headers.*", PropertyKind::Template, "A header of each message, by name: nats.headers.Trace-Id. One whose value is empty is left out.")
        .example("${trace}"),
];

/// How much may wait.
pub(super) const SENDING: &[PropertySpec] = &[PropertySpec::new(
    "nats.queue.bytes",
    PropertyKind::Size,
    "Payloads that may wait here, also while NATS is away; then the pipeline waits.",
)
.default("16MiB")];

/// What is stored in a stream.
pub(super) const JETSTREAM: &[PropertySpec] = &[
    PropertySpec::new(
        "nats.stream",
        PropertyKind::Text,
        "The JetStream stream that must store each event: the sink waits for its confirmation, and sends again what was not confirmed.",
    )
    .example("TRADES"),
    PropertySpec::new(
        "nats.message.id",
        PropertyKind::Template,
        "Its id for deduplication (`Nats-Msg-Id`): what comes with the id of an event that is in the stream is dropped there. Default: one that nobody else uses, so that repeating is safe.",
    )
    .example("${order_id}"),
    PropertySpec::new("nats.max.in.flight", PropertyKind::Integer { min: 1, max: 65_536 }, "Most events that were sent and are not confirmed.")
        .default("1024"),
    PropertySpec::new("nats.ack.timeout", PropertyKind::Duration, "How long a confirmation may take before the event is sent again.").default("5s"),
];

/// How instances share the work by key.
pub(super) const SHARING: &[PropertySpec] = &[
    PropertySpec::new(
        "partition.by",
        PropertyKind::Columns,
        "Columns, separated by commas, whose values are the key: events of one key are in one partition. Its number becomes the last token of the subject.",
    )
    .example("symbol"),
    PropertySpec::new("partition.count", PropertyKind::Integer { min: 1, max: 1024 }, "Number of partitions; the source says the same. Changing it moves keys.")
        .example("16"),
];

/// Requests, whose answers a source receives.
pub(super) const ASKING: &[PropertySpec] = &[
    PropertySpec::new(
        "nats.request",
        PropertyKind::Text,
        "Each event is a request; its answer goes to the source with this nats.replies. A name.",
    )
    .example("quotes"),
    PropertySpec::new(
        "nats.correlation",
        PropertyKind::Template,
        "What the answer's event gets as metadata `correlation`: who asked.",
    )
    .example("${request}"),
    PropertySpec::new(
        "nats.request.timeout",
        PropertyKind::Duration,
        "How long an answer may take; then the source gets one with the status `timeout`.",
    )
    .default("5s"),
    PropertySpec::new(
        "nats.max.requests",
        PropertyKind::Integer { min: 1, max: 1_000_000 },
        "Most requests that wait for an answer; then the pipeline waits.",
    )
    .default("1000"),
];
