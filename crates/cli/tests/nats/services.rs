//! `service.sql` and `quotes.sql`: requests of browsers, answered over NATS.

use eventflux_testkit::nats::NatsServer;

use super::instance::Instance;

const CLIENTS: &str = "examples/nats/service.sql";
const SERVICE: &str = "examples/nats/quotes.sql";

fn request(id: &str, symbol: &str) -> String {
    format!(r#"{{"type":"request","data":{{"symbol":"{symbol}","quantity":2}},"correlation_id":"{id}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_request_is_answered_by_a_service_that_is_a_pipeline_too() {
    let server = NatsServer::start();
    let instance = Instance::start(&[CLIENTS, SERVICE], &server.url());
    let client = instance.connect("/ws");
    client.send(&request("req-1", "BTC"));
    let answer = client.expect("req-1");
    assert_eq!(
        answer,
        r#"{"type":"response","data":{"status":"ok","symbol":"BTC","total":128001.0},"correlation_id":"req-1"}"#
    );
    instance.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn any_program_can_ask_the_pipeline_and_any_program_can_answer_the_browser() {
    let server = NatsServer::start();
    let nats = async_nats::connect(server.url()).await.unwrap();
    let service = Instance::start(&[SERVICE], &server.url());
    let answer = nats.request("quotes.ETH", r#"{"quantity":3}"#.into()).await.unwrap();
    assert_eq!(answer.payload, r#"{"symbol":"ETH","total":9000.75}"#);
    service.stop();

    let instance = Instance::start(&[CLIENTS], &server.url());
    let client = instance.connect("/ws");
    client.send(&request("req-1", "BTC"));
    let nobody = client.expect("req-1");
    assert!(nobody.contains(r#""status":"no_responders""#), "{nobody}");

    use futures_util::StreamExt as _;
    let mut asked = nats.subscribe("quotes.*").await.unwrap();
    nats.flush().await.unwrap();
    client.send(&request("req-2", "BTC"));
    let message = asked.next().await.unwrap();
    assert_eq!(
        (message.subject.as_str(), &*message.payload),
        ("quotes.BTC", &br#"{"symbol":"BTC","quantity":2.0}"#[..])
    );
    nats.publish(message.reply.unwrap(), r#"{"symbol":"BTC","total":1}"#.into()).await.unwrap();
    let answer = client.expect("req-2");
    assert!(answer.contains(r#""status":"ok","symbol":"BTC","total":1.0"#), "{answer}");

    // What would be another subject is not asked at all.
    for (id, symbol) in [("req-3", "BTC.x"), ("req-4", "*"), ("req-5", ">")] {
        client.send(&request(id, symbol));
    }
    client.send(&request("req-6", "ADA"));
    assert_eq!(asked.next().await.unwrap().subject.as_str(), "quotes.ADA");
    instance.stop();
}
