//! WebSocket messages over a byte stream: everything between bytes and whole messages, for both roles.
//!
//! | need | use |
//! |---|---|
//! | to become a client or a server of a byte stream | [`handshake`] |
//! | to send and receive messages over it | [`Connection`], with [`Batch`] and [`Message`] |
//! | to notice a peer that is gone, or stuck | [`KeepAlive`] |
//! | the same without any I/O | [`Codec`] |
//! | permessage-deflate (RFC 7692) | [`deflate`] |
//!
//! What is received (RFC 6455 section 5: frames, masking, fragments, control frames, Close) is tungstenite's work; nothing
//! outside this crate names a type of it.
//! Protocol code is sans-IO: [`Codec`], [`deflate`], [`KeepAlive`] and the parsers of [`handshake`] take bytes and times
//! and give bytes and times. [`Connection`] and the `async` functions of [`handshake`] are a thin driver on tokio.
//!
//! What it does not do: no TCP, TLS or proxies (a stream comes in), no reconnecting, no queues of its own beyond what
//! is handed to the socket, no routing by path.

mod codec;
mod connection;
pub mod deflate;
mod disconnect;
mod drain;
pub mod handshake;
mod keep_alive;
mod limits;
mod message;

pub use codec::{Codec, Role, encode_compressed_frame, encode_frame};
pub use connection::{Connection, Progress};
pub use disconnect::Disconnect;
pub use keep_alive::{Due, KeepAlive, KeepAliveConfig};
pub use limits::Limits;
pub use message::{Batch, MAX_BATCH_BYTES, MAX_BATCH_FRAMES, Message, MessageKind};
