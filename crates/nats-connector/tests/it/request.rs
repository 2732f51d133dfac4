//! Requests, and where their answers are heard.

use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::{EventFluxError, FaultClass};
use eventflux_testkit::contract::OnDelivery;
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::wait::eventually_blocking;

use crate::support::{DEADLINE, NatsPeer, PROMPTLY, QUICK, Registry, TestClient, TestSink, TestSource, counted};

const REQUESTS: &str = "eventflux_nats_requests_total";

/// A sink that asks and the source that hears, both started.
fn exchange(url: &str, more: &[(&str, &str)]) -> (TestSink, TestSource) {
    let registry = Registry::new();
    let raw = [
        &[
            ("nats.url", url),
            ("nats.subject", "quotes.${what}"),
            ("nats.request", "quotes"),
            ("nats.correlation", "${id}"),
        ],
        &QUICK[..],
        more,
    ];
    let sink = registry.sink(&raw.concat());
    let mut source = registry.source(&[("nats.replies", "quotes")], &["Priced-By"]);
    sink.start().unwrap();
    source.start().unwrap();
    (sink, source)
}

fn ask(sink: &TestSink, subject: &str, correlation: &str, payload: &str) {
    sink.publish(&[(payload, &[("nats.subject", subject), ("nats.correlation", correlation)])]).unwrap();
}

#[track_caller]
fn status(source: &TestSource, answer: usize) -> String {
    source.metadata(answer, "status").expect("a status")
}

#[test]
fn an_answer_comes_with_what_was_said_of_the_request() {
    let server = NatsServer::start();
    TestClient::connect(&server)
        .serve("quotes.*", |request| Some([&b"price of "[..], &request.payload].concat().into()));
    let (sink, source) = exchange(&server.url(), &[]);
    ask(&sink, "quotes.BTC", "c1", "BTC");
    sink.settle().unwrap();
    assert_eq!(source.wait_for(1), ["price of BTC"]);
    let metadata = |field| source.metadata(0, field);
    assert_eq!((metadata("correlation").as_deref(), metadata("status").as_deref()), (Some("c1"), Some("ok")));
    assert_eq!((metadata("subject").as_deref(), metadata("stream")), (Some("quotes.BTC"), None));
    assert_eq!(counted(&sink.context, REQUESTS, Some(("status", "ok"))), 1);
}

#[test]
fn many_requests_are_open_at_a_time_and_none_is_mixed_up() {
    const COUNT: usize = 3_000;
    let server = NatsServer::start();
    TestClient::connect(&server).serve("quotes.x", |request| Some(request.payload.clone()));
    let (sink, source) = exchange(&server.url(), &[("nats.max.requests", "200")]);
    for number in 0..COUNT {
        let text = number.to_string();
        ask(&sink, "quotes.x", &text, &text);
    }
    sink.settle().unwrap();
    let answers = source.wait_for(COUNT);
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(source.metadata(index, "correlation").as_ref(), Some(answer));
    }
    assert_eq!(counted(&sink.context, REQUESTS, Some(("status", "ok"))), COUNT as u64);
}

#[test]
fn who_is_not_answered_is_told_so_in_time() {
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    client.serve("quotes.silent", |_| None);
    let (sink, source) = exchange(&server.url(), &[("nats.request.timeout", "200ms")]);
    ask(&sink, "quotes.silent", "c1", "?");
    assert_eq!(source.wait_for(1), [r#"{"error":"timeout"}"#]);
    assert_eq!((status(&source, 0), source.metadata(0, "correlation").as_deref()), ("timeout".into(), Some("c1")));
    ask(&sink, "quotes.nobody", "c2", "?");
    assert_eq!(source.wait_for(2)[1], r#"{"error":"no_responders"}"#);
    assert_eq!(status(&source, 1), "no_responders");
    sink.settle().unwrap();
}

#[test]
fn an_answer_that_comes_too_late_or_twice_is_counted_and_dropped() {
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    let requests = client.subscribe("quotes.slow");
    let (sink, source) = exchange(&server.url(), &[("nats.request.timeout", "100ms")]);
    ask(&sink, "quotes.slow", "c1", "?");
    source.wait_for(1);
    let reply = requests.wait_for(1)[0].reply.clone().expect("a reply subject");
    client.publish(&reply, "late");
    client.publish(&reply, "again");
    let late = || counted(&sink.context, "eventflux_nats_answers_late_total", None);
    eventually_blocking(DEADLINE, || late() == 2);
    assert_eq!(source.texts(), [r#"{"error":"timeout"}"#]);
}

#[test]
fn an_error_of_a_service_is_one_here() {
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    let requests = client.subscribe("quotes.bad");
    let (sink, source) = exchange(&server.url(), &[]);
    ask(&sink, "quotes.bad", "c1", "?");
    let reply = requests.wait_for(1)[0].reply.clone().expect("a reply subject");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Service-Error", "no such \"symbol\"");
    headers.insert("Nats-Service-Error-Code", "404");
    client.publish_with_headers(&reply, headers, Bytes::new());
    assert_eq!(source.wait_for(1), [r#"{"error":"no such \"symbol\""}"#]);
    assert_eq!(status(&source, 0), "error");
}

#[test]
fn a_request_that_is_not_permitted_is_answered_with_the_reason() {
    let config = "authorization { users = [
        { user: ann, password: ann, permissions: { publish: { deny: 'quotes.secret' } } }
    ] }";
    let server = NatsServer::start_with(config);
    let (sink, source) = exchange(&server.url(), &[("nats.user", "ann"), ("nats.password", "ann")]);
    ask(&sink, "quotes.secret", "c1", "?");
    let answers = source.wait_for(1);
    assert!(answers[0].contains("quotes.secret"), "{answers:?}");
    assert_eq!(status(&source, 0), "error");
}

#[test]
fn requests_under_way_fail_at_once_when_the_connection_is_lost() {
    let peer = NatsPeer::start(&[]);
    peer.client.serve("quotes.silent", |_| None);
    let requests = peer.client.subscribe("quotes.>");
    let (sink, source) = exchange(&peer.url(), &[("nats.request.timeout", "60s")]);
    ask(&sink, "quotes.silent", "c1", "?");
    ask(&sink, "quotes.silent", "c2", "?");
    requests.wait_for(2);
    peer.proxy.refuse().blocking();
    peer.proxy.reset();
    assert_eq!(source.wait_for(2), [r#"{"error":"disconnected"}"#; 2]);
    assert_eq!(status(&source, 1), "disconnected");
    // Not sent again: nobody knows whether it was worked on.
    peer.proxy.resume().blocking();
    peer.client.serve("quotes.later", |_| Some(Bytes::from_static(b"here")));
    ask(&sink, "quotes.later", "c3", "?");
    assert_eq!(source.wait_for(3)[2], "here");
    assert_eq!(requests.messages().iter().filter(|request| request.subject.as_str() == "quotes.silent").count(), 2);
}

#[test]
fn without_a_connection_requests_are_answered_in_time_and_sent_when_it_comes() {
    let peer = NatsPeer::start(&[]);
    peer.client.serve("quotes.x", |_| Some(Bytes::from_static(b"here")));
    peer.proxy.refuse().blocking();
    let (sink, source) = exchange(&peer.url(), &[("nats.request.timeout", "300ms")]);
    ask(&sink, "quotes.x", "c1", "?");
    assert_eq!(source.wait_for(1), [r#"{"error":"disconnected"}"#]);
    sink.wait_for_state(ConnectionState::Reconnecting);
    peer.proxy.resume().blocking();
    sink.wait_for_state(ConnectionState::Connected);
    ask(&sink, "quotes.x", "c2", "?");
    assert_eq!(source.wait_for(2)[1], "here");
}

#[test]
fn a_full_sink_makes_the_pipeline_wait() {
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    let requests = client.subscribe("quotes.x");
    let (sink, source) = exchange(&server.url(), &[("nats.max.requests", "2")]);
    ask(&sink, "quotes.x", "1", "?");
    assert!(sink.sink.is_ready());
    ask(&sink, "quotes.x", "2", "?");
    assert!(!sink.sink.is_ready());
    let reply = requests.wait_for(2)[0].reply.clone().expect("a reply subject");
    client.publish(&reply, "one");
    source.wait_for(1);
    eventually_blocking(DEADLINE, || sink.sink.is_ready());
}

#[test]
fn a_source_that_is_not_ready_keeps_answers_and_settling_waits_for_nothing_else() {
    let server = NatsServer::start();
    TestClient::connect(&server).serve("quotes.x", |request| Some(request.payload.clone()));
    let (sink, source) = exchange(&server.url(), &[]);
    source.recorder.close_gate();
    ask(&sink, "quotes.x", "1", "a");
    sink.settle().unwrap();
    assert_eq!(source.recorder.count(), 0);
    source.recorder.open_gate();
    assert_eq!(source.wait_for(1), ["a"]);
}

#[test]
fn a_sink_without_its_source_does_not_start_and_a_source_alone_is_warned_of() {
    let server = NatsServer::start();
    let registry = Registry::new();
    let raw = |name| [("nats.url", server.url()), ("nats.subject", "q".to_owned()), ("nats.request", name)];
    let asking = |name: &str| {
        let raw = raw(name.to_owned());
        registry.sink(&raw.iter().map(|(key, value)| (*key, &**value)).collect::<Vec<_>>())
    };
    let alone = asking("alone");
    let error = alone.start().unwrap_err();
    assert_eq!(error.class(), FaultClass::Fatal);
    let text = error.to_string();
    assert!(text.contains("nats.request") && text.contains("nats.replies='alone'"), "{text}");

    let logs = LogCapture::start().containing("nats.request='orphans'");
    let mut orphan = registry.source(&[("nats.replies", "orphans")], &[]);
    orphan.start().unwrap();
    logs.assert_logged(log::Level::Warn, "no sink has");

    let mut first = registry.source(&[("nats.replies", "shared")], &[]);
    let mut second = registry.source(&[("nats.replies", "shared")], &[]);
    let sinks = [asking("shared"), asking("shared")];
    first.start().unwrap();
    let error = second.start().unwrap_err();
    assert!(matches!(error, EventFluxError::Configuration { .. }), "{error:?}");
    assert!(error.to_string().contains("another source hears"), "{error}");
    sinks.iter().for_each(|sink| sink.start().unwrap());
    // One that follows may hear where another one has ended.
    first.source.stop(PROMPTLY);
    let mut third = registry.source(&[("nats.replies", "shared")], &[]);
    third.start().unwrap();
}

#[test]
fn answers_for_a_source_that_has_ended_are_counted() {
    let server = NatsServer::start();
    TestClient::connect(&server).serve("quotes.x", |request| Some(request.payload.clone()));
    let (sink, mut source) = exchange(&server.url(), &[]);
    source.recorder.close_gate();
    ask(&sink, "quotes.x", "0", "waits");
    sink.settle().unwrap();
    source.source.stop(PROMPTLY);
    assert_eq!((source.recorder.ends(), source.recorder.count()), (vec![Ok(())], 0));
    assert_eq!(counted(&source.context, "eventflux_nats_answers_unheard_total", None), 1);
    ask(&sink, "quotes.x", "1", "a");
    sink.settle().unwrap();
    assert_eq!(counted(&sink.context, "eventflux_nats_answers_unheard_total", None), 1);
}

#[test]
fn a_pipeline_that_refuses_ends_the_source_and_the_sink_goes_on() {
    let server = NatsServer::start();
    TestClient::connect(&server).serve("quotes.x", |request| Some(request.payload.clone()));
    let registry = Registry::new();
    let url = server.url();
    let sink = registry.sink(&[("nats.url", &url), ("nats.subject", "quotes.x"), ("nats.request", "q")]);
    let mut source = registry.source(&[("nats.replies", "q")], &[]);
    let refusing = std::sync::Arc::new(eventflux_testkit::contract::SourceRecorder::new(OnDelivery::Fail));
    sink.start().unwrap();
    source.source.start(refusing.clone()).unwrap();
    sink.sink.publish(b"a").unwrap();
    eventually_blocking(DEADLINE, || refusing.ends() == [Err(EventFluxError::Stopped)]);
    sink.sink.publish(b"b").unwrap();
    sink.settle().unwrap();
}

#[test]
fn stop_waits_for_answers_within_its_deadline() {
    let server = NatsServer::start();
    let client = TestClient::connect(&server);
    let requests = client.subscribe("quotes.x");
    let (sink, source) = exchange(&server.url(), &[]);
    ask(&sink, "quotes.x", "1", "?");
    let reply = requests.wait_for(1)[0].reply.clone().expect("a reply subject");
    let stopping = std::thread::spawn(move || sink.sink.stop(Duration::from_secs(10)));
    client.publish(&reply, "one");
    assert_eq!(stopping.join().unwrap(), 0);
    assert_eq!(source.wait_for(1), ["one"]);

    let (sink, _source) = exchange(&server.url(), &[]);
    ask(&sink, "quotes.x", "2", "?");
    requests.wait_for(2);
    assert_eq!(sink.sink.stop(Duration::from_millis(300)), 0, "it was answered with the status `disconnected`");
}
