//! Properties of sources and sinks that speak the protocol `federation`.

use eventflux_core::{PropertyKind, PropertySpec};

use super::{CLIENT, PROTOCOL};

const FEDERATION: &str = "federation";

/// On which others depend.
const POOL: &str = "websocket.pool";
const SEND: &str = "websocket.send";

/// What holds for a place: for a path that is listened at, or for a connection that is opened.
pub(super) const OF_PLACE: &[PropertySpec] = &[
    PropertySpec::new(
        "websocket.link",
        PropertyKind::Choice(&["prefer", "require", "off"]),
        "Whether events are numbered, acknowledged, and go on where they were after a cut: where the peer can too (`prefer`), always (`require`: another peer is refused), or never.",
    )
    .default("prefer")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.link.name",
        PropertyKind::Text,
        "What this end calls itself. A receiver that comes back under its name goes on where it was; two receivers of one stream need different names. When not given: the name of the stream, `@`, and that of the machine.",
    )
    .example("cloud-eu-1")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.link.start",
        PropertyKind::Choice(&["earliest", "latest"]),
        "Where a receiver begins that the sender does not know: with the oldest event that is kept, or with what is published from then on.",
    )
    .default("earliest")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.link.window.events",
        PropertyKind::Integer { min: 1, max: 100_000_000 },
        "How many events a sender may have under way to us that are not acknowledged.",
    )
    .default("16384")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.link.window.bytes",
        PropertyKind::Size,
        "How many bytes of events a sender may have under way to us that are not acknowledged; an event counts as its payload and 200 bytes.",
    )
    .default("4MiB")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.link.ack.delay",
        PropertyKind::Duration,
        "How long an acknowledgement waits for more to acknowledge, unless half of the window is used up.",
    )
    .default("20ms")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.link.positions",
        PropertyKind::Integer { min: 1, max: 1_000_000 },
        "Of how many streams of peers it is remembered how far they were received.",
    )
    .default("4096")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.encoding",
        PropertyKind::Choice(&["json", "msgpack", "cbor"]),
        "How envelopes are written: JSON in text messages, MessagePack or CBOR in binary ones. All three are read.",
    )
    .default("json")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.control",
        PropertyKind::Boolean,
        "Whether requests of the peer are answered, and requests may be sent.",
    )
    .default("true")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.replay.bytes",
        PropertyKind::Size,
        "How many bytes of events may be under way as replays, on all connections together.",
    )
    .default("64MiB")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.route.type",
        PropertyKind::Text,
        "Where a payload says of what type it is, for peers that announced the types they want. A payload without counts as one of the stream's name.",
    )
    .default("$.type")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.route.region",
        PropertyKind::Text,
        "Where a payload says to which region it belongs, for peers that announced theirs. A payload without goes to all.",
    )
    .default("$.region")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.connection",
        PropertyKind::Text,
        "A name for the connection: sources and sinks that connect to the same URL with the same name share one connection.",
    )
    .example("to-hub")
    .only_if("websocket.mode", CLIENT),
    PropertySpec::new(
        "websocket.pool.urls",
        PropertyKind::Text,
        "Further servers, besides that of `websocket.url`, in order of preference, separated by commas or spaces.",
    )
    .example("wss://hub-2.example/ingest, wss://hub-3.example/ingest")
    .only_if("websocket.mode", CLIENT),
    PropertySpec::new(
        "websocket.pool.failback",
        PropertyKind::Duration,
        "How often the servers before the one that is connected are tried, to go back to them; 0 for only when the connection is lost.",
    )
    .default("30s")
    .only_if(POOL, "failover"),
];

/// Of a source.
pub(super) const OF_SOURCE: &[PropertySpec] = &[
    PropertySpec::new(
        POOL,
        PropertyKind::Choice(&["failover", "all"]),
        "What several servers are there for: one connection, to the first that can be reached, or connections to all of them, whose events come together.",
    )
    .default("failover")
    .only_if("websocket.mode", CLIENT),
    PropertySpec::new(
        "websocket.link.ack",
        PropertyKind::Choice(&["taken", "settled"]),
        "When events are acknowledged: when the pipeline has taken them, or when every sink they reached has made them as safe as it can (written to disk, acknowledged by its own receiver).",
    )
    .default("taken")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.streams",
        PropertyKind::Text,
        "Which streams of the peer are wanted, separated by commas; all of them when not given. A peer without a link does not name its streams.",
    )
    .example("sensors, alarms")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.queue.size",
        PropertyKind::Integer { min: 1, max: 100_000_000 },
        "How many events may wait for the pipeline.",
    )
    .default("1000")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.queue.full",
        PropertyKind::Choice(&["drop_oldest", "drop_newest", "block"]),
        "What happens to events of a peer without a link when so many wait: the oldest or the newest are dropped (and counted), or the connection is not read. Events on a link are never dropped: their sender waits.",
    )
    .default("drop_oldest")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.health.alone",
        PropertyKind::Duration,
        "How long a source that listens may be without a connection before `/health` says that it is not well; `0`: for ever.",
    )
    .default("5m")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.health.queue.full",
        PropertyKind::Duration,
        "How long the queue may be full before `/health` says that the source is not well; `0`: for ever.",
    )
    .default("30s")
    .only_if(PROTOCOL, FEDERATION),
];

/// Of a sink.
pub(super) const OF_SINK: &[PropertySpec] = &[
    PropertySpec::new(
        POOL,
        PropertyKind::Choice(&["failover", "balance"]),
        "What several servers are there for: one connection, to the first that can be reached, which gets what the one before has not acknowledged; or connections to all of them, and each event to one.",
    )
    .default("failover")
    .only_if("websocket.mode", CLIENT),
    PropertySpec::new(
        "websocket.pool.key",
        PropertyKind::Template,
        "Events of one key go to one server, in order; while it is away they wait. Without it each batch goes to the server that has the least to acknowledge.",
    )
    .example("${device}")
    .only_if(POOL, "balance"),
    PropertySpec::new(
        "websocket.pool.takeover",
        PropertyKind::Duration,
        "How long a server may be away before what it has not acknowledged goes to another one. If it had received some of that, it arrives twice.",
    )
    .default("10s")
    .only_if(POOL, "balance"),
    PropertySpec::new(
        SEND,
        PropertyKind::Choice(&["data", "request", "reply"]),
        "What events become: data for receivers, requests to peers (the payload is a JSON object, their params), or replies to requests that a source of the place received (the payload is the result, JSON).",
    )
    .default("data")
    .only_if(PROTOCOL, FEDERATION),
    PropertySpec::new(
        "websocket.method",
        PropertyKind::Template,
        "What is asked for. Peers know `backpressure`, `subscribe`, `unsubscribe`, `replay`, `status`, `announce` and `authenticate`; what else they answer is up to their pipelines.",
    )
    .required()
    .example("${method}")
    .only_if(SEND, "request"),
    PropertySpec::new(
        "websocket.to",
        PropertyKind::Template,
        "Whom to ask: the metadata field `connection` of something that came from there. All peers when not given.",
    )
    .example("${connection}")
    .only_if(SEND, "request"),
    PropertySpec::new(
        "websocket.status",
        PropertyKind::Template,
        "How the request went: `ok`, or anything else for an error, whose payload is an object with `code` and `message`, or a text.",
    )
    .default("ok")
    .example("${status}")
    .only_if(SEND, "reply"),
    PropertySpec::new(
        "websocket.stream",
        PropertyKind::Text,
        "What receivers call the stream; its own name when not given.",
    )
    .example("sensors")
    .only_if(SEND, "data"),
    PropertySpec::new(
        "websocket.payload",
        PropertyKind::Choice(&["json", "binary"]),
        "Whether payloads are JSON, or bytes (base64 in JSON envelopes).",
    )
    .default("json")
    .only_if(SEND, "data"),
    PropertySpec::new(
        "websocket.retain.bytes",
        PropertyKind::Size,
        "How much is kept in memory that receivers have not acknowledged; with a spool, what is not written yet, and a cache of the rest.",
    )
    .default("16MiB")
    .only_if(SEND, "data"),
    PropertySpec::new(
        "websocket.retain.full",
        PropertyKind::Choice(&["block", "drop_oldest", "drop_newest"]),
        "What happens when that much, or the spool, is full: the sources that feed the sink wait, or the oldest (receivers are told of a gap) or the newest are dropped and counted. As long as no receiver has ever come to a sink that listens, the oldest make room.",
    )
    .default("block")
    .only_if(SEND, "data"),
    PropertySpec::new(
        "websocket.receivers",
        PropertyKind::Integer { min: 1, max: 10_000 },
        "How many receivers are waited for; a further one is closed with code 1013.",
    )
    .default("64")
    .only_if(SEND, "data"),
    PropertySpec::new(
        "websocket.receivers.forget",
        PropertyKind::Duration,
        "How long a receiver may be away before it is not waited for any longer.",
    )
    .default("24h")
    .only_if(SEND, "data"),
    PropertySpec::new(
        "websocket.spool.path",
        PropertyKind::Text,
        "A directory in which events are kept until receivers have acknowledged them, through restarts. Without it they are kept in memory.",
    )
    .example("/var/lib/eventflux/spool/sensors")
    .only_if(SEND, "data"),
    PropertySpec::new(
        "websocket.spool.bytes",
        PropertyKind::Size,
        "How much the spool keeps. Needs websocket.spool.path.",
    )
    .default("1GiB")
    .only_if(SEND, "data"),
];
