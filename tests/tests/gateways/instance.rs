//! One of several gateways: a pipeline that serves a path, with a backplane.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use eventflux_core::health::ConnectionState;
use eventflux_core::{EventBatch, EventFluxError, ValueRef};
use eventflux_engine::{ConnectorStatus, Summary};
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::wait::{eventually_blocking, eventually_some_blocking};
use serde_json::{Value, json};

use super::client::Client;
use super::support::{DEADLINE, Pipeline, context};

/// Reconnects to NATS that tests need not wait for.
const QUICK: &str = "nats.reconnect.delay.ms='5', nats.reconnect.max.delay.ms='100'";

/// What is served, and how.
#[derive(Clone)]
pub(super) struct Plan {
    protocol: &'static str,
    place: String,
    sink: String,
}

/// A running gateway.
pub(super) struct Instance {
    pub(super) pipeline: Pipeline,
    /// Requests of clients that came here: what they are called, and what they ask.
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

/// A path that is one with the same path of others that know this server.
pub(super) fn sharing(nats: &NatsServer, protocol: &'static str) -> Plan {
    sharing_at(&nats.url(), protocol)
}

/// The same, where the server is reached by another URL.
pub(super) fn sharing_at(url: &str, protocol: &'static str) -> Plan {
    let place = format!("gateway.backplane='nats', nats.url='{url}', {QUICK}");
    Plan { protocol, place, sink: "websocket.channel='${channel}'".to_owned() }
}

/// The same, and channels remember.
pub(super) fn remembering(nats: &NatsServer) -> Plan {
    sharing(nats, "channels").publishing("websocket.history.events='10000'")
}

/// A number on its way to channel `a`.
pub(super) fn number(n: u64) -> Value {
    json!({ "n": n })
}

/// The numbers of events in the channels protocol.
#[track_caller]
pub(super) fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["data"]["n"].as_u64().unwrap_or_else(|| panic!("no number: {event}"))).collect()
}

impl Plan {
    /// Properties of the path.
    pub(super) fn with(mut self, properties: &str) -> Self {
        self.place += ", ";
        self.place += properties;
        self
    }

    /// Properties of what goes out, besides its channel.
    pub(super) fn publishing(mut self, properties: &str) -> Self {
        self.sink += ", ";
        self.sink += properties;
        self
    }

    /// Starts one, and waits until it serves.
    #[track_caller]
    pub(super) fn start(&self) -> Instance {
        let instance = self.start_anyhow();
        instance.is_in(ConnectionState::Listening);
        instance
    }

    /// Starts one, whatever NATS says to it.
    #[track_caller]
    pub(super) fn start_anyhow(&self) -> Instance {
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let copy = requests.clone();
        let answers = self.protocol != "raw";
        let pipeline = Pipeline::start_with(&self.sql(), &context(), |flux| {
            if answers {
                let take = move |batch: &EventBatch| {
                    let text = |value: Option<ValueRef<'_>>| match value {
                        Some(ValueRef::String(text)) => text.to_owned(),
                        other => panic!("{other:?}"),
                    };
                    let request = |row: eventflux_core::Row<'_>| (text(row.get("request")), text(row.get("payload")));
                    copy.lock().unwrap().extend(batch.rows().map(request));
                };
                flux.subscribe("Came", take).unwrap();
            }
        });
        Instance { pipeline, requests }
    }

    fn sql(&self) -> String {
        let Self { protocol, place, sink } = self;
        let place = format!(
            "type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/ws',
             websocket.protocol='{protocol}', {place}"
        );
        let mapped = "@map(type='text', text.template='${payload}')";
        let mut sql = format!(
            "@sink({place}, {sink}, {mapped})
             CREATE STREAM Out (channel STRING, person STRING, item STRING, payload STRING);
             CREATE STREAM Failed (stage STRING, errorType STRING, errorMessage STRING, streamName STRING,
                 attemptCount INT, sourcePosition BIGINT, originalEvent STRING);\n"
        );
        if *protocol != "raw" {
            sql += &format!(
                "@source({place}, websocket.accept='request', metadata.request='request',
                     @map(type='text', text.column='payload'))
                 CREATE STREAM Came (request STRING, payload STRING);
                 @sink({place}, websocket.reply='${{request}}', {mapped})
                 CREATE STREAM Answers (request STRING, payload STRING);\n"
            );
        }
        sql
    }
}

impl Instance {
    /// Where clients connect to, with this behind it.
    #[track_caller]
    pub(super) fn url(&self, query: &str) -> String {
        let url = eventually_some_blocking(DEADLINE, || {
            let detail = self.status().health.detail?;
            let url = detail.split([' ', ',']).next()?.trim_end_matches(':').to_owned();
            Some(url).filter(|url| url.starts_with("ws://"))
        });
        format!("{url}{query}")
    }

    #[track_caller]
    pub(super) fn address(&self) -> SocketAddr {
        self.url("").strip_prefix("ws://").unwrap().strip_suffix("/ws").unwrap().parse().unwrap()
    }

    /// How its sink is.
    #[track_caller]
    pub(super) fn status(&self) -> ConnectorStatus {
        self.pipeline.flux.status().into_iter().find(|status| status.stream == "Out").unwrap()
    }

    /// Waits until all its sources and sinks say so.
    #[track_caller]
    pub(super) fn is_in(&self, state: ConnectionState) {
        let is_there = || self.pipeline.flux.status().iter().all(|status| status.health.state == state);
        let begin = std::time::Instant::now();
        while !is_there() {
            assert!(begin.elapsed() < DEADLINE, "{:?} is not {state:?}", self.pipeline.flux.status());
            std::thread::sleep(eventflux_testkit::wait::POLL_INTERVAL);
        }
    }

    #[track_caller]
    pub(super) fn client(&self, query: &str) -> Client {
        Client::connect(&self.url(query))
    }

    /// A client that subscribes in the channels protocol.
    #[track_caller]
    pub(super) fn subscriber(&self, channels: &[&str]) -> Client {
        let client = self.client("");
        client.subscribe(channels);
        client
    }

    #[track_caller]
    pub(super) fn publish(&self, channel: &str, payload: &Value) {
        self.publish_for("", channel, payload);
    }

    #[track_caller]
    pub(super) fn publish_for(&self, user: &str, channel: &str, payload: &Value) {
        let row = [channel.into(), user.into(), "".into(), payload.to_string().as_str().into()];
        self.pipeline.flux.input("Out").unwrap().send(&row).unwrap();
    }

    /// Publishes all of these at once.
    #[track_caller]
    pub(super) fn publish_all(&self, channel: &str, payloads: impl IntoIterator<Item = Value>) {
        let input = self.pipeline.flux.input("Out").unwrap();
        let mut batch = EventBatch::new(input.schema().clone());
        for payload in payloads {
            batch.push_row(&[channel.into(), "".into(), "".into(), payload.to_string().as_str().into()], 0).unwrap();
        }
        input.send_batch(&batch).unwrap();
    }

    /// The next request of a client that came here.
    #[track_caller]
    pub(super) fn request(&self) -> String {
        let take = || Some(self.requests.lock().unwrap()).filter(|all| !all.is_empty()).map(|mut all| all.remove(0));
        eventually_some_blocking(DEADLINE, take).0
    }

    pub(super) fn answer(&self, request: &str, payload: &Value) -> Result<(), EventFluxError> {
        self.pipeline.flux.input("Answers").unwrap().send(&[request.into(), payload.to_string().as_str().into()])
    }

    /// The sum of a metric's series.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let samples = self.pipeline.flux.metrics().samples();
        samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }

    #[track_caller]
    pub(super) fn wait_for_metric(&self, name: &str, value: u64) {
        eventually_blocking(DEADLINE, || self.metric(name) == value);
    }

    #[track_caller]
    pub(super) fn stop(self) -> Summary {
        self.pipeline.stop()
    }
}
