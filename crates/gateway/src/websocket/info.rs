//! What is known of a connection before it is added.

use std::net::{IpAddr, SocketAddr};

use eventflux_core::Secret;
use uuid::Uuid;

/// A connection that wants to be added.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// A name for it, unlike any other.
    pub id: Uuid,
    /// Where the client is; beyond proxies, as far as they are trusted.
    pub addr: SocketAddr,
    pub(super) token: Option<Secret>,
}

impl ConnectionInfo {
    /// A connection of that address, with an id of its own.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # futures_executor::block_on(async {
    /// # use eventflux_gateway::websocket::{WebSocketConfig, WebSocketManager};
    /// # let manager = WebSocketManager::new(WebSocketConfig::default());
    /// use eventflux_gateway::websocket::ConnectionInfo;
    /// use std::net::SocketAddr;
    ///
    /// let addr: SocketAddr = "127.0.0.1:12345".parse()?;
    /// let info = ConnectionInfo::new(addr);
    /// let conn_id = info.id;
    ///
    /// let sender = manager.add_connection(conn_id, info).await?;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self { id: Uuid::new_v4(), addr, token: None }
    }

    /// With the token that the client brought: in the query of its address, in a header.
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        Self { token: Some(Secret::new(token)), ..self }
    }

    /// The same address for the same client, however it is written.
    pub(super) fn address(&self) -> IpAddr {
        self.addr.ip().to_canonical()
    }
}
