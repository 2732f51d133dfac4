//! Properties that everything has that uses NATS: of the connection, and of a stream.

use eventflux_core::{PropertyKind, PropertySpec};

const DAY_MS: i64 = 86_400_000;

/// How to connect.
pub const CONNECTION: &[PropertySpec] = &[
    PropertySpec::new(
        "nats.url",
        PropertyKind::Text,
        "The servers, separated by commas: `nats://host:port`, or `tls://host:port` for servers that must speak TLS; the default port is 4222. Others of their cluster are learned from them. Credentials belong into nats.user and its like.",
    )
    .required()
    .example("nats://10.0.0.1:4222,nats://10.0.0.2:4222"),
    PropertySpec::new("nats.name", PropertyKind::Text, "What the connection is called in the server's lists; default: `eventflux` and the stream.")
        .example("orders-gateway"),
    PropertySpec::new("nats.token", PropertyKind::Text, "A token.").secret().example("${env:NATS_TOKEN}"),
    PropertySpec::new("nats.user", PropertyKind::Text, "A user; with nats.password.").example("eventflux"),
    PropertySpec::new("nats.password", PropertyKind::Text, "The password of nats.user.").secret().example("${env:NATS_PASSWORD}"),
    PropertySpec::new("nats.nkey", PropertyKind::Text, "The seed of an nkey.").secret().example("${env:NATS_NKEY_SEED}"),
    PropertySpec::new(
        "nats.credentials",
        PropertyKind::Path,
        "A file with a user's JWT and nkey, as `nsc` writes it; read for each connect.",
    )
    .example("/run/secrets/eventflux.creds"),
    PropertySpec::new("nats.tls", PropertyKind::Boolean, "Whether servers must speak TLS, whatever their URL says. The other nats.tls properties imply it.").default("false"),
    PropertySpec::new("nats.tls.ca", PropertyKind::Path, "Certificates to trust instead of those of the system (PEM); read for each connect.").example("/etc/ssl/nats-ca.pem"),
    PropertySpec::new("nats.tls.cert", PropertyKind::Path, "Our certificate for servers that ask for one (PEM); with nats.tls.key, and read for each connect.").example("/etc/ssl/client.pem"),
    PropertySpec::new("nats.tls.key", PropertyKind::Path, "The key of nats.tls.cert (PEM).").example("/etc/ssl/client-key.pem"),
    PropertySpec::new(
        "nats.tls.first",
        PropertyKind::Boolean,
        "Whether TLS begins before the server's greeting, for servers with `handshake_first`.",
    )
    .default("false"),
    PropertySpec::new("nats.connect.timeout", PropertyKind::Duration, "How long one attempt to connect may take.").default("5s"),
    PropertySpec::new(
        "nats.reconnect",
        PropertyKind::Boolean,
        "Whether to try again when no server can be reached at the start, and when the connection is lost.",
    )
    .default("true"),
    PropertySpec::new(
        "nats.reconnect.delay.ms",
        PropertyKind::Integer { min: 0, max: DAY_MS },
        "Longest pause before the second attempt, and before the first one after a loss. The longest pause doubles with each attempt; the actual one is random between zero and it.",
    )
    .default("250")
    .unit("ms"),
    PropertySpec::new(
        "nats.reconnect.max.delay.ms",
        PropertyKind::Integer { min: 0, max: DAY_MS },
        "Where the longest pause stops to grow.",
    )
    .default("8000")
    .unit("ms"),
    PropertySpec::new(
        "nats.reconnect.max.attempts",
        PropertyKind::Integer { min: -1, max: i32::MAX as i64 },
        "Attempts in a row, each of them at every server, before giving up; -1 for no end, 0 is taken as 1. A connection that was up for less than 30 seconds counts as one, too.",
    )
    .default("-1"),
    PropertySpec::new(
        "nats.ping.interval",
        PropertyKind::Duration,
        "Time between two pings; a server that leaves two unanswered is gone.",
    )
    .default("20s"),
    PropertySpec::new(
        "nats.inbox.prefix",
        PropertyKind::Text,
        "First tokens of the subjects at which answers come, for accounts that may not use the default.",
    )
    .default("_INBOX"),
];

/// A JetStream stream that is created when it does not exist.
pub const STREAM: &[PropertySpec] = &[
    PropertySpec::new(
        "nats.stream.create",
        PropertyKind::Boolean,
        "Whether the stream is created when it does not exist. One that exists is never changed; where it differs from what is said here, a warning says so.",
    )
    .default("false"),
    PropertySpec::new("nats.stream.subjects", PropertyKind::Text, "The subjects it takes, separated by commas; default: nats.subject with `*` for each column.")
        .only_if("nats.stream.create", "true")
        .example("orders.>"),
    PropertySpec::new("nats.stream.storage", PropertyKind::Choice(&["file", "memory"]), "Where it is kept.")
        .default("file")
        .only_if("nats.stream.create", "true"),
    PropertySpec::new("nats.stream.replicas", PropertyKind::Integer { min: 1, max: 5 }, "Servers of a cluster that keep it.")
        .default("1")
        .only_if("nats.stream.create", "true"),
    PropertySpec::new(
        "nats.stream.retention",
        PropertyKind::Choice(&["limits", "interest", "workqueue"]),
        "Until when a message is kept: until a limit is reached, until every consumer has acknowledged it, or until one has.",
    )
    .default("limits")
    .only_if("nats.stream.create", "true"),
    PropertySpec::new("nats.stream.max.age", PropertyKind::Duration, "Age at which messages are removed; 0 for none.")
        .default("24h")
        .only_if("nats.stream.create", "true"),
    PropertySpec::new("nats.stream.max.bytes", PropertyKind::Size, "Its largest size; 0 for what the server allows.")
        .default("1GiB")
        .only_if("nats.stream.create", "true"),
    PropertySpec::new(
        "nats.stream.max.messages",
        PropertyKind::Integer { min: 0, max: i64::MAX },
        "Its largest number of messages; 0 for no limit.",
    )
    .default("0")
    .only_if("nats.stream.create", "true"),
    PropertySpec::new(
        "nats.stream.discard",
        PropertyKind::Choice(&["old", "new"]),
        "What happens at a limit: the oldest messages are removed, or new ones are refused, and wait here.",
    )
    .default("old")
    .only_if("nats.stream.create", "true"),
    PropertySpec::new("nats.stream.duplicate.window", PropertyKind::Duration, "How long the server knows a message's id, to drop it when it comes again.")
        .default("2m")
        .only_if("nats.stream.create", "true"),
];
