//! Open messages: in order, with the replies they wait for, and again after every reconnect.

use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::{Script, ScriptedPeer};

use crate::support::source;

const LOGIN_THEN_SUBSCRIBE: [(&str, &str); 4] = [
    ("websocket.subscribe.message", "login"),
    ("websocket.subscribe.message.expect", "{\"event\":\"login\"}"),
    ("websocket.subscribe.message.2", "subscribe"),
    ("websocket.subscribe.message.2.expect", "subscribed"),
];

fn conversation(last: &str) -> Script {
    Script::new()
        .accept()
        .expect_text("login")
        .send_text("{\"event\":\"info\"}")
        .send_text("{\"ok\":true,\"event\":\"login\"}")
        .expect_text("subscribe")
        .send_text("subscribed")
        .send_text(last)
}

#[test]
fn replies_are_awaited_in_order_and_what_is_no_reply_is_data() {
    let peer = ScriptedPeer::builder()
        .script(conversation("1").wait_for_signal("go").reset())
        .script(conversation("2"))
        .start();
    let source = source(peer.url(), &LOGIN_THEN_SUBSCRIBE);
    source.wait_for_messages(&["{\"event\":\"info\"}", "1"]);
    peer.signal("go");
    source.wait_for_messages(&["{\"event\":\"info\"}", "1", "{\"event\":\"info\"}", "2"]);
    peer.finish().blocking();
}

#[test]
fn messages_without_a_reply_go_out_at_once() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().expect_text("a").expect_text("b")).start();
    let raw = [("websocket.subscribe.message", "a"), ("websocket.subscribe.message.2", "b")];
    let _source = source(peer.url(), &raw);
    peer.finish().blocking();
}

#[test]
fn a_reply_that_does_not_come_counts_as_a_failed_attempt() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().send_text("{\"event\":\"error\"}")).start();
    let raw = [
        ("websocket.subscribe.message", "hunter2"),
        ("websocket.subscribe.message.expect", "{\"event\":\"login\"}"),
        ("websocket.subscribe.message.timeout", "50ms"),
        ("websocket.reconnect.max.attempts", "2"),
    ];
    let source = source(peer.url(), &raw);
    let error = source.wait_for_end().unwrap_err().to_string();
    assert!(error.contains("websocket.subscribe.message.expect within 50ms"), "{error}");
    assert!(!error.contains("hunter2") && !error.contains("login"), "{error}");
    assert_eq!(source.context.health.current().state, ConnectionState::Failed);
    source.wait_for_messages(&["{\"event\":\"error\"}", "{\"event\":\"error\"}"]);
}
