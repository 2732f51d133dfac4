//! WebSocket messages over a byte stream: everything that knows the protocol library.
//!
//! A [`Connection`] sends and receives messages as shared bytes; the handshakes of both roles make one. Nothing outside
//! this module names a type of the library. No reconnecting, no keep-alive, no queues: those are the callers'.

mod batch;
mod client_handshake;
mod connection;
mod http;
mod server_handshake;
mod stream;

pub(crate) use batch::Batch;
pub(crate) use client_handshake::{HandshakeError, UpgradeRequest, upgrade};
pub(crate) use connection::{Connection, Disconnect, Limits, MessageKind, Progress};
pub(crate) use http::{is_field_value, is_token};
pub(crate) use server_handshake::{HEAD_DEADLINE, Refusal, ServerRequest, refuse};
pub(crate) use stream::ByteStream;
