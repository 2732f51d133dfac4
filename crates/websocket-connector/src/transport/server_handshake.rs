//! The opening handshake of a server (RFC 6455 section 4.2), with a proper HTTP answer to what is none.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response, create_response, write_response};
use tokio_tungstenite::tungstenite::http::StatusCode;

use super::http::{HeadError, has_token, read_head};
use super::{ByteStream, Connection, Limits};

/// How long a client may take to send its request.
pub(crate) const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a refused client may take to go away.
const LINGER: Duration = Duration::from_secs(1);

/// A request that may be upgraded; nothing was answered yet.
#[derive(Debug)]
pub(crate) struct ServerRequest {
    /// The path without query.
    pub(crate) path: String,
    response: Response,
    received: BytesMut,
}

/// Why a request is not upgraded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The client went away.
    Gone,
    /// To be answered with this status.
    Status(u16, &'static str),
}

impl ServerRequest {
    /// Reads and checks the request. Has no deadline of its own: the caller sets [`HEAD_DEADLINE`].
    ///
    /// # Errors
    /// What to answer instead of an upgrade.
    pub(crate) async fn read(stream: &mut ByteStream) -> Result<Self, Refusal> {
        let (head, received) = read_head(stream).await.map_err(|error| match error {
            HeadError::Io(_) => Refusal::Gone,
            HeadError::TooLarge => Refusal::Status(431, "the request has too many or too large headers"),
        })?;
        let request = parse(&head)?;
        let response = create_response(&request).map_err(|error| refusal(&error))?;
        Ok(Self { path: request.uri().path().to_owned(), response, received })
    }

    /// Answers with the upgrade. Frames that came with the request are the connection's first.
    ///
    /// # Errors
    /// [`Refusal::Gone`] when the client does not take the answer.
    pub(crate) async fn accept(self, mut stream: ByteStream, limits: Limits) -> Result<Connection, Refusal> {
        let mut answer = Vec::with_capacity(256);
        write_response(&mut answer, &self.response).map_err(|error| refusal(&error))?;
        stream.write_all(&answer).await.map_err(|_| Refusal::Gone)?;
        Ok(Connection::server(stream, self.received, limits).await)
    }
}

/// Answers `status` with a line of text and ends the connection.
pub(crate) async fn refuse(mut stream: ByteStream, status: u16, reason: &str) {
    let name = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Refused");
    let more = match status {
        426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close\r\n",
        503 => "Retry-After: 5\r\nConnection: close\r\n",
        _ => "Connection: close\r\n",
    };
    let answer = format!(
        "HTTP/1.1 {status} {name}\r\n{more}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{reason}\n",
        reason.len() + 1
    );
    let polite = async {
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        // Unread bytes would turn our close into a reset that can overtake the answer.
        let mut ignored = [0; 4096];
        while matches!(stream.read(&mut ignored).await, Ok(count) if count > 0) {}
    };
    let _ = timeout(LINGER, polite).await;
}

fn parse(head: &BytesMut) -> Result<Request, Refusal> {
    let request = match Request::try_parse(head) {
        Ok(Some((_, request))) => request,
        Ok(None) => return Err(Refusal::Status(400, "the request is not complete")),
        Err(error) => return Err(refusal(&error)),
    };
    let headers = request.headers();
    if headers.get_all("host").iter().count() != 1 {
        return Err(Refusal::Status(400, "the request must have one Host header"));
    }
    let upgrades = headers.get_all("upgrade").iter().map(|value| value.as_bytes());
    if !has_token(upgrades, "websocket") {
        return Err(Refusal::Status(426, "this is a WebSocket endpoint"));
    }
    Ok(request)
}

fn refusal(error: &Error) -> Refusal {
    match error {
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            Refusal::Status(426, "Sec-WebSocket-Version must be 13")
        }
        Error::Protocol(ProtocolError::WrongHttpMethod) => Refusal::Status(400, "the method must be GET"),
        Error::Protocol(ProtocolError::WrongHttpVersion) => Refusal::Status(400, "the version must be HTTP/1.1"),
        Error::Protocol(ProtocolError::MissingSecWebSocketKey | ProtocolError::InvalidSecWebSocketKey) => {
            Refusal::Status(400, "Sec-WebSocket-Key is missing or wrong")
        }
        _ => Refusal::Status(400, "not a WebSocket handshake"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn answer(first: &str, headers: &str) -> Option<u16> {
        let head = BytesMut::from(format!("{first}\r\n{headers}\r\n").as_bytes());
        let checked = parse(&head).and_then(|request| create_response(&request).map_err(|error| refusal(&error)));
        match checked {
            Ok(_) => None,
            Err(Refusal::Status(status, _)) => Some(status),
            Err(Refusal::Gone) => Some(0),
        }
    }

    proptest::proptest! {
        #[test]
        fn no_request_panics(head: Vec<u8>, tail in "[ -~\r\n]{0,200}") {
            let _ = parse(&BytesMut::from(&head[..]));
            let _ = answer("GET / HTTP/1.1", &tail);
        }
    }

    #[test]
    fn each_bad_request_gets_its_status() {
        assert_eq!(answer("GET /p?q HTTP/1.1", GOOD), None);
        let get = "GET / HTTP/1.1";
        for (first, headers, status) in [
            ("POST / HTTP/1.1", GOOD.to_owned(), 400),
            ("GET / HTTP/1.0", GOOD.to_owned(), 400),
            (get, GOOD.replace("Host: h\r\n", ""), 400),
            (get, format!("Host: x\r\n{GOOD}"), 400),
            (get, GOOD.replace("13", "8"), 426),
            (get, GOOD.replace("Upgrade: websocket\r\n", ""), 426),
            (get, GOOD.replace("dGhl", ""), 400),
            (get, "Host: h\r\n".to_owned(), 426),
            ("nonsense", GOOD.to_owned(), 400),
        ] {
            assert_eq!(answer(first, &headers), Some(status), "{first} {headers}");
        }
    }
}
