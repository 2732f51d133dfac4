//! What a client may ask for, how slow it may be, how it goes, and what is told about all of them.

use std::time::{Duration, Instant};

use eventflux_core::Properties;
use eventflux_testkit::peer::{Script, ScriptedClient};
use serde_json::json;

use super::super::client::Client;
use super::super::jwt;
use super::super::served::WATCHED;
use super::super::support::{DEADLINE, context};
use super::{device, events, is_error, subscribe, with_tokens};

#[test]
fn too_many_messages_of_a_client_are_answered_with_retry_after() {
    let served = events().with("websocket.rate.limit='3'").taking("").start();
    let (hasty, other) = (served.client(""), served.client(""));
    hasty.next();
    other.next();
    hasty.send_all((0..4).map(|n| json!({"type": "create_blob", "data": {"n": n}})));
    let error = hasty.next();
    is_error(&error, "RATE_LIMIT_EXCEEDED");
    assert_eq!(error["data"]["message"], "Rate limit exceeded");
    assert!((1..=60).contains(&error["data"]["retry_after"].as_u64().unwrap()), "{error}");
    assert_eq!(served.came(3).len(), 3);
    other.send(&json!({"type": "create_blob", "data": {"n": "other"}}));
    assert_eq!(served.came(4)[3].json(), json!({"n": "other"}));
    served.counted_error("rate_limit_exceeded", 1);
    served.stop();
}

#[test]
fn after_the_time_it_was_told_a_client_may_go_on() {
    let served = events().with("websocket.rate.limit='1', websocket.rate.period='300ms'").start();
    let client = served.client("");
    client.next();
    client.send_all([json!({"type": "ping"}), json!({"type": "ping"})]);
    assert_eq!(client.next(), json!({"type": "pong"}));
    let error = client.next();
    assert_eq!(error["data"]["retry_after"], 1);
    // What a client does that is told to wait: asking before would count against it.
    std::thread::sleep(Duration::from_secs(error["data"]["retry_after"].as_u64().unwrap()));
    assert_eq!(client.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    served.stop();
}

#[test]
fn a_message_may_have_64_kilobytes_and_no_more() {
    let served = events().taking("").start();
    let shell = json!({"type": "create_blob", "data": ""}).to_string().len();
    let of_size = |bytes: usize| json!({"type": "create_blob", "data": "x".repeat(bytes - shell)}).to_string();
    let (client, other) = (served.client(""), served.client(""));
    client.next();
    other.next();
    client.peer.send_text(of_size(65_536)).blocking();
    served.came(1);
    client.peer.play(Script::new().send_text(of_size(65_537)).expect_close(1009)).blocking();
    assert_eq!(other.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    served.counted_violation("1009", 1);
    served.stop();
}

#[test]
fn messages_above_a_kilobyte_are_compressed_for_who_wants_it() {
    let served = events().start();
    let client = Client::built(ScriptedClient::builder(served.url("")).extensions("permessage-deflate"));
    client.next();
    subscribe(&client, &["*"]);
    for (size, compressed) in [(900, 0), (1100, 1)] {
        served.publish("blob.created", &json!("x".repeat(size)));
        assert_eq!(client.next()["data"].as_str().unwrap().len(), size);
        assert_eq!(client.peer.record().compressed_messages(), compressed, "{size}");
    }
    served.stop();
}

#[test]
fn defaults_are_those_of_the_guide() {
    let context = context();
    let specs = context.sink_factory("websocket").unwrap().properties();
    let given = [
        ("websocket.mode", "server"),
        ("websocket.listen", "127.0.0.1:0"),
        ("websocket.protocol", "events"),
        ("websocket.auth", "jwt"),
        ("websocket.auth.jwt.secret", jwt::SECRET),
    ];
    let defaults = Properties::resolve(specs, given, &|_| None).unwrap();
    assert_eq!(defaults.integer::<u64>("websocket.max.connections.per.user").unwrap(), 5);
    assert_eq!(defaults.size("websocket.max.message.size").unwrap(), 65_536);
    assert_eq!(defaults.size("websocket.permessage-deflate.threshold").unwrap(), 1024);
    assert_eq!(defaults.text("websocket.permessage-deflate").unwrap(), "true");
    assert!(defaults.duration("websocket.batch.delay").unwrap().is_zero());
    assert_eq!(defaults.text("websocket.auth.query").unwrap(), "token");
}

#[test]
fn a_client_that_is_full_is_closed_where_that_is_the_policy_and_others_do_not_notice() {
    let served = with_tokens()
        .with("websocket.permessage-deflate='false', websocket.close.timeout='300ms'")
        .publishing("websocket.client.queue.full='disconnect', websocket.client.queue.bytes='100KiB'")
        .for_users()
        .start();
    let url = served.url(&format!("?token={}", jwt::of("ann")));
    let slow = Client::built(ScriptedClient::builder(url).receive_buffer(8 << 10));
    slow.next();
    let other = device(&served, "bob");
    subscribe(&slow, &["*"]);
    subscribe(&other, &[WATCHED]);
    slow.peer.play(Script::new().stop_reading()).blocking();
    let text = "x".repeat(10_000);
    for number in 0..2_000 {
        served.publish_for("ann", "blob.created", &json!({"n": number, "text": text}));
    }
    served.counted_violation("1008", 1);
    served.publish_for("bob", WATCHED, &json!(1));
    assert_eq!(other.next(), json!({"type": WATCHED, "data": 1}));
    assert_eq!(served.metric("eventflux_sink_evicted_total", &[("stream", "Out")]), 1);
    served.stop();
}

#[test]
fn health_tells_connections_and_users() {
    let served = with_tokens().for_users().start();
    let _devices = [device(&served, "ann"), device(&served, "ann"), device(&served, "bob")];
    served.wait_for_metric("websocket_connections_active", &[("path", "/ws")], 3);
    let report = served.report();
    assert_eq!(report["active_clients"], 3, "{report}");
    assert_eq!(report["active_users"], 2, "{report}");
    assert!(served.pipeline.flux.is_healthy());
    served.stop();
}

#[test]
fn subscriptions_are_limited_and_patterns_checked() {
    let served = events().with("websocket.max.subscriptions='2'").start();
    let client = served.client("");
    client.next();
    for bad in ["blob.*.x", "a b", "*blob", ""] {
        is_error(&client.ask(&json!({"type": "subscribe", "events": [bad]})), "INVALID_CHANNEL");
    }
    subscribe(&client, &["a.*", "b.*"]);
    is_error(&client.ask(&json!({"type": "subscribe", "events": ["c"]})), "SUBSCRIPTION_LIMIT_EXCEEDED");
    served.publish("a.x", &json!(1));
    assert_eq!(client.next()["data"], 1);
    served.stop();
}

#[test]
fn a_pipeline_that_stops_says_goodbye_with_1001() {
    let served = events().start();
    let client = served.client("");
    client.next();
    let before = Instant::now();
    served.stop();
    client.is_closed(1001, "going away");
    assert!(before.elapsed() < DEADLINE);
}
