//! What is in messages: all encodings, what is none, what is too large.

use eventflux_testkit::peer::{Script, ScriptedClient, ScriptedPeer};
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually_blocking;
use serde_json::{Value, json};

use super::ends::{End, JSON, LISTENS, connects, link, mapped};
use super::plain::Plain;
use super::support::{DEADLINE, DLQ};

/// Where what fails is kept.
const FAILED: &str = "CREATE STREAM Failed (stage STRING, errorType STRING, errorMessage STRING, streamName STRING,
    originalEvent STRING);";

const BYTES: &str = "@map(type='bytes')";

/// A source that listens, and keeps what it cannot take.
fn taking(properties: &str) -> End {
    let dlq = format!("{DLQ}{properties}");
    End::start(&format!(
        "{} CREATE STREAM Taken (id STRING, n BIGINT); {FAILED}",
        link("source", LISTENS, &format!("metadata.id='id', {dlq}"))
    ))
}

fn data(id: &str, payload: &Value) -> Value {
    json!({"type": "data", "id": id, "timestamp": 1_704_844_800_000_u64, "payload": payload})
}

#[test]
fn what_is_no_envelope_goes_to_the_error_strategy_and_the_connection_stays() {
    let end = taking("");
    let peer = ScriptedClient::connect(end.url()).blocking();
    let cases: [(&str, &str); 9] = [
        ("hello", "JSON"),
        (r#"{"type":"data","id":"a","payload":{"n":1}"#, "JSON"),
        (r#"[1]"#, ""),
        (r#"{"id":"a","payload":{"n":1}}"#, "type"),
        (r#"{"type":"rumour","id":"a","payload":{"n":1}}"#, "'type' is none of data, request, reply"),
        (r#"{"type":"data","id":7,"payload":{"n":1}}"#, "id"),
        (r#"{"type":"data","id":"a"}"#, "payload"),
        (r#"{"type":"data","id":"a","timestamp":"now","payload":{"n":1}}"#, "timestamp"),
        (r#"{"type":"data","id":"a","encoding":"base64","payload":{"n":1}}"#, ""),
    ];
    for (index, (message, part)) in cases.iter().enumerate() {
        peer.send_text(*message).blocking();
        let failed = end.wait_for_rows("Failed", index + 1).remove(index);
        assert_eq!((&failed["errorType"], &failed["streamName"]), (&json!("mapping"), &json!("Taken")), "{failed}");
        let reason = failed["errorMessage"].as_str().unwrap();
        assert!(reason.contains("no message of federation") && reason.contains(part), "{message}: {reason}");
        assert_eq!(failed["originalEvent"], *message);
    }
    assert_eq!(end.metric("eventflux_federation_malformed_total", &[]), cases.len() as u64);
    // Bytes that are nothing.
    peer.send_binary(vec![0xc1, 0xff]).blocking();
    assert_eq!(end.wait_for_rows("Failed", cases.len() + 1)[cases.len()]["originalEvent"], "\u{fffd}\u{fffd}");
    // A payload that the format cannot take is the mapper's to tell.
    peer.send_text(data("b", &json!({"n": "seven"})).to_string()).blocking();
    let failed = end.wait_for_rows("Failed", cases.len() + 2).pop().unwrap();
    assert_eq!(
        (&failed["errorType"], &failed["originalEvent"]),
        (&json!("mapping"), &json!(r#"{"n":"seven"}"#)),
        "{failed}"
    );
    peer.send_text(data("c", &json!({"n": 1})).to_string()).blocking();
    end.has("Taken", &[json!({"id": "c", "n": 1})]);
    assert!(peer.record().endings.is_empty(), "the connection has ended");
    end.stop();
}

#[test]
fn members_come_in_any_order_and_unknown_ones_are_passed_over() {
    let end = taking("");
    let peer = ScriptedClient::connect(end.url()).blocking();
    for text in [
        r#"{"payload":{"n":1},"id":"data-1","type":"data"}"#,
        r#" { "colour" : {"a":[1,"}"]}, "type":"data", "payload" : { "n" : 2 } , "id":"data-2", "timestamp":1 } "#,
        r#"{"type":"d\u0061ta","id":"data-\u0033","payload":{"n":3}}"#,
    ] {
        peer.send_text(text).blocking();
    }
    let expected: Vec<_> = (1..=3).map(|n| json!({"id": format!("data-{n}"), "n": n})).collect();
    end.has("Taken", &expected);
    end.stop();
}

#[test]
fn bytes_are_base64_in_an_envelope_of_json_and_come_out_as_they_went_in() {
    let sink = mapped("sink", LISTENS, "websocket.payload='binary', websocket.history.events='10'", BYTES);
    let hub = End::start(&format!("{sink} CREATE STREAM Out (payload BYTES);"));
    let plain = Plain::connect(&hub.url());
    plain.ask("status", &json!({}));
    let source = mapped("source", &connects(&hub.url()), "", BYTES);
    let edge = End::start(&format!("{source} CREATE STREAM Taken (payload BYTES);"));
    hub.send("Out", &json!({"payload": "no \u{0}JSON \u{7f} at all"})).unwrap();
    let text = "no \u{0}JSON \u{7f} at all";
    edge.has("Taken", &[json!({"payload": text.as_bytes()})]);
    let message = plain.next();
    assert_eq!(message["encoding"], "base64", "{message}");
    assert_eq!(message["payload"], openssl::base64::encode_block(text.as_bytes()), "{message}");
    edge.stop();
    hub.stop();
}

#[test]
fn pipelines_understand_each_other_in_every_encoding_compressed_or_not() {
    for (encoding, compressed) in
        [("json", true), ("msgpack", false), ("msgpack", true), ("cbor", false), ("cbor", true)]
    {
        let deflate = format!("websocket.permessage-deflate='{compressed}', websocket.encoding='{encoding}'");
        let columns = "(n BIGINT, exact BIGINT, part DOUBLE, text STRING, nested JSON)";
        let hub = End::start(&format!("{} CREATE STREAM Out {columns};", link("sink", LISTENS, &deflate)));
        let source = link("source", &connects(&hub.url()), &deflate);
        let edge = End::start(&format!("{source} CREATE STREAM Taken {columns};"));
        let event = |n: i64| {
            let text = "ä\u{1f600}\"\\ ".repeat(200);
            json!({"n": n, "exact": i64::MAX - n, "part": n as f64 / 8.0, "text": text, "nested": {"a": [1, null, true]}})
        };
        let events: Vec<_> = (0..200).map(event).collect();
        hub.send_all("Out", &events).unwrap();
        edge.has("Taken", &events);
        edge.stop();
        hub.stop();
    }
}

#[test]
fn all_encodings_are_read_whatever_is_written() {
    let end = taking("");
    let peer = ScriptedClient::connect(end.url()).blocking();
    // {"type": "data", "id": "m", "payload": {"n": 1}}
    let messagepack = b"\x83\xa4type\xa4data\xa2id\xa1m\xa7payload\x81\xa1n\x01";
    let cbor = b"\xa3\x64type\x64data\x62id\x61c\x67payload\xa1\x61n\x02";
    peer.send_binary(messagepack.to_vec()).blocking();
    peer.send_binary(cbor.to_vec()).blocking();
    peer.send_text(data("j", &json!({"n": 3})).to_string()).blocking();
    end.has("Taken", &[json!({"id": "m", "n": 1}), json!({"id": "c", "n": 2}), json!({"id": "j", "n": 3})]);
    end.stop();
}

#[test]
fn a_payload_that_is_no_json_fails_alone() {
    let map = "@map(type='text', text.template='${payload}')";
    let sink = mapped("sink", LISTENS, DLQ, map);
    let end = End::start(&format!("{sink} CREATE STREAM Out (payload STRING); {FAILED}"));
    let peer = Plain::connect(&end.url());
    peer.ask("status", &json!({}));
    let events: Vec<_> = [r#"{"n":1}"#, "n=2", r#"{"n":3}"#].map(|payload| json!({ "payload": payload })).into();
    end.send_all("Out", &events).unwrap();
    assert_eq!(peer.members("n", 2), [1, 3]);
    let failed = end.wait_for_rows("Failed", 1).remove(0);
    assert_eq!((&failed["errorType"], &failed["originalEvent"]), (&json!("send"), &json!("n=2")), "{failed}");
    assert!(failed["errorMessage"].as_str().unwrap().contains("use websocket.payload='binary'"), "{failed}");
    end.stop();
}

/// An event with a text of so many bytes.
fn sized(n: i64, bytes: usize) -> Value {
    json!({"n": n, "text": "x".repeat(bytes)})
}

#[test]
fn an_event_that_is_too_large_for_its_receiver_fails_alone() {
    let source = link(
        "source",
        LISTENS,
        "websocket.max.message.size='1KiB', websocket.accept='data, gap', metadata.kind='kind'",
    );
    let hub =
        End::start(&format!("{source} CREATE STREAM Taken (kind STRING, n BIGINT, reason STRING, missing BIGINT);"));
    let sink = link("sink", &connects(&hub.url()), DLQ);
    let edge = End::start(&format!("{sink} CREATE STREAM Out (n BIGINT, text STRING); {FAILED}"));
    let events = [sized(1, 10), sized(2, 2_000), sized(3, 10), sized(4, 5_000), sized(5, 10)];
    edge.send_all("Out", &events).unwrap();
    let event = |n: i64| json!({"kind": "data", "n": n, "reason": null, "missing": null});
    let gap = json!({"kind": "gap", "n": null, "reason": "too_large", "missing": 1});
    hub.has("Taken", &[event(1), gap.clone(), event(3), gap, event(5)]);
    let failed = edge.wait_for_rows("Failed", 2);
    for (failed, event) in failed.iter().zip([&events[1], &events[3]]) {
        assert_eq!((&failed["errorType"], &failed["streamName"]), (&json!("send"), &json!("Out")), "{failed}");
        assert!(failed["errorMessage"].as_str().unwrap().contains("does not accept a payload of"), "{failed}");
        assert_eq!(serde_json::from_str::<Value>(failed["originalEvent"].as_str().unwrap()).unwrap(), *event);
    }
    assert_eq!(edge.metric("eventflux_federation_too_large_total", &[]), 2);
    assert_eq!(hub.metric("eventflux_federation_missing_total", &[]), 2);
    // Over one and the same connection, and nothing is waited for any more.
    assert_eq!(edge.metric("eventflux_sink_reconnects_total", &[]), 0);
    assert_eq!(edge.stop().undelivered, 0);
    hub.stop();
}

#[test]
fn all_that_fits_arrives_and_nothing_that_does_not_ends_the_connection() {
    const LIMIT: i64 = 1_024;
    for encoding in ["json", "msgpack", "cbor"] {
        let hub = link("source", LISTENS, "websocket.max.message.size='1KiB'");
        let hub = End::start(&format!("{hub} CREATE STREAM Taken (n BIGINT);"));
        let place = format!("{}, websocket.encoding='{encoding}'", connects(&hub.url()));
        let columns = "(n BIGINT, text STRING)";
        let edge = End::start(&format!("{} CREATE STREAM Out {columns}; {FAILED}", link("sink", &place, DLQ)));
        // From well below to well above, byte by byte.
        let sizes: Vec<_> = (LIMIT - 200..LIMIT + 50).collect();
        let events: Vec<_> = sizes.iter().map(|size| sized(*size, *size as usize)).collect();
        edge.send_all("Out", &events).unwrap();
        eventually_blocking(DEADLINE, || edge.rows("Failed").len() + hub.rows("Taken").len() >= sizes.len());
        let arrived: Vec<_> = hub.rows("Taken").iter().map(|row| row["n"].as_i64().unwrap()).collect();
        assert_eq!(arrived, sizes[..arrived.len()], "{encoding}");
        assert_eq!(edge.rows("Failed").len(), sizes.len() - arrived.len(), "{encoding}");
        assert!((1..sizes.len()).contains(&arrived.len()), "{encoding}: {}", arrived.len());
        assert_eq!(edge.metric("eventflux_sink_reconnects_total", &[]), 0, "{encoding}");
        edge.stop();
        hub.stop();
    }
}

#[test]
fn a_sink_that_listens_passes_over_what_is_too_large_for_one_of_its_receivers() {
    let hub = End::start(&format!("{} CREATE STREAM Out (n BIGINT, text STRING);", link("sink", LISTENS, "")));
    let place = connects(&hub.url());
    let small = link("source", &place, "websocket.max.message.size='1KiB', websocket.link.name='small'");
    let large = link("source", &place, "websocket.link.name='large'");
    let edge = End::start(&format!("{small} CREATE STREAM Small (n BIGINT); {large} CREATE STREAM Large (n BIGINT);"));
    hub.send_all("Out", &[sized(0, 10), sized(1, 3_000), sized(2, 10)]).unwrap();
    edge.has("Small", &[json!({"n": 0}), json!({"n": 2})]);
    edge.has_numbers("Large", 0..3);
    eventually_blocking(DEADLINE, || hub.metric("eventflux_federation_too_large_total", &[]) == 1);
    assert_eq!(edge.metric("eventflux_source_reconnects_total", &[]), 0);
    edge.stop();
    hub.stop();
}

#[test]
fn a_peer_that_closes_for_a_large_event_is_not_sent_it_again() {
    // More than the kernel takes, so that it is still under way when the peer closes.
    const LARGE: usize = 24 << 20;
    let reject = Script::new().accept().expect_messages(1).stop_reading().wait_for_signal("busy").resume_reading();
    let reject = reject.close(1009, "too large");
    let peer = ScriptedPeer::builder().receive_buffer(8 << 10).script(reject).script(Script::new().accept()).start();
    let proxy = ChaosProxy::start(peer.address());
    let url = format!("ws://{}/", proxy.address());
    let place = format!("{}, websocket.link='off', websocket.retain.bytes='64MiB', {DLQ}", connects(&url));
    let edge = End::start(&format!("{} CREATE STREAM Out (n BIGINT, text STRING); {FAILED}", link("sink", &place, "")));
    edge.send("Out", &sized(1, 10)).unwrap();
    peer.wait_for_messages(1).blocking();
    let before = proxy.traffic().to_upstream_bytes;
    edge.send_all("Out", &[sized(2, LARGE), sized(3, 10)]).unwrap();
    eventually_blocking(DEADLINE, || proxy.traffic().to_upstream_bytes > before + (4 << 10));
    peer.signal("busy");
    let failed = edge.wait_for_rows("Failed", 1).remove(0);
    assert!(
        failed["errorMessage"].as_str().unwrap().contains("does not accept a payload of"),
        "{}",
        failed["errorMessage"]
    );
    let sent = || {
        peer.messages()
            .iter()
            .map(|message| serde_json::from_slice::<Value>(message.as_bytes()).unwrap())
            .collect::<Vec<_>>()
    };
    eventually_blocking(DEADLINE, || sent().iter().any(|message| message["payload"]["n"] == 3));
    assert!(sent().iter().all(|message| message["payload"]["n"] != 2));
    edge.stop();
}

#[test]
fn what_a_peer_sends_that_is_too_large_ends_its_connection_with_1009() {
    let end = taking(", websocket.max.message.size='1KiB'");
    let peer = ScriptedClient::connect(end.url()).blocking();
    peer.send_text(data("a", &json!({"n": 1})).to_string()).blocking();
    peer.send_text(data("b", &sized(2, 2_000)).to_string()).blocking();
    peer.expect_close(1009).blocking();
    end.wait_for_rows("Taken", 1);
    let source = mapped("source", LISTENS, "websocket.max.message.size='0'", JSON);
    let error = super::ends::refused(&format!("{source} CREATE STREAM Taken (n BIGINT);"));
    assert!(error.contains("websocket.max.message.size"), "{error}");
    end.stop();
}
