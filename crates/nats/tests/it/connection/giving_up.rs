//! Connections that do not come back.

use eventflux_core::EventFluxError;
use eventflux_core::health::ConnectionState;
use eventflux_nats::Connection;
use eventflux_nats::connection::ERRORS;
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use futures_util::StreamExt;
use log::Level;

use super::{config, count, eager, observer, open, within};

#[track_caller]
fn assert_unavailable(error: &EventFluxError, text: &str) {
    assert!(matches!(error, EventFluxError::ConnectionUnavailable { .. }), "{error:?}");
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn gives_up_after_as_many_attempts_as_are_allowed_at_the_start() {
    let logs = LogCapture::start().containing("[Three]");
    let (server, observer) = (NatsServer::start(), observer("Three"));
    server.kill();
    let config = eager(&server.url(), &[("nats.reconnect.max.attempts", "3")]);
    let error = open(&config, &observer).await.unwrap_err();
    assert_unavailable(&error, "giving up after attempt 3");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(error.is_retryable());
    assert_eq!(count(&observer, ERRORS, "connect"), 3);
    assert_eq!(observer.health.current().state, ConnectionState::Failed);
    logs.assert_logged(Level::Error, "giving up");
}

#[tokio::test]
async fn without_reconnect_the_first_failure_is_final() {
    let (server, observer) = (NatsServer::start(), observer("Once"));
    server.kill();
    let config = config(&[("nats.url", &server.url()), ("nats.reconnect", "false")]);
    let error = open(&config, &observer).await.unwrap_err();
    assert_unavailable(&error, "nats.reconnect is false");
    assert_eq!(count(&observer, ERRORS, "connect"), 1);
}

#[tokio::test]
async fn without_reconnect_every_server_is_tried_once() {
    let (down, up, observer) = (NatsServer::start(), NatsServer::start(), observer("OnceEach"));
    down.kill();
    let urls = format!("{},{}", down.url(), up.url());
    let config = config(&[("nats.url", &urls), ("nats.reconnect", "false")]);
    for _ in 0..5 {
        let connection = open(&config, &observer).await.unwrap();
        assert_eq!(observer.health.current().detail, Some(up.url()));
        drop(connection);
    }
}

#[tokio::test]
async fn without_reconnect_a_loss_is_final() {
    let (server, observer) = (NatsServer::start(), observer("Lost"));
    let config = config(&[("nats.url", &server.url()), ("nats.reconnect", "false")]);
    let connection = open(&config, &observer).await.unwrap();
    let mut subscription = connection.client().subscribe("a").await.unwrap();
    server.kill();
    let error = within(connection.given_up()).await;
    assert_unavailable(&error, "the connection was lost");
    assert_eq!(within(subscription.next()).await.map(|message| message.payload), None, "subscriptions end");
    assert!(connection.client().publish("a", "".into()).await.is_err(), "nothing is taken any more");
    assert_eq!(observer.health.current().state, ConnectionState::Failed);
    // Who asks later gets the same answer.
    assert_eq!(within(connection.given_up()).await, error);
}

#[tokio::test]
async fn gives_up_after_a_loss_when_attempts_are_used_up() {
    let (server, observer) = (NatsServer::start(), observer("LostTwice"));
    let config = eager(&server.url(), &[("nats.reconnect.max.attempts", "2")]);
    let connection = open(&config, &observer).await.unwrap();
    server.kill();
    let error = within(connection.given_up()).await;
    assert_unavailable(&error, "giving up after attempt 2");
    assert!(!connection.is_connected());
}

#[test]
fn validating_tells_at_once_whether_a_server_can_be_used() {
    let server = NatsServer::start();
    let config = eager(&server.url(), &[]);
    assert_eq!(Connection::validate(&config), Ok(()));
    server.kill();
    let error = Connection::validate(&config).unwrap_err();
    assert_unavailable(&error, "Connection refused");
}

#[tokio::test]
async fn validating_works_inside_a_runtime_and_waits_no_longer_than_the_timeout() {
    let server = NatsServer::start();
    assert_eq!(Connection::validate(&eager(&server.url(), &[])), Ok(()));
    server.pause();
    let error = Connection::validate(&eager(&server.url(), &[("nats.connect.timeout", "100ms")])).unwrap_err();
    server.resume();
    assert_unavailable(&error, &server.url());
}
