//! Connections that end because nobody wants them any more.

use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_nats::Connection;
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually;
use futures_util::StreamExt;

use super::{DEADLINE, eager, observer, open, shows, within};

#[tokio::test]
async fn what_was_published_is_sent_before_it_ends() {
    let server = NatsServer::start();
    let (listener, sender) = (observer("Listener"), observer("Sender"));
    let listening = open(&eager(&server.url(), &[]), &listener).await.unwrap();
    let mut subscription = listening.client().subscribe("a").await.unwrap();
    listening.client().flush().await.unwrap();
    let connection = open(&eager(&server.url(), &[]), &sender).await.unwrap();
    let payload = vec![b'x'; 10_000];
    for _ in 0..1_000 {
        connection.client().publish("a", payload.clone().into()).await.unwrap();
    }
    connection.close(DEADLINE).await;
    for number in 0..1_000 {
        let message = within(subscription.next()).await.unwrap();
        assert_eq!(message.payload.len(), payload.len(), "message {number}");
    }
    assert!(connection.client().publish("a", "late".into()).await.is_err());
}

#[tokio::test]
async fn ending_it_ends_the_subscriptions_of_all_copies() {
    let (server, observer) = (NatsServer::start(), observer("Copies"));
    let connection = open(&eager(&server.url(), &[]), &observer).await.unwrap();
    let copy = connection.clone();
    let mut subscription = copy.client().subscribe("a").await.unwrap();
    connection.close(DEADLINE).await;
    assert!(within(subscription.next()).await.is_none());
}

#[tokio::test]
async fn ending_it_waits_no_longer_than_the_deadline_for_a_server_that_hangs() {
    let (server, observer) = (NatsServer::start(), observer("HangingEnd"));
    let connection = open(&eager(&server.url(), &[]), &observer).await.unwrap();
    server.pause();
    let payload = vec![b'x'; 1_000_000];
    let publishing = async {
        for _ in 0..64 {
            connection.client().publish("a", payload.clone().into()).await.unwrap();
        }
    };
    // More than the kernel takes.
    let _ = tokio::time::timeout(Duration::from_millis(100), publishing).await;
    within(connection.close(Duration::from_millis(50))).await;
    server.resume();
}

#[tokio::test]
async fn ending_it_while_it_is_away_stops_the_attempts() {
    let logs = LogCapture::start().containing("[AwayEnd]");
    let (server, observer) = (NatsServer::start(), observer("AwayEnd"));
    let connection = open(&eager(&server.url(), &[]), &observer).await.unwrap();
    let mut subscription = connection.client().subscribe("a").await.unwrap();
    server.kill();
    shows(&observer, ConnectionState::Reconnecting, "refused").await;
    within(connection.close(Duration::from_millis(50))).await;
    assert!(within(subscription.next()).await.is_none(), "the library's task has ended");
    server.restart();
    assert!(connection.client().publish("a", "".into()).await.is_err());
    assert!(!logs.lines().iter().any(|line| line.message.contains("again") && line.message.contains("connected to")));
}

#[tokio::test]
async fn dropping_the_last_copy_ends_it_and_its_attempts() {
    let (server, observer) = (NatsServer::start(), observer("Dropped"));
    let proxy = ChaosProxy::start(server.address());
    let url = format!("nats://{}", proxy.address());
    let connection = open(&eager(&url, &[]), &observer).await.unwrap();
    let copy = connection.clone();
    drop(connection);
    assert!(copy.is_connected());
    copy.client().flush().await.unwrap();
    drop(copy);
    eventually(DEADLINE, || proxy.traffic().open == 0).await;

    let connection = open(&eager(&url, &[]), &observer).await.unwrap();
    let mut subscription = connection.client().subscribe("a").await.unwrap();
    proxy.refuse().await;
    proxy.reset();
    shows(&observer, ConnectionState::Reconnecting, "refused").await;
    drop(connection);
    assert!(within(subscription.next()).await.is_none(), "the library's task has ended");
}

#[tokio::test]
async fn dropping_the_attempt_to_open_ends_it() {
    let (server, observer) = (NatsServer::start(), observer("DroppedAttempt"));
    let proxy = ChaosProxy::start(server.address());
    proxy.refuse().await;
    let config = eager(&format!("nats://{}", proxy.address()), &[]);
    tokio::select! {
        opened = Connection::open(&config, &observer) => panic!("{opened:?}"),
        () = shows(&observer, ConnectionState::Reconnecting, "refused") => {}
    }
    let accepted = proxy.traffic().connections;
    proxy.resume().await;
    // Whoever else connects now is the first.
    let _other = open(&config, &super::observer("Other")).await.unwrap();
    assert_eq!(proxy.traffic().connections, accepted + 1);
}
