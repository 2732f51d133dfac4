//! Every error that the guide names, as a client sees it.

use eventflux_testkit::peer::RawFrame;
use serde_json::json;

use super::super::served::WATCHED;
use super::{TOKENS, channels, is_error, subscribe};

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
        (
            json!({"type": "subscribe", "data": {"channels": ["a"], "filter": "n >"}}),
            "invalid_filter",
            "Invalid filter: ",
        ),
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
