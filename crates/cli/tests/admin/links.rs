//! What the pages say about pipelines that are linked.

use serde_json::json;

use super::exposition::parse;
use super::support::free_port;
use super::{Observed, endless};

fn hub(port: u16, properties: &str) -> String {
    format!(
        "@source(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:{port}', websocket.path='/ingest',
                 websocket.protocol='federation'{properties}, @map(type='json'))
         @sink(type='blackhole')
         CREATE STREAM Edges (n BIGINT);"
    )
}

#[test]
fn both_ends_of_a_link_are_shown_with_their_health_and_their_figures() {
    let port = free_port();
    let edge = endless(&format!(
        "type='websocket', websocket.url='ws://127.0.0.1:{port}/ingest', websocket.protocol='federation', \
         websocket.reconnect.delay.ms='5', websocket.reconnect.max.delay.ms='20'"
    ));
    let observed = Observed::run(&[&hub(port, ""), &edge], &[]);
    let [hub, edge] = &observed.files[..] else { panic!("two files") };
    let labels = [("pipeline", hub.as_str()), ("component", "Edges")];
    let page = observed.get_until("/metrics", |answer| {
        parse(&answer.body).unwrap().value("websocket_input_messages_published_total", &labels) > Some(2.0)
    });
    let page = parse(&page.body).unwrap();
    for (name, kind) in &page.kinds {
        assert!(page.helps.contains_key(name), "{name} is not described");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
    }
    let state = |state| page.value("websocket_input_connection_state", &[labels[0], labels[1], ("state", state)]);
    assert_eq!((state("connected"), state("listening")), (Some(1.0), Some(0.0)));
    assert_eq!(page.value("websocket_input_connections_active", &labels), Some(1.0));
    let sent = [("pipeline", edge.as_str()), ("stream", "Kept"), ("role", "sink")];
    assert!(page.value("eventflux_federation_sent_total", &sent) > Some(2.0));

    let connected = |health: &serde_json::Value| {
        health["components"]["Edges"]["status"] == "connected"
            && health["components"]["Kept (sink)"]["status"] == "connected"
    };
    let health = observed.get_until("/health", |answer| connected(&answer.json()));
    assert_eq!(health.status, 200);
    let components = &health.json()["components"];
    assert_eq!(components["Edges"]["details"]["mode"], "server");
    assert_eq!(components["Edges"]["details"]["connections"], json!({ "active": 1, "total": 1 }));
    assert_eq!(components["Kept (sink)"]["details"]["mode"], "client");
}

#[test]
fn a_component_that_is_not_well_is_answered_with_503_and_its_reasons() {
    let observed = Observed::run(&[&hub(free_port(), ", websocket.health.alone='50ms'")], &[]);
    let health = observed.get_until("/health", |answer| answer.status == 503).json();
    assert_eq!((&health["status"], &health["pipelines"][0]["state"]), (&json!("unhealthy"), &json!("running")));
    let edges = &health["components"]["Edges"];
    assert_eq!((&edges["healthy"], &edges["status"]), (&json!(false), &json!("listening")));
    assert_eq!(edges["reasons"], json!(["no connection for 0 seconds"]));
    // It can do its work all the same.
    assert_eq!(observed.get_until("/ready", |answer| answer.status == 200).json()["missing"], json!([]));
}
