//! Server sinks and sources whose path is one with that of other processes, at a real NATS server.

use std::task::Poll;
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::{BoxFuture, EventFluxError};
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::peer::{Refused, ScriptedClient};
use eventflux_testkit::wait::eventually_blocking;

use crate::support::{DEADLINE, Registry, TestSink, batch};

type Raw<'a> = Vec<(&'a str, &'a str)>;

fn place<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Raw<'a> {
    let place = [
        ("websocket.mode", "server"),
        ("websocket.listen", "127.0.0.1:0"),
        ("websocket.path", "/ws"),
        ("gateway.backplane", "nats"),
        ("nats.url", url),
        ("nats.reconnect.delay.ms", "5"),
        ("nats.reconnect.max.delay.ms", "100"),
    ];
    [&place, more].concat()
}

fn started(nats: &NatsServer, more: &[(&str, &str)]) -> TestSink {
    let sink = Registry::new().sink(&place(&nats.url(), more));
    sink.start().unwrap();
    sink.wait_for_state(ConnectionState::Listening);
    sink
}

fn outcome(settled: BoxFuture<'static, Result<(), EventFluxError>>) -> Result<(), EventFluxError> {
    tokio_test::block_on(async { tokio::time::timeout(DEADLINE, settled).await }).unwrap()
}

/// Statuses of an upgrade and of a plain request, and when to come back.
fn refusals(url: &str) -> [(u16, Option<String>); 2] {
    let plain = ScriptedClient::builder(url).raw_request("GET /ws HTTP/1.1\r\nHost: h\r\n\r\n");
    [ScriptedClient::builder(url), plain].map(|client| match client.attempt().blocking() {
        Err(Refused::Http(answer)) => (answer.status, answer.header("Retry-After").map(str::to_owned)),
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_path_that_takes_no_clients_yet_says_so_to_health_checks_too() {
    let nats = NatsServer::start();
    nats.kill();
    let sink = Registry::new().sink(&place(&nats.url(), &[]));
    sink.start().unwrap();
    eventually_blocking(DEADLINE, || sink.detail().contains(" takes no clients yet"));
    let url = sink.detail().split(' ').next().unwrap().to_owned();
    let later = (503, Some("1".to_owned()));
    assert_eq!(refusals(&url), [later.clone(), later]);
    nats.restart();
    sink.wait_for_state(ConnectionState::Listening);
    ScriptedClient::connect(&url).blocking();
    let plain = ScriptedClient::builder(&url).raw_request("GET /ws HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(matches!(plain.attempt().blocking(), Err(Refused::Http(answer)) if answer.status == 426));
}

#[test]
fn a_backplane_that_gives_up_sends_its_clients_away_and_takes_no_more() {
    let nats = NatsServer::start();
    let sink = started(&nats, &[("nats.reconnect.max.attempts", "2")]);
    let url = sink.detail();
    let client = ScriptedClient::connect(&url).blocking();
    nats.kill();
    client.expect_close(1001).blocking();
    sink.wait_for_state(ConnectionState::Failed);
    let later = (503, Some("1".to_owned()));
    assert_eq!(refusals(&url), [later.clone(), later]);
}

#[test]
fn a_payload_is_settled_once_it_is_in_the_log() {
    let nats = NatsServer::start();
    let sink = started(&nats, &[]);
    let client = ScriptedClient::connect(sink.detail()).blocking();
    sink.sink.publish(b"first").unwrap();
    assert_eq!(outcome(sink.sink.settled()), Ok(()));
    nats.kill();
    sink.wait_for_state(ConnectionState::Reconnecting);
    sink.sink.publish_batch(&batch(["second", "third"])).unwrap();
    let mut settled = sink.sink.settled();
    assert!(tokio_test::task::spawn(&mut settled).poll() == Poll::Pending, "nobody has it but we");
    nats.restart();
    assert_eq!(outcome(settled), Ok(()));
    let heard = client.wait_for_messages(3).blocking();
    let texts: Vec<_> = heard.iter().map(|message| message.as_text().unwrap()).collect();
    assert_eq!(texts, ["first", "second", "third"]);
    assert_eq!((sink.stop(), sink.recorder.failed().len()), (0, 0));
}

#[test]
fn what_nats_refuses_is_reported_row_by_row_and_the_rest_is_stored() {
    let nats = NatsServer::start();
    let sink = started(&nats, &[]);
    let large = "x".repeat(2 << 20);
    sink.sink.publish_batch(&batch(["a", &large, "b"])).unwrap();
    assert_eq!(outcome(sink.sink.settled()), Ok(()), "what failed has been reported");
    let failed = sink.recorder.failed();
    assert_eq!((failed.len(), failed[0].0.len()), (1, 2 << 20));
    assert!(matches!(failed[0].1, EventFluxError::Send { retryable: false, .. }), "{:?}", failed[0].1);
    assert_eq!(sink.stop(), 0);
}

#[test]
fn a_stopped_sink_takes_nothing_and_settles_nothing() {
    let nats = NatsServer::start();
    let sink = started(&nats, &[]);
    nats.kill();
    sink.wait_for_state(ConnectionState::Reconnecting);
    sink.sink.publish(b"lost").unwrap();
    let settled = sink.sink.settled();
    assert_eq!((sink.sink.stop(Duration::from_millis(300)), sink.sink.stop(DEADLINE)), (1, 1));
    assert_eq!(outcome(settled), Err(EventFluxError::Stopped));
    assert_eq!(sink.sink.publish(b"late").unwrap_err(), EventFluxError::Stopped);
    assert_eq!((sink.context.health.current().state, sink.recorder.failed().len()), (ConnectionState::Stopped, 0));
}

#[test]
fn whether_nats_can_be_used_can_be_asked() {
    let nats = NatsServer::start();
    let url = nats.url();
    let registry = Registry::new();
    let (sink, source) = (registry.sink(&place(&url, &[])), registry.source(&place(&url, &[])));
    assert_eq!((sink.sink.validate_connectivity(), source.source.validate_connectivity()), (Ok(()), Ok(())));
    nats.kill();
    for result in [sink.sink.validate_connectivity(), source.source.validate_connectivity()] {
        assert!(matches!(result, Err(EventFluxError::ConnectionUnavailable { .. })), "{result:?}");
    }
}

#[test]
fn a_history_that_is_longer_than_the_log_is_refused_whoever_says_so() {
    let nats = NatsServer::start();
    let url = nats.url();
    let registry = Registry::new();
    let protocol = ("websocket.protocol", "channels");
    let _source = registry.source(&place(&url, &[protocol, ("gateway.backplane.max.age", "1m")]));
    let own = [
        ("websocket.mode", "server"),
        ("websocket.listen", "127.0.0.1:0"),
        ("websocket.path", "/ws"),
        ("websocket.history.events", "10"),
        ("websocket.history.age", "2m"),
    ];
    let sink = registry.sink(&[&own[..], &[protocol]].concat());
    let error = sink.start().unwrap_err().to_string();
    assert!(error.contains("'websocket.history.age'") && error.contains("gateway.backplane.max.age"), "{error}");
}

#[test]
fn all_at_a_path_are_part_of_the_same_backplane() {
    let registry = Registry::new();
    let url = "nats://127.0.0.1:1";
    let _source = registry.source(&place(url, &[("gateway.backplane.name", "one")]));
    let raw = place(url, &[("gateway.backplane.name", "other")]);
    let error = registry.try_sink(&raw).unwrap_err().to_string();
    assert!(error.contains("'gateway.backplane.name'") && error.contains("at /ws"), "{error}");
}

#[test]
fn what_has_no_effect_is_refused() {
    let registry = Registry::new();
    let server = [("websocket.mode", "server"), ("websocket.listen", "127.0.0.1:0")];
    for (key, raw) in [
        ("nats.url", vec![("nats.url", "nats://h:4222")]),
        ("gateway.backplane.name", vec![("gateway.backplane.name", "a")]),
        ("gateway.backplane", place("nats://h:4222", &[("websocket.protocol", "federation")])[3..].to_vec()),
    ] {
        let error = registry.try_sink(&[&server[..], &raw].concat()).unwrap_err().to_string();
        assert!(error.contains(&format!("'{key}'")) && error.contains("has no effect"), "{error}");
    }
    let raw = [("websocket.url", "ws://h"), ("gateway.backplane", "nats"), ("nats.url", "nats://h:4222")];
    let error = registry.try_sink(&raw).unwrap_err().to_string();
    assert!(error.contains("has no effect unless websocket.mode is 'server'"), "{error}");
}

#[test]
fn no_secret_of_nats_is_shown_or_logged() {
    let logs = LogCapture::start();
    let nats = NatsServer::start_with("authorization { token: hunter-nats-token }");
    let sink = started(&nats, &[("nats.token", "hunter-nats-token")]);
    sink.sink.publish(b"1").unwrap();
    nats.kill();
    sink.wait_for_state(ConnectionState::Reconnecting);
    let shown = format!("{:?} {:?}", sink.sink, sink.context.health.current());
    sink.sink.stop(Duration::from_millis(100));
    assert!(!shown.contains("hunter-nats-token"), "{shown}");
    logs.assert_absent("hunter-nats-token");
}
