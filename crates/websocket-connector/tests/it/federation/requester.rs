//! Programs that only ask.

use std::time::Duration;

use eventflux_core::EventFluxError;
use eventflux_testkit::peer::{Script, ScriptedPeer};
use eventflux_testkit::tls::TestCertificates;
use eventflux_websocket_connector::{RequestFailure, Requester, RequesterOptions};
use serde_json::{Value, json};

use super::*;

fn options() -> RequesterOptions {
    RequesterOptions::default()
}

fn value(raw: &serde_json::value::RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap()
}

#[tokio::test]
async fn a_sink_that_listens_tells_its_status_in_every_encoding() {
    let sink = listening_sink(&[]);
    for encoding in ["json", "msgpack", "cbor"] {
        let asker =
            Requester::connect(&sink.detail(), &options().property("websocket.encoding", encoding)).await.unwrap();
        let status = value(&asker.request("status", &json!({})).await.unwrap());
        assert_eq!(status["throughput"]["unit"], "msg/sec", "{encoding}: {status}");
        asker.close().await;
    }
}

#[tokio::test]
async fn a_source_that_listens_answers_too() {
    let source = listening_source(&[]);
    let asker = Requester::connect(&source.detail(), &options()).await.unwrap();
    assert!(value(&asker.request("status", &json!({})).await.unwrap())["uptime_seconds"].is_number());
}

#[tokio::test]
async fn who_only_asks_is_waited_for_by_nobody_and_gets_no_events() {
    let sink = listening_sink(&[("websocket.retain.bytes", "1KiB")]);
    let asker = Requester::connect(&sink.detail(), &options()).await.unwrap();
    asker.request("status", &json!({})).await.unwrap();
    publish(&sink, 0..1_000);
    assert!(sink.sink.is_ready());
    let status = value(&asker.request("status", &json!({})).await.unwrap());
    assert_eq!(status["queue_depth"], 0, "{status}");
}

#[tokio::test]
async fn whom_it_trusts_and_what_it_shows_are_options() {
    let certificates = TestCertificates::valid();
    let (cert, key) = (certificates.server_file(), certificates.server_key_file());
    let sink = listening_sink(&[
        ("websocket.tls.cert.file", cert.to_str().unwrap()),
        ("websocket.tls.key.file", key.to_str().unwrap()),
        ("websocket.auth", "token"),
        ("websocket.auth.tokens", "hunter2"),
    ]);
    let url = sink.detail();
    assert!(url.starts_with("wss://"), "{url}");
    let error = Requester::connect(&url, &options().bearer("hunter2")).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    let trusting = options().ca_file(&certificates.ca_file());
    let error = Requester::connect(&url, &trusting).await.unwrap_err().to_string();
    assert!(error.contains("401"), "{error}");
    let asker = Requester::connect(&url, &trusting.bearer("hunter2")).await.unwrap();
    assert!(asker.request("status", &json!({})).await.is_ok());
    assert_eq!(asker.endpoint(), url);
}

#[tokio::test]
async fn a_refusal_says_why() {
    let sink = listening_sink(&[]);
    let asker = Requester::connect(&sink.detail(), &options()).await.unwrap();
    let failure = asker.request("dance", &json!({})).await.unwrap_err();
    assert!(matches!(&failure, RequestFailure::Refused { code, .. } if code == "unknown_method"), "{failure:?}");
    assert!(!failure.is_retryable());
    let failure = asker.request("replay", &json!({ "count": -1 })).await.unwrap_err();
    assert!(matches!(&failure, RequestFailure::Refused { code, .. } if code == "invalid"), "{failure:?}");
    let failure = asker.request("status", &json!([1])).await.unwrap_err();
    assert!(matches!(&failure, RequestFailure::Invalid(_)), "{failure:?}");
}

#[tokio::test]
async fn who_follows_gets_what_was_asked_for_and_what_comes() {
    let sink = listening_sink(&[("websocket.history.events", "100")]);
    publish(&sink, 0..10);
    let (asker, mut messages) = Requester::connect_following(&sink.detail(), &options()).await.unwrap();
    let result = value(&asker.request("replay", &json!({ "count": 3 })).await.unwrap());
    assert_eq!(result["messages_available"], 3, "{result}");
    publish(&sink, 10..12);
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let message = tokio::time::timeout(DEADLINE, messages.next()).await.unwrap().unwrap();
        seen.push(String::from_utf8(message.payload.to_vec()).unwrap());
    }
    assert_eq!(seen, [7, 8, 9, 10, 11].map(|number| format!("{{\"n\":{number}}}")));
    sink.stop();
    assert_eq!(tokio::time::timeout(DEADLINE, messages.next()).await.unwrap(), None);
    assert!(!messages.ending().is_empty());
}

#[tokio::test]
async fn a_peer_that_knows_the_envelopes_alone_is_asked_all_the_same() {
    let peer = ScriptedPeer::builder()
        .script(
            Script::new()
                .accept()
                .expect("a request", |message| format!("{message:?}").contains("status"))
                .close(1001, "restarting"),
        )
        .start();
    let asker = Requester::connect(peer.url(), &options()).await.unwrap();
    assert_eq!(asker.request("status", &json!({})).await.unwrap_err(), RequestFailure::Disconnected);
    let failure = asker.request("status", &json!({})).await.unwrap_err();
    assert!(matches!(&failure, RequestFailure::NotConnected(reason) if reason.contains("restarting")), "{failure:?}");
}

#[tokio::test]
async fn no_reply_in_time_is_said() {
    let peer = ScriptedPeer::builder().script(Script::new().accept().expect_close(1000)).start();
    let quick = options().timeout(Duration::from_millis(50));
    let asker = Requester::connect(peer.url(), &quick).await.unwrap();
    let failure = asker.request("status", &json!({})).await.unwrap_err();
    assert_eq!(failure, RequestFailure::Timeout);
    assert!(failure.is_retryable());
}

#[tokio::test]
async fn where_nobody_listens_there_is_no_connection() {
    let error = Requester::connect("ws://127.0.0.1:1/", &options()).await.unwrap_err();
    assert!(matches!(error, EventFluxError::ConnectionUnavailable { .. }), "{error}");
}
