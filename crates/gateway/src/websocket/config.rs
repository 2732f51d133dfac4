//! Limits of a manager, and what they are for a hub.

use std::time::Duration;

use crate::{FullPolicy, HubConfig, QueueLimits, Retention};

/// How long a client that has to authenticate by a message may take to, where
/// [`connection_timeout`](WebSocketConfig::connection_timeout) is not shorter.
pub const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of a channel that wait for its slowest subscriber, however many messages may.
pub const MAX_BACKLOG_BYTES: usize = 16 * 1024 * 1024;

/// Limits of a [`WebSocketManager`](super::WebSocketManager).
///
/// ```
/// # use std::time::Duration;
/// # use eventflux_gateway::websocket::WebSocketConfig;
/// let config = WebSocketConfig {
///     max_connections: 5000,
///     connection_timeout: Duration::from_secs(300),  // 5 minutes
///     ping_interval: Duration::from_secs(30),
///     pong_timeout: Duration::from_secs(10),
///     max_message_size: 256 * 1024,  // 256KB
///     enable_compression: true,
///     buffer_size: 500,
///     max_subscriptions_per_connection: 100,
///     max_subscribers_per_channel: 50000,
///     max_connections_per_ip: 50,
///     broadcast_buffer_size: 5000,
/// };
/// ```
///
/// Some of them, and the defaults for the rest:
///
/// ```
/// # use eventflux_gateway::websocket::WebSocketConfig;
/// let config = WebSocketConfig {
///     max_connections_per_ip: 10,  // Limit to 10 connections per IP
///     ..Default::default()
/// };
/// ```
/// ```
/// # use eventflux_gateway::websocket::WebSocketConfig;
/// let config = WebSocketConfig {
///     max_message_size: 64 * 1024,  // 64KB max
///     ..Default::default()
/// };
/// ```
/// ```
/// # use eventflux_gateway::websocket::WebSocketConfig;
/// let config = WebSocketConfig {
///     max_subscriptions_per_connection: 50,
///     max_subscribers_per_channel: 10000,
///     ..Default::default()
/// };
/// ```
/// ```
/// # use std::time::Duration;
/// # use eventflux_gateway::websocket::WebSocketConfig;
/// let config = WebSocketConfig {
///     connection_timeout: Duration::from_secs(300),  // 5 minutes
///     pong_timeout: Duration::from_secs(10),
///     ..Default::default()
/// };
/// ```
/// ```
/// # use std::time::Duration;
/// # use eventflux_gateway::websocket::WebSocketConfig;
/// let config = WebSocketConfig {
///     ping_interval: Duration::from_secs(30),  // Ping every 30s
///     pong_timeout: Duration::from_secs(10),   // Wait 10s for pong
///     ..Default::default()
/// };
/// ```
///
/// Tuned afterwards:
///
/// ```
/// # use std::time::Duration;
/// # use eventflux_gateway::websocket::WebSocketConfig;
/// # let mut config = WebSocketConfig::default();
/// config.enable_compression = true;
/// config.buffer_size = 500;           // Per-connection buffer
/// config.broadcast_buffer_size = 5000; // Broadcast channel
/// config.ping_interval = Duration::from_secs(60);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketConfig {
    /// Most connections at a time. A further one is refused with [`ConnectionLimit`](super::WsError::ConnectionLimit).
    pub max_connections: usize,
    /// A client of whom nothing was heard for this long, pongs included, is closed with code 1008. Zero: never.
    pub connection_timeout: Duration,
    /// How often a client is sent a `ping` message. Zero: never.
    pub ping_interval: Duration,
    /// How long after a `ping` a client may take to be heard of; then it is closed with code 1008. Zero: as long as it
    /// likes.
    pub pong_timeout: Duration,
    /// Most bytes of a client's message. One who sends more is closed with code 1009. The WebSocket library below should
    /// have the same limit: it stops reading such a message before it is in memory.
    pub max_message_size: usize,
    /// Whether whoever writes the frames should compress: says so message by message in
    /// [`Outgoing::compress`](super::Outgoing::compress), for messages that are large enough to gain by it.
    pub enable_compression: bool,
    /// Messages of one connection that wait, of each kind: texts of [`send`](super::ConnectionSender::send) for the
    /// client to read, requests of the client for an answer, and calls of
    /// [`receive`](super::WebSocketManager::receive) for the one before. Whatever comes when as many wait is refused.
    pub buffer_size: usize,
    /// Most channels and patterns one connection may subscribe to.
    pub max_subscriptions_per_connection: usize,
    /// Most subscribers of one channel.
    pub max_subscribers_per_channel: usize,
    /// Most connections of one address.
    pub max_connections_per_ip: usize,
    /// Messages of a channel that are kept for subscribers that read slowly, at most [`MAX_BACKLOG_BYTES`] of them. A
    /// subscriber that is further behind misses the oldest, and is told how many.
    pub broadcast_buffer_size: usize,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            max_connections: 1000,
            connection_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(10),
            max_message_size: 64 * 1024,
            enable_compression: true,
            buffer_size: 100,
            max_subscriptions_per_connection: 50,
            max_subscribers_per_channel: 10_000,
            max_connections_per_ip: 10,
            broadcast_buffer_size: 1000,
        }
    }
}

impl WebSocketConfig {
    /// The same for a hub; `authenticates` says whether clients have to.
    pub(super) fn hub(&self, authenticates: bool) -> HubConfig {
        let timeout = limit(self.connection_timeout).unwrap_or(AUTHENTICATION_TIMEOUT).min(AUTHENTICATION_TIMEOUT);
        HubConfig {
            max_connections: self.max_connections,
            max_connections_per_address: Some(self.max_connections_per_ip),
            max_subscriptions: self.max_subscriptions_per_connection,
            max_subscribers: self.max_subscribers_per_channel,
            max_requests: self.buffer_size,
            authentication: authenticates.then_some(timeout),
            authorizes_subscriptions: authenticates,
            ..HubConfig::default()
        }
    }

    /// What is kept for slow subscribers.
    pub(super) fn retention(&self) -> Retention {
        let bytes = self.broadcast_buffer_size.saturating_mul(self.max_message_size).min(MAX_BACKLOG_BYTES);
        let events = Some(self.broadcast_buffer_size);
        let queue = QueueLimits { bytes, events, age: None, full: FullPolicy::DropOldest };
        Retention { queue, ..Retention::default() }
    }
}

/// A span that is a limit; zero is none.
pub(super) fn limit(span: Duration) -> Option<Duration> {
    (!span.is_zero()).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_configuration_has_its_printed_default() {
        // All fields by name, so that a new one does not compile here.
        let WebSocketConfig {
            max_connections,
            connection_timeout,
            ping_interval,
            pong_timeout,
            max_message_size,
            enable_compression,
            buffer_size,
            max_subscriptions_per_connection,
            max_subscribers_per_channel,
            max_connections_per_ip,
            broadcast_buffer_size,
        } = WebSocketConfig::default();
        let table = [
            ("max_connections", max_connections.to_string(), "1000"),
            ("connection_timeout", format!("{connection_timeout:?}"), "60s"),
            ("ping_interval", format!("{ping_interval:?}"), "30s"),
            ("pong_timeout", format!("{pong_timeout:?}"), "10s"),
            ("max_message_size", format!("{}KB", max_message_size / 1024), "64KB"),
            ("enable_compression", enable_compression.to_string(), "true"),
            ("buffer_size", buffer_size.to_string(), "100"),
            ("max_subscriptions_per_connection", max_subscriptions_per_connection.to_string(), "50"),
            ("max_subscribers_per_channel", max_subscribers_per_channel.to_string(), "10000"),
            ("max_connections_per_ip", max_connections_per_ip.to_string(), "10"),
            ("broadcast_buffer_size", broadcast_buffer_size.to_string(), "1000"),
        ];
        for (field, default, printed) in table {
            assert_eq!(default, printed, "{field}");
        }
        assert_eq!(max_message_size, 65_536);
    }

    #[test]
    fn what_is_kept_for_slow_subscribers_is_bounded_in_messages_and_in_bytes() {
        let small = WebSocketConfig { broadcast_buffer_size: 3, max_message_size: 1024, ..WebSocketConfig::default() };
        assert_eq!((small.retention().queue.events, small.retention().queue.bytes), (Some(3), 3 * 1024));
        let large = WebSocketConfig { broadcast_buffer_size: usize::MAX, ..WebSocketConfig::default() };
        assert_eq!(large.retention().queue.bytes, MAX_BACKLOG_BYTES);
    }

    #[test]
    fn a_client_has_ten_seconds_to_authenticate_and_never_longer_than_to_say_anything() {
        let deadline = |seconds| {
            let connection_timeout = Duration::from_secs(seconds);
            WebSocketConfig { connection_timeout, ..WebSocketConfig::default() }.hub(true).authentication
        };
        assert_eq!([deadline(60), deadline(3), deadline(0)], [10, 3, 10].map(|s| Some(Duration::from_secs(s))));
        assert_eq!(WebSocketConfig::default().hub(false).authentication, None);
    }
}
