//! What is published to subjects, as it comes.

use eventflux_core::{EventFluxError, Properties};

use super::Work;

/// What a source of core NATS receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreConfig {}

impl CoreConfig {
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let _ = properties;
        todo!("core helper")
    }
}

pub(super) async fn run(config: CoreConfig, work: Work) -> Result<(), EventFluxError> {
    let _ = (config, work);
    todo!("core helper")
}
