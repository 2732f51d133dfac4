//! Connectors in memory whose faults a test chooses.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "shared by several test files"
)]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventflux_core::*;
use eventflux_engine::{EventFlux, SourceFile};
use tokio::sync::watch;

/// Shared by the factories and the test.
#[derive(Default)]
pub struct World {
    /// Callbacks of the started sources, by stream.
    callbacks: Mutex<HashMap<String, Arc<dyn SourceCallback>>>,
    pub source_starts: AtomicU64,
    /// Metadata fields that are bound, by stream of the source.
    bound: Mutex<HashMap<String, BoundMetadata>>,
    /// Payloads each sink delivered, by stream.
    delivered: Mutex<BTreeMap<String, Vec<String>>>,
    /// Channel and user of each of those payloads, for sinks that have any.
    routes: Mutex<BTreeMap<String, Vec<String>>>,
    /// The last batch each sink got, by stream.
    batches: Mutex<HashMap<String, EncodedBatch>>,
    sink_callbacks: Mutex<HashMap<String, Arc<dyn SinkCallback>>>,
    /// What the next publications of a sink meet, by stream.
    sink_faults: Mutex<HashMap<String, Vec<EventFluxError>>>,
    /// Faults of mappers by the text they meet: how often still, and with what.
    mapper_faults: Mutex<HashMap<String, (u32, EventFluxError)>>,
    pub sinks_busy: AtomicBool,
    /// How many payloads the sinks that settle on demand have settled, or why they never will, by stream.
    settled: Mutex<HashMap<String, watch::Sender<Result<usize, EventFluxError>>>>,
    settled_panics: Mutex<Option<&'static str>>,
    pub order: Mutex<Vec<String>>,
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A registry with the `memory` source and sink, the `line` format besides the usual ones, and a function that fails on demand.
    pub fn context(self: &Arc<Self>) -> EventFluxContext {
        let mut context = EventFluxContext::new();
        context.add_source_factory(MemorySourceFactory(self.clone()));
        context.add_source_factory(MuteSourceFactory(MemorySourceFactory(self.clone())));
        context.add_sink_factory(MemorySinkFactory(self.clone()));
        context.add_mapper_factory(LineFormat(self.clone()));
        eventflux_mappers::register(&mut context);
        context.add_function(Flaky(self.clone()));
        context
    }

    pub fn pipeline(self: &Arc<Self>, sql: &str) -> EventFlux {
        let file = SourceFile::new("test.sql", sql);
        match EventFlux::from_file(file, &[], &self.context()) {
            Ok(mut pipeline) => {
                pipeline.start().unwrap();
                pipeline
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The mistakes of a file, one line each: `line:column message (hint)`.
    pub fn mistakes(self: &Arc<Self>, sql: &str) -> Vec<String> {
        let file = SourceFile::new("test.sql", sql);
        match EventFlux::from_file(file.clone(), &[], &self.context()) {
            Ok(_) => Vec::new(),
            Err(error) => error
                .diagnostics()
                .iter()
                .filter(|diagnostic| diagnostic.is_error())
                .map(|diagnostic| {
                    let position = file.position(diagnostic.span.map_or(0, |span| span.start));
                    let hint = diagnostic.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                    format!("{}:{} {}{hint}", position.line, position.column, diagnostic.message)
                })
                .collect(),
        }
    }

    pub fn callback(&self, stream: &str) -> Arc<dyn SourceCallback> {
        self.callbacks.lock().unwrap()[stream].clone()
    }

    pub fn send(&self, stream: &str, messages: &[&str]) -> Result<(), EventFluxError> {
        let messages: Vec<_> = messages.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
        self.callback(stream).on_batch(&messages)
    }

    /// As [`World::send`]; each message with values for [`METADATA`].
    pub fn send_with<const N: usize>(
        &self,
        stream: &str,
        messages: [(&str, &[Value]); N],
    ) -> Result<(), EventFluxError> {
        let (texts, metadata): (Vec<_>, Vec<_>) = messages
            .iter()
            .map(|(text, values)| (Bytes::copy_from_slice(text.as_bytes()), MessageMetadata::new(METADATA, *values)))
            .unzip();
        self.callback(stream).on_batch_with(&texts, &metadata)
    }

    pub fn bound(&self, stream: &str) -> BoundMetadata {
        self.bound.lock().unwrap()[stream].clone()
    }

    /// `channel/user payload` of everything the sink of `stream` delivered.
    pub fn routed(&self, stream: &str) -> Vec<String> {
        let routes = self.routes.lock().unwrap();
        let routes = routes.get(stream).cloned().unwrap_or_default();
        routes.into_iter().zip(self.delivered(stream)).map(|(route, payload)| format!("{route} {payload}")).collect()
    }

    /// Reports rows of the last batch of the sink of `stream` as failed, as a sink does that queues.
    pub fn report_last_failed(&self, stream: &str, rows: std::ops::Range<usize>, error: EventFluxError) {
        let batch = self.batches.lock().unwrap()[stream].slice(rows);
        let callback = self.sink_callbacks.lock().unwrap()[stream].clone();
        callback.on_failed(batch, error);
    }

    pub fn delivered(&self, stream: &str) -> Vec<String> {
        self.delivered.lock().unwrap().get(stream).cloned().unwrap_or_default()
    }

    /// Lets the next publications of the sink of `stream` fail, one error each.
    pub fn fail_sink(&self, stream: &str, errors: impl IntoIterator<Item = EventFluxError>) {
        self.sink_faults.lock().unwrap().entry(stream.to_owned()).or_default().extend(errors);
    }

    /// Lets whatever meets `text` fail `times` times with `error`.
    pub fn fail_on(&self, text: &str, times: u32, error: EventFluxError) {
        self.mapper_faults.lock().unwrap().insert(text.to_owned(), (times, error));
    }

    pub fn report_failed(&self, stream: &str, payload: &'static str, error: EventFluxError) {
        let callback = self.sink_callbacks.lock().unwrap()[stream].clone();
        callback.on_failed(EncodedBatch::single(Bytes::from_static(payload.as_bytes()), 1), error);
    }

    /// From now on the sink of `stream` has settled as many payloads as the test says, or says why it never will.
    pub fn settle(&self, stream: &str, settled: Result<usize, EventFluxError>) {
        let mut sinks = self.settled.lock().unwrap();
        sinks.entry(stream.to_owned()).or_insert_with(|| watch::channel(Ok(0)).0).send_modify(|known| *known = settled);
    }

    /// Lets every sink panic when its `settled` is `called`, or what that returns is `polled`.
    pub fn panic_in_settled(&self, when: &'static str) {
        *self.settled_panics.lock().unwrap() = Some(when);
    }

    fn meet(&self, text: &str) -> Result<(), EventFluxError> {
        if text.starts_with("mapbomb") {
            panic!("met {text}");
        }
        let mut faults = self.mapper_faults.lock().unwrap();
        match faults.get_mut(text) {
            Some((times, error)) if *times > 0 => {
                *times -= 1;
                Err(error.clone())
            }
            _ => Ok(()),
        }
    }
}

pub fn transient() -> EventFluxError {
    EventFluxError::Send { reason: "busy".into(), retryable: true }
}

pub fn invalid() -> EventFluxError {
    EventFluxError::mapping(None, "bad")
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::yield_now();
    }
}

const FORMATS: &[&str] = &["line", "json", "csv", "text"];

#[derive(Clone)]
struct MemorySourceFactory(Arc<World>);

const SOURCE: &[PropertySpec] = &[
    PropertySpec::new("memory.delay", PropertyKind::Duration, "Unused pause.").default("1s"),
    PropertySpec::new("memory.token", PropertyKind::Text, "A secret.").secret(),
    PropertySpec::new("memory.pattern", PropertyKind::Template, "Where a source has no use for a column."),
    PropertySpec::new("memory.url", PropertyKind::Text, "Servers, separated by commas."),
];

pub const METADATA: &[MetadataSpec] = &[
    MetadataSpec::new("connection", DataType::String, "The connection."),
    MetadataSpec::new("received_time", DataType::Timestamp, "When it came."),
    MetadataSpec::new("attempt", DataType::Int, "Which attempt it is."),
    MetadataSpec::new("header.*", DataType::String, "The header of that name."),
];

impl SourceFactory for MemorySourceFactory {
    fn name(&self) -> &'static str {
        "memory"
    }
    fn doc(&self) -> &'static str {
        "Events from a test."
    }
    fn supported_formats(&self) -> &'static [&'static str] {
        FORMATS
    }
    fn properties(&self) -> &'static [PropertySpec] {
        SOURCE
    }
    fn metadata(&self) -> &'static [MetadataSpec] {
        METADATA
    }
    fn create_initialized(
        &self,
        _: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Source>, EventFluxError> {
        self.0.bound.lock().unwrap().insert(context.stream.clone(), context.metadata.clone());
        Ok(Box::new(MemorySource(self.0.clone(), context.stream.clone())))
    }
}

#[derive(Clone)]
struct MemorySource(Arc<World>, String);

impl std::fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemorySource")
    }
}

impl Source for MemorySource {
    fn start(&mut self, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        self.0.source_starts.fetch_add(1, Ordering::SeqCst);
        self.0.order.lock().unwrap().push(format!("start source {}", self.1));
        self.0.callbacks.lock().unwrap().insert(self.1.clone(), callback);
        Ok(())
    }
    fn stop(&mut self, _: Duration) {
        self.0.order.lock().unwrap().push(format!("stop source {}", self.1));
        if let Some(callback) = self.0.callbacks.lock().unwrap().get(&self.1) {
            callback.on_end(Ok(()));
        }
    }
    fn clone_box(&self) -> Box<dyn Source> {
        Box::new(self.clone())
    }
}

/// A source that knows nothing about its messages.
struct MuteSourceFactory(MemorySourceFactory);

impl SourceFactory for MuteSourceFactory {
    fn name(&self) -> &'static str {
        "mute"
    }
    fn doc(&self) -> &'static str {
        self.0.doc()
    }
    fn supported_formats(&self) -> &'static [&'static str] {
        self.0.supported_formats()
    }
    fn properties(&self) -> &'static [PropertySpec] {
        &[]
    }
    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Source>, EventFluxError> {
        self.0.create_initialized(properties, context)
    }
}

const SINK: &[PropertySpec] = &[
    PropertySpec::new("memory.channel", PropertyKind::Template, "Where it goes."),
    PropertySpec::new("memory.user", PropertyKind::Template, "Whom it is for."),
];

struct MemorySinkFactory(Arc<World>);

impl SinkFactory for MemorySinkFactory {
    fn name(&self) -> &'static str {
        "memory"
    }
    fn doc(&self) -> &'static str {
        "Events to a test."
    }
    fn supported_formats(&self) -> &'static [&'static str] {
        FORMATS
    }
    fn properties(&self) -> &'static [PropertySpec] {
        SINK
    }
    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError> {
        let (channel, user) = (properties.template("memory.channel")?, properties.template("memory.user")?);
        Ok(Box::new(MemorySink(self.0.clone(), context.stream.clone(), [channel, user])))
    }
}

struct MemorySink(Arc<World>, String, [Option<Template>; 2]);

impl std::fmt::Debug for MemorySink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemorySink")
    }
}

impl Sink for MemorySink {
    fn start(&self, callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        self.0.order.lock().unwrap().push(format!("start sink {}", self.1));
        self.0.sink_callbacks.lock().unwrap().insert(self.1.clone(), callback);
        Ok(())
    }
    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        let text = String::from_utf8(payload.to_vec()).unwrap();
        if text.starts_with("sinkbomb") {
            panic!("met {text}");
        }
        let mut faults = self.0.sink_faults.lock().unwrap();
        if let Some(faults) = faults.get_mut(&self.1).filter(|faults| !faults.is_empty()) {
            return Err(faults.remove(0));
        }
        self.0.delivered.lock().unwrap().entry(self.1.clone()).or_default().push(text);
        Ok(())
    }
    fn publish_batch(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        self.0.batches.lock().unwrap().insert(self.1.clone(), batch.clone());
        for row in 0..batch.len() {
            self.publish(batch.payload(row)).map_err(|error| RowFailure { row, error })?;
            let route = self.2.each_ref().map(|template| template.as_ref().map_or("-", |it| it.text(batch, row)));
            self.0.routes.lock().unwrap().entry(self.1.clone()).or_default().push(route.join("/"));
        }
        Ok(())
    }
    fn is_ready(&self) -> bool {
        !self.0.sinks_busy.load(Ordering::SeqCst)
    }
    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            while !self.is_ready() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }
    fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        match *self.0.settled_panics.lock().unwrap() {
            Some(when @ "called") => panic!("met {when}"),
            Some(when) => return Box::pin(async move { panic!("met {when}") }),
            None => {}
        }
        let Some(mut settled) = self.0.settled.lock().unwrap().get(&self.1).map(watch::Sender::subscribe) else {
            return Box::pin(std::future::ready(Ok(())));
        };
        let mark = self.0.delivered(&self.1).len();
        Box::pin(async move {
            let reached = settled.wait_for(|settled| settled.as_ref().map_or(true, |count| *count >= mark)).await;
            reached.unwrap().clone().map(drop)
        })
    }
    fn stop(&self, _: Duration) -> u64 {
        self.0.order.lock().unwrap().push(format!("stop sink {}", self.1));
        0
    }
    fn clone_box(&self) -> Box<dyn Sink> {
        Box::new(Self(self.0.clone(), self.1.clone(), self.2.clone()))
    }
}

/// Values separated by commas, one per column, `-` for NULL.
struct LineFormat(Arc<World>);

impl MapperFactory for LineFormat {
    fn name(&self) -> &'static str {
        "line"
    }
    fn doc(&self) -> &'static str {
        "Values separated by commas."
    }
    fn source_properties(&self) -> &'static [PropertySpec] {
        &[]
    }
    fn sink_properties(&self) -> &'static [PropertySpec] {
        &[]
    }
    fn source_mapper(&self, _: &Arc<Schema>, _: &Properties) -> Result<Box<dyn SourceMapper>, EventFluxError> {
        Ok(Box::new(LineMapper(self.0.clone())))
    }
    fn sink_mapper(&self, _: &Arc<Schema>, _: &Properties) -> Result<Box<dyn SinkMapper>, EventFluxError> {
        Ok(Box::new(LineMapper(self.0.clone())))
    }
}

struct LineMapper(Arc<World>);

impl SourceMapper for LineMapper {
    fn decode(&mut self, messages: &[Bytes], first: u64, batch: &mut EventBatch, failures: &mut Vec<RowFailure>) {
        for (row, message) in messages.iter().enumerate() {
            let text = std::str::from_utf8(message).unwrap();
            let result = self.0.meet(text).and_then(|()| line(text, batch, first + row as u64));
            if let Err(error) = result {
                failures.push(RowFailure { row, error });
            }
        }
    }
}

fn line(text: &str, batch: &mut EventBatch, position: u64) -> Result<(), EventFluxError> {
    let schema = batch.schema().clone();
    let values: Result<Vec<_>, _> =
        schema.fields().iter().zip(text.split(',')).map(|(field, text)| value(field, text)).collect();
    batch.push_row(&values?, position)
}

fn value(field: &Field, text: &str) -> Result<Value, EventFluxError> {
    let bad = |_| EventFluxError::mapping(Some(&field.name), format!("'{text}' is no {}", field.data_type));
    Ok(match field.data_type {
        _ if text == "-" => Value::Null,
        DataType::Long => Value::Long(text.parse().map_err(bad)?),
        DataType::Int => Value::Int(text.parse().map_err(bad)?),
        DataType::Timestamp => Value::Timestamp(text.parse().map_err(bad)?),
        _ => Value::String(text.to_owned()),
    })
}

impl SinkMapper for LineMapper {
    fn encode(&mut self, batch: &EventBatch, out: &mut PayloadWriter, failures: &mut Vec<RowFailure>) {
        for (index, row) in batch.rows().enumerate() {
            let values: Vec<_> = row.values().map(show).collect();
            let text = values.join(",");
            match self.0.meet(&format!("encode {text}")) {
                Ok(()) => {
                    out.buffer().extend_from_slice(text.as_bytes());
                    out.finish(row.position());
                }
                Err(error) => failures.push(RowFailure { row: index, error }),
            }
        }
    }
}

fn show(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::String(text) | ValueRef::Json(text) => text.to_owned(),
        ValueRef::Long(value) => value.to_string(),
        ValueRef::Int(value) => value.to_string(),
        ValueRef::Timestamp(0) => "epoch".to_owned(),
        ValueRef::Timestamp(_) => "time".to_owned(),
        other => format!("{other:?}"),
    }
}

/// `FLAKY(text)`: the text, unless the test lets it fail.
struct Flaky(Arc<World>);

impl ScalarFunction for Flaky {
    fn name(&self) -> &str {
        "FLAKY"
    }
    fn return_type(&self, _: &[Option<DataType>]) -> Result<DataType, String> {
        Ok(DataType::String)
    }
    fn call(&self, arguments: &[ValueRef<'_>], result: &mut Column) -> Result<(), FunctionError> {
        let ValueRef::String(text) = arguments[0] else {
            result.push_null();
            return Ok(());
        };
        if text == "bomb" {
            panic!("met a bomb");
        }
        self.0
            .meet(&format!("call {text}"))
            .map_err(|error| FunctionError { reason: error.to_string(), retryable: error.is_retryable() })?;
        result.push_str(text);
        Ok(())
    }
}
