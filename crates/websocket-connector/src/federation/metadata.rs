//! The metadata of what comes over a link, in the order of the source's table.

use std::sync::Arc;

use eventflux_core::{MessageMetadata, Value};
use eventflux_federation::{Arrival, Details};

use super::Delivered;
use crate::server::METADATA;

/// The fields of one message; what does not belong to links is NULL.
pub(super) fn of(item: &Delivered, arrival: &Arrival) -> MessageMetadata {
    let peer = &item.peer;
    let mut values = vec![
        text(&peer.connection),
        optional(peer.user.as_deref()),
        peer.address.map_or(Value::Null, |address| Value::String(address.to_string())),
        Value::Timestamp(item.received),
    ];
    if let Arrival::Message { kind, id, timestamp, stream, replayed, details, .. } = arrival {
        let time = timestamp.and_then(|ms| i64::try_from(ms).ok()?.checked_mul(1000));
        let control = Control::of(details.as_deref());
        values.extend([
            text(kind.name()),
            Value::Null,
            optional(control.correlation),
            optional(control.request),
            optional(std::str::from_utf8(id).ok().filter(|id| !id.is_empty())),
            optional(stream.as_deref()),
            time.map_or(Value::Null, Value::Timestamp),
            optional(control.method),
            optional(control.status),
            Value::Bool(*replayed),
        ]);
    }
    MessageMetadata::new(METADATA, Arc::<[Value]>::from(values))
}

/// What belongs to requests and replies.
#[derive(Default)]
struct Control<'a> {
    method: Option<&'a str>,
    correlation: Option<&'a str>,
    request: Option<&'a str>,
    status: Option<&'a str>,
}

impl<'a> Control<'a> {
    fn of(details: Option<&'a Details>) -> Self {
        match details {
            None => Self::default(),
            Some(Details::Request(request)) => {
                Self { method: Some(&request.method), request: request.handle.as_deref(), ..Self::default() }
            }
            Some(Details::Reply(reply)) => Self {
                method: Some(&reply.method),
                correlation: reply.correlation.as_deref(),
                status: Some(reply.status),
                ..Self::default()
            },
        }
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn optional(value: Option<&str>) -> Value {
    value.map_or(Value::Null, text)
}
