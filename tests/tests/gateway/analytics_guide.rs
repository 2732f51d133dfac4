//! The analytics protocol, as its guide describes it: authentication, subscription types, filters, errors, configuration,
//! statistics.

use eventflux_core::Properties;
use eventflux_testkit::peer::{Message, Script, ScriptedClient};
use serde_json::{Value, json};

use super::client::Client;
use super::environment::Process;
use super::served::{Plan, Served, serving};
use super::support::context;

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

// Errors

#[test]
fn an_authentication_timeout_closes_with_1008() {
    let served = analytics().with("websocket.auth.timeout='300ms'").start();
    let (silent, other) = (served.client(""), served.client(""));
    other.ask(&auth("hunter2-token"));
    silent.is_closed(1008, "authentication timeout");
    served.counted_error("authentication_timeout", 1);
    served.counted_violation("1008", 1);
    assert_eq!(other.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    served.stop();
}

#[test]
fn an_invalid_origin_closes_with_1008() {
    let served = open().with("websocket.origins='https://good.example'").start();
    let from = |origin: &str| Client::built(ScriptedClient::builder(served.url("")).header("Origin", origin));
    from("https://evil.example").is_closed(1008, "origin not allowed");
    assert_eq!(from("https://good.example").ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    served.counted_violation("1008", 1);
    served.stop();
}

#[test]
fn a_server_at_capacity_closes_with_1013() {
    let served = open().with("websocket.max.connections='1'").start();
    let first = served.client("");
    served.client("").is_closed(1013, "server at capacity");
    assert_eq!(first.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    served.counted_violation("1013", 1);
    served.wait_for_metric("websocket_connections_failed_total", &[], 1);
    served.stop();
}

#[test]
fn a_rate_limit_that_is_exceeded_is_told_in_the_documented_words() {
    let served = open().with("websocket.rate.limit='2'").start();
    let (hasty, other) = (served.client(""), served.client(""));
    hasty.send_all((0..3).map(|_| json!({"type": "ping"})));
    hasty.take(2);
    is_error(&hasty.next(), "Rate limit exceeded");
    assert!(hasty.is_open());
    assert_eq!(other.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    served.counted_error("rate_limit_exceeded", 1);
    served.stop();
}

#[test]
fn the_default_is_sixty_messages_a_minute() {
    let served = open().start();
    let client = served.client("");
    client.send_all((0..61).map(|_| json!({"type": "ping"})));
    assert!(client.take(60).iter().all(|message| *message == json!({"type": "pong"})));
    is_error(&client.next(), "Rate limit exceeded");
    served.stop();
}

#[test]
fn an_invalid_message_is_an_error_with_details() {
    let served = open().start();
    let client = served.client("");
    for (text, detail) in [
        ("{broken", ""),
        ("[]", ""),
        ("{\"data\":{}}", "type"),
        ("{\"type\":\"subscribe\",\"data\":{}}", "data.type"),
        ("{\"type\":\"subscribe\",\"data\":{\"type\":\"everything\"}}", "system_status"),
        ("{\"type\":\"subscribe\",\"data\":{\"type\":\"events\",\"filters\":3}}", "data.filters"),
        ("{\"type\":\"unsubscribe\",\"data\":{}}", "data.subscription_id"),
    ] {
        client.peer.send_text(text).blocking();
        let message = client.next();
        let error = message["data"]["error"].as_str().unwrap();
        assert_eq!(message["type"], "error");
        assert!(error.starts_with("Invalid message format: ") && error.contains(detail), "{text}: {error}");
    }
    served.counted_error("invalid_message", 7);
    served.stop();
}

#[test]
fn an_unknown_type_is_an_error_in_the_documented_words() {
    let served = open().start();
    let client = served.client("");
    is_error(&client.ask(&json!({"type": "nonsense"})), "Unknown message type");
    served.counted_error("unknown_type", 1);
    served.stop();
}

// Configuration

/// The properties of a source or sink of this protocol for which nothing is given, in this environment.
fn defaults(environment: &[(&str, &str)]) -> Properties {
    let context = context();
    let specs = context.sink_factory("websocket").unwrap().properties();
    let given = [("websocket.mode", "server"), ("websocket.protocol", "analytics"), ("websocket.auth.tokens", "a=b")];
    let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Properties::resolve(specs, given, &lookup).unwrap()
}

/// The value of a property, whatever its kind, as it is shown.
fn value(properties: &Properties, key: &str) -> String {
    let text = properties.optional_text(key).map(str::to_owned);
    let number = || properties.optional_integer(key).map(|number| number.to_string());
    let span = || properties.optional_duration(key).map(|span| format!("{}s", span.as_secs()));
    let size = || properties.size(key).ok().map(|size| size.to_string());
    let flag = || properties.flag(key).ok().map(|flag| flag.to_string());
    text.or_else(number).or_else(span).or_else(size).or_else(flag).unwrap_or_else(|| panic!("{key} has no value"))
}

/// Name of the variable behind its prefix, the property, the printed default as it is shown, another value as it is set
/// and as it is shown.
const CONFIGURATION: [(&str, &str, &str, &str, &str); 13] = [
    ("HOST", "websocket.listen", "0.0.0.0:8765", "127.0.0.1", "127.0.0.1:8765"),
    ("PORT", "websocket.listen", "0.0.0.0:8765", "9000", "0.0.0.0:9000"),
    ("MAX_CONNECTIONS", "websocket.max.connections", "1000", "5", "5"),
    ("PING_INTERVAL", "websocket.ping.interval", "20s", "3", "3s"),
    ("PING_TIMEOUT", "websocket.pong.timeout", "10s", "4", "4s"),
    ("CLOSE_TIMEOUT", "websocket.close.timeout", "10s", "6", "6s"),
    ("MAX_MESSAGE_SIZE", "websocket.max.message.size", "1048576", "100", "100"),
    ("COMPRESSION", "websocket.permessage-deflate", "deflate", "none", "none"),
    ("REQUIRE_AUTH", "websocket.auth.required", "true", "false", "false"),
    ("AUTH_TIMEOUT_SECONDS", "websocket.auth.timeout", "30s", "7", "7s"),
    ("ALLOWED_ORIGINS", "websocket.origins", "*", "https://a.example", "https://a.example"),
    ("ENABLE_RATE_LIMITING", "websocket.rate.limiting", "true", "false", "false"),
    ("RATE_LIMIT_PER_MINUTE", "websocket.rate.limit", "60", "8", "8"),
];

#[test]
fn defaults_are_those_of_the_guide_and_every_one_has_its_variable() {
    for (variable, property, default, other, shown) in CONFIGURATION {
        let name = format!("STREAMING_WEBSOCKET__{variable}");
        assert_eq!(value(&defaults(&[]), property), default, "{property}");
        assert_eq!(value(&defaults(&[(&name, other)]), property), shown, "{name}");
    }
    assert_eq!(defaults(&[]).duration("websocket.rate.period").unwrap().as_secs(), 60);
}

#[test]
fn host_port_and_limits_come_from_the_environment_of_the_process() {
    let process = Process::start(&[
        ("STREAMING_WEBSOCKET__HOST", "127.0.0.1"),
        ("STREAMING_WEBSOCKET__PORT", "0"),
        ("STREAMING_WEBSOCKET__MAX_CONNECTIONS", "2"),
        ("STREAMING_WEBSOCKET__MAX_MESSAGE_SIZE", "200"),
        ("STREAMING_WEBSOCKET__RATE_LIMIT_PER_MINUTE", "3"),
        ("STREAMING_WEBSOCKET__ALLOWED_ORIGINS", "https://good.example"),
        ("STREAMING_WEBSOCKET__AUTH_TIMEOUT_SECONDS", "1"),
        ("STREAMING_WEBSOCKET__COMPRESSION", "none"),
        ("STREAMING_WEBSOCKET__CLOSE_TIMEOUT", "1"),
    ]);
    let (silent, client) = (Client::connect(&process.url), Client::connect(&process.url));
    Client::connect(&process.url).is_closed(1013, "server at capacity");
    assert_eq!(client.ask(&auth("hunter2-token"))["type"], "auth_success");
    silent.is_closed(1008, "authentication timeout");
    client.send_all((0..3).map(|_| json!({"type": "ping"})));
    client.take(2);
    is_error(&client.next(), "Rate limit exceeded");
    client.peer.play(Script::new().send_text("x".repeat(201)).expect_close(1009)).blocking();
    let from = ScriptedClient::builder(&process.url).header("Origin", "https://evil.example");
    Client::built(from).is_closed(1008, "origin not allowed");
    let compressing = ScriptedClient::builder(&process.url).extensions("permessage-deflate");
    assert_eq!(Client::built(compressing).peer.extensions(), None);
}

#[test]
fn what_is_turned_off_in_the_environment_of_the_process_is_off() {
    let process = Process::start(&[
        ("STREAMING_WEBSOCKET__HOST", "127.0.0.1"),
        ("STREAMING_WEBSOCKET__PORT", "0"),
        ("STREAMING_WEBSOCKET__REQUIRE_AUTH", "false"),
        ("STREAMING_WEBSOCKET__ENABLE_RATE_LIMITING", "false"),
        ("STREAMING_WEBSOCKET__COMPRESSION", "deflate"),
        ("STREAMING_WEBSOCKET__PING_INTERVAL", "1"),
        ("STREAMING_WEBSOCKET__PING_TIMEOUT", "1"),
    ]);
    let client = Client::built(ScriptedClient::builder(&process.url).extensions("permessage-deflate"));
    assert!(client.peer.extensions().is_some());
    subscribe_as(&client, "mine", &json!({"type": "events"}));
    client.send_all((0..100).map(|_| json!({"type": "ping"})));
    assert!(client.take(100).iter().all(|message| *message == json!({"type": "pong"})));
    let deaf = Client::connect(&process.url);
    deaf.peer.play(Script::new().ignore_pings()).blocking();
    deaf.peer.wait_for_end().blocking();
    client.peer.wait_for("a ping", |record| (record.pings > 0).then_some(())).blocking();
    assert!(client.is_open());
}

// Statistics

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
    served.wait_for_metric("websocket_connections_active", &[], 2);
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
    each_user_gets_its_own(serving("analytics").to_users());
}

#[test]
fn without_a_channel_an_event_for_a_user_is_of_the_type_events() {
    each_user_gets_its_own(serving("analytics").to_users_without_channels());
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
