//! Clients that do not shake hands as they should, and those that may not come in: each gets its HTTP answer, and nobody
//! else notices.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

mod support;

use std::net::TcpStream;
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::{Script, ScriptedClient, ScriptedPeer};
use support::raw::{Raw, header, request, request_with_key, text};
use support::server::Server;
use support::{Pipeline, QUICK, client};

/// Deadlines that pass within a test.
const HASTY: &str = "websocket.handshake.timeout='200ms'";

/// The key of RFC 6455 section 1.3.
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// The status of the answer to these bytes, and its head. The server ends the connection behind it, and says so.
#[track_caller]
fn refusal(server: &Server, bytes: impl AsRef<[u8]>) -> (u16, String) {
    let mut raw = server.raw();
    raw.send(bytes);
    let answer = String::from_utf8(raw.rest()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let says_close = header(head, "Connection").is_some_and(|value| value.ends_with("close"));
    assert!(says_close && header(head, "Content-Length") == Some(&body.len().to_string()), "{answer}");
    (head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap(), head.to_owned())
}

#[test]
fn who_says_nothing_or_never_ends_is_answered_with_408_and_closed_at_the_deadline() {
    let server = Server::start(HASTY);
    let mut silent = server.raw();
    let head = request("/in", "");
    let answer = server.raw().dribble(format!("{}X-Padding: ", head.trim_end()).as_bytes(), Duration::from_millis(10));
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    server.serves();
    assert!(silent.rest().starts_with(b"HTTP/1.1 408 "));
    assert_eq!(server.refused("408"), 2);
    // Who goes away in the middle is not waited for.
    let mut half = server.raw();
    half.send(&head[..20]);
    half.finish();
    server.stop();
}

#[test]
fn bad_requests_get_their_status() {
    let server = Server::start("");
    let (good, keyless) = (request("/in", ""), request_with_key("/in", ""));
    let with = |line: &str| request("/in", &format!("{line}\r\n"));
    let with_key = |key: &str| request_with_key("/in", &format!("Sec-WebSocket-Key: {key}\r\n"));
    let instead = |old: &str, new: &str| good.replacen(old, new, 1);
    for (what, request, expected) in [
        ("a method that is not GET", instead("GET", "POST"), 405),
        ("HTTP/1.0", instead("HTTP/1.1", "HTTP/1.0"), 400),
        ("no HTTP", "\u{1}\u{2}\r\n\r\n".to_owned(), 400),
        ("no key", keyless, 400),
        ("a short key", with_key("dGhlIHNhbXBsZQ=="), 400),
        ("a key that is no base64", with_key("dGhlIHNhbXBsZSBub25jZQ!!"), 400),
        ("two keys", with(KEY), 400),
        ("version 8", instead("Version: 13", "Version: 8"), 426),
        ("no upgrade", instead("Upgrade: websocket\r\n", ""), 426),
        ("no host", instead("Host: localhost\r\n", ""), 400),
        ("two hosts", with("Host: localhost"), 400),
        ("a body", with("Content-Length: 2"), 400),
        ("an unknown path", instead("/in", "/elsewhere"), 404),
        ("a line that is no header", with("no colon"), 400),
        ("a head of 65 KiB", with(&format!("A: {}", "x".repeat(65 << 10))), 431),
        ("a head that never ends", format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(65 << 10)), 431),
        ("126 headers", request("/in", &"A: b\r\n".repeat(121)), 431),
    ] {
        let (status, head) = refusal(&server, request);
        assert_eq!(status, expected, "{what}: {head}");
        assert!(server.refused(&status.to_string()) > 0, "{what} is not counted");
        match status {
            405 => assert_eq!(header(&head, "Allow"), Some("GET")),
            426 => assert_eq!(header(&head, "Sec-WebSocket-Version"), Some("13")),
            _ => {}
        }
    }
    Raw::upgraded(server.address, "/in").finish();
    server.stop();
}

#[test]
fn what_comes_in_the_packet_of_the_request_is_delivered() {
    let server = Server::start("");
    let (whole, half) = (text("{\"n\":1}"), text("{\"n\":2}"));
    let (begin, rest) = half.split_at(5);
    let mut raw = server.raw();
    raw.send([request("/in", "").as_bytes(), &whole, begin].concat());
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    server.delivers(1);
    raw.send(rest);
    server.delivers(2);
    raw.finish();
    server.stop();
}

#[test]
fn an_unknown_subprotocol_is_left_out_and_refused_where_one_is_required() {
    let properties = "websocket.subprotocol='v2, v1'";
    let server = Server::start(properties);
    for (offer, chosen) in [("v1", Some("v1")), ("v1, v2", Some("v2")), ("v3", None), ("V1", None)] {
        let mut raw = server.raw();
        let head = raw.upgrade("/in", &format!("Sec-WebSocket-Protocol: {offer}\r\n"));
        assert_eq!(header(&head, "Sec-WebSocket-Protocol"), chosen, "{offer}");
        raw.finish();
    }
    server.stop();
    let properties = format!("{properties}, websocket.subprotocol.required='true'");
    let server =
        Server::start_for(&properties, &|url| ScriptedClient::builder(url).subprotocol("v1").connect().blocking());
    for offer in ["", "Sec-WebSocket-Protocol: v3\r\n"] {
        assert_eq!(refusal(&server, request("/in", offer)).0, 400, "{offer}");
    }
    server.stop();
}

#[test]
fn pages_of_other_origins_are_refused_before_the_upgrade() {
    let server = Server::start("websocket.origins='https://good.example, http://good.example:3000'");
    for origin in [
        "https://evil.example",
        "null",
        "https://good.example.evil",
        "https://evil.example/https://good.example",
        "https://evil-good.example",
        "https://www.good.example",
        "https://good.example:8443",
        "http://good.example",
        "http://good.example:3001",
        "https://good.example@evil.example",
        "good.example",
        "",
    ] {
        let (status, head) = refusal(&server, request("/in", &format!("Origin: {origin}\r\n")));
        assert_eq!(status, 403, "{origin}: {head}");
    }
    let two = "Origin: https://good.example\r\nOrigin: https://evil.example\r\n";
    assert_eq!(refusal(&server, request("/in", two)).0, 400);
    assert_eq!(server.refused("403"), 12);
    for origin in ["https://good.example", "https://good.example:443", "http://good.example:3000"] {
        let mut raw = server.raw();
        raw.upgrade("/in", &format!("Origin: {origin}\r\n"));
        raw.finish();
    }
    server.stop();
}

#[test]
fn a_handshake_beyond_the_limit_waits_for_its_turn() {
    let server = Server::start(&format!("{HASTY}, websocket.max.handshakes='1'"));
    let (mut silent, mut next) = (server.raw(), server.raw());
    next.upgrade("/in", "");
    // Whoever comes first is looked at first, so what was said to it is here by now.
    silent.stream.set_nonblocking(true).unwrap();
    assert!(silent.head().starts_with("HTTP/1.1 408 "));
    next.send(text("{\"n\":1}"));
    server.delivers(1);
    next.finish();
    server.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn clients_that_wait_for_their_turn_need_not_knock_twice() {
    let server = Server::start("websocket.max.handshakes='1'");
    let _silent = server.raw();
    // Who does not get in at once tries again after a second.
    let connect = |_| TcpStream::connect_timeout(&server.address, Duration::from_millis(900)).unwrap();
    let waiting: Vec<_> = (0..500).map(connect).collect();
    drop(waiting);
}

#[test]
#[cfg(target_os = "linux")]
fn a_burst_of_handshakes_is_served_as_far_as_there_are_seats() {
    const ROUNDS: usize = 4;
    const BURST: usize = 500;
    const SEATS: usize = 200;
    support::child::allow_many_connections();
    let mut process = support::child::Process::start(&format!("websocket.max.connections='{}'", SEATS + 1));
    let before = process.peak_bytes();
    for _ in 0..ROUNDS {
        let mut clients: Vec<_> = (0..BURST).map(|_| Raw::connect(process.address)).collect();
        clients.iter_mut().for_each(|client| client.send(request("/in", "")));
        let heads: Vec<_> = clients.iter_mut().map(Raw::head).collect();
        let count = |start: &str| heads.iter().filter(|head| head.starts_with(start)).count();
        assert_eq!((count("HTTP/1.1 101 "), count("HTTP/1.1 503 ")), (SEATS, BURST - SEATS));
        assert!(heads.iter().all(|head| head.contains(" 101 ") || header(head, "Retry-After").is_some()));
        process.serves();
        drop(clients);
        process.wait_for_clients(0);
    }
    let grown = process.peak_bytes() - before;
    assert!(grown < 24 << 20, "{grown} bytes more for {BURST} clients at a time");
}

#[test]
fn a_server_that_breaks_the_handshake_is_an_error_of_its_stream_only() {
    let breaking = |script: Script| ScriptedPeer::builder().script(script).start();
    let cases = [
        (breaking(Script::new().reject(401, "who are you")), "refused with 401"),
        (breaking(Script::new().respond_header("Sec-WebSocket-Accept", "eA==").accept()), "Sec-WebSocket-Accept"),
        (breaking(Script::new().respond_header("Upgrade", "h2c").accept()), "upgrades to something else"),
        (breaking(Script::new().respond_raw("HTTP/1.1 101 x\r\nA: ".to_owned() + &"x".repeat(65 << 10))), "too large"),
    ];
    let good = ScriptedPeer::builder().script(Script::new().accept_with_first_message("{\"n\":1}")).start();
    let mut sql = format!("{} CREATE STREAM Good (n BIGINT);", client("source", good.url(), ""));
    for (number, (peer, _)) in cases.iter().enumerate() {
        sql += &format!("{} CREATE STREAM S{number} (n BIGINT);", client("source", peer.url(), QUICK));
    }
    let pipeline = Pipeline::start(&sql);
    pipeline.wait_for_metric("eventflux_source_messages_total", "Good", 1);
    for (number, (_, reason)) in cases.iter().enumerate() {
        let stream = format!("S{number}");
        pipeline.wait_for_detail(&stream, reason);
        pipeline.wait_for_state(&stream, ConnectionState::Reconnecting);
        assert_eq!(pipeline.metric("eventflux_source_connections", &stream), 0, "{reason}");
    }
    pipeline.wait_for_state("Good", ConnectionState::Connected);
    pipeline.stop();
    for (peer, _) in cases {
        let _ = peer.finish_within(Duration::ZERO).blocking_result();
    }
}

#[test]
#[ignore = "started by other tests, as a process of its own"]
#[cfg(target_os = "linux")]
fn a_process_of_its_own() {
    support::child::serve();
}
