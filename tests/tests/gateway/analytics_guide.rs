//! The analytics protocol, as its guide describes it: authentication, subscription types, filters, errors, configuration,
//! statistics.

mod configuration;
mod errors;

use eventflux_testkit::peer::Message;
use serde_json::{Value, json};

use super::client::Client;
use super::served::{Plan, Served, serving};

/// What can be subscribed to.
const TYPES: [&str; 6] = ["events", "metrics", "alerts", "predictions", "aggregations", "system_status"];

/// One token that must never be logged.
const TOKENS: &str = "websocket.auth.tokens='hunter2-token=demo'";

fn analytics() -> Plan {
    serving("analytics").with(TOKENS)
}

/// The same for clients that need not authenticate.
fn open() -> Plan {
    serving("analytics").with("websocket.auth='none'")
}

fn auth(token: &str) -> Value {
    json!({"type": "auth", "data": {"token": token}})
}

fn subscribe(kind: &str, filters: &Value) -> Value {
    json!({"type": "subscribe", "data": {"type": kind, "filters": filters}})
}

/// Subscribes with an id of the client's choice, so that the answer can be waited for.
#[track_caller]
fn subscribe_as(client: &Client, id: &str, data: &Value) {
    let answer = client.ask(&json!({"type": "subscribe", "data": data, "subscription_id": id}));
    assert_eq!((&answer["type"], &answer["subscription_id"]), (&json!("subscribed"), &json!(id)), "{answer}");
}

#[track_caller]
fn is_error(message: &Value, text: &str) {
    assert_eq!(*message, json!({"type": "error", "data": {"error": text}}));
}

/// Waits until so many messages of clients were read.
#[track_caller]
fn has_read(served: &Served, messages: u64) {
    served.wait_for_metric("websocket_messages_received_total", &[], messages);
}

#[test]
fn authentication_answers_as_printed_and_may_be_repeated() {
    let served = analytics().start();
    let client = served.client("");
    let failed = json!({"type": "auth_failed", "data": {"error": "Invalid credentials"}});
    assert_eq!(client.ask(&auth("hunter2-wrong")), failed);
    is_error(&client.ask(&subscribe("events", &json!({}))), "Authentication required");
    for _ in 0..2 {
        let answer = client.ask(&auth("hunter2-token"));
        let id = answer["data"]["client_id"].as_str().unwrap_or_default();
        assert!(!id.is_empty(), "{answer}");
        assert_eq!(answer, json!({"type": "auth_success", "data": {"client_id": id}}));
    }
    served.counted_authentication("unknown", 1);
    served.counted_authentication("accepted", 2);
    served.counted_error("authentication_required", 1);
    served.stop();
}

#[test]
fn each_type_of_subscription_gets_its_events_with_its_id() {
    let served = open().start();
    let client = served.client("");
    for kind in TYPES {
        client.send(&subscribe(kind, &json!({})));
    }
    has_read(&served, 6);
    let mut ids = Vec::new();
    for kind in TYPES {
        let event = json!({
            "event_id": "evt_123", "event_type": "user_action", "user_id": "user_456",
            "timestamp": "2024-01-01T00:00:00Z", "payload": {}
        });
        served.publish(kind, &event);
        let mut message = client.next();
        let id = message["subscription_id"].take();
        assert!(id.as_str().is_some_and(|id| !id.is_empty()), "{message}");
        assert!(!ids.contains(&id), "{id} twice");
        ids.push(id);
        let data = json!({"event": event, "subscription_type": kind});
        assert_eq!(message, json!({"type": "data", "data": data, "subscription_id": null}));
    }
    served.stop();
}

#[test]
fn two_subscriptions_to_one_type_get_an_event_each() {
    let served = open().start();
    let client = served.client("");
    subscribe_as(&client, "one", &json!({"type": "events"}));
    subscribe_as(&client, "two", &json!({"type": "events"}));
    served.publish("events", &json!({"n": 1}));
    let mut ids: Vec<_> = client.take(2).into_iter().map(|message| message["subscription_id"].clone()).collect();
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, ["one", "two"]);
    served.stop();
}

#[test]
fn an_ended_subscription_gets_nothing_any_more() {
    let served = open().start();
    let client = served.client("");
    client.send(&subscribe("events", &json!({})));
    subscribe_as(&client, "metrics", &json!({"type": "metrics"}));
    served.publish("events", &json!({"n": 1}));
    let id = client.next()["subscription_id"].clone();
    client.send(&json!({"type": "unsubscribe", "data": {"subscription_id": id}}));
    has_read(&served, 3);
    served.publish("events", &json!({"n": 2}));
    served.publish("metrics", &json!({"n": 3}));
    assert_eq!(client.next()["data"]["event"]["n"], 3);
    let answer = client.ask(&json!({"type": "unsubscribe", "data": {"subscription_id": id}}));
    assert_eq!(answer["type"], "error", "{answer}");
    served.stop();
}

#[test]
fn filters_go_by_dots_and_lists_and_exact_matches() {
    let served = open().start();
    let client = served.client("");
    for (id, filters) in [
        ("type", json!({"event_type": "user_action"})),
        ("list", json!({"event_type": ["login", "purchase"]})),
        ("dots", json!({"user.id": "123"})),
        ("both", json!({"event_type": "login", "user.id": ["123", "456"]})),
        ("deep", json!({"payload.a.b": 7})),
        ("like", json!({"event_type": "log*"})),
        ("none", json!({})),
    ] {
        subscribe_as(&client, id, &json!({"type": "events", "filters": filters}));
    }
    for (event, expected) in [
        (json!({"event_type": "user_action"}), vec!["none", "type"]),
        (json!({"event_type": "purchase"}), vec!["list", "none"]),
        (json!({"event_type": "login", "user": {"id": "456"}}), vec!["both", "list", "none"]),
        (json!({"event_type": "login", "user": {"id": "123"}}), vec!["both", "dots", "list", "none"]),
        (json!({"event_type": "login", "user": {"id": 123}}), vec!["list", "none"]),
        (json!({"payload": {"a": {"b": 7}}}), vec!["deep", "none"]),
        (json!({"payload": {"a": {"b": 8}}}), vec!["none"]),
        (json!({"event_type": "Login"}), vec!["none"]),
        (json!({"event_type": null}), vec!["none"]),
    ] {
        served.publish("events", &event);
        let mut ids: Vec<_> = client
            .take(expected.len())
            .into_iter()
            .inspect(|message| assert_eq!(message["data"]["event"], event))
            .map(|message| message["subscription_id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        assert_eq!(ids, expected, "{event}");
    }
    served.stop();
}

#[test]
fn a_sql_predicate_filters_too() {
    let served = open().start();
    let client = served.client("");
    subscribe_as(&client, "rich", &json!({"type": "events", "where": "price > 100 AND symbol = 'BTCUSDT'"}));
    for (symbol, price) in [("BTCUSDT", 100), ("ETHUSDT", 101), ("BTCUSDT", 101)] {
        served.publish("events", &json!({"symbol": symbol, "price": price}));
    }
    assert_eq!(client.next()["data"]["event"], json!({"symbol": "BTCUSDT", "price": 101}));
    served.stop();
}

#[test]
fn a_ping_is_answered_by_a_bare_pong() {
    let served = open().start();
    assert_eq!(served.client("").ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    served.stop();
}

#[test]
fn statistics_have_every_printed_field() {
    let served = analytics().with("websocket.max.connections='1000'").start();
    let clients = [served.client(""), served.client(""), served.client("")];
    for client in &clients {
        client.ask(&auth("hunter2-token"));
    }
    subscribe_as(&clients[0], "a", &json!({"type": "events"}));
    subscribe_as(&clients[0], "b", &json!({"type": "metrics"}));
    served.publish("events", &json!({"n": 1}));
    clients[0].next();
    let [first, second, third] = clients;
    third.leave();
    served.has_connections(2);
    let report = served.report();
    for (field, value) in [
        ("is_running", json!(true)),
        ("active_clients", json!(2)),
        ("total_connections", json!(3)),
        ("total_subscriptions", json!(2)),
        // Three answers to tokens, two to subscriptions, one event.
        ("messages_sent", json!(6)),
        ("messages_received", json!(5)),
    ] {
        assert_eq!(report[field], value, "{field}: {report}");
    }
    let address = served.address();
    for (field, value) in [
        ("host", json!(address.ip().to_string())),
        ("port", json!(address.port())),
        ("max_connections", json!(1000)),
        ("require_auth", json!(true)),
    ] {
        assert_eq!(report["config"][field], value, "{field}: {report}");
    }
    assert!(!report.to_string().contains("hunter2"));
    drop((first, second));
    served.stop();
}

/// Clients of two users subscribe to events, and each gets what is for its user.
fn each_user_gets_its_own(plan: Plan) {
    let served = plan.with("websocket.auth.tokens='hunter2-ann=ann, hunter2-bob=bob'").start();
    let clients = ["hunter2-ann", "hunter2-bob"].map(|token| {
        let client = served.client("");
        assert_eq!(client.ask(&auth(token))["type"], "auth_success");
        subscribe_as(&client, "mine", &json!({"type": "events"}));
        client
    });
    for user in ["ann", "bob"] {
        served.publish_for(user, "events", &json!({"for": user}));
    }
    for (client, user) in clients.iter().zip(["ann", "bob"]) {
        assert_eq!(client.next()["data"], json!({"event": {"for": user}, "subscription_type": "events"}));
    }
    served.stop();
}

#[test]
fn an_event_for_a_user_reaches_the_subscriptions_of_that_user_only() {
    each_user_gets_its_own(serving("analytics").for_users());
}

#[test]
fn without_a_channel_an_event_for_a_user_is_of_the_type_events() {
    each_user_gets_its_own(serving("analytics").for_users_without_channels());
}

#[test]
fn nobody_gets_what_only_another_client_subscribed_to() {
    let served = open().start();
    let (one, other) = (served.client(""), served.client(""));
    subscribe_as(&one, "alerts", &json!({"type": "alerts"}));
    subscribe_as(&other, "metrics", &json!({"type": "metrics"}));
    served.publish("alerts", &json!({"secret": 1}));
    served.publish("metrics", &json!({"n": 1}));
    assert_eq!(one.next()["data"]["event"], json!({"secret": 1}));
    assert_eq!(other.next()["data"]["event"], json!({"n": 1}));
    assert!(!other.peer.record().messages_of(0).filter_map(Message::as_text).any(|text| text.contains("secret")));
    served.stop();
}
