//! What a server responded to a client's request (RFC 6455 section 4.1, second half).

use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::client::Response;
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::http::HeaderMap;

use super::client::{ClientRequest, HandshakeError};
use super::head::{has_token, list_items, values};
use super::refused::Refused;
use super::secrets::Secrets;
use crate::deflate::{Negotiated, confirm};

/// The status of an upgrade.
pub(super) const SWITCHING_PROTOCOLS: u16 = 101;

/// Most characters of what a server sent that an error shows.
const MAX_SHOWN_CHARS: usize = 200;

/// What an upgrade agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgraded {
    /// The subprotocol the server chose, if any.
    pub subprotocol: Option<String>,
    /// The parameters of permessage-deflate, when both want it.
    pub deflate: Option<Negotiated>,
}

impl ClientRequest<'_> {
    /// Checks the head of the response to this request, sent with `key` as its `Sec-WebSocket-Key`.
    ///
    /// # Errors
    /// [`HandshakeError::Refused`], with an empty body, for every status but 101, and [`HandshakeError::Invalid`] for an
    /// upgrade to anything but what was asked for.
    pub fn verify(&self, key: &str, head: &[u8]) -> Result<Upgraded, HandshakeError> {
        let response = parse(head)?;
        if response.status().as_u16() != SWITCHING_PROTOCOLS {
            return Err(HandshakeError::Refused(Box::new(Refused::new(&response, "", self))));
        }
        self.check(key, &response)
    }

    /// Checks a response of status 101.
    pub(super) fn check(&self, key: &str, response: &Response) -> Result<Upgraded, HandshakeError> {
        let headers = response.headers();
        let is_websocket = |item: &[u8]| item.eq_ignore_ascii_case(b"websocket");
        let mut upgrade = list_items(values(headers, "upgrade"));
        if !upgrade.next().is_some_and(is_websocket) || !upgrade.all(is_websocket) {
            return Err(not_websocket("the response upgrades to something else"));
        }
        if !has_token(values(headers, "connection"), "upgrade") {
            return Err(not_websocket("the response's Connection header does not say 'Upgrade'"));
        }
        let expected = derive_accept_key(key.as_bytes());
        if !values(headers, "sec-websocket-accept").eq([expected.as_bytes()]) {
            return Err(not_websocket("Sec-WebSocket-Accept does not match the key that was sent"));
        }
        let extensions = values(headers, "sec-websocket-extensions");
        let deflate = confirm(self.deflate.as_ref(), extensions)
            .map_err(|error| HandshakeError::Invalid(Secrets::of(self).mask(&error.to_string())))?;
        Ok(Upgraded { subprotocol: self.chosen(headers)?, deflate })
    }

    /// Exactly one of the offered subprotocols, or none (RFC 6455 section 4.1, point 6; they are case-sensitive).
    fn chosen(&self, headers: &HeaderMap) -> Result<Option<String>, HandshakeError> {
        let mut answers = values(headers, "sec-websocket-protocol");
        let Some(answer) = answers.next() else { return Ok(None) };
        if answers.next().is_some() {
            return Err(not_websocket("the server chose more than one subprotocol"));
        }
        match self.subprotocols.iter().find(|offer| offer.as_bytes() == answer) {
            Some(offer) => Ok(Some(offer.clone())),
            None => {
                let answer = Secrets::of(self).mask(&String::from_utf8_lossy(answer));
                let answer = shown(&answer);
                Err(HandshakeError::Invalid(format!("the server chose subprotocol '{answer}', which was not offered")))
            }
        }
    }
}

/// Parses a whole head of a response.
pub(super) fn parse(head: &[u8]) -> Result<Response, HandshakeError> {
    // The parser knows version 1.1 only, and what an older server or proxy has to say is worth knowing.
    let old = head.strip_prefix(b"HTTP/1.0 ").map(|rest| [b"HTTP/1.1 ", rest].concat());
    let response = match Response::try_parse(old.as_deref().unwrap_or(head)) {
        Ok(Some((length, response))) if length == head.len() => response,
        Ok(_) => return Err(not_websocket("the head of the response does not end where it should")),
        Err(Error::Protocol(ProtocolError::HttparseError(error))) => return Err(not_websocket(&error.to_string())),
        Err(_) => return Err(not_websocket("it is no HTTP/1.1")),
    };
    if old.is_some() && response.status().as_u16() == SWITCHING_PROTOCOLS {
        return Err(not_websocket("HTTP/1.0 has no upgrades"));
    }
    Ok(response)
}

/// The error for what no WebSocket server sends; `reason` shows nothing of what it was.
pub(super) fn not_websocket(reason: &str) -> HandshakeError {
    HandshakeError::Invalid(format!("not a WebSocket answer: {reason}"))
}

/// What a server sent as an error shows it: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use eventflux_core::Secret;
    use url::Url;

    use super::*;

    /// The example of RFC 6455 section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn verify(head: &str, offered: &[&str]) -> Result<Upgraded, HandshakeError> {
        let offered: Vec<_> = offered.iter().map(|name| (*name).to_owned()).collect();
        let headers = [("Authorization".to_owned(), Secret::new("Bearer hunter2"))];
        let url = Url::parse("ws://h/").unwrap();
        let request = ClientRequest { url: &url, headers: &headers, subprotocols: &offered, deflate: None };
        request.verify(KEY, head.as_bytes())
    }

    fn answer(lines: &[&str]) -> String {
        [
            "HTTP/1.1 101 Switching Protocols\r\n",
            &lines.iter().map(|line| format!("{line}\r\n")).collect::<String>(),
            "\r\n",
        ]
        .concat()
    }

    fn good(more: &[&str]) -> String {
        let accept = format!("Sec-WebSocket-Accept: {ACCEPT}");
        answer(&[&["Upgrade: WebSocket", "Connection: keep-alive, Upgrade", &accept], more].concat())
    }

    #[test]
    fn the_answer_of_the_rfc_is_accepted_with_an_offered_subprotocol_or_none() {
        let chosen = |head: &str, offered: &[&str]| verify(head, offered).unwrap().subprotocol;
        assert_eq!(chosen(&good(&[]), &[]), None);
        assert_eq!(chosen(&good(&["Sec-WebSocket-Protocol: v2"]), &["v1", "v2"]).as_deref(), Some("v2"));
        assert_eq!(chosen(&good(&[]), &["v1", "v2"]), None);
    }

    #[test]
    fn every_other_upgrade_is_refused_with_its_reason() {
        let accept = format!("Sec-WebSocket-Accept: {ACCEPT}");
        for (head, expected) in [
            (answer(&["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: x"]), "Sec-WebSocket-Accept"),
            (answer(&["Upgrade: websocket", "Connection: Upgrade"]), "Sec-WebSocket-Accept"),
            (good(&[&accept]), "Sec-WebSocket-Accept"),
            (answer(&["Connection: Upgrade", &accept]), "something else"),
            (answer(&["Upgrade: h2c", "Connection: Upgrade", &accept]), "something else"),
            (good(&["Upgrade: h2c"]), "something else"),
            (answer(&["Upgrade: websocket", "Connection: close", &accept]), "does not say 'Upgrade'"),
            (good(&["Sec-WebSocket-Extensions: permessage-deflate"]), "xtension"),
            (good(&["Sec-WebSocket-Protocol: V1"]), "'V1', which was not offered"),
            (good(&["Sec-WebSocket-Protocol: v1, v2"]), "'v1, v2', which was not offered"),
            (good(&["Sec-WebSocket-Protocol: "]), "'', which was not offered"),
            (good(&["Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Protocol: v1"]), "more than one subprotocol"),
            (good(&["Sec-WebSocket-Protocol: hunter2"]), "'***', which was not offered"),
            (good(&[]).replace("HTTP/1.1", "HTTP/1.0"), "HTTP/1.0"),
            ("SSH-2.0-OpenSSH\r\n\r\n".to_owned(), "not a WebSocket answer"),
            ("HTTP/1.1 101 x\r\nA: b\n\nC: d\r\n\r\n".to_owned(), "does not end where it should"),
            ("HTTP/1.1 20".to_owned(), "does not end where it should"),
        ] {
            let error = verify(&head, &["v1", "v2"]).unwrap_err();
            assert!(matches!(error, HandshakeError::Invalid(_)), "{head}: {error}");
            assert!(error.to_string().contains(expected), "{head}: {error}");
        }
    }

    #[test]
    fn every_other_status_is_a_refusal() {
        for status in [200, 204, 301, 302, 400, 401, 403, 404, 426, 429, 500, 503, 999] {
            for version in ["1.0", "1.1"] {
                let head = format!("HTTP/{version} {status} x\r\nContent-Length: 0\r\n\r\n");
                let HandshakeError::Refused(refused) = verify(&head, &[]).unwrap_err() else { panic!("{head}") };
                assert_eq!(refused.status, status);
            }
        }
    }

    #[test]
    fn what_is_shown_is_short_and_has_no_control_characters() {
        assert_eq!(shown("a\r\n\u{1b}[31m"), "a\\r\\n\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(MAX_SHOWN_CHARS + 1)), format!("{}…", "x".repeat(MAX_SHOWN_CHARS)));
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(head: Vec<u8>, tail in "[ -~\r\n]{0,200}") {
            let url = Url::parse("ws://h/").unwrap();
            let request = ClientRequest { url: &url, headers: &[], subprotocols: &[], deflate: None };
            let _ = request.verify(KEY, &head);
            let _ = verify(&format!("HTTP/1.1 101 x\r\n{tail}\r\n\r\n"), &["v1"]);
            let _ = verify(&format!("HTTP/1.1 401 x\r\n{tail}\r\n\r\n"), &[]);
        }
    }
}
