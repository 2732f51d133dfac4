//! Requests that cross WebSocket and NATS, both ways.

use eventflux_core::health::ConnectionState;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::peer::ScriptedClient;
use serde_json::{Value, json};

use super::example::{ask, connect, run, serve, url_of};
use super::support::{DEADLINE, Pipeline};

/// What a client of the pipeline gets for a request.
#[track_caller]
fn response(client: &ScriptedClient, request: &Value, count: usize) -> Value {
    client.send_text(request.to_string()).blocking();
    let messages = client.wait_for_messages(count).within(DEADLINE).blocking();
    serde_json::from_str(messages[count - 1].as_text().unwrap()).unwrap()
}

fn request(id: &str, symbol: &str) -> Value {
    json!({"type": "request", "data": {"symbol": symbol, "quantity": 2.0}, "correlation_id": id})
}

fn browser(pipeline: &Pipeline) -> ScriptedClient {
    ScriptedClient::connect(url_of(pipeline, "Asked")).blocking()
}

#[test]
fn a_service_of_nats_answers_the_request_of_a_browser() {
    let server = NatsServer::start();
    serve(&connect(&server), "quotes.*", |subject, payload| {
        let asked: Value = serde_json::from_slice(payload).unwrap();
        let symbol = subject.strip_prefix("quotes.").unwrap();
        let total = asked["quantity"].as_f64().unwrap() * 10.0;
        json!({"symbol": symbol, "total": total}).to_string()
    });
    let pipeline = run(&["service.sql"], &server);
    pipeline.wait_for_state("Asked", ConnectionState::Connected);
    let clients = [browser(&pipeline), browser(&pipeline)];
    for (client, symbol) in clients.iter().zip(["BTC", "ETH"]) {
        // Both call it the same.
        let answer = response(client, &request("req-1", symbol), 1);
        let expected = json!({"status": "ok", "symbol": symbol, "total": 20.0});
        assert_eq!((&answer["type"], &answer["correlation_id"]), (&json!("response"), &json!("req-1")), "{answer}");
        assert_eq!(answer["data"], expected);
    }
    pipeline.stop();
}

#[test]
fn a_browser_is_told_when_nobody_answers_and_cannot_choose_another_subject() {
    let server = NatsServer::start();
    let client = connect(&server);
    serve(&client, "secret.>", |_, _| "never".into());
    let pipeline = run(&["service.sql"], &server);
    pipeline.wait_for_state("Asked", ConnectionState::Connected);
    let browser = browser(&pipeline);
    let answer = response(&browser, &request("req-1", "BTC"), 1);
    assert_eq!(answer["data"]["status"], "no_responders", "{answer}");
    browser.send_text(request("req-2", "BTC.>").to_string()).blocking();
    pipeline.wait_for_metric("eventflux_sink_refused_total", "Asked", 1);
    pipeline.stop();
}

#[test]
fn a_pipeline_answers_a_request_of_nats() {
    let server = NatsServer::start();
    let pipeline = run(&["quotes.sql"], &server);
    let client = connect(&server);
    for (symbol, total) in [("BTC", 128_001.0), ("ETH", 6_000.5)] {
        let answer: Value =
            serde_json::from_str(&ask(&client, &format!("quotes.{symbol}"), r#"{"quantity":2}"#)).unwrap();
        assert_eq!(answer, json!({"symbol": symbol, "total": total}));
    }
    pipeline.stop();
}

#[test]
fn two_pipelines_meet_at_a_subject() {
    let server = NatsServer::start();
    let quotes = run(&["quotes.sql"], &server);
    // It hears.
    ask(&connect(&server), "quotes.BTC", r#"{"quantity":1}"#);
    let service = run(&["service.sql"], &server);
    service.wait_for_state("Asked", ConnectionState::Connected);
    let answer = response(&browser(&service), &request("req-1", "BTC"), 1);
    assert_eq!(answer["data"], json!({"status": "ok", "symbol": "BTC", "total": 128_001.0}), "{answer}");
    service.stop();
    quotes.stop();
}
