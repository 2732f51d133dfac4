//! Whether the process works as designed (`/health`), and whether it is ready for work (`/ready`).

use std::collections::BTreeMap;

use eventflux_core::escape_control;
use eventflux_core::health::ConnectionState;
use eventflux_core::reports::Report;
use eventflux_engine::ConnectorStatus;
use serde::Serialize;
use serde_json::{Value, json};

use super::stats::pretty;
use crate::process::{Phase, Pipeline, Process};

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    /// Whether the process drains.
    stopping: bool,
    pipelines: Vec<PipelineHealth<'a>>,
    /// What parts of the pipelines say of themselves, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    components: BTreeMap<String, Value>,
}

#[derive(Serialize)]
struct PipelineHealth<'a> {
    name: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    connectors: Vec<ConnectorHealth>,
}

#[derive(Serialize)]
struct ConnectorHealth {
    stream: String,
    role: &'static str,
    #[serde(rename = "type")]
    connector: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    stopping: bool,
    missing: Vec<Missing<'a>>,
}

/// What keeps the process from being ready: a pipeline, or one of its connectors.
#[derive(Serialize)]
struct Missing<'a> {
    pipeline: &'a str,
    #[serde(flatten)]
    what: Culprit,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Culprit {
    Pipeline {
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Connector(ConnectorHealth),
}

/// Whether no pipeline has failed and every component is well, and the state of everything.
pub(super) fn health(process: &Process) -> (bool, String) {
    let pipelines: Vec<_> = process.pipelines.iter().map(pipeline_health).collect();
    let components = components(process);
    let status = match () {
        () if pipelines.iter().any(|pipeline| pipeline.error.is_some()) => "failed",
        () if components.values().all(|component| component["healthy"] == true) => "ok",
        () => "unhealthy",
    };
    (status == "ok", pretty(&Health { status, stopping: process.is_stopping(), pipelines, components }))
}

/// By name; where two pipelines have one of the same name, by the names of both.
fn components(process: &Process) -> BTreeMap<String, Value> {
    let of = |pipeline: &Pipeline| pipeline.metrics().components().collect();
    let reports: Vec<_> = process.pipelines.iter().map(|pipeline| (pipeline, of(pipeline))).collect();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for report in reports.iter().flat_map(|(_, reports)| reports) {
        *named.entry(&report.name).or_default() += 1;
    }
    let all = reports.iter().flat_map(|(pipeline, reports)| reports.iter().map(move |report| (pipeline, report)));
    all.map(|(pipeline, report)| {
        let is_unique = named.get(report.name.as_str()) == Some(&1);
        let name = if is_unique { report.name.clone() } else { format!("{}/{}", pipeline.name, report.name) };
        (name, component(report))
    })
    .collect()
}

/// One that cannot say how it is, is not well.
fn component(report: &Report) -> Value {
    let value = report.json.clone().and_then(|json| {
        serde_json::from_str(&json).map_err(|error| format!("the report of {} is no JSON: {error}", report.name))
    });
    value.unwrap_or_else(|error| json!({ "healthy": false, "error": error }))
}

/// Whether everything is started and every connector can do its work, and what is missing.
pub(super) fn ready(process: &Process) -> (bool, String) {
    let stopping = process.is_stopping();
    let missing: Vec<_> = process.pipelines.iter().flat_map(missing).collect();
    // A pipeline that has ended is not missed by the others, but when all have there is nothing left to be ready.
    let ended = process.pipelines.iter().all(|pipeline| pipeline.phase() == Phase::Ended);
    let ready = missing.is_empty() && !stopping && !ended;
    (ready, pretty(&Ready { ready, stopping, missing }))
}

fn pipeline_health(pipeline: &Pipeline) -> PipelineHealth<'_> {
    let phase = pipeline.phase();
    PipelineHealth {
        name: &pipeline.name,
        state: phase.name(),
        error: error(&phase),
        connectors: pipeline.snapshot().connectors.iter().map(connector_health).collect(),
    }
}

fn missing(pipeline: &Pipeline) -> Vec<Missing<'_>> {
    let phase = pipeline.phase();
    let missing = |what| Missing { pipeline: &pipeline.name, what };
    match phase {
        Phase::Ended => Vec::new(),
        Phase::Starting | Phase::Stopping | Phase::Failed(_) => {
            vec![missing(Culprit::Pipeline { state: phase.name(), error: error(&phase) })]
        }
        Phase::Running => {
            let connectors = pipeline.snapshot().connectors;
            let culprits = connectors.iter().filter(|connector| !works(connector));
            culprits.map(|connector| missing(Culprit::Connector(connector_health(connector)))).collect()
        }
    }
}

/// A source that is exhausted has done its work.
fn works(connector: &ConnectorStatus) -> bool {
    let state = connector.health.state;
    state.is_healthy() || state == ConnectionState::Stopped
}

fn connector_health(connector: &ConnectorStatus) -> ConnectorHealth {
    ConnectorHealth {
        stream: connector.stream.clone(),
        role: connector.role.name(),
        connector: connector.connector.clone(),
        state: connector.health.state.name(),
        detail: connector.health.detail.as_deref().map(|detail| escape_control(detail).into_owned()),
    }
}

fn error(phase: &Phase) -> Option<String> {
    match phase {
        Phase::Failed(error) => Some(escape_control(&error.to_string()).into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::testing;

    /// A source without an end, and a sink.
    const SQL: &str = "
        @source(type='generator', generator.rate='20', generator.template='{\"n\":1}', @map(type='json'))
        @sink(type='blackhole')
        CREATE STREAM Numbers (n INT);";

    fn parsed((good, text): (bool, String)) -> (bool, Value) {
        (good, serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_process_is_healthy_but_not_ready_before_everything_is_started() {
        let process = testing::process(SQL, &["a.sql", "b.sql"]);
        process.pipelines[0].start().unwrap();
        let (good, health) = parsed(health(&process));
        assert!(good);
        assert_eq!(health["pipelines"][1], json!({ "name": "b.sql", "state": "starting", "connectors": [] }));
        let expected = json!({
            "ready": false,
            "stopping": false,
            "missing": [{ "pipeline": "b.sql", "state": "starting" }],
        });
        assert_eq!(parsed(ready(&process)), (false, expected));
    }

    #[test]
    fn a_process_is_ready_when_everything_works_and_until_it_stops() {
        let process = testing::process(SQL, &["a.sql"]);
        process.pipelines[0].start().unwrap();
        let states = json!([
            { "stream": "Numbers", "role": "source", "type": "generator", "state": "connected" },
            { "stream": "Numbers", "role": "sink", "type": "blackhole", "state": "connected" },
        ]);
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !ready(&process).0 {
            assert!(std::time::Instant::now() < deadline, "{}", ready(&process).1);
            std::thread::yield_now();
        }
        assert_eq!(parsed(health(&process)).1["pipelines"][0]["connectors"], states);
        process.set_stopping();
        assert_eq!(parsed(ready(&process)), (false, json!({ "ready": false, "stopping": true, "missing": [] })));
        assert!(health(&process).0);
    }

    #[test]
    fn a_component_that_is_not_well_makes_the_process_unhealthy_and_says_why() {
        let process = testing::process("", &["a.sql", "b.sql"]);
        let [a, b] = &process.pipelines[..] else { panic!("two pipelines") };
        let well = json!({ "healthy": true, "status": "connected" });
        let ill = json!({ "healthy": false, "status": "listening", "reasons": ["no connection for 301 seconds"] });
        let (first, second) = (well.clone(), ill.clone());
        let _edges = a.metrics().components().add("Edges", move || first.clone());
        let (good, shown) = parsed(health(&process));
        assert_eq!((good, &shown["status"], &shown["components"]), (true, &json!("ok"), &json!({ "Edges": well })));
        let _same = b.metrics().components().add("Edges", move || second.clone());
        let _odd = b.metrics().components().add("Odd", || "{");
        let (good, shown) = parsed(health(&process));
        assert_eq!((good, &shown["status"]), (false, &json!("unhealthy")));
        assert_eq!((&shown["components"]["a.sql/Edges"], &shown["components"]["b.sql/Edges"]), (&well, &ill));
        assert_eq!(shown["components"]["Odd"]["healthy"], false);
        assert!(shown["components"]["Odd"]["error"].as_str().unwrap().starts_with("the report of Odd is no JSON"));
    }

    #[test]
    fn a_source_of_links_is_shown_as_documented_until_its_end() {
        let sql = "@source(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0',
                           websocket.protocol='federation', @map(type='json'))
                   CREATE STREAM Edges (n INT);";
        let process = testing::process(sql, &["hub.sql"]);
        process.pipelines[0].start().unwrap();
        let expected = json!({
            "healthy": true,
            "status": "listening",
            "details": {
                "mode": "server",
                "connections": { "active": 0, "total": 0 },
                "queue": { "depth": 0, "utilization": 0.0 },
                "throughput": { "messages_per_second": 0, "average_1m": 0 },
            },
        });
        assert_eq!(parsed(health(&process)).1["components"], json!({ "Edges": expected }));
        process.pipelines[0].stop(Duration::from_secs(10));
        assert_eq!(parsed(health(&process)).1["components"]["Edges"]["status"], "stopped");
    }

    #[test]
    fn without_components_none_are_shown() {
        assert_eq!(parsed(health(&testing::process("", &["a.sql"]))).1.get("components"), None);
    }

    #[test]
    fn a_failed_pipeline_is_named_with_the_reason() {
        let process = testing::process(SQL, &["a.sql", "b.sql"]);
        process.pipelines.iter().for_each(|pipeline| drop(pipeline.start().unwrap()));
        // What is running cannot be started.
        let error = process.pipelines[0].start().unwrap_err().to_string();
        let (good, health) = parsed(health(&process));
        assert!(!good);
        assert_eq!((&health["status"], &health["pipelines"][0]["error"]), (&json!("failed"), &json!(error)));
        let (good, ready) = parsed(ready(&process));
        assert!(!good);
        assert_eq!(ready["missing"][0], json!({ "pipeline": "a.sql", "state": "failed", "error": error }));
    }

    #[test]
    fn a_pipeline_that_has_ended_is_not_missed_as_long_as_another_runs() {
        let process = testing::process(SQL, &["a.sql", "b.sql"]);
        process.pipelines.iter().for_each(|pipeline| drop(pipeline.start().unwrap()));
        process.pipelines[0].stop(Duration::from_secs(10));
        let missing = |process: &Process| parsed(ready(process)).1["missing"].to_string();
        assert!(!missing(&process).contains("a.sql"));
        process.pipelines[1].stop(Duration::from_secs(10));
        assert_eq!((ready(&process).0, missing(&process)), (false, "[]".to_owned()));
        assert!(health(&process).0);
    }
}
