//! A whole pipeline between real sockets: its SQL, its counters, and the promise that it logs nothing it must not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "shared by several test files, each of which uses a part of it"
)]

#[cfg(target_os = "linux")]
pub mod child;
pub mod raw;
pub mod server;

use std::ops::Range;
use std::time::Duration;

use eventflux_core::EventFluxContext;
use eventflux_core::health::ConnectionState;
use eventflux_engine::{EventFlux, Summary};
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::peer::{Message, Script, ScriptedPeer};
use eventflux_testkit::wait::eventually_blocking;
use serde_json::Value;

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What "at once" means.
pub const PROMPTLY: Duration = Duration::from_secs(2);

/// Reconnects that tests need not wait for.
pub const QUICK: &str = "websocket.reconnect.delay.ms='5', websocket.reconnect.max.delay.ms='20'";

/// Reconnects that never come within a test.
pub const SLOW: &str = "websocket.reconnect.delay.ms='60000', websocket.reconnect.max.delay.ms='60000'";

/// Part of every URL and header here; must never be logged.
const SECRET: &str = "hunter2";

/// A running pipeline. Ending it checks what was logged meanwhile.
pub struct Pipeline {
    pub flux: EventFlux,
    logs: LogCapture,
}

impl Pipeline {
    #[track_caller]
    pub fn start(sql: &str) -> Self {
        Self::start_with(sql, &context(), |_| ())
    }

    /// Starts with a registry of its own, after `prepare`.
    #[track_caller]
    pub fn start_with(sql: &str, context: &EventFluxContext, prepare: impl FnOnce(&mut EventFlux)) -> Self {
        let logs = LogCapture::start();
        let mut flux = EventFlux::from_sql(sql, context).unwrap_or_else(|error| panic!("{error}"));
        prepare(&mut flux);
        flux.start().unwrap();
        Self { flux, logs }
    }

    /// The value of a metric of one stream, whichever connector it belongs to.
    pub fn metric(&self, name: &str, stream: &str) -> u64 {
        let of_stream =
            |labels: &[(&str, String)]| labels.iter().any(|(key, value)| *key == "stream" && value == stream);
        let samples = self.flux.metrics().samples();
        samples
            .iter()
            .filter(|sample| sample.name == name && of_stream(&sample.labels))
            .map(|sample| sample.value)
            .sum()
    }

    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, stream: &str, at_least: u64) {
        eventually_blocking(DEADLINE, || self.metric(name, stream) >= at_least);
    }

    #[track_caller]
    pub fn wait_for_state(&self, stream: &str, state: ConnectionState) {
        let is = |status: &eventflux_engine::ConnectorStatus| status.stream == stream && status.health.state == state;
        eventually_blocking(DEADLINE, || self.flux.status().iter().any(is));
    }

    /// How often a metric of every stream counted this reason.
    pub fn counted(&self, name: &str, reason: &str) -> u64 {
        let samples = self.flux.metrics().samples();
        let of_reason =
            |labels: &[(&str, String)]| labels.iter().any(|(key, value)| *key == "reason" && value == reason);
        samples
            .iter()
            .filter(|sample| sample.name == name && of_reason(&sample.labels))
            .map(|sample| sample.value)
            .sum()
    }

    /// Waits until the health of a stream's connector says this.
    #[track_caller]
    pub fn wait_for_detail(&self, stream: &str, text: &str) {
        let says = |detail: &String| detail.contains(text);
        let is = |status: &eventflux_engine::ConnectorStatus| {
            status.stream == stream && status.health.detail.as_ref().is_some_and(says)
        };
        eventually_blocking(DEADLINE, || self.flux.status().iter().any(is));
    }

    /// Stops it, and checks that neither a secret nor a control character of anybody's payload was logged.
    #[track_caller]
    pub fn stop(mut self) -> Summary {
        let summary = self.flux.stop(DEADLINE);
        self.check_logs();
        summary
    }

    /// What [`Pipeline::stop`] checks.
    #[track_caller]
    pub fn check_logs(&self) {
        // The protocol library traces what it moves under its own target.
        let ours = self.logs.lines().into_iter().filter(|line| !line.target.contains("tungstenite"));
        for line in ours {
            assert!(!line.message.contains(SECRET), "a secret was logged by {}", line.target);
            assert!(!line.message.contains(char::is_control), "a control character was logged: {:?}", line.message);
        }
    }

    /// The lines logged so far that contain `marker`.
    pub fn logged(&self, marker: &str) -> Vec<String> {
        self.logs.containing(marker).lines().into_iter().map(|line| line.message).collect()
    }
}

/// The connectors and formats a program would have.
pub fn context() -> EventFluxContext {
    let mut context = EventFluxContext::new();
    eventflux_mappers::register(&mut context);
    eventflux_websocket_connector::register(&mut context);
    eventflux_local_connectors::register(&mut context);
    context
}

/// `@source(...)` or `@sink(...)` of a WebSocket client with a secret in its URL and in a header.
pub fn client(role: &str, url: &str, properties: &str) -> String {
    let more = if properties.is_empty() { String::new() } else { format!(", {properties}") };
    let map = if properties.contains("@map") { "" } else { ", @map(type='json')" };
    format!(
        "@{role}(type='websocket', websocket.url='{url}/?token={SECRET}', websocket.headers.X-Key='{SECRET}'{more}{map})"
    )
}

/// Numbers come in from `feed` as stream `Fed` and go out to `receiver` as stream `Out`.
pub fn relay(feed: &str, source: &str, receiver: &str, sink: &str) -> String {
    format!(
        "{} CREATE STREAM Fed (n BIGINT);
         {} CREATE STREAM Out (n BIGINT);
         INSERT INTO Out SELECT n FROM Fed;",
        client("source", feed, source),
        client("sink", receiver, sink)
    )
}

/// A stream `Failed` of dead letters that goes out to `url`.
pub fn dead_letters(url: &str, properties: &str) -> String {
    format!(
        "{} CREATE STREAM Failed (stage STRING, errorType STRING, errorMessage STRING, streamName STRING,
             attemptCount INT, sourcePosition BIGINT, originalEvent STRING);",
        client("sink", url, properties)
    )
}

/// The properties that send failed events to the stream `Failed`.
pub const DLQ: &str = "error.strategy='dlq', error.dlq.stream='Failed'";

/// `{"n":NUMBER}` for each number.
pub fn messages(numbers: Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("{{\"n\":{number}}}")).collect()
}

/// Accepts and sends these numbers.
pub fn sending(numbers: Range<u64>) -> Script {
    Script::new().accept().send_all(messages(numbers))
}

/// The numbers a peer has received.
pub fn numbers(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| json(message)["n"].as_u64().unwrap()).collect()
}

/// Waits until a peer has received this many messages, and parses them.
#[track_caller]
pub fn received(peer: &ScriptedPeer, count: usize) -> Vec<Value> {
    peer.wait_for_messages(count).blocking().iter().map(json).collect()
}

fn json(message: &Message) -> Value {
    serde_json::from_slice(message.as_bytes()).unwrap_or_else(|error| panic!("{message:?}: {error}"))
}
