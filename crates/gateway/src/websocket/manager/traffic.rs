//! Subscriptions, and messages both ways.

use std::time::Instant;

use serde_json::Value;
use uuid::Uuid;

use super::super::clock::unix_ms;
use super::super::{CloseReason, Received, RequestId, WsError, WsMessage, WsMessageType};
use super::WebSocketManager;
use crate::{Address, Pattern, Problem, Publication, Session};

impl WebSocketManager {
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
        let _turn = connection.turns.turn(self.config().buffer_size).await?;
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
        let _turn = connection.turns.turn(self.config().buffer_size).await?;
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

    /// Answers a request of a client; returns whether the client is still there. One that took longer than 30 seconds is
    /// too late: the client was told then, and the answer is dropped.
    ///
    /// ```
    /// # use eventflux_gateway::websocket::{ConnectionInfo, WebSocketConfig, WebSocketManager};
    /// # use eventflux_gateway::websocket::{WsError, WsMessageType};
    /// # fn main() -> Result<(), WsError> {
    /// # futures_executor::block_on(async {
    /// # let config = WebSocketConfig::default();
    /// let manager = WebSocketManager::new(config).with_messages(&[WsMessageType::Request]);
    ///
    /// # let info = ConnectionInfo::new("127.0.0.1:12345".parse().unwrap());
    /// # let conn_id = info.id;
    /// # let mut sender = manager.add_connection(conn_id, info).await?;
    /// # let text = r#"{"type":"request"}"#;
    /// if let Some(received) = manager.receive(conn_id, text).await?
    ///     && let Some(request) = &received.request
    /// {
    ///     manager.respond(request, &serde_json::json!({"total": 3})).await?;
    /// }
    /// # assert_eq!(sender.recv().await.unwrap().text, r#"{"type":"response","data":{"total":3}}"#);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
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
