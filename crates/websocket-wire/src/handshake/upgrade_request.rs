//! A client's request for an upgrade as a server sees it, checked.

use std::fmt;
use std::ops::Deref;

use bytes::BytesMut;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::Request;

use super::checks;
use super::head::values;
use super::refusal::Refusal;
use super::request_head::RequestHead;

/// A proper request for an upgrade; nothing was answered yet. Its `Debug` shows no query and no value of a header.
pub struct UpgradeRequest {
    head: RequestHead,
    /// What came after the head.
    pub(super) received: BytesMut,
}

impl UpgradeRequest {
    /// Parses and checks a whole head, its empty line included.
    ///
    /// # Errors
    /// What to answer instead of an upgrade: 400, 405 or 426.
    pub fn parse(head: &[u8]) -> Result<Self, Refusal> {
        let request = match Request::try_parse(head) {
            Ok(Some((length, request))) if length == head.len() => request,
            Ok(_) => return Err(Refusal::bad_request("the request does not end where it should")),
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => return Err(Refusal::method_not_allowed()),
            Err(Error::Protocol(ProtocolError::WrongHttpVersion)) => {
                return Err(Refusal::bad_request("the version must be HTTP/1.1"));
            }
            Err(_) => return Err(Refusal::bad_request("this is no HTTP/1.1 request")),
        };
        let host = checks::host(request.uri(), request.headers())?;
        checks::headers(request.headers())?;
        let (parts, ()) = request.into_parts();
        let head = RequestHead { target: parts.uri, headers: parts.headers, host };
        Ok(Self { head, received: BytesMut::new() })
    }

    /// The value of `Sec-WebSocket-Key`.
    pub(super) fn key(&self) -> &[u8] {
        values(&self.head.headers, "sec-websocket-key").next().unwrap_or_default()
    }
}

impl Deref for UpgradeRequest {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        &self.head
    }
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest").field("head", &self.head).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET / HTTP/1.1";
    const HEADERS: &str = "Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn parse(first: &str, headers: &str) -> Result<UpgradeRequest, Refusal> {
        UpgradeRequest::parse(format!("{first}\r\n{headers}\r\n").as_bytes())
    }

    #[test]
    fn the_target_gives_path_query_and_host_in_either_form() {
        for (target, path, query, host) in [
            ("/", "/", None, "h"),
            ("/a%20b?", "/a%20b", Some(""), "h"),
            ("//x/y?q=/?", "//x/y", Some("q=/?"), "h"),
            ("http://other:81/p?q", "/p", Some("q"), "other:81"),
            ("wss://[::1]", "/", None, "[::1]"),
        ] {
            let request = parse(&format!("GET {target} HTTP/1.1"), HEADERS).unwrap();
            assert_eq!((request.path(), request.query(), request.host()), (path, query, host), "{target}");
        }
    }

    #[test]
    fn offered_subprotocols_keep_their_order_and_ours_decides() {
        let headers = format!("{HEADERS}Sec-WebSocket-Protocol: c , a\r\nsec-websocket-protocol: b,,A\r\n");
        let request = parse(GET, &headers).unwrap();
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["c", "a", "b", "A"]);
        let choose = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            request.choose_subprotocol(&names).map(str::to_owned)
        };
        assert_eq!(choose(&["x", "b", "c"]).as_deref(), Some("b"));
        assert_eq!((choose(&["B"]), choose(&[]), choose(&["a, b"])), (None, None, None));
    }

    #[test]
    fn headers_are_found_in_any_case_and_never_shown() {
        let headers =
            format!("{HEADERS}Authorization: Bearer hunter2\r\nX-Two: a\r\nx-two: \u{fc}\r\nOrigin: http://o\r\n");
        let request = parse("GET /p?token=hunter2 HTTP/1.1", &headers).unwrap();
        assert!(request.header("authorization").eq([b"Bearer hunter2"]));
        assert!(request.header("X-TWO").eq([&b"a"[..], "\u{fc}".as_bytes()]));
        assert_eq!((request.header("no such").count(), request.origin()), (0, Some("http://o")));
        let shown = format!("{request:?}");
        assert!(shown.contains("/p") && shown.contains("authorization") && !shown.contains("hunter"), "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn no_request_panics(head: Vec<u8>, target in "[!-~]{0,50}", tail in "[ -~\r\n]{0,200}") {
            let _ = UpgradeRequest::parse(&head);
            let _ = parse(&format!("GET {target} HTTP/1.1"), HEADERS);
            let _ = parse(GET, &tail);
        }
    }
}
