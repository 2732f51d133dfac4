//! Whether there is a connection, as metrics show it.

use std::sync::{Mutex, PoisonError};

use eventflux_core::ConnectorContext;
use eventflux_core::metrics::Measurement;
use eventflux_nats::Connection;

/// Shows a connection in the gauge of its source or sink: looked at when metrics are read.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<Option<Measurement>>);

impl Presence {
    /// From now on this one counts.
    pub(crate) fn show(&self, context: &ConnectorContext, connection: &Connection) {
        let gauge = context.metrics.connections.clone();
        // Not the connection itself: it ends when it is dropped.
        let client = connection.client().clone();
        let is_there = move || client.connection_state() == async_nats::connection::State::Connected;
        self.set(Some(context.registry.measure(move || gauge.set(u64::from(is_there())))));
    }

    /// There is none any more.
    pub(crate) fn hide(&self, context: &ConnectorContext) {
        self.set(None);
        context.metrics.connections.set(0);
    }

    fn set(&self, measurement: Option<Measurement>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = measurement;
    }
}
