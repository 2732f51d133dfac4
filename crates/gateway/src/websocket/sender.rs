//! The end of a connection that writes to its socket.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use uuid::Uuid;

use super::connection::Connection;
use super::shared::Shared;
use super::{CloseReason, WsError, WsMessage, WsMessageType};

/// Texts from which on compression gains something, in bytes.
pub const COMPRESSION_THRESHOLD_BYTES: usize = 1024;

/// What a connection is to be sent. Whoever owns the socket waits for [`recv`](Self::recv) and writes what it gives.
///
/// The connection lives as long as this does: dropping it removes the connection.
pub struct ConnectionSender {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
}

/// A text message for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing {
    /// The text, JSON.
    pub text: String,
    /// Whether it should be compressed, if the client agreed to that:
    /// [`enable_compression`](super::WebSocketConfig::enable_compression) is set, and it is at least
    /// [`COMPRESSION_THRESHOLD_BYTES`] long.
    pub compress: bool,
}

impl ConnectionSender {
    pub(super) fn new(shared: Arc<Shared>, connection: Arc<Connection>) -> Self {
        Self { shared, connection }
    }

    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.connection.id
    }

    /// Leaves a message for this client alone, besides what it subscribed to: an event, an error, a ping or a pong. The
    /// other types belong to the protocol, which answers by itself; requests are answered by
    /// [`respond`](super::WebSocketManager::respond).
    ///
    /// # Errors
    /// [`WsError::InvalidMessage`] for the other types, [`WsError::BufferFull`] when the client reads too slowly,
    /// [`WsError::ConnectionClosed`] when it is too late.
    pub fn send(&self, message: WsMessage) -> Result<(), WsError> {
        use WsMessageType::{Error, Event, Ping, Pong};
        if !matches!(message.msg_type, Event | Error | Ping | Pong) {
            let reason = format!("the program sends event, error, ping and pong, and not '{}'", message.msg_type);
            return Err(WsError::InvalidMessage(reason));
        }
        self.connection.send(message.to_json()?, self.shared.config().buffer_size)
    }

    /// Waits for the next message to write. `None`: the connection is to be closed, with
    /// [`close_reason`](Self::close_reason).
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    pub async fn recv(&mut self) -> Option<Outgoing> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Like [`recv`](Self::recv), for whoever polls by hand.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        let next = self.connection.poll_text(context, self.shared.now());
        if matches!(next, Poll::Ready(None)) {
            // The session may have ended by itself.
            self.shared.forget(&self.connection);
        }
        let enabled = self.shared.config().enable_compression;
        next.map(|text| {
            text.map(|text| Outgoing { compress: enabled && text.len() >= COMPRESSION_THRESHOLD_BYTES, text })
        })
    }

    /// Why the connection is closed; `None` as long as it is not.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.connection.close_reason()
    }
}

impl Drop for ConnectionSender {
    fn drop(&mut self) {
        self.shared.close(&self.connection, CloseReason::NORMAL);
    }
}

impl fmt::Debug for ConnectionSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.close_reason();
        f.debug_struct("ConnectionSender").field("id", &self.id()).field("close_reason", &reason).finish()
    }
}
