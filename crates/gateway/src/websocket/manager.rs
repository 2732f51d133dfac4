//! Connections, their subscriptions, and what is broadcast to them.

mod connections;
mod traffic;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use eventflux_core::metrics::Metrics;

use super::auth::AuthHandler;
use super::clock::{Clock, SystemClock};
use super::shared::{Parts, Shared};
use super::{WebSocketConfig, WsMessageType};
use crate::{Accepts, Stats};

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
}

impl fmt::Debug for WebSocketManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.shared.hub.stats();
        f.debug_struct("WebSocketManager").field("config", self.config()).field("stats", &stats).finish_non_exhaustive()
    }
}
