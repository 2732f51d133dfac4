//! The gateway as a part of a program of your own: channels for WebSocket clients, behind any WebSocket library.
//!
//! A [`WebSocketManager`] speaks the channels protocol with clients whose connections your program accepts, under limits
//! ([`WebSocketConfig`]), and asks your program who clients are and what they may use ([`AuthHandler`]). It opens no
//! socket, makes no frames, starts no tasks and has no timer, so it works with every WebSocket library and on every
//! executor:
//!
//! | Your program | calls |
//! |---|---|
//! | accepts a connection | [`add_connection`](WebSocketManager::add_connection) |
//! | writes to its socket what there is | [`ConnectionSender::recv`] |
//! | read a text message from its socket | [`receive`](WebSocketManager::receive) |
//! | looks at the clock, about once a second | [`tick`](WebSocketManager::tick) |
//! | has news for a channel | [`broadcast`](WebSocketManager::broadcast) |
//!
//! `examples/axum_server.rs` of this crate does all of that in a page, and `docs/embedding.md` explains it.
//!
//! In a test, no socket is needed:
//!
//! ```
//! # use eventflux_gateway::websocket::{ConnectionInfo, WebSocketConfig, WebSocketManager, WsMessage};
//! # futures_executor::block_on(test_full_websocket_flow());
//! async fn test_full_websocket_flow() {
//!     let manager = WebSocketManager::new(WebSocketConfig::default());
//!
//!     // Add connection
//!     let info = ConnectionInfo::new("127.0.0.1:8080".parse().unwrap());
//!     let conn_id = info.id;
//!     let _sender = manager.add_connection(conn_id, info).await.unwrap();
//!
//!     // Subscribe
//!     let channels = vec!["test-channel".to_string()];
//!     manager.subscribe(conn_id, channels).await.unwrap();
//!
//!     // Broadcast
//!     let message = WsMessage::event(serde_json::json!({"test": "data"}));
//!     let delivered = manager.broadcast("test-channel", message).await.unwrap();
//!     assert_eq!(delivered, 1);
//!
//!     // Cleanup
//!     manager.remove_connection(conn_id).await;
//! }
//! ```

mod auth;
mod clock;
mod config;
mod connection;
mod decision;
mod effects;
mod error;
mod heartbeat;
mod info;
mod manager;
mod message;
mod sender;
mod shared;
#[cfg(test)]
mod tests;

pub use auth::AuthHandler;
pub use clock::{Clock, SystemClock};
pub use config::{AUTHENTICATION_TIMEOUT, MAX_BACKLOG_BYTES, WebSocketConfig};
pub use decision::DECISION_TIMEOUT;
pub use error::{CloseReason, WsError};
pub use info::ConnectionInfo;
pub use manager::WebSocketManager;
pub use message::{Received, RequestId, WsMessage, WsMessageType};
pub use sender::{COMPRESSION_THRESHOLD_BYTES, ConnectionSender, Outgoing};
pub use shared::{FAILURE_WINDOW, MAX_FAILURES};

pub use crate::Stats;
