use std::time::Duration;

use serde_json::json;

use super::*;
use crate::dialects::tests::page::assert_shown;
use crate::dialects::tests::{event, json, parse, plain, position, refusal, reply, strings};
use crate::dialects::{Recovered, named};

const NAME: &str = "channels";

fn message(kind: &str, channel: Option<&str>, payload: &str, correlation: Option<&str>) -> Request {
    Request::Message(ClientMessage {
        kind: kind.to_owned(),
        channel: channel.map(str::to_owned),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        correlation: correlation.map(str::to_owned),
        wants_answer: kind == "request",
    })
}

fn subscribe(channels: &[&str], correlation: Option<&str>) -> Request {
    Request::Subscribe(Subscribe {
        channels: strings(channels),
        correlation: correlation.map(str::to_owned),
        ..Subscribe::default()
    })
}

/// The texts are those of the guide, to the letter.
#[test]
fn every_message_printed_in_the_channels_guide_for_clients_is_understood() {
    let token = Request::Authenticate { token: Secret::new("eyJhbGciOiJIUzI1NiIs..."), correlation: None };
    let printed = [
        (
            r#"{
  "type": "subscribe",
  "data": {
    "channels": ["agent-updates", "system-events"]
  },
  "correlation_id": "req-12345",
  "metadata": {
    "client_version": "1.0.0"
  }
}"#,
            subscribe(&["agent-updates", "system-events"], Some("req-12345")),
        ),
        (
            r#"{
  "type": "auth",
  "data": {
    "token": "eyJhbGciOiJIUzI1NiIs..."
  }
}"#,
            token,
        ),
        (
            r#"{
  "type": "subscribe",
  "data": {
    "channels": ["agent-updates", "notifications", "metrics"]
  }
}"#,
            subscribe(&["agent-updates", "notifications", "metrics"], None),
        ),
        (
            r#"{
  "type": "unsubscribe",
  "data": {
    "channels": ["metrics"]
  }
}"#,
            Request::Unsubscribe { subscriptions: strings(&["metrics"]), correlation: None },
        ),
        // What the JavaScript, Python and Rust clients send.
        (r#"{"type":"subscribe","data":{"channels":["agent-updates"]}}"#, subscribe(&["agent-updates"], None)),
        (r#"{"type": "subscribe", "data": {"channels": ["agent-updates"]}}"#, subscribe(&["agent-updates"], None)),
        (r#"{"data":{"channels":["agent-updates"]},"type":"subscribe"}"#, subscribe(&["agent-updates"], None)),
        (r#"{"type":"pong"}"#, Request::Pong),
        (r#"{"type": "pong"}"#, Request::Pong),
    ];
    for (text, expected) in printed {
        assert_eq!(parse(NAME, text), Ok(expected), "{text}");
    }
}

/// The texts are those of the guide, to the letter.
#[test]
fn every_message_printed_in_the_channels_guide_for_the_server_is_sent() {
    let subscribed = strings(&["agent-updates", "notifications", "metrics"]);
    let reply_of =
        Reply::Subscribed { channels: &subscribed, id: None, chosen: false, positions: &[], correlation: None };
    let printed = r#"{
  "type": "subscribe_response",
  "data": {
    "success": true,
    "subscribed": ["agent-updates", "notifications", "metrics"]
  }
}"#;
    assert_eq!(reply(NAME, &reply_of), json(printed));
    for data in [
        r#"{
        "type": "agent-status-changed",
        "agent_id": "agent-123",
        "status": "running"
    }"#,
        r#"{"test": "data"}"#,
    ] {
        let expected = json!({"type": "event", "data": json(data)});
        assert_eq!(event(NAME, &plain("agent-updates", data), ""), expected);
    }
    assert_eq!(reply(NAME, &Reply::Ping), json!({"type": "ping"}));
}

#[test]
fn all_thirteen_types_of_the_channels_guide_and_presence_are_known() {
    let of_clients = [
        (
            r#"{"type":"auth","data":{"token":"t"}}"#,
            Request::Authenticate { token: Secret::new("t"), correlation: None },
        ),
        (r#"{"type":"subscribe","data":{"channels":[]},"correlation_id":"c"}"#, subscribe(&[], Some("c"))),
        (
            r#"{"type":"unsubscribe","data":{"channels":["a","b.*"]},"correlation_id":"c"}"#,
            Request::Unsubscribe { subscriptions: strings(&["a", "b.*"]), correlation: Some("c".to_owned()) },
        ),
        (
            r#"{"type":"request","data":{"channel":"a","q":1.50},"correlation_id":"c"}"#,
            message("request", Some("a"), r#"{"channel":"a","q":1.50}"#, Some("c")),
        ),
        (r#"{"type":"request"}"#, message("request", None, "{}", None)),
        (r#"{"type":"event","data":[1],"metadata":{"channel":"a"}}"#, message("event", Some("a"), "[1]", None)),
        (r#"{"type":"ack","correlation_id":"c"}"#, message("ack", None, "{}", Some("c"))),
        (r#"{"type":"ping"}"#, Request::Ping { correlation: None }),
        (r#"{"type":"ping","correlation_id":"c"}"#, Request::Ping { correlation: Some("c".to_owned()) }),
        (r#"{"type":"pong"}"#, Request::Pong),
        (
            r#"{"type":"presence","data":{"channel":"a"},"correlation_id":"c"}"#,
            Request::Presence { channel: "a".to_owned(), correlation: Some("c".to_owned()) },
        ),
    ];
    for (text, expected) in of_clients {
        assert_eq!(parse(NAME, text), Ok(expected), "{text}");
    }
    for kind in SERVER_TYPES {
        assert_eq!(refusal(NAME, &format!(r#"{{"type":"{kind}"}}"#)), format!("only the server sends '{kind}'"));
    }
    let unknown = parse(NAME, r#"{"type":"Subscribe","correlation_id":"c"}"#).unwrap_err();
    assert_eq!(unknown.problem, Problem::UnknownType("Subscribe".to_owned()));
    assert_eq!(unknown.correlation.as_deref(), Some("c"));
}

#[test]
fn a_subscription_has_filters_recovery_and_snapshot() {
    let text = r#"{"type":"subscribe","data":{"channels":["a"],"filter":"price > 100","fields":{"user.id":"1","k":["x",2]},
        "recover":{"a":{"epoch":"e","offset":18446744073709551615}},"snapshot":true}}"#;
    let Ok(Request::Subscribe(subscribe)) = parse(NAME, text) else { panic!("{:?}", parse(NAME, text)) };
    assert_eq!(
        subscribe,
        Subscribe {
            channels: strings(&["a"]),
            id: SubscriptionId::Channel,
            fields: json!({"user.id": "1", "k": ["x", 2]}).as_object().cloned(),
            predicate: Some("price > 100".to_owned()),
            recover: vec![("a".to_owned(), position("e", u64::MAX))],
            snapshot: true,
            correlation: None,
        }
    );
}

#[test]
fn the_channel_of_a_message_is_in_its_metadata_or_else_in_its_data() {
    for (fields, expected) in [
        (r#""metadata":{"channel":"m"},"data":{"channel":"d"}"#, Some("m")),
        (r#""metadata":{"channel":null},"data":{"channel":"d"}"#, Some("d")),
        (r#""metadata":null,"data":{"channel":"d"}"#, Some("d")),
        (r#""data":{"channel":7}"#, None),
        (r#""data":["channel"]"#, None),
        (r#""data":"channel""#, None),
    ] {
        let text = format!(r#"{{"type":"request",{fields}}}"#);
        let Ok(Request::Message(message)) = parse(NAME, &text) else { panic!("{text}") };
        assert_eq!(message.channel.as_deref(), expected, "{text}");
        assert!(message.wants_answer);
    }
}

#[test]
fn incomplete_messages_are_refused_by_name() {
    for (text, expected) in [
        (r#"{"type":"auth"}"#, "'data.token' is missing"),
        (r#"{"type":"auth","data":{"token":null}}"#, "'data.token' is missing"),
        (r#"{"type":"auth","data":{"token":1}}"#, "'data.token' must be a string"),
        (r#"{"type":"subscribe"}"#, "'data.channels' is missing"),
        (r#"{"type":"subscribe","data":["a"]}"#, "'data' must be an object"),
        (
            r#"{"type":"subscribe","data":{"channels":"a"}}"#,
            "'data.channels' must be an array of at most 16384 strings",
        ),
        (
            r#"{"type":"subscribe","data":{"channels":["a",1]}}"#,
            "'data.channels' must be an array of at most 16384 strings",
        ),
        (r#"{"type":"subscribe","data":{"channels":[],"filter":{}}}"#, "'data.filter' must be a string"),
        (
            r#"{"type":"subscribe","data":{"channels":[],"channels":[]}}"#,
            "'data': duplicate field `channels` at line 1 column 25",
        ),
        (r#"{"type":"unsubscribe","data":{}}"#, "'data.channels' is missing"),
        (r#"{"type":"presence","data":{}}"#, "'data.channel' is missing"),
        (r#"{"type":"request","metadata":[]}"#, "'metadata' must be an object"),
        (r#"{"type":"request","metadata":{"channel":1}}"#, "'metadata.channel' must be a string"),
        (
            r#"{"type":"event","data":{}}"#,
            "an event needs its channel, a string in 'metadata.channel' or 'data.channel'",
        ),
        (r#"{"type":"ack"}"#, "an ack needs the 'correlation_id' of what it acknowledges"),
    ] {
        assert_eq!(refusal(NAME, text), expected, "{text}");
    }
}

#[test]
fn replies_are_exactly_these() {
    let failed = Problem::AuthenticationFailed("Invalid credentials".to_owned());
    let limited = Problem::RateLimitExceeded { retry_after: Duration::from_millis(1_001) };
    let denied = Problem::PermissionDenied { channel: "secrets".to_owned(), user: Some("ann".to_owned()) };
    let names = strings(&["metrics"]);
    let at = |complete| [("metrics".to_owned(), Recovered { position: position("9f2c", 41), complete })];
    let members = [("s-1".to_owned(), Some("ann".to_owned())), ("s-2".to_owned(), None)];
    let subscribed =
        |positions| Reply::Subscribed { channels: &names, id: None, chosen: false, positions, correlation: None };
    let correlation = Some("req-1");
    for (reply, expected) in [
        (
            Reply::Authenticated { session: "s-1", user: Some("ann"), correlation: None },
            r#"{"type":"auth_response","data":{"success":true,"user_id":"ann","session_id":"s-1"}}"#,
        ),
        (
            Reply::NotAuthenticated { problem: &failed, correlation: None },
            r#"{"type":"auth_response","data":{"success":false,"error":"Authentication failed: Invalid credentials"}}"#,
        ),
        (subscribed(&[]), r#"{"type":"subscribe_response","data":{"success":true,"subscribed":["metrics"]}}"#),
        (
            subscribed(&at(None)),
            r#"{"type":"subscribe_response","data":{"success":true,"subscribed":["metrics"],"positions":{"metrics":{"epoch":"9f2c","offset":41}}}}"#,
        ),
        (
            subscribed(&at(Some(true))),
            r#"{"type":"subscribe_response","data":{"success":true,"subscribed":["metrics"],"positions":{"metrics":{"epoch":"9f2c","offset":41,"recovered":true}}}}"#,
        ),
        (
            Reply::Unsubscribed { subscriptions: &names, correlation: None },
            r#"{"type":"unsubscribe_response","data":{"success":true,"unsubscribed":["metrics"]}}"#,
        ),
        (
            Reply::Presence { channel: "metrics", members: &members, correlation },
            r#"{"type":"presence_response","data":{"channel":"metrics","members":[{"session_id":"s-1","user_id":"ann"},{"session_id":"s-2"}]},"correlation_id":"req-1"}"#,
        ),
        (
            Reply::Answer { kind: "request", payload: br#"{"total":2.50}"#, correlation },
            r#"{"type":"response","data":{"total":2.50},"correlation_id":"req-1"}"#,
        ),
        (
            Reply::Gap { channel: "metrics", missed: 3 },
            r#"{"type":"error","data":{"code":"gap","message":"Missed events of 'metrics': 3","channel":"metrics","missed":3}}"#,
        ),
        (Reply::Pong { correlation: None }, r#"{"type":"pong"}"#),
        (Reply::Pong { correlation }, r#"{"type":"pong","correlation_id":"req-1"}"#),
        (Reply::Ping, r#"{"type":"ping"}"#),
        (
            Reply::Failed { problem: &denied, correlation },
            r#"{"type":"error","data":{"code":"permission_denied","message":"Permission denied for 'secrets'"},"correlation_id":"req-1"}"#,
        ),
        (
            Reply::Failed { problem: &limited, correlation: None },
            r#"{"type":"error","data":{"code":"rate_limit_exceeded","message":"Rate limit exceeded","retry_after":2}}"#,
        ),
    ] {
        assert_eq!(Channels.reply(&reply).as_deref(), Some(expected));
        assert_shown(NAME, expected);
    }
    assert_eq!(Channels.reply(&Reply::Welcome { session: "s-1", user: None }), None);
    let anonymous = Reply::Authenticated { session: "s-1", user: None, correlation: None };
    assert_eq!(
        reply(NAME, &anonymous),
        json!({"type": "auth_response", "data": {"success": true, "session_id": "s-1"}})
    );
}

#[test]
fn events_are_exactly_these() {
    let payload = r#"{"cpu":0.50}"#;
    for (correlation, position, expected) in [
        (None, None, r#"{"type":"event","data":{"cpu":0.50}}"#),
        (Some("evt-1"), None, r#"{"type":"event","data":{"cpu":0.50},"correlation_id":"evt-1"}"#),
        (
            None,
            Some(("9f2c", 42)),
            r#"{"type":"event","data":{"cpu":0.50},"metadata":{"channel":"metrics","epoch":"9f2c","offset":42}}"#,
        ),
    ] {
        let mut text = b"before ".to_vec();
        Channels.event(&Event { correlation, position, ..plain("metrics", payload) }, &mut text);
        assert_eq!(std::str::from_utf8(&text).unwrap(), format!("before {expected}"));
        assert_shown(NAME, expected);
    }
    assert!(named(NAME).unwrap().batch().is_none());
}

#[test]
fn events_carry_the_metadata_they_were_given_beside_their_place() {
    for (position, expected) in [
        (None, r#"{"type":"event","data":1,"metadata":{"source":"api"}}"#),
        (
            Some(("e", 2)),
            r#"{"type":"event","data":1,"metadata":{"channel":"a","epoch":"e","offset":2,"source":"api"}}"#,
        ),
    ] {
        let mut text = Vec::new();
        Channels.event(&Event { position, metadata: Some(r#""source":"api""#), ..plain("a", "1") }, &mut text);
        assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
    }
}
