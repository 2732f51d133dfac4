//! Pipelines with several servers.

use serde_json::{Value, json};

use eventflux_testkit::wait::eventually_blocking;

use super::ends::{End, LISTENS, connects, link};
use super::support::DEADLINE;

/// A pipeline that takes readings.
fn hub() -> End {
    End::start(&format!("{} CREATE STREAM Taken (device STRING, n BIGINT);", link("source", LISTENS, "")))
}

fn reading(device: i64, n: i64) -> Value {
    json!({ "device": format!("device-{device}"), "n": n })
}

/// A pipeline that balances readings over these.
fn edge(hubs: &[End], properties: &str) -> End {
    let urls: Vec<_> = hubs.iter().map(End::url).collect();
    let place = format!(
        "{}, websocket.pool='balance', websocket.pool.urls='{}'{properties}",
        connects(&urls[0]),
        urls[1..].join(" ")
    );
    End::start(&format!("{} CREATE STREAM Readings (device STRING, n BIGINT);", link("sink", &place, "")))
}

#[test]
fn events_of_one_key_go_to_one_server_in_order() {
    let hubs = [hub(), hub(), hub()];
    let edge = edge(&hubs, ", websocket.pool.key='${device}'");
    for n in 0..100 {
        let readings: Vec<_> = (0..30).map(|device| reading(device, n)).collect();
        edge.send_all("Readings", &readings).unwrap();
    }
    let all = || hubs.iter().map(|hub| hub.rows("Taken").len()).sum::<usize>();
    eventually_blocking(DEADLINE, || all() >= 3_000);
    assert_eq!(all(), 3_000);
    for device in 0..30 {
        let of_device = |hub: &End| -> Vec<Value> {
            hub.rows("Taken").into_iter().filter(|row| row["device"] == reading(device, 0)["device"]).collect()
        };
        let places: Vec<_> = hubs.iter().map(of_device).filter(|rows| !rows.is_empty()).collect();
        assert_eq!(places, [(0..100).map(|n| reading(device, n)).collect::<Vec<_>>()], "device {device}");
    }
    assert!(hubs.iter().all(|hub| !hub.rows("Taken").is_empty()));
}

#[test]
fn servers_of_a_pool_are_seen_each() {
    let hubs = [hub(), hub()];
    let edge = edge(&hubs, "");
    let series = |name: &str, stream: &str| {
        let samples = edge.pipeline.flux.metrics().samples();
        let is_of = |labels: &[(&str, String)]| labels.iter().any(|(key, value)| *key == "stream" && value == stream);
        samples.iter().find(|sample| sample.name == name && is_of(&sample.labels)).map(|sample| sample.value)
    };
    eventually_blocking(DEADLINE, || series("eventflux_sink_connections", "Readings") == Some(2));
    for n in 0..200 {
        edge.send("Readings", &reading(0, n)).unwrap();
    }
    eventually_blocking(DEADLINE, || hubs.iter().map(|hub| hub.rows("Taken").len()).sum::<usize>() >= 200);
    let sent = |server: &str| series("eventflux_federation_sent_total", server).unwrap_or(0);
    assert_eq!(sent("Readings/1") + sent("Readings/2"), 200);
    assert_eq!(series("eventflux_federation_taken_over_total", "Readings"), Some(0));
}
