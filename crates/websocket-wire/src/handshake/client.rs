//! The driver of a client's handshake.

use std::fmt;

use eventflux_core::{Secret, redact_url};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tungstenite::handshake::client::{Response, generate_key};
use url::Url;

use super::Connected;
use super::body::read_text;
use super::head::{HeadBuffer, HeadError, MAX_HEAD_BYTES, read_head};
use super::refused::Refused;
use super::response;
use crate::deflate::{Deflate, DeflateConfig};
use crate::{Connection, Limits, Role};

/// Largest number of interim responses (RFC 9110 section 15.2) before the real one.
const MAX_INTERIM_RESPONSES: usize = 4;

/// What a client asks for.
#[derive(Clone, Copy)]
pub struct ClientRequest<'a> {
    /// The endpoint, a `ws` or `wss` URL. User information in it is not sent: make a header of it.
    pub url: &'a Url,
    /// Additional headers: names are tokens and not [reserved](super::is_reserved_header), values are field values.
    pub headers: &'a [(String, Secret)],
    /// Subprotocols in order of preference: tokens, each once.
    pub subprotocols: &'a [String],
    /// Offers permessage-deflate.
    pub deflate: Option<DeflateConfig>,
}

/// Why there is no connection. Nothing the request kept secret is in it, not even when the peer echoed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The stream failed or ended.
    #[error("{0}")]
    Io(String),
    /// The stream failed because the peer does not accept who we are: it refused our TLS certificate, or wants one.
    #[error("{0}")]
    Denied(String),
    /// A proper HTTP response, but not an upgrade.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// No proper response to a WebSocket handshake, or no proper request to begin with.
    #[error("{0}")]
    Invalid(String),
}

/// Asks for the upgrade over `stream` and checks the response.
///
/// Has no deadline of its own for the head of the response. The body of a refusal may take a second more.
///
/// # Errors
/// When the request cannot be sent as it is, the stream fails, or the server refuses or responds something else.
pub async fn connect<S>(
    mut stream: S,
    request: ClientRequest<'_>,
    limits: Limits,
) -> Result<Connected<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    let head = request.encode(&key)?;
    stream.write_all(&head).await.map_err(io)?;
    stream.flush().await.map_err(io)?;
    let mut received = HeadBuffer::new(MAX_HEAD_BYTES);
    let response = final_response(&mut stream, &mut received).await?;
    if response.status().as_u16() != response::SWITCHING_PROTOCOLS {
        let body = read_text(&mut stream, &response, received.into_rest()).await;
        return Err(HandshakeError::Refused(Box::new(Refused::new(&response, &body, &request))));
    }
    let agreed = request.check(&key, &response)?;
    let deflate = request.deflate.zip(agreed.deflate).map(|(config, agreed)| Deflate::new(config, agreed));
    let connection = Connection::new(stream, received.into_rest(), Role::Client, limits, deflate);
    Ok(Connected { connection, subprotocol: agreed.subprotocol, deflate: agreed.deflate })
}

impl fmt::Debug for ClientRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("url", &redact_url(self.url.as_str()))
            .field("headers", &self.headers)
            .field("subprotocols", &self.subprotocols)
            .field("deflate", &self.deflate)
            .finish()
    }
}

impl HandshakeError {
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }
}

/// The first response that is not an interim one.
async fn final_response<S>(stream: &mut S, received: &mut HeadBuffer) -> Result<Response, HandshakeError>
where
    S: AsyncRead + Unpin,
{
    for _ in 0..=MAX_INTERIM_RESPONSES {
        let head = read_head(stream, received).await.map_err(|error| match error {
            HeadError::Io(error) => io(error),
            HeadError::TooLarge => response::not_websocket("the response has too many or too large headers"),
        })?;
        let response = response::parse(&head)?;
        let status = response.status();
        if !status.is_informational() || status.as_u16() == response::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
    }
    Err(response::not_websocket("interim responses without end"))
}

fn io(error: std::io::Error) -> HandshakeError {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => HandshakeError::Denied(error.to_string()),
        _ => HandshakeError::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tungstenite::handshake::derive_accept_key;

    use super::*;

    /// Reads the request and returns it with the value that answers its key.
    async fn request_of(peer: &mut DuplexStream) -> (String, String) {
        let head = read_head(peer, &mut HeadBuffer::new(MAX_HEAD_BYTES)).await.unwrap();
        let text = String::from_utf8(head.to_vec()).unwrap();
        let key = text.split("Sec-WebSocket-Key: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let accept = derive_accept_key(key.as_bytes());
        (text, accept)
    }

    /// What becomes of a request answered with `answer`, in which `{accept}` stands for the right value.
    async fn answered(request: ClientRequest<'_>, answer: &str) -> Result<Connected<DuplexStream>, HandshakeError> {
        let (stream, mut peer) = duplex(64 * 1024);
        let serve = async {
            let (_, accept) = request_of(&mut peer).await;
            peer.write_all(answer.replace("{accept}", &accept).as_bytes()).await.unwrap();
            peer
        };
        let (connected, _peer) = tokio::join!(connect(stream, request, Limits::default()), serve);
        connected
    }

    fn url() -> Url {
        Url::parse("ws://h/p?token=hunter2").unwrap()
    }

    fn plain(url: &Url) -> ClientRequest<'_> {
        ClientRequest { url, headers: &[], subprotocols: &[], deflate: None }
    }

    const UPGRADE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: {accept}\r\n\r\n";

    #[tokio::test]
    async fn the_first_real_response_counts_after_a_few_interim_ones() {
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        let connected = answered(plain(&url()), &[hint, hint, UPGRADE].concat()).await.unwrap();
        assert_eq!(connected.subprotocol, None);
        let error = answered(plain(&url()), &hint.repeat(MAX_INTERIM_RESPONSES + 1)).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Invalid(_)), "{error}");
    }

    #[tokio::test]
    async fn a_refusal_brings_its_body_without_what_the_server_echoed() {
        let body = r#"{"error":"token hunter2 has expired"}"#;
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let error = answered(plain(&url()), &answer).await.unwrap_err();
        assert_eq!(error.to_string(), r#"refused with 401 Unauthorized: '{\"error\":\"token *** has expired\"}'"#);
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_server_that_ends_the_connection_or_never_ends_its_head_is_an_error() {
        let (stream, peer) = duplex(64 * 1024);
        drop(peer);
        assert!(matches!(connect(stream, plain(&url()), Limits::default()).await, Err(HandshakeError::Io(_))));
        let endless = ["HTTP/1.1 101 x\r\n", &"A: b\r\n".repeat(200)].concat();
        let error = answered(plain(&url()), &endless).await.unwrap_err();
        assert!(error.to_string().contains("too large headers"), "{error}");
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_sent_sends_nothing() {
        let (stream, mut peer) = duplex(64);
        let headers = [("A".to_owned(), Secret::new("b\r\nC: d"))];
        let url = url();
        let request = ClientRequest { headers: &headers, ..plain(&url) };
        assert!(matches!(connect(stream, request, Limits::default()).await, Err(HandshakeError::Invalid(_))));
        assert_eq!(peer.read(&mut [0; 64]).await.unwrap(), 0);
    }

    #[test]
    fn the_debug_form_of_a_request_shows_no_secret() {
        let headers = [("Authorization".to_owned(), Secret::new("Bearer hunter3"))];
        let url = Url::parse("ws://user:hunter1@h/p?token=hunter2").unwrap();
        let text = format!("{:?}", ClientRequest { headers: &headers, ..plain(&url) });
        assert!(text.contains("Authorization") && !text.contains("hunter"), "{text}");
    }
}
