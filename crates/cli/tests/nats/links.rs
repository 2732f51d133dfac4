//! `federated.json`, the component file it was made after, and `peers.sql`: links on one side, subjects on the other.

use std::fs;

use eventflux_testkit::nats::NatsServer;
use futures_util::StreamExt as _;

use super::http;
use super::instance::Instance;
use super::support::{Running, free_port, repository};

/// The component as it was printed, which names no server.
const PRINTED: &str = "crates/engine/tests/components/schema.json";
const TOKEN: (&str, &str) = ("WS_INGEST_TOKEN", "hunter2");

const DATA: &str =
    r#"{"type":"data","id":"data-001","timestamp":1704844800000,"payload":{"sensor":"temp-1","value":23.50}}"#;
const ASKS: &str = r#"{"type":"request","id":"req-001","timestamp":1704844800000,"payload":{"method":"inventory","params":{"shelf":7}}}"#;

/// Runs a component file at a free port, as the text it has with that, and says where.
fn run(folder: &tempfile::TempDir, text: &str, nats: &str) -> (Running, u16) {
    let port = free_port();
    let text = text.replace("\"http_port\": 8081", &format!("\"http_port\": {port}"));
    assert!(text.contains(&port.to_string()), "{text}");
    let file = folder.path().join("federated.json");
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let mut running =
        Running::start(&["run", "--no-progress", "--admin", "127.0.0.1:0", &file], &[("NATS_URL", nats), TOKEN]);
    let line = running.expect_stderr("admin listener at ");
    let admin = line.split_once("http://").unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
    eventflux_testkit::wait::eventually_blocking(super::support::DEADLINE, || http::get(admin, "/ready").status == 200);
    (running, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_peers_send_is_published_at_the_subjects_of_the_file() {
    let printed = fs::read_to_string(repository().join(PRINTED)).unwrap();
    let example = fs::read_to_string(repository().join("examples/nats/federated.json")).unwrap();
    for text in [format!(r#"{{"nats": {{"url": "${{env:NATS_URL}}"}}, "components": [{printed}]}}"#), example] {
        let (server, folder) = (NatsServer::start(), tempfile::tempdir().unwrap());
        let nats = async_nats::connect(server.url()).await.unwrap();
        let mut heard = nats.subscribe("federated.>").await.unwrap();
        nats.flush().await.unwrap();
        let (mut running, port) = run(&folder, &text, &server.url());
        let peer = eventflux_testkit::peer::ScriptedClient::builder(format!("ws://127.0.0.1:{port}/ingest"))
            .header("Authorization", format!("Bearer {}", TOKEN.1))
            .connect()
            .await;
        peer.send_text(DATA).await;
        let message = heard.next().await.unwrap();
        assert_eq!(message.subject.as_str(), "federated.data");
        assert_eq!(message.payload, r#"{"sensor":"temp-1","value":23.50}"#);
        peer.send_text(ASKS).await;
        let message = heard.next().await.unwrap();
        assert_eq!(message.subject.as_str(), "federated.control.request");
        let request: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(request, serde_json::json!({"method": "inventory", "params": {"shelf": 7}}));
        running.signal_until_the_end("TERM");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_nats_answers_the_request_of_a_linked_peer() {
    let server = NatsServer::start();
    let nats = async_nats::connect(server.url()).await.unwrap();
    let mut asked = nats.subscribe("ws.request.*").await.unwrap();
    nats.flush().await.unwrap();
    let instance = Instance::start(&["examples/nats/peers.sql"], &server.url());
    let peer = instance.connect("/ingest");
    peer.send(ASKS);
    let message = asked.next().await.unwrap();
    assert_eq!((message.subject.as_str(), &*message.payload), ("ws.request.inventory", &br#"{"shelf":7}"#[..]));
    nats.publish(message.reply.unwrap(), r#"{"boxes":12}"#.into()).await.unwrap();
    let reply: serde_json::Value = serde_json::from_str(&peer.expect("req-001")).unwrap();
    assert_eq!(reply["payload"], serde_json::json!({"status": "ok", "result": {"boxes": 12}}));
    instance.stop();
}
