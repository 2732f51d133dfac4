//! The state of a source or sink with several connections.

use std::sync::{Arc, Mutex, PoisonError};

use eventflux_core::ConnectorContext;
use eventflux_core::health::{ConnectionState, HealthReporter};
use eventflux_core::metrics::Gauge;

/// What the connections of one source or sink come to together.
#[derive(Debug)]
pub(in super::super) struct Together {
    context: ConnectorContext,
    /// Of each connection.
    states: Mutex<Vec<(ConnectionState, String)>>,
}

/// Where a connection reports its state.
#[derive(Debug)]
pub(in super::super) struct Reporter {
    context: ConnectorContext,
    /// Of one of several: which.
    part: Option<(Arc<Together>, usize)>,
}

impl Together {
    pub(in super::super) fn new(context: &ConnectorContext, connections: usize) -> Arc<Self> {
        let states = vec![(ConnectionState::Connecting, String::new()); connections];
        Arc::new(Self { context: context.clone(), states: Mutex::new(states) })
    }

    /// For the connection of that index. It has a name, a state, and figures of the moment of its own; what is counted goes
    /// to the whole.
    pub(in super::super) fn reporter(self: &Arc<Self>, index: usize) -> Reporter {
        let mut context = self.context.clone();
        context.stream = format!("{}/{}", context.stream, index + 1);
        context.health = HealthReporter::default();
        context.metrics.connections = Gauge::default();
        context.metrics.queue_bytes = Gauge::default();
        Reporter { context, part: Some((self.clone(), index)) }
    }

    fn state(&self, index: usize, state: ConnectionState, detail: &str) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states[index] = (state, detail.to_owned());
        let of = |wanted| states.iter().filter(move |(state, _)| *state == wanted).map(|(_, detail)| detail.as_str());
        let connected = of(ConnectionState::Connected).count();
        self.context.metrics.connections.set(connected as u64);
        let in_order = [
            ConnectionState::Failed,
            ConnectionState::Connected,
            ConnectionState::Reconnecting,
            ConnectionState::Connecting,
        ];
        // One that has given up is the end of all.
        let Some(state) = in_order.into_iter().find(|wanted| of(*wanted).next().is_some()) else { return };
        let details: Vec<_> = of(state).collect();
        let details = details.join(", ");
        let detail = match state {
            ConnectionState::Connected => format!("{connected} of {}: {details}", states.len()),
            _ => details,
        };
        self.context.health.set(state, detail);
    }
}

impl Reporter {
    pub(in super::super) fn context(&self) -> &ConnectorContext {
        &self.context
    }

    pub(in super::super) fn state(&self, state: ConnectionState, detail: &str) {
        self.context.health.set(state, detail.to_owned());
        self.context.metrics.connections.set(u64::from(state == ConnectionState::Connected));
        if let Some((together, index)) = &self.part {
            together.state(*index, state, detail);
        }
    }
}

impl From<ConnectorContext> for Reporter {
    fn from(context: ConnectorContext) -> Self {
        Self { context, part: None }
    }
}

#[cfg(test)]
mod tests {
    use ConnectionState::{Connected, Connecting, Failed, Reconnecting};
    use eventflux_core::ConnectorRole;
    use eventflux_core::metrics::Metrics;

    use super::*;

    #[test]
    fn one_connection_is_enough_and_one_that_gives_up_is_the_end() {
        let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "Out", "websocket");
        let together = Together::new(&context, 2);
        let (one, other) = (together.reporter(0), together.reporter(1));
        for (reporter, state, detail, whole, shown) in [
            (&one, Connecting, "ws://a/", Connecting, "ws://a/, "),
            (&other, Connected, "ws://b/", Connected, "1 of 2: ws://b/"),
            (&one, Reconnecting, "ws://a/: refused", Connected, "1 of 2: ws://b/"),
            (&one, Connected, "ws://a/", Connected, "2 of 2: ws://a/, ws://b/"),
            (&other, Reconnecting, "ws://b/: lost", Connected, "1 of 2: ws://a/"),
            (&one, Reconnecting, "ws://a/: lost", Reconnecting, "ws://a/: lost, ws://b/: lost"),
            (&one, Failed, "ws://a/: 401", Failed, "ws://a/: 401"),
        ] {
            reporter.state(state, detail);
            let health = context.health.current();
            assert_eq!((health.state, health.detail.as_deref()), (whole, Some(shown)));
            assert_eq!(reporter.context().health.current().state, state);
        }
        assert_eq!(context.metrics.connections.value(), 0);
        assert_eq!(one.context().stream, "Out/1");
    }
}
