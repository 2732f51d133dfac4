//! NATS is away: at the beginning, and in the middle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::peer::ScriptedClient;
use eventflux_testkit::wait::eventually_blocking;
use serde_json::json;

use super::client::refusal;
use super::instance::{Instance, number, numbers, remembering, sharing};
use super::support::DEADLINE;
use super::support::raw::Raw;

#[test]
fn a_gateway_takes_no_clients_before_it_has_read_the_log() {
    let nats = NatsServer::start();
    nats.kill();
    let instance = remembering(&nats).with("websocket.sse='true', websocket.http.publish='true'").start_anyhow();
    let url = instance.url("");
    let detail = || instance.status().health.detail.unwrap();
    eventually_blocking(DEADLINE, || detail().contains("takes no clients yet: the backplane is"));
    assert_eq!(instance.status().health.state, ConnectionState::Connecting);
    let answer = refusal(ScriptedClient::builder(&url));
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
    for request in ["GET /ws?channel=a", "POST /ws"] {
        let mut raw = Raw::connect(instance.address());
        let host = instance.address();
        raw.send(format!(
            "{request} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n\
             Content-Length: 0\r\n\r\n"
        ));
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 503") && head.to_lowercase().contains("retry-after: 1"), "{head}");
    }
    nats.restart();
    instance.is_in(ConnectionState::Listening);
    let client = instance.subscriber(&["a"]);
    instance.publish("a", &number(1));
    assert_eq!(numbers(&[client.next()]), [1]);
    instance.stop();
}

#[test]
fn a_restart_of_nats_costs_nothing_but_time() {
    let nats = NatsServer::start();
    let plan = remembering(&nats);
    let instances = [plan.start(), plan.start()];
    let clients: Vec<_> = instances.iter().map(|instance| instance.subscriber(&["a"])).collect();
    instances[0].publish_all("a", (0..100).map(number));
    for client in &clients {
        assert_eq!(numbers(&client.take(100)), (0..100).collect::<Vec<_>>());
    }
    nats.kill();
    instances.iter().for_each(|instance| instance.is_in(ConnectionState::Reconnecting));
    (100..150).for_each(|n| instances[0].publish("a", &number(n)));
    // Clients are still taken in, and get what is there.
    let late = instances[1].client("");
    let answer = late.ask(&json!({"type": "subscribe", "data": {"channels": ["a"]}}));
    assert!(answer["data"]["positions"]["a"]["offset"].as_u64().is_some(), "{answer}");
    nats.restart();
    instances.iter().for_each(|instance| instance.is_in(ConnectionState::Listening));
    (150..200).for_each(|n| instances[0].publish("a", &number(n)));
    for client in clients.iter().chain([&late]) {
        assert_eq!(numbers(&client.take(100)), (100..200).collect::<Vec<_>>());
    }
    assert_eq!(instances.map(Instance::stop).map(|summary| summary.undelivered), [0, 0]);
}

#[test]
fn what_waits_for_nats_is_bounded_and_comes_when_it_is_back() {
    const EVENTS: u64 = 300;
    let nats = NatsServer::start();
    let instance = sharing(&nats, "channels").with("gateway.backplane.queue.bytes='20KiB'").start();
    let client = instance.subscriber(&["a"]);
    nats.kill();
    instance.is_in(ConnectionState::Reconnecting);
    let (text, sent) = ("x".repeat(1000), AtomicU64::new(0));
    let waiting = || instance.pipeline.metric("eventflux_sink_queue_bytes", "Out");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..EVENTS {
                instance.publish("a", &json!({"n": n, "text": text}));
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        eventually_blocking(DEADLINE, || waiting() >= 20 << 10);
        assert!((waiting() < 30 << 10) && sent.load(Ordering::Relaxed) < 30, "whoever publishes waits");
        nats.restart();
        assert_eq!(numbers(&client.take(EVENTS as usize)), (0..EVENTS).collect::<Vec<_>>());
    });
    assert_eq!(instance.stop().undelivered, 0);
}

#[test]
fn what_nats_never_got_is_counted() {
    let nats = NatsServer::start();
    let mut instance = sharing(&nats, "channels").start();
    nats.kill();
    instance.is_in(ConnectionState::Reconnecting);
    instance.publish_all("a", (0..30).map(number));
    let summary = instance.pipeline.flux.stop(Duration::from_millis(500));
    assert_eq!(summary.undelivered, 30, "{summary}");
}
