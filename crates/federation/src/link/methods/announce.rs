//! `announce`: the peer says what it can take, and gets what is for it.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{Params, Refusal, backpressure, ok};
use crate::link::{Routing, Selection};
use crate::{FederationConfig, Now};

/// Types that a peer may announce.
pub(in super::super) const MAX_TYPES: usize = 128;

/// Bytes of the name of a type or of a region.
const MAX_NAME_BYTES: usize = 256;

#[derive(Serialize)]
struct Registered {
    registered: bool,
    /// Whether the peer gets other events than before, or at another rate.
    routing_updated: bool,
    /// Capabilities that mean nothing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<String>,
}

/// What is announced replaces what was announced before.
pub(in super::super) fn announce(
    mut params: Params,
    selection: &mut Selection,
    config: &FederationConfig,
    now: Now,
) -> Result<Bytes, Refusal> {
    let Some(Value::Object(capabilities)) = params.take("capabilities") else {
        return Err(Refusal::invalid("'capabilities' has to be an object"));
    };
    params.finish("capabilities")?;
    let mut capabilities = Params::from(capabilities);
    let region = capabilities.text("region", MAX_NAME_BYTES)?;
    let types = capabilities.texts("message_types", MAX_TYPES, MAX_NAME_BYTES)?;
    let max_rate = match capabilities.take("max_rate") {
        None | Some(Value::Null) => None,
        Some(value) => Some(backpressure::rate("max_rate", &value)?),
    };
    let routing = Routing::new(types, region, config).map_err(Refusal::invalid)?;
    let routing_updated = selection.announce(routing, max_rate, now);
    Ok(ok(&Registered { registered: true, routing_updated, ignored: capabilities.rest() }))
}
