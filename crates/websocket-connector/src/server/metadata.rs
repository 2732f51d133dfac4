//! What a source of a server can tell about a message besides its bytes.

use std::sync::Arc;

use eventflux_core::{DataType, MetadataSpec, Value};
use eventflux_gateway::Inbound;

use super::endpoint::Sender;

/// The fields, in the order of [`of_message`].
pub(crate) const METADATA: &[MetadataSpec] = &[
    MetadataSpec::new("connection", DataType::String, "Id of the connection the message came by."),
    MetadataSpec::new("user", DataType::String, "Who sent it; NULL when the client did not say who it is."),
    MetadataSpec::new("address", DataType::String, "Address of the client, beyond trusted proxies."),
    MetadataSpec::new("received_time", DataType::Timestamp, "When it was received."),
    MetadataSpec::new("kind", DataType::String, "Type of the message, as `websocket.accept` names it."),
    MetadataSpec::new("channel", DataType::String, "The channel the message names; NULL when it names none."),
    MetadataSpec::new("correlation", DataType::String, "The client's own name for the message; NULL when it has none."),
    MetadataSpec::new(
        "request",
        DataType::String,
        "Where an answer goes, for `websocket.reply`; NULL when none is expected.",
    ),
    MetadataSpec::new("id", DataType::String, "Id of the envelope; NULL for protocols without envelopes."),
    MetadataSpec::new(
        "stream",
        DataType::String,
        "The stream an event belongs to at the other end of a link; else NULL.",
    ),
    MetadataSpec::new("time", DataType::Timestamp, "When the sender published it; NULL when it does not say."),
    MetadataSpec::new(
        "method",
        DataType::String,
        "What a request or the request of a reply asks for; NULL for everything else.",
    ),
    MetadataSpec::new(
        "status",
        DataType::String,
        "What became of our request: `ok`, `error`, `other`, `timeout` or `disconnected`; NULL for everything but replies.",
    ),
    MetadataSpec::new(
        "replayed",
        DataType::Bool,
        "Whether it was sent before and comes again on request; NULL without envelopes.",
    ),
];

/// The fields of a message that the protocol passed on.
pub(super) fn of_message(message: &Inbound, sender: &Sender) -> Arc<[Value]> {
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
    let from = [
        Value::String(message.kind.clone()),
        text(&message.channel),
        text(&message.correlation),
        text(&message.request),
    ];
    of_sender(sender).into_iter().chain(from).collect()
}

/// The fields of a message without structure.
pub(super) fn of_payload(sender: &Sender) -> Arc<[Value]> {
    let kind = Value::String(eventflux_gateway::dialects::MESSAGE.to_owned());
    of_sender(sender).into_iter().chain([kind, Value::Null, Value::Null, Value::Null]).collect()
}

fn of_sender(sender: &Sender) -> [Value; 4] {
    [
        Value::String(sender.connection.to_string()),
        sender.user.as_deref().map_or(Value::Null, |user| Value::String(user.to_owned())),
        Value::String(sender.address.to_string()),
        Value::Timestamp(sender.received),
    ]
}
