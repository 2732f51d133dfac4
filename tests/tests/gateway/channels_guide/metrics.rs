//! The metrics of the guide, and what is logged.

use std::collections::BTreeSet;

use eventflux_testkit::peer::ScriptedClient;
use eventflux_testkit::wait::eventually_blocking;
use serde_json::json;

use super::super::client::refusal;
use super::super::support::DEADLINE;
use super::{TOKENS, channels, event, is_error, subscribe};

#[test]
fn every_metric_of_the_guide_is_there_and_counts() {
    let served = channels().with(TOKENS).with("websocket.max.connections='2'").start();
    let clients = [served.client("?token=hunter2-ann"), served.client("?token=hunter2-bob")];
    served.has_connections(2);
    assert_eq!(refusal(ScriptedClient::builder(served.url("?token=hunter2-ann"))).status, 503);
    clients.iter().for_each(|client| client.subscribe(&["a"]));
    is_error(&clients[0].ask(&subscribe(&["a b"])), "invalid_channel");
    served.publish("a", &json!(1));
    clients.iter().for_each(|client| assert_eq!(client.next(), event(&json!(1))));
    for (name, value) in [
        ("websocket_connections_total", 2),
        ("websocket_connections_active", 2),
        ("websocket_connections_failed_total", 1),
        // Two answers, an error, and an event for both.
        ("websocket_messages_sent_total", 5),
        ("websocket_messages_received_total", 3),
        ("websocket_broadcast_delivered_total", 2),
        ("websocket_subscriptions_failed_total", 1),
    ] {
        served.wait_for_metric(name, &[("path", "/ws")], value);
    }
    served.counted_error("invalid_channel", 1);
    let [first, _second] = clients;
    first.leave();
    served.has_connections(1);
    served.wait_for_metric("websocket_connections_total", &[], 2);
    let families: BTreeSet<_> =
        served.pipeline.flux.metrics().families().into_iter().map(|family| family.name).collect();
    assert!(families.contains("websocket_errors_total"));
    served.stop();
}

#[test]
fn a_connection_that_fails_to_authenticate_is_a_failed_connection() {
    let served = channels().with(TOKENS).start();
    assert_eq!(refusal(ScriptedClient::builder(served.url("?token=hunter2-eve"))).status, 401);
    served.wait_for_metric("websocket_connections_failed_total", &[("path", "/ws")], 1);
    served.stop();
}

#[test]
fn coming_and_going_are_logged_with_connection_address_and_user() {
    let served = channels().with(TOKENS).taking("").start();
    let client = served.client("?token=hunter2-ann");
    client.send(&json!({"type": "ack", "correlation_id": "1"}));
    let connection = served.came(1).remove(0).connection;
    client.leave();
    eventually_blocking(DEADLINE, || served.pipeline.logged(&connection).len() == 2);
    for line in served.pipeline.logged(&connection) {
        assert!(line.contains("/ws") && line.contains("127.0.0.1") && line.contains("user ann"), "{line}");
    }
    served.stop();
}
