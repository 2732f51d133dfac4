//! WebSocket peers that do exactly what a test wrote down, including everything a correct peer never does.
//!
//! A [`Script`] is a list of steps. [`ScriptedPeer`] is a server on 127.0.0.1 that runs one script per connection;
//! [`ScriptedClient`] is a client that plays scripts against a server under test. Both record what they saw, answer
//! pings and closes unless told not to, and check that the other end keeps to RFC 6455, and to RFC 7692 where
//! permessage-deflate is agreed upon ([`Script::choose_extensions`], [`ClientBuilder::extensions`]).
//!
//! ```
//! use eventflux_testkit::peer::{Script, ScriptedClient, ScriptedPeer};
//!
//! # tokio_test::block_on(async {
//! let peer = ScriptedPeer::builder()
//!     .script(Script::new().expect_header("X-Api-Key", "k1").accept().expect_text("hello").send_text("world"))
//!     .start();
//!
//! let client = ScriptedClient::builder(peer.url()).header("X-Api-Key", "k1").connect().await;
//! client.send_text("hello").await;
//! client.expect_text("world").await;
//! client.close(1000, "done").await;
//!
//! assert_eq!(peer.wait_for_close().await.code, Some(1000));
//! peer.finish().await;
//! # });
//! ```
//!
//! # What it does not do
//! It compresses nothing by itself: messages go out plain unless a step says otherwise. No other extension: reserved
//! bits are a violation. No fan-out, no speed: a peer records every message.
//! For load, use a [`Collector`](crate::collector::Collector).

mod client;
mod connection;
mod conversation;
pub mod deflate;
mod extensions;
pub mod frames;
mod handshake;
mod message;
mod record;
mod script;
mod server;
mod steps;
mod transport;

pub use client::{ClientBuilder, Refused, ScriptedClient};
pub use frames::{RawFrame, Side, Violation};
pub use handshake::{Handshake, HttpAnswer};
pub use message::Message;
pub use record::{Ended, Ending, Received, ReceivedClose, Record};
pub use script::Script;
pub use server::{PeerBuilder, ScriptedPeer};

/// Longest message and frame a peer reads, bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Longest request or response head a peer reads, bytes.
pub const MAX_HEAD_BYTES: usize = 64 << 10;

/// Most messages a peer records; one more is an error of the test.
pub const MAX_RECORDED_MESSAGES: usize = 200_000;

#[cfg(test)]
mod tests;
