//! What the server sees of us.

use eventflux_core::health::ConnectionState;
use eventflux_nats::ConnectionConfig;
use eventflux_testkit::nats::NatsServer;
use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::{config, eager, observer, open, shows, within};

/// What a client says first to a server that greets it.
async fn introduction(of: impl FnOnce(String) -> (ConnectionConfig, &'static str)) -> serde_json::Value {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (config, stream) = of(format!("nats://{}", listener.local_addr().unwrap()));
    let client = tokio::spawn(async move { open(&config, &observer(stream)).await });
    let (mut socket, _) = within(listener.accept()).await.unwrap();
    socket.write_all(b"INFO {\"server_id\":\"x\",\"version\":\"2.9.10\",\"max_payload\":1024}\r\n").await.unwrap();
    let mut line = String::new();
    within(BufReader::new(socket).read_line(&mut line)).await.unwrap();
    client.abort();
    serde_json::from_str(line.strip_prefix("CONNECT ").unwrap()).unwrap()
}

#[tokio::test]
async fn the_connection_is_called_after_the_stream_or_as_it_is_said() {
    let introduced = introduction(|url| (config(&[("nats.url", &url)]), "Orders")).await;
    assert_eq!(introduced["name"], "eventflux Orders");
    let named = introduction(|url| (config(&[("nats.url", &url), ("nats.name", "orders-gateway")]), "Orders")).await;
    assert_eq!(named["name"], "orders-gateway");
}

#[tokio::test]
async fn answers_come_to_the_prefix_that_is_permitted() {
    let server = NatsServer::start_with(
        "authorization { users: [ { user: u, password: p, permissions: { subscribe: 'team.inbox.>', publish: '>' } },
            { user: service, password: p } ] }",
    );
    let service = [("nats.user", "service"), ("nats.password", "p")];
    let service = open(&eager(&server.url(), &service), &observer("Service")).await.unwrap();
    let mut questions = service.client().subscribe("question").await.unwrap();
    service.client().flush().await.unwrap();
    let client = service.client().clone();
    tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            client.publish(question.reply.unwrap(), "answer".into()).await.unwrap();
        }
    });
    let user = [("nats.user", "u"), ("nats.password", "p"), ("nats.inbox.prefix", "team.inbox")];
    let connection = open(&eager(&server.url(), &user), &observer("Asking")).await.unwrap();
    let answer = within(connection.client().request("question", "".into())).await.unwrap();
    assert_eq!(answer.payload, "answer");
}

#[tokio::test]
async fn a_server_that_never_greets_is_given_up_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let config = eager(&url, &[("nats.connect.timeout", "50ms"), ("nats.reconnect.max.attempts", "2")]);
    let observer = observer("NeverGreets");
    let error = open(&config, &observer).await.unwrap_err();
    assert!(error.to_string().contains("timed out") && error.is_retryable(), "{error}");
    shows(&observer, ConnectionState::Failed, "timed out").await;
}
