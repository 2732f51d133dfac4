//! A client's request as a server sees it, checked, and what can be asked of it.

use std::fmt;

use bytes::BytesMut;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::Request;

use super::checks;
use super::head::{list_items, values};
use super::refusal::Refusal;

/// A proper request for an upgrade; nothing was answered yet. Its `Debug` shows no query and no value of a header.
pub struct UpgradeRequest {
    request: Request,
    host: String,
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
        Ok(Self { request, host, received: BytesMut::new() })
    }

    /// The path as it was sent, percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// The query without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.request.uri().query()
    }

    /// The host the client means, with its port if it was given: from a target in absolute form, else from `Host`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The page that asks, when a browser does (RFC 6454); visible ASCII.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.request.headers().get("origin").and_then(|origin| origin.to_str().ok())
    }

    /// All values of a header, in order, without spaces around them. The case of `name` makes no difference.
    pub fn header<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        values(self.request.headers(), name)
    }

    /// The offered subprotocols in the client's order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let offered = list_items(values(self.request.headers(), "sec-websocket-protocol"));
        offered.filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// The first of `supported` that the client offers.
    #[must_use]
    pub fn choose_subprotocol<'a>(&self, supported: &'a [String]) -> Option<&'a str> {
        supported.iter().map(String::as_str).find(|name| self.subprotocols().any(|offer| offer == *name))
    }

    /// The value of `Sec-WebSocket-Key`.
    pub(super) fn key(&self) -> &[u8] {
        values(self.request.headers(), "sec-websocket-key").next().unwrap_or_default()
    }
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.request.headers().keys().collect();
        f.debug_struct("UpgradeRequest").field("path", &self.path()).field("headers", &names).finish_non_exhaustive()
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
