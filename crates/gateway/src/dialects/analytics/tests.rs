use std::time::Duration;

use serde_json::json;

use super::*;
use crate::dialects::named;
use crate::dialects::tests::page::assert_shown;
use crate::dialects::tests::{event, json, parse, plain, position, refusal, reply, strings};

const NAME: &str = "analytics";

fn subscribe(channel: &str, filters: serde_json::Value) -> Request {
    Request::Subscribe(Subscribe {
        channels: strings(&[channel]),
        id: SubscriptionId::Ours,
        fields: filters.as_object().filter(|filters| !filters.is_empty()).cloned(),
        ..Subscribe::default()
    })
}

fn authenticate(token: &str) -> Request {
    Request::Authenticate { token: Secret::new(token), correlation: None }
}

/// The texts are those of the guide, to the letter.
#[test]
fn every_message_printed_in_the_analytics_guide_for_clients_is_understood() {
    let printed = [
        (
            r#"{
    "type": "auth",
    "data": {
        "token": "your-auth-token"
    }
}"#,
            authenticate("your-auth-token"),
        ),
        (
            r#"{
    "type": "unsubscribe",
    "data": {
        "subscription_id": "subscription-uuid"
    }
}"#,
            Request::Unsubscribe { subscriptions: strings(&["subscription-uuid"]), correlation: None },
        ),
        ("{\n    \"type\": \"ping\"\n}", Request::Ping { correlation: None }),
        (
            r#"{
    "type": "message_type",
    "data": {},
    "subscription_id": "optional-subscription-id",
    "timestamp": "2024-01-01T00:00:00.000Z",
    "metadata": {}
}"#,
            Request::Message(ClientMessage {
                kind: "message_type".to_owned(),
                channel: None,
                payload: Bytes::from_static(b"{}"),
                correlation: None,
                wants_answer: false,
            }),
        ),
        // What the JavaScript client sends.
        (r#"{"type":"auth","data":{"token":"your-token"}}"#, authenticate("your-token")),
        (
            r#"{"type":"subscribe","data":{"type":"events","filters":{"event_type":"user_action","payload.user_id":"user123"}}}"#,
            subscribe("events", json!({"event_type": "user_action", "payload.user_id": "user123"})),
        ),
        (r#"{"type":"subscribe","data":{"type":"metrics","filters":{}}}"#, subscribe("metrics", json!({}))),
        (
            r#"{"type":"unsubscribe","data":{"subscription_id":"k3v9x0a1b"}}"#,
            Request::Unsubscribe { subscriptions: strings(&["k3v9x0a1b"]), correlation: None },
        ),
        // What the Python client sends.
        (r#"{"type": "auth", "data": {"token": "your-token"}}"#, authenticate("your-token")),
        (r#"{"type": "subscribe", "data": {"type": "alerts", "filters": {}}}"#, subscribe("alerts", json!({}))),
    ];
    for (text, expected) in printed {
        assert_eq!(parse(NAME, text), Ok(expected), "{text}");
    }
}

/// The text is that of the guide, where the types stand for one another.
#[test]
fn every_subscription_type_printed_in_the_analytics_guide_can_be_subscribed_to() {
    let printed = r#"{
    "type": "subscribe",
    "data": {
        "type": "events|metrics|alerts|predictions|aggregations|system_status",
        "filters": {
            "event_type": "user_action",
            "user_id": ["user123", "user456"]
        }
    }
}"#;
    let types = json(printed)["data"]["type"].as_str().unwrap().to_owned();
    assert_eq!(types.split('|').count(), 6);
    for kind in types.split('|') {
        let expected = subscribe(kind, json!({"event_type": "user_action", "user_id": ["user123", "user456"]}));
        assert_eq!(parse(NAME, &printed.replace(&types, kind)), Ok(expected));
    }
    let expected = "'data.type' must be one of events, metrics, alerts, predictions, aggregations, system_status";
    for text in [printed, r#"{"type":"subscribe","data":{"type":"Events"}}"#] {
        assert_eq!(refusal(NAME, text), expected);
    }
}

/// The texts are those of the guide, to the letter.
#[test]
fn every_message_printed_in_the_analytics_guide_for_the_server_is_sent() {
    let success = r#"{
    "type": "auth_success",
    "data": {
        "client_id": "client-uuid"
    }
}"#;
    let authenticated = Reply::Authenticated { session: "client-uuid", user: Some("ann"), correlation: None };
    assert_eq!(reply(NAME, &authenticated), json(success));
    let failed = r#"{
    "type": "auth_failed",
    "data": {
        "error": "Invalid credentials"
    }
}"#;
    let problem = &Problem::AuthenticationFailed("whatever the reason".to_owned());
    assert_eq!(reply(NAME, &Reply::NotAuthenticated { problem, correlation: None }), json(failed));
    let error = r#"{
    "type": "error",
    "data": {
        "error": "Rate limit exceeded"
    }
}"#;
    let problem = &Problem::RateLimitExceeded { retry_after: Duration::from_secs(1) };
    assert_eq!(reply(NAME, &Reply::Failed { problem, correlation: None }), json(error));
    assert_eq!(reply(NAME, &Reply::Pong { correlation: None }), json("{\n    \"type\": \"pong\"\n}"));
}

/// The text is that of the guide, to the letter.
#[test]
fn the_event_printed_in_the_analytics_guide_is_sent() {
    let payload = r#"{
            "event_id": "evt_123",
            "event_type": "user_action",
            "user_id": "user_456",
            "timestamp": "2024-01-01T00:00:00Z",
            "payload": {}
        }"#;
    let printed = format!(
        r#"{{
    "type": "data",
    "data": {{
        "event": {payload},
        "subscription_type": "events"
    }},
    "subscription_id": "sub_789"
}}"#
    );
    assert_eq!(event(NAME, &plain("events", payload), "sub_789"), json(&printed));
}

#[test]
fn the_errors_of_the_analytics_guide_have_its_texts() {
    for (problem, expected) in [
        (Problem::RateLimitExceeded { retry_after: Duration::from_secs(60) }, "Rate limit exceeded"),
        (Problem::UnknownType("foo".to_owned()), "Unknown message type"),
        (Problem::InvalidMessage("'type' is missing".to_owned()), "Invalid message format: 'type' is missing"),
    ] {
        let error = reply(NAME, &Reply::Failed { problem: &problem, correlation: None });
        assert_eq!(error, json!({"type": "error", "data": {"error": expected}}));
    }
}

#[test]
fn a_subscription_has_an_id_a_predicate_recovery_and_snapshot() {
    let text = r#"{"type":"subscribe","data":{"type":"alerts","where":"level >= 3","recover":{"epoch":"e","offset":7},
        "snapshot":true},"subscription_id":"mine","correlation_id":"c"}"#;
    let Ok(Request::Subscribe(subscribe)) = parse(NAME, text) else { panic!("{:?}", parse(NAME, text)) };
    assert_eq!(
        subscribe,
        Subscribe {
            channels: strings(&["alerts"]),
            id: SubscriptionId::Given("mine".to_owned()),
            fields: None,
            predicate: Some("level >= 3".to_owned()),
            recover: vec![("alerts".to_owned(), position("e", 7))],
            snapshot: true,
            correlation: Some("c".to_owned()),
        }
    );
}

#[test]
fn types_that_are_none_of_the_protocol_are_for_the_pipeline() {
    let text = r#"{"type":"track","data":{"n":1},"correlation_id":"c"}"#;
    let expected = ClientMessage {
        kind: "track".to_owned(),
        channel: None,
        payload: Bytes::from_static(br#"{"n":1}"#),
        correlation: Some("c".to_owned()),
        wants_answer: true,
    };
    assert_eq!(parse(NAME, text), Ok(Request::Message(expected)));
    assert_eq!(parse(NAME, r#"{"type":"pong"}"#), Ok(Request::Pong));
}

#[test]
fn incomplete_messages_are_refused_by_name() {
    for (text, expected) in [
        (r#"{"type":"auth"}"#, "'data.token' is missing"),
        (r#"{"type":"auth","token":"t"}"#, "'data.token' is missing"),
        (r#"{"type":"subscribe"}"#, "'data.type' is missing"),
        (r#"{"type":"subscribe","data":"events"}"#, "'data' must be an object"),
        (r#"{"type":"subscribe","data":{"type":["events"]}}"#, "'data.type' must be a string"),
        (r#"{"type":"subscribe","data":{"type":"events","where":1}}"#, "'data.where' must be a string"),
        (
            r#"{"type":"subscribe","data":{"type":"events"},"subscription_id":""}"#,
            "'subscription_id' must be a string of 1 to 256 bytes",
        ),
        (r#"{"type":"unsubscribe"}"#, "'data.subscription_id' is missing"),
        (
            r#"{"type":"unsubscribe","data":{"subscription_id":7}}"#,
            "'data.subscription_id' must be a string of 1 to 256 bytes",
        ),
    ] {
        assert_eq!(refusal(NAME, text), expected, "{text}");
    }
}

#[test]
fn replies_are_exactly_these() {
    let failed = Problem::AuthenticationFailed("Invalid credentials".to_owned());
    let limited = Problem::RateLimitExceeded { retry_after: Duration::from_secs(3) };
    let names = strings(&["events"]);
    let ids = strings(&["mine"]);
    let at = |complete| [("events".to_owned(), Recovered { position: position("9f2c", 41), complete })];
    let subscribed = |chosen, positions| Reply::Subscribed {
        channels: &names,
        id: Some("mine"),
        chosen,
        positions,
        correlation: None,
    };
    let correlation = Some("req-1");
    for (reply, expected) in [
        (
            Reply::Authenticated { session: "c-1", user: Some("ann"), correlation: None },
            r#"{"type":"auth_success","data":{"client_id":"c-1"}}"#,
        ),
        (
            Reply::NotAuthenticated { problem: &failed, correlation: None },
            r#"{"type":"auth_failed","data":{"error":"Invalid credentials"}}"#,
        ),
        (subscribed(true, &[]), r#"{"type":"subscribed","data":{"type":"events"},"subscription_id":"mine"}"#),
        (
            subscribed(false, &at(Some(true))),
            r#"{"type":"subscribed","data":{"type":"events","position":{"epoch":"9f2c","offset":41,"recovered":true}},"subscription_id":"mine"}"#,
        ),
        (
            Reply::Unsubscribed { subscriptions: &ids, correlation },
            r#"{"type":"unsubscribed","data":{"subscription_id":"mine"},"correlation_id":"req-1"}"#,
        ),
        (
            Reply::Answer { kind: "track", payload: br#"{"ok":true}"#, correlation },
            r#"{"type":"track.result","data":{"ok":true},"correlation_id":"req-1"}"#,
        ),
        (
            Reply::Gap { channel: "events", missed: 3 },
            r#"{"type":"error","data":{"error":"Missed events of 'events': 3","channel":"events","missed":3}}"#,
        ),
        (Reply::Pong { correlation: None }, r#"{"type":"pong"}"#),
        (
            Reply::Failed { problem: &limited, correlation: None },
            r#"{"type":"error","data":{"error":"Rate limit exceeded"}}"#,
        ),
        (
            Reply::Failed { problem: &Problem::UnknownType("x".to_owned()), correlation },
            r#"{"type":"error","data":{"error":"Unknown message type"},"correlation_id":"req-1"}"#,
        ),
    ] {
        assert_eq!(Analytics.reply(&reply).as_deref(), Some(expected));
        assert_shown(NAME, expected);
    }
    assert_eq!(reply(NAME, &Reply::Ping), json!({"type": "ping"}));
}

#[test]
fn a_plain_client_is_told_nothing_of_additions() {
    let names = strings(&["events"]);
    let kept = [("events".to_owned(), Recovered { position: position("9f2c", 41), complete: None })];
    for positions in [&[][..], &kept] {
        let subscribed =
            Reply::Subscribed { channels: &names, id: Some("7"), chosen: false, positions, correlation: None };
        assert_eq!(Analytics.reply(&subscribed), None);
    }
    assert_eq!(Analytics.reply(&Reply::Unsubscribed { subscriptions: &names, correlation: None }), None);
    assert_eq!(Analytics.reply(&Reply::Welcome { session: "s", user: Some("ann") }), None);
}

#[test]
fn events_are_exactly_these() {
    let payload = r#"{"event_type":"login"}"#;
    for (correlation, position, expected) in [
        (
            None,
            None,
            r#"{"type":"data","data":{"event":{"event_type":"login"},"subscription_type":"events"},"subscription_id":"sub_789"}"#,
        ),
        (
            None,
            Some(("9f2c", 42)),
            r#"{"type":"data","data":{"event":{"event_type":"login"},"subscription_type":"events"},"metadata":{"epoch":"9f2c","offset":42},"subscription_id":"sub_789"}"#,
        ),
        (
            Some("evt-1"),
            None,
            r#"{"type":"data","data":{"event":{"event_type":"login"},"subscription_type":"events"},"correlation_id":"evt-1","subscription_id":"sub_789"}"#,
        ),
    ] {
        let mut text = b"before ".to_vec();
        Analytics.event(&Event { correlation, position, ..plain("events", payload) }, &mut text);
        let shared = text.len();
        Analytics.personal("sub_789", &mut text);
        assert_eq!(std::str::from_utf8(&text).unwrap(), format!("before {expected}"));
        assert_eq!(&text[shared..], br#","subscription_id":"sub_789"}"#, "only the id differs between subscribers");
        assert_shown(NAME, expected);
    }
    assert!(named(NAME).unwrap().batch().is_none());
}
