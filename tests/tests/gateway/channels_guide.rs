//! The channels protocol, as its guide describes it: message types, authentication, configuration, errors, metrics.

mod configuration;
mod errors;
mod metrics;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use eventflux_testkit::peer::ScriptedClient;
use serde_json::{Value, json};

use super::client::refusal;
use super::served::{Plan, WATCHED, serving};

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
    let served =
        channels().with(&format!("websocket.auth='jwt', websocket.auth.jwt.secret='{secret}'")).taking("").start();
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
