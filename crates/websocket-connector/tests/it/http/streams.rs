//! Streams of server-sent events.

use std::io::Write;
use std::time::Instant;

use eventflux_testkit::peer::ScriptedClient;
use eventflux_testkit::tls::TestCertificates;
use eventflux_testkit::wait::eventually_blocking;

use super::client::{EventStream, connect, exchange, get, request};
use crate::support::{DEADLINE, PROMPTLY, Registry, TestSink, batch};

const SERVED: [(&str, &str); 5] = [
    ("websocket.mode", "server"),
    ("websocket.listen", "127.0.0.1:0"),
    ("websocket.path", "/feed"),
    ("websocket.protocol", "channels"),
    ("websocket.sse", "true"),
];

pub(super) const HISTORY: [(&str, &str); 1] = [("websocket.history.events", "1000")];

/// What a client is told that cannot go on.
pub(super) const NOT_RECOVERED: &str = "\"recovered\":false";

pub(super) fn sink_of(registry: &Registry, channel: &str, raw: &[(&str, &str)]) -> TestSink {
    let sink = registry.sink(&[&SERVED[..], &[("websocket.channel", channel)], raw].concat());
    sink.start().unwrap();
    sink
}

pub(super) fn sink(raw: &[(&str, &str)]) -> TestSink {
    sink_of(&Registry::new(), "a", raw)
}

pub(super) fn publish(sink: &TestSink, numbers: std::ops::Range<u32>) {
    sink.sink.publish_batch(&batch(numbers.map(|number| number.to_string()))).unwrap();
}

/// The payloads of events, as they stand in the protocol's text.
pub(super) fn payloads(stream: &mut EventStream, count: usize) -> Vec<String> {
    stream.texts(count).iter().map(|text| payload(text)).collect()
}

fn payload(text: &str) -> String {
    let event: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(event["type"], "event", "{text}");
    event["data"].to_string()
}

/// Opens a stream, and takes the protocol's reply from it.
pub(super) fn subscribe(url: &str, query: &str, headers: &[(&str, &str)]) -> (EventStream, String) {
    let mut stream = EventStream::open(url, query, headers);
    let reply = stream.texts(1).remove(0);
    assert!(reply.contains("subscribe_response"), "{reply}");
    (stream, reply)
}

pub(super) fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn a_stream_has_the_texts_that_a_websocket_client_gets() {
    let sink = sink(&HISTORY);
    let (mut stream, _) = subscribe(&sink.detail(), "?channel=a", &[]);
    let client = ScriptedClient::connect(sink.detail()).blocking();
    let subscribe = "{\"type\":\"subscribe\",\"data\":{\"channels\":[\"a\"]}}";
    client.play(eventflux_testkit::peer::Script::new().send_all([subscribe])).blocking();
    client.wait_for_messages(1).blocking();
    publish(&sink, 1..3);
    let texts: Vec<_> =
        client.wait_for_messages(3).blocking().iter().skip(1).map(|text| text.as_text().unwrap().to_owned()).collect();
    assert_eq!(stream.texts(2), texts);
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    assert_eq!(stream.header("cache-control"), Some("no-store"));
    assert!((1_000..5_000).contains(&stream.retry_ms.unwrap()));
    assert!(stream.last_id.ends_with(":2"), "{}", stream.last_id);
}

#[test]
fn filters_and_snapshots_are_those_of_the_protocol() {
    let sink = sink(&[&HISTORY[..], &[("websocket.key", "k"), ("websocket.snapshot.keys", "10")]].concat());
    let url = sink.detail();
    let of = |value: u32| format!("{{\"v\":{value}}}");
    sink.sink.publish_batch(&batch([of(1), of(20)])).unwrap();
    let (mut stream, _) = subscribe(&url, "?channel=a&snapshot=true&filter=v%20%3E+10", &[]);
    assert_eq!(payload(&stream.texts(1)[0]), of(20));
    assert!(stream.last_id.ends_with(":2"), "{}", stream.last_id);
    sink.sink.publish_batch(&batch([of(2), of(30), of(3)])).unwrap();
    assert_eq!(payload(&stream.texts(1)[0]), of(30));
    assert!(stream.last_id.ends_with(":4"), "{}", stream.last_id);
}

#[test]
fn every_protocol_has_its_own_words() {
    let words = [
        ("events", "a", &["\"type\":\"connected\"", "\"type\":\"subscribed\"", "{\"type\":\"a\",\"data\":1"][..]),
        ("analytics", "alerts", &["\"subscription_type\":\"alerts\""][..]),
    ];
    for (protocol, channel, expected) in words {
        let raw = [
            ("websocket.mode", "server"),
            ("websocket.listen", "127.0.0.1:0"),
            ("websocket.sse", "true"),
            ("websocket.protocol", protocol),
            ("websocket.channel", channel),
            ("websocket.history.events", "10"),
            ("websocket.auth", "none"),
            ("websocket.batch.delay", "1s"),
        ];
        let raw = if protocol == "analytics" { &raw[..7] } else { &raw[..] };
        let sink = Registry::new().sink(raw);
        sink.start().unwrap();
        let mut stream = EventStream::open(&sink.detail(), &format!("?channel={channel}"), &[]);
        publish(&sink, 1..2);
        for (text, expected) in stream.texts(expected.len()).iter().zip(expected) {
            assert!(text.contains(expected), "{protocol}: {text}");
        }
        assert!(stream.last_id.ends_with(":1"), "{protocol}: {}", stream.last_id);
        let mut lost =
            EventStream::open(&sink.detail(), &format!("?channel={channel}"), &[("Last-Event-ID", "elsewhere:1")]);
        let told = std::iter::from_fn(|| lost.next()).find(|event| event.data.contains(NOT_RECOVERED));
        assert!(told.is_some(), "{protocol}");
        if protocol == "analytics" {
            let answer = get(&sink.detail(), "?channel=another", &[]);
            assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_channel"));
        }
    }
}

#[test]
fn coming_and_going_are_messages_for_the_pipeline() {
    let registry = Registry::new();
    let served = [&SERVED[..], &[("websocket.presence", "true")]].concat();
    let mut source = registry.source(&[&served[..], &[("websocket.accept", "join, leave")]].concat());
    source.start().unwrap();
    let (stream, _) = subscribe(&source.detail(), "?channel=a&channel=b", &[]);
    eventually_blocking(DEADLINE, || source.recorder.count() == 2);
    stream.leave();
    eventually_blocking(DEADLINE, || source.recorder.count() == 4);
    let messages = source.recorder.messages();
    assert!(messages.iter().all(|message| String::from_utf8_lossy(message).contains("\"connection\"")));
    source.stop();
}

#[test]
fn a_service_that_has_a_say_in_subscriptions_is_asked_before_the_stream_begins() {
    let mut service = mockito::Server::new();
    let answer = |service: &mut mockito::Server, channel: &str, allowed: bool| {
        service
            .mock("POST", "/may")
            .match_body(mockito::Matcher::Regex(format!("\"{channel}\"")))
            .with_header("content-type", "application/json")
            .with_body(format!("{{\"allow\":{allowed}}}"))
            .create()
    };
    let _mocks = [answer(&mut service, "a", true), answer(&mut service, "secret", false)];
    let sink = sink(&[
        ("websocket.auth", "token"),
        ("websocket.auth.tokens", "hunter2=ann"),
        ("websocket.auth.http.subscribe.url", &format!("{}/may", service.url())),
    ]);
    let url = sink.detail();
    let bearer = [("Authorization", "Bearer hunter2")];
    let (mut stream, _) = subscribe(&url, "?channel=a", &bearer);
    publish(&sink, 1..2);
    assert_eq!(payloads(&mut stream, 1), ["1"]);
    let answer = get(&url, "?channel=a&channel=secret", &bearer);
    assert_eq!((answer.status, answer.code().as_str()), (403, "permission_denied"));
}

#[test]
fn a_stream_ends_when_the_credentials_do() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = serde_json::json!({"sub": "ann", "exp": now + 2});
    let key = jsonwebtoken::EncodingKey::from_secret(b"a secret of more than thirty-two bytes");
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let sink = sink(&[
        ("websocket.auth", "jwt"),
        ("websocket.auth.jwt.secret", "a secret of more than thirty-two bytes"),
        ("websocket.auth.jwt.leeway", "0s"),
    ]);
    let bearer = format!("Bearer {token}");
    let (mut stream, _) = subscribe(&sink.detail(), "?channel=a", &[("Authorization", &bearer)]);
    let last = stream.rest();
    assert!(last[0].contains("authentication_expired"), "{last:?}");
    assert_eq!(get(&sink.detail(), "?channel=a", &[("Authorization", &bearer)]).status, 401);
}

#[test]
fn raw_payloads_are_sent_as_they_are_line_by_line() {
    let raw = [
        ("websocket.mode", "server"),
        ("websocket.listen", "127.0.0.1:0"),
        ("websocket.sse", "true"),
        ("websocket.channel", "a"),
    ];
    let sink = Registry::new().sink(&raw);
    sink.start().unwrap();
    let mut everything = EventStream::open(&sink.detail(), "", &[]);
    let mut one = EventStream::open(&sink.detail(), "?channel=a", &[("Last-Event-ID", "lost:7")]);
    sink.sink.publish_batch(&batch(["a\nb\r\nc", ""])).unwrap();
    assert_eq!(everything.texts(2), ["a\nb\nc", ""]);
    assert_eq!(one.texts(2), ["a\nb\nc", ""]);
    assert_eq!((everything.last_id, one.last_id), (String::new(), String::new()));
}

#[test]
fn only_who_may_receive_a_channel_gets_a_stream() {
    let sink = sink(&[
        ("websocket.auth", "token"),
        ("websocket.auth.tokens", "hunter2=ann"),
        ("websocket.auth.query", "token"),
        ("websocket.grants.subscribe", "a, ${user}.*"),
    ]);
    let url = sink.detail();
    for (query, headers, expected) in [
        ("?channel=a", &[][..], (401, "authentication_required")),
        ("?channel=a", &[("Authorization", "Bearer wrong")], (401, "authentication_failed")),
        ("?channel=a&token=wrong", &[], (401, "authentication_failed")),
        ("?channel=secret", &[("Authorization", "Bearer hunter2")], (403, "permission_denied")),
        ("?channel=a&channel=secret", &[("Authorization", "Bearer hunter2")], (403, "permission_denied")),
        ("?channel=a", &[("Cookie", "token=hunter2")], (401, "authentication_required")),
    ] {
        let answer = get(&url, query, headers);
        assert_eq!((answer.status, answer.code().as_str()), expected, "{query} {headers:?}");
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
        assert_eq!(answer.header("www-authenticate").is_some(), answer.status == 401, "{}", answer.head);
    }
    let (mut by_header, _) = subscribe(&url, "?channel=a", &[("Authorization", "Bearer hunter2")]);
    let (mut by_query, _) = subscribe(&url, "?channel=a&channel=ann.*&token=hunter2", &[]);
    publish(&sink, 1..2);
    assert_eq!((payloads(&mut by_header, 1), payloads(&mut by_query, 1)), (numbers(1..2), numbers(1..2)));
}

#[test]
fn only_pages_that_may_connect_can_read_what_is_answered() {
    let sink = sink(&[("websocket.origins", "https://good.example")]);
    let url = sink.detail();
    let (stream, _) = subscribe(&url, "?channel=a", &[("Origin", "https://good.example")]);
    assert_eq!(stream.header("access-control-allow-origin"), Some("https://good.example"));
    assert_eq!(stream.header("vary"), Some("origin"));
    let answer = get(&url, "", &[("Origin", "https://good.example")]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (400, Some("https://good.example")));
    for origin in ["https://evil.example", "null", "https://good.example.evil", "https://good.example:444"] {
        let answer = get(&url, "?channel=a", &[("Origin", origin)]);
        assert_eq!((answer.status, answer.code().as_str()), (403, "origin_not_allowed"), "{origin}");
        assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (None, Some("origin")));
    }
    let preflight = |origin| {
        exchange(
            &url,
            &request(&url, "OPTIONS", "", &[("Origin", origin), ("Access-Control-Request-Method", "GET")], b""),
        )
    };
    let allowed = preflight("https://good.example");
    assert_eq!((allowed.status, allowed.body.as_str()), (204, ""));
    assert_eq!(allowed.header("access-control-allow-methods"), Some("get, options"));
    assert!(allowed.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(preflight("https://evil.example").status, 403);
}

#[test]
fn a_page_whose_name_was_made_to_lead_here_gets_nothing() {
    let raw = b"GET /feed?channel=a HTTP/1.1\r\nHost: evil.example\r\nAccept: text/event-stream\r\n\r\n";
    let answer = exchange(&sink(&[]).detail(), raw);
    assert_eq!((answer.status, answer.code().as_str()), (403, "origin_not_allowed"));
}

#[test]
fn what_is_no_proper_request_for_events_is_refused_with_the_reason() {
    let sink = sink(&[("websocket.max.connections", "1")]);
    let url = sink.detail();
    for (query, headers, status) in [
        ("", &[][..], 400),
        ("?channel=", &[], 400),
        ("?channel=a&channel=a", &[], 400),
        ("?channel=a&channel=*", &[], 400),
        ("?channel=a%20b", &[], 400),
        ("?channel=a&fliter=x", &[], 400),
        ("?channel=a&snapshot=yes", &[], 400),
        ("?channel=a&filter=v%20%3E", &[], 400),
        ("?channel=a", &[("Content-Length", "1")], 400),
    ] {
        assert_eq!(get(&url, query, headers).status, status, "{query}");
    }
    let plain = |method: &str, headers: &[(&str, &str)]| {
        exchange(&url, &request(&url, method, "?channel=a", headers, b"")).status
    };
    assert_eq!(plain("GET", &[("Accept", "text/html, */*")]), 406);
    assert_eq!((plain("POST", &[]), plain("DELETE", &[])), (405, 405));
    let elsewhere = url.replace("/feed", "/elsewhere");
    assert_eq!(get(&elsewhere, "?channel=a", &[]).status, 426);
    let (_only_one, _) = subscribe(&url, "?channel=a", &[]);
    let full = get(&url, "?channel=a", &[]);
    assert_eq!((full.status, full.code().as_str(), full.header("retry-after")), (503, "connection_limit", Some("5")));
}

#[test]
fn a_path_without_the_property_is_for_websockets_only() {
    let raw: Vec<_> = SERVED.into_iter().filter(|(key, _)| *key != "websocket.sse").collect();
    let sink = Registry::new().sink(&raw);
    sink.start().unwrap();
    let url = sink.detail();
    assert_eq!(
        exchange(&url, &request(&url, "GET", "?channel=a", &[("Accept", "text/event-stream")], b"")).status,
        426
    );
    assert_eq!(exchange(&url, &request(&url, "POST", "?channel=a", &[], b"1")).status, 405);
}

#[test]
fn a_silent_stream_has_heartbeats_and_ends_without_a_trace() {
    let sink = sink(&[("websocket.ping.interval", "20ms"), ("websocket.pong.timeout", "10ms")]);
    let (mut stream, _) = subscribe(&sink.detail(), "?channel=a", &[]);
    stream.wait_for_heartbeats(3);
    eventually_blocking(DEADLINE, || sink.context.metrics.connections.value() == 1);
    stream.leave();
    eventually_blocking(DEADLINE, || sink.context.metrics.connections.value() == 0);
}

#[test]
fn a_client_that_goes_on_talking_is_dropped() {
    let sink = sink(&[]);
    let (mut stream, _) = subscribe(&sink.detail(), "?channel=a", &[]);
    stream.say(b"GET / HTTP/1.1\r\n\r\n");
    publish(&sink, 1..2);
    assert_eq!(payloads(&mut stream, 1), ["1"]);
    stream.say(&[b'x'; 8192]);
    assert_eq!(stream.rest(), Vec::<String>::new());
}

#[test]
fn a_client_that_does_not_read_is_closed_or_misses_events_and_nobody_else_notices() {
    for (policy, ends) in [("disconnect", true), ("drop_oldest", false)] {
        let sink = sink(&[("websocket.client.queue.full", policy), ("websocket.client.queue.bytes", "64KiB")]);
        let url = sink.detail();
        let (mut slow, _) = subscribe(&url, "?channel=a", &[]);
        let (mut quick, _) = subscribe(&url, "?channel=a", &[]);
        let large = format!("\"{}\"", "x".repeat(16 * 1024));
        // More than the sockets between the two hold.
        for _ in 0..2000 {
            sink.sink.publish_batch(&batch([&large])).unwrap();
            assert_eq!(payloads(&mut quick, 1), std::slice::from_ref(&large), "{policy}");
        }
        publish(&sink, 1..2);
        assert_eq!(payloads(&mut quick, 1), ["1"], "{policy}");
        if ends {
            eventually_blocking(DEADLINE, || sink.context.metrics.connections.value() == 1);
            assert!(slow.rest().len() < 2000);
        } else {
            let missed =
                std::iter::from_fn(|| slow.next()).map(|event| event.data).find(|text| text.contains("\"gap\""));
            assert!(missed.is_some());
        }
    }
}

#[test]
fn a_stop_sends_what_was_published_and_ends_the_streams() {
    let sink = sink(&[]);
    let (mut stream, _) = subscribe(&sink.detail(), "?channel=a", &[]);
    publish(&sink, 1..1001);
    let began = Instant::now();
    assert_eq!(sink.stop(), 0);
    assert!(began.elapsed() < PROMPTLY * 3);
    assert_eq!(stream.rest().iter().map(|text| payload(text)).collect::<Vec<_>>(), numbers(1..1001));
}

#[test]
fn a_stream_over_tls_is_the_same() {
    let certificates = TestCertificates::valid();
    let (cert, key) = (certificates.server_file(), certificates.server_key_file());
    let sink =
        sink(&[("websocket.tls.cert.file", cert.to_str().unwrap()), ("websocket.tls.key.file", key.to_str().unwrap())]);
    let url = sink.detail();
    let ca = native_tls::Certificate::from_pem(certificates.ca_pem().as_bytes()).unwrap();
    let connector = native_tls::TlsConnector::builder().add_root_certificate(ca).build().unwrap();
    let stream = connector.connect("localhost", connect(&url)).unwrap();
    let mut stream = EventStream::over(stream, &url, "?channel=a", &[]);
    assert!(stream.texts(1)[0].contains("subscribe_response"));
    publish(&sink, 1..3);
    assert_eq!(stream.texts(2).iter().map(|text| payload(text)).collect::<Vec<_>>(), numbers(1..3));
    assert_eq!(sink.stop(), 0);
    assert_eq!(stream.next(), None);
}

#[test]
fn a_head_that_dribbles_is_answered_in_time() {
    let sink = sink(&[("websocket.handshake.timeout", "200ms")]);
    let mut stream = connect(&sink.detail());
    stream.write_all(b"GET /feed?channel=a HTTP/1.1\r\nHost: h\r\n").unwrap();
    let answer = super::client::answer(stream);
    assert_eq!(answer.status, 408);
}
