//! Every field of the guide's configuration: its default, and what it does.

use eventflux_core::Properties;
use eventflux_testkit::peer::{Ending, Message, Script, ScriptedClient};
use eventflux_testkit::wait::eventually_blocking;
use serde_json::{Value, json};

use super::super::client::{Client, refusal};
use super::super::served::WATCHED;
use super::super::support::{DEADLINE, context};
use super::{channels, event, is_error, subscribe};

/// The properties of a source or sink of this protocol for which nothing is given.
fn defaults() -> Properties {
    let context = context();
    let specs = context.sink_factory("websocket").unwrap().properties();
    let given = [
        ("websocket.mode", "server"),
        ("websocket.listen", "127.0.0.1:0"),
        ("websocket.protocol", "channels"),
        ("websocket.auth", "token"),
        ("websocket.auth.tokens", "a=b"),
    ];
    Properties::resolve(specs, given, &|_| None).unwrap()
}

#[test]
fn defaults_are_those_of_the_guide() {
    let defaults = defaults();
    let integer = |key: &str| defaults.integer::<u64>(key).unwrap();
    let seconds = |key: &str| defaults.duration(key).unwrap().as_secs();
    assert_eq!(integer("websocket.max.connections"), 1000, "max_connections");
    let silence = seconds("websocket.ping.interval") + seconds("websocket.pong.timeout");
    assert!(silence <= 60, "connection_timeout: a client of whom nothing is heard is gone after {silence} s");
    assert_eq!(seconds("websocket.ping.interval"), 30, "ping_interval");
    assert_eq!(seconds("websocket.pong.timeout"), 10, "pong_timeout");
    assert_eq!(defaults.size("websocket.max.message.size").unwrap(), 64 << 10, "max_message_size");
    assert_eq!(defaults.text("websocket.permessage-deflate").unwrap(), "true", "enable_compression");
    assert_eq!(integer("websocket.max.requests"), 100, "buffer_size");
    assert_eq!(integer("websocket.max.subscriptions"), 50, "max_subscriptions_per_connection");
    assert_eq!(integer("websocket.max.subscribers"), 10_000, "max_subscribers_per_channel");
    assert_eq!(integer("websocket.max.connections.per.address"), 10, "max_connections_per_ip");
    assert_eq!(defaults.size("websocket.client.queue.bytes").unwrap(), 1 << 20, "broadcast_buffer_size");
    assert_eq!(defaults.text("websocket.auth.query").unwrap(), "token");
}

#[test]
fn max_connections_holds_and_a_place_is_free_again() {
    let served = channels().with("websocket.max.connections='2'").start();
    let clients = [served.client(""), served.client("")];
    served.has_connections(2);
    let answer = refusal(ScriptedClient::builder(served.url("")));
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some());
    let [first, second] = clients;
    first.leave();
    eventually_blocking(DEADLINE, || ScriptedClient::builder(served.url("")).attempt().blocking().is_ok());
    second.subscribe(&[WATCHED]);
    served.serves(&second);
    served.stop();
}

#[test]
fn connection_timeout_ends_a_client_that_says_nothing() {
    let served = channels().with("websocket.idle.timeout='300ms'").start();
    let silent = served.client("");
    let ending = silent.peer.wait_for_end().blocking();
    assert!(!matches!(ending, Ending::ByTest), "{ending}");
    served.counted_violation("dead", 1);
    served.stop();
}

#[test]
fn pings_come_at_their_interval_as_messages_and_as_frames() {
    let served = channels().with("websocket.ping.interval='50ms'").start();
    let client = served.client("");
    for _ in 0..3 {
        assert_eq!(client.next(), json!({"type": "ping"}));
    }
    assert!(client.peer.record().pings >= 2, "{}", client.peer.record().pings);
    served.stop();
}

#[test]
fn who_answers_no_ping_is_closed_at_the_pong_timeout() {
    let served = channels().with("websocket.ping.interval='100ms', websocket.pong.timeout='80ms'").start();
    let client = served.client("");
    client.peer.play(Script::new().ignore_pings()).blocking();
    client.peer.wait_for_end().blocking();
    served.counted_violation("dead", 1);
    served.has_connections(0);
    served.stop();
}

#[test]
fn a_pong_message_is_answer_enough() {
    let served = channels().with("websocket.ping.interval='200ms', websocket.pong.timeout='1s'").start();
    let client = served.client("");
    client.peer.play(Script::new().ignore_pings()).blocking();
    for _ in 0..10 {
        assert_eq!(client.next(), json!({"type": "ping"}));
        client.send(&json!({"type": "pong"}));
    }
    assert!(client.is_open());
    served.stop();
}

#[test]
fn max_message_size_is_a_limit_to_the_byte() {
    let served = channels().taking("websocket.accept='event'").start();
    let of_size = |bytes: usize| {
        let shell = json!({"type": "event", "data": {"channel": "a", "text": ""}}).to_string();
        json!({"type": "event", "data": {"channel": "a", "text": "x".repeat(bytes - shell.len())}}).to_string()
    };
    let client = served.client("");
    let largest = of_size(64 << 10);
    assert_eq!(largest.len(), 65_536);
    client.peer.send_text(largest).blocking();
    served.came(1);
    client.peer.play(Script::new().send_text(of_size((64 << 10) + 1)).expect_close(1009)).blocking();
    served.counted_violation("1009", 1);
    served.stop();
}

#[test]
fn compression_is_agreed_upon_by_default_and_can_be_turned_off() {
    let offer = |url: String| Client::built(ScriptedClient::builder(url).extensions("permessage-deflate"));
    let served = channels().start();
    let client = offer(served.url(""));
    assert!(client.peer.extensions().is_some_and(|agreed| agreed.starts_with("permessage-deflate")));
    client.subscribe(&["large", "small"]);
    served.publish("small", &json!({"text": "x"}));
    assert_eq!(client.next(), event(&json!({"text": "x"})));
    assert_eq!(client.peer.record().compressed_messages(), 0);
    let large = json!({"text": "x".repeat(10_000)});
    served.publish("large", &large);
    assert_eq!(client.next(), event(&large));
    assert_eq!(client.peer.record().compressed_messages(), 1);
    client.peer.play(Script::new().send_compressed(json!({"type": "ping"}).to_string())).blocking();
    assert_eq!(client.next(), json!({"type": "pong"}));
    served.stop();
    let served = channels().with("websocket.permessage-deflate='false'").start();
    assert_eq!(offer(served.url("")).peer.extensions(), None);
    served.stop();
}

#[test]
fn max_subscriptions_per_connection_holds() {
    let served = channels().with("websocket.max.subscriptions='2'").start();
    let client = served.client("");
    client.send(&subscribe(&["a", "b", "c"]));
    assert_eq!(client.next()["data"]["subscribed"], json!(["a", "b"]));
    is_error(&client.next(), "subscription_limit_exceeded");
    client.ask(&json!({"type": "unsubscribe", "data": {"channels": ["a"]}}));
    client.subscribe(&["c"]);
    served.counted_error("subscription_limit_exceeded", 1);
    served.stop();
}

#[test]
fn max_subscribers_per_channel_holds() {
    let served = channels().with("websocket.max.subscribers='2'").start();
    let clients = [served.client(""), served.client(""), served.client("")];
    clients[0].subscribe(&["a"]);
    clients[1].subscribe(&["a"]);
    is_error(&clients[2].ask(&subscribe(&["a"])), "channel_full");
    clients[2].subscribe(&["b"]);
    served.publish("a", &json!(1));
    assert_eq!((clients[0].next(), clients[1].next()), (event(&json!(1)), event(&json!(1))));
    served.counted_error("channel_full", 1);
    served.stop();
}

#[test]
fn max_connections_per_ip_holds_for_each_address() {
    let served = channels().with("websocket.trusted.proxies='127.0.0.1'").start();
    let from = |address: &str| ScriptedClient::builder(served.url("")).header("X-Forwarded-For", address);
    let clients: Vec<_> = (0..10).map(|_| Client::built(from("192.0.2.1"))).collect();
    served.has_connections(10);
    assert_eq!(refusal(from("192.0.2.1")).status, 429);
    Client::built(from("192.0.2.2")).subscribe(&["a"]);
    assert!(clients.iter().all(Client::is_open));
    served.stop();
}

#[test]
fn buffer_size_bounds_the_requests_of_a_client_that_wait() {
    let served = channels().with("websocket.max.requests='2'").taking("").answering("").start();
    let client = served.client("");
    let request = |id: &str| json!({"type": "request", "data": {}, "correlation_id": id});
    client.send_all([request("1"), request("2"), request("3")]);
    let error = client.next();
    is_error(&error, "busy");
    assert_eq!(error["correlation_id"], "3");
    let came = served.came(2);
    served.answer(came[0].request.as_deref().unwrap(), &json!({})).unwrap();
    assert_eq!(client.next(), json!({"type": "response", "data": {}, "correlation_id": "1"}));
    client.send(&request("4"));
    served.came(3);
    served.stop();
}

#[test]
fn broadcast_buffer_size_bounds_what_waits_for_a_slow_subscriber() {
    let served = channels()
        .with("websocket.permessage-deflate='false'")
        .publishing("websocket.client.queue.bytes='100KiB'")
        .start();
    let slow = Client::built(ScriptedClient::builder(served.url("")).receive_buffer(8 << 10));
    slow.subscribe(&["a"]);
    slow.peer.play(Script::new().stop_reading()).blocking();
    let text = "x".repeat(10_000);
    for number in 0..3_000 {
        served.publish("a", &json!({"n": number, "text": text}));
    }
    slow.peer.play(Script::new().resume_reading()).blocking();
    slow.receives("{\"n\":2999,");
    let record = slow.peer.record();
    let gap = record.messages_of(0).filter_map(Message::as_text).find(|text| text.contains("\"gap\""));
    let gap: Value = serde_json::from_str(gap.expect("the client is told what it misses")).unwrap();
    is_error(&gap, "gap");
    assert_eq!(gap["data"]["channel"], "a");
    assert!(served.metric("websocket_messages_dropped_total", &[]) > 0);
    served.stop();
}
