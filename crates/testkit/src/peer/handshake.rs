//! The opening handshake (RFC 6455, section 4) as text: parsed, checked and written without I/O.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::extensions::EXTENSIONS;

/// A handshake request as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The connection, numbered from 0.
    pub connection: usize,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The HTTP version, `HTTP/1.1`.
    pub version: String,
    /// Headers as sent, in order.
    pub headers: Vec<(String, String)>,
}

impl Handshake {
    /// The value of the first header with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The subprotocols the client offers, in its order of preference.
    pub fn subprotocols(&self) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Protocol"))
            .flat_map(|(_, value)| value.split(','))
            .map(str::trim)
            .collect()
    }

    /// The extensions the client offers, as one list; `None` without any.
    pub fn extensions(&self) -> Option<String> {
        joined(&self.headers, EXTENSIONS)
    }

    /// Parses a request head, its final empty line excluded.
    pub(super) fn parse(connection: usize, head: &str) -> Result<Self, String> {
        let (first, headers) = split_head(head)?;
        let mut words = first.split(' ');
        let (Some(method), Some(path), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(format!("the request line is {first:?}"));
        };
        Ok(Self { connection, method: method.into(), path: path.into(), version: version.into(), headers })
    }

    /// Checks what RFC 6455, section 4.1 demands of a client, and gives the key.
    pub(super) fn check(&self) -> Result<&str, String> {
        if self.method != "GET" || self.version != "HTTP/1.1" {
            return Err(format!("it is {} {}, not GET HTTP/1.1", self.method, self.version));
        }
        let hosts = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Host")).count();
        if hosts != 1 {
            return Err(format!("it has {hosts} Host headers"));
        }
        self.check_token("Upgrade", "websocket")?;
        self.check_token("Connection", "Upgrade")?;
        self.check_token("Sec-WebSocket-Version", "13")?;
        let key = self.header("Sec-WebSocket-Key").ok_or("it has no Sec-WebSocket-Key")?;
        match STANDARD.decode(key) {
            Ok(nonce) if nonce.len() == 16 => Ok(key),
            _ => Err(format!("its Sec-WebSocket-Key {key:?} is not 16 bytes in base64")),
        }
    }

    fn check_token(&self, name: &str, token: &str) -> Result<(), String> {
        let value = self.header(name).ok_or_else(|| format!("it has no {name} header"))?;
        if value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)) {
            Ok(())
        } else {
            Err(format!("its {name} header is {value:?}, without {token:?}"))
        }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "{} {} with headers {names:?} on connection {}", self.method, self.path, self.connection)
    }
}

/// A server's answer to a handshake that it did not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// Headers as sent, in order.
    pub headers: Vec<(String, String)>,
    /// The body, as far as the server sent it before it hung up or its `Content-Length` was reached.
    pub body: String,
}

impl HttpAnswer {
    /// The value of the first header with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The extensions the server chose, as one list; `None` without any.
    pub(super) fn extensions(&self) -> Option<String> {
        joined(&self.headers, EXTENSIONS)
    }

    /// Parses a response head, its final empty line excluded.
    pub(super) fn parse(head: &str) -> Result<Self, String> {
        let (first, headers) = split_head(head)?;
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| format!("the status line is {first:?}"))?;
        Ok(Self { status, headers, body: String::new() })
    }

    /// Checks a 101 against the key and the subprotocols of the request.
    pub(super) fn check_switch(&self, key: &str, offered: Option<&str>) -> Result<(), String> {
        let accept = self.header("Sec-WebSocket-Accept").ok_or("the 101 has no Sec-WebSocket-Accept")?;
        if accept != derive_accept_key(key.as_bytes()) {
            return Err(format!("the 101 has the wrong Sec-WebSocket-Accept {accept:?}"));
        }
        if let Some(chosen) = self.header("Sec-WebSocket-Protocol") {
            let known = offered.is_some_and(|offered| offered.split(',').any(|token| token.trim() == chosen));
            if !known {
                return Err(format!("the 101 chooses the subprotocol {chosen:?}, which was not offered"));
            }
        }
        Ok(())
    }
}

/// The 101 to a request with this key. An extra header replaces the one it is named like.
pub(super) fn switching_protocols(key: &str, extra: &[(String, String)]) -> Vec<u8> {
    let mut headers = vec![
        ("Upgrade".to_owned(), "websocket".to_owned()),
        ("Connection".to_owned(), "Upgrade".to_owned()),
        ("Sec-WebSocket-Accept".to_owned(), derive_accept_key(key.as_bytes())),
    ];
    headers.retain(|(name, _)| header(extra, name).is_none());
    headers.extend_from_slice(extra);
    response_head(101, &headers)
}

/// A refusal with a body.
pub(super) fn refusal(status: u16, extra: &[(String, String)], body: &str) -> Vec<u8> {
    let mut headers =
        vec![("Content-Length".to_owned(), body.len().to_string()), ("Connection".to_owned(), "close".to_owned())];
    headers.retain(|(name, _)| header(extra, name).is_none());
    headers.extend_from_slice(extra);
    let mut bytes = response_head(status, &headers);
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// A client's request, and its key.
pub(super) fn request(host: &str, path: &str, extra: &[(String, String)]) -> (Vec<u8>, String) {
    let key = STANDARD.encode(fastrand::u128(..).to_be_bytes());
    let mut headers = vec![
        ("Host".to_owned(), host.to_owned()),
        ("Upgrade".to_owned(), "websocket".to_owned()),
        ("Connection".to_owned(), "Upgrade".to_owned()),
        ("Sec-WebSocket-Version".to_owned(), "13".to_owned()),
        ("Sec-WebSocket-Key".to_owned(), key.clone()),
    ];
    headers.retain(|(name, _)| header(extra, name).is_none());
    headers.extend_from_slice(extra);
    (head(&format!("GET {path} HTTP/1.1"), &headers), key)
}

fn response_head(status: u16, headers: &[(String, String)]) -> Vec<u8> {
    head(&format!("HTTP/1.1 {status} {}", reason_phrase(status)), headers)
}

fn head(first: &str, headers: &[(String, String)]) -> Vec<u8> {
    let mut text = format!("{first}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Scripted",
    }
}

/// The values of all headers with this name, in any case, as one list.
pub(super) fn joined(headers: &[(String, String)], wanted: &str) -> Option<String> {
    let all = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str());
    all.map(str::to_owned).reduce(|list, value| format!("{list}, {value}"))
}

fn header<'a>(headers: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
}

type Headers = Vec<(String, String)>;

fn split_head(head: &str) -> Result<(&str, Headers), String> {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let headers = lines.map(|line| match line.split_once(':') {
        Some((name, value)) => Ok((name.to_owned(), value.trim().to_owned())),
        None => Err(format!("the header line {line:?} has no colon")),
    });
    Ok((first, headers.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_we_write_passes_our_own_check() {
        let (bytes, key) = request("localhost:1", "/feed?x=1", &[("X-Api-Key".into(), "k".into())]);
        let text = String::from_utf8(bytes).unwrap();
        let handshake = Handshake::parse(0, text.strip_suffix("\r\n\r\n").unwrap()).unwrap();
        assert_eq!(handshake.check(), Ok(&*key));
        assert_eq!(handshake.path, "/feed?x=1");
        assert_eq!(handshake.header("x-api-key"), Some("k"));
    }

    #[test]
    fn a_request_without_the_websocket_headers_is_refused_with_the_missing_one() {
        let bare = Handshake::parse(0, "GET / HTTP/1.1\r\nHost: a").unwrap();
        assert_eq!(bare.check(), Err("it has no Upgrade header".to_owned()));
        let post = Handshake::parse(0, "POST / HTTP/1.1\r\nHost: a").unwrap();
        assert!(post.check().unwrap_err().contains("POST"));
        let two_hosts = Handshake::parse(0, "GET / HTTP/1.1\r\nHost: a\r\nHost: b").unwrap();
        assert!(two_hosts.check().unwrap_err().contains("2 Host"));
    }

    #[test]
    fn an_extra_header_replaces_the_default() {
        let bytes = switching_protocols("k", &[("sec-websocket-accept".into(), "wrong".into())]);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.to_lowercase().matches("sec-websocket-accept").count(), 1);
        let answer = HttpAnswer::parse(text.strip_suffix("\r\n\r\n").unwrap()).unwrap();
        assert!(answer.check_switch("k", None).unwrap_err().contains("wrong"));
    }

    #[test]
    fn debug_output_of_a_handshake_has_no_header_values() {
        let handshake = Handshake::parse(0, "GET / HTTP/1.1\r\nAuthorization: Bearer s3cret").unwrap();
        assert!(!format!("{handshake:?}").contains("s3cret"));
    }
}
