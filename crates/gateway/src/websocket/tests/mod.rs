//! A manager as a program sees it, with a clock of the test's own, and without any executor but that of `run`.

mod auth;
mod lifecycle;
mod limits;
mod messages;
mod protocol;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    AuthHandler, Clock, ConnectionInfo, ConnectionSender, WebSocketConfig, WebSocketManager, WsError, WsMessage,
};

/// The channel that most tests use.
const CHANNEL: &str = "agent-updates";

/// A clock that stands still until it is moved.
#[derive(Clone)]
struct TestClock(Arc<Mutex<Instant>>);

impl TestClock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Lets seconds pass one by one.
    fn pass(&self, seconds: u64, manager: &WebSocketManager) {
        for _ in 0..seconds {
            let now = *self.0.lock().unwrap() + Duration::from_secs(1);
            *self.0.lock().unwrap() = now;
            manager.tick(now);
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }
}

/// Tokens are `token-` and the user's name; `bob` may use nothing, the others what does not begin with `secret`.
struct Handler;

#[async_trait::async_trait]
impl AuthHandler for Handler {
    async fn authenticate(&self, token: &str) -> Result<String, String> {
        let user = token.strip_prefix("token-").map(str::to_owned);
        user.ok_or_else(|| format!("Authentication failed: {token} is unknown"))
    }

    async fn check_permission(&self, user_id: &str, channel: &str) -> bool {
        user_id != "bob" && !channel.starts_with("secret")
    }
}

/// One client, without a socket.
struct Client<'a> {
    manager: &'a WebSocketManager,
    id: Uuid,
    sender: ConnectionSender,
}

impl<'a> Client<'a> {
    /// A client that is let in.
    fn new(manager: &'a WebSocketManager) -> Self {
        Self::add(manager, info(1)).unwrap()
    }

    fn add(manager: &'a WebSocketManager, info: ConnectionInfo) -> Result<Self, WsError> {
        let id = info.id;
        let sender = run(manager.add_connection(id, info))?;
        Ok(Self { manager, id, sender })
    }

    fn subscribe(&self, channels: &[&str]) -> Result<(), WsError> {
        run(self.manager.subscribe(self.id, channels.iter().map(ToString::to_string).collect()))
    }

    /// The client sends a message; what it is told.
    fn ask(&mut self, message: &Value) -> Vec<Value> {
        run(self.manager.receive(self.id, &message.to_string())).unwrap();
        self.read()
    }

    /// What there is to read, without waiting.
    fn read(&mut self) -> Vec<Value> {
        let mut texts = Vec::new();
        while let Some(Some(text)) = self.next() {
            texts.push(serde_json::from_str(&text).unwrap());
        }
        texts
    }

    /// The next text; `None` when there is none yet, `Some(None)` when the connection is to be closed.
    fn next(&mut self) -> Option<Option<String>> {
        match self.sender.poll_recv(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => Some(next.map(|outgoing| outgoing.text)),
            Poll::Pending => None,
        }
    }

    /// Code and reason when the connection is to be closed; what is left to read comes first.
    fn closed(&mut self) -> Option<(u16, String)> {
        self.read();
        self.sender.close_reason().map(|reason| (reason.code(), reason.reason().to_owned()))
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    futures_executor::block_on(future)
}

fn manager() -> WebSocketManager {
    WebSocketManager::new(WebSocketConfig::default())
}

/// A connection from the host of that number.
fn info(host: u8) -> ConnectionInfo {
    ConnectionInfo::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), 40_000))
}

fn broadcast(manager: &WebSocketManager, number: usize) -> usize {
    run(manager.broadcast(CHANNEL, WsMessage::event(json!(number)))).unwrap()
}

fn subscribe_message(channels: &[&str]) -> Value {
    json!({"type": "subscribe", "data": {"channels": channels}})
}

/// The codes of the errors among these messages.
fn codes(messages: &[Value]) -> Vec<&str> {
    messages.iter().filter_map(|message| message["data"]["code"].as_str()).collect()
}
