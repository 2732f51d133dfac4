//! What holds for every dialect that has a structure. What each says exactly is tested beside it.

use std::time::Duration;

use super::read::{MAX_DEPTH, MAX_FIELDS_BYTES, MAX_NAME_BYTES, MAX_NAMES};
use super::*;

pub(super) mod page;
mod properties;

/// Reads a client's message.
pub(super) fn parse(dialect: &str, text: &str) -> Result<Request, Rejected> {
    named(dialect).unwrap().parse(&Bytes::copy_from_slice(text.as_bytes()))
}

/// Why a client's message is refused; panics if it is not for its format.
pub(super) fn refusal(dialect: &str, text: &str) -> String {
    match parse(dialect, text) {
        Err(Rejected { problem: Problem::InvalidMessage(reason), .. }) => reason,
        other => panic!("{dialect}: {text}: {other:?}"),
    }
}

/// A reply, which the protocol has.
pub(super) fn reply(dialect: &str, reply: &Reply<'_>) -> Value {
    let text = named(dialect).unwrap().reply(reply).unwrap_or_else(|| panic!("{dialect}: no text for {reply:?}"));
    json(&text)
}

/// An event as the subscriber of that subscription gets it.
pub(super) fn event(dialect: &str, event: &Event<'_>, subscription: &str) -> Value {
    let dialect = named(dialect).unwrap();
    let mut text = Vec::new();
    let payload = dialect.event(event, &mut text);
    assert!(text[payload..].starts_with(event.payload), "{}: the payload is not at {payload}", dialect.name());
    if dialect.traits().personal {
        dialect.personal(subscription, &mut text);
    }
    json(std::str::from_utf8(&text).unwrap())
}

/// An event without history.
pub(super) fn plain<'a>(channel: &'a str, payload: &'a str) -> Event<'a> {
    Event {
        channel,
        payload: payload.as_bytes(),
        correlation: None,
        metadata: None,
        position: None,
        time_ms: 1_704_067_200_000,
    }
}

pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(super) fn strings(strings: &[&str]) -> Vec<String> {
    strings.iter().map(|&string| string.to_owned()).collect()
}

pub(super) fn position(epoch: &str, offset: u64) -> Position {
    Position { epoch: epoch.to_owned(), offset }
}

fn structured() -> impl Iterator<Item = &'static dyn Dialect> {
    ALL.iter().copied().filter(|dialect| !dialect.traits().transparent && !dialect.traits().links)
}

/// A subscription of each dialect, with the place of its recovery, its exact matches and its flag to be filled in.
fn subscribe(dialect: &str, recover: &str, fields: &str, snapshot: &str) -> String {
    match dialect {
        "channels" => format!(
            r#"{{"type":"subscribe","data":{{"channels":["a"],"recover":{recover},"fields":{fields},"snapshot":{snapshot}}}}}"#
        ),
        "events" => format!(
            r#"{{"type":"subscribe","events":["a"],"recover":{recover},"fields":{fields},"snapshot":{snapshot}}}"#
        ),
        "analytics" => format!(
            r#"{{"type":"subscribe","data":{{"type":"events","recover":{recover},"filters":{fields},"snapshot":{snapshot}}}}}"#
        ),
        other => panic!("no subscription of '{other}'"),
    }
}

/// Every problem, with what a client may have put into it.
fn problems(text: &str) -> Vec<Problem> {
    vec![
        Problem::ConnectionLimit,
        Problem::DuplicateConnection,
        Problem::ConnectionNotFound,
        Problem::AuthenticationRequired,
        Problem::AuthenticationFailed(text.to_owned()),
        Problem::AuthenticationTimeout,
        Problem::AuthenticationExpired,
        Problem::PermissionDenied { channel: text.to_owned(), user: None },
        Problem::SubscriptionLimitExceeded { limit: 50 },
        Problem::ChannelFull { channel: text.to_owned() },
        Problem::RateLimitExceeded { retry_after: Duration::from_millis(1_001) },
        Problem::InvalidMessage(text.to_owned()),
        Problem::UnknownType(text.to_owned()),
        Problem::InvalidChannel(text.to_owned()),
        Problem::InvalidFilter(text.to_owned()),
        Problem::NotSubscribed(text.to_owned()),
        Problem::DuplicateRequest,
        Problem::Busy,
        Problem::RequestTimeout,
        Problem::Unsupported(text.to_owned()),
    ]
}

/// Every reply, with `text` wherever a text comes from outside.
fn for_each_reply(text: &str, mut check: impl FnMut(&Reply<'_>)) {
    let user = Some(text);
    let correlation = Some(text);
    let names = [text.to_owned()];
    let recovered = Recovered { position: position(text, u64::MAX), complete: Some(true) };
    let positions = [(text.to_owned(), recovered)];
    let members = [(text.to_owned(), Some(text.to_owned())), (text.to_owned(), None)];
    let failed = Problem::AuthenticationFailed(text.to_owned());
    check(&Reply::Welcome { session: text, user });
    check(&Reply::Authenticated { session: text, user, correlation });
    check(&Reply::NotAuthenticated { problem: &failed, correlation });
    check(&Reply::Subscribed { channels: &names, id: Some(text), chosen: true, positions: &positions, correlation });
    check(&Reply::Unsubscribed { subscriptions: &names, correlation });
    check(&Reply::Presence { channel: text, members: &members, correlation });
    check(&Reply::Answer { kind: text, payload: br#"{"a":1}"#, correlation });
    check(&Reply::Answer { kind: text, payload: text.as_bytes(), correlation });
    check(&Reply::Gap { channel: text, missed: u64::MAX });
    check(&Reply::Pong { correlation });
    check(&Reply::Ping);
    for problem in &problems(text) {
        check(&Reply::Failed { problem, correlation });
    }
}

#[test]
fn every_dialect_is_found_by_its_name() {
    for dialect in ALL {
        assert_eq!(named(dialect.name()).unwrap().name(), dialect.name());
    }
    assert!(named("Channels").is_none());
}

#[test]
fn what_is_no_message_is_refused_with_the_reason() {
    let cases = [
        ("", "a message is a JSON object"),
        ("hello", "a message is a JSON object"),
        ("\u{feff}{}", "a message is a JSON object"),
        (r#"["ping"]"#, "a message is a JSON object"),
        (r#""ping""#, "a message is a JSON object"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        (r#"{"type":"ping"} {"type":"ping"}"#, "trailing characters at line 1 column 17"),
        (r#"{"type":"ping",}"#, "trailing comma at line 1 column 16"),
        (r#"{"type":"ping","type":"pong"}"#, "duplicate field `type` at line 1 column 21"),
        (r#"{"type":"ping","correlation_id":"a","correlation_id":"b"}"#, "duplicate field `correlation_id` at line 1"),
        (r#"{"type":"ping","data":NaN}"#, "expected value at line 1 column 23"),
        ("{\"type\":\"pi\u{1}ng\"}", "control character"),
        ("{}", "'type' is missing"),
        (r#"{"type":null}"#, "'type' is missing"),
        (r#"{"type":1}"#, "'type' must be a string of 1 to 256 bytes"),
        (r#"{"type":""}"#, "'type' must be a string of 1 to 256 bytes"),
        (r#"{"type":"\ud800"}"#, "'type' must be a string of 1 to 256 bytes"),
        (r#"{"type":"ping","correlation_id":7}"#, "'correlation_id' must be a string of 1 to 256 bytes"),
    ];
    for dialect in structured() {
        for (text, expected) in cases {
            let reason = refusal(dialect.name(), text);
            assert!(reason.contains(expected), "{}: {text}: {reason}", dialect.name());
        }
        let not_utf8 = dialect.parse(&Bytes::from_static(b"{\"type\":\"\xff\"}"));
        assert_eq!(not_utf8, Err(Problem::InvalidMessage("the text is not UTF-8".to_owned()).into()));
    }
}

#[test]
fn the_correlation_id_of_a_wrong_message_comes_back() {
    for dialect in structured() {
        for text in [
            r#"{"type":"subscribe","correlation_id":"c\u002d1"}"#,
            r#"{"correlation_id":"c-1"}"#,
            r#"{"type":[],"correlation_id":"c-1"}"#,
            r#"{"correlation_id":"c-1","type":"auth","data":"token"}"#,
        ] {
            let rejected = parse(dialect.name(), text).unwrap_err();
            assert_eq!(rejected.correlation.as_deref(), Some("c-1"), "{}: {text}", dialect.name());
        }
    }
}

#[test]
fn spaces_escapes_and_unknown_names_make_no_difference() {
    for dialect in structured() {
        let text = " \r\n\t{ \"version\" : {\"a\":[1]}, \"ty\\u0070e\" : \"pi\\u006eg\" , \"data\" : null } \n";
        assert_eq!(parse(dialect.name(), text), Ok(Request::Ping { correlation: None }));
    }
}

#[test]
fn names_are_bounded() {
    let longest = "x".repeat(MAX_NAME_BYTES);
    for dialect in structured() {
        let ping = |name: &str| parse(dialect.name(), &format!(r#"{{"type":"ping","correlation_id":"{name}"}}"#));
        assert_eq!(ping(&longest), Ok(Request::Ping { correlation: Some(longest.clone()) }));
        assert!(ping(&format!("{longest}x")).is_err());
        assert!(parse(dialect.name(), &format!(r#"{{"type":"{longest}x"}}"#)).is_err());
    }
}

#[test]
fn depth_is_bounded_wherever_it_is() {
    let nested = |depth: usize| format!(r#"{{"type":"ping","x":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    let data = |depth: usize| {
        let (open, close) = (r#"{"a":"#.repeat(depth - 1), "}".repeat(depth - 1));
        format!(r#"{{"type":"ping","data":{open}1{close}}}"#)
    };
    let brackets_in_strings = format!(r#"{{"type":"ping","x":"\"{}"}}"#, "[{".repeat(1_000));
    let wide = format!(r#"{{"type":"ping","x":[{}0]}}"#, "[],".repeat(1_000));
    for dialect in structured() {
        let name = dialect.name();
        for text in [nested(MAX_DEPTH), data(MAX_DEPTH), brackets_in_strings.clone(), wide.clone()] {
            assert_eq!(parse(name, &text), Ok(Request::Ping { correlation: None }), "{name}: {text}");
        }
        for text in [nested(MAX_DEPTH + 1), data(MAX_DEPTH + 1), nested(200_000)] {
            assert_eq!(refusal(name, &text), "objects and arrays are nested deeper than 128");
        }
        assert!(parse(name, &format!(r#"{{"type":{}"#, "[".repeat(1_000_000))).is_err());
    }
}

#[test]
fn lists_are_bounded() {
    let list = |count: usize| vec![r#""a""#; count].join(",");
    for (dialect, open, close) in [
        ("channels", r#"{"type":"subscribe","data":{"channels":["#, "]}}"),
        ("events", r#"{"type":"subscribe","events":["#, "]}"),
    ] {
        assert!(parse(dialect, &format!("{open}{}{close}", list(MAX_NAMES))).is_ok());
        assert!(refusal(dialect, &format!("{open}{}{close}", list(MAX_NAMES + 1))).contains("at most 16384 strings"));
    }
    for dialect in structured() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_FIELDS_BYTES));
        let reason = refusal(dialect.name(), &subscribe(dialect.name(), "null", &long, "false"));
        assert!(reason.ends_with("is longer than 65536 bytes"), "{reason}");
    }
}

#[test]
fn wrong_options_of_a_subscription_are_refused_by_name() {
    for dialect in structured().map(Dialect::name) {
        for (recover, fields, snapshot, expected) in [
            ("null", "[]", "false", "must be an object in which every name is given once"),
            ("null", r#"{"a":1,"\u0061":2}"#, "false", "must be an object in which every name is given once"),
            ("null", "null", "1", "snapshot' must be true or false"),
            ("7", "null", "false", "recover' must be an object"),
            (r#"{"a":{"epoch":"e"}}"#, "null", "false", "recover' must be an object with 'epoch'"),
        ] {
            let text = subscribe(dialect, recover, fields, snapshot);
            let reason = refusal(dialect, &text);
            assert!(reason.contains(expected), "{dialect}: {text}: {reason}");
        }
        assert!(parse(dialect, &subscribe(dialect, "null", "{}", "false")).is_ok());
    }
}

#[test]
fn a_token_is_never_repeated() {
    for dialect in structured() {
        for text in [
            r#"{"type":"auth","data":"s3cret"}"#,
            r#"{"type":"auth","data":{"token":["s3cret"]}}"#,
            r#"{"type":"auth","token":["s3cret"]}"#,
            r#"{"type":"auth","data":{"token":"s3cret","token":"s3cret"}}"#,
            r#"{"type":"auth","data":{"token":"s3cret"}"#,
            r#"{"type":"s3cret\ud800","correlation_id":{"token":"s3cret"}}"#,
        ] {
            let rejected = parse(dialect.name(), text).unwrap_err();
            let shown = format!("{rejected:?} {}", rejected.problem);
            assert!(!shown.contains("s3cret"), "{}: {shown}", dialect.name());
        }
        let request = parse(dialect.name(), r#"{"type":"auth","data":{"token":"s3cret"}}"#).unwrap();
        let Request::Authenticate { token, .. } = &request else { panic!("{request:?}") };
        assert_eq!(token.expose(), "s3cret");
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}

#[test]
fn data_for_the_pipeline_is_not_copied() {
    for (dialect, text) in [
        ("channels", r#"{"type":"request","data":{"q":[1, 2.50]},"correlation_id":"c"}"#),
        ("events", r#"{"type":"create","data":{"q":[1, 2.50]}}"#),
        ("analytics", r#"{"type":"create","data":{"q":[1, 2.50]}}"#),
    ] {
        let message = Bytes::copy_from_slice(text.as_bytes());
        let Ok(Request::Message(ClientMessage { payload, .. })) = named(dialect).unwrap().parse(&message) else {
            panic!("{dialect}: no message");
        };
        assert_eq!(payload, r#"{"q":[1, 2.50]}"#);
        assert!(message.as_ptr_range().contains(&payload.as_ptr()), "{dialect}");
    }
}

#[test]
fn only_pings_and_close_refusals_the_documents_have_are_sent() {
    let traits = |name: &str| named(name).unwrap().traits();
    let message_authentication = Traits { message_authentication: true, ..Traits::default() };
    assert_eq!(traits("channels"), Traits { pings: true, ..message_authentication });
    assert_eq!(traits("events"), message_authentication);
    assert_eq!(traits("analytics"), Traits { personal: true, refuses_by_close: true, ..message_authentication });
}

#[test]
fn hostile_texts_in_replies_stay_inside_their_strings() {
    for text in ["\"},\"type\":\"x", "\\", "\u{0}\n\u{7f}\u{2028}", "}{", "", "🚀\u{fffd}"] {
        for dialect in structured() {
            for_each_reply(text, |reply| {
                let Some(written) = dialect.reply(reply) else { return };
                let value = json(&written);
                let fields: Vec<&String> = value.as_object().unwrap().keys().collect();
                let known = ["type", "data", "subscription_id", "correlation_id"];
                assert!(fields.iter().all(|field| known.contains(&field.as_str())), "{written}");
                if let Some(correlation) = value.get("correlation_id") {
                    assert_eq!(correlation, text, "{written}");
                }
            });
        }
    }
}
