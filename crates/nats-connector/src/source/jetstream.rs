//! The messages of a stream that a durable consumer shares out, acknowledged when the pipeline has settled.

use eventflux_core::{EventFluxError, Properties};

use super::Work;

/// What a source of JetStream reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStreamConfig {}

impl JetStreamConfig {
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let _ = properties;
        todo!("jetstream source helper")
    }
}

pub(super) async fn run(config: JetStreamConfig, work: Work) -> Result<(), EventFluxError> {
    let _ = (config, work);
    todo!("helper")
}
