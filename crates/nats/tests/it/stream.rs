//! Streams that exist, are created, or cannot be had.

use eventflux_core::{EventFluxError, Properties};
use eventflux_nats::properties::STREAM;
use eventflux_nats::{Connection, StreamConfig};
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use log::Level;

use crate::connection::{eager, observer, open, within};

const USER: [(&str, &str); 2] = [("nats.user", "u"), ("nats.password", "p")];

fn stream(name: &str, pairs: &[(&str, &str)]) -> StreamConfig {
    let properties = Properties::from_pairs(STREAM, pairs.iter().copied()).unwrap();
    StreamConfig::from_properties(name, &properties, &["orders.*".to_owned()]).unwrap()
}

fn created(name: &str, pairs: &[(&str, &str)]) -> StreamConfig {
    stream(name, &[&[("nats.stream.create", "true")], pairs].concat())
}

async fn connect(server: &NatsServer) -> Connection {
    open(&eager(&server.url(), &[]), &observer("Streams")).await.unwrap()
}

#[track_caller]
fn assert_unavailable(error: &EventFluxError, is_retryable: bool, text: &str) {
    assert!(matches!(error, EventFluxError::ConnectionUnavailable { .. }), "{error:?}");
    assert!(error.to_string().contains(text), "{error}");
    assert_eq!(error.is_retryable(), is_retryable, "{error}");
}

#[tokio::test]
async fn a_stream_that_exists_is_found() {
    let server = NatsServer::start();
    let connection = connect(&server).await;
    let jetstream = connection.jetstream();
    created("FOUND", &[]).ensure(&jetstream, "S").await.unwrap();
    let found = stream("FOUND", &[]).ensure(&jetstream, "S").await.unwrap();
    assert_eq!(found.cached_info().config.name, "FOUND");
}

#[tokio::test]
async fn a_missing_stream_that_is_not_to_be_created_is_an_error_with_the_way_out() {
    let server = NatsServer::start();
    let error = stream("MISSING", &[]).ensure(&connect(&server).await.jetstream(), "S").await.unwrap_err();
    assert_unavailable(&error, false, "nats.stream.create='true'");
    assert!(error.to_string().contains("MISSING"), "{error}");
}

#[tokio::test]
async fn a_stream_is_created_with_what_was_said_and_works() {
    let server = NatsServer::start();
    let connection = connect(&server).await;
    let config = created(
        "MADE",
        &[
            ("nats.stream.subjects", "made.>"),
            ("nats.stream.storage", "memory"),
            ("nats.stream.retention", "workqueue"),
            ("nats.stream.max.age", "1h"),
            ("nats.stream.max.bytes", "1MiB"),
            ("nats.stream.max.messages", "2"),
            ("nats.stream.discard", "new"),
            ("nats.stream.duplicate.window", "1m"),
        ],
    );
    let jetstream = connection.jetstream();
    let made = config.ensure(&jetstream, "Made").await.unwrap();
    let logs = LogCapture::start().containing("[MadeAgain]");
    // What the server made of it is what was said.
    config.ensure(&jetstream, "MadeAgain").await.unwrap();
    assert!(logs.lines().is_empty(), "{:?}", logs.lines());
    assert_eq!(made.cached_info().config.max_messages, 2);
    for _ in 0..2 {
        jetstream.publish("made.x", "".into()).await.unwrap().await.unwrap();
    }
    assert!(jetstream.publish("made.x", "".into()).await.unwrap().await.is_err(), "new ones are refused");
}

#[tokio::test]
async fn a_stream_without_limits_is_taken_as_it_was_said() {
    let server = NatsServer::start();
    let jetstream = connect(&server).await.jetstream();
    let none = [("nats.stream.max.age", "0s"), ("nats.stream.max.bytes", "0"), ("nats.stream.retention", "interest")];
    let logs = LogCapture::start().containing("[Unlimited]");
    for _ in 0..2 {
        created("UNLIMITED", &none).ensure(&jetstream, "Unlimited").await.unwrap();
    }
    assert!(!logs.lines().iter().any(|line| line.level == Level::Warn), "{:?}", logs.lines());
}

#[tokio::test]
async fn a_stream_that_differs_is_used_with_one_warning_that_names_the_differences() {
    let server = NatsServer::start();
    let jetstream = connect(&server).await.jetstream();
    created("DIFFERS", &[("nats.stream.max.messages", "5")]).ensure(&jetstream, "S").await.unwrap();
    let logs = LogCapture::start().containing("[Differs]");
    let other = created("DIFFERS", &[("nats.stream.storage", "memory"), ("nats.stream.subjects", "other")]);
    let found = other.ensure(&jetstream, "Differs").await.unwrap();
    assert_eq!(found.cached_info().config.max_messages, 5, "it is never changed");
    assert_eq!(logs.lines().len(), 1);
    for text in [
        "nats.stream.subjects is orders.*, not other",
        "nats.stream.storage is file, not memory",
        "nats.stream.max.messages is 5, not none",
    ] {
        logs.assert_logged(Level::Warn, text);
    }
    // Who only wants one to exist has not said anything that could differ.
    stream("DIFFERS", &[]).ensure(&jetstream, "Differs").await.unwrap();
    assert_eq!(logs.lines().len(), 1);
}

#[tokio::test]
async fn several_that_create_it_at_the_same_time_all_get_it() {
    let server = NatsServer::start();
    let connection = connect(&server).await;
    let jetstream = connection.jetstream();
    let [one, other] = ["1", "2"].map(|messages| created("RACE", &[("nats.stream.max.messages", messages)]));
    let both = tokio::join!(one.ensure(&jetstream, "One"), other.ensure(&jetstream, "Other"));
    let limits = [both.0, both.1].map(|stream| stream.unwrap().cached_info().config.max_messages);
    assert_eq!(limits[0], limits[1]);
}

#[tokio::test]
async fn what_the_server_refuses_to_create_is_an_error_with_its_reason() {
    let server = NatsServer::start();
    let jetstream = connect(&server).await.jetstream();
    created("FIRST", &[]).ensure(&jetstream, "S").await.unwrap();
    let overlapping = created("SECOND", &[]).ensure(&jetstream, "S").await.unwrap_err();
    assert_unavailable(&overlapping, false, "overlap");
    let clustered = created("THIRD", &[("nats.stream.subjects", "x"), ("nats.stream.replicas", "3")]);
    assert_unavailable(&clustered.ensure(&jetstream, "S").await.unwrap_err(), false, "it cannot be created");
}

#[tokio::test]
async fn an_account_without_jetstream_is_told_so() {
    let server = NatsServer::start_with("accounts { A: { users: [ { user: u, password: p } ] } }");
    let connection = open(&eager(&server.url(), &USER), &observer("NoJetStream")).await.unwrap();
    for config in [stream("S", &[]), created("S", &[])] {
        let error = config.ensure(&connection.jetstream(), "S").await.unwrap_err();
        assert_unavailable(&error, false, "JetStream is not enabled");
    }
}

#[tokio::test]
async fn a_question_that_is_not_permitted_is_answered_at_once() {
    for (denied, what) in [("$JS.API.STREAM.INFO.*", "INFO"), ("$JS.API.STREAM.CREATE.*", "CREATE")] {
        let server = NatsServer::start_with(&format!(
            "accounts {{ A: {{ jetstream: enabled, users: [ {{ user: u, password: p,
                permissions: {{ publish: {{ deny: '{denied}' }} }} }} ] }} }}"
        ));
        let connection = open(&eager(&server.url(), &USER), &observer("NotPermitted")).await.unwrap();
        let error = within(created("S", &[]).open(&connection, "S")).await.unwrap_err();
        assert_unavailable(&error, true, &format!("does not permit to publish to $JS.API.STREAM.{what}.S"));
    }
}

#[tokio::test]
async fn a_permitted_question_is_answered_the_same_way() {
    let server = NatsServer::start();
    let connection = connect(&server).await;
    assert_eq!(created("S", &[]).open(&connection, "S").await.unwrap().cached_info().config.name, "S");
}

#[tokio::test]
async fn nobody_answers_while_the_server_is_away() {
    let server = NatsServer::start();
    let connection = connect(&server).await;
    let mut jetstream = connection.jetstream();
    jetstream.set_timeout(std::time::Duration::from_millis(100));
    server.pause();
    let error = stream("S", &[]).ensure(&jetstream, "S").await.unwrap_err();
    server.resume();
    assert_unavailable(&error, true, "nobody answers");
}
