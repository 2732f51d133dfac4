//! Connections that come back.

use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_nats::Connection;
use eventflux_nats::connection::{RECONNECTS, SLOW_CONSUMERS};
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually;
use futures_util::StreamExt;
use log::Level;

use super::{DEADLINE, config, count, eager, observer, open, shows, within};

async fn publishes_and_receives(connection: &Connection, subject: &'static str) {
    let client = connection.client();
    let mut subscription = client.subscribe(subject).await.unwrap();
    client.publish(subject, "hello".into()).await.unwrap();
    assert_eq!(within(subscription.next()).await.unwrap().payload, "hello");
}

#[tokio::test]
async fn connects_and_says_to_whom() {
    let (server, observer) = (NatsServer::start(), observer("Simple"));
    let connection = open(&config(&[("nats.url", &server.url())]), &observer).await.unwrap();
    assert!(connection.is_connected());
    let health = observer.health.current();
    assert_eq!((health.state, health.detail), (ConnectionState::Connected, Some(server.url())));
    publishes_and_receives(&connection, "a.b").await;
}

#[tokio::test]
async fn comes_back_after_the_server_was_killed_with_its_subscriptions() {
    let logs = LogCapture::start();
    let (server, observer) = (NatsServer::start(), observer("KilledServer"));
    let connection = open(&eager(&server.url(), &[]), &observer).await.unwrap();
    let mut subscription = connection.client().subscribe("a").await.unwrap();
    let reconnected = connection.reconnected();
    server.kill();
    shows(&observer, ConnectionState::Reconnecting, "Connection refused").await;
    assert!(!connection.is_connected());
    server.restart();
    within(reconnected).await;
    shows(&observer, ConnectionState::Connected, &server.url()).await;
    connection.client().publish("a", "again".into()).await.unwrap();
    assert_eq!(within(subscription.next()).await.unwrap().payload, "again");
    assert_eq!(count(&observer, RECONNECTS, "KilledServer"), 1);
    let logs = logs.containing("[KilledServer]");
    logs.assert_logged(Level::Info, "connected to nats://");
    logs.assert_logged(Level::Warn, "the connection was lost");
    logs.assert_logged(Level::Warn, "again");
    let refusals = logs.lines().into_iter().filter(|line| line.message.contains("Connection refused")).count();
    assert_eq!(refusals, 1, "once for each change, not for each attempt: {:?}", logs.lines());
}

#[tokio::test]
async fn waits_for_a_server_that_is_not_there_yet() {
    let (server, observer) = (NatsServer::start(), observer("Late"));
    server.kill();
    let config = eager(&server.url(), &[]);
    let opening = tokio::spawn({
        let (config, observer) = (config.clone(), observer.clone());
        async move { Connection::open(&config, &observer).await }
    });
    shows(&observer, ConnectionState::Reconnecting, "Connection refused").await;
    server.restart();
    let connection = within(opening).await.unwrap().unwrap();
    shows(&observer, ConnectionState::Connected, &server.url()).await;
    publishes_and_receives(&connection, "late").await;
    assert_eq!(count(&observer, RECONNECTS, ""), 0);
}

#[tokio::test]
async fn shows_that_it_connects_during_the_first_attempt() {
    let (server, observer) = (NatsServer::start(), observer("First"));
    let proxy = ChaosProxy::start(server.address());
    proxy.freeze();
    let config = config(&[("nats.url", &format!("nats://{}", proxy.address())), ("nats.connect.timeout", "10s")]);
    let opening = Connection::open(&config, &observer);
    tokio::pin!(opening);
    let connecting = proxy.wait_for_connections(1);
    tokio::select! {
        _ = &mut opening => panic!("connected through a network that is down"),
        () = connecting => {}
    }
    assert_eq!(observer.health.current().state, ConnectionState::Connecting);
    proxy.resume().await;
    assert!(within(opening).await.is_ok());
}

#[tokio::test]
async fn takes_another_server_when_the_first_is_down() {
    let (down, up, observer) = (NatsServer::start(), NatsServer::start(), observer("Two"));
    down.kill();
    let urls = format!("{},{}", down.url(), up.url());
    let connection = open(&eager(&urls, &[]), &observer).await.unwrap();
    shows(&observer, ConnectionState::Connected, &up.url()).await;
    publishes_and_receives(&connection, "two").await;
}

#[tokio::test]
async fn goes_to_another_server_when_its_own_is_lost() {
    let (first, second, observer) = (NatsServer::start(), NatsServer::start(), observer("Over"));
    let urls = format!("{},{}", first.url(), second.url());
    let connection = open(&eager(&urls, &[]), &observer).await.unwrap();
    let at = observer.health.current().detail.unwrap();
    let (own, other) = if at == first.url() { (&first, &second) } else { (&second, &first) };
    let reconnected = connection.reconnected();
    own.kill();
    within(reconnected).await;
    shows(&observer, ConnectionState::Connected, &other.url()).await;
}

#[tokio::test]
async fn goes_to_another_server_when_its_own_is_about_to_shut_down() {
    let (first, second, observer) = (NatsServer::start(), NatsServer::start(), observer("LameDuck"));
    let urls = format!("{},{}", first.url(), second.url());
    // One attempt would be too few if leaving counted as a failure.
    let config = eager(&urls, &[("nats.reconnect.max.attempts", "1")]);
    let connection = open(&config, &observer).await.unwrap();
    let at = observer.health.current().detail.unwrap();
    let (own, other) = if at == first.url() { (&first, &second) } else { (&second, &first) };
    let mut subscription = connection.client().subscribe("a").await.unwrap();
    let reconnected = connection.reconnected();
    own.retire();
    within(reconnected).await;
    shows(&observer, ConnectionState::Connected, &other.url()).await;
    connection.client().publish("a", "still".into()).await.unwrap();
    assert_eq!(within(subscription.next()).await.unwrap().payload, "still");
}

#[tokio::test]
async fn stays_with_the_only_server_until_it_is_gone() {
    let (server, observer) = (NatsServer::start(), observer("OnlyDuck"));
    let logs = LogCapture::start().containing("[OnlyDuck]");
    let connection = open(&eager(&server.url(), &[]), &observer).await.unwrap();
    server.retire();
    eventually(DEADLINE, || logs.lines().iter().any(|line| line.message.contains("about to shut down"))).await;
    publishes_and_receives(&connection, "duck").await;
    assert_eq!(count(&observer, RECONNECTS, ""), 0);
}

#[tokio::test]
async fn notices_a_server_that_hangs() {
    let (server, observer) = (NatsServer::start(), observer("Hangs"));
    let config = eager(&server.url(), &[("nats.ping.interval", "100ms"), ("nats.connect.timeout", "200ms")]);
    let connection = open(&config, &observer).await.unwrap();
    let reconnected = connection.reconnected();
    server.pause();
    shows(&observer, ConnectionState::Reconnecting, "").await;
    server.resume();
    within(reconnected).await;
    shows(&observer, ConnectionState::Connected, &server.url()).await;
}

#[tokio::test]
async fn what_is_published_while_it_is_away_is_sent_when_it_is_back() {
    let (server, observer) = (NatsServer::start(), observer("Meanwhile"));
    let proxy = ChaosProxy::start(server.address());
    let config = eager(&format!("nats://{}", proxy.address()), &[]);
    let connection = open(&config, &observer).await.unwrap();
    let mut subscription = connection.client().subscribe("a").await.unwrap();
    connection.client().flush().await.unwrap();
    proxy.refuse().await;
    proxy.reset();
    shows(&observer, ConnectionState::Reconnecting, "refused").await;
    connection.client().publish("a", "kept".into()).await.unwrap();
    proxy.resume().await;
    assert_eq!(within(subscription.next()).await.unwrap().payload, "kept");
}

#[tokio::test]
async fn counts_messages_that_a_subscription_had_no_room_for() {
    let (server, observer) = (NatsServer::start(), observer("Slow"));
    let logs = LogCapture::start().containing("[Slow]");
    let connection = open(&config(&[("nats.url", &server.url())]), &observer).await.unwrap();
    let client = connection.client();
    let _unread = client.subscribe("a").await.unwrap();
    for _ in 0..70_000 {
        client.publish("a", "".into()).await.unwrap();
    }
    eventually(Duration::from_secs(60), || count(&observer, SLOW_CONSUMERS, "Slow") > 0).await;
    publishes_and_receives(&connection, "b").await;
    let dropped = logs.lines().into_iter().filter(|line| line.message.contains("dropped")).count();
    assert_eq!(dropped, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_loss_and_every_return_is_noticed() {
    let (server, observer) = (NatsServer::start(), observer("Often"));
    let proxy = ChaosProxy::start(server.address());
    let connection = open(&eager(&format!("nats://{}", proxy.address()), &[]), &observer).await.unwrap();
    for number in 1..=30 {
        let reconnected = connection.reconnected();
        proxy.reset();
        within(reconnected).await;
        assert_eq!(count(&observer, RECONNECTS, "Often"), number);
        publishes_and_receives(&connection, "often").await;
    }
    assert_eq!(observer.health.current().state, ConnectionState::Connected);
}
