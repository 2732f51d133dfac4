//! Where a sink that asks meets the source that hears the answers: by the name both say.

use eventflux_core::{ConnectorContext, EventFluxError};
use std::sync::Arc;
use crate::source::Work;

/// The exchanges of a context, by name.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {}

/// Says that there is a source of that name; started or not.
#[derive(Debug, Clone)]
pub(crate) struct Hearing {}

/// Where a started source receives.
#[derive(Debug)]
pub(crate) struct Receiving {}

/// Where a started sink hands answers over.
#[derive(Debug, Clone)]
pub(crate) struct Asking {}

impl Exchanges {
    pub(crate) fn hear(self: &Arc<Self>, _name: &str) -> Hearing { Hearing {} }
    pub(crate) fn ask(&self, _name: &str) -> Result<Asking, EventFluxError> { todo!() }
}
impl Hearing {
    pub(crate) fn start(&self, _context: &ConnectorContext) -> Result<Receiving, EventFluxError> { todo!() }
}
pub(crate) async fn run(_receiving: Receiving, _work: Work) -> Result<(), EventFluxError> { todo!() }
