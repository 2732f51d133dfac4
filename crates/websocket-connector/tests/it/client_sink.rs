//! The client sink: order, outages, queue policies, giving up, stopping.

use std::time::{Duration, Instant};

use eventflux_core::health::ConnectionState;
use eventflux_core::{EventFluxError, Sink};
use eventflux_testkit::collector::Collector;
use eventflux_testkit::peer::{Message, RawFrame, Script, ScriptedPeer};
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually_blocking;

use crate::support::{DEADLINE, PROMPTLY, TestSink, batch, sink};

fn number(payload: &[u8]) -> Option<u64> {
    std::str::from_utf8(payload).ok()?.parse().ok()
}

fn publish_all(sink: &dyn Sink, numbers: std::ops::Range<u64>) {
    let numbers: Vec<_> = numbers.collect();
    for chunk in numbers.chunks(100) {
        eventually_blocking(DEADLINE, || sink.is_ready());
        sink.publish_batch(&batch(chunk.iter().map(u64::to_string))).unwrap();
    }
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().filter_map(Message::as_text).collect()
}

#[test]
fn publish() {
    let peer = ScriptedPeer::builder().start();
    let sink = sink(peer.url(), &[]);
    sink.sink.publish(b"one").unwrap();
    sink.sink.publish_batch(&batch(["two", "", "three"])).unwrap();
    assert_eq!(texts(&peer.wait_for_messages(4).blocking()), ["one", "two", "", "three"]);
    assert_eq!(sink.stop(), 0);
    assert_eq!(peer.wait_for_close().blocking().code, Some(1000));
    assert_eq!(sink.context.health.current().state, ConnectionState::Stopped);
    assert_eq!(sink.context.metrics.queue_bytes.value(), 0);
}

#[test]
fn many_payloads_arrive_in_order_and_a_stop_drains() {
    let collector = Collector::start();
    let sink = sink(collector.url(), &[("websocket.queue.bytes", "4KiB")]);
    publish_all(&*sink.sink, 0..20_000);
    assert_eq!(sink.stop(), 0);
    collector.wait_for_messages(20_000).blocking();
    collector.check_sequence(0..20_000, number).assert_clean();
}

#[test]
fn binary_messages_and_large_payloads_arrive_whole() {
    let peer = ScriptedPeer::builder().start();
    let sink = sink(peer.url(), &[("websocket.message.type", "binary")]);
    let large: Vec<u8> = (0..5_000_000_u32).map(|number| number as u8).collect();
    sink.sink.publish(&large).unwrap();
    sink.sink.publish(&[0xFF, 0]).unwrap();
    let messages = peer.wait_for_messages(2).blocking();
    assert!(messages[0] == Message::Binary(large.into()), "the large payload changed on its way");
    assert_eq!(messages[1], Message::Binary(vec![0xFF, 0].into()));
}

#[test]
fn a_payload_that_is_no_text_is_refused_alone() {
    let peer = ScriptedPeer::builder().start();
    let sink = sink(peer.url(), &[]);
    let failure = sink.sink.publish_batch(&batch([&b"good"[..], b"\xFF", b"behind"])).unwrap_err();
    assert_eq!(failure.row, 1);
    assert!(matches!(&failure.error, EventFluxError::Send { retryable: false, .. }), "{}", failure.error);
    sink.sink.publish_batch(&batch([&b"good"[..], b"\xFF", b"behind"]).tail(2)).unwrap();
    assert_eq!(texts(&peer.wait_for_messages(2).blocking()), ["good", "behind"]);
}

#[test]
fn pings_of_the_peer_are_answered_and_what_it_sends_is_ignored() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().ping("a").send_text("noise").ping("b")).start();
    let sink = sink(peer.url(), &[]);
    peer.finish().blocking();
    sink.sink.publish(b"x").unwrap();
    peer.wait_for_messages(1).blocking();
}

#[test]
fn an_outage_keeps_the_order_and_loses_nothing() {
    let peer = ScriptedPeer::builder().start();
    let sink = sink(peer.url(), &[("websocket.reconnect.max.attempts", "-1")]);
    publish_all(&*sink.sink, 0..1000);
    peer.wait_for_messages(1000).blocking();
    peer.refuse_connections().blocking();
    peer.cut();
    sink.wait_for_state(ConnectionState::Reconnecting);
    publish_all(&*sink.sink, 1000..2000);
    peer.accept_connections().blocking();
    let messages = peer.wait_for_messages(2000).blocking();
    let arrived = messages.iter().filter_map(|message| number(message.as_bytes()));
    eventflux_testkit::sequence::check(0..2000, arrived).assert_clean();
    assert_eq!(sink.context.metrics.reconnects.value(), 1);
    assert!(sink.recorder.failed().is_empty());
}

#[test]
fn a_full_queue_is_backpressure_until_the_peer_is_back() {
    let peer = ScriptedPeer::builder().start();
    peer.refuse_connections().blocking();
    let raw = [("websocket.queue.bytes", "1KiB"), ("websocket.reconnect.max.attempts", "-1")];
    let sink = sink(peer.url(), &raw);
    assert!(sink.sink.is_ready());
    sink.sink.publish_batch(&batch((0..100).map(|number: u64| number.to_string()))).unwrap();
    assert!(!sink.sink.is_ready());
    assert!(sink.context.metrics.queue_bytes.value() >= 1024);
    peer.accept_connections().blocking();
    tokio_test::block_on(async { tokio::time::timeout(DEADLINE, sink.sink.ready()).await.unwrap() });
    assert_eq!(peer.wait_for_messages(100).blocking().len(), 100);
}

#[test]
fn queue_policies_drop_the_oldest_or_the_newest_and_count() {
    for (policy, expected) in [("drop_oldest", ["7", "8", "9"]), ("drop_newest", ["0", "1", "2"])] {
        let peer = ScriptedPeer::builder().start();
        peer.refuse_connections().blocking();
        let raw = [
            ("websocket.queue.bytes", "51"),
            ("websocket.queue.full", policy),
            ("websocket.reconnect.max.attempts", "-1"),
        ];
        let sink = sink(peer.url(), &raw);
        (0..10).for_each(|number| sink.sink.publish(number.to_string().as_bytes()).unwrap());
        assert!(sink.sink.is_ready());
        assert_eq!(sink.context.metrics.dropped.value(), 7, "{policy}");
        peer.accept_connections().blocking();
        assert_eq!(texts(&peer.wait_for_messages(3).blocking()), expected, "{policy}");
    }
}

fn failed(sink: &TestSink) -> Vec<String> {
    sink.recorder.failed().iter().map(|(payload, _)| String::from_utf8_lossy(payload).into_owned()).collect()
}

#[test]
fn giving_up_fails_what_is_queued_and_a_later_publish_starts_over() {
    let peer = ScriptedPeer::builder().start();
    peer.refuse_connections().blocking();
    let sink = sink(peer.url(), &[("websocket.reconnect.max.attempts", "2")]);
    // Whether this is queued or refused depends on who is first.
    let queued = sink.sink.publish(b"queued").is_ok();
    sink.wait_for_state(ConnectionState::Failed);
    eventually_blocking(DEADLINE, || failed(&sink).len() == usize::from(queued));
    assert!(sink.sink.is_ready());
    let error = sink.sink.publish(b"refused").unwrap_err();
    assert!(matches!(error, EventFluxError::ConnectionUnavailable { retryable: true, .. }), "{error}");
    peer.accept_connections().blocking();
    eventually_blocking(DEADLINE, || sink.sink.publish(b"later").is_ok());
    let messages = peer.wait_for_messages(1).blocking();
    assert_eq!(texts(&messages)[0], "later");
    sink.wait_for_state(ConnectionState::Connected);
}

/// A peer that closes with 1009 while most of a payload is still to be sent, in the way of `refusal`.
fn too_large_fails_alone(refusal: impl FnOnce(Script) -> Script, raw: &[(&str, &str)]) {
    let refusing = refusal(Script::new().accept().stop_reading().wait_for_signal("busy"));
    let peer = ScriptedPeer::builder().receive_buffer(8 << 10).script(refusing).script(Script::new().accept()).start();
    let proxy = ChaosProxy::start(peer.address());
    let url = format!("ws://{}", proxy.address());
    let sink = sink(&url, &[&[("websocket.queue.bytes", "64MiB")], raw].concat());
    let large = "x".repeat(30 << 20);
    sink.sink.publish(large.as_bytes()).unwrap();
    sink.sink.publish(b"small").unwrap();
    eventually_blocking(DEADLINE, || proxy.traffic().to_upstream_bytes > 4 << 10);
    peer.signal("busy");
    eventually_blocking(DEADLINE, || sink.recorder.failed().len() == 1);
    let (payload, error) = sink.recorder.failed().remove(0);
    assert_eq!(payload.len(), large.len());
    assert!(matches!(error, EventFluxError::Send { retryable: false, .. }), "{error}");
    eventually_blocking(DEADLINE, || peer.messages().iter().any(|message| message.as_text() == Some("small")));
}

#[test]
fn a_payload_the_peer_finds_too_large_fails_alone() {
    too_large_fails_alone(|script| script.resume_reading().close(1009, "too big"), &[]);
}

#[test]
fn a_peer_that_finds_a_payload_too_large_and_reads_nothing_more_holds_nobody_up() {
    // The frame under way fits nowhere, so the goodbye takes as long as it may.
    let raw = [("websocket.close.timeout", "200ms")];
    too_large_fails_alone(|script| script.send_frame(RawFrame::close(1009, "too big")), &raw);
}

#[test]
fn a_peer_that_does_not_read_meets_the_write_timeout() {
    let peer = ScriptedPeer::builder()
        .receive_buffer(8 << 10)
        .script(Script::new().accept().stop_reading().delay(DEADLINE))
        .script(Script::new().accept())
        .start();
    let raw = [("websocket.write.timeout", "500ms"), ("websocket.queue.bytes", "64MiB")];
    let sink = sink(peer.url(), &raw);
    sink.sink.publish("x".repeat(30 << 20).as_bytes()).unwrap();
    let messages = peer.wait_for_messages(1).blocking();
    assert_eq!(messages[0].as_bytes().len(), 30 << 20);
}

#[test]
fn stop_says_what_it_could_not_deliver_and_is_quick_about_it() {
    let peer = ScriptedPeer::builder().start();
    peer.refuse_connections().blocking();
    let slow = [("websocket.reconnect.delay.ms", "60000"), ("websocket.reconnect.max.delay.ms", "60000")];
    let registry = crate::support::Registry::new();
    let sink = registry.sink(&[&[("websocket.url", peer.url())], &slow[..]].concat());
    sink.start().unwrap();
    sink.wait_for_state(ConnectionState::Reconnecting);
    sink.sink.publish_batch(&batch(["a", "b"])).unwrap();
    let before = Instant::now();
    assert_eq!(sink.stop(), 2);
    assert!(before.elapsed() < PROMPTLY, "{:?}", before.elapsed());
    assert_eq!(sink.stop(), 0);
    assert_eq!(sink.sink.publish(b"x"), Err(EventFluxError::Stopped));
}

#[test]
fn stop_during_backoff_delivers_what_is_queued_when_the_peer_is_back() {
    let peer = ScriptedPeer::builder().start();
    peer.refuse_connections().blocking();
    let slow = [("websocket.reconnect.delay.ms", "60000"), ("websocket.reconnect.max.delay.ms", "60000")];
    let registry = crate::support::Registry::new();
    let sink = registry.sink(&[&[("websocket.url", peer.url())], &slow[..]].concat());
    sink.start().unwrap();
    sink.wait_for_state(ConnectionState::Reconnecting);
    sink.sink.publish(b"queued").unwrap();
    peer.accept_connections().blocking();
    assert_eq!(sink.stop(), 0);
    assert_eq!(texts(&peer.wait_for_messages(1).blocking()), ["queued"]);
}

#[test]
fn stop_with_a_stalled_peer_returns_in_time_and_counts() {
    let peer = ScriptedPeer::builder().receive_buffer(8 << 10).script(Script::new().accept().stop_reading()).start();
    let sink = sink(peer.url(), &[("websocket.queue.bytes", "64MiB")]);
    sink.wait_for_state(ConnectionState::Connected);
    sink.sink.publish("x".repeat(30 << 20).as_bytes()).unwrap();
    let before = Instant::now();
    assert_eq!(sink.sink.stop(Duration::from_millis(300)), 1);
    assert!(before.elapsed() < PROMPTLY, "{:?}", before.elapsed());
}

#[test]
fn compressed_payloads_can_be_opened_again() {
    let peer = ScriptedPeer::builder().start();
    let raw = [("websocket.message.type", "binary"), ("websocket.compression", "zstd")];
    let sink = sink(peer.url(), &raw);
    sink.sink.publish(b"payload payload payload").unwrap();
    let messages = peer.wait_for_messages(1).blocking();
    assert_eq!(zstd::decode_all(messages[0].as_bytes()).unwrap(), b"payload payload payload");
}

#[test]
fn a_sink_is_started_once() {
    let peer = ScriptedPeer::builder().start();
    let sink = sink(peer.url(), &[]);
    assert!(matches!(sink.start(), Err(EventFluxError::Configuration { .. })));
    assert!(sink.detail().starts_with("ws://"), "{}", sink.detail());
}
