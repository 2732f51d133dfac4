//! The events protocol, as its guide describes it: how a connection begins, each printed message, patterns, the devices
//! of a user, commands, limits, batches, health.

use std::time::Duration;

use eventflux_core::Properties;
use eventflux_testkit::peer::{Message, Script, ScriptedClient};
use serde_json::{Value, json};

use super::client::{Client, refusal};
use super::jwt;
use super::served::{Plan, Served, WATCHED, serving};
use super::support::{DEADLINE, context};

fn events() -> Plan {
    serving("events")
}

/// Users are known by JSON Web Tokens.
fn with_tokens() -> Plan {
    events().with(&format!("websocket.auth='jwt', websocket.auth.jwt.secret='{}'", jwt::SECRET))
}

/// A device of this user, which was told that it is connected.
#[track_caller]
fn device(served: &Served, user: &str) -> Client {
    let client = served.client(&format!("?token={}", jwt::of(user)));
    let greeting = client.next();
    assert_eq!((&greeting["type"], &greeting["data"]["user_id"]), (&json!("connected"), &json!(user)));
    client
}

fn subscribe(client: &Client, events: &[&str]) {
    let answer = client.ask(&json!({"type": "subscribe", "events": events}));
    assert_eq!(answer, json!({"type": "subscribed", "data": {"events": events}}));
}

#[track_caller]
fn is_error(message: &Value, code: &str) {
    assert_eq!((&message["type"], &message["data"]["code"]), (&json!("error"), &json!(code)), "{message}");
}

#[test]
fn a_connection_begins_as_printed() {
    let served = with_tokens().to_users().start();
    let client = served.client(&format!("?token={}", jwt::of("user_123")));
    let mut ready = client.next();
    let session = ready["data"]["session_id"].take();
    assert!(session.as_str().is_some_and(|id| !id.is_empty()));
    let data = json!({"status": "ready", "user_id": "user_123", "session_id": null});
    assert_eq!(ready, json!({"type": "connected", "data": data}));
    let names = ["blob.created", "blob.updated", "processor.completed"];
    subscribe(&client, &names);
    for name in names {
        served.publish_for("user_123", name, &json!({"of": name}));
        assert_eq!(client.next(), json!({"type": name, "data": {"of": name}}));
    }
    served.stop();
}

#[test]
fn who_has_no_valid_token_is_refused_with_401() {
    let served = with_tokens().start();
    let expired = jwt::with(&json!({"sub": "user_123", "exp": jwt::in_seconds(-3600)}));
    let forged = jwt::signed(&json!({"alg": "HS256"}), &json!({"sub": "user_123"}), &[7; 32]);
    for (token, result) in [(expired, "expired"), (forged, "signature"), ("nonsense".to_owned(), "malformed")] {
        assert_eq!(refusal(ScriptedClient::builder(served.url(&format!("?token={token}")))).status, 401, "{result}");
        served.counted_authentication(result, 1);
    }
    served.counted_refusal("401", 3);
    served.stop();
}

#[test]
fn each_printed_message_of_the_server_arrives_as_printed() {
    let served = with_tokens().to_users().start();
    let client = device(&served, "user_456");
    subscribe(&client, &["*"]);
    for (kind, data) in [
        (
            "blob.created",
            json!({
                "blob_id": "blob_123", "user_id": "user_456", "processor_id": "user-input",
                "schema_id": "text-input-v1", "preview": "First 200 characters...", "book_id": "my-novel",
                "created_at": "2024-01-01T00:00:00Z"
            }),
        ),
        (
            "blob.derived",
            json!({
                "parent_id": "blob_123", "derived_id": "blob_789", "processor_id": "text-expansion",
                "expansion_ratio": 3.5, "preview": "Expanded text preview..."
            }),
        ),
        (
            "processor.status",
            json!({
                "blob_id": "blob_123", "processor_id": "text-expansion", "status": "processing", "progress": 0.75,
                "message": "Expanding text..."
            }),
        ),
        (
            "book.updated",
            json!({
                "book_id": "my-novel",
                "chapter_added": {"chapter_num": 5, "blob_id": "blob_999", "title": "Chapter 5: The Revelation"}
            }),
        ),
        (
            "error",
            json!({
                "code": "PROCESSOR_FAILED", "message": "Text expansion failed: API quota exceeded",
                "blob_id": "blob_123", "retry_after": 3600
            }),
        ),
    ] {
        served.publish_for("user_456", kind, &data);
        assert_eq!(client.next(), json!({"type": kind, "data": data}));
    }
    served.stop();
}

#[test]
fn each_printed_message_of_the_client_is_understood() {
    let served = with_tokens().to_users().taking("websocket.accept='create_blob, process_blob'").start();
    let client = device(&served, "ann");
    subscribe(&client, &["blob.*", "processor.*", "processor.status"]);
    let answer = client.ask(&json!({"type": "unsubscribe", "events": ["processor.status"]}));
    assert_eq!(answer, json!({"type": "unsubscribed", "data": {"events": ["processor.status"]}}));
    let content = json!({
        "content": "Chapter text...",
        "schema_id": "text-input-v1",
        "metadata": {"book_id": "my-novel", "chapter": 3}
    });
    client.send(&json!({"type": "create_blob", "data": content}));
    let processing = json!({"blob_id": "blob_123", "processor_id": "text-expansion"});
    client.send(&json!({"type": "process_blob", "data": processing}));
    let came = served.came(2);
    assert_eq!((&*came[0].kind, came[0].json()), ("create_blob", content));
    assert_eq!((&*came[1].kind, came[1].json()), ("process_blob", processing));
    assert!(came.iter().all(|came| came.person.as_deref() == Some("ann") && came.address == "127.0.0.1"), "{came:?}");
    assert_eq!(client.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    is_error(&client.ask(&json!({"type": "delete_blob", "data": {}})), "UNKNOWN_TYPE");
    served.counted_error("unknown_type", 1);
    served.stop();
}

#[test]
fn a_pattern_stands_for_what_begins_like_it_and_an_event_comes_once() {
    let served = events().start();
    let client = served.client("");
    client.next();
    subscribe(&client, &["blob.*", "blob.created", "book.updated"]);
    for name in ["blobs.created", "processor.blob.x", "blob", "book.updated.twice", "blob.created", "blob.x.y"] {
        served.publish(name, &json!(name));
    }
    served.publish("book.updated", &json!("last"));
    let kinds: Vec<_> = client.take(3).into_iter().map(|message| message["type"].clone()).collect();
    assert_eq!(kinds, ["blob.created", "blob.x.y", "book.updated"]);
    // What the wider one covered is there when the wider one ends.
    client.ask(&json!({"type": "unsubscribe", "events": ["blob.*"]}));
    served.publish("blob.updated", &json!(1));
    served.publish("blob.created", &json!(2));
    assert_eq!(client.next(), json!({"type": "blob.created", "data": 2}));
    served.stop();
}

#[test]
fn events_of_a_user_reach_all_of_its_devices_and_nobody_else() {
    let served = with_tokens().to_users().start();
    let anns: Vec<_> = (0..5).map(|_| device(&served, "ann")).collect();
    let bob = device(&served, "bob");
    anns.iter().chain([&bob]).for_each(|client| subscribe(client, &["*"]));
    for number in 0..100 {
        served.publish_for("ann", "blob.created", &json!({"secret of ann": number}));
    }
    served.publish_for("nobody", "blob.created", &json!({"secret of nobody": 1}));
    served.publish_for("bob", "blob.created", &json!("for bob"));
    for ann in &anns {
        let numbers: Vec<_> = ann.take(100).into_iter().map(|message| message["data"]["secret of ann"].clone()).collect();
        assert_eq!(numbers, (0..100).map(Value::from).collect::<Vec<_>>());
    }
    assert_eq!(bob.next(), json!({"type": "blob.created", "data": "for bob"}));
    let leaked = bob.peer.record().messages_of(0).filter_map(Message::as_text).any(|text| text.contains("secret"));
    assert!(!leaked, "{:?}", bob.peer);
    served.stop();
}

#[test]
fn devices_get_what_they_subscribed_to_each() {
    let served = with_tokens().to_users().start();
    let (phone, desk) = (device(&served, "ann"), device(&served, "ann"));
    subscribe(&phone, &["book.*"]);
    subscribe(&desk, &["blob.*"]);
    served.publish_for("ann", "blob.created", &json!(1));
    served.publish_for("ann", "book.updated", &json!(2));
    assert_eq!(desk.next(), json!({"type": "blob.created", "data": 1}));
    assert_eq!(phone.next(), json!({"type": "book.updated", "data": 2}));
    served.stop();
}

#[test]
fn an_event_for_a_user_without_a_channel_reaches_every_device_and_has_a_type() {
    let served = with_tokens().to_users_without_channels().start();
    let (phone, desk) = (device(&served, "ann"), device(&served, "ann"));
    subscribe(&phone, &["blob.*"]);
    served.publish_for("ann", "", &json!(1));
    for client in [phone, desk] {
        let message = client.next();
        assert_eq!(message["data"], 1);
        assert!(message["type"].as_str().is_some_and(|kind| !kind.is_empty()), "{message}");
    }
    served.stop();
}

#[test]
fn a_sixth_device_is_closed_with_1008_and_five_stay() {
    let served = with_tokens().to_users().start();
    let mut devices: Vec<_> = (0..5).map(|_| device(&served, "ann")).collect();
    let sixth = served.client(&format!("?token={}", jwt::of("ann")));
    sixth.is_closed(1008, "too many connections of this user");
    device(&served, "bob");
    devices.pop().unwrap().leave();
    served.wait_for_metric("websocket_connections_active", &[], 4);
    devices.push(device(&served, "ann"));
    devices.iter().for_each(|device| subscribe(device, &["blob.*"]));
    served.publish_for("ann", "blob.created", &json!(1));
    devices.iter().for_each(|device| assert_eq!(device.next()["data"], 1));
    served.counted_violation("1008", 1);
    served.stop();
}

#[test]
fn a_session_ends_with_its_token_unless_it_is_renewed() {
    let served = with_tokens().with("websocket.auth.jwt.leeway='0'").to_users().start();
    let soon = || jwt::with(&json!({"sub": "ann", "exp": jwt::in_seconds(2)}));
    let stays = served.client(&format!("?token={}", soon()));
    let goes = served.client(&format!("?token={}", soon()));
    assert_eq!((&stays.next()["type"], &goes.next()["type"]), (&json!("connected"), &json!("connected")));
    let answer = stays.ask(&json!({"type": "auth", "token": jwt::of("ann")}));
    assert_eq!(answer["type"], "authenticated");
    is_error(&goes.next(), "AUTHENTICATION_EXPIRED");
    goes.is_closed(1008, "authentication expired");
    subscribe(&stays, &["blob.*"]);
    served.publish_for("ann", "blob.created", &json!(1));
    assert_eq!(stays.next()["data"], 1);
    served.counted_error("authentication_expired", 1);
    served.stop();
}

#[test]
fn too_many_messages_of_a_client_are_answered_with_retry_after() {
    let served = events().with("websocket.rate.limit='3'").taking("").start();
    let (hasty, other) = (served.client(""), served.client(""));
    (hasty.next(), other.next());
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
    (client.next(), other.next());
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

// Batches

#[test]
fn messages_within_the_delay_travel_as_one_in_order() {
    let served = events().with("websocket.batch.delay='150ms'").start();
    let client = served.client("");
    assert_eq!(client.next()["type"], "connected");
    subscribe(&client, &["*"]);
    served.publish_all("blob.created", &[json!(1), json!(2), json!(3)]);
    let inner = [1, 2, 3].map(|number| json!({"type": "blob.created", "data": number}));
    assert_eq!(client.next(), json!({"type": "batch", "data": inner}));
    served.publish("blob.created", &json!(4));
    assert_eq!(client.next(), json!({"type": "blob.created", "data": 4}));
    served.stop();
}

#[test]
fn a_batch_does_not_grow_beyond_its_size() {
    let served = events().with("websocket.batch.delay='1s', websocket.batch.size='1000'").start();
    let client = served.client("");
    client.next();
    subscribe(&client, &["*"]);
    let text = "x".repeat(300);
    let payloads: Vec<_> = (0..20).map(|n| json!({"n": n, "text": text})).collect();
    served.publish_all("blob.created", &payloads);
    let mut numbers = Vec::new();
    while numbers.len() < 20 {
        let message = client.next();
        let messages = match &message["type"] {
            kind if kind == "batch" => message["data"].as_array().unwrap().clone(),
            _ => vec![message.clone()],
        };
        assert!(message.to_string().len() < 1200, "a batch of {} messages", messages.len());
        numbers.extend(messages.iter().map(|message| message["data"]["n"].as_u64().unwrap()));
    }
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    served.stop();
}

#[test]
fn without_a_delay_there_are_no_batches() {
    let served = events().start();
    let client = served.client("");
    client.next();
    subscribe(&client, &["*"]);
    served.publish_all("blob.created", &[json!(1), json!(2)]);
    assert_eq!(client.take(2), [1, 2].map(|number| json!({"type": "blob.created", "data": number})));
    served.stop();
}

// Limits and health

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
        .to_users()
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
    let served = with_tokens().to_users().start();
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
    let before = std::time::Instant::now();
    served.stop();
    client.is_closed(1001, "going away");
    assert!(before.elapsed() < DEADLINE);
}
