//! See the properties.

use eventflux_core::{EventFluxError, Properties};

use super::{Addressing, Work};

/// See the properties.
#[derive(Debug, Clone, PartialEq)]
pub struct JetStreamSinkConfig {}

impl JetStreamSinkConfig {
    pub(crate) fn from_properties(properties: &Properties, addressing: &Addressing) -> Result<Self, EventFluxError> {
        let _ = (properties, addressing.pattern());
        todo!("sink helper")
    }
}

pub(super) async fn run(config: &JetStreamSinkConfig, work: &Work) -> Result<(), EventFluxError> {
    let _ = (config, work);
    todo!("helper")
}
