//! Where links meet sources and sinks: a path that is listened at, or a connection that is opened.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use eventflux_core::EventFluxError;
use eventflux_core::health::{ConnectionState, HealthReporter};
use eventflux_federation::{Federation, FederationConfig, Now, Wants};

use super::Inlet;
use super::counters::PlaceCounters;

/// See the module.
#[derive(Debug)]
pub(crate) struct Place {
    federation: Arc<Federation>,
    inlets: RwLock<Arc<[Arc<Inlet>]>>,
    /// Why there will be no more links.
    fault: OnceLock<EventFluxError>,
    counters: PlaceCounters,
    presence: Mutex<Presence>,
    /// Whether a source or sink has ever been here.
    begun: AtomicBool,
}

/// Who is here, and who wants to know.
#[derive(Debug, Default)]
struct Presence {
    /// Links that are open.
    open: u64,
    /// Sources and sinks that listen.
    listeners: Vec<(u64, HealthReporter)>,
    next: u64,
}

/// A link at its place; gone when dropped.
#[derive(Debug)]
pub(crate) struct Here(Arc<Place>);

/// A source or sink whose state says whether anybody is connected, until this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    place: Arc<Place>,
    id: u64,
}

impl Place {
    pub(crate) fn new(config: FederationConfig, counters: impl Into<PlaceCounters>) -> Arc<Self> {
        let counters = counters.into();
        let federation = Federation::new(config, counters.links.clone(), Now::read());
        Arc::new(Self {
            federation,
            inlets: RwLock::new(Arc::from([])),
            fault: OnceLock::new(),
            counters,
            presence: Mutex::default(),
            begun: AtomicBool::new(false),
        })
    }

    pub(crate) fn federation(&self) -> &Arc<Federation> {
        &self.federation
    }

    /// What it counts.
    pub(super) fn counters(&self) -> &PlaceCounters {
        &self.counters
    }

    /// Links that are open.
    pub(super) fn open(&self) -> u64 {
        self.presence().open
    }

    /// Whether messages are read: before there is anybody to take them, those of a peer that does not send again would
    /// be lost.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Somebody is here.
    pub(super) fn begin(&self) {
        if !self.begun.swap(true, Ordering::AcqRel) {
            // Wakes the links that have been waiting for it.
            self.change(|inlets| inlets.into());
        }
    }

    /// A link comes.
    pub(super) fn enter(self: &Arc<Self>) -> Here {
        self.counters.connections.increment();
        self.presence().change(|open| open + 1);
        Here(self.clone())
    }

    /// Somebody listens at `url` from now on.
    pub(super) fn listen(self: &Arc<Self>, health: &HealthReporter, url: String) -> Listener {
        let mut presence = self.presence();
        let id = presence.next;
        presence.next += 1;
        health.set(ConnectionState::Listening, url);
        presence.listeners.push((id, health.clone()));
        presence.change(|open| open);
        drop(presence);
        Listener { place: self.clone(), id }
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.begin();
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

impl Presence {
    fn change(&mut self, change: impl FnOnce(u64) -> u64) {
        self.open = change(self.open);
        let state = if self.open > 0 { ConnectionState::Connected } else { ConnectionState::Listening };
        for (_, health) in &self.listeners {
            // Who has failed or is stopped stays so.
            health.pass(&[ConnectionState::Listening, ConnectionState::Connected], state);
        }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.presence().change(|open| open.saturating_sub(1));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.place.presence().listeners.retain(|(id, _)| *id != self.id);
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

#[cfg(test)]
mod tests {
    use eventflux_federation::Counters;

    use super::*;

    #[test]
    fn who_listens_is_connected_as_long_as_anybody_is() {
        let place = Place::new(FederationConfig::default(), Counters::default());
        let (first, second) = (HealthReporter::default(), HealthReporter::default());
        let state = |health: &HealthReporter| health.current().state;
        let _first = place.listen(&first, "ws://h".to_owned());
        assert_eq!(state(&first), ConnectionState::Listening);
        let links = (place.enter(), place.enter());
        let left = place.listen(&second, "ws://h".to_owned());
        assert_eq!((state(&first), state(&second)), (ConnectionState::Connected, ConnectionState::Connected));
        drop(left);
        drop(links.0);
        assert_eq!((state(&first), place.open()), (ConnectionState::Connected, 1));
        drop(links.1);
        assert_eq!((state(&first), place.open()), (ConnectionState::Listening, 0));
        assert_eq!(state(&second), ConnectionState::Connected, "it has left before");
        first.set(ConnectionState::Stopped, None);
        let _link = place.enter();
        assert_eq!(state(&first), ConnectionState::Stopped);
        assert_eq!(place.counters().connections.value(), 3);
    }
}
