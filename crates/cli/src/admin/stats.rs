//! What happened so far, in numbers, and what parts of the pipelines report about themselves (`/stats`).

use std::collections::BTreeMap;

use eventflux_core::ConnectorRole;
use eventflux_core::reports::Report;
use eventflux_engine::{ConnectorStatus, Summary};
use serde::Serialize;
use serde_json::{Value, json};

use crate::process::{Pipeline, Process};

#[derive(Serialize)]
struct Stats<'a> {
    process: ProcessStats,
    pipelines: Vec<PipelineStats<'a>>,
}

#[derive(Serialize)]
struct ProcessStats {
    version: &'static str,
    pid: u32,
    uptime_seconds: f64,
    stopping: bool,
    pipelines: usize,
}

#[derive(Serialize)]
struct PipelineStats<'a> {
    name: &'a str,
    state: &'static str,
    uptime_seconds: Option<f64>,
    events: Totals,
    /// Streams with a source or a sink.
    streams: BTreeMap<String, StreamStats>,
    reports: BTreeMap<String, Value>,
}

#[derive(Serialize)]
struct Totals {
    r#in: u64,
    out: u64,
    dropped: u64,
    failed: u64,
    dead_letters: u64,
    undelivered: u64,
}

/// Counts over the sources and sinks of a stream.
#[derive(Default, Serialize)]
struct StreamStats {
    r#in: u64,
    out: u64,
    dropped: u64,
    failed: u64,
    dead_letters: u64,
}

/// All statistics. Calls those who report, which may take a while.
pub(super) fn stats(process: &Process) -> String {
    let pipelines: Vec<_> = process.pipelines.iter().map(pipeline_stats).collect();
    let process = ProcessStats {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_seconds: process.uptime().as_secs_f64(),
        stopping: process.is_stopping(),
        pipelines: pipelines.len(),
    };
    pretty(&Stats { process, pipelines })
}

/// The value as indented JSON, with a line break at its end.
pub(super) fn pretty(value: &impl Serialize) -> String {
    // Nothing that is serialized here has a key that is no text, so this cannot fail.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

fn pipeline_stats(pipeline: &Pipeline) -> PipelineStats<'_> {
    let snapshot = pipeline.snapshot();
    PipelineStats {
        name: &pipeline.name,
        state: pipeline.phase().name(),
        uptime_seconds: pipeline.uptime().map(|uptime| uptime.as_secs_f64()),
        events: snapshot.summary.into(),
        streams: streams(&snapshot.connectors),
        reports: pipeline.metrics().reports().collect().into_iter().map(report).collect(),
    }
}

fn streams(connectors: &[ConnectorStatus]) -> BTreeMap<String, StreamStats> {
    let mut streams: BTreeMap<String, StreamStats> = BTreeMap::new();
    for connector in connectors {
        let stream = streams.entry(connector.stream.clone()).or_default();
        match connector.role {
            ConnectorRole::Source => stream.r#in += connector.events,
            ConnectorRole::Sink => stream.out += connector.events,
        }
        stream.dropped += connector.metrics.dropped.value();
        stream.failed += connector.metrics.failed.value();
        stream.dead_letters += connector.metrics.dead_lettered.value();
    }
    streams
}

fn report(Report { name, json }: Report) -> (String, Value) {
    let value = json.and_then(|json| {
        serde_json::from_str(&json).map_err(|error| format!("the report of {name} is no JSON: {error}"))
    });
    (name, value.unwrap_or_else(|reason| json!({ "error": reason })))
}

impl From<Summary> for Totals {
    fn from(summary: Summary) -> Self {
        let Summary { events_in, events_out, dropped, failed, dead_lettered, undelivered } = summary;
        Self { r#in: events_in, out: events_out, dropped, failed, dead_letters: dead_lettered, undelivered }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::testing;

    const SQL: &str = "
        @source(type='generator', generator.count='10', generator.rate='max', generator.template='{\"n\":1}',
                @map(type='json'))
        CREATE STREAM Numbers (n INT);
        @sink(type='blackhole')
        CREATE STREAM Kept (n INT);
        INSERT INTO Kept SELECT n FROM Numbers;";

    fn parsed(process: &Process) -> Value {
        serde_json::from_str(&stats(process)).unwrap()
    }

    #[test]
    fn events_are_counted_by_stream_and_in_total() {
        let process = testing::process(SQL, &["a.sql"]);
        let pipeline = &process.pipelines[0];
        pipeline.start().unwrap();
        assert_eq!(pipeline.run_to_the_end(Duration::from_secs(60)).result, Ok(()));
        let stats = parsed(&process);
        let none = json!({ "in": 0, "out": 0, "dropped": 0, "failed": 0, "dead_letters": 0 });
        let with = |key: &str| {
            let mut counts = none.clone();
            counts[key] = json!(10);
            counts
        };
        assert_eq!(stats["pipelines"][0]["streams"], json!({ "Numbers": with("in"), "Kept": with("out") }));
        assert_eq!(stats["pipelines"][0]["events"]["in"], 10);
        assert_eq!(stats["pipelines"][0]["state"], "ended");
        assert_eq!(stats["process"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(stats["process"]["pipelines"], 1);
    }

    #[test]
    fn reports_are_shown_and_what_is_no_json_is_shown_as_an_error() {
        let process = testing::process(SQL, &["a.sql"]);
        let reports = process.pipelines[0].metrics().reports();
        let _good = reports.add("hub", || json!({ "sessions": 3 }));
        let _bad = reports.add("odd", || "{broken");
        let shown = &parsed(&process)["pipelines"][0]["reports"];
        assert_eq!(shown["hub"], json!({ "sessions": 3 }));
        let error = shown["odd"]["error"].as_str().unwrap();
        assert!(error.starts_with("the report of odd is no JSON: "), "{error}");
    }
}
