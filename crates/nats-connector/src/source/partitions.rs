//! The messages of a stream by partitions, of which each is held by one instance at a time.

use eventflux_core::{EventFluxError, Properties};

use super::Work;

/// What a source reads by partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionsConfig {}

impl PartitionsConfig {
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let _ = properties;
        todo!("partitions helper")
    }
}

pub(super) async fn run(config: PartitionsConfig, work: Work) -> Result<(), EventFluxError> {
    let _ = (config, work);
    todo!("helper")
}
