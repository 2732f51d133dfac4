//! Connecting, being lost, coming back, giving up.

mod authentication;
mod encryption;
mod ending;
mod giving_up;
mod identity;
mod permissions;
mod reconnecting;

use std::time::Duration;

use eventflux_core::health::{ConnectionState, HealthReporter};
use eventflux_core::metrics::Metrics;
use eventflux_core::{EventFluxError, Properties};
use eventflux_nats::properties::CONNECTION;
use eventflux_nats::{Connection, ConnectionConfig, Observer};
use eventflux_testkit::wait;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The configuration of these properties.
pub(crate) fn config(pairs: &[(&str, &str)]) -> ConnectionConfig {
    ConnectionConfig::from_properties(&Properties::from_pairs(CONNECTION, pairs.iter().copied()).unwrap()).unwrap()
}

/// One that tries again quickly.
pub(crate) fn eager(url: &str, more: &[(&str, &str)]) -> ConnectionConfig {
    let quick = [
        ("nats.url", url),
        ("nats.reconnect.delay.ms", "10"),
        ("nats.reconnect.max.delay.ms", "50"),
        ("nats.connect.timeout", "10s"),
    ];
    config(&[&quick, more].concat())
}

pub(crate) fn observer(stream: &str) -> Observer {
    Observer {
        stream: stream.to_owned(),
        connector: "nats".to_owned(),
        health: HealthReporter::default(),
        registry: Metrics::default(),
    }
}

/// Opens, and fails the test when it takes too long.
pub(crate) async fn open(config: &ConnectionConfig, observer: &Observer) -> Result<Connection, EventFluxError> {
    within(Connection::open(config, observer)).await
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}"))
}

/// Waits until the state is shown with a detail that contains `text`.
pub(crate) async fn shows(observer: &Observer, state: ConnectionState, text: &str) {
    let is_shown = || {
        let health = observer.health.current();
        health.state == state && health.detail.is_some_and(|detail| detail.contains(text))
    };
    let shown = tokio::time::timeout(DEADLINE, async {
        while !is_shown() {
            tokio::time::sleep(wait::POLL_INTERVAL).await;
        }
    });
    assert!(shown.await.is_ok(), "waited for {state:?} with {text:?}, it is {:?}", observer.health.current());
}

/// The sum of the series of that name that have this label.
pub(crate) fn count(observer: &Observer, name: &str, label: &str) -> u64 {
    let samples = observer.registry.samples().into_iter().filter(|sample| sample.name == name);
    let labelled = samples.filter(|sample| label.is_empty() || sample.labels.iter().any(|(_, value)| value == label));
    labelled.map(|sample| sample.value).sum()
}
