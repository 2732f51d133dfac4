//! Connections, their subscriptions, and what is broadcast to them.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use eventflux_core::Secret;
use eventflux_core::metrics::Metrics;
use serde_json::Value;
use uuid::Uuid;

use super::auth::AuthHandler;
use super::clock::{Clock, SystemClock, unix_ms};
use super::connection::Connection;
use super::shared::{Parts, Shared, identity};
use super::{
    CloseReason, ConnectionInfo, ConnectionSender, Received, RequestId, WebSocketConfig, WsError, WsMessage,
    WsMessageType,
};
use crate::{Accepts, Address, Arrival, Authenticated, Pattern, Problem, Publication, Session, Stats};

/// Serves channels to clients over WebSocket connections that somebody else accepts. See the [module](super).
///
/// ```
/// use eventflux_gateway::websocket::{WebSocketConfig, WebSocketManager};
/// use std::sync::Arc;
///
/// // Create WebSocket configuration
/// let config = WebSocketConfig::default();
///
/// // Create WebSocket manager
/// let manager = Arc::new(WebSocketManager::new(config));
/// ```
pub struct WebSocketManager {
    shared: Arc<Shared>,
}

impl WebSocketManager {
    /// A manager without connections, which lets everybody use everything: see
    /// [`with_auth_handler`](Self::with_auth_handler).
    #[must_use]
    pub fn new(config: WebSocketConfig) -> Self {
        Self::of(Parts {
            config,
            handler: None,
            clock: Arc::new(SystemClock),
            metrics: Metrics::default(),
            path: "/ws".to_owned(),
            accepts: Accepts::default(),
        })
    }

    /// With somebody who decides who clients are and what they may use. All `with_` functions are called before there are
    /// connections: those that were added before are not known afterwards.
    #[must_use]
    pub fn with_auth_handler(self, handler: impl AuthHandler + 'static) -> Self {
        Self::of(Parts { handler: Some(Arc::new(handler)), ..self.shared.parts.clone() })
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock + 'static) -> Self {
        Self::of(Parts { clock: Arc::new(clock), ..self.shared.parts.clone() })
    }

    /// Counts in `metrics`, with the label `path`.
    #[must_use]
    pub fn with_metrics(self, metrics: &Metrics, path: &str) -> Self {
        let path = path.to_owned();
        Self::of(Parts { metrics: metrics.clone(), path, ..self.shared.parts.clone() })
    }

    /// Takes messages of these types for the program: [`receive`](Self::receive) returns them. Clients send three types
    /// that are none of the protocol's own business: [`Request`](WsMessageType::Request),
    /// [`Event`](WsMessageType::Event) and [`Ack`](WsMessageType::Ack). What is not taken is answered with an error.
    #[must_use]
    pub fn with_messages(self, types: &[WsMessageType]) -> Self {
        let kinds = types.iter().map(ToString::to_string).collect();
        Self::of(Parts { accepts: Accepts { kinds, any: false }, ..self.shared.parts.clone() })
    }

    /// Its limits.
    #[must_use]
    pub fn config(&self) -> &WebSocketConfig {
        self.shared.config()
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.parts.metrics
    }

    /// Takes a connection in. With an auth handler its client is who the token of the
    /// [`ConnectionInfo`] says; without a token, it has to authenticate by a message.
    ///
    /// Dropping the sender removes the connection.
    ///
    /// ```
    /// # futures_executor::block_on(async {
    /// # use eventflux_gateway::websocket::{ConnectionInfo, WebSocketConfig, WebSocketManager};
    /// # let manager = WebSocketManager::new(WebSocketConfig::default());
    /// # let info = ConnectionInfo::new("127.0.0.1:12345".parse().unwrap());
    /// # let conn_id = info.id;
    /// use eventflux_gateway::websocket::WsError;
    ///
    /// match manager.add_connection(conn_id, info).await {
    ///     Ok(sender) => {
    ///         // Connection successful
    ///     }
    ///     Err(WsError::ConnectionLimit) => {
    ///         // Too many connections
    ///     }
    ///     Err(WsError::DuplicateConnection) => {
    ///         // Connection already exists
    ///     }
    ///     Err(WsError::AuthenticationFailed(msg)) => {
    ///         // Authentication failed
    ///     }
    ///     Err(e) => {
    ///         // Other errors
    ///     }
    /// }
    /// # })
    /// ```
    ///
    /// # Errors
    /// [`WsError::ConnectionLimit`], [`WsError::DuplicateConnection`], [`WsError::AuthenticationFailed`],
    /// [`WsError::ShuttingDown`].
    pub async fn add_connection(&self, id: Uuid, info: ConnectionInfo) -> Result<ConnectionSender, WsError> {
        if self.is_connected(id) {
            return Err(WsError::DuplicateConnection);
        }
        let shared = &self.shared;
        // Before the auth handler is asked: a full house costs nothing.
        shared.hub.has_room(info.address())?;
        let identity = self.arriving(&info).await?;
        let user = identity.as_ref().and_then(|open| open.identity.user.clone());
        let framing = shared.framing.clone();
        let arrival = Arrival { address: info.address(), identity, framing, singly: true, subscriptions: Vec::new() };
        let now = shared.now();
        let session = shared.hub.connect(arrival, now)?;
        let connection = Connection::new(id, info.addr, session, now);
        shared.add(&connection)?;
        let user = user.as_deref().unwrap_or("nobody in particular").escape_debug();
        log::info!("connection {id} of {} opened by {user}", info.addr);
        Ok(ConnectionSender::new(shared.clone(), connection))
    }

    /// Removes a connection, if it is there: its sender writes what is left, and then closes it.
    ///
    /// ```
    /// # futures_executor::block_on(async {
    /// # use eventflux_gateway::websocket::{ConnectionInfo, WebSocketConfig, WebSocketManager};
    /// # let manager = WebSocketManager::new(WebSocketConfig::default());
    /// # let info = ConnectionInfo::new("127.0.0.1:12345".parse().unwrap());
    /// # let conn_id = info.id;
    /// # let sender = manager.add_connection(conn_id, info).await.unwrap();
    /// manager.remove_connection(conn_id).await;
    /// # })
    /// ```
    pub async fn remove_connection(&self, id: Uuid) {
        self.close_connection(id, CloseReason::NORMAL).await;
    }

    /// Removes a connection, and says why.
    pub async fn close_connection(&self, id: Uuid, reason: CloseReason) {
        if let Ok(connection) = self.shared.find(id) {
            self.shared.close(&connection, reason);
        }
    }

    /// Whether there is a connection of that id.
    #[must_use]
    pub fn is_connected(&self, id: Uuid) -> bool {
        self.shared.find(id).is_ok()
    }

    /// Who the client of a connection is; `None` when it did not have to say, or did not yet.
    #[must_use]
    pub fn user(&self, id: Uuid) -> Option<String> {
        let user = self.shared.find(id).ok()?.session(|session| session.user().cloned());
        user.ok().flatten().map(|user| user.to_string())
    }

    /// Subscribes a client to channels: to all of them or, when that fails, to none. The client is not told. Channels it
    /// is subscribed to already stay as they are.
    ///
    /// ```
    /// # futures_executor::block_on(async {
    /// # use eventflux_gateway::websocket::{ConnectionInfo, WebSocketConfig, WebSocketManager, WsError};
    /// # let manager = WebSocketManager::new(WebSocketConfig::default());
    /// # let info = ConnectionInfo::new("127.0.0.1:12345".parse().unwrap());
    /// # let conn_id = info.id;
    /// # let sender = manager.add_connection(conn_id, info).await.unwrap();
    /// # let channels = vec!["agent-updates".to_string()];
    /// match manager.subscribe(conn_id, channels).await {
    ///     Ok(_) => {
    ///         // Subscription successful
    ///     }
    ///     Err(WsError::ConnectionNotFound) => {
    ///         // Connection doesn't exist
    ///     }
    ///     Err(WsError::SubscriptionLimitExceeded) => {
    ///         // Too many subscriptions
    ///     }
    ///     Err(WsError::PermissionDenied { channel, .. }) => {
    ///         // No permission for channel
    ///     }
    ///     Err(e) => {
    ///         // Other errors
    ///     }
    /// }
    /// # })
    /// ```
    ///
    /// # Errors
    /// Those of the example, [`WsError::AuthenticationRequired`], [`WsError::InvalidChannel`],
    /// [`WsError::ChannelFull`], [`WsError::ConnectionClosed`], and [`WsError::BufferFull`] when as many messages of the
    /// client wait to be carried out as may.
    pub async fn subscribe(&self, id: Uuid, channels: Vec<String>) -> Result<(), WsError> {
        let connection = self.shared.find(id)?;
        let _turn = connection.turn(self.config().buffer_size).await?;
        let open = connection.session(|session| session.identity().map(|identity| identity.user.clone()))?;
        let user = open.ok_or(WsError::AuthenticationRequired)?;
        for channel in &channels {
            let pattern = Pattern::parse(channel)?;
            let permits = self.shared.permits(user.as_deref(), &pattern);
            if connection.decide(permits, self.shared.now()).await != Some(true) {
                // Which of them: the connection may be gone.
                connection.session(|_| ())?;
                let user = user.as_deref().map(str::to_owned);
                return Err(WsError::PermissionDenied { channel: channel.clone(), user });
            }
        }
        let now = self.shared.now();
        Ok(connection.session(|session| join(session, channels, now))??)
    }

    /// Ends subscriptions of a client; those it does not have are passed over. The client is not told.
    ///
    /// # Errors
    /// [`WsError::ConnectionNotFound`], [`WsError::ConnectionClosed`].
    pub async fn unsubscribe(&self, id: Uuid, channels: Vec<String>) -> Result<(), WsError> {
        let now = self.shared.now();
        self.shared.find(id)?.session(|session| session.part(&channels, now))
    }

    /// Publishes an event to a channel; returns to how many subscribers.
    ///
    /// ```
    /// # use std::collections::HashMap;
    /// # use eventflux_gateway::websocket::{WebSocketConfig, WebSocketManager, WsError, WsMessage, WsMessageType};
    /// # fn main() -> Result<(), WsError> {
    /// # futures_executor::block_on(async {
    /// # let manager = WebSocketManager::new(WebSocketConfig::default());
    /// // Server-side broadcasting
    /// let message = WsMessage {
    ///     msg_type: WsMessageType::Event,
    ///     data: serde_json::json!({
    ///         "type": "agent-status-changed",
    ///         "agent_id": "agent-123",
    ///         "status": "running"
    ///     }),
    ///     correlation_id: None,
    ///     metadata: HashMap::new(),
    /// };
    ///
    /// let delivered = manager.broadcast("agent-updates", message).await?;
    /// println!("Message delivered to {} subscribers", delivered);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`WsError::InvalidMessage`] when it is no event, [`WsError::InvalidChannel`].
    pub async fn broadcast(&self, channel: &str, message: WsMessage) -> Result<usize, WsError> {
        if message.msg_type != WsMessageType::Event {
            let reason = format!("what is broadcast is an event, and no '{}'", message.msg_type);
            return Err(WsError::InvalidMessage(reason));
        }
        let payload = json(&message.data)?;
        let metadata = message.metadata_members()?;
        let event = Publication {
            to: Address::Channel(channel),
            payload: &payload,
            binary: false,
            key: None,
            correlation: message.correlation_id.as_deref(),
        };
        let at = (self.shared.now(), unix_ms());
        let published = self.shared.hub.publish_with(&self.shared.retention, &event, metadata.as_deref(), at)?;
        Ok(published.delivered)
    }

    /// What happened since the manager was made.
    ///
    /// ```
    /// # futures_executor::block_on(async {
    /// # use eventflux_gateway::websocket::{WebSocketConfig, WebSocketManager};
    /// # let manager = WebSocketManager::new(WebSocketConfig::default());
    /// let stats = manager.get_stats().await;
    /// println!("Active connections: {}", stats.active_connections);
    /// println!("Total connections: {}", stats.total_connections);
    /// println!("Peak connections: {}", stats.peak_connections);
    /// println!("Messages sent: {}", stats.messages_sent);
    /// println!("Messages received: {}", stats.messages_received);
    /// # })
    /// ```
    pub async fn get_stats(&self) -> Stats {
        self.shared.hub.stats()
    }

    /// Finds out who the client of a connection is, as if it had sent the token; the client is told. Returns the user's
    /// id. A client that is somebody already stays who it is: a token of somebody else is not accepted.
    ///
    /// # Errors
    /// [`WsError::AuthenticationFailed`], also when there is no auth handler; [`WsError::ConnectionNotFound`],
    /// [`WsError::ConnectionClosed`], [`WsError::BufferFull`].
    pub async fn authenticate(&self, id: Uuid, token: &str) -> Result<String, WsError> {
        let connection = self.shared.find(id)?;
        let _turn = connection.turn(self.config().buffer_size).await?;
        let verified = self.shared.authenticate(&connection, &Secret::new(token)).await;
        let verified = verified.map_err(|refusal| WsError::AuthenticationFailed(refusal.reason))?;
        let user = connection.session(|session| session.user().cloned())?;
        match verified.identity.user {
            Some(verified) if user.as_ref() == Some(&verified) => Ok(verified.to_string()),
            Some(_) => Err(WsError::AuthenticationFailed("the token is another user's".to_owned())),
            None => Err(WsError::AuthenticationFailed("there is no auth handler".to_owned())),
        }
    }

    /// Takes a text message of a client, and waits until it is carried out. What the client does wrong, it is told.
    /// Returns a message for the program, if it is one: see [`with_messages`](Self::with_messages).
    ///
    /// Messages of one client are handed over one after the other. A call that is dropped before it is ready leaves no
    /// question open: a decision of the auth handler that was under way counts as a no.
    ///
    /// # Errors
    /// [`WsError::MessageTooLarge`] and [`WsError::ConnectionClosed`] when that ended the connection;
    /// [`WsError::ConnectionNotFound`]; [`WsError::BufferFull`] when as many messages of the client wait as may.
    pub async fn receive(&self, id: Uuid, text: &str) -> Result<Option<Received>, WsError> {
        let connection = self.shared.find(id)?;
        let limit = self.config().max_message_size;
        if text.len() > limit {
            self.shared.close(&connection, CloseReason::TOO_LARGE);
            return Err(WsError::MessageTooLarge { bytes: text.len(), limit });
        }
        let _turn = connection.turn(self.config().buffer_size).await?;
        if let Err(reason) = connection.receive(text, self.shared.now()) {
            self.shared.close(&connection, reason.clone());
            return Err(WsError::ConnectionClosed(reason));
        }
        let mut received = None;
        while let Some(effect) = connection.next_effect() {
            let for_program = self.shared.carry_out(&connection, effect, text).await;
            received = received.or(for_program);
        }
        Ok(received)
    }

    /// Takes note of a pong of WebSocket itself. Only for programs that send such pings: clients answer the manager's
    /// `ping` messages by messages.
    pub fn pong(&self, id: Uuid) {
        if let Ok(connection) = self.shared.find(id) {
            connection.heard(self.shared.now());
        }
    }

    /// Answers a request of a client; returns whether the client is still there. One that took longer than 30 seconds is
    /// too late: the client was told then, and the answer is dropped.
    ///
    /// # Errors
    /// [`WsError::InvalidMessage`] when `data` cannot be written.
    pub async fn respond(&self, request: &RequestId, data: &Value) -> Result<bool, WsError> {
        let payload = json(data)?;
        let to = Address::Request(&request.0);
        let event = Publication { to, payload: &payload, binary: false, key: None, correlation: None };
        let at = (self.shared.now(), unix_ms());
        let answered = self.shared.hub.publish_with(&self.shared.retention, &event, None, at)?;
        Ok(answered.delivered > 0)
    }

    /// Sees to what is due at `now`: pings, timeouts, requests that nobody answered. To be called about once a second, at
    /// a time of the manager's [`Clock`].
    pub fn tick(&self, now: Instant) {
        for connection in self.shared.connections() {
            if let Some(reason) = connection.tick(now, self.config()) {
                self.shared.close(&connection, reason);
            }
        }
    }

    /// Ends all connections with code 1001, and takes no more in.
    pub async fn shutdown(&self) {
        self.shared.hub.stop();
    }

    fn of(parts: Parts) -> Self {
        Self { shared: Shared::new(parts) }
    }

    /// Who a client is that wants to connect; `None`: it has to say later.
    async fn arriving(&self, info: &ConnectionInfo) -> Result<Option<Authenticated>, WsError> {
        match (&self.shared.parts.handler, &info.token) {
            (None, _) => Ok(Some(identity(None))),
            (Some(_), None) => Ok(None),
            (Some(_), Some(token)) => {
                let verified = self.shared.verify(info.address(), token).await;
                let refused = |refusal: super::auth::Refusal| WsError::AuthenticationFailed(refusal.reason);
                verified.map(Some).inspect_err(|_| self.shared.hub.counters().refused()).map_err(refused)
            }
        }
    }
}

impl fmt::Debug for WebSocketManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.shared.hub.stats();
        f.debug_struct("WebSocketManager").field("config", self.config()).field("stats", &stats).finish_non_exhaustive()
    }
}

/// Subscribes to all or none.
fn join(session: &mut Session, mut channels: Vec<String>, now: Instant) -> Result<(), Problem> {
    channels.retain(|channel| !session.is_subscribed(channel));
    for (index, channel) in channels.iter().enumerate() {
        if let Err(problem) = session.join(channel, now) {
            session.part(&channels[..index], now);
            return Err(problem);
        }
    }
    Ok(())
}

fn json(data: &Value) -> Result<Vec<u8>, WsError> {
    serde_json::to_vec(data).map_err(|error| WsError::InvalidMessage(error.to_string()))
}
