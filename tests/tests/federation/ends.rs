//! A pipeline at one end of links, made of the SQL of a test, and everything that comes in its streams.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use eventflux_core::{EventBatch, EventFluxContext, EventFluxError, Row, Value as Cell, ValueRef};
use eventflux_engine::EventFlux;
use eventflux_testkit::wait::{eventually_blocking, eventually_some_blocking};
use serde_json::{Map, Value, json};

use super::support::{DEADLINE, Pipeline, context};

/// Where an end listens.
pub(super) const LISTENS: &str = "websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/link'";

/// What is written around the payloads of streams.
pub(super) const JSON: &str = "@map(type='json')";

/// See the module.
pub(super) struct End {
    pub(super) pipeline: Pipeline,
    rows: Arc<Mutex<HashMap<String, Vec<Value>>>>,
}

/// Where an end connects to, again and again where it has to.
pub(super) fn connects(url: &str) -> String {
    format!(
        "websocket.url='{url}', websocket.reconnect.delay.ms='5', websocket.reconnect.max.delay.ms='20',
         websocket.reconnect.max.attempts='-1'"
    )
}

/// `@source(...)` or `@sink(...)`.
pub(super) fn link(role: &str, place: &str, properties: &str) -> String {
    mapped(role, place, properties, JSON)
}

/// The same with another format.
pub(super) fn mapped(role: &str, place: &str, properties: &str, map: &str) -> String {
    let more = if properties.is_empty() { String::new() } else { format!(", {properties}") };
    format!("@{role}(type='websocket', websocket.protocol='federation', {place}{more}, {map})")
}

/// Why a pipeline cannot be made or started.
#[track_caller]
pub(super) fn refused(sql: &str) -> String {
    match EventFlux::from_sql(sql, &context()) {
        Err(errors) => errors.to_string(),
        Ok(mut flux) => match flux.start() {
            Err(error) => error.to_string(),
            Ok(()) => panic!("not refused: {sql}"),
        },
    }
}

impl End {
    #[track_caller]
    pub(super) fn start(sql: &str) -> Self {
        Self::start_with(sql, &context())
    }

    #[track_caller]
    pub(super) fn start_with(sql: &str, context: &EventFluxContext) -> Self {
        let rows = Arc::<Mutex<HashMap<String, Vec<Value>>>>::default();
        let streams = sql.split("CREATE STREAM ").skip(1).filter_map(|rest| rest.split([' ', '(']).next());
        let pipeline = Pipeline::start_with(sql, context, |flux| {
            for stream in streams {
                let (all, name) = (rows.clone(), stream.to_owned());
                let record = move |batch: &EventBatch| {
                    let new: Vec<_> = batch.rows().map(|row| object(batch, row)).collect();
                    all.lock().unwrap().entry(name.clone()).or_default().extend(new);
                };
                flux.subscribe(stream, record).unwrap();
            }
        });
        Self { pipeline, rows }
    }

    /// What has come in a stream, as objects of its columns.
    pub(super) fn rows(&self, stream: &str) -> Vec<Value> {
        self.rows.lock().unwrap().get(stream).cloned().unwrap_or_default()
    }

    /// Waits until so many have come in a stream; not more.
    #[track_caller]
    pub(super) fn wait_for_rows(&self, stream: &str, count: usize) -> Vec<Value> {
        let rows = eventually_some_blocking(DEADLINE, || Some(self.rows(stream)).filter(|rows| rows.len() >= count));
        assert_eq!(rows.len(), count, "{rows:?}");
        rows
    }

    /// Waits until exactly these have come in a stream.
    #[track_caller]
    pub(super) fn has(&self, stream: &str, expected: &[Value]) {
        assert_eq!(self.wait_for_rows(stream, expected.len()), expected);
    }

    /// Puts an event into a stream; what is not given is NULL.
    pub(super) fn send(&self, stream: &str, event: &Value) -> Result<(), EventFluxError> {
        self.send_all(stream, std::slice::from_ref(event))
    }

    /// Puts events into a stream, all at once.
    pub(super) fn send_all(&self, stream: &str, events: &[Value]) -> Result<(), EventFluxError> {
        let input = self.pipeline.flux.input(stream).unwrap();
        let mut batch = EventBatch::new(input.schema().clone());
        for event in events {
            let fields = input.schema().fields().iter();
            let cells: Vec<_> = fields.map(|field| cell(&field.data_type.to_string(), &event[&field.name])).collect();
            batch.push_row(&cells, 0).unwrap();
        }
        input.send_batch(&batch)
    }

    /// `{"n": ...}` for each number.
    #[track_caller]
    pub(super) fn publish(&self, stream: &str, numbers: std::ops::Range<i64>) {
        let events: Vec<_> = numbers.map(|number| json!({ "n": number })).collect();
        self.send_all(stream, &events).unwrap();
    }

    /// Waits until so many numbers have come, and are the first ones, in order.
    #[track_caller]
    pub(super) fn has_numbers(&self, stream: &str, numbers: std::ops::Range<i64>) {
        let expected: Vec<_> = numbers.map(|number| json!({ "n": number })).collect();
        self.has(stream, &expected);
    }

    /// Where it listens.
    #[track_caller]
    pub(super) fn url(&self) -> String {
        let listening = || {
            let details = self.pipeline.flux.status().into_iter().filter_map(|status| status.health.detail);
            details.into_iter().find(|detail| detail.ends_with("/link"))
        };
        eventually_some_blocking(DEADLINE, listening)
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
    pub(super) fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], at_least: u64) {
        eventually_blocking(DEADLINE, || self.metric(name, labels) >= at_least);
    }

    #[track_caller]
    pub(super) fn stop(self) -> eventflux_engine::Summary {
        self.pipeline.stop()
    }
}

/// A row, by its columns.
fn object(batch: &EventBatch, row: Row<'_>) -> Value {
    let value = |value: ValueRef<'_>| match value {
        ValueRef::Null => Value::Null,
        ValueRef::Bool(value) => json!(value),
        ValueRef::Int(value) => json!(value),
        ValueRef::Long(value) | ValueRef::Timestamp(value) => json!(value),
        ValueRef::Float(value) => json!(value),
        ValueRef::Double(value) => json!(value),
        ValueRef::String(value) => json!(value),
        ValueRef::Bytes(value) => json!(value),
        ValueRef::Json(value) => serde_json::from_str(value).unwrap(),
    };
    let cells = batch.schema().names().zip(row.values()).map(|(name, cell)| (name.to_owned(), value(cell)));
    Value::Object(cells.collect::<Map<_, _>>())
}

/// What a column of a type holds.
fn cell(data_type: &str, value: &Value) -> Cell {
    match (data_type, value) {
        (_, Value::Null) => Cell::Null,
        ("JSON", value) => Cell::Json(value.to_string()),
        ("INT", value) => Cell::Int(value.as_i64().unwrap().try_into().unwrap()),
        ("BIGINT", value) => Cell::Long(value.as_i64().unwrap()),
        ("DOUBLE", value) => Cell::Double(value.as_f64().unwrap()),
        ("BYTES", value) => Cell::Bytes(value.as_str().unwrap().as_bytes().to_vec()),
        (_, Value::Bool(value)) => Cell::Bool(*value),
        (_, value) => Cell::String(value.as_str().unwrap().to_owned()),
    }
}
