//! `subscribe` and `unsubscribe`: the peer says which events it wants.
//!
//! A filter is `{"path": "$.severity", "operator": ">=", "value": "warning"}`, a SQL predicate as text
//! (`"severity IN ('warning', 'error')"`), or `null` for everything. Several subscriptions add up; without any, the peer
//! gets everything.

use bytes::Bytes;
use eventflux_gateway::filter::{Filter, FilterLimits};
use serde::Serialize;
use serde_json::Value;

use super::{Params, Refusal, ok};
use crate::link::Selection;
use crate::link::condition;

/// Streams that a subscription may name.
const MAX_STREAMS: usize = 64;

/// Bytes of the name of a stream.
const MAX_STREAM_BYTES: usize = 256;

/// Bytes of the id of a subscription; those that we give are shorter.
const MAX_ID_BYTES: usize = 64;

#[derive(Serialize)]
struct Subscribed {
    subscription_id: String,
    filter_applied: bool,
    /// Of the streams that were named, those that are not sent here now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_streams: Vec<String>,
}

#[derive(Serialize)]
struct Unsubscribed {
    unsubscribed: bool,
}

/// The peer wants what the filter matches, besides what it wants already. `streams` are those that there are.
pub(in super::super) fn subscribe(
    mut params: Params,
    selection: &mut Selection,
    streams: &[String],
) -> Result<Bytes, Refusal> {
    let filter = params.take("filter");
    let wanted = params.texts("streams", MAX_STREAMS, MAX_STREAM_BYTES)?;
    params.finish("filter, streams")?;
    if filter.is_none() && wanted.is_none() {
        return Err(Refusal::invalid("'filter' is missing; null subscribes to everything"));
    }
    if wanted.as_ref().is_some_and(Vec::is_empty) {
        return Err(Refusal::invalid("'streams' is empty; leave it out to get all"));
    }
    let filter = filter.map_or(Ok(None), |filter| self::filter(&filter))?;
    let unknown_streams = wanted.iter().flatten().filter(|name| !streams.contains(name)).cloned().collect();
    let subscription_id = selection.subscribe(filter, wanted)?;
    Ok(ok(&Subscribed { subscription_id, filter_applied: true, unknown_streams }))
}

/// The subscription ends; with the last one the peer gets everything again.
pub(in super::super) fn unsubscribe(mut params: Params, selection: &mut Selection) -> Result<Bytes, Refusal> {
    let id = params.text("subscription_id", MAX_ID_BYTES)?;
    let id = id.ok_or_else(|| Refusal::invalid("'subscription_id' is missing"))?;
    params.finish("subscription_id")?;
    if !selection.unsubscribe(&id) {
        return Err(Refusal::invalid("there is no subscription of that id on this connection"));
    }
    Ok(ok(&Unsubscribed { unsubscribed: true }))
}

fn filter(filter: &Value) -> Result<Option<Filter>, Refusal> {
    let predicate = match filter {
        Value::Null => return Ok(None),
        Value::String(predicate) => predicate.clone(),
        Value::Object(parts) => condition::predicate(parts).map_err(Refusal::invalid)?,
        _ => {
            return Err(Refusal::invalid(
                "'filter' has to be {\"path\", \"operator\", \"value\"}, a SQL predicate as text, or null for everything",
            ));
        }
    };
    Filter::new(None, Some(&predicate), &FilterLimits::default())
        .map_err(|problem| Refusal::invalid(problem.to_string()))
}
