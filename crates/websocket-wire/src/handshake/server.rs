//! The driver of a server's handshake.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tungstenite::handshake::derive_accept_key;

use super::Connected;
use super::head::{HeadBuffer, HeadError, MAX_HEAD_BYTES, read_head};
use super::refusal::Refusal;
use super::upgrade_request::UpgradeRequest;
use crate::deflate::{self, Deflate, DeflateConfig, Negotiated};
use crate::{Connection, Limits, Role};

/// How long a client should be given to send its request, and to take the answer.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// What a server agrees to.
#[derive(Debug, Clone, Copy)]
pub struct Accept<'a> {
    /// The limits of the connection.
    pub limits: Limits,
    /// The subprotocol to use, see [`RequestHead::choose_subprotocol`](super::RequestHead::choose_subprotocol); one the client did not offer is not used.
    pub subprotocol: Option<&'a str>,
    /// Uses permessage-deflate if the client offers it in a form that suits.
    pub deflate: Option<DeflateConfig>,
}

impl UpgradeRequest {
    /// [`UpgradeRequest::read_within`] of [`MAX_HEAD_BYTES`].
    ///
    /// # Errors
    /// As there.
    pub async fn read<S>(stream: &mut S) -> Result<Self, Refusal>
    where
        S: AsyncRead + Unpin,
    {
        Self::read_within(stream, MAX_HEAD_BYTES).await
    }

    /// Reads and checks a request whose head has at most `max_head_bytes`, its empty line included. Has no deadline of its
    /// own: the caller sets one, see [`HEAD_DEADLINE`].
    ///
    /// # Errors
    /// What to [`refuse`](super::refuse) it with: 431 as soon as the head is too large, and what
    /// [`UpgradeRequest::parse`] says; [`Refusal::Gone`] when the stream ends first.
    pub async fn read_within<S>(stream: &mut S, max_head_bytes: usize) -> Result<Self, Refusal>
    where
        S: AsyncRead + Unpin,
    {
        let mut received = HeadBuffer::new(max_head_bytes);
        let head = read_head(stream, &mut received).await?;
        let mut request = Self::parse(&head)?;
        request.received = received.into_rest();
        Ok(request)
    }

    /// What will be agreed upon of permessage-deflate when this request is accepted with `config`: for servers that have
    /// to be ready before the client knows that it is connected.
    #[must_use]
    pub fn negotiated(&self, config: Option<DeflateConfig>) -> Option<Negotiated> {
        let offers = self.header("sec-websocket-extensions");
        config.and_then(|config| deflate::accept(&config, offers)).map(|(_, agreed)| agreed)
    }

    /// Answers with the upgrade. Bytes that came with the request are the connection's first. Has no deadline of its own.
    ///
    /// # Errors
    /// [`Refusal::Gone`] when the client does not take the answer.
    pub async fn accept<S>(self, mut stream: S, accept: Accept<'_>) -> Result<Connected<S>, Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (answer, agreed) = self.answer(accept);
        stream.write_all(answer.as_bytes()).await.map_err(|_| Refusal::Gone)?;
        stream.flush().await.map_err(|_| Refusal::Gone)?;
        let deflate = accept.deflate.zip(agreed.deflate).map(|(config, agreed)| Deflate::new(config, agreed));
        let connection = Connection::new(stream, self.received, Role::Server, accept.limits, deflate);
        let subprotocol = agreed.subprotocol.map(str::to_owned);
        Ok(Connected { connection, subprotocol, deflate: agreed.deflate })
    }

    /// The answer with the upgrade, and what it agrees to.
    fn answer<'a>(&self, accept: Accept<'a>) -> (String, Agreed<'a>) {
        let key = derive_accept_key(self.key());
        let mut text =
            String::from("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        let mut header = |name: &str, value: &str| text.extend([name, ": ", value, "\r\n"]);
        header("Sec-WebSocket-Accept", &key);
        // Offered names are tokens, so that nothing else can come into the answer.
        let subprotocol = accept.subprotocol.filter(|name| self.subprotocols().any(|offer| offer == *name));
        if let Some(name) = subprotocol {
            header("Sec-WebSocket-Protocol", name);
        }
        let offers = self.header("sec-websocket-extensions");
        let extension = accept.deflate.and_then(|config| deflate::accept(&config, offers));
        if let Some((answer, _)) = &extension {
            header("Sec-WebSocket-Extensions", answer);
        }
        text.push_str("\r\n");
        (text, Agreed { subprotocol, deflate: extension.map(|(_, agreed)| agreed) })
    }
}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Io(_) => Self::Gone,
            HeadError::TooLarge => Self::head_too_large(),
        }
    }
}

struct Agreed<'a> {
    subprotocol: Option<&'a str>,
    deflate: Option<Negotiated>,
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::handshake::refuse;

    /// The example of RFC 6455 section 1.3.
    const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

    const ACCEPT: Accept<'_> =
        Accept { limits: Limits { max_message_bytes: 1024, max_fragments: 10 }, subprotocol: None, deflate: None };

    fn answer(accept: Accept<'_>) -> String {
        UpgradeRequest::parse(REQUEST.as_bytes()).unwrap().answer(accept).0
    }

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        let text = answer(Accept { subprotocol: Some("chat"), ..ACCEPT });
        assert_eq!(
            text,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
        );
    }

    #[test]
    fn a_subprotocol_the_client_did_not_offer_is_not_used() {
        for name in ["Chat", "other", "chat\r\nA: b", "chat, superchat"] {
            let accept = Accept { subprotocol: Some(name), ..ACCEPT };
            assert_eq!(answer(accept), answer(ACCEPT), "{name}");
        }
    }

    #[tokio::test]
    async fn a_request_comes_in_any_pieces_and_is_answered_once() {
        let (mut stream, mut peer) = duplex(4096);
        let client = async {
            for byte in REQUEST.as_bytes() {
                peer.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            peer
        };
        let (request, mut peer) = tokio::join!(UpgradeRequest::read(&mut stream), client);
        let connected = request.unwrap().accept(stream, ACCEPT).await.unwrap();
        let expected = answer(ACCEPT);
        let mut got = vec![0; expected.len()];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!((got, connected.subprotocol), (expected.into_bytes(), None));
    }

    #[tokio::test]
    async fn a_head_without_end_is_answered_with_431_while_the_client_still_sends() {
        let (mut stream, mut peer) = duplex(4096);
        let client = async {
            let endless = [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'x'; 4 * MAX_HEAD_BYTES]].concat();
            let (mut read, mut write) = tokio::io::split(&mut peer);
            let mut answer = Vec::new();
            let read = read.read_to_end(&mut answer);
            let (read, _) =
                tokio::join!(read, async { write.write_all(&endless).await.is_ok() && write.shutdown().await.is_ok() });
            read.unwrap();
            String::from_utf8(answer).unwrap()
        };
        let server = async {
            let refusal = UpgradeRequest::read(&mut stream).await.unwrap_err();
            refuse(stream, &refusal).await;
        };
        let ((), answer) = tokio::join!(server, client);
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_goes_away_is_gone() {
        assert_eq!(UpgradeRequest::read(&mut &REQUEST.as_bytes()[..20]).await.unwrap_err(), Refusal::Gone);
        let (stream, peer) = duplex(16);
        drop(peer);
        let request = UpgradeRequest::parse(REQUEST.as_bytes()).unwrap();
        assert_eq!(request.accept(stream, ACCEPT).await.unwrap_err(), Refusal::Gone);
    }
}
