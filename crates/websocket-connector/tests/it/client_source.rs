//! The client source: receiving, coming back, keep-alive, backpressure, stopping.

use std::io::Write;
use std::time::{Duration, Instant};

use eventflux_core::EventFluxError;
use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::frames::{RawFrame, Side, violations};
use eventflux_testkit::peer::{Script, ScriptedPeer};
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually_blocking;

use crate::support::{DEADLINE, PROMPTLY, QUICK, Registry, source};

#[test]
fn connect_disconnect() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().send_text("a").send_binary("b")).start();
    let mut source = source(peer.url(), &[]);
    source.wait_for_messages(&["a", "b"]);
    assert_eq!(source.context.health.current().state, ConnectionState::Connected);
    assert_eq!(source.context.metrics.connections.value(), 1);
    source.stop();
    assert_eq!(peer.wait_for_close().blocking().code, Some(1000));
    assert_eq!(source.recorder.ends(), [Ok(())]);
    assert_eq!(source.context.health.current().state, ConnectionState::Stopped);
    assert_eq!(source.context.metrics.gaps.value(), 0);
}

#[test]
fn a_message_in_the_packet_of_the_handshake_is_delivered() {
    let peer = ScriptedPeer::builder().script(Script::new().accept_with_first_message("first")).start();
    source(peer.url(), &[]).wait_for_messages(&["first"]);
}

#[test]
fn a_burst_is_handed_over_in_few_deliveries_and_in_order() {
    let numbers: Vec<String> = (0..5_000).map(|number| number.to_string()).collect();
    let peer = ScriptedPeer::builder().script(Script::new().accept().send_all(numbers.clone())).start();
    let source = source(peer.url(), &[]);
    source.wait_for_messages(&numbers.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(source.recorder.deliveries() < 1_000, "{} deliveries", source.recorder.deliveries());
}

#[test]
fn fragments_become_one_message() {
    let script = Script::new()
        .accept()
        .send_frame(RawFrame::text("one ").not_final())
        .send_frame(RawFrame::ping("in between"))
        .send_frame(RawFrame::new(0, "message"));
    let peer = ScriptedPeer::builder().script(script).start();
    source(peer.url(), &[]).wait_for_messages(&["one message"]);
}

#[test]
fn it_comes_back_after_every_kind_of_loss_and_counts_the_gaps() {
    let peer = ScriptedPeer::builder()
        .script(Script::new().accept().send_text("0").wait_for_signal("0").reset())
        .script(Script::new().accept().send_text("1").hang_up())
        .script(Script::new().accept().send_text("2").close(1001, "restart"))
        .script(Script::new().accept().send_text("3").send_raw(partial()).hang_up())
        .script(Script::new().accept().send_text("4"))
        .start();
    let source = source(peer.url(), &[]);
    source.wait_for_messages(&["0"]);
    peer.signal("0");
    source.wait_for_messages(&["0", "1", "2", "3", "4"]);
    let metrics = &source.context.metrics;
    assert_eq!((metrics.reconnects.value(), metrics.gaps.value()), (4, 4));
    assert!(source.recorder.ends().is_empty() && source.recorder.errors().is_empty());
}

fn partial() -> Vec<u8> {
    eventflux_testkit::peer::frames::partial_text(Side::Server, 10, 100)
}

#[test]
fn it_finds_a_server_that_starts_later() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().send_text("late")).start();
    peer.refuse_connections().blocking();
    let source = source(peer.url(), &[]);
    source.wait_for_state(ConnectionState::Reconnecting);
    assert!(source.detail().contains("refused"), "{}", source.detail());
    peer.accept_connections().blocking();
    source.wait_for_messages(&["late"]);
    assert_eq!(source.context.metrics.gaps.value(), 0);
}

#[test]
fn a_server_that_accepts_and_closes_is_not_hammered() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().close(1000, "")).start();
    let raw = [("websocket.reconnect.delay.ms", "200"), ("websocket.reconnect.max.delay.ms", "60000")];
    let mut source = Registry::new().source(&[&[("websocket.url", peer.url())], &raw[..]].concat());
    source.start().unwrap();
    peer.wait_for_endings(3).blocking();
    // A hot loop would be at hundreds before a stop that takes no pause.
    source.stop();
    assert!(peer.record().connections < 20, "{} connections", peer.record().connections);
}

#[test]
fn when_attempts_are_exhausted_the_source_ends_with_the_reason() {
    let peer = ScriptedPeer::builder().start();
    peer.refuse_connections().blocking();
    let source = source(peer.url(), &[("websocket.reconnect.max.attempts", "3")]);
    let error = source.wait_for_end().unwrap_err();
    assert!(matches!(&error, EventFluxError::ConnectionUnavailable { retryable: true, .. }), "{error}");
    assert_eq!(source.context.health.current().state, ConnectionState::Failed);
}

#[test]
fn without_reconnect_a_goodbye_is_an_end_and_a_loss_an_error() {
    let off = [("websocket.reconnect", "false")];
    let peer = ScriptedPeer::builder().script(Script::new().accept().send_text("all").close(1000, "done")).start();
    let source_of_all = source(peer.url(), &off);
    assert_eq!(source_of_all.wait_for_end(), Ok(()));
    source_of_all.wait_for_messages(&["all"]);
    let peer = ScriptedPeer::builder().script(Script::new().accept().reset()).start();
    assert!(source(peer.url(), &off).wait_for_end().is_err());
}

#[test]
fn a_peer_that_answers_no_ping_is_dropped_and_reconnected() {
    let peer = ScriptedPeer::builder()
        .script(Script::new().accept().ignore_pings())
        .script(Script::new().accept().send_text("back"))
        .start();
    let raw = [("websocket.ping.interval", "20ms"), ("websocket.pong.timeout", "40ms")];
    let source = source(peer.url(), &raw);
    source.wait_for_messages(&["back"]);
    assert!(peer.record().pings >= 1);
}

#[test]
fn a_half_open_connection_is_noticed() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().send_text("x")).start();
    let proxy = ChaosProxy::start(peer.address());
    let raw = [("websocket.ping.interval", "20ms"), ("websocket.pong.timeout", "1s"), ("websocket.reconnect", "false")];
    let source = source(&format!("ws://{}", proxy.address()), &raw);
    source.wait_for_messages(&["x"]);
    proxy.blackhole();
    let error = source.wait_for_end().unwrap_err();
    assert!(error.to_string().contains("websocket.pong.timeout"), "{error}");
}

#[test]
fn a_peer_that_answers_pings_but_sends_nothing_meets_the_idle_timeout() {
    let peer =
        ScriptedPeer::builder().script(Script::new().accept()).script(Script::new().accept().send_text("back")).start();
    let raw = [("websocket.ping.interval", "10ms"), ("websocket.idle.timeout", "100ms")];
    source(peer.url(), &raw).wait_for_messages(&["back"]);
}

#[test]
fn heartbeats_are_sent_as_messages() {
    let peer = ScriptedPeer::builder().start();
    let raw = [("websocket.heartbeat.message", "{\"op\":\"ping\"}"), ("websocket.heartbeat.interval", "10ms")];
    let _source = source(peer.url(), &raw);
    let messages = peer.wait_for_messages(3).blocking();
    assert!(messages.iter().all(|message| message.as_text() == Some("{\"op\":\"ping\"}")));
}

#[test]
fn the_handshake_carries_headers_and_subprotocols() {
    let script = Script::new()
        .expect_path("/feed?streams=a@trade/b@trade")
        .expect_header("X-API-Key", "k")
        .expect_subprotocol("v1")
        .choose_subprotocol("v1")
        .accept();
    let peer = ScriptedPeer::builder().script(script).start();
    let raw = [("websocket.headers.X-API-Key", "k"), ("websocket.subprotocol", "v2, v1")];
    let source = source(&format!("{}/feed?streams=a@trade/b@trade", peer.url()), &raw);
    source.wait_for_state(ConnectionState::Connected);
    let handshake = peer.record().handshakes.remove(0);
    assert_eq!(handshake.subprotocols(), ["v2", "v1"]);
    assert_eq!(handshake.header("Upgrade"), Some("websocket"));
}

#[test]
fn credentials_come_from_the_environment() {
    // PATH is set everywhere and its value fits a header.
    let value = std::env::var("PATH").unwrap();
    let peer = ScriptedPeer::builder().start();
    let raw = [("auth.type", "bearer"), ("auth.bearer_token_env", "PATH")];
    let _bearer = source(peer.url(), &raw);
    let raw = [
        ("auth.type", "basic"),
        ("auth.basic_auth.username_env", "CARGO_PKG_NAME"),
        ("auth.basic_auth.password_env", "CARGO_PKG_NAME"),
    ];
    let _basic = source(peer.url(), &raw);
    let handshakes = peer.wait_for_handshakes(2).blocking();
    let header = |start: &str| {
        let all = handshakes.iter().filter_map(|handshake| handshake.header("Authorization"));
        all.into_iter().find(|value| value.starts_with(start)).map(str::to_owned)
    };
    assert_eq!(header("Bearer "), Some(format!("Bearer {value}")));
    assert!(header("Basic ").is_some());
}

#[test]
fn too_large_a_message_is_reported_and_the_connection_closed_with_1009() {
    let limit = [("websocket.max.message.size", "1000")];
    let peer = ScriptedPeer::builder()
        .script(Script::new().accept().send_text("x".repeat(1000)).send_text("x".repeat(1001)).expect_close(1009))
        .script(Script::new().accept())
        .start();
    let source = source(peer.url(), &limit);
    peer.wait_for_handshakes(2).blocking();
    assert_eq!(source.recorder.count(), 1);
    let (error, _) = source.recorder.errors().remove(0);
    assert!(error.to_string().contains("1009"), "{error}");
    assert_eq!(peer.wait_for_close().blocking().code, Some(1009));
}

#[test]
fn every_violation_of_the_protocol_is_answered_with_its_code_and_survived() {
    for violation in violations(Side::Server) {
        let peer = ScriptedPeer::builder()
            .script(Script::new().accept().send_raw(violation.bytes).expect_end())
            .script(Script::new().accept().send_text("back"))
            .start();
        let source = source(peer.url(), &[]);
        source.wait_for_messages(&["back"]);
        let closes = peer.record().closes;
        let codes: Vec<_> = closes.iter().filter_map(|close| close.code).collect();
        // A forbidden close code is answered by the library, with 1002.
        assert_eq!(codes, [violation.close_code], "{}", violation.name);
    }
}

#[test]
fn compressed_binary_messages_are_opened_and_text_is_left_alone() {
    let gzip = |data: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let script = Script::new()
        .accept()
        .send_text("plain")
        .send_binary(gzip(b"opened"))
        .send_binary("not gzip")
        .send_binary(gzip(&[b'x'; 2000]))
        .send_text("after");
    let peer = ScriptedPeer::builder().script(script).start();
    let raw = [("websocket.compression", "gzip"), ("websocket.compression.max.size", "1999")];
    let source = source(peer.url(), &raw);
    source.wait_for_messages(&["plain", "opened", "after"]);
    let errors = source.recorder.errors();
    assert_eq!(errors.len(), 2);
    assert_eq!(errors[0].1, b"not gzip");
    assert!(errors[1].0.to_string().contains("websocket.compression.max.size"), "{}", errors[1].0);
}

#[test]
fn a_pipeline_that_is_not_ready_stops_the_reading_but_not_the_pings() {
    let peer = ScriptedPeer::builder().receive_buffer(8 << 10).start();
    let raw = [("websocket.ping.interval", "10ms"), ("websocket.pong.timeout", "50ms")];
    let mut source = source(peer.url(), &raw);
    source.wait_for_state(ConnectionState::Connected);
    source.recorder.close_gate();
    let pings = peer.record().pings;
    eventually_blocking(DEADLINE, || peer.record().pings > pings + 10);
    assert_eq!(peer.record().connections, 1);
    peer.play_on_all(Script::new().send_text("held")).blocking();
    source.recorder.open_gate();
    eventually_blocking(DEADLINE, || source.recorder.count() == 1);
    source.recorder.close_gate();
    let before = Instant::now();
    source.stop();
    assert!(before.elapsed() < PROMPTLY);
}

#[test]
fn the_peers_pings_are_answered_while_the_pipeline_is_not_ready() {
    let peer = ScriptedPeer::builder().start();
    let source = source(peer.url(), &[]);
    source.wait_for_state(ConnectionState::Connected);
    source.recorder.close_gate();
    let script = Script::new().ping("first").send_text("a").ping("second").send_text("b").ping("third").reset();
    peer.play_on_all(script).blocking();
    assert_eq!(source.recorder.count(), 0);
    source.recorder.open_gate();
    source.wait_for_messages(&["a", "b"]);
    source.wait_for_state(ConnectionState::Connected);
    peer.finish().blocking();
}

#[test]
fn what_the_pipeline_answers_ends_the_source() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().send_text("x").expect_close(1001)).start();
    let mut source = Registry::new().source(&[("websocket.url", peer.url())]);
    let recorder = std::sync::Arc::new(eventflux_testkit::contract::SourceRecorder::new(
        eventflux_testkit::contract::OnDelivery::Fail,
    ));
    source.source.start(recorder.clone()).unwrap();
    eventually_blocking(DEADLINE, || !recorder.ends().is_empty());
    assert_eq!(recorder.ends(), [Err(EventFluxError::Stopped)]);
    peer.finish().blocking();
}

#[test]
fn stop_is_quick_in_every_state() {
    let stalled = ScriptedPeer::builder().script(Script::new().stall()).start();
    let ignoring = ScriptedPeer::builder().start();
    ignoring.ignore_connections().blocking();
    let refusing = ScriptedPeer::builder().start();
    refusing.refuse_connections().blocking();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = format!("wss://{}", silent.local_addr().unwrap());
    let slow = [("websocket.reconnect.delay.ms", "60000"), ("websocket.reconnect.max.delay.ms", "60000")];
    for (url, what) in
        [(stalled.url(), "handshake"), (ignoring.url(), "connecting"), (refusing.url(), "backoff"), (&tls, "TLS")]
    {
        let mut source = Registry::new().source(&[&[("websocket.url", url)], &slow[..]].concat());
        source.start().unwrap();
        let state = if what == "backoff" { ConnectionState::Reconnecting } else { ConnectionState::Connecting };
        source.wait_for_state(state);
        let before = Instant::now();
        source.stop();
        assert!(before.elapsed() < PROMPTLY, "{what}: {:?}", before.elapsed());
        assert_eq!(source.recorder.ends(), [Ok(())], "{what}");
    }
}

#[test]
fn a_peer_that_answers_no_goodbye_does_not_hold_up_the_stop() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().ignore_close()).start();
    let mut source = source(peer.url(), &[]);
    source.wait_for_state(ConnectionState::Connected);
    let before = Instant::now();
    source.source.stop(Duration::from_millis(300));
    assert!(before.elapsed() < PROMPTLY, "{:?}", before.elapsed());
    assert_eq!(peer.wait_for_close().blocking().code, Some(1000));
}

#[test]
fn a_source_is_started_once_and_a_clone_starts_afresh() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().send_text("x")).start();
    let mut source = source(peer.url(), &[]);
    assert!(matches!(source.start(), Err(EventFluxError::Configuration { .. })));
    source.wait_for_messages(&["x"]);
    source.stop();
    source.stop();
    let mut clone = source.source.clone_box();
    clone.start(source.recorder.clone()).unwrap();
    peer.wait_for_handshakes(2).blocking();
    clone.stop(DEADLINE);
}

#[test]
fn validation_tries_once() {
    let peer = ScriptedPeer::builder().start();
    let url = [&[("websocket.url", peer.url())], &QUICK[..]].concat();
    assert_eq!(Registry::new().source(&url).source.validate_connectivity(), Ok(()));
    peer.refuse_connections().blocking();
    let error = Registry::new().source(&url).source.validate_connectivity().unwrap_err();
    assert!(error.is_retryable(), "{error}");
}
