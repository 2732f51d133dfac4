//! What an operator sees: every metric under its name and labels, and health as it is answered.

use std::time::Duration;

use eventflux_testkit::peer::{Message, Script, ScriptedClient, ScriptedPeer};
use eventflux_testkit::wait::eventually_blocking;
use serde_json::{Value, json};

use super::gate::Gate;
use super::linked::{COMPONENT, Linked, client, data, send, server};
use super::support::{DEADLINE, QUICK, context};

const MILLION: u64 = 1_000_000;

/// Name, labels besides `component`, and value.
type Series<'a> = (&'a str, &'a [(&'a str, &'a str)], u64);

/// A stream whose events are requests to the peers of the source of `sql`.
fn asking(sql: &str, place: &str, properties: &str) -> String {
    format!(
        "{sql}
         @sink(type='websocket', {place}, websocket.protocol='federation', websocket.send='request',
               websocket.method='${{method}}' {properties}, @map(type='json', exclude='method'))
         CREATE STREAM Asked (method STRING, rate_limit INT, unit STRING);"
    )
}

/// Asks all peers.
fn ask(linked: &Linked, method: &str) {
    use eventflux_core::Value as Cell;
    let input = linked.pipeline.flux.input("Asked").unwrap();
    input.send(&[Cell::from(method), Cell::Int(100), Cell::from("msg/sec")]).unwrap();
}

/// The next request that a peer got.
#[track_caller]
fn request(peer: &ScriptedClient, number: usize) -> Value {
    let messages = peer.wait_for_messages(number).blocking();
    serde_json::from_slice(messages[number - 1].as_bytes()).unwrap()
}

fn reply(id: &Value, payload: &Value) -> String {
    json!({"type": "reply", "id": id, "timestamp": 1_704_844_800_050_u64, "payload": payload}).to_string()
}

#[test]
fn a_server_shows_every_metric_under_its_name() {
    let linked = Linked::start(&server("websocket.queue.size='1000'"));
    let (first, second) = (linked.peer(), linked.peer());
    send(&first, 1..=3);
    linked.wait_for(&[1, 2, 3]);
    second.send_text("no envelope").blocking();
    drop(second);
    eventually_blocking(DEADLINE, || linked.metric("websocket_input_connections_active", &[]) == Some(1));
    linked.wait_for_metric("websocket_input_errors_total", &[("type", "parse_error")], 1);
    let expected: [Series<'_>; 17] = [
        ("websocket_input_messages_received_total", &[], 3),
        ("websocket_input_messages_published_total", &[], 3),
        ("websocket_input_messages_dropped_total", &[("reason", "queue_full")], 0),
        ("websocket_input_messages_dropped_total", &[("reason", "stopping")], 0),
        ("websocket_input_messages_dropped_total", &[("reason", "disconnected")], 0),
        ("websocket_input_connections_total", &[], 2),
        ("websocket_input_connection_state", &[("state", "connected")], 1),
        ("websocket_input_connection_state", &[("state", "listening")], 0),
        ("websocket_input_reconnect_attempts_total", &[], 0),
        ("websocket_input_requests_sent_total", &[("method", "backpressure")], 0),
        ("websocket_input_replies_received_total", &[("status", "ok")], 0),
        ("websocket_input_request_timeouts_total", &[], 0),
        ("websocket_input_queue_depth", &[], 0),
        ("websocket_input_queue_utilization", &[], 0),
        ("websocket_input_errors_total", &[("type", "parse_error")], 1),
        ("websocket_input_errors_total", &[("type", "publish_error")], 0),
        ("websocket_input_connections_active", &[], 1),
    ];
    for (name, labels, value) in expected {
        assert_eq!(linked.metric(name, labels), Some(value), "{name} {labels:?}");
    }
    linked.pipeline.stop();
}

#[test]
fn requests_replies_timeouts_and_durations_are_shown_by_method_and_status() {
    let place = "websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/ingest'";
    let linked = Linked::start(&asking(&server("websocket.request.timeout='300ms'"), place, ""));
    let peer = linked.peer();
    linked.wait_for_state("connected");
    ask(&linked, "backpressure");
    let asked = request(&peer, 1);
    assert_eq!(asked["payload"]["method"], "backpressure");
    peer.send_text(reply(&asked["id"], &json!({"status": "ok", "result": {"adjusted_to": 100}}))).blocking();
    linked.wait_for_metric("websocket_input_replies_received_total", &[("status", "ok")], 1);
    ask(&linked, "status");
    let asked = request(&peer, 2);
    peer.send_text(reply(&asked["id"], &json!({"status": "error", "error": {"code": "busy", "message": "later"}})))
        .blocking();
    linked.wait_for_metric("websocket_input_replies_received_total", &[("status", "error")], 1);
    ask(&linked, "calibrate");
    request(&peer, 3);
    linked.wait_for_metric("websocket_input_request_timeouts_total", &[], 1);
    for method in ["backpressure", "status", "other"] {
        assert_eq!(linked.metric("websocket_input_requests_sent_total", &[("method", method)]), Some(1), "{method}");
    }
    for quantile in ["0.5", "0.99"] {
        let duration = |method| {
            let labels = [("method", method), ("quantile", quantile)];
            linked.metric("websocket_input_request_duration_seconds", &labels)
        };
        assert!((1..DEADLINE.as_secs() * MILLION).contains(&duration("status").unwrap()));
        assert!(duration("backpressure").is_some());
        assert_eq!(duration("replay"), None, "nobody asked for it");
    }
    linked.pipeline.stop();
}

#[test]
fn a_client_shows_its_state_and_its_attempts() {
    let peer = ScriptedPeer::builder()
        .script(Script::new().accept().send_text(data(1)))
        .script(Script::new().accept())
        .start();
    let linked = Linked::start(&client(peer.url(), QUICK));
    linked.wait_for(&[1]);
    for (state, value) in
        [("init", 0), ("connecting", 0), ("connected", 1), ("reconnecting", 0), ("failed", 0), ("stopped", 0)]
    {
        assert_eq!(linked.metric("websocket_input_connection_state", &[("state", state)]), Some(value), "{state}");
    }
    assert_eq!(linked.metric("websocket_input_connection_state", &[("state", "listening")]), None);
    peer.cut();
    linked.wait_for_metric("websocket_input_reconnect_attempts_total", &[], 1);
    linked.pipeline.stop();
}

#[test]
fn the_health_of_a_server_is_answered_as_documented() {
    let mut context = context();
    let gate = Gate::register(&mut context);
    let sql = server("").replacen("CREATE STREAM", "@sink(type='gate', @map(type='json')) CREATE STREAM", 1);
    let linked = Linked::start_with(&sql, &context);
    let peers: Vec<_> = (0..5).map(|_| linked.peer()).collect();
    let passing: Vec<_> = (0..2).map(|_| linked.peer()).collect();
    eventually_blocking(DEADLINE, || linked.metric("websocket_input_connections_active", &[]) == Some(7));
    drop(passing);
    send(&peers[0], 1..=45);
    linked.wait_for_metric("websocket_input_messages_received_total", &[], 45);
    eventually_blocking(DEADLINE, || linked.metric("websocket_input_connections_active", &[]) == Some(5));
    let mut health = linked.health();
    let throughput = health["details"]["throughput"].take();
    let expected = json!({
        "healthy": true,
        "status": "connected",
        "details": {
            "mode": "server",
            "connections": {"active": 5, "total": 7},
            "queue": {"depth": 45, "utilization": 0.045},
            "throughput": null
        }
    });
    assert_eq!(health, expected);
    for key in ["messages_per_second", "average_1m"] {
        assert!((1..=45).contains(&throughput[key].as_u64().unwrap()), "{throughput}");
    }
    assert_eq!(linked.metric("websocket_input_queue_utilization", &[]), Some(45_000));
    gate.open();
    eventually_blocking(DEADLINE, || linked.health()["details"]["queue"] == json!({"depth": 0, "utilization": 0.0}));
    linked.pipeline.stop();
}

#[test]
fn the_health_of_a_client_tells_its_mode() {
    let peer = ScriptedPeer::builder().script(Script::new().accept()).start();
    let linked = Linked::start(&client(peer.url(), QUICK));
    linked.wait_for_state("connected");
    assert_eq!(linked.health()["details"]["mode"], "client");
    linked.pipeline.stop();
}

#[test]
fn a_server_that_nobody_is_connected_to_for_too_long_is_not_well() {
    let linked = Linked::start(&server("websocket.health.alone='100ms'"));
    let reasons = || linked.health().get("reasons").cloned();
    eventually_blocking(DEADLINE, || reasons() == Some(json!(["no connection for 0 seconds"])));
    assert_eq!(linked.health()["healthy"], false);
    let _peer = linked.peer();
    eventually_blocking(DEADLINE, || linked.health()["healthy"] == true);
    assert_eq!(reasons(), None);
    linked.pipeline.stop();
}

#[test]
fn a_queue_that_is_full_for_too_long_is_not_well() {
    let mut context = context();
    let gate = Gate::register(&mut context);
    let sql = server("websocket.queue.size='5', websocket.health.queue.full='100ms'");
    let sql = sql.replacen("CREATE STREAM", "@sink(type='gate', @map(type='json')) CREATE STREAM", 1);
    let linked = Linked::start_with(&sql, &context);
    send(&linked.peer(), 1..=5);
    let full = json!(["the queue has been full for 0 seconds"]);
    eventually_blocking(DEADLINE, || linked.health().get("reasons") == Some(&full));
    gate.open();
    eventually_blocking(DEADLINE, || linked.health()["healthy"] == true);
    linked.pipeline.stop();
}

#[test]
fn a_limit_of_health_that_has_no_effect_is_refused() {
    let sql = client("ws://127.0.0.1:1/", "websocket.health.alone='1m'");
    let error = eventflux_engine::EventFlux::from_sql(&sql, &context()).unwrap_err().to_string();
    assert!(error.contains("websocket.health.alone") && error.contains("has no effect"), "{error}");
}

#[test]
fn a_sink_shows_what_it_keeps_and_who_has_yet_to_acknowledge_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let sql = format!(
        "@sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/out',
               websocket.protocol='federation', websocket.spool.path='{}', @map(type='json'))
         CREATE STREAM Out (n BIGINT);",
        folder.path().display()
    );
    let context = context();
    let sender = super::support::Pipeline::start_with(&sql, &context, |_| ());
    let url = sender.flux.status()[0].health.detail.clone().unwrap();
    let input = sender.flux.input("Out").unwrap();
    let gauge = |name: &str| sender.metric(name, "Out");
    let push = |numbers: std::ops::Range<i64>| {
        numbers.for_each(|number| input.send(&[eventflux_core::Value::Long(number)]).unwrap());
    };
    push(0..10);
    eventually_blocking(DEADLINE, || gauge("eventflux_federation_spool_lag_events") == 0);
    assert_eq!(gauge("eventflux_federation_retained_events"), 10);
    assert!(gauge("eventflux_federation_spool_bytes") > 0 && gauge("eventflux_federation_retained_bytes") > 0);
    assert_eq!(gauge("eventflux_federation_receivers"), 0);

    let mut reading = eventflux_core::EventFluxContext::clone(&context);
    let gate = Gate::register(&mut reading);
    let source = client(&url, &format!("{QUICK}, websocket.link.name='cloud', websocket.link.ack='settled'"));
    let source = source.replacen("CREATE STREAM", "@sink(type='gate', @map(type='json')) CREATE STREAM", 1);
    let receiver = Linked::start_with(&source, &reading);
    eventually_blocking(DEADLINE, || gauge("eventflux_federation_receiver_in_flight") == 10);
    assert_eq!(gauge("eventflux_federation_receiver_unacknowledged"), 10);
    gate.open();
    eventually_blocking(DEADLINE, || gauge("eventflux_federation_receiver_unacknowledged") == 0);
    assert_eq!((gauge("eventflux_federation_sent_total"), gauge("eventflux_federation_receivers")), (10, 1));
    receiver.wait_for(&(0..10).collect::<Vec<_>>());
    receiver.pipeline.stop();
    sender.stop();
}

#[test]
fn every_metric_of_links_is_in_the_documentation() {
    let place = "websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/ingest'";
    let sql = asking(&server(""), place, "");
    let linked = Linked::start(&format!(
        "{sql} @sink(type='websocket', {place}, websocket.protocol='federation', @map(type='json'))
         CREATE STREAM Out (n BIGINT);"
    ));
    let peer = linked.peer();
    linked.wait_for_state("connected");
    ask(&linked, "status");
    peer.send_text(reply(&request(&peer, 1)["id"], &json!({"status": "ok", "result": {}}))).blocking();
    linked.wait_for_metric("websocket_input_replies_received_total", &[("status", "ok")], 1);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md")).unwrap();
    let families = linked.pipeline.flux.metrics().families();
    let of_links = |name: &&str| name.starts_with("websocket_input_") || name.starts_with("eventflux_federation_");
    let names: Vec<_> = families.iter().map(|family| family.name).filter(of_links).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    linked.pipeline.stop();
}

#[test]
fn sources_of_one_stream_are_told_apart() {
    let more =
        "@source(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/second',
                        websocket.protocol='federation', @map(type='json')) CREATE STREAM";
    let linked = Linked::start(&server("").replacen("CREATE STREAM", more, 1));
    let url = linked.pipeline.flux.status()[1].health.detail.clone().unwrap();
    let second = ScriptedClient::connect(url).blocking();
    second.play(Script::new().send_all([Message::from(data(1))])).blocking();
    linked.wait_for(&[1]);
    let name = format!("{COMPONENT}-2");
    eventually_blocking(Duration::from_secs(10), || linked.health_of(&name)["details"]["connections"]["active"] == 1);
    assert_eq!(linked.health()["details"]["connections"]["active"], 0);
    linked.pipeline.stop();
}
