//! A pipeline with one source of links, whose peers speak nothing but the printed envelopes.

use std::sync::{Arc, Mutex};

use eventflux_core::{EventFluxContext, ValueRef};
use eventflux_testkit::peer::{Message, ScriptedClient};
use eventflux_testkit::wait::{eventually_blocking, eventually_some_blocking};
use serde_json::Value;

use super::support::{DEADLINE, Pipeline, context};

/// Name of the stream, and so of the component.
pub(super) const COMPONENT: &str = "Fed";

/// A running pipeline, and the numbers that came in.
pub(super) struct Linked {
    pub(super) pipeline: Pipeline,
    came: Arc<Mutex<Vec<i64>>>,
}

/// A source that listens at `/ingest`.
pub(super) fn server(properties: &str) -> String {
    let place = "websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/ingest'";
    source(place, properties)
}

/// A source that connects.
pub(super) fn client(url: &str, properties: &str) -> String {
    source(&format!("websocket.url='{url}'"), properties)
}

fn source(place: &str, properties: &str) -> String {
    let more = if properties.is_empty() { String::new() } else { format!(", {properties}") };
    format!(
        "@source(type='websocket', {place}, websocket.protocol='federation'{more}, @map(type='json'))
         CREATE STREAM {COMPONENT} (n BIGINT);"
    )
}

/// The envelope of an event.
pub(super) fn data(number: i64) -> String {
    format!(r#"{{"type":"data","id":"data-{number}","timestamp":1704844800000,"payload":{{"n":{number}}}}}"#)
}

impl Linked {
    #[track_caller]
    pub(super) fn start(sql: &str) -> Self {
        Self::start_with(sql, &context())
    }

    #[track_caller]
    pub(super) fn start_with(sql: &str, context: &EventFluxContext) -> Self {
        let came = Arc::<Mutex<Vec<i64>>>::default();
        let copy = came.clone();
        let pipeline = Pipeline::start_with(sql, context, |flux| {
            let numbers = move |batch: &eventflux_core::EventBatch| {
                let number = |row: eventflux_core::Row<'_>| match row.value(0) {
                    ValueRef::Long(number) => number,
                    other => panic!("no number: {other:?}"),
                };
                copy.lock().unwrap().extend(batch.rows().map(number));
            };
            flux.subscribe(COMPONENT, numbers).unwrap();
        });
        Self { pipeline, came }
    }

    /// Waits until exactly these have come.
    #[track_caller]
    pub(super) fn wait_for(&self, numbers: &[i64]) {
        eventually_blocking(DEADLINE, || self.came.lock().unwrap().len() >= numbers.len());
        assert_eq!(*self.came.lock().unwrap(), numbers);
    }

    /// Where the source listens.
    #[track_caller]
    pub(super) fn url(&self) -> String {
        let is_url = |detail: &String| detail.starts_with("ws://");
        eventually_some_blocking(DEADLINE, || self.pipeline.flux.status()[0].health.detail.clone().filter(is_url))
    }

    /// A peer that has connected.
    #[track_caller]
    pub(super) fn peer(&self) -> ScriptedClient {
        ScriptedClient::connect(self.url()).blocking()
    }

    /// The series of that name with exactly these labels besides `component`, in millionths where it has decimals.
    pub(super) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        let wanted: Vec<_> =
            [("component", COMPONENT)].iter().chain(labels).map(|(k, v)| (*k, (*v).to_owned())).collect();
        let samples = self.pipeline.flux.metrics().samples();
        samples.into_iter().find(|sample| sample.name == name && sample.labels == wanted).map(|sample| sample.value)
    }

    #[track_caller]
    pub(super) fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: u64) {
        eventually_blocking(DEADLINE, || self.metric(name, labels) >= Some(value));
        assert_eq!(self.metric(name, labels), Some(value), "{name} {labels:?}");
    }

    /// What the component says of itself.
    #[track_caller]
    pub(super) fn health(&self) -> Value {
        self.health_of(COMPONENT)
    }

    #[track_caller]
    pub(super) fn health_of(&self, component: &str) -> Value {
        let reports = self.pipeline.flux.metrics().components().collect();
        let report = reports.iter().find(|report| report.name == component);
        let report = report.unwrap_or_else(|| panic!("no component {component}: {reports:?}"));
        serde_json::from_str(report.json.as_ref().unwrap()).unwrap()
    }

    /// Waits until health and metrics say that it is in this state, and in no other.
    #[track_caller]
    pub(super) fn wait_for_state(&self, state: &str) {
        eventually_blocking(DEADLINE, || self.health()["status"] == state && self.states() == [state]);
    }

    /// The states that the metrics say it is in.
    pub(super) fn states(&self) -> Vec<String> {
        let samples = self.pipeline.flux.metrics().samples();
        let is_on = |sample: &&eventflux_core::metrics::Sample| {
            sample.name == "websocket_input_connection_state" && sample.value == 1
        };
        samples.iter().filter(is_on).map(|sample| sample.labels[1].1.clone()).collect()
    }
}

/// Sends these numbers as events.
#[track_caller]
pub(super) fn send(peer: &ScriptedClient, numbers: impl IntoIterator<Item = i64>) {
    let script = eventflux_testkit::peer::Script::new().send_all(numbers.into_iter().map(data).map(Message::from));
    peer.play(script).blocking();
}
