//! Where links meet sources and sinks: a path that is listened at, or a connection that is opened.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use eventflux_core::EventFluxError;
use eventflux_federation::{Counters, Federation, FederationConfig, Now, Wants};

use super::Inlet;

/// See the module.
#[derive(Debug)]
pub(crate) struct Place {
    federation: Arc<Federation>,
    inlets: RwLock<Arc<[Arc<Inlet>]>>,
    /// Why there will be no more links.
    fault: OnceLock<EventFluxError>,
}

impl Place {
    pub(crate) fn new(config: FederationConfig, counters: Counters) -> Arc<Self> {
        let federation = Federation::new(config, counters, Now::read());
        Arc::new(Self { federation, inlets: RwLock::new(Arc::from([])), fault: OnceLock::new() })
    }

    pub(crate) fn federation(&self) -> &Arc<Federation> {
        &self.federation
    }

    /// The sources at the place.
    pub(crate) fn inlets(&self) -> Arc<[Arc<Inlet>]> {
        self.inlets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// There will be no more links.
    pub(crate) fn fail(&self, fault: &EventFluxError) {
        let _ = self.fault.set(fault.clone());
        self.inlets().iter().for_each(|inlet| inlet.fail(fault.clone()));
        self.federation.outlets().iter().for_each(|outlet| outlet.close());
    }

    /// Why there will be no more links; `None` as long as there may be.
    pub(crate) fn fault(&self) -> Option<&EventFluxError> {
        self.fault.get()
    }

    /// A source comes.
    pub(crate) fn add_inlet(&self, inlet: Arc<Inlet>) {
        self.change(|inlets| inlets.iter().cloned().chain([inlet]).collect());
    }

    /// A source goes.
    pub(crate) fn remove_inlet(&self, inlet: &Arc<Inlet>) {
        self.change(|inlets| inlets.iter().filter(|other| !Arc::ptr_eq(other, inlet)).cloned().collect());
        inlet.leave();
    }

    fn change(&self, change: impl FnOnce(&[Arc<Inlet>]) -> Arc<[Arc<Inlet>]>) {
        let mut inlets = self.inlets.write().unwrap_or_else(PoisonError::into_inner);
        *inlets = change(&inlets);
        let wants = inlets.iter().map(|inlet| inlet.config().wants.clone()).reduce(together).unwrap_or_default();
        self.federation.accept(wants);
    }
}

/// What two sources want.
fn together(one: Wants, other: Wants) -> Wants {
    // Nothing named means all of them.
    let all = one.data && one.streams.is_empty() || other.data && other.streams.is_empty();
    Wants {
        data: one.data || other.data,
        streams: if all { Vec::new() } else { [one.streams, other.streams].concat() },
        requests: one.requests || other.requests,
        replies: one.replies || other.replies,
        gaps: one.gaps || other.gaps,
    }
}
