//! `backpressure`: the peer says how many events per second it takes.

use serde::Serialize;
use serde_json::Value;

use super::{Params, Refusal, UNIT, ok};
use crate::Now;
use crate::link::Selection;

/// Events per second that a peer may ask for.
pub(super) const MAX_RATE: f64 = 1e9;

/// What lifts the limit. Not `null`: who forgets to fill a member in must not be flooded.
const UNLIMITED: &str = "unlimited";

#[derive(Serialize)]
struct Adjusted {
    /// Events sent per second in the last seconds.
    current_rate: u64,
    /// The limit that holds now: the smaller one of this and the announced one; `null` where there is none.
    adjusted_to: Option<serde_json::Number>,
}

/// Events go to the peer no faster from now on; 0 pauses them.
pub(in super::super) fn backpressure(
    mut params: Params,
    selection: &mut Selection,
    now: Now,
) -> Result<bytes::Bytes, Refusal> {
    let limit = match params.take("rate_limit") {
        Some(Value::String(text)) if text == UNLIMITED => None,
        Some(value) => Some(rate("rate_limit", &value)?),
        None => return Err(Refusal::invalid(format!("'rate_limit' is missing: a number, or \"{UNLIMITED}\""))),
    };
    match params.take("unit") {
        None | Some(Value::Null) => {}
        Some(Value::String(unit)) if unit == UNIT => {}
        Some(_) => return Err(Refusal::invalid(format!("the only 'unit' is \"{UNIT}\""))),
    }
    params.finish("rate_limit, unit")?;
    selection.limit(limit, now);
    let adjusted_to = selection.per_second().and_then(number);
    Ok(ok(&Adjusted { current_rate: selection.meter().current(now.at), adjusted_to }))
}

/// A number of events per second.
pub(super) fn rate(name: &str, value: &Value) -> Result<f64, Refusal> {
    let rate = value.as_f64().filter(|rate| (0.0..=MAX_RATE).contains(rate));
    rate.ok_or_else(|| {
        let lift = if name == "rate_limit" { format!(", or \"{UNLIMITED}\"") } else { String::new() };
        Refusal::invalid(format!(
            "'{name}' has to be a number of messages per second from 0 (none) to {MAX_RATE:e}{lift}"
        ))
    })
}

/// As whole numbers are written where it is one.
fn number(rate: f64) -> Option<serde_json::Number> {
    if rate.fract() == 0.0 { Some((rate as u64).into()) } else { serde_json::Number::from_f64(rate) }
}
