//! Properties of a source or sink that serves clients by a protocol, and of what is published to them.

use eventflux_core::{PropertyKind, PropertySpec};

use super::{PROTOCOL as PROTOCOL_KEY, SERVER};

/// Every protocol.
const PROTOCOLS: &[&str] = &["raw", "channels", "events", "analytics", "federation"];

/// Those in which clients ask for what they get.
const STRUCTURED: &[&str] = &["channels", "events", "analytics"];

/// Those in which there are requests, and events that can be asked for again.
const CONVERSING: &[&str] = &["channels", "events", "analytics", "federation"];

pub(super) const PROTOCOL: PropertySpec = PropertySpec::new(
    PROTOCOL_KEY,
    PropertyKind::Choice(PROTOCOLS),
    "What is spoken. With `raw` every message is a payload, and every client of a path gets everything. `channels`, `events` and `analytics` let clients of a path subscribe to channels, authenticate, and send requests. `federation` links two pipelines, whichever of them listens.",
)
.default("raw");

pub(super) const MAX_CONNECTIONS_PER_USER: PropertySpec = PropertySpec::new(
    "websocket.max.connections.per.user",
    PropertyKind::Integer { min: 0, max: 1_000_000 },
    "Largest number of connections of one user (devices, tabs); a further one is closed with code 1008. 0 for no limit.",
)
.default("0")
.default_for(PROTOCOL_KEY, &[("events", "5")])
.only_if("websocket.mode", SERVER);

pub(super) const MAX_SUBSCRIPTIONS: PropertySpec = PropertySpec::new(
    "websocket.max.subscriptions",
    PropertyKind::Integer { min: 1, max: 100_000 },
    "Largest number of subscriptions of one connection.",
)
.default("50")
.only_if("websocket.mode", SERVER);

pub(super) const MAX_SUBSCRIBERS: PropertySpec = PropertySpec::new(
    "websocket.max.subscribers",
    PropertyKind::Integer { min: 1, max: 10_000_000 },
    "Largest number of subscribers of one channel or pattern.",
)
.default("10000")
.default_for(PROTOCOL_KEY, &[("raw", "1000000")])
.only_if("websocket.mode", SERVER);

pub(super) const MAX_CHANNELS: PropertySpec = PropertySpec::new(
    "websocket.max.channels",
    PropertyKind::Integer { min: 1, max: 10_000_000 },
    "Largest number of channels that exist at a time; one exists while it has subscribers or a history.",
)
.default("100000")
.only_if("websocket.mode", SERVER);

pub(super) const MAX_REPLY_BYTES: PropertySpec = PropertySpec::new(
    "websocket.client.replies.bytes",
    PropertyKind::Size,
    "How much of the answers to a client's own requests may wait for it; a client that asks and does not read is closed with code 1008.",
)
.default("1MiB")
.only_if_any(PROTOCOL_KEY, CONVERSING);

pub(super) const RATE_LIMITING: PropertySpec = PropertySpec::new(
    "websocket.rate.limiting",
    PropertyKind::Boolean,
    "Whether the messages of each client are counted against websocket.rate.limit.",
)
.default("true")
.default_for(PROTOCOL_KEY, &[("analytics", "${env:STREAMING_WEBSOCKET__ENABLE_RATE_LIMITING:true}")])
.only_if("websocket.mode", SERVER);

pub(super) const RATE_LIMIT: PropertySpec = PropertySpec::new(
    "websocket.rate.limit",
    PropertyKind::Integer { min: 0, max: 100_000 },
    "How many messages a client may send in any span of websocket.rate.period. More are answered with an error; as many again close the connection with code 1008. 0 for no limit.",
)
.default("0")
.default_for(
    PROTOCOL_KEY,
    &[("events", "100"), ("analytics", "${env:STREAMING_WEBSOCKET__RATE_LIMIT_PER_MINUTE:60}")],
)
.only_if("websocket.mode", SERVER);

pub(super) const RATE_PERIOD: PropertySpec =
    PropertySpec::new("websocket.rate.period", PropertyKind::Duration, "The span of websocket.rate.limit.")
        .default("1m")
        .only_if("websocket.mode", SERVER);

pub(super) const FILTER_MAX_SIZE: PropertySpec =
    PropertySpec::new("websocket.filter.max.size", PropertyKind::Size, "Largest filter of a subscription.")
        .default("4KiB")
        .only_if_any(PROTOCOL_KEY, STRUCTURED);

pub(super) const FILTER_MAX_TERMS: PropertySpec = PropertySpec::new(
    "websocket.filter.max.terms",
    PropertyKind::Integer { min: 1, max: 256 },
    "Largest number of comparisons in a filter.",
)
.default("64")
.only_if_any(PROTOCOL_KEY, STRUCTURED);

pub(super) const PRESENCE: PropertySpec = PropertySpec::new(
    "websocket.presence",
    PropertyKind::Boolean,
    "Whether clients may ask who is on a channel, and coming and going are messages of the kinds `join` and `leave` for a source of the path.",
)
.default("false")
.only_if_any(PROTOCOL_KEY, STRUCTURED);

pub(super) const MAX_REQUESTS: PropertySpec = PropertySpec::new(
    "websocket.max.requests",
    PropertyKind::Integer { min: 1, max: 100_000 },
    "Largest number of requests of one connection that wait for an answer.",
)
.default("100")
.default_for(PROTOCOL_KEY, &[("federation", "10")])
.only_if_any(PROTOCOL_KEY, CONVERSING);

pub(super) const REQUEST_TIMEOUT: PropertySpec = PropertySpec::new(
    "websocket.request.timeout",
    PropertyKind::Duration,
    "How long a request may wait for the pipeline's answer; then the client gets an error.",
)
.default("30s")
.default_for(PROTOCOL_KEY, &[("federation", "5s")])
.only_if_any(PROTOCOL_KEY, CONVERSING);

pub(super) const BATCH_DELAY: PropertySpec = PropertySpec::new(
    "websocket.batch.delay",
    PropertyKind::Duration,
    "How long a message to a client may wait for others to be sent with it as one; 0 for not at all. For clients that know the protocol's batches.",
)
.default("0")
.only_if(PROTOCOL_KEY, "events");

pub(super) const BATCH_SIZE: PropertySpec =
    PropertySpec::new("websocket.batch.size", PropertyKind::Size, "Messages of this size together wait no longer.")
        .default("16KiB")
        .only_if(PROTOCOL_KEY, "events");

pub(super) const ACCEPT: PropertySpec = PropertySpec::new(
    "websocket.accept",
    PropertyKind::Text,
    "Which messages of clients become events, by their type, separated by commas; `*` for all. What no source of the path accepts is answered with an error.",
)
.default("*")
.default_for(PROTOCOL_KEY, &[("federation", "data"), ("channels", "request, event, ack")])
.example("create_blob, process_blob")
.only_if_any(PROTOCOL_KEY, CONVERSING);

pub(super) const CHANNEL: PropertySpec = PropertySpec::new(
    "websocket.channel",
    PropertyKind::Template,
    "The channel each event is published to. When not given: the name of the stream, with `analytics` the subscription type `events`.",
)
.default_for(PROTOCOL_KEY, &[("analytics", "events")])
.example("trades.${symbol}")
.only_if("websocket.mode", SERVER);

pub(super) const USER: PropertySpec = PropertySpec::new(
    "websocket.user",
    PropertyKind::Template,
    "The user each event is for. It goes to those of the user's connections that subscribed to websocket.channel, or to all of them when no channel is given (with `analytics`, to the subscriptions of type `events`).",
)
.example("${user_id}")
.only_if_any(PROTOCOL_KEY, STRUCTURED);

pub(super) const REPLY: PropertySpec = PropertySpec::new(
    "websocket.reply",
    PropertyKind::Template,
    "The request each event answers: a column bound to the metadata field `request` of the source. It goes to the client that asked, and to nobody else.",
)
.example("${request}")
.only_if_any(PROTOCOL_KEY, CONVERSING);

pub(super) const KEY: PropertySpec = PropertySpec::new(
    "websocket.key",
    PropertyKind::Template,
    "What each event is the latest of: for websocket.snapshot.keys and the policy `conflate`.",
)
.example("${symbol}")
.only_if("websocket.mode", SERVER);

pub(super) const CORRELATION: PropertySpec = PropertySpec::new(
    "websocket.correlation",
    PropertyKind::Template,
    "A name for each event that is sent along, so that a client can acknowledge it.",
)
.example("${order_id}")
.only_if_any(PROTOCOL_KEY, CONVERSING);

pub(super) const CLIENT_QUEUE_AGE: PropertySpec = PropertySpec::new(
    "websocket.client.queue.age",
    PropertyKind::Duration,
    "How old what waits for one client may become before websocket.client.queue.full applies; 0 for any age.",
)
.default("0")
.only_if("websocket.mode", SERVER);

pub(super) const HISTORY_EVENTS: PropertySpec = PropertySpec::new(
    "websocket.history.events",
    PropertyKind::Integer { min: 0, max: 10_000_000 },
    "How many events each channel remembers, for clients that come back and go on where they were; 0 for none.",
)
.default("0")
.default_for(PROTOCOL_KEY, &[("federation", "1000")])
.only_if_any(PROTOCOL_KEY, CONVERSING);

pub(super) const HISTORY_BYTES: PropertySpec = PropertySpec::new(
    "websocket.history.bytes",
    PropertyKind::Size,
    "How many bytes of events each channel remembers at most.",
)
.default("1MiB")
.only_if_any(PROTOCOL_KEY, CONVERSING);

pub(super) const HISTORY_AGE: PropertySpec =
    PropertySpec::new("websocket.history.age", PropertyKind::Duration, "How long events are remembered at most.")
        .default("5m")
        .only_if_any(PROTOCOL_KEY, CONVERSING);

pub(super) const SNAPSHOT_KEYS: PropertySpec = PropertySpec::new(
    "websocket.snapshot.keys",
    PropertyKind::Integer { min: 0, max: 1_000_000 },
    "Of how many keys each channel remembers the latest event, for clients that ask for a snapshot; 0 for none. Needs websocket.key.",
)
.default("0")
.only_if_any(PROTOCOL_KEY, STRUCTURED);

pub(super) const DRAIN_SPREAD: PropertySpec = PropertySpec::new(
    "websocket.drain.spread",
    PropertyKind::Duration,
    "Over how long the goodbyes to more than 50 clients are spread when the pipeline stops, so that they do not all come back at once; at most half of the time that is left to stop. 0 for all at once.",
)
.default("2s")
.only_if("websocket.mode", SERVER);
