//! The integration tests of the WebSocket source and sink design, each through the engine and real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::sync::{Arc, Mutex};

use eventflux_core::ValueRef;
use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::{Script, ScriptedPeer};
use eventflux_testkit::wait::eventually_blocking;
use support::{DEADLINE, Pipeline, QUICK, client, context, messages, numbers, received, relay, sending};

#[test]
fn websocket_source_connect_disconnect() {
    let feed = ScriptedPeer::builder().script(sending(0..3)).start();
    let (pipeline, seen) = collecting(feed.url(), "");
    eventually_blocking(DEADLINE, || seen.lock().unwrap().len() == 3);
    pipeline.wait_for_state("Fed", ConnectionState::Connected);
    assert_eq!(pipeline.metric("eventflux_source_connections", "Fed"), 1);
    let summary = pipeline.stop();
    assert_eq!(feed.wait_for_close().blocking().code, Some(1000));
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2]);
    assert_eq!((summary.events_in, summary.failed, summary.dropped), (3, 0, 0));
}

#[test]
fn websocket_source_reconnect() {
    let feed = ScriptedPeer::builder()
        .script(sending(0..2).close(1012, "restart"))
        .script(sending(2..4).hang_up())
        .script(sending(4..5))
        .start();
    let (pipeline, seen) = collecting(feed.url(), QUICK);
    eventually_blocking(DEADLINE, || seen.lock().unwrap().len() == 5);
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(pipeline.metric("eventflux_source_reconnects_total", "Fed"), 2);
    assert_eq!(pipeline.metric("eventflux_source_gaps_total", "Fed"), 2);
    pipeline.stop();
}

#[test]
fn websocket_sink_publish() {
    for (kind, is_text) in [("text", true), ("binary", false)] {
        let receiver = ScriptedPeer::builder().start();
        let properties = format!("websocket.message.type='{kind}'");
        let sql = format!(
            "{} CREATE STREAM Out (symbol STRING, price DOUBLE, volume DOUBLE);",
            client("sink", receiver.url(), &properties)
        );
        let pipeline = Pipeline::start(&sql);
        let out = pipeline.flux.input("Out").unwrap();
        out.send(&["BTCUSDT".into(), 50_000.5.into(), 0.25.into()]).unwrap();
        let sent = receiver.wait_for_messages(1).blocking();
        assert_eq!(sent[0].as_bytes(), br#"{"symbol":"BTCUSDT","price":50000.5,"volume":0.25}"#);
        assert_eq!(sent[0].as_text().is_some(), is_text, "{kind}");
        assert_eq!(pipeline.stop().events_out, 1);
        assert_eq!(receiver.wait_for_close().blocking().code, Some(1000));
    }
}

#[test]
fn websocket_round_trip() {
    let trade = |symbol: &str, price: &str, quantity: &str, time: u64| {
        format!(r#"{{"e":"trade","s":"{symbol}","p":"{price}","q":"{quantity}","T":{time},"m":true}}"#)
    };
    let trades = [
        trade("BTCUSDT", "50000.01", "0.5", 1_700_000_000_000),
        trade("DOGEUSDT", "0.1", "7", 1_700_000_000_001),
        trade("ETHUSDT", "2500.5", "2", 1_700_000_000_002),
    ];
    let feed = ScriptedPeer::builder().script(Script::new().accept().send_all(trades)).start();
    let receiver = ScriptedPeer::builder().start();
    let sql = format!(
        "{} CREATE STREAM RawTrades (e STRING, s STRING, p STRING, q STRING, T BIGINT);
         {} CREATE STREAM OutputEvents (symbol STRING, price DOUBLE, volume DOUBLE, time BIGINT);
         INSERT INTO OutputEvents
         SELECT s AS symbol, CAST(p AS DOUBLE) AS price, CAST(q AS DOUBLE) AS volume, T AS time
         FROM RawTrades WHERE CAST(p AS DOUBLE) > 100;",
        client("source", feed.url(), ""),
        client("sink", receiver.url(), "websocket.message.type='text'")
    );
    let pipeline = Pipeline::start(&sql);
    let events = received(&receiver, 2);
    assert_eq!(
        events,
        [
            serde_json::json!({"symbol":"BTCUSDT","price":50000.01,"volume":0.5,"time":1_700_000_000_000_u64}),
            serde_json::json!({"symbol":"ETHUSDT","price":2500.5,"volume":2.0,"time":1_700_000_000_002_u64}),
        ]
    );
    let summary = pipeline.stop();
    assert_eq!((summary.events_in, summary.events_out, summary.failed), (3, 2, 0));
}

#[test]
fn a_burst_goes_through_in_order_and_whole() {
    const COUNT: u64 = 20_000;
    let feed = ScriptedPeer::builder().script(sending(0..COUNT)).start();
    let receiver = ScriptedPeer::builder().start();
    let pipeline = Pipeline::start(&relay(feed.url(), "", receiver.url(), ""));
    let arrived = numbers(&receiver.wait_for_messages(messages(0..COUNT).len()).blocking());
    eventflux_testkit::sequence::check(0..COUNT, arrived).assert_clean();
    assert_eq!(pipeline.stop().events_out, COUNT);
}

/// A pipeline with a source only, and the numbers it brings.
fn collecting(url: &str, properties: &str) -> (Pipeline, Arc<Mutex<Vec<i64>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let copy = seen.clone();
    let sql = format!("{} CREATE STREAM Fed (n BIGINT);", client("source", url, properties));
    let pipeline = Pipeline::start_with(&sql, &context(), |flux| {
        let collect = move |batch: &eventflux_core::EventBatch| {
            let numbers = batch.rows().filter_map(|row| match row.get("n") {
                Some(ValueRef::Long(number)) => Some(number),
                _ => None,
            });
            copy.lock().unwrap().extend(numbers);
        };
        flux.subscribe("Fed", collect).unwrap();
    });
    (pipeline, seen)
}
