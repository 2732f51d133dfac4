use std::sync::atomic::Ordering;

use eventflux_core::Properties;
use eventflux_core::health::HealthReporter;
use eventflux_core::metrics::Metrics;

use super::*;
use crate::properties::CONNECTION;

const URL: &str = "nats://127.0.0.1:4222";

async fn monitor() -> (Arc<Monitor>, Arc<Statistics>) {
    let (monitor, statistics) = not_begun().await;
    monitor.begin(Arc::clone(&statistics));
    (monitor, statistics)
}

/// The library has a connection, and nobody else knows of it yet.
async fn not_begun() -> (Arc<Monitor>, Arc<Statistics>) {
    let properties = Properties::from_pairs(CONNECTION, [("nats.url", URL)]).unwrap();
    let observer = Observer {
        stream: "S".to_owned(),
        connector: "nats".to_owned(),
        health: HealthReporter::default(),
        registry: Metrics::default(),
    };
    let monitor = Arc::new(Monitor::new(&ConnectionConfig::from_properties(&properties).unwrap(), &observer));
    let statistics = Arc::new(Statistics::default());
    statistics.connects.store(1, Ordering::Relaxed);
    assert_eq!(monitor.next_first(&[URL.to_owned()]), Next::Try(0, Duration::ZERO));
    assert!(matches!(monitor.next(&pool(0)).await, Attempt::At(_, Duration::ZERO)), "what was chosen is what is tried");
    (monitor, statistics)
}

fn pool(failed_attempts: usize) -> Vec<Server> {
    let last_error = (failed_attempts > 0).then(|| "refused".to_owned());
    let addr = URL.parse().unwrap();
    vec![Server { addr, failed_attempts, did_connect: true, is_discovered: false, last_error }]
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_back_is_noticed_when_the_library_had_no_room_to_tell_of_it() {
    let (monitor, statistics) = monitor().await;
    let reconnected = monitor.reconnected();
    assert!(matches!(monitor.next(&pool(0)).await, Attempt::At(..)), "it was lost, without any event");
    assert_eq!(monitor.observer.health.current().state, ConnectionState::Reconnecting);
    statistics.connects.store(2, Ordering::Relaxed);
    reconnected.await;
    assert_eq!(monitor.observer.health.current().state, ConnectionState::Connected);
    assert_eq!(monitor.counters.reconnects.value(), 1);
}

#[tokio::test]
async fn a_connection_that_is_lost_at_once_was_there() {
    let (monitor, statistics) = not_begun().await;
    let servers = pool(0);
    let mut next = Box::pin(monitor.next(&servers));
    assert!(futures_util::FutureExt::now_or_never(&mut next).is_none(), "waits for whoever opened it");
    monitor.begin(statistics);
    assert_eq!(monitor.observer.health.current().state, ConnectionState::Connected);
    assert!(matches!(next.await, Attempt::At(..)));
    assert!(monitor.observer.health.current().detail.unwrap().ends_with("the connection was lost"));
}

#[tokio::test]
async fn the_reason_of_each_attempt_is_shown() {
    let (monitor, _) = monitor().await;
    let detail = |monitor: &Monitor| monitor.observer.health.current().detail.unwrap();
    assert!(matches!(monitor.next(&pool(0)).await, Attempt::At(..)));
    assert!(detail(&monitor).ends_with("the connection was lost"));
    assert!(matches!(monitor.next(&pool(1)).await, Attempt::At(..)));
    assert!(detail(&monitor).ends_with("refused"));
    // The library does not count what fails before a connection is tried.
    assert!(matches!(monitor.next(&pool(1)).await, Attempt::At(..)));
    assert!(detail(&monitor).ends_with("cannot be looked up"));
}

#[tokio::test]
async fn nothing_is_tried_or_shown_when_nobody_wants_it_any_more() {
    let (monitor, statistics) = monitor().await;
    monitor.end();
    assert!(!monitor.pause(Duration::from_secs(1000)).await);
    assert!(matches!(monitor.next(&pool(0)).await, Attempt::End));
    statistics.connects.store(2, Ordering::Relaxed);
    monitor.on(async_nats::Event::Connected);
    assert_eq!(monitor.counters.reconnects.value(), 0);
    assert_eq!(monitor.observer.health.current().state, ConnectionState::Connected, "as it was");
}

#[tokio::test]
async fn what_a_server_says_last_is_the_reason_of_the_loss() {
    let (monitor, _) = monitor().await;
    monitor.on(async_nats::Event::ServerError(async_nats::ServerError::Other("Stale\nConnection".to_owned())));
    assert!(matches!(monitor.next(&pool(0)).await, Attempt::At(..)));
    let detail = monitor.observer.health.current().detail.unwrap();
    assert!(detail.ends_with("the connection was lost, the server says: Stale\\nConnection"), "{detail}");
}

#[test]
fn addresses_are_shown_without_credentials() {
    let shown = |url: &str| name_of(&url.parse().unwrap());
    assert_eq!(shown("nats://user:secret@host:1"), "nats://host:1");
    assert_eq!(shown("host"), "nats://host:4222");
    assert_eq!(shown("tls://[::1]:4223"), "tls://[::1]:4223");
}
