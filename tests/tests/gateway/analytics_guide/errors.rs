//! The guide's table of errors.

use eventflux_testkit::peer::ScriptedClient;
use serde_json::json;

use super::super::client::Client;
use super::{analytics, auth, is_error, open};

#[test]
fn an_authentication_timeout_closes_with_1008() {
    let served = analytics().with("websocket.auth.timeout='1s'").start();
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
    served.has_connections(1);
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
