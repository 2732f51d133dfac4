use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::dialects::tests::page::assert_shown;
use crate::dialects::tests::{event, json, parse, plain, position, refusal, reply, strings};
use crate::dialects::{Recovered, SubscriptionId};

const NAME: &str = "events";

fn command(kind: &str, payload: &str, correlation: Option<&str>) -> Request {
    Request::Message(ClientMessage {
        kind: kind.to_owned(),
        channel: None,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        correlation: correlation.map(str::to_owned),
        wants_answer: correlation.is_some(),
    })
}

fn subscribe(events: &[&str]) -> Request {
    Request::Subscribe(Subscribe { channels: strings(events), ..Subscribe::default() })
}

/// The texts are those of the guide, to the letter.
#[test]
fn every_message_printed_in_the_events_guide_for_clients_is_understood() {
    let blob = r#"{
    "content": "Chapter text...",
    "schema_id": "text-input-v1",
    "metadata": {
      "book_id": "my-novel",
      "chapter": 3
    }
  }"#;
    let processing = r#"{
    "blob_id": "blob_123",
    "processor_id": "text-expansion"
  }"#;
    let printed = [
        (
            r#"{
     "type": "subscribe",
     "events": ["blob.created", "blob.updated", "processor.completed"]
   }"#
            .to_owned(),
            subscribe(&["blob.created", "blob.updated", "processor.completed"]),
        ),
        (
            r#"{
  "type": "subscribe",
  "events": ["blob.*", "processor.*"]
}"#
            .to_owned(),
            subscribe(&["blob.*", "processor.*"]),
        ),
        (
            r#"{
  "type": "unsubscribe",
  "events": ["processor.status"]
}"#
            .to_owned(),
            Request::Unsubscribe { subscriptions: strings(&["processor.status"]), correlation: None },
        ),
        (format!("{{\n  \"type\": \"create_blob\",\n  \"data\": {blob}\n}}"), command("create_blob", blob, None)),
        (
            format!("{{\n  \"type\": \"process_blob\",\n  \"data\": {processing}\n}}"),
            command("process_blob", processing, None),
        ),
        ("{\n  \"type\": \"ping\"\n}".to_owned(), Request::Ping { correlation: None }),
        // What the JavaScript client and the load test send.
        (r#"{"type":"subscribe","events":["blob.derived"]}"#.to_owned(), subscribe(&["blob.derived"])),
        (r#"{"type":"subscribe","events":["*"]}"#.to_owned(), subscribe(&["*"])),
        (r#"{"type":"subscribe","events":["blob.*"]}"#.to_owned(), subscribe(&["blob.*"])),
    ];
    for (text, expected) in printed {
        assert_eq!(parse(NAME, &text), Ok(expected), "{text}");
    }
}

/// The texts are those of the guide, to the letter. (The comment in `processor.status` is left out. Of the two forms of
/// `connected`, the one in the guide's code has no ids; ours is the one in its description of the protocol.)
#[test]
fn every_reply_printed_in_the_events_guide_is_sent() {
    let connected = r#"{
     "type": "connected",
     "data": {
       "status": "ready",
       "user_id": "user_123",
       "session_id": "session_456"
     }
   }"#;
    assert_eq!(reply(NAME, &Reply::Welcome { session: "session_456", user: Some("user_123") }), json(connected));
    let confirmed = r#"{
     "type": "subscribed",
     "data": {
       "events": ["blob.created", "blob.updated", "processor.completed"]
     }
   }"#;
    let channels = strings(&["blob.created", "blob.updated", "processor.completed"]);
    let subscribed =
        Reply::Subscribed { channels: &channels, id: None, chosen: false, positions: &[], correlation: None };
    assert_eq!(reply(NAME, &subscribed), json(confirmed));
}

/// The texts are those of the guide, to the letter; an error of the pipeline's own is an event like the others.
#[test]
fn every_event_printed_in_the_events_guide_is_sent() {
    for printed in [
        r#"{
  "type": "blob.created",
  "data": {
    "blob_id": "blob_123",
    "user_id": "user_456",
    "processor_id": "user-input",
    "schema_id": "text-input-v1",
    "preview": "First 200 characters...",
    "book_id": "my-novel",
    "created_at": "2024-01-01T00:00:00Z"
  }
}"#,
        r#"{
  "type": "blob.derived",
  "data": {
    "parent_id": "blob_123",
    "derived_id": "blob_789",
    "processor_id": "text-expansion",
    "expansion_ratio": 3.5,
    "preview": "Expanded text preview..."
  }
}"#,
        r#"{
  "type": "processor.status",
  "data": {
    "blob_id": "blob_123",
    "processor_id": "text-expansion",
    "status": "processing",
    "progress": 0.75,
    "message": "Expanding text..."
  }
}"#,
        r#"{
  "type": "book.updated",
  "data": {
    "book_id": "my-novel",
    "chapter_added": {
      "chapter_num": 5,
      "blob_id": "blob_999",
      "title": "Chapter 5: The Revelation"
    }
  }
}"#,
        r#"{
  "type": "error",
  "data": {
    "code": "PROCESSOR_FAILED",
    "message": "Text expansion failed: API quota exceeded",
    "blob_id": "blob_123",
    "retry_after": 3600
  }
}"#,
    ] {
        let printed = json(printed);
        let payload = printed["data"].to_string();
        assert_eq!(event(NAME, &plain(printed["type"].as_str().unwrap(), &payload), ""), printed);
    }
}

#[test]
fn the_types_of_the_protocol_are_no_commands_and_all_others_are() {
    assert_eq!(
        parse(NAME, r#"{"type":"ping","correlation_id":"c"}"#),
        Ok(Request::Ping { correlation: Some("c".to_owned()) })
    );
    for text in [
        r#"{"type":"auth","token":"t"}"#,
        r#"{"type":"auth","data":{"token":"t"}}"#,
        r#"{"type":"auth","token":"t","data":[]}"#,
    ] {
        assert_eq!(parse(NAME, text), Ok(Request::Authenticate { token: Secret::new("t"), correlation: None }));
    }
    for (text, expected) in [
        (r#"{"type":"create_blob"}"#, command("create_blob", "{}", None)),
        (r#"{"type":"create_blob","data":"x","correlation_id":"c"}"#, command("create_blob", "\"x\"", Some("c"))),
        (r#"{"type":"presence","data":[]}"#, command("presence", "[]", None)),
        (r#"{"type":"blob.\u0063reated"}"#, command("blob.created", "{}", None)),
    ] {
        assert_eq!(parse(NAME, text), Ok(expected), "{text}");
    }
}

#[test]
fn a_subscription_has_filters_recovery_and_snapshot() {
    let text = r#"{"type":"subscribe","events":["blob.*"],"filter":"size > 3","fields":{"book_id":"b"},
        "recover":{"blob.created":{"epoch":"e","offset":0}},"snapshot":true,"correlation_id":"c"}"#;
    let Ok(Request::Subscribe(subscribe)) = parse(NAME, text) else { panic!("{:?}", parse(NAME, text)) };
    assert_eq!(
        subscribe,
        Subscribe {
            channels: strings(&["blob.*"]),
            id: SubscriptionId::Channel,
            fields: json!({"book_id": "b"}).as_object().cloned(),
            predicate: Some("size > 3".to_owned()),
            recover: vec![("blob.created".to_owned(), position("e", 0))],
            snapshot: true,
            correlation: Some("c".to_owned()),
        }
    );
}

#[test]
fn incomplete_messages_are_refused_by_name() {
    for (text, expected) in [
        (r#"{"type":"auth"}"#, "'token' is missing"),
        (r#"{"type":"auth","token":1}"#, "'token' must be a string"),
        (r#"{"type":"auth","data":{"token":1}}"#, "'data.token' must be a string"),
        (r#"{"type":"subscribe"}"#, "'events' is missing"),
        (r#"{"type":"subscribe","events":"blob.*"}"#, "'events' must be an array of at most 16384 strings"),
        (r#"{"type":"subscribe","events":[],"filter":1}"#, "'filter' must be a string"),
        (r#"{"type":"unsubscribe","events":null}"#, "'events' is missing"),
        (r#"{"type":"unsubscribe","events":{}}"#, "'events' must be an array of at most 16384 strings"),
    ] {
        assert_eq!(refusal(NAME, text), expected, "{text}");
    }
}

#[test]
fn replies_are_exactly_these() {
    let failed = Problem::AuthenticationFailed("Invalid credentials".to_owned());
    let limited = Problem::RateLimitExceeded { retry_after: Duration::from_secs(3) };
    let names = strings(&["blob.*"]);
    let at = |complete| [("blob.created".to_owned(), Recovered { position: position("9f2c", 41), complete })];
    let subscribed =
        |positions| Reply::Subscribed { channels: &names, id: None, chosen: false, positions, correlation: None };
    let correlation = Some("req-1");
    for (reply, expected) in [
        (
            Reply::Welcome { session: "s-1", user: Some("ann") },
            r#"{"type":"connected","data":{"status":"ready","user_id":"ann","session_id":"s-1"}}"#,
        ),
        (
            Reply::Welcome { session: "s-1", user: None },
            r#"{"type":"connected","data":{"status":"ready","session_id":"s-1"}}"#,
        ),
        (
            Reply::Authenticated { session: "s-1", user: Some("ann"), correlation: None },
            r#"{"type":"authenticated","data":{"user_id":"ann","session_id":"s-1"}}"#,
        ),
        (
            Reply::NotAuthenticated { problem: &failed, correlation: None },
            r#"{"type":"error","data":{"code":"AUTHENTICATION_FAILED","message":"Authentication failed: Invalid credentials"}}"#,
        ),
        (subscribed(&[]), r#"{"type":"subscribed","data":{"events":["blob.*"]}}"#),
        (
            subscribed(&at(Some(false))),
            r#"{"type":"subscribed","data":{"events":["blob.*"],"positions":{"blob.created":{"epoch":"9f2c","offset":41,"recovered":false}}}}"#,
        ),
        (
            Reply::Unsubscribed { subscriptions: &names, correlation: None },
            r#"{"type":"unsubscribed","data":{"events":["blob.*"]}}"#,
        ),
        (
            Reply::Answer { kind: "create_blob", payload: br#"{"blob_id":"b-1"}"#, correlation },
            r#"{"type":"create_blob.result","data":{"blob_id":"b-1"},"correlation_id":"req-1"}"#,
        ),
        (
            Reply::Gap { channel: "blob.created", missed: 3 },
            r#"{"type":"error","data":{"code":"GAP","message":"Missed events of 'blob.created': 3","channel":"blob.created","missed":3}}"#,
        ),
        (Reply::Pong { correlation: None }, r#"{"type":"pong"}"#),
        (
            Reply::Failed { problem: &limited, correlation: None },
            r#"{"type":"error","data":{"code":"RATE_LIMIT_EXCEEDED","message":"Rate limit exceeded","retry_after":3}}"#,
        ),
        (
            Reply::Failed { problem: &Problem::UnknownType("x".to_owned()), correlation },
            r#"{"type":"error","data":{"code":"UNKNOWN_TYPE","message":"Unknown message type"},"correlation_id":"req-1"}"#,
        ),
    ] {
        assert_eq!(Events.reply(&reply).as_deref(), Some(expected));
        assert_shown(NAME, expected);
    }
    assert_eq!(Events.reply(&Reply::Ping), None);
}

#[test]
fn seconds_to_wait_are_rounded_up() {
    for (milliseconds, seconds) in [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2)] {
        let problem = Problem::RateLimitExceeded { retry_after: Duration::from_millis(milliseconds) };
        let error = reply(NAME, &Reply::Failed { problem: &problem, correlation: None });
        assert_eq!(error["data"]["retry_after"], seconds, "{milliseconds} ms");
    }
}

#[test]
fn events_are_exactly_these() {
    let payload = r#"{"size":2.50}"#;
    for (correlation, position, expected) in [
        (None, None, r#"{"type":"blob.created","data":{"size":2.50}}"#),
        (Some("evt-1"), None, r#"{"type":"blob.created","data":{"size":2.50},"correlation_id":"evt-1"}"#),
        (None, Some(("9f2c", 42)), r#"{"type":"blob.created","data":{"size":2.50},"epoch":"9f2c","offset":42}"#),
    ] {
        let mut text = b"before ".to_vec();
        Events.event(&Event { correlation, position, ..plain("blob.created", payload) }, &mut text);
        assert_eq!(std::str::from_utf8(&text).unwrap(), format!("before {expected}"));
        assert_shown(NAME, expected);
    }
}

#[test]
fn a_batch_is_one_message_of_the_others() {
    let BatchFrame { open, separator, close } = Events.batch().unwrap();
    let messages = ["1", "2"].map(|payload| event(NAME, &plain("blob.created", payload), ""));
    let texts = messages.each_ref().map(Value::to_string);
    let batch = json(&format!("{open}{}{close}", texts.join(separator)));
    assert_eq!(batch, json!({"type": "batch", "data": messages}));
    assert_eq!(json(&format!("{open}{}{close}", texts[0])), json!({"type": "batch", "data": [messages[0]]}));
    assert_shown(
        NAME,
        r#"{"type":"batch","data":[{"type":"blob.created","data":{"size":1}},{"type":"blob.created","data":{"size":2}}]}"#,
    );
}
