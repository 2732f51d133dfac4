//! Several streams over one connection, and what those who share one have to agree upon.

use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::{Ending, Refused, Script, ScriptedClient, ScriptedPeer};
use eventflux_testkit::wait::eventually_blocking;
use serde_json::{Value, json};

use super::ends::{End, LISTENS, connects, link, refused};
use super::plain::Plain;
use super::support::DEADLINE;

/// By which both ends agree on links.
const SUBPROTOCOL: &str = "eventflux.link.v1";

/// The place of a client whose sources and sinks share one connection.
fn shared(url: &str, properties: &str) -> String {
    format!("{}, websocket.connection='hub'{properties}", connects(url))
}

/// Connections that a stream's source or sink has.
fn connections(end: &End, stream: &str) -> u64 {
    let samples = end.pipeline.flux.metrics().samples();
    let of_stream = |labels: &[(&str, String)]| labels.iter().any(|(key, value)| *key == "stream" && value == stream);
    let counted = |name: &str| matches!(name, "eventflux_source_connections" | "eventflux_sink_connections");
    samples.iter().filter(|sample| counted(sample.name) && of_stream(&sample.labels)).map(|sample| sample.value).sum()
}

#[test]
fn streams_in_both_directions_share_one_connection() {
    let hub = End::start(&format!(
        "{} CREATE STREAM Prices (n BIGINT); {} CREATE STREAM Alarms (n BIGINT);
         {} CREATE STREAM FromEdge (origin STRING, n BIGINT);",
        link("sink", LISTENS, ""),
        link("sink", LISTENS, ""),
        link("source", LISTENS, "metadata.origin='stream'"),
    ));
    let place = shared(&hub.url(), "");
    let edge = End::start(&format!(
        "{} CREATE STREAM Orders (n BIGINT); {} CREATE STREAM Answers (n BIGINT);
         {} CREATE STREAM P (n BIGINT); {} CREATE STREAM A (n BIGINT);",
        link("sink", &place, ""),
        link("sink", &place, "websocket.stream='answers of the edge'"),
        link("source", &place, "websocket.streams='Prices'"),
        link("source", &place, "websocket.streams='Alarms'"),
    ));
    for stream in ["Prices", "Alarms"] {
        hub.publish(stream, 0..500);
    }
    for stream in ["Orders", "Answers"] {
        edge.publish(stream, 0..500);
    }
    edge.has_numbers("P", 0..500);
    edge.has_numbers("A", 0..500);
    let came = hub.wait_for_rows("FromEdge", 1_000);
    for origin in ["Orders", "answers of the edge"] {
        let numbers: Vec<_> = came.iter().filter(|row| row["origin"] == origin).map(|row| row["n"].clone()).collect();
        assert_eq!(numbers, (0..500).map(Value::from).collect::<Vec<_>>(), "{origin}");
    }
    assert_eq!(connections(&hub, "Prices"), 1, "one connection for everything");
    edge.stop();
    hub.stop();
}

#[test]
fn what_a_peer_says_first_is_heard_by_all_who_share_the_connection() {
    for _ in 0..10 {
        let first = r#"{"type":"data","id":"data-001","payload":{"n":0}}"#;
        let peer = ScriptedPeer::builder().script(Script::new().accept_with_first_message(first)).start();
        let place = shared(peer.url(), "");
        let end = End::start(&format!(
            "{} CREATE STREAM Out (n BIGINT); {} CREATE STREAM One (n BIGINT); {} CREATE STREAM Other (n BIGINT);",
            link("sink", &place, ""),
            link("source", &place, ""),
            link("source", &place, ""),
        ));
        end.has_numbers("One", 0..1);
        end.has_numbers("Other", 0..1);
        end.stop();
    }
}

#[test]
fn a_source_takes_all_streams_or_those_it_names() {
    let hub = End::start(&format!(
        "{} CREATE STREAM A (n BIGINT); {} CREATE STREAM B (n BIGINT); {} CREATE STREAM C (n BIGINT);",
        link("sink", LISTENS, ""),
        link("sink", LISTENS, ""),
        link("sink", LISTENS, ""),
    ));
    let place = connects(&hub.url());
    let some = "metadata.origin='stream', websocket.streams='A, C', websocket.link.name='some'";
    let all = "metadata.origin='stream', websocket.link.name='all'";
    let edge = End::start(&format!(
        "{} CREATE STREAM Picked (origin STRING, n BIGINT); {} CREATE STREAM Everything (origin STRING, n BIGINT);",
        link("source", &place, some),
        link("source", &place, all),
    ));
    for stream in ["B", "A", "C"] {
        hub.publish(stream, 0..10);
    }
    let origins = |stream: &str, count| {
        let rows = edge.wait_for_rows(stream, count);
        let mut origins: Vec<_> = rows.iter().map(|row| row["origin"].as_str().unwrap().to_owned()).collect();
        origins.sort();
        origins.dedup();
        origins
    };
    assert_eq!(origins("Picked", 20), ["A", "C"]);
    assert_eq!(origins("Everything", 30), ["A", "B", "C"]);
    edge.stop();
    hub.stop();
}

#[test]
fn who_shares_a_connection_or_a_path_says_the_same_of_it() {
    let two = |one: &str, other: &str| {
        format!(
            "{} CREATE STREAM One (n BIGINT); {} CREATE STREAM Other (n BIGINT);",
            link("source", one, ""),
            link("source", other, "")
        )
    };
    let url = "ws://127.0.0.1:9/link";
    let cases = [
        ("websocket.url", two(&shared(url, ""), &shared("ws://127.0.0.1:9/other", ""))),
        ("websocket.link.name", two(&shared(url, ""), &shared(url, ", websocket.link.name='me'"))),
        ("websocket.encoding", two(&shared(url, ""), &shared(url, ", websocket.encoding='cbor'"))),
        ("websocket.headers", two(&shared(url, ""), &shared(url, ", websocket.headers.X-Key='hunter2'"))),
        ("websocket.request.timeout", two(&shared(url, ""), &shared(url, ", websocket.request.timeout='1s'"))),
        (
            "websocket.link.name",
            two(&format!("{LISTENS}, websocket.link.name='a'"), &format!("{LISTENS}, websocket.link.name='b'")),
        ),
    ];
    for (key, sql) in cases {
        let error = refused(&sql);
        assert!(error.contains(&format!("'{key}'")) && !error.contains("hunter2"), "{key}: {error}");
    }
    // Where both listen it is enough that one of them says it.
    End::start(&two(&format!("{LISTENS}, websocket.link.name='a'"), LISTENS)).stop();
}

#[test]
fn two_sinks_of_a_place_need_two_names() {
    for place in [LISTENS.to_owned(), shared("ws://127.0.0.1:9/link", "")] {
        let error = refused(&format!(
            "{} CREATE STREAM One (n BIGINT); {} CREATE STREAM Other (n BIGINT);",
            link("sink", &place, "websocket.stream='same'"),
            link("sink", &place, "websocket.stream='same'"),
        ));
        assert!(error.contains("'websocket.stream'") && error.contains("'same'"), "{error}");
    }
}

#[test]
fn who_listens_and_requires_a_link_refuses_a_peer_that_knows_none() {
    let end =
        End::start(&format!("{} CREATE STREAM Out (n BIGINT);", link("sink", LISTENS, "websocket.link='require'")));
    match ScriptedClient::builder(end.url()).attempt().blocking() {
        Err(Refused::Http(answer)) => assert_eq!(answer.status, 400, "{answer:?}"),
        other => panic!("not refused: {other:?}"),
    }
    let linked = ScriptedClient::builder(end.url()).subprotocol(SUBPROTOCOL).connect().blocking();
    assert_eq!(linked.subprotocol(), Some(SUBPROTOCOL));
    end.stop();
}

#[test]
fn who_connects_and_requires_a_link_closes_with_1008_and_tries_again() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().expect_close(1008)).start();
    let place = connects(peer.url());
    let end =
        End::start(&format!("{} CREATE STREAM Taken (n BIGINT);", link("source", &place, "websocket.link='require'")));
    let handshakes = peer.wait_for_handshakes(3).blocking();
    assert_eq!(handshakes[0].subprotocols(), [SUBPROTOCOL]);
    end.pipeline.wait_for_detail("Taken", "a link with acknowledgements is required");
    end.pipeline.wait_for_state("Taken", ConnectionState::Reconnecting);
    assert!(peer.record().messages.is_empty(), "nothing is said to it");
    end.stop();
}

#[test]
fn a_link_that_is_off_is_neither_offered_nor_chosen() {
    let peer = ScriptedPeer::builder().script(Script::new().accept()).start();
    let place = connects(peer.url());
    let client =
        End::start(&format!("{} CREATE STREAM Taken (n BIGINT);", link("source", &place, "websocket.link='off'")));
    assert_eq!(peer.wait_for_handshakes(1).blocking()[0].subprotocols(), [""; 0]);
    client.stop();

    let server =
        End::start(&format!("{} CREATE STREAM Out (n BIGINT);", link("sink", LISTENS, "websocket.link='off'")));
    let plain = Plain::built(ScriptedClient::builder(server.url()).subprotocol(SUBPROTOCOL));
    assert_eq!(plain.peer.subprotocol(), None);
    plain.ask("status", &json!({}));
    server.publish("Out", 0..1);
    assert_eq!(plain.members("n", 1), [0]);
    server.stop();
}

#[test]
fn a_link_says_what_the_page_prints() {
    let end = End::start(&format!(
        "{} CREATE STREAM Sensors (n BIGINT); {} CREATE STREAM Measured (n BIGINT);",
        link("sink", LISTENS, "websocket.link.name='edge-7'"),
        link("source", LISTENS, "")
    ));
    let peer = Plain::built(ScriptedClient::builder(end.url()).subprotocol(SUBPROTOCOL));
    let hello = peer.next();
    assert_eq!(hello["type"], "hello");
    let payload = &hello["payload"];
    assert_eq!((&payload["version"], &payload["name"]), (&json!(1), &json!("edge-7")));
    assert_eq!(
        payload["receives"],
        json!({"start": "earliest", "window": {"events": 16384, "bytes": 4_194_304}, "message_bytes": 16_777_216}),
    );
    let sends = payload["sends"].as_array().unwrap();
    let epoch = sends[0]["epoch"].as_str().unwrap().to_owned();
    assert_eq!((sends.len(), &sends[0]["stream"], epoch.len()), (1, &json!("Sensors"), 16));

    let window = json!({"events": 10, "bytes": 1_000_000});
    let ours = json!({"version": 1, "name": "hub", "receives": {"start": "earliest", "window": window}, "sends": []});
    let say = |kind: &str, payload: Value| json!({"type": kind, "id": "", "payload": payload});
    let stream = json!({"stream": "Sensors", "epoch": epoch, "after": null});
    peer.send_all([say("hello", ours), say("ack", json!({"streams": [stream]}))]);
    end.publish("Sensors", 0..30);
    let through = |sequence: u64| json!({"streams": [{"stream": "Sensors", "epoch": epoch, "through": sequence}]});
    for first in [1, 11, 21] {
        for sequence in first..first + 10 {
            let event = peer.next();
            assert_eq!((&event["type"], &event["id"]), (&json!("data"), &json!(format!("Sensors/{epoch}/{sequence}"))));
            assert_eq!(event["payload"], json!({"n": sequence - 1}));
        }
        // No more than its window are under way.
        peer.send(&say("ack", through(first + 9)));
    }
    eventually_blocking(DEADLINE, || end.metric("eventflux_federation_sent_total", &[]) == 30);
    end.stop();
}

#[test]
fn a_second_connection_of_one_receiver_ends_the_first() {
    let end = End::start(&format!("{} CREATE STREAM Out (n BIGINT);", link("sink", LISTENS, "")));
    let connect = || {
        let peer = Plain::built(ScriptedClient::builder(end.url()).subprotocol(SUBPROTOCOL));
        let hello = peer.next();
        let receives = json!({"start": "earliest", "window": {"events": 10, "bytes": 1_000_000}});
        let ours = json!({"version": 1, "name": "hub", "receives": receives, "sends": []});
        let stream = json!({"stream": "Out", "epoch": hello["payload"]["sends"][0]["epoch"], "after": null});
        let say = |kind: &str, payload: Value| json!({"type": kind, "id": "", "payload": payload});
        peer.send_all([say("hello", ours), say("ack", json!({"streams": [stream]}))]);
        peer
    };
    end.publish("Out", 0..1);
    let first = connect();
    assert_eq!(first.members("n", 1), [0]);
    let second = connect();
    match first.peer.wait_for_end().blocking() {
        Ending::Closed { code: Some(1008), reason } => assert!(reason.contains("'hub'"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(second.members("n", 1), [0]);
    assert_eq!(end.pipeline.logged("give one of them a name of its own").len(), 1);
    end.stop();
}
