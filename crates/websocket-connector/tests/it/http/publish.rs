//! Messages by `POST`.

use std::io::{Read, Write};
use std::sync::Arc;

use eventflux_core::metrics::Metrics;
use eventflux_core::{BoundMetadata, ConnectorContext, ConnectorRole, Properties, SourceFactory, Value};
use eventflux_testkit::contract::{OnDelivery, SourceRecorder};
use eventflux_testkit::tls::TestCertificates;
use eventflux_testkit::wait::eventually_blocking;
use eventflux_websocket_connector::WebSocketSourceFactory;

use super::client::{answer, connect, exchange, post, request};
use crate::support::{DEADLINE, Registry, TestSource};

const SERVED: [(&str, &str); 5] = [
    ("websocket.mode", "server"),
    ("websocket.listen", "127.0.0.1:0"),
    ("websocket.path", "/in"),
    ("websocket.protocol", "channels"),
    ("websocket.http.publish", "true"),
];

const BEARER: [(&str, &str); 1] = [("Authorization", "Bearer hunter2")];

fn source(raw: &[(&str, &str)]) -> TestSource {
    let mut source = Registry::new().source(&[&SERVED[..], raw].concat());
    source.start().unwrap();
    source
}

#[test]
fn a_json_value_is_a_message_for_the_source() {
    let mut source = source(&[]);
    let url = source.detail();
    let answer = post(&url, "?channel=chat", &[], "{\"text\": 1.50}");
    assert_eq!((answer.status, answer.body.trim()), (202, "{\"accepted\":1}"));
    assert_eq!(
        post(&url, "?channel=chat&kind=request", &[("Content-Type", "Application/JSON; charset=utf-8")], "[]").status,
        202
    );
    source.wait_for_messages(&["{\"text\": 1.50}", "[]"]);
    source.stop();
}

#[test]
fn a_body_in_chunks_that_waits_for_permission_is_read() {
    let source = source(&[]);
    let url = source.detail();
    let headers = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked"), ("Expect", "100-continue")];
    let mut stream = connect(&url);
    stream.write_all(&request(&url, "POST", "?channel=chat", &headers, b"")).unwrap();
    let mut permission = [0; 25];
    stream.read_exact(&mut permission).unwrap();
    assert_eq!(&permission, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"2\r\n[1\r\n3\r\n,2]\r\n0\r\n\r\n").unwrap();
    assert_eq!(answer(stream).status, 202);
    source.wait_for_messages(&["[1,2]"]);
}

#[test]
fn lines_are_messages_and_one_wrong_line_is_a_reason_to_take_none() {
    let source = source(&[]);
    let url = source.detail();
    let lines = [("Content-Type", "application/x-ndjson")];
    let wrong = post(&url, "?channel=chat", &lines, "{\"a\":1}\n{\"a\":hunter2}\n{\"a\":3}\n");
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "invalid_message"));
    assert!(wrong.body.contains("line 2") && !wrong.body.contains("hunter2"), "{}", wrong.body);
    let right = post(&url, "?channel=chat", &lines, "{\"a\":1}\r\n\n{\"a\":2}");
    assert_eq!((right.status, right.body.trim()), (202, "{\"accepted\":2}"));
    source.wait_for_messages(&["{\"a\":1}", "{\"a\":2}"]);
}

#[test]
fn columns_bound_to_metadata_are_filled_as_for_any_message() {
    let factory = WebSocketSourceFactory::default();
    let raw = [
        &SERVED[..],
        &[
            ("websocket.auth", "token"),
            ("websocket.auth.tokens", "hunter2=ann"),
            ("websocket.trusted.proxies", "127.0.0.1"),
        ],
    ]
    .concat();
    let properties = Properties::from_pairs(factory.properties(), raw).unwrap();
    let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Source, "In", "websocket")
        .with_metadata(BoundMetadata::all(factory.metadata()));
    let mut source = factory.create_initialized(&properties, &context).unwrap();
    let recorder = Arc::new(SourceRecorder::new(OnDelivery::Take));
    source.start(recorder.clone()).unwrap();
    let url = context.health.current().detail.unwrap();
    let headers = [BEARER[0], ("X-Forwarded-For", "192.0.2.7")];
    assert_eq!(post(&url, "?channel=chat", &headers, "1").status, 202);
    eventually_blocking(DEADLINE, || recorder.count() == 1);
    let metadata = recorder.metadata().remove(0).unwrap();
    let of = |name: &str| {
        let index = factory.metadata().iter().position(|field| field.name == name).unwrap();
        metadata.values()[index].clone()
    };
    let text = |text: &str| Value::String(text.to_owned());
    assert_eq!([of("user"), of("address"), of("kind"), of("channel")], ["ann", "192.0.2.7", "event", "chat"].map(text));
    assert_eq!([of("correlation"), of("request")], [Value::Null, Value::Null]);
    assert!(matches!((of("connection"), of("received_time")), (Value::String(_), Value::Timestamp(1..))));
    source.stop(DEADLINE);
}

#[test]
fn only_who_may_publish_is_heard() {
    let source = source(&[
        ("websocket.auth", "token"),
        ("websocket.auth.tokens", "hunter2=ann"),
        ("websocket.grants.publish", "chat.*"),
        ("websocket.origins", "https://good.example"),
    ]);
    let url = source.detail();
    let evil = [BEARER[0], ("Origin", "https://evil.example")];
    for (query, headers, expected) in [
        ("?channel=chat.a", &[][..], (401, "authentication_required")),
        ("?channel=chat.a", &[("Authorization", "Bearer wrong")], (401, "authentication_failed")),
        ("?channel=secret", &BEARER, (403, "permission_denied")),
        ("?channel=chat.*", &BEARER, (400, "invalid_channel")),
        ("?kind=request", &BEARER, (403, "permission_denied")),
        ("?channel=chat.a", &evil, (403, "origin_not_allowed")),
        ("?channel=chat.a&kind=nobody.takes.it", &BEARER, (404, "unknown_type")),
        ("?channel=chat.a&kind=join", &BEARER, (404, "unknown_type")),
        ("?channel=chat.a&kind=", &BEARER, (400, "bad_request")),
        ("?channel=chat.a&chanel=b", &BEARER, (400, "bad_request")),
        ("", &BEARER, (400, "bad_request")),
    ] {
        let answer = post(&url, query, headers, "1");
        assert_eq!((answer.status, answer.code().as_str()), expected, "{query} {headers:?}");
    }
    let headers = [BEARER[0], ("Origin", "https://good.example")];
    let answer = post(&url, "?channel=chat.a", &headers, "2");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (202, Some("https://good.example")));
    source.wait_for_messages(&["2"]);
}

#[test]
fn a_body_that_is_no_message_is_refused_with_the_reason() {
    let source = source(&[("websocket.max.message.size", "100")]);
    let url = source.detail();
    let large = format!("\"{}\"", "x".repeat(200));
    for (content_type, body, expected) in [
        ("text/plain", "1", (415, "unsupported_type")),
        ("application/json", "", (400, "invalid_message")),
        ("application/json", "{\"a\":1} {\"a\":2}", (400, "invalid_message")),
        ("application/json", &large, (413, "too_large")),
        ("application/x-ndjson", "\n\n", (400, "invalid_message")),
    ] {
        let answer = post(&url, "?channel=chat", &[("Content-Type", content_type)], body);
        assert_eq!((answer.status, answer.code().as_str()), expected, "{content_type} {body}");
    }
    let zipped = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    assert_eq!(post(&url, "?channel=chat", &zipped, "1").status, 415);
    assert_eq!(source.recorder.count(), 0);
}

#[test]
fn a_large_body_is_refused_before_it_is_sent() {
    let source = source(&[("websocket.max.message.size", "1MiB")]);
    let url = source.detail();
    let headers = [("Content-Type", "application/json"), ("Content-Length", "10485760"), ("Expect", "100-continue")];
    let refused = exchange(&url, &request(&url, "POST", "?channel=chat", &headers, b""));
    assert_eq!((refused.status, refused.code().as_str()), (413, "too_large"));
    // Who sends it all the same reads the answer as well.
    let body = vec![b'1'; 10 << 20];
    for framed in [("Content-Length", "10485760"), ("Transfer-Encoding", "chunked")] {
        let head = request(&url, "POST", "?channel=chat", &[("Content-Type", "application/json"), framed], b"");
        let mut stream = connect(&url);
        stream.write_all(&head).unwrap();
        if framed.0 == "Transfer-Encoding" {
            stream.write_all(b"a00000\r\n").unwrap();
        }
        // The connection may be closed on the way.
        let _ = stream.write_all(&body);
        assert_eq!(answer(stream).status, 413, "{framed:?}");
    }
    assert_eq!(source.recorder.count(), 0);
}

#[test]
fn what_follows_the_request_is_no_second_request() {
    let source = source(&[]);
    let url = source.detail();
    let first = request(&url, "POST", "?channel=chat", &[("Content-Type", "application/json")], b"1");
    for garbage in [first.clone(), b"\x00\xff garbage\r\n\r\n".to_vec()] {
        let answer = exchange(&url, &[first.clone(), garbage].concat());
        assert_eq!((answer.status, answer.body.trim()), (202, "{\"accepted\":1}"));
    }
    source.wait_for_messages(&["1", "1"]);
    // Two lengths are two opinions of where the request ends.
    let headers = [("Content-Type", "application/json"), ("Content-Length", "1"), ("Transfer-Encoding", "chunked")];
    let answer = exchange(&url, &request(&url, "POST", "?channel=chat", &headers, b"1\r\n2\r\n0\r\n\r\n"));
    assert_eq!(answer.status, 400);
    let lengths = [("Content-Type", "application/json"), ("Content-Length", "1"), ("Content-Length", "2")];
    assert_eq!(exchange(&url, &request(&url, "POST", "?channel=chat", &lengths, b"12")).status, 400);
}

#[test]
fn a_body_that_dribbles_is_given_up() {
    let source = source(&[("websocket.message.timeout", "100ms")]);
    let url = source.detail();
    let headers = [("Content-Type", "application/json"), ("Content-Length", "9")];
    let answer = exchange(&url, &request(&url, "POST", "?channel=chat", &headers, b"{"));
    assert_eq!((answer.status, answer.code().as_str()), (408, "timeout"));
}

#[test]
fn messages_are_counted_for_each_user_and_a_request_is_taken_whole_or_not() {
    let source = source(&[
        ("websocket.auth", "token"),
        ("websocket.auth.tokens", "hunter2=ann,hunter3=bob"),
        ("websocket.rate.limit", "3"),
        ("websocket.rate.period", "1h"),
    ]);
    let url = source.detail();
    let of = |token: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/x-ndjson")];
        post(&url, "?channel=chat", &headers, body)
    };
    assert_eq!(of("hunter2", "1\n2").status, 202);
    let refused = of("hunter2", "3\n4");
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limit_exceeded"));
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&wait), "{wait}");
    assert_eq!((of("hunter2", "5").status, of("hunter3", "6\n7\n8").status), (202, 202));
    assert_eq!(of("hunter3", "1\n2\n3\n4").status, 413);
    source.wait_for_messages(&["1", "2", "5", "6", "7", "8"]);
}

#[test]
fn what_the_pipeline_does_not_take_in_time_is_not_accepted_and_what_is_accepted_is_delivered() {
    let mut source = source(&[]);
    let url = source.detail();
    source.recorder.close_gate();
    let mut accepted = Vec::new();
    let busy = loop {
        let number = accepted.len().to_string();
        let answer = post(&url, "?channel=chat", &[], &number);
        match answer.status {
            202 => accepted.push(number),
            _ => break answer,
        }
    };
    assert_eq!((busy.status, busy.code().as_str(), busy.header("retry-after")), (503, "busy", Some("1")));
    assert!(!accepted.is_empty() && source.recorder.count() == 0);
    source.recorder.open_gate();
    source.stop();
    let texts: Vec<_> = accepted.iter().map(String::as_str).collect();
    source.wait_for_messages(&texts);
    assert!(std::net::TcpStream::connect(url.split('/').nth(2).unwrap()).is_err());
}

#[test]
fn only_so_many_bodies_are_read_at_a_time() {
    let source = source(&[]);
    let url = source.detail();
    let headers = [("Content-Type", "application/json"), ("Content-Length", "1"), ("Expect", "100-continue")];
    let head = request(&url, "POST", "?channel=chat", &headers, b"");
    let mut waiting: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = connect(&url);
            stream.write_all(&head).unwrap();
            // Now it has its place.
            stream.read_exact(&mut [0; 25]).unwrap();
            stream
        })
        .collect();
    let answered = exchange(&url, &head);
    assert_eq!((answered.status, answered.code().as_str(), answered.header("retry-after")), (503, "busy", Some("1")));
    for stream in &mut waiting {
        stream.write_all(b"1").unwrap();
    }
    for stream in waiting {
        assert_eq!(answer(stream).status, 202);
    }
    source.wait_for_messages(&["1"; 64]);
}

#[test]
fn raw_messages_are_taken_as_they_are() {
    let raw = [("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0"), ("websocket.http.publish", "true")];
    let mut source = Registry::new().source(&raw);
    source.start().unwrap();
    let url = source.detail();
    assert_eq!(post(&url, "", &[("Content-Type", "text/csv")], "a,b\nc,d").status, 202);
    assert_eq!(post(&url, "", &[("Content-Type", "application/x-ndjson")], "e\nf").status, 202);
    assert_eq!(post(&url, "?kind=event", &[], "1").status, 404);
    source.wait_for_messages(&["a,b\nc,d", "e", "f"]);
}

#[test]
fn messages_over_tls_are_the_same() {
    let certificates = TestCertificates::valid();
    let (cert, key) = (certificates.server_file(), certificates.server_key_file());
    let source = source(&[
        ("websocket.tls.cert.file", cert.to_str().unwrap()),
        ("websocket.tls.key.file", key.to_str().unwrap()),
    ]);
    let url = source.detail();
    let ca = native_tls::Certificate::from_pem(certificates.ca_pem().as_bytes()).unwrap();
    let connector = native_tls::TlsConnector::builder().add_root_certificate(ca).build().unwrap();
    let mut stream = connector.connect("localhost", connect(&url)).unwrap();
    let headers = [("Content-Type", "application/json")];
    stream.write_all(&request(&url, "POST", "?channel=chat", &headers, b"1")).unwrap();
    assert_eq!(answer(stream).status, 202);
    source.wait_for_messages(&["1"]);
}
