//! The events protocol, as its guide describes it: how a connection begins, each printed message, patterns, the devices
//! of a user, commands, limits, batches, health.

mod batches;
mod limits;

use eventflux_testkit::peer::{Message, ScriptedClient};
use serde_json::{Value, json};

use super::client::{Client, refusal};
use super::jwt;
use super::served::{Plan, Served, serving};

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
    let served = with_tokens().for_users().start();
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
    let served = with_tokens().for_users().start();
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
    let served = with_tokens().for_users().taking("websocket.accept='create_blob, process_blob'").start();
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
    let served = with_tokens().for_users().start();
    let anns: Vec<_> = (0..5).map(|_| device(&served, "ann")).collect();
    let bob = device(&served, "bob");
    anns.iter().chain([&bob]).for_each(|client| subscribe(client, &["*"]));
    for number in 0..100 {
        served.publish_for("ann", "blob.created", &json!({"secret of ann": number}));
    }
    served.publish_for("nobody", "blob.created", &json!({"secret of nobody": 1}));
    served.publish_for("bob", "blob.created", &json!("for bob"));
    for ann in &anns {
        let numbers: Vec<_> =
            ann.take(100).into_iter().map(|message| message["data"]["secret of ann"].clone()).collect();
        assert_eq!(numbers, (0..100).map(Value::from).collect::<Vec<_>>());
    }
    assert_eq!(bob.next(), json!({"type": "blob.created", "data": "for bob"}));
    let leaked = bob.peer.record().messages_of(0).filter_map(Message::as_text).any(|text| text.contains("secret"));
    assert!(!leaked, "{:?}", bob.peer);
    served.stop();
}

#[test]
fn devices_get_what_they_subscribed_to_each() {
    let served = with_tokens().for_users().start();
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
    let served = with_tokens().for_users_without_channels().start();
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
    let served = with_tokens().for_users().start();
    let mut devices: Vec<_> = (0..5).map(|_| device(&served, "ann")).collect();
    let sixth = served.client(&format!("?token={}", jwt::of("ann")));
    sixth.is_closed(1008, "too many connections of this user");
    device(&served, "bob");
    devices.pop().unwrap().leave();
    served.has_connections(4);
    devices.push(device(&served, "ann"));
    devices.iter().for_each(|device| subscribe(device, &["blob.*"]));
    served.publish_for("ann", "blob.created", &json!(1));
    devices.iter().for_each(|device| assert_eq!(device.next()["data"], 1));
    served.counted_violation("1008", 1);
    served.stop();
}

#[test]
fn a_session_ends_with_its_token_unless_it_is_renewed() {
    let served = with_tokens().with("websocket.auth.jwt.leeway='0'").for_users().start();
    let soon = || jwt::with(&json!({"sub": "ann", "exp": jwt::in_seconds(3)}));
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
fn a_device_that_authenticates_by_a_message_counts_among_the_users_devices() {
    let served = with_tokens().with("websocket.max.connections.per.user='1'").for_users().start();
    let first = device(&served, "ann");
    let by_message = || {
        let client = served.client("");
        client.send(&json!({"type": "auth", "data": {"token": jwt::of("ann")}}));
        client
    };
    by_message().is_closed(1008, "too many connections of this user");
    first.leave();
    served.has_connections(0);
    let second = by_message();
    let greetings = second.take(2).into_iter().map(|message| message["type"].clone()).collect::<Vec<_>>();
    assert!(greetings.contains(&json!("authenticated")) && greetings.contains(&json!("connected")), "{greetings:?}");
    subscribe(&second, &["blob.*"]);
    served.publish_for("ann", "blob.created", &json!(1));
    assert_eq!(second.next()["data"], 1);
    served.stop();
}
