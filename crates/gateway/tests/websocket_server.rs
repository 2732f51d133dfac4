//! `examples/axum_server.rs` over real sockets, and the client and the test of the guide to it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[allow(dead_code, reason = "the example has a main")]
#[path = "../examples/axum_server.rs"]
mod axum_server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventflux_gateway::websocket::{ConnectionInfo, WebSocketConfig, WebSocketManager, WsMessage};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long anything may take that is expected to happen.
const DEADLINE: Duration = Duration::from_secs(20);

struct Server {
    manager: Arc<WebSocketManager>,
    address: SocketAddr,
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Server {
    async fn start() -> Self {
        let manager = axum_server::manager(WebSocketConfig { max_message_size: 1000, ..WebSocketConfig::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = axum_server::router(manager.clone()).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { manager, address }
    }

    fn url(&self, query: &str) -> String {
        format!("ws://{}/ws{query}", self.address)
    }

    async fn client(&self) -> Client {
        Client(connect_async(self.url("?token=abc123")).await.unwrap().0)
    }
}

impl Client {
    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        timeout(DEADLINE, self.0.next()).await.unwrap().unwrap().unwrap()
    }

    async fn read(&mut self) -> Value {
        serde_json::from_str(self.next().await.to_text().unwrap()).unwrap()
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.read().await
    }

    /// Code and reason of the Close frame that is next.
    async fn closed(&mut self) -> (u16, String) {
        let Message::Close(Some(frame)) = self.next().await else { panic!("no Close frame") };
        (frame.code.into(), frame.reason.to_string())
    }
}

/// The client of the guide, which ends when it has got an event.
async fn guide_client(url: &str) -> Result<Value, Box<dyn std::error::Error>> {
    let (ws_stream, _) = connect_async(url).await?;
    let (mut write, mut read) = ws_stream.split();

    // Subscribe
    let sub_msg = serde_json::json!({
        "type": "subscribe",
        "data": {"channels": ["agent-updates"]}
    });
    write.send(Message::Text(sub_msg.to_string().into())).await?;

    // Read messages
    while let Some(msg) = read.next().await {
        let msg = msg?;
        if let Message::Text(text) = msg {
            let data: serde_json::Value = serde_json::from_str(&text)?;
            if data["type"] == "ping" {
                let pong = serde_json::json!({"type": "pong"});
                write.send(Message::Text(pong.to_string().into())).await?;
            } else if data["type"] == "event" {
                return Ok(data);
            }
        }
    }
    Err("closed before an event came".into())
}

#[tokio::test]
async fn test_full_websocket_flow() {
    let manager = WebSocketManager::new(WebSocketConfig::default());

    // Add connection
    let info = ConnectionInfo::new("127.0.0.1:8080".parse().unwrap());
    let conn_id = info.id;
    let _sender = manager.add_connection(conn_id, info).await.unwrap();

    // Subscribe
    let channels = vec!["test-channel".to_string()];
    manager.subscribe(conn_id, channels).await.unwrap();

    // Broadcast
    let message = WsMessage::event(serde_json::json!({"test": "data"}));
    let delivered = manager.broadcast("test-channel", message).await.unwrap();
    assert_eq!(delivered, 1);

    // Cleanup
    manager.remove_connection(conn_id).await;
}

#[tokio::test]
async fn the_client_of_the_guide_gets_the_counter() {
    let server = Server::start().await;
    tokio::spawn(axum_server::count(server.manager.clone()));
    let event = timeout(DEADLINE, guide_client(&server.url("?token=abc123"))).await.unwrap().unwrap();
    assert_eq!(event["data"]["type"], "counter");
    assert!(event["data"]["counter"].is_u64());
}

#[tokio::test]
async fn a_wrong_token_is_refused_before_there_is_a_websocket() {
    let server = Server::start().await;
    let refused = connect_async(server.url("?token=wrong")).await.unwrap_err();
    assert!(matches!(&refused, Error::Http(response) if response.status() == 401), "{refused}");
    assert_eq!(server.manager.get_stats().await.active_connections, 0);
}

#[tokio::test]
async fn a_client_without_a_token_authenticates_by_a_message() {
    let server = Server::start().await;
    let mut client = Client(connect_async(server.url("")).await.unwrap().0);
    let subscribe = json!({"type": "subscribe", "data": {"channels": ["agent-updates"]}});
    assert_eq!(client.ask(subscribe.clone()).await["data"]["code"], "authentication_required");
    let response = client.ask(json!({"type": "auth", "data": {"token": "abc123"}})).await;
    assert_eq!(response["data"]["user_id"], "demo");
    assert_eq!(client.ask(subscribe).await["data"]["success"], true);
    let delivered = server.manager.broadcast("agent-updates", WsMessage::event(json!({"n": 1}))).await;
    assert_eq!(delivered, Ok(1));
    assert_eq!(client.read().await, json!({"type": "event", "data": {"n": 1}}));
}

#[tokio::test]
async fn a_request_is_answered() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let response = client.ask(json!({"type": "request", "correlation_id": "r"})).await;
    assert_eq!(response, json!({"type": "response", "data": {"active_connections": 1}, "correlation_id": "r"}));
}

#[tokio::test]
async fn connections_end_with_the_code_that_says_why() {
    let server = Server::start().await;
    let mut binary = server.client().await;
    binary.0.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(binary.closed().await, (1003, "text messages only".to_owned()));

    let mut large = server.client().await;
    let message = |size: usize| Message::text(format!(r#"{{"type":"ping"{}}}"#, " ".repeat(size - 15)));
    large.0.send(message(1000)).await.unwrap();
    assert_eq!(large.read().await, json!({"type": "pong"}));
    large.0.send(message(1001)).await.unwrap();
    assert_eq!(large.closed().await, (1009, "message too large".to_owned()));

    let mut last = server.client().await;
    assert_eq!(last.ask(json!({"type": "ping"})).await, json!({"type": "pong"}));
    server.manager.shutdown().await;
    assert_eq!(last.closed().await, (1001, "going away".to_owned()));
    let refused = connect_async(server.url("?token=abc123")).await.unwrap_err();
    assert!(matches!(&refused, Error::Http(response) if response.status() == 503), "{refused}");
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_closed() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.ask(json!({"type": "ping"})).await;
    let in_seconds = |seconds| Instant::now() + Duration::from_secs(seconds);
    server.manager.tick(in_seconds(31));
    assert_eq!(client.read().await, json!({"type": "ping"}));
    server.manager.tick(in_seconds(42));
    server.manager.tick(in_seconds(44));
    assert_eq!(client.closed().await, (1008, "pong timeout".to_owned()));
}

#[tokio::test]
async fn a_client_that_goes_away_makes_room() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.ask(json!({"type": "ping"})).await;
    drop(client);
    let gone = async {
        while server.manager.get_stats().await.active_connections > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, gone).await.unwrap();
}
