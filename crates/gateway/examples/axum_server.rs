//! Channels for WebSocket clients, served by axum.
//!
//! Start it with `cargo run -p eventflux-gateway --example axum_server`, connect to `ws://localhost:8080/ws?token=abc123`,
//! and subscribe: `{"type":"subscribe","data":{"channels":["agent-updates"]}}`. A counter comes every second.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use eventflux_gateway::websocket::{
    AuthHandler, CloseReason, ConnectionInfo, ConnectionSender, Received, WebSocketConfig, WebSocketManager, WsError,
    WsMessage, WsMessageType,
};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

/// A client that takes longer to take one message is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let manager = manager(WebSocketConfig::default());
    tokio::spawn(tick(manager.clone()));
    tokio::spawn(count(manager.clone()));
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    // Small messages do not wait for each other.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let service = router(manager.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let stopping = async move {
        tokio::signal::ctrl_c().await.ok();
        manager.shutdown().await;
    };
    axum::serve(listener, service).with_graceful_shutdown(stopping).await?;
    Ok(())
}

/// The manager, which knows one user and takes requests.
pub(crate) fn manager(config: WebSocketConfig) -> Arc<WebSocketManager> {
    let manager = WebSocketManager::new(config).with_auth_handler(Demo).with_messages(&[WsMessageType::Request]);
    Arc::new(manager)
}

/// The routes: clients connect to `/ws`.
pub(crate) fn router(manager: Arc<WebSocketManager>) -> Router {
    Router::new().route("/ws", get(upgrade)).with_state(manager)
}

/// Lets the manager look at the clock, for pings and timeouts.
pub(crate) async fn tick(manager: Arc<WebSocketManager>) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        manager.tick(Instant::now());
    }
}

/// Publishes a counter every second.
pub(crate) async fn count(manager: Arc<WebSocketManager>) {
    let mut second = interval(Duration::from_secs(1));
    for counter in 1_u64.. {
        second.tick().await;
        let message = WsMessage::event(serde_json::json!({"type": "counter", "counter": counter}));
        match manager.broadcast("agent-updates", message).await {
            Ok(delivered) => log::debug!("counter {counter} delivered to {delivered} subscribers"),
            Err(error) => log::error!("counter {counter}: {error}"),
        }
    }
}

/// Knows one token, and lets its user see everything but what is secret.
struct Demo;

#[async_trait::async_trait]
impl AuthHandler for Demo {
    async fn authenticate(&self, token: &str) -> Result<String, String> {
        match token {
            "abc123" => Ok("demo".to_owned()),
            _ => Err("unknown token".to_owned()),
        }
    }

    async fn check_permission(&self, _user_id: &str, channel: &str) -> bool {
        !channel.starts_with("secret")
    }
}

#[derive(serde::Deserialize)]
struct Parameters {
    token: Option<String>,
}

/// Takes a client in, or refuses it before it becomes a WebSocket.
async fn upgrade(
    State(manager): State<Arc<WebSocketManager>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Query(parameters): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let mut info = ConnectionInfo::new(address);
    if let Some(token) = parameters.token {
        info = info.with_token(token);
    }
    let sender = match manager.add_connection(info.id, info).await {
        Ok(sender) => sender,
        Err(error @ WsError::AuthenticationFailed(_)) => {
            log::warn!("{address}: {error}");
            return StatusCode::UNAUTHORIZED.into_response();
        }
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    };
    let limit = manager.config().max_message_size;
    upgrade
        // One more than the manager allows: it closes with the right code.
        .max_message_size(limit + 1)
        .max_frame_size(limit + 1)
        // A client that sends pings and does not read is given up.
        .max_write_buffer_size(1024 * 1024)
        .read_buffer_size(8 * 1024)
        .on_upgrade(move |socket| serve(socket, sender, manager))
}

/// Writes what there is to write, and reads what comes.
async fn serve(mut socket: WebSocket, mut sender: ConnectionSender, manager: Arc<WebSocketManager>) {
    loop {
        tokio::select! {
            outgoing = sender.recv() => match outgoing {
                Some(outgoing) => {
                    if !write(&mut socket, Message::Text(outgoing.text.into())).await {
                        return;
                    }
                }
                None => break,
            },
            incoming = socket.recv() => match incoming {
                Some(Ok(Message::Text(text))) => receive(&manager, sender.id(), &text).await,
                Some(Ok(Message::Binary(_))) => manager.close_connection(sender.id(), CloseReason::TEXT_ONLY).await,
                // axum answers pings.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => manager.pong(sender.id()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    }
    let reason = sender.close_reason().unwrap_or(CloseReason::NORMAL);
    let frame = CloseFrame { code: reason.code(), reason: reason.reason().into() };
    write(&mut socket, Message::Close(Some(frame))).await;
}

async fn write(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(WRITE_TIMEOUT, socket.send(message)).await, Ok(Ok(())))
}

/// Hands a message of a client over, and answers it if it is a request.
async fn receive(manager: &WebSocketManager, id: Uuid, text: &str) {
    match manager.receive(id, text).await {
        Ok(Some(Received { request: Some(request), .. })) => {
            let stats = manager.get_stats().await;
            let answer = serde_json::json!({"active_connections": stats.active_connections});
            manager.respond(&request, &answer).await.ok();
        }
        Ok(_) => {}
        // If that ended the connection, its sender says so.
        Err(error) => log::debug!("{id}: {error}"),
    }
}
