//! What the pages say about a process that runs.

use std::net::TcpListener;
use std::thread;

use serde_json::json;

use super::exposition::parse;
use super::support::free_port;
use super::{Observed, endless};

#[test]
fn metrics_are_what_prometheus_reads_and_tell_pipelines_apart() {
    let sql = endless("type='blackhole'");
    let observed = Observed::run(&[&sql, &sql], &[]);
    let answer = observed.get_until("/metrics", |answer| {
        let page = parse(&answer.body).unwrap();
        observed.files.iter().all(|file| {
            let labels = [("pipeline", &**file), ("stream", "Numbers"), ("type", "generator")];
            page.value("eventflux_source_events_total", &labels) > Some(0.0)
        })
    });
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let page = parse(&answer.body).unwrap();
    for (name, kind) in &page.kinds {
        assert!(page.helps.contains_key(name), "{name} is not described");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
    }
    for file in &observed.files {
        assert_eq!(page.value("eventflux_pipeline_state", &[("pipeline", file), ("state", "running")]), Some(1.0));
    }
    assert_eq!(page.value("eventflux_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), Some(1.0));
    assert!(page.value("process_start_time_seconds", &[]) > Some(1.7e9));
    let again = parse(&observed.get("/metrics").body).unwrap();
    let labels = [("path", "/metrics"), ("status", "200")];
    assert!(again.value("eventflux_admin_requests_total", &labels) > Some(0.0));
}

#[test]
fn a_process_that_works_is_healthy_and_ready_and_counts_its_events() {
    let port = free_port();
    let sink = format!("type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:{port}'");
    let observed = Observed::run(&[&endless(&sink)], &[]);
    let ready = observed.get_until("/ready", |answer| answer.status == 200);
    assert_eq!(ready.json(), json!({ "ready": true, "stopping": false, "missing": [] }));
    let health = observed.get("/health");
    assert_eq!((health.status, &*health.headers["content-type"]), (200, "application/json"));
    let health = health.json();
    assert_eq!((&health["status"], &health["stopping"]), (&json!("ok"), &json!(false)));
    let pipeline = &health["pipelines"][0];
    assert_eq!((&pipeline["name"], &pipeline["state"]), (&json!(observed.files[0]), &json!("running")));
    let states: Vec<_> =
        pipeline["connectors"].as_array().unwrap().iter().map(|connector| &connector["state"]).collect();
    assert_eq!(states, ["connected", "listening"]);
    let counted = |body: &serde_json::Value| body["pipelines"][0]["streams"]["Kept"]["out"].as_u64() > Some(2);
    let stats = observed.get_until("/stats", |answer| counted(&answer.json())).json();
    assert_eq!(stats["process"]["pipelines"], 1);
    assert!(stats["pipelines"][0]["events"]["in"].as_u64() >= stats["pipelines"][0]["streams"]["Kept"]["out"].as_u64());
}

#[test]
fn a_connection_that_is_lost_makes_the_process_not_ready_but_not_unhealthy() {
    let nobody = free_port();
    let sink = format!("type='websocket', websocket.url='ws://127.0.0.1:{nobody}/in'");
    let observed = Observed::run(&[&endless(&sink)], &[]);
    let reconnecting = |answer: &super::Answer| answer.json()["missing"][0]["state"] == "reconnecting";
    let ready = observed.get_until("/ready", reconnecting);
    assert_eq!(ready.status, 503);
    let missing = &ready.json()["missing"];
    assert_eq!(missing.as_array().unwrap().len(), 1, "{missing}");
    assert_eq!((&missing[0]["stream"], &missing[0]["role"]), (&json!("Kept"), &json!("sink")));
    assert_eq!(observed.get("/health").status, 200);
}

#[test]
fn a_pipeline_that_fails_makes_the_process_unhealthy_while_the_others_go_on() {
    let works = endless("type='blackhole'");
    let fails = works
        .replace("type='generator'", "type='generator', error.strategy='fail'")
        .replace("SELECT n FROM", "SELECT 1 / (n - n) AS n FROM");
    let observed = Observed::run(&[&fails, &works], &[]);
    let health = observed.get_until("/health", |answer| answer.status == 503).json();
    assert_eq!(health["status"], "failed");
    assert_eq!(
        (&health["pipelines"][0]["state"], &health["pipelines"][1]["state"]),
        (&json!("failed"), &json!("running"))
    );
    assert!(health["pipelines"][0]["error"].as_str().unwrap().contains("division by zero"), "{health}");
    assert_eq!(observed.get("/ready").status, 503);
    let file = &*observed.files[0];
    let page = parse(&observed.get("/metrics").body).unwrap();
    assert_eq!(page.value("eventflux_pipeline_state", &[("pipeline", file), ("state", "failed")]), Some(1.0));
}

#[test]
fn no_page_shows_a_secret_of_a_pipeline() {
    // A server that hangs up at once.
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/in?token=hunter2", rude.local_addr().unwrap());
    thread::spawn(move || rude.incoming().for_each(drop));
    let sink = format!(
        "type='websocket', websocket.url='{url}', websocket.reconnect.delay.ms='1', \
         websocket.reconnect.max.attempts='-1', websocket.headers.X-Key='${{env:SECRET_TOKEN}}'"
    );
    let observed = Observed::run(&[&endless(&sink)], &["--log-level", "trace", "--drain-timeout", "1s"]);
    let ready = observed.get_until("/ready", |answer| answer.json()["missing"][0]["state"] == "reconnecting");
    assert!(ready.body.contains("/in?***"), "the endpoint is named: {ready:?}");
    for path in ["/metrics", "/health", "/ready", "/stats", "/hunter2?token=hunter2"] {
        let answer = observed.get(path);
        assert!(!format!("{answer:?}").contains("hunter2"), "{path}: {answer:?}");
    }
    observed.running.signal("INT");
    let output = observed.running.finish();
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
}
