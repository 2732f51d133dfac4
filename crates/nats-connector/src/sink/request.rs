//! Asking.

use std::time::Duration;

use eventflux_core::{EventFluxError, Properties, Template};

use super::Work;
use crate::replies::Asking;

/// How a sink asks.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestConfig {
    /// The exchange at which its answers are heard.
    pub(crate) name: String,
    correlation: Option<Template>,
    timeout: Duration,
    max_requests: usize,
}

impl RequestConfig {
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        Ok(Self {
            name: properties.text("nats.request")?.to_owned(),
            correlation: properties.template("nats.correlation")?,
            timeout: properties.duration("nats.request.timeout")?,
            max_requests: properties.integer("nats.max.requests")?,
        })
    }
}

pub(super) async fn run(config: &RequestConfig, asking: &Asking, work: &Work) -> Result<(), EventFluxError> {
    let _ = (config, asking, work);
    todo!("core helper")
}
