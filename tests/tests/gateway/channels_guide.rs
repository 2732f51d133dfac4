//! The channels protocol, as its guide describes it: message types, authentication, configuration, errors, metrics.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use eventflux_core::Properties;
use eventflux_testkit::peer::{Ending, Message, RawFrame, Script, ScriptedClient};
use eventflux_testkit::wait::eventually_blocking;
use serde_json::{Value, json};

use super::client::{Client, refusal};
use super::served::{Plan, WATCHED, serving};
use super::support::{DEADLINE, context};

/// Two users with tokens that must never be logged.
const TOKENS: &str = "websocket.auth='token', websocket.auth.tokens='hunter2-ann=ann, hunter2-bob=bob'";

/// Requests come back as they are.
const ECHO: &str = "INSERT INTO Answers SELECT request, payload FROM Came WHERE kind = 'request';";

fn channels() -> Plan {
    serving("channels")
}

fn subscribe(channels: &[&str]) -> Value {
    json!({"type": "subscribe", "data": {"channels": channels}})
}

fn event(data: &Value) -> Value {
    json!({"type": "event", "data": data})
}

#[track_caller]
fn is_error(message: &Value, code: &str) {
    assert_eq!((&message["type"], &message["data"]["code"]), (&json!("error"), &json!(code)), "{message}");
    assert!(message["data"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{message}");
}

#[test]
fn all_thirteen_types_of_messages_go_over_the_wire() {
    let served = channels().with(TOKENS).with("websocket.ping.interval='200ms'").taking("").answering(ECHO).start();
    let client = served.client("");
    let seen = AtomicUsize::new(0);
    // What comes next; pings come whenever they are due.
    let next = || loop {
        let message = client.next();
        if message["type"] != "ping" {
            return message;
        }
        assert_eq!(message, json!({"type": "ping"}));
        client.send(&json!({"type": "pong"}));
        seen.fetch_add(1, Ordering::Relaxed);
    };
    let ask = |message: Value| {
        client.send(&message);
        next()
    };
    let answer = ask(json!({"type": "auth", "data": {"token": "hunter2-ann"}}));
    assert_eq!(answer["type"], "auth_response");
    assert_eq!((&answer["data"]["success"], &answer["data"]["user_id"]), (&json!(true), &json!("ann")));
    let answer = ask(json!({
        "type": "subscribe",
        "data": {"channels": ["agent-updates", "system-events"]},
        "correlation_id": "req-12345",
        "metadata": {"client_version": "1.0.0"}
    }));
    let data = json!({"success": true, "subscribed": ["agent-updates", "system-events"]});
    assert_eq!(answer, json!({"type": "subscribe_response", "data": data, "correlation_id": "req-12345"}));
    let update = json!({"type": "agent-status-changed", "agent_id": "agent-123", "status": "running"});
    served.publish("agent-updates", &update);
    assert_eq!(next(), event(&update));
    let answer = ask(json!({"type": "unsubscribe", "data": {"channels": ["system-events"]}}));
    let data = json!({"success": true, "unsubscribed": ["system-events"]});
    assert_eq!(answer, json!({"type": "unsubscribe_response", "data": data}));
    let answer = ask(json!({"type": "request", "data": {"n": 2.50}, "correlation_id": "req-1"}));
    assert_eq!(answer, json!({"type": "response", "data": {"n": 2.50}, "correlation_id": "req-1"}));
    client.send(&json!({"type": "ack", "correlation_id": "evt-1"}));
    assert_eq!(ask(json!({"type": "ping"})), json!({"type": "pong"}));
    is_error(&ask(json!({"type": "nonsense"})), "unknown_type");
    while seen.load(Ordering::Relaxed) == 0 {
        // Nothing else comes before the first ping but what is asked for.
        assert_eq!(ask(json!({"type": "ping"})), json!({"type": "pong"}));
    }
    let came = served.came(2);
    assert_eq!((&*came[1].kind, came[1].correlation.as_deref()), ("ack", Some("evt-1")));
    client.leave();
    served.stop();
}

#[test]
fn the_printed_exchange_of_a_subscription_is_answered_word_by_word() {
    let served = channels().start();
    let client = served.client("");
    let answer = client.ask(&subscribe(&["agent-updates", "notifications", "metrics"]));
    let data = json!({"success": true, "subscribed": ["agent-updates", "notifications", "metrics"]});
    assert_eq!(answer, json!({"type": "subscribe_response", "data": data}));
    client.ask(&json!({"type": "unsubscribe", "data": {"channels": ["metrics"]}}));
    served.publish("metrics", &json!({"cpu": 0.5}));
    served.publish("notifications", &json!({"text": "hello"}));
    assert_eq!(client.next(), event(&json!({"text": "hello"})));
    served.stop();
}

#[test]
fn an_event_of_a_client_comes_in_with_its_channel() {
    let served = channels().taking("websocket.accept='event'").start();
    let client = served.client("");
    client.send(&json!({"type": "event", "data": {"text": "hello"}, "metadata": {"channel": "chat"}}));
    let came = served.came(1).remove(0);
    assert_eq!((&*came.kind, came.channel.as_deref(), came.json()), ("event", Some("chat"), json!({"text": "hello"})));
    is_error(&client.ask(&json!({"type": "request", "data": {}})), "unknown_type");
    served.stop();
}

#[test]
fn a_token_of_the_query_authenticates_and_a_wrong_one_is_refused_with_401() {
    let served = channels().with(TOKENS).start();
    let client = served.client("?token=hunter2-ann");
    client.subscribe(&[WATCHED]);
    let answer = refusal(ScriptedClient::builder(served.url("?token=hunter2-eve")));
    assert_eq!(answer.status, 401);
    assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    served.counted_refusal("401", 1);
    served.counted_authentication("unknown", 1);
    served.counted_authentication("accepted", 1);
    served.serves(&client);
    served.stop();
}

#[test]
fn an_auth_message_authenticates_and_nothing_is_done_before() {
    let served = channels().with(TOKENS).start();
    let client = served.client("");
    is_error(&client.ask(&subscribe(&["a"])), "authentication_required");
    let wrong = client.ask(&json!({"type": "auth", "data": {"token": "hunter2-eve"}, "correlation_id": "1"}));
    let data = json!({"success": false, "error": "Authentication failed: Invalid credentials"});
    assert_eq!(wrong, json!({"type": "auth_response", "data": data, "correlation_id": "1"}));
    let right = client.ask(&json!({"type": "auth", "data": {"token": "hunter2-ann"}}));
    assert_eq!((&right["data"]["success"], &right["data"]["user_id"]), (&json!(true), &json!("ann")));
    client.subscribe(&["a"]);
    served.counted_error("authentication_required", 1);
    served.counted_authentication("unknown", 1);
    served.stop();
}

#[test]
fn a_json_web_token_of_the_query_authenticates() {
    let secret = super::jwt::SECRET;
    let served = channels().with(&format!("websocket.auth='jwt', websocket.auth.jwt.secret='{secret}'")).taking("").start();
    let client = served.client(&format!("?token={}", super::jwt::of("ann")));
    client.send(&json!({"type": "ack", "correlation_id": "1"}));
    assert_eq!(served.came(1)[0].person.as_deref(), Some("ann"));
    served.stop();
}

#[test]
fn permission_is_looked_at_channel_by_channel() {
    let secret = super::jwt::SECRET;
    let served = channels()
        .with(&format!("websocket.auth='jwt', websocket.auth.jwt.secret='{secret}'"))
        .taking("websocket.accept='event'")
        .start();
    let claims = json!({
        "sub": "ann",
        "exp": super::jwt::in_seconds(60),
        "channels": {"subscribe": ["agent-updates", "public.*"], "publish": ["chat"]}
    });
    let client = served.client(&format!("?token={}", super::jwt::with(&claims)));
    client.send(&subscribe(&["agent-updates", "secrets", "public.news"]));
    let (answer, error) = (client.next(), client.next());
    assert_eq!(answer["data"]["subscribed"], json!(["agent-updates", "public.news"]));
    is_error(&error, "permission_denied");
    assert_eq!(error["data"]["message"], "Permission denied for 'secrets'");
    served.publish("secrets", &json!({"n": 1}));
    served.publish("public.news", &json!({"n": 2}));
    assert_eq!(client.next(), event(&json!({"n": 2})));
    let to = |channel: &str| json!({"type": "event", "data": {"n": 3}, "metadata": {"channel": channel}});
    is_error(&client.ask(&to("agent-updates")), "permission_denied");
    client.send(&to("chat"));
    assert_eq!(served.came(1)[0].channel.as_deref(), Some("chat"));
    served.counted_error("permission_denied", 2);
    served.wait_for_metric("websocket_subscriptions_failed_total", &[], 1);
    served.stop();
}

#[test]
fn a_broadcast_reaches_all_subscribers_and_their_number_is_counted() {
    let served = channels().with("websocket.max.connections.per.address='0'").start();
    let clients: Vec<_> = (0..25).map(|_| served.client("")).collect();
    clients.iter().for_each(|client| client.subscribe(&["agent-updates"]));
    let other = served.client("");
    other.subscribe(&["other"]);
    served.publish("agent-updates", &json!({"n": 1}));
    for client in &clients {
        assert_eq!(client.next(), event(&json!({"n": 1})));
    }
    assert_eq!(served.metric("websocket_broadcast_delivered_total", &[]), 25);
    served.publish("other", &json!({"n": 2}));
    assert_eq!(other.next(), event(&json!({"n": 2})));
    served.stop();
}

// Configuration

/// The properties of a source or sink of this protocol for which nothing is given.
fn defaults() -> Properties {
    let context = context();
    let specs = context.sink_factory("websocket").unwrap().properties();
    let given = [
        ("websocket.mode", "server"),
        ("websocket.listen", "127.0.0.1:0"),
        ("websocket.protocol", "channels"),
        ("websocket.auth", "token"),
        ("websocket.auth.tokens", "a=b"),
    ];
    Properties::resolve(specs, given, &|_| None).unwrap()
}

#[test]
fn defaults_are_those_of_the_guide() {
    let defaults = defaults();
    let integer = |key: &str| defaults.integer::<u64>(key).unwrap();
    let seconds = |key: &str| defaults.duration(key).unwrap().as_secs();
    assert_eq!(integer("websocket.max.connections"), 1000, "max_connections");
    let silence = seconds("websocket.ping.interval") + seconds("websocket.pong.timeout");
    assert!(silence <= 60, "connection_timeout: a client of whom nothing is heard is gone after {silence} s");
    assert_eq!(seconds("websocket.ping.interval"), 30, "ping_interval");
    assert_eq!(seconds("websocket.pong.timeout"), 10, "pong_timeout");
    assert_eq!(defaults.size("websocket.max.message.size").unwrap(), 64 << 10, "max_message_size");
    assert_eq!(defaults.text("websocket.permessage-deflate").unwrap(), "true", "enable_compression");
    assert_eq!(integer("websocket.max.requests"), 100, "buffer_size");
    assert_eq!(integer("websocket.max.subscriptions"), 50, "max_subscriptions_per_connection");
    assert_eq!(integer("websocket.max.subscribers"), 10_000, "max_subscribers_per_channel");
    assert_eq!(integer("websocket.max.connections.per.address"), 10, "max_connections_per_ip");
    assert_eq!(defaults.size("websocket.client.queue.bytes").unwrap(), 1 << 20, "broadcast_buffer_size");
    assert_eq!(defaults.text("websocket.auth.query").unwrap(), "token");
}

#[test]
fn max_connections_holds_and_a_place_is_free_again() {
    let served = channels().with("websocket.max.connections='2'").start();
    let clients = [served.client(""), served.client("")];
    let answer = refusal(ScriptedClient::builder(served.url("")));
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some());
    let [first, second] = clients;
    first.leave();
    eventually_blocking(DEADLINE, || ScriptedClient::builder(served.url("")).attempt().blocking().is_ok());
    second.subscribe(&[WATCHED]);
    served.serves(&second);
    served.stop();
}

#[test]
fn connection_timeout_ends_a_client_that_says_nothing() {
    let served = channels().with("websocket.idle.timeout='300ms'").start();
    let silent = served.client("");
    let ending = silent.peer.wait_for_end().blocking();
    assert!(!matches!(ending, Ending::ByTest), "{ending}");
    served.counted_violation("dead", 1);
    served.stop();
}

#[test]
fn pings_come_at_their_interval_as_messages_and_as_frames() {
    let served = channels().with("websocket.ping.interval='50ms'").start();
    let client = served.client("");
    for _ in 0..3 {
        assert_eq!(client.next(), json!({"type": "ping"}));
    }
    assert!(client.peer.record().pings >= 2, "{}", client.peer.record().pings);
    served.stop();
}

#[test]
fn who_answers_no_ping_is_closed_at_the_pong_timeout() {
    let served = channels().with("websocket.ping.interval='100ms', websocket.pong.timeout='80ms'").start();
    let client = served.client("");
    client.peer.play(Script::new().ignore_pings()).blocking();
    client.peer.wait_for_end().blocking();
    served.counted_violation("dead", 1);
    served.wait_for_metric("websocket_connections_active", &[], 0);
    served.stop();
}

#[test]
fn a_pong_message_is_answer_enough() {
    let served = channels().with("websocket.ping.interval='100ms', websocket.pong.timeout='80ms'").start();
    let client = served.client("");
    client.peer.play(Script::new().ignore_pings()).blocking();
    for _ in 0..10 {
        assert_eq!(client.next(), json!({"type": "ping"}));
        client.send(&json!({"type": "pong"}));
    }
    assert!(client.is_open());
    served.stop();
}

#[test]
fn max_message_size_is_a_limit_to_the_byte() {
    let served = channels().taking("websocket.accept='event'").start();
    let of_size = |bytes: usize| {
        let shell = json!({"type": "event", "data": {"channel": "a", "text": ""}}).to_string();
        json!({"type": "event", "data": {"channel": "a", "text": "x".repeat(bytes - shell.len())}}).to_string()
    };
    let client = served.client("");
    let largest = of_size(64 << 10);
    assert_eq!(largest.len(), 65_536);
    client.peer.send_text(largest).blocking();
    served.came(1);
    client.peer.play(Script::new().send_text(of_size((64 << 10) + 1)).expect_close(1009)).blocking();
    served.counted_violation("1009", 1);
    served.stop();
}

#[test]
fn compression_is_agreed_upon_by_default_and_can_be_turned_off() {
    let offer = |url: String| Client::built(ScriptedClient::builder(url).extensions("permessage-deflate"));
    let served = channels().start();
    let client = offer(served.url(""));
    assert!(client.peer.extensions().is_some_and(|agreed| agreed.starts_with("permessage-deflate")));
    client.subscribe(&["large", "small"]);
    served.publish("small", &json!({"text": "x"}));
    assert_eq!(client.next(), event(&json!({"text": "x"})));
    assert_eq!(client.peer.record().compressed_messages(), 0);
    let large = json!({"text": "x".repeat(10_000)});
    served.publish("large", &large);
    assert_eq!(client.next(), event(&large));
    assert_eq!(client.peer.record().compressed_messages(), 1);
    client.peer.play(Script::new().send_compressed(json!({"type": "ping"}).to_string())).blocking();
    assert_eq!(client.next(), json!({"type": "pong"}));
    served.stop();
    let served = channels().with("websocket.permessage-deflate='false'").start();
    assert_eq!(offer(served.url("")).peer.extensions(), None);
    served.stop();
}

#[test]
fn max_subscriptions_per_connection_holds() {
    let served = channels().with("websocket.max.subscriptions='2'").start();
    let client = served.client("");
    client.send(&subscribe(&["a", "b", "c"]));
    assert_eq!(client.next()["data"]["subscribed"], json!(["a", "b"]));
    is_error(&client.next(), "subscription_limit_exceeded");
    client.ask(&json!({"type": "unsubscribe", "data": {"channels": ["a"]}}));
    client.subscribe(&["c"]);
    served.counted_error("subscription_limit_exceeded", 1);
    served.stop();
}

#[test]
fn max_subscribers_per_channel_holds() {
    let served = channels().with("websocket.max.subscribers='2'").start();
    let clients = [served.client(""), served.client(""), served.client("")];
    clients[0].subscribe(&["a"]);
    clients[1].subscribe(&["a"]);
    is_error(&clients[2].ask(&subscribe(&["a"])), "channel_full");
    clients[2].subscribe(&["b"]);
    served.publish("a", &json!(1));
    assert_eq!((clients[0].next(), clients[1].next()), (event(&json!(1)), event(&json!(1))));
    served.counted_error("channel_full", 1);
    served.stop();
}

#[test]
fn max_connections_per_ip_holds_for_each_address() {
    let served = channels().with("websocket.trusted.proxies='127.0.0.1'").start();
    let from = |address: &str| ScriptedClient::builder(served.url("")).header("X-Forwarded-For", address);
    let clients: Vec<_> = (0..10).map(|_| Client::built(from("192.0.2.1"))).collect();
    assert_eq!(refusal(from("192.0.2.1")).status, 429);
    Client::built(from("192.0.2.2")).subscribe(&["a"]);
    assert!(clients.iter().all(Client::is_open));
    served.stop();
}

#[test]
fn buffer_size_bounds_the_requests_of_a_client_that_wait() {
    let served = channels().with("websocket.max.requests='2'").taking("").answering("").start();
    let client = served.client("");
    let request = |id: &str| json!({"type": "request", "data": {}, "correlation_id": id});
    client.send_all([request("1"), request("2"), request("3")]);
    let error = client.next();
    is_error(&error, "busy");
    assert_eq!(error["correlation_id"], "3");
    let came = served.came(2);
    served.answer(came[0].request.as_deref().unwrap(), &json!({})).unwrap();
    assert_eq!(client.next(), json!({"type": "response", "data": {}, "correlation_id": "1"}));
    client.send(&request("4"));
    served.came(3);
    served.stop();
}

#[test]
fn broadcast_buffer_size_bounds_what_waits_for_a_slow_subscriber() {
    let served = channels()
        .with("websocket.permessage-deflate='false'")
        .publishing("websocket.client.queue.bytes='100KiB'")
        .start();
    let slow = Client::built(ScriptedClient::builder(served.url("")).receive_buffer(8 << 10));
    slow.subscribe(&["a"]);
    slow.peer.play(Script::new().stop_reading()).blocking();
    let text = "x".repeat(10_000);
    for number in 0..3_000 {
        served.publish("a", &json!({"n": number, "text": text}));
    }
    slow.peer.play(Script::new().resume_reading()).blocking();
    slow.receives("{\"n\":2999,");
    let record = slow.peer.record();
    let gap = record.messages_of(0).filter_map(Message::as_text).find(|text| text.contains("\"gap\""));
    let gap: Value = serde_json::from_str(gap.expect("the client is told what it misses")).unwrap();
    is_error(&gap, "gap");
    assert_eq!(gap["data"]["channel"], "a");
    assert!(served.metric("websocket_messages_dropped_total", &[]) > 0);
    served.stop();
}

// Errors

#[test]
fn every_error_of_a_request_is_an_error_message_with_its_code() {
    let served = channels().with("websocket.max.subscriptions='3'").taking("websocket.accept='event, ack'").start();
    let client = served.client("");
    for (message, code, text) in [
        (json!({"type": "nonsense"}), "unknown_type", "Unknown message type"),
        (json!({"type": "request", "data": {}}), "unknown_type", "Unknown message type"),
        (json!({"type": "response"}), "invalid_message", "Invalid message format: only the server sends 'response'"),
        (json!([1]), "invalid_message", "Invalid message format: "),
        (json!({"data": {}}), "invalid_message", "Invalid message format: "),
        (json!({"type": "subscribe", "data": {"channels": "a"}}), "invalid_message", "Invalid message format: "),
        (json!({"type": "event", "data": {}}), "invalid_message", "Invalid message format: "),
        (json!({"type": "ack"}), "invalid_message", "Invalid message format: "),
        (subscribe(&["a b"]), "invalid_channel", "Invalid channel: "),
        (subscribe(&[""]), "invalid_channel", "Invalid channel: "),
        (json!({"type": "unsubscribe", "data": {"channels": ["b"]}}), "not_subscribed", "Not subscribed to 'b'"),
        (json!({"type": "subscribe", "data": {"channels": ["a"], "filter": "n >"}}), "invalid_filter", "Invalid filter: "),
        (json!({"type": "presence", "data": {"channel": "a"}}), "unsupported", ""),
    ] {
        let error = client.ask(&message);
        is_error(&error, code);
        assert!(error["data"]["message"].as_str().unwrap().starts_with(text), "{message}: {error}");
        assert!(served.metric("websocket_errors_total", &[("type", code)]) > 0, "{code} is not counted");
    }
    client.peer.send_text("{broken").blocking();
    is_error(&client.next(), "invalid_message");
    client.subscribe(&[WATCHED]);
    served.serves(&client);
    served.stop();
}

#[test]
fn an_error_has_the_correlation_id_of_what_went_wrong() {
    let served = channels().start();
    let client = served.client("");
    let error = client.ask(&json!({"type": "nonsense", "correlation_id": "req-9"}));
    assert_eq!((&error["type"], &error["correlation_id"]), (&json!("error"), &json!("req-9")));
    served.stop();
}

#[test]
fn who_does_not_authenticate_is_told_so_and_closed_with_1008() {
    let served = channels().with(TOKENS).with("websocket.auth.timeout='300ms'").start();
    let client = served.client("");
    is_error(&client.next(), "authentication_timeout");
    client.is_closed(1008, "authentication timeout");
    served.counted_error("authentication_timeout", 1);
    served.counted_violation("1008", 1);
    served.stop();
}

#[test]
fn too_many_messages_are_answered_with_the_seconds_to_wait() {
    let served = channels().with("websocket.rate.limit='2'").start();
    let client = served.client("");
    client.send_all((0..3).map(|_| json!({"type": "ping"})));
    let messages = client.take(3);
    is_error(&messages[2], "rate_limit_exceeded");
    assert_eq!(messages[2]["data"]["message"], "Rate limit exceeded");
    assert!((1..=60).contains(&messages[2]["data"]["retry_after"].as_u64().unwrap()), "{}", messages[2]);
    served.counted_error("rate_limit_exceeded", 1);
    served.stop();
}

#[test]
fn a_binary_message_is_refused_with_1003() {
    let served = channels().start();
    let client = served.client("");
    client.peer.send_frame(RawFrame::binary("{}").masked()).blocking();
    client.is_closed(1003, "text messages only");
    served.counted_violation("1003", 1);
    served.stop();
}

// Metrics

#[test]
fn every_metric_of_the_guide_is_there_and_counts() {
    let served = channels().with(TOKENS).with("websocket.max.connections='2'").start();
    let clients = [served.client("?token=hunter2-ann"), served.client("?token=hunter2-bob")];
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
    served.wait_for_metric("websocket_connections_active", &[], 1);
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
fn many_clients_subscribe_and_publish_at_the_same_time() {
    const CLIENTS: usize = 20;
    const EVENTS: usize = 200;
    let served = channels().with("websocket.max.connections.per.address='0'").start();
    let clients: Vec<_> = (0..CLIENTS).map(|_| served.client("")).collect();
    thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| client.subscribe(&["a", "b"]));
        }
    });
    thread::scope(|scope| {
        for channel in ["a", "b"] {
            let served = &served;
            scope.spawn(move || (0..EVENTS).for_each(|n| served.publish(channel, &json!({"n": n, "of": channel}))));
        }
    });
    for client in &clients {
        let messages = client.take(2 * EVENTS);
        for channel in ["a", "b"] {
            let of_channel = messages.iter().filter(|message| message["data"]["of"] == channel);
            let numbers: Vec<_> = of_channel.map(|message| message["data"]["n"].as_u64().unwrap() as usize).collect();
            assert_eq!(numbers, (0..EVENTS).collect::<Vec<_>>(), "in order, each once");
        }
    }
    served.stop();
}
