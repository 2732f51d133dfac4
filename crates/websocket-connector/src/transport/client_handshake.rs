//! The opening handshake of a client (RFC 6455 section 4.1).
//!
//! The request is written here rather than by the library, which logs the whole of it, credentials included, at trace
//! level, treats a server without subprotocols as an error, and does not check for extensions nobody asked for.

use bytes::BytesMut;
use eventflux_core::{Secret, redact_url};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::handshake::client::{Response, generate_key};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::http::HeaderMap;
use url::Url;

use super::http::{HeadError, has_token, read_head};
use super::{ByteStream, Connection, Limits};

/// What the client asks for. Names and values must be a token and a field value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpgradeRequest<'a> {
    /// The endpoint.
    pub(crate) url: &'a Url,
    /// Additional headers.
    pub(crate) headers: &'a [(String, Secret)],
    /// Subprotocols in order of preference.
    pub(crate) subprotocols: &'a [String],
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The stream failed or ended.
    #[error("{0}")]
    Io(String),
    /// A proper HTTP answer, but not an upgrade.
    #[error("{}", refused(*status, location.as_deref()))]
    Refused {
        /// The status code.
        status: u16,
        /// Where a redirect points, redacted.
        location: Option<String>,
    },
    /// No proper answer to a WebSocket handshake.
    #[error("not a WebSocket answer: {0}")]
    Invalid(String),
}

/// Asks for the upgrade and checks the answer; returns the connection and the subprotocol the server chose.
///
/// # Errors
/// When the server refuses or answers something else.
pub(crate) async fn upgrade(
    mut stream: ByteStream,
    request: UpgradeRequest<'_>,
    limits: Limits,
) -> Result<(Connection, Option<String>), HandshakeError> {
    let key = generate_key();
    let io = |error: std::io::Error| HandshakeError::Io(error.to_string());
    stream.write_all(request.encode(&key).as_bytes()).await.map_err(io)?;
    stream.flush().await.map_err(io)?;
    let (head, rest) = read_head(&mut stream).await.map_err(|error| match error {
        HeadError::Io(reason) => HandshakeError::Io(reason),
        HeadError::TooLarge => invalid("the head of the response is too large"),
    })?;
    let subprotocol = verify(&head, &key, request.subprotocols)?;
    Ok((Connection::client(stream, rest, limits).await, subprotocol))
}

impl UpgradeRequest<'_> {
    fn encode(&self, key: &str) -> String {
        let mut text = format!("GET {}", self.url.path());
        if let Some(query) = self.url.query() {
            text.extend(["?", query]);
        }
        let host = self.url.host_str().unwrap_or_default();
        text.push_str(" HTTP/1.1\r\nHost: ");
        text.push_str(host);
        if let Some(port) = self.url.port() {
            text.push_str(&format!(":{port}"));
        }
        text.push_str("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
        text.extend(["Sec-WebSocket-Key: ", key, "\r\n"]);
        if !self.subprotocols.is_empty() {
            text.extend(["Sec-WebSocket-Protocol: ", &self.subprotocols.join(", "), "\r\n"]);
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            text.push_str(concat!("User-Agent: eventflux/", env!("CARGO_PKG_VERSION"), "\r\n"));
        }
        for (name, value) in self.headers {
            text.extend([name, ": ", value.expose(), "\r\n"]);
        }
        text.push_str("\r\n");
        text
    }
}

fn verify(head: &BytesMut, key: &str, offered: &[String]) -> Result<Option<String>, HandshakeError> {
    let response = match Response::try_parse(head) {
        Ok(Some((_, response))) => response,
        Ok(None) => return Err(invalid("the head of the response is not complete")),
        // The parser's message tells what it did not like, not what it read.
        Err(error) => return Err(invalid(&error.to_string())),
    };
    let headers = response.headers();
    if response.status().as_u16() != 101 {
        let location = headers.get("location").and_then(|value| value.to_str().ok()).map(redact_url);
        return Err(HandshakeError::Refused { status: response.status().as_u16(), location });
    }
    if !has_token(values(headers, "upgrade"), "websocket") || !has_token(values(headers, "connection"), "upgrade") {
        return Err(invalid("the response upgrades to something else"));
    }
    let expected = derive_accept_key(key.as_bytes());
    if !values(headers, "sec-websocket-accept").eq([expected.as_bytes()]) {
        return Err(invalid("Sec-WebSocket-Accept does not match the key that was sent"));
    }
    if values(headers, "sec-websocket-extensions").any(|value| !value.trim_ascii().is_empty()) {
        return Err(invalid("the server uses an extension nobody asked for"));
    }
    chosen(headers, offered)
}

/// Exactly one of the offered subprotocols, or none (RFC 6455 section 4.1, point 6; they are case-sensitive).
fn chosen(headers: &HeaderMap, offered: &[String]) -> Result<Option<String>, HandshakeError> {
    let mut answers = values(headers, "sec-websocket-protocol");
    let Some(answer) = answers.next() else { return Ok(None) };
    let answer = answer.trim_ascii();
    match offered.iter().find(|offer| offer.as_bytes() == answer) {
        Some(offer) if answers.next().is_none() => Ok(Some(offer.clone())),
        _ => Err(invalid(&format!(
            "the server chose subprotocol '{}', which was not offered",
            String::from_utf8_lossy(answer).escape_debug()
        ))),
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).into_iter().map(|value| value.as_bytes())
}

fn invalid(reason: &str) -> HandshakeError {
    HandshakeError::Invalid(reason.to_owned())
}

fn refused(status: u16, location: Option<&str>) -> String {
    let name = tokio_tungstenite::tungstenite::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let mut text = format!("refused with {status} {name}").trim_end().to_owned();
    if let Some(location) = location {
        text.push_str(&format!(", pointing to {} (redirects are not followed)", location.escape_debug()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn answer(lines: &[&str]) -> BytesMut {
        let mut head = String::from("HTTP/1.1 101 Switching Protocols\r\n");
        lines.iter().for_each(|line| head.extend([line, "\r\n"]));
        BytesMut::from([&head, "\r\n"].concat().as_bytes())
    }

    fn good(more: &[&str]) -> BytesMut {
        let accept = format!("Sec-WebSocket-Accept: {ACCEPT}");
        answer(&[&["Upgrade: WebSocket", "Connection: keep-alive, Upgrade", &accept], more].concat())
    }

    #[test]
    fn the_request_has_every_header_and_no_credentials_in_its_debug_form() {
        let headers = [("X-Key".to_owned(), Secret::new("hunter2"))];
        let url = Url::parse("ws://user:pw@h:81/a%20b?t=1").unwrap();
        let request = UpgradeRequest { url: &url, headers: &headers, subprotocols: &["a".into(), "b".into()] };
        let text = request.encode(KEY);
        assert!(text.starts_with("GET /a%20b?t=1 HTTP/1.1\r\nHost: h:81\r\nConnection: Upgrade\r\n"), "{text}");
        for line in ["X-Key: hunter2", "Sec-WebSocket-Protocol: a, b", &format!("Sec-WebSocket-Key: {KEY}")] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
        }
        assert!(text.ends_with("\r\n\r\n") && !text.contains("pw"));
    }

    #[test]
    fn the_answer_of_the_rfc_is_accepted_with_an_offered_subprotocol_or_none() {
        assert_eq!(verify(&good(&[]), KEY, &[]), Ok(None));
        let offered = ["v1".to_owned(), "v2".to_owned()];
        assert_eq!(verify(&good(&["Sec-WebSocket-Protocol: v2"]), KEY, &offered), Ok(Some("v2".into())));
        assert_eq!(verify(&good(&[]), KEY, &offered), Ok(None));
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let wrong_key = answer(&["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: x"]);
        let cases = [
            (wrong_key, "Sec-WebSocket-Accept"),
            (answer(&["Connection: Upgrade"]), "something else"),
            (good(&["Sec-WebSocket-Extensions: permessage-deflate"]), "extension nobody asked for"),
            (good(&["Sec-WebSocket-Protocol: V1"]), "'V1', which was not offered"),
            (good(&["Sec-WebSocket-Protocol: v1, v1"]), "not offered"),
            (BytesMut::from(&b"SSH-2.0-OpenSSH\r\n\r\n"[..]), "not a WebSocket answer"),
        ];
        for (head, expected) in cases {
            let error = verify(&head, KEY, &["v1".to_owned()]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(head: Vec<u8>, tail in "[ -~\r\n]{0,200}") {
            let _ = verify(&BytesMut::from(&head[..]), KEY, &[]);
            let _ = verify(&BytesMut::from(format!("HTTP/1.1 101 x\r\n{tail}\r\n\r\n").as_bytes()), KEY, &[]);
        }
    }

    #[test]
    fn a_redirect_shows_where_it_points_without_its_query() {
        let head = BytesMut::from(&b"HTTP/1.1 302 Found\r\nLocation: https://h/x?token=abc\r\n\r\n"[..]);
        let error = verify(&head, KEY, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "refused with 302 Found, pointing to https://h/x?*** (redirects are not followed)"
        );
    }
}
