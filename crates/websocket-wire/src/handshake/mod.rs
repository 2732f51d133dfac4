//! The opening handshake (RFC 6455 section 4) of both roles: from a byte stream to a [`Connection`].
//!
//! | role | use |
//! |---|---|
//! | client | [`connect`] with a [`ClientRequest`]; a refusal is a typed [`HandshakeError`] |
//! | server | [`UpgradeRequest::read`], then [`UpgradeRequest::accept`] or [`refuse`]; [`Requested`] where plain HTTP is served too |
//!
//! The same without I/O: [`ClientRequest::encode`] and [`ClientRequest::verify`], [`UpgradeRequest::parse`] and
//! [`Refusal::encode`]. The library below does both roles too, but it logs a whole request, credentials included, treats
//! a server without subprotocols as an error, does not check for extensions nobody asked for, and answers a bad request
//! with silence; so only its parser and its key are used.
//!
//! What it does not do: it has no deadline for the peer's head (the caller sets one: [`HEAD_DEADLINE`]), never follows a
//! redirect, so that credentials never follow one, and decides nothing by path, origin or token.

mod body;
mod checks;
mod client;
mod head;
mod plain_request;
mod refusal;
mod refused;
mod request;
mod request_head;
mod response;
mod secrets;
mod server;
mod upgrade_request;

use std::fmt;

pub use client::{ClientRequest, HandshakeError, connect};
pub use head::{MAX_HEAD_BYTES, MAX_HEADERS, has_token, is_field_value, is_token};
pub use plain_request::{PlainRequest, Requested};
pub use refusal::{Refusal, end, refuse};
pub use refused::Refused;
pub use request::is_reserved_header;
pub use request_head::RequestHead;
pub use response::Upgraded;
pub use server::{Accept, HEAD_DEADLINE};
pub use upgrade_request::UpgradeRequest;

use crate::Connection;
use crate::deflate::Negotiated;

/// What both ends agreed on, and the connection itself.
pub struct Connected<S> {
    /// The connection; bytes that came with the peer's head are its first.
    pub connection: Connection<S>,
    /// The subprotocol in use, one of those the client offered.
    pub subprotocol: Option<String>,
    /// The parameters of permessage-deflate, when it is in use.
    pub deflate: Option<Negotiated>,
}

impl<S> fmt::Debug for Connected<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("subprotocol", &self.subprotocol).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, duplex};
    use tungstenite::handshake::derive_accept_key;
    use url::Url;

    use super::*;
    use crate::deflate::{DeflateConfig, DirectionConfig};
    use crate::{Batch, Limits, Message, Progress};

    const DEFLATE: DeflateConfig = DeflateConfig {
        threshold_bytes: 0,
        level: 1,
        send: DirectionConfig { window_bits: 12, context_takeover: true },
        receive: DirectionConfig { window_bits: 15, context_takeover: false },
    };

    /// The first message that comes.
    async fn receive<S: AsyncRead + AsyncWrite + Unpin>(connection: &mut Connection<S>) -> Vec<u8> {
        let mut batch = Batch::default();
        while batch.messages.is_empty() {
            connection.drive(Some(&mut batch)).await.unwrap();
        }
        batch.messages[0].to_vec()
    }

    async fn send<S: AsyncRead + AsyncWrite + Unpin>(connection: &mut Connection<S>, text: &'static str) {
        connection.queue(Message::text(text));
        while connection.drive(None).await.unwrap() != Progress::Flushed {}
    }

    #[tokio::test]
    async fn both_ends_agree_on_a_subprotocol_and_compression_and_understand_each_other() {
        for (at_client, at_server) in
            [(None, None), (Some(DEFLATE), None), (None, Some(DEFLATE)), (Some(DEFLATE), Some(DEFLATE))]
        {
            let (stream, peer) = duplex(64 * 1024);
            // Streams that hold back what is not flushed, as those of TLS may.
            let (stream, mut peer) = (BufStream::new(stream), BufStream::new(peer));
            let (url, subprotocols) = (Url::parse("ws://h/p").unwrap(), ["v2".to_owned(), "v1".to_owned()]);
            let request = ClientRequest { url: &url, headers: &[], subprotocols: &subprotocols, deflate: at_client };
            let serve = async {
                let request = UpgradeRequest::read(&mut peer).await.unwrap();
                assert_eq!((request.path(), request.host()), ("/p", "h"));
                let accept = Accept { limits: Limits::default(), subprotocol: Some("v1"), deflate: at_server };
                request.accept(peer, accept).await.unwrap()
            };
            let (client, mut server) = tokio::join!(connect(stream, request, Limits::default()), serve);
            let mut client = client.unwrap();
            assert_eq!((client.subprotocol.as_deref(), server.subprotocol.as_deref()), (Some("v1"), Some("v1")));
            let agreed = |deflate: Option<Negotiated>| deflate.map(|agreed| (agreed.send, agreed.receive));
            let expected =
                at_client.and(at_server).map(|_| DirectionConfig { window_bits: 12, context_takeover: false });
            assert_eq!(agreed(client.deflate), expected.map(|both| (both, both)));
            assert_eq!(agreed(server.deflate), agreed(client.deflate));
            send(&mut client.connection, "from the client").await;
            assert_eq!(receive(&mut server.connection).await, b"from the client");
            send(&mut server.connection, "from the server").await;
            assert_eq!(receive(&mut client.connection).await, b"from the server");
        }
    }

    #[tokio::test]
    async fn a_message_in_the_same_packet_as_the_upgrade_is_received() {
        let (stream, mut peer) = duplex(64 * 1024);
        let url = Url::parse("ws://h/").unwrap();
        let request = ClientRequest { url: &url, headers: &[], subprotocols: &[], deflate: None };
        let serve = async {
            let request = UpgradeRequest::read(&mut peer).await.unwrap();
            let accept = derive_accept_key(request.key());
            let head = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept:";
            let head = format!("{head} {accept}\r\n\r\n");
            peer.write_all(&[head.as_bytes(), b"\x81\x02hi"].concat()).await.unwrap();
            peer
        };
        let (connected, _peer) = tokio::join!(connect(stream, request, Limits::default()), serve);
        assert_eq!(receive(&mut connected.unwrap().connection).await, b"hi");
    }

    #[tokio::test]
    async fn a_message_in_the_same_packet_as_the_request_is_received() {
        let (mut stream, mut peer) = duplex(64 * 1024);
        let url = Url::parse("ws://h/").unwrap();
        let request = ClientRequest { url: &url, headers: &[], subprotocols: &[], deflate: None };
        let head = request.encode("dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        peer.write_all(&[&head[..], b"\x81\x82\0\0\0\0hi"].concat()).await.unwrap();
        let request = UpgradeRequest::read(&mut stream).await.unwrap();
        let accept = Accept { limits: Limits::default(), subprotocol: None, deflate: None };
        let mut connected = request.accept(stream, accept).await.unwrap();
        assert_eq!(receive(&mut connected.connection).await, b"hi");
        let mut answer = [0; 12];
        peer.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
    }
}
