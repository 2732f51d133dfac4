//! Clients that come, say who they are, and go.

use eventflux_core::{Secret, escape_control};
use uuid::Uuid;

use super::super::auth::Refusal;
use super::super::connection::Connection;
use super::super::shared::identity;
use super::super::{CloseReason, ConnectionInfo, ConnectionSender, WsError};
use super::WebSocketManager;
use crate::{Arrival, Authenticated};

impl WebSocketManager {
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
        let user = user.as_deref().unwrap_or("nobody in particular");
        log::info!("connection {id} of {} opened by {}", info.addr, escape_control(user));
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

    /// Finds out who the client of a connection is, as if it had sent the token; the client is told. Returns the user's
    /// id. A client that is somebody already stays who it is: a token of somebody else is not accepted.
    ///
    /// # Errors
    /// [`WsError::AuthenticationFailed`], also when there is no auth handler; [`WsError::ConnectionNotFound`],
    /// [`WsError::ConnectionClosed`], [`WsError::BufferFull`].
    pub async fn authenticate(&self, id: Uuid, token: &str) -> Result<String, WsError> {
        let connection = self.shared.find(id)?;
        let _turn = connection.turns.turn(self.config().buffer_size).await?;
        let verified = self.shared.authenticate(&connection, &Secret::new(token)).await;
        let verified = verified.map_err(|refusal| WsError::AuthenticationFailed(refusal.reason))?;
        let user = connection.session(|session| session.user().cloned())?;
        match verified.identity.user {
            Some(verified) if user.as_ref() == Some(&verified) => Ok(verified.to_string()),
            Some(_) => Err(WsError::AuthenticationFailed("the token is another user's".to_owned())),
            None => Err(WsError::AuthenticationFailed("there is no auth handler".to_owned())),
        }
    }

    /// Takes note of a pong of WebSocket itself. Only for programs that send such pings: clients answer the manager's
    /// `ping` messages by messages.
    pub fn pong(&self, id: Uuid) {
        if let Ok(connection) = self.shared.find(id) {
            connection.heard(self.shared.now());
        }
    }

    /// Who a client is that wants to connect; `None`: it has to say later.
    async fn arriving(&self, info: &ConnectionInfo) -> Result<Option<Authenticated>, WsError> {
        match (&self.shared.parts.handler, &info.token) {
            (None, _) => Ok(Some(identity(None))),
            (Some(_), None) => Ok(None),
            (Some(_), Some(token)) => {
                let verified = self.shared.verify(info.address(), token).await;
                let refused = |refusal: Refusal| WsError::AuthenticationFailed(refusal.reason);
                verified.map(Some).inspect_err(|_| self.shared.hub.counters().refused()).map_err(refused)
            }
        }
    }
}
