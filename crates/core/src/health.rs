//! The state of a connector, as health checks and metrics show it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::metrics::Metrics;

/// Where a connector is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Created, not started.
    Init,
    /// First attempt to reach the endpoint.
    Connecting,
    /// Connected, or for a connector without a connection: working.
    Connected,
    /// A server that accepts connections.
    Listening,
    /// The connection was lost or refused; more attempts follow.
    Reconnecting,
    /// Gave up.
    Failed,
    /// Stopped as asked.
    Stopped,
}

impl ConnectionState {
    /// The state as one lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Listening => "listening",
            Self::Reconnecting => "reconnecting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether events can flow.
    pub fn is_healthy(self) -> bool {
        matches!(self, Self::Connected | Self::Listening)
    }
}

/// A state with its explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Where the connector is in its life.
    pub state: ConnectionState,
    /// Why, or to whom; nothing secret.
    pub detail: Option<String>,
}

/// Where a connector reports its state; copies share it.
#[derive(Debug, Clone)]
pub struct HealthReporter {
    sender: Arc<watch::Sender<Health>>,
    gauges: Option<Arc<StateGauges>>,
}

/// One gauge per state: 1 for the state reported last, 0 for those before.
#[derive(Debug)]
struct StateGauges {
    registry: Metrics,
    name: &'static str,
    stream: String,
    connector: String,
}

impl StateGauges {
    fn set(&self, state: ConnectionState, value: u64) {
        let labels = [("stream", &*self.stream), ("type", &*self.connector), ("state", state.name())];
        self.registry.gauge(self.name, &labels).set(value);
    }
}

impl Default for HealthReporter {
    fn default() -> Self {
        let (sender, _) = watch::channel(Health { state: ConnectionState::Init, detail: None });
        Self { sender: Arc::new(sender), gauges: None }
    }
}

impl HealthReporter {
    /// A reporter that also shows the state as gauges called `name` with the labels `stream`, `type` and `state`.
    pub fn with_gauges(registry: &Metrics, name: &'static str, stream: &str, connector: &str) -> Self {
        let gauges = StateGauges {
            registry: registry.clone(),
            name,
            stream: stream.to_owned(),
            connector: connector.to_owned(),
        };
        registry.describe(name, "1 for the present state of the connector, 0 for earlier ones.");
        gauges.set(ConnectionState::Init, 1);
        Self { gauges: Some(Arc::new(gauges)), ..Self::default() }
    }

    /// Reports a state; `detail` must hold nothing secret.
    pub fn set(&self, state: ConnectionState, detail: impl Into<Option<String>>) {
        let detail = detail.into();
        self.sender.send_modify(|health| {
            self.show(health.state, state);
            *health = Health { state, detail };
        });
    }

    /// Reports a state that follows on one of `from`, and nothing when it is in another; the detail stays.
    pub fn pass(&self, from: &[ConnectionState], state: ConnectionState) {
        self.sender.send_if_modified(|health| {
            let passes = health.state != state && from.contains(&health.state);
            if passes {
                self.show(health.state, state);
                health.state = state;
            }
            passes
        });
    }

    /// Explains the state when it is `state`, and does nothing when it is another.
    pub fn explain(&self, state: ConnectionState, detail: impl Into<Option<String>>) {
        self.sender.send_if_modified(|health| {
            let explains = health.state == state;
            if explains {
                health.detail = detail.into();
            }
            explains
        });
    }

    /// To be called while nobody else can change the state: the gauges follow in the same order.
    fn show(&self, before: ConnectionState, state: ConnectionState) {
        if let Some(gauges) = &self.gauges {
            gauges.set(before, 0);
            gauges.set(state, 1);
        }
    }

    /// The state reported last.
    pub fn current(&self) -> Health {
        self.sender.borrow().clone()
    }

    /// Waits until something else than `known` is reported, and returns it.
    pub async fn changed(&self, known: &Health) -> Health {
        let mut health = self.sender.subscribe();
        // As below.
        let changed = health.wait_for(|health| health != known).await;
        changed.map_or_else(|_| known.clone(), |health| health.clone())
    }

    /// Waits until `wanted` is reported.
    pub async fn wait_for(&self, wanted: ConnectionState) {
        // The sender lives in self, so the channel cannot be closed while we wait.
        let _ = self.sender.subscribe().wait_for(|health| health.state == wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn copies_share_the_state_and_can_be_awaited() {
        let reporter = HealthReporter::default();
        let copy = reporter.clone();
        let waiter = tokio::spawn(async move { copy.wait_for(ConnectionState::Connected).await });
        reporter.set(ConnectionState::Connecting, None);
        reporter.set(ConnectionState::Connected, "ws://h".to_owned());
        waiter.await.unwrap();
        assert_eq!(reporter.current().detail.as_deref(), Some("ws://h"));
    }

    #[test]
    fn a_state_passes_on_only_from_where_it_may() {
        let reporter = HealthReporter::default();
        let working = [ConnectionState::Listening, ConnectionState::Connected];
        reporter.pass(&working, ConnectionState::Connected);
        assert_eq!(reporter.current().state, ConnectionState::Init);
        reporter.set(ConnectionState::Listening, "ws://h".to_owned());
        reporter.pass(&working, ConnectionState::Connected);
        let expected = Health { state: ConnectionState::Connected, detail: Some("ws://h".to_owned()) };
        assert_eq!(reporter.current(), expected);
    }

    #[test]
    fn a_state_is_explained_only_while_it_lasts() {
        let reporter = HealthReporter::default();
        reporter.set(ConnectionState::Reconnecting, "refused".to_owned());
        reporter.explain(ConnectionState::Connected, "the stream is full".to_owned());
        assert_eq!(reporter.current().detail.as_deref(), Some("refused"));
        reporter.set(ConnectionState::Connected, None);
        reporter.explain(ConnectionState::Connected, "the stream is full".to_owned());
        assert_eq!(reporter.current().detail.as_deref(), Some("the stream is full"));
    }

    #[test]
    fn gauges_show_the_last_state() {
        let registry = Metrics::default();
        let reporter = HealthReporter::with_gauges(&registry, "state", "S", "memory");
        reporter.set(ConnectionState::Connecting, None);
        reporter.set(ConnectionState::Connected, None);
        reporter.set(ConnectionState::Connected, None);
        let on: Vec<_> = registry.samples().into_iter().filter(|sample| sample.value == 1).collect();
        assert_eq!(on.len(), 1);
        assert!(on[0].labels.contains(&("state", "connected".to_owned())), "{on:?}");
    }
}
