//! Clients that do not shake hands as they should, with credentials in their requests.

use std::time::Duration;

use super::super::client::refusal;
use super::super::served::{Served, WATCHED, serving};
use super::super::support::raw::{Raw, header, request, request_with_key, text};
use super::{TOKENS, bystander, unharmed};
use eventflux_testkit::peer::ScriptedClient;
use serde_json::json;

const PATH: &str = "/ws?token=hunter2-ann";

/// The key of RFC 6455 section 1.3.
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

fn served(properties: &str) -> Served {
    serving("channels").with(TOKENS).with(properties).start()
}

#[test]
fn a_silent_connection_and_a_head_that_dribbles_are_closed_at_the_deadline() {
    let served = served("websocket.handshake.timeout='500ms'");
    let bystander = bystander(&served, "?token=hunter2-bob");
    let mut silent = Raw::connect(served.address());
    let head = format!("{}X-Padding: ", request(PATH, "").trim_end());
    let answer = Raw::connect(served.address()).dribble(head.as_bytes(), Duration::from_millis(10));
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    assert!(silent.rest().starts_with(b"HTTP/1.1 408 "));
    served.counted_refusal("408", 2);
    unharmed(served, &bystander);
}

#[test]
fn bad_requests_get_their_status_and_show_no_token() {
    let served = served("");
    let bystander = bystander(&served, "?token=hunter2-bob");
    let good = request(PATH, "");
    let with = |line: &str| request(PATH, &format!("{line}\r\n"));
    let instead = |old: &str, new: &str| good.replacen(old, new, 1);
    for (what, request, expected) in [
        ("a method that is not GET", instead("GET", "POST"), "405"),
        ("HTTP/1.0", instead("HTTP/1.1", "HTTP/1.0"), "400"),
        ("a bad key", request_with_key(PATH, "Sec-WebSocket-Key: x\r\n"), "400"),
        ("two keys", with(KEY), "400"),
        ("version 8", instead("Version: 13", "Version: 8"), "426"),
        ("no host", instead("Host: localhost\r\n", ""), "400"),
        ("two hosts", with("Host: localhost"), "400"),
        ("a head of 65 KiB", with(&format!("A: {}", "x".repeat(65 << 10))), "431"),
        ("126 headers", super::super::support::raw::request(PATH, &"A: b\r\n".repeat(121)), "431"),
        ("a path nobody serves", instead("/ws?", "/elsewhere?"), "404"),
    ] {
        let listener = served.address().to_string();
        let labels = [("reason", expected), ("listener", &*listener)];
        let before = served.metric("eventflux_websocket_refused_total", &labels);
        let mut raw = Raw::connect(served.address());
        raw.send(request);
        let answer = String::from_utf8(raw.rest_or_reset()).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{what}: {answer}");
        assert!(!answer.contains("hunter2"), "{what}: {answer}");
        served.counted_refusal(expected, before + 1);
    }
    unharmed(served, &bystander);
}

#[test]
fn a_message_in_the_packet_of_the_request_is_answered() {
    let served = served("");
    let bystander = bystander(&served, "?token=hunter2-bob");
    let mut raw = Raw::connect(served.address());
    raw.send([request(PATH, "").as_bytes(), &text(json!({"type": "ping"}).to_string())].concat());
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    let (first, payload) = raw.frame();
    assert_eq!((first, &*payload), (0x81, &br#"{"type":"pong"}"#[..]));
    raw.finish();
    unharmed(served, &bystander);
}

#[test]
fn a_token_among_the_subprotocols_is_not_answered() {
    let served = served("");
    let bystander = bystander(&served, "?token=hunter2-bob");
    let mut raw = Raw::connect(served.address());
    let head = raw.upgrade("/ws", "Sec-WebSocket-Protocol: bearer, hunter2-ann\r\n");
    assert_eq!(header(&head, "Sec-WebSocket-Protocol"), Some("bearer"));
    raw.finish();
    unharmed(served, &bystander);
}

#[test]
fn an_unknown_subprotocol_is_left_out_and_refused_where_one_is_required() {
    let lenient = served("websocket.subprotocol='v1'");
    let bystander_there = bystander(&lenient, "?token=hunter2-bob");
    let mut raw = Raw::connect(lenient.address());
    let head = raw.upgrade(PATH, "Sec-WebSocket-Protocol: v9\r\n");
    assert_eq!(header(&head, "Sec-WebSocket-Protocol"), None);
    raw.finish();
    unharmed(lenient, &bystander_there);
    let strict = served("websocket.subprotocol='v1', websocket.subprotocol.required='true'");
    let answer = refusal(ScriptedClient::builder(strict.url("?token=hunter2-ann")).subprotocol("v9"));
    assert_eq!(answer.status, 400);
    strict.counted_refusal("400", 1);
    strict.stop();
}

#[test]
fn a_burst_of_handshakes_is_served_a_few_at_a_time() {
    const CLIENTS: usize = 200;
    let served = served(
        "websocket.max.handshakes='4', websocket.max.connections.per.address='0', websocket.handshake.timeout='5s'",
    );
    let bystander = bystander(&served, "?token=hunter2-bob");
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Raw::connect(served.address())).collect();
    for client in &mut clients {
        client.send(request(PATH, ""));
    }
    for client in &mut clients {
        assert!(client.head().starts_with("HTTP/1.1 101 "));
    }
    served.wait_for_metric("websocket_connections_active", &[], CLIENTS as u64 + 1);
    served.serves(&bystander);
    drop(clients);
    served.has_connections(1);
    unharmed(served, &bystander);
}

#[test]
fn who_hangs_up_in_the_middle_of_a_handshake_takes_nobodys_place() {
    let served = served("websocket.max.connections='3'");
    let bystander = bystander(&served, "?token=hunter2-bob");
    for _ in 0..50 {
        let mut raw = Raw::connect(served.address());
        raw.send(&request(PATH, "")[..40]);
        drop(raw);
    }
    let other = served.client("?token=hunter2-ann");
    other.subscribe(&[WATCHED]);
    served.serves(&other);
    served.has_connections(2);
    unharmed(served, &bystander);
}
