//! Tokens that change while a connection stands.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use eventflux_core::health::ConnectionState;
use eventflux_testkit::log_capture::LogCapture;
use jsonwebtoken::{EncodingKey, Header};
use log::Level;
use serde_json::json;

use super::*;

const SECRET: &str = "a secret of more than thirty-two bytes";

/// How long a token is good for, in seconds.
const LIFE: u64 = 3;

fn token(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": "edge", "exp": now + seconds, "jti": unique() });
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// So that no two tokens are the same.
fn unique() -> String {
    format!("{:?}", Instant::now())
}

/// As those do who renew tokens: nobody ever sees half of one.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}

fn guarded_source() -> TestSource {
    listening_source(&[
        ("websocket.auth", "jwt"),
        ("websocket.auth.jwt.secret", SECRET),
        ("websocket.auth.jwt.leeway", "0s"),
    ])
}

fn sink_with(path: &Path, url: &str) -> TestSink {
    connecting_sink(url, &[("auth.type", "bearer"), ("auth.bearer_token_file", path.to_str().unwrap())])
}

#[test]
fn a_connection_outlives_its_tokens_when_the_file_gets_new_ones() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    replace(&path, &token(LIFE));
    let source = guarded_source();
    let sink = sink_with(&path, &source.detail());
    sink.wait_for_state(ConnectionState::Connected);
    let (mut published, end) = (0, Instant::now() + Duration::from_secs(2 * LIFE + 1));
    while Instant::now() < end {
        replace(&path, &token(LIFE));
        publish(&sink, published..published + 1);
        published += 1;
        wait_for(&source, 0..published);
        // What is tested is that time passes.
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(sink.context.metrics.reconnects.value(), 0);
    assert_eq!(sink.context.health.current().state, ConnectionState::Connected);
}

#[test]
fn without_a_new_token_the_connection_ends_with_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    replace(&path, &token(LIFE));
    let source = guarded_source();
    let sink = sink_with(&path, &source.detail());
    sink.wait_for_state(ConnectionState::Connected);
    sink.wait_for_state(ConnectionState::Reconnecting);
    // The next attempt reads the file again.
    replace(&path, &token(3_600));
    sink.wait_for_state(ConnectionState::Connected);
    assert_eq!(sink.context.metrics.reconnects.value(), 1);
}

#[test]
fn a_token_that_is_refused_is_reported_and_the_connection_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    replace(&path, &token(3_600));
    let source = guarded_source();
    let sink = sink_with(&path, &source.detail());
    sink.wait_for_state(ConnectionState::Connected);
    let logs = LogCapture::start().containing(source.detail());
    replace(&path, "hunter2");
    logs.wait_for_blocking(DEADLINE, Level::Error, "does not accept the new token");
    logs.assert_absent("hunter2");
    publish(&sink, 0..10);
    wait_for(&source, 0..10);
    assert_eq!(sink.context.metrics.reconnects.value(), 0);
}
