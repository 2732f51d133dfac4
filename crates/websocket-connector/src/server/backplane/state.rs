//! How the sources and sinks of a path are: as the path, which listens, and as the bus behind it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use eventflux_core::health::{ConnectionState, Health, HealthReporter};

/// See the module.
#[derive(Debug)]
pub(super) struct States(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    bus: Health,
    /// Whether clients are taken in.
    ready: bool,
    /// By what the path calls each: where its state is shown, and where clients connect to.
    users: HashMap<u64, (HealthReporter, String)>,
}

impl States {
    pub(super) fn new() -> Self {
        let bus = Health { state: ConnectionState::Init, detail: None };
        Self(Mutex::new(Inner { bus, ready: false, users: HashMap::new() }))
    }

    /// From now on the state is shown there, too.
    pub(super) fn add(&self, user: u64, health: HealthReporter, url: String) {
        let mut inner = self.lock();
        let (state, detail) = inner.of(&url);
        health.set(state, detail);
        inner.users.insert(user, (health, url));
    }

    /// It is not shown there any more.
    pub(super) fn remove(&self, user: u64) {
        self.lock().users.remove(&user);
    }

    /// The bus is like this.
    pub(super) fn bus(&self, health: Health) {
        let mut inner = self.lock();
        inner.bus = health;
        inner.show();
    }

    /// Clients are taken in from now on.
    pub(super) fn ready(&self) {
        let mut inner = self.lock();
        inner.ready = true;
        inner.show();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn show(&self) {
        for (health, url) in self.users.values() {
            // Who has ended says so itself.
            if !matches!(health.current().state, ConnectionState::Failed | ConnectionState::Stopped) {
                let (state, detail) = self.of(url);
                health.set(state, detail);
            }
        }
    }

    fn of(&self, url: &str) -> (ConnectionState, String) {
        let bus = match &self.bus.detail {
            Some(detail) => format!("{} ({detail})", self.bus.state.name()),
            None => self.bus.state.name().to_owned(),
        };
        match (self.bus.state, self.ready) {
            (ConnectionState::Connected, true) => (ConnectionState::Listening, url.to_owned()),
            (ConnectionState::Failed, _) => (ConnectionState::Failed, format!("{url}: the backplane has {bus}")),
            (_, true) => (ConnectionState::Reconnecting, format!("{url}: the backplane is {bus}")),
            (_, false) => (ConnectionState::Connecting, format!("{url} takes no clients yet: the backplane is {bus}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(state: ConnectionState, detail: &str) -> Health {
        Health { state, detail: Some(detail.to_owned()) }
    }

    #[test]
    fn a_path_is_well_when_it_has_read_the_log_and_the_bus_is_there() {
        let (states, shown) = (States::new(), HealthReporter::default());
        states.add(1, shown.clone(), "ws://h/ws".to_owned());
        let expect = |state, detail: &str| assert_eq!(shown.current(), health(state, detail));
        expect(ConnectionState::Connecting, "ws://h/ws takes no clients yet: the backplane is init");
        states.bus(health(ConnectionState::Connecting, "refused"));
        let waits = "ws://h/ws takes no clients yet: the backplane is connecting (refused)";
        expect(ConnectionState::Connecting, waits);
        states.bus(health(ConnectionState::Connected, "n:4222"));
        states.ready();
        expect(ConnectionState::Listening, "ws://h/ws");
        states.bus(health(ConnectionState::Reconnecting, "gone"));
        expect(ConnectionState::Reconnecting, "ws://h/ws: the backplane is reconnecting (gone)");
        states.bus(health(ConnectionState::Failed, "gave up"));
        expect(ConnectionState::Failed, "ws://h/ws: the backplane has failed (gave up)");
        states.bus(health(ConnectionState::Connected, "n:4222"));
        assert_eq!(shown.current().state, ConnectionState::Failed);
        // One that is started again.
        states.add(2, shown.clone(), "ws://h/ws".to_owned());
        expect(ConnectionState::Listening, "ws://h/ws");
        states.remove(1);
        states.remove(2);
        states.bus(health(ConnectionState::Reconnecting, "gone"));
        expect(ConnectionState::Listening, "ws://h/ws");
    }
}
