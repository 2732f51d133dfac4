//! A client's request as bytes (RFC 6455 section 4.1).

use super::client::{ClientRequest, HandshakeError};
use super::head::{is_field_value, is_token};
use crate::deflate;

/// Headers a caller may not add: they belong to the handshake, or would give the request a body.
const RESERVED_HEADERS: [&str; 5] = ["host", "connection", "upgrade", "content-length", "transfer-encoding"];

/// Whether the handshake sets this header itself, or cannot do with it: [`ClientRequest::headers`] may not have it.
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    RESERVED_HEADERS.contains(&name.as_str()) || name.starts_with("sec-websocket-")
}

impl ClientRequest<'_> {
    /// The request with `key` as its `Sec-WebSocket-Key`, credentials included: for the wire only.
    ///
    /// # Errors
    /// [`HandshakeError::Invalid`] when a part of it would make another request than the one meant.
    pub fn encode(&self, key: &str) -> Result<Vec<u8>, HandshakeError> {
        let mut text = format!("GET {} HTTP/1.1\r\n", self.target()?);
        let mut header = |name: &str, value: &str| text.extend([name, ": ", value, "\r\n"]);
        header("Host", &self.host()?);
        header("Connection", "Upgrade");
        header("Upgrade", "websocket");
        header("Sec-WebSocket-Version", "13");
        header("Sec-WebSocket-Key", key);
        if !self.subprotocols.is_empty() {
            header("Sec-WebSocket-Protocol", &self.subprotocol_list()?);
        }
        if let Some(config) = &self.deflate {
            header("Sec-WebSocket-Extensions", &deflate::offer(config));
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            header("User-Agent", concat!("eventflux/", env!("CARGO_PKG_VERSION")));
        }
        for (name, value) in self.headers {
            check_header(name, value.expose())?;
            header(name, value.expose());
        }
        text.push_str("\r\n");
        Ok(text.into_bytes())
    }

    fn target(&self) -> Result<String, HandshakeError> {
        // Other schemes leave characters in their paths that end a request line.
        if !matches!(self.url.scheme(), "ws" | "wss") {
            let scheme = self.url.scheme();
            return Err(HandshakeError::Invalid(format!("the URL must begin with ws:// or wss://, not {scheme}:")));
        }
        let query = self.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok([self.url.path(), &query].concat())
    }

    /// The host as the URL has it, an IPv6 address in brackets, and the port unless it is the scheme's own.
    fn host(&self) -> Result<String, HandshakeError> {
        match (self.url.host_str(), self.url.port()) {
            (None | Some(""), _) => Err(HandshakeError::invalid("the URL has no host")),
            (Some(host), None) => Ok(host.to_owned()),
            (Some(host), Some(port)) => Ok(format!("{host}:{port}")),
        }
    }

    fn subprotocol_list(&self) -> Result<String, HandshakeError> {
        for (index, name) in self.subprotocols.iter().enumerate() {
            if !is_token(name) || self.subprotocols[..index].contains(name) {
                let name = name.escape_debug();
                return Err(HandshakeError::Invalid(format!("subprotocol '{name}' is no token, or named twice")));
            }
        }
        Ok(self.subprotocols.join(", "))
    }
}

fn check_header(name: &str, value: &str) -> Result<(), HandshakeError> {
    let error = |reason: &str| Err(HandshakeError::Invalid(format!("header '{}' {reason}", name.escape_debug())));
    if !is_token(name) {
        return error("has no proper name: use letters, digits and hyphens");
    }
    if is_reserved_header(name) {
        return error("is set by the handshake itself: remove it");
    }
    if !is_field_value(value) {
        return error("has a line break or control character in its value");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use eventflux_core::Secret;
    use url::Url;

    use super::*;

    fn encode(url: &str, headers: &[(&str, &str)], subprotocols: &[&str]) -> Result<String, HandshakeError> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
        let subprotocols: Vec<_> = subprotocols.iter().map(|name| (*name).to_owned()).collect();
        let url = Url::parse(url).unwrap();
        let request = ClientRequest { url: &url, headers: &headers, subprotocols: &subprotocols, deflate: None };
        Ok(String::from_utf8(request.encode("KEY")?).unwrap())
    }

    #[test]
    fn the_request_has_every_header_and_no_user_information() {
        let text = encode("ws://user:pw@h:81/a b?t=1#f", &[("X-Key", "hunter2")], &["a", "b"]).unwrap();
        assert!(text.starts_with("GET /a%20b?t=1 HTTP/1.1\r\nHost: h:81\r\nConnection: Upgrade\r\n"), "{text}");
        for line in ["X-Key: hunter2", "Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Key: KEY"] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
        }
        assert!(text.ends_with("\r\n\r\n") && !text.contains("pw") && !text.contains("Extensions"), "{text}");
    }

    #[test]
    fn the_host_is_written_as_servers_expect_it() {
        for (url, host) in [
            ("ws://h/", "h"),
            ("ws://h:80/", "h"),
            ("ws://h:443/", "h:443"),
            ("wss://h:443/", "h"),
            ("wss://h:80/", "h:80"),
            ("ws://[::1]/", "[::1]"),
            ("ws://[2001:DB8::1]:9/", "[2001:db8::1]:9"),
            ("ws://127.0.0.1:9/", "127.0.0.1:9"),
            ("ws://BÜCHER.example/", "xn--bcher-kva.example"),
        ] {
            let text = encode(url, &[], &[]).unwrap();
            assert!(text.contains(&format!("\r\nHost: {host}\r\n")), "{url}: {text}");
        }
    }

    #[test]
    fn a_users_own_agent_replaces_ours() {
        let text = encode("ws://h/", &[("user-agent", "mine/1")], &[]).unwrap();
        assert!(text.contains("user-agent: mine/1") && !text.contains("eventflux/"), "{text}");
    }

    #[test]
    fn compression_is_offered_when_asked_for() {
        use crate::deflate::{DeflateConfig, DirectionConfig};
        let direction = DirectionConfig { window_bits: 15, context_takeover: true };
        let config = DeflateConfig { threshold_bytes: 0, level: 1, send: direction, receive: direction };
        let url = Url::parse("ws://h/").unwrap();
        let request = ClientRequest { url: &url, headers: &[], subprotocols: &[], deflate: Some(config) };
        let text = String::from_utf8(request.encode("KEY").unwrap()).unwrap();
        assert!(text.contains("\r\nSec-WebSocket-Extensions: permessage-deflate"), "{text}");
    }

    #[test]
    fn nothing_can_be_smuggled_into_the_request() {
        for (headers, subprotocols, reason) in [
            (&[("A", "b\r\nC: d")][..], &[][..], "control character"),
            (&[("A", "b\nC: d")], &[], "control character"),
            (&[("A: b\r\nC", "d")], &[], "proper name"),
            (&[("", "d")], &[], "proper name"),
            (&[("host", "evil")], &[], "itself"),
            (&[("Content-Length", "5")], &[], "itself"),
            (&[("Sec-WebSocket-Key", "x")], &[], "itself"),
            (&[("Sec-WebSocket-Extensions", "permessage-deflate")], &[], "itself"),
            (&[], &["a\r\nB: c"], "is no token"),
            (&[], &["a, b"], "is no token"),
            (&[], &["a", "a"], "named twice"),
        ] {
            let error = encode("ws://h/", headers, subprotocols).unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains(['\r', '\n']), "{error}");
        }
        for url in ["http://h/", "data:a b", "file:///x"] {
            assert!(matches!(encode(url, &[], &[]), Err(HandshakeError::Invalid(_))), "{url}");
        }
    }

    #[test]
    fn an_error_does_not_show_the_value_it_rejects() {
        let error = encode("ws://h/", &[("A", "hunter2\n")], &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    proptest::proptest! {
        #[test]
        fn a_request_that_encodes_has_as_many_lines_as_it_has_headers(
            name in "[a-c:\r\n ]{1,3}", value in "[a-c:\r\n ]{0,3}", protocol in "[a-c,\r\n ]{1,3}",
        ) {
            if let Ok(text) = encode("ws://h/", &[(&name, &value)], &[&protocol]) {
                proptest::prop_assert_eq!(text.matches('\n').count(), 10);
                proptest::prop_assert_eq!(text.matches('\r').count(), 10);
            }
        }
    }
}
