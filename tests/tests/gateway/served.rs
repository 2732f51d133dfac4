//! A pipeline that serves one path: a stream that goes out to clients, one that comes in from them, and answers to what
//! they ask.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use eventflux_core::{EventBatch, EventFluxError, Row, Value as Cell, ValueRef};
use eventflux_engine::Summary;
use eventflux_testkit::wait::{eventually_blocking, eventually_some_blocking};
use serde_json::Value;

use super::client::Client;
use super::support::{DEADLINE, Pipeline, context};

/// What a test publishes to when it wants to know who still receives.
pub(super) const WATCHED: &str = "watched";

/// What is served, and how.
pub(super) struct Plan {
    protocol: &'static str,
    common: String,
    sink: String,
    source: Option<String>,
    answers: Option<String>,
}

/// The running pipeline.
pub(super) struct Served {
    pub(super) pipeline: Pipeline,
    url: String,
    came: Arc<Mutex<Vec<Came>>>,
    next: AtomicU64,
}

/// A message of a client, with all that a source can tell about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) connection: String,
    pub(super) person: Option<String>,
    pub(super) address: String,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub(super) received: i64,
    pub(super) kind: String,
    pub(super) channel: Option<String>,
    pub(super) correlation: Option<String>,
    pub(super) request: Option<String>,
    pub(super) payload: String,
}

/// A stream served by this protocol, to everybody, each event on the channel it names.
pub(super) fn serving(protocol: &'static str) -> Plan {
    let sink = "websocket.channel='${channel}'".to_owned();
    Plan { protocol, common: String::new(), sink, source: None, answers: None }
}

impl Plan {
    /// Properties of the path.
    pub(super) fn with(mut self, properties: &str) -> Self {
        self.common = join(&self.common, properties);
        self
    }

    /// Properties of the stream that goes out, besides its channel.
    pub(super) fn publishing(mut self, properties: &str) -> Self {
        self.sink = join(&self.sink, properties);
        self
    }

    /// Each event goes to the connections of the user it names, and to nobody else.
    pub(super) fn for_users(self) -> Self {
        self.publishing("websocket.user='${person}'")
    }

    /// The same, whatever the connections have subscribed to.
    pub(super) fn for_users_without_channels(mut self) -> Self {
        self.sink = "websocket.user='${person}'".to_owned();
        self
    }

    /// Messages of clients come in, with these properties.
    pub(super) fn taking(mut self, properties: &str) -> Self {
        self.source = Some(properties.to_owned());
        self
    }

    /// Requests are answered by this query over what came in; none when a test answers them itself.
    pub(super) fn answering(mut self, query: &str) -> Self {
        self.answers = Some(query.to_owned());
        self
    }

    #[track_caller]
    pub(super) fn start(self) -> Served {
        let came = Arc::<Mutex<Vec<Came>>>::default();
        let copy = came.clone();
        let takes = self.source.is_some();
        let pipeline = Pipeline::start_with(&self.sql(), &context(), |flux| {
            if takes {
                flux.subscribe("Came", move |batch| copy.lock().unwrap().extend(batch.rows().map(Came::of))).unwrap();
            }
        });
        let look = || {
            let sink = pipeline.flux.status().into_iter().find(|status| status.stream == "Out")?;
            sink.health.detail.filter(|detail| detail.ends_with("/ws"))
        };
        let url = eventually_some_blocking(DEADLINE, look);
        Served { pipeline, url, came, next: AtomicU64::new(0) }
    }

    fn sql(&self) -> String {
        let out = self.at("sink", &self.sink, "text.template='${payload}'");
        let mut sql =
            format!("{out} CREATE STREAM Out (channel STRING, person STRING, item STRING, payload STRING);\n");
        if let Some(properties) = &self.source {
            let fields = "metadata.connection='connection', metadata.person='user', metadata.address='address',
                 metadata.received='received_time', metadata.kind='kind', metadata.channel='channel',
                 metadata.correlation='correlation', metadata.request='request'";
            let source = self.at("source", &join(properties, fields), "text.column='payload'");
            sql += &format!(
                "{source} CREATE STREAM Came (connection STRING, person STRING, address STRING, received TIMESTAMP,
                 kind STRING, channel STRING, correlation STRING, request STRING, payload STRING);\n"
            );
        }
        if let Some(query) = &self.answers {
            let answers = self.at("sink", "websocket.reply='${request}'", "text.template='${payload}'");
            sql += &format!("{answers} CREATE STREAM Answers (request STRING, payload STRING);\n{query}\n");
        }
        sql
    }

    fn at(&self, role: &str, properties: &str, mapping: &str) -> String {
        let listen = if self.common.contains("websocket.listen") { "" } else { "websocket.listen='127.0.0.1:0'" };
        let place = format!("type='websocket', websocket.mode='server', websocket.protocol='{}'", self.protocol);
        let place = join(&join(&place, "websocket.path='/ws'"), listen);
        let properties = join(&join(&place, &self.common), properties);
        format!("@{role}({properties}, @map(type='text', {mapping}))")
    }
}

impl Served {
    /// Its URL, with this behind it: `?token=...`.
    pub(super) fn url(&self, query: &str) -> String {
        format!("{}{query}", self.url)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.url.strip_prefix("ws://").unwrap().strip_suffix("/ws").unwrap().parse().unwrap()
    }

    /// A client that has sent nothing.
    #[track_caller]
    pub(super) fn client(&self, query: &str) -> Client {
        Client::connect(&self.url(query))
    }

    /// Publishes on a channel.
    #[track_caller]
    pub(super) fn publish(&self, channel: &str, payload: &Value) {
        self.send(channel, "", "", payload);
    }

    /// Publishes for one user.
    #[track_caller]
    pub(super) fn publish_for(&self, user: &str, channel: &str, payload: &Value) {
        self.send(channel, user, "", payload);
    }

    /// Publishes what is the latest of `item`.
    #[track_caller]
    pub(super) fn publish_of(&self, item: &str, channel: &str, payload: &Value) {
        self.send(channel, "", item, payload);
    }

    /// Publishes all of these at once.
    #[track_caller]
    pub(super) fn publish_all(&self, channel: &str, payloads: &[Value]) {
        let input = self.pipeline.flux.input("Out").unwrap();
        let mut batch = EventBatch::new(input.schema().clone());
        for payload in payloads {
            batch.push_row(&row(channel, "", "", payload), 0).unwrap();
        }
        input.send_batch(&batch).unwrap();
    }

    /// Answers a request.
    pub(super) fn answer(&self, request: &str, payload: &Value) -> Result<(), EventFluxError> {
        self.pipeline.flux.input("Answers").unwrap().send(&[request.into(), payload.to_string().as_str().into()])
    }

    /// Waits until this many messages have come in, and returns them.
    #[track_caller]
    pub(super) fn came(&self, count: usize) -> Vec<Came> {
        let look = || Some(self.came.lock().unwrap().clone()).filter(|came| came.len() >= count);
        let came = eventually_some_blocking(DEADLINE, look);
        assert_eq!(came.len(), count, "{came:?}");
        came
    }

    /// The pipeline takes nothing of what comes in, until this is dropped.
    pub(super) fn hold_up(&self) -> MutexGuard<'_, Vec<Came>> {
        self.came.lock().unwrap()
    }

    /// What has come in until now.
    pub(super) fn came_until_now(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// A client that subscribed to [`WATCHED`] still gets what is published there.
    #[track_caller]
    pub(super) fn serves(&self, bystander: &Client) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.publish(WATCHED, &serde_json::json!({ "number": number }));
        bystander.receives(&format!("{{\"number\":{number}}}"));
    }

    /// The sum of a metric's series that have all of these labels.
    pub(super) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let samples = self.pipeline.flux.metrics().samples();
        let of_these = samples.iter().filter(|sample| {
            let has = |(key, value): &(&str, &str)| sample.labels.iter().any(|(k, v)| k == key && v == value);
            sample.name == name && labels.iter().all(has)
        });
        of_these.map(|sample| sample.value).sum()
    }

    #[track_caller]
    pub(super) fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: u64) {
        let begin = std::time::Instant::now();
        while self.metric(name, labels) != value {
            let seen = self.metric(name, labels);
            assert!(begin.elapsed() < DEADLINE, "{name} {labels:?} is {seen}, not {value}");
            std::thread::sleep(eventflux_testkit::wait::POLL_INTERVAL);
        }
    }

    /// Waits until so many clients have their place: a handshake may be over a moment before.
    #[track_caller]
    pub(super) fn has_connections(&self, count: u64) {
        self.wait_for_metric("websocket_connections_active", &[], count);
    }

    #[track_caller]
    pub(super) fn wait_for_metric_at_least(&self, name: &str, labels: &[(&str, &str)], value: u64) {
        eventually_blocking(DEADLINE, || self.metric(name, labels) >= value);
    }

    /// Errors told to clients, by code.
    #[track_caller]
    pub(super) fn counted_error(&self, code: &str, count: u64) {
        self.wait_for_metric("websocket_errors_total", &[("type", code), ("path", "/ws")], count);
    }

    /// Connections ended with this close code, or `dead`.
    #[track_caller]
    pub(super) fn counted_violation(&self, reason: &str, count: u64) {
        let labels = [("reason", reason), ("endpoint", "/ws")];
        self.wait_for_metric("eventflux_websocket_violations_total", &labels, count);
    }

    /// Clients refused with this HTTP status.
    #[track_caller]
    pub(super) fn counted_refusal(&self, status: &str, count: u64) {
        let listener = self.address().to_string();
        let labels = [("reason", status), ("listener", &*listener)];
        self.wait_for_metric("eventflux_websocket_refused_total", &labels, count);
    }

    /// Judged credentials, by result.
    #[track_caller]
    pub(super) fn counted_authentication(&self, result: &str, count: u64) {
        let labels = [("result", result), ("endpoint", "/ws")];
        self.wait_for_metric("eventflux_websocket_authentications_total", &labels, count);
    }

    /// What the path reports about itself when somebody asks for statistics.
    #[track_caller]
    pub(super) fn report(&self) -> Value {
        let reports = self.pipeline.flux.metrics().reports().collect();
        let names: Vec<_> = reports.iter().map(|report| report.name.clone()).collect();
        let report = reports.into_iter().find(|report| report.name == "websocket /ws");
        let report = report.unwrap_or_else(|| panic!("there are reports of {names:?} only"));
        serde_json::from_str(&report.json.unwrap()).unwrap()
    }

    /// Stops it, and checks that no secret was logged.
    #[track_caller]
    pub(super) fn stop(self) -> Summary {
        self.pipeline.stop()
    }

    #[track_caller]
    fn send(&self, channel: &str, user: &str, item: &str, payload: &Value) {
        self.pipeline.flux.input("Out").unwrap().send(&row(channel, user, item, payload)).unwrap();
    }
}

impl Came {
    fn of(row: Row<'_>) -> Self {
        let text = |name: &str| match row.get(name) {
            Some(ValueRef::String(text)) => Some(text.to_owned()),
            Some(ValueRef::Null) => None,
            other => panic!("{name} is {other:?}"),
        };
        let Some(ValueRef::Timestamp(received)) = row.get("received") else { panic!("no time") };
        Self {
            connection: text("connection").unwrap(),
            person: text("person"),
            address: text("address").unwrap(),
            received,
            kind: text("kind").unwrap(),
            channel: text("channel"),
            correlation: text("correlation"),
            request: text("request"),
            payload: text("payload").unwrap(),
        }
    }

    /// The payload, parsed.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap()
    }
}

/// Properties, one list behind the other.
fn join(one: &str, other: &str) -> String {
    [one, other].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn row(channel: &str, user: &str, item: &str, payload: &Value) -> [Cell; 4] {
    [channel.into(), user.into(), item.into(), payload.to_string().as_str().into()]
}
