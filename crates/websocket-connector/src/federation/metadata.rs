//! The metadata of what comes over a link, in the order of the source's table.

use std::sync::Arc;

use eventflux_core::{MessageMetadata, Value};
use eventflux_federation::Arrival;

use super::Delivered;
use crate::server::METADATA;

/// The fields of one message; what does not belong to links is NULL.
pub(super) fn of(item: &Delivered, arrival: &Arrival) -> MessageMetadata {
    let peer = &item.peer;
    let text = |text: &str| Value::String(text.to_owned());
    let optional = |value: Option<&str>| value.map_or(Value::Null, text);
    let mut values = vec![
        text(&peer.connection),
        optional(peer.user.as_deref()),
        peer.address.map_or(Value::Null, |address| Value::String(address.to_string())),
        Value::Timestamp(item.received),
    ];
    if let Arrival::Message { kind, id, timestamp, stream, replayed, .. } = arrival {
        let time = timestamp.and_then(|ms| i64::try_from(ms).ok()?.checked_mul(1000));
        values.extend([
            text(kind.name()),
            Value::Null,
            Value::Null,
            Value::Null,
            optional(std::str::from_utf8(id).ok().filter(|id| !id.is_empty())),
            optional(stream.as_deref()),
            time.map_or(Value::Null, Value::Timestamp),
            Value::Bool(*replayed),
        ]);
    }
    MessageMetadata::new(METADATA, Arc::<[Value]>::from(values))
}
