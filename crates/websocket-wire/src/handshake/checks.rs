//! The rules for a client's request (RFC 6455 section 4.2.1, RFC 9112), and what breaking each is answered with.

use std::net::Ipv6Addr;

use tungstenite::http::{HeaderMap, Uri};

use super::head::{has_token, is_token_bytes, list_items, values};
use super::refusal::Refusal;

/// Length of a `Sec-WebSocket-Key`: 16 bytes in base64.
const KEY_BYTES: usize = 24;

/// The host of a request: of its one `Host`, or of the target when that has one itself (RFC 9112 section 3.2).
///
/// # Errors
/// 400 when there is none, more than one, or a target that is no place on a host.
pub(super) fn host(target: &Uri, headers: &HeaderMap) -> Result<String, Refusal> {
    let mut hosts = values(headers, "host");
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Refusal::bad_request("the request must have one Host header"));
    };
    let host = std::str::from_utf8(host).ok().filter(|host| is_host(host));
    let host = host.ok_or_else(|| Refusal::bad_request("the Host header names no host"))?;
    let no_target = || Refusal::bad_request("the target must be a path or the URL of one");
    let host = match (target.scheme_str(), target.authority()) {
        (None, None) => host,
        (Some("http" | "https" | "ws" | "wss"), Some(authority)) => authority.as_str(),
        _ => return Err(no_target()),
    };
    if !target.path().starts_with('/') || !is_host(host) {
        return Err(no_target());
    }
    Ok(host.to_owned())
}

/// Checks all headers but `Host`.
///
/// # Errors
/// 400 or 426.
pub(super) fn headers(headers: &HeaderMap) -> Result<(), Refusal> {
    check_body(headers)?;
    check_upgrade(headers)?;
    origin(headers)?;
    if list_items(values(headers, "sec-websocket-protocol")).all(is_token_bytes) {
        Ok(())
    } else {
        Err(Refusal::bad_request("Sec-WebSocket-Protocol must be a list of tokens"))
    }
}

/// A handshake has no body, and what would be one must not be taken for frames.
fn check_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let empty = values(headers, "content-length").all(|length| length == b"0");
    if !empty || headers.contains_key("transfer-encoding") {
        return Err(Refusal::bad_request("the request must have no body"));
    }
    Ok(())
}

fn check_upgrade(headers: &HeaderMap) -> Result<(), Refusal> {
    if !has_token(values(headers, "upgrade"), "websocket") {
        return Err(Refusal::upgrade_required("this is a WebSocket endpoint"));
    }
    if !has_token(values(headers, "connection"), "upgrade") {
        return Err(Refusal::bad_request("the Connection header must say 'Upgrade'"));
    }
    if !values(headers, "sec-websocket-version").eq([b"13"]) {
        return Err(Refusal::upgrade_required("Sec-WebSocket-Version must be 13"));
    }
    let mut keys = values(headers, "sec-websocket-key");
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key) => Ok(()),
        _ => Err(Refusal::bad_request("Sec-WebSocket-Key must be 16 bytes in base64, given once")),
    }
}

/// Two origins are no origin to decide by.
///
/// # Errors
/// 400.
pub(super) fn origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut origins = headers.get_all("origin").into_iter();
    let one = origins.next().is_none_or(|origin| origin.to_str().is_ok()) && origins.next().is_none();
    if one { Ok(()) } else { Err(Refusal::bad_request("the request must have one Origin header at most")) }
}

/// Whether `text` is a host with or without a port (RFC 3986 section 3.2, without user information).
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // The colon of an IPv6 address, not that of a port.
        Some(_) if text.ends_with(']') => (text, "0"),
        Some((host, port)) => (host, port),
        None => (text, "0"),
    };
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    let is_valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_name_byte),
    };
    is_valid && port.bytes().all(|byte| byte.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok())
}

/// Whether `key` is 16 bytes in base64 (RFC 4648 section 4). The four bits its last digit has to spare may be anything.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == KEY_BYTES && key.strip_suffix(b"==").is_some_and(|digits| digits.iter().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::super::upgrade_request::UpgradeRequest;
    use super::*;

    const GET: &str = "GET / HTTP/1.1";
    const HEADERS: &str = "Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn status(first: &str, headers: &str) -> Option<u16> {
        match UpgradeRequest::parse(format!("{first}\r\n{headers}\r\n").as_bytes()) {
            Ok(_) => None,
            Err(Refusal::Status { status, .. }) => Some(status),
            Err(Refusal::Gone) => Some(0),
        }
    }

    #[test]
    fn what_the_rules_allow_is_accepted() {
        let without = |header: &str| HEADERS.replace(header, "");
        for headers in [
            HEADERS.to_owned(),
            HEADERS.replace("Upgrade: websocket", "upgrade: h2c, WebSocket"),
            HEADERS.replace("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"),
            HEADERS.replace("25jZQ==", "25jZz=="),
            format!("{HEADERS}Content-Length: 0\r\n"),
            format!("{HEADERS}Origin: null\r\nSec-WebSocket-Protocol: a,, b\r\nSec-WebSocket-Protocol:\r\n"),
            [&without("Host: h\r\n"), "Host: [2001:db8::1]:80\r\n"].concat(),
            [&without("Host: h\r\n"), "Host: a_b.example:\r\n"].concat(),
        ] {
            assert_eq!(status(GET, &headers), None, "{headers}");
        }
    }

    #[test]
    fn each_bad_first_line_gets_its_status() {
        for (first, expected) in [
            ("POST / HTTP/1.1", 405),
            ("HEAD / HTTP/1.1", 405),
            ("get / HTTP/1.1", 405),
            ("GET / HTTP/1.0", 400),
            ("GET / HTTP/2.0", 400),
            ("GET /", 400),
            ("nonsense", 400),
            ("", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET h HTTP/1.1", 400),
            ("GET h:80 HTTP/1.1", 400),
            ("GET * HTTP/1.1", 400),
            ("GET ftp://h/ HTTP/1.1", 400),
            ("GET http://u:p@h/ HTTP/1.1", 400),
            ("GET http:///p HTTP/1.1", 400),
            ("GET /\u{7f} HTTP/1.1", 400),
            ("GET / HTTP/1.1\n\nGET / HTTP/1.1", 400),
        ] {
            assert_eq!(status(first, HEADERS), Some(expected), "{first}");
        }
    }

    #[test]
    fn each_bad_header_gets_its_status() {
        let with = |header: &str| format!("{HEADERS}{header}\r\n");
        let host = |host: &str| HEADERS.replace("Host: h", &format!("Host: {host}"));
        for (headers, expected) in [
            (HEADERS.replace("Host: h\r\n", ""), 400),
            (with("Host: h"), 400),
            (host(""), 400),
            (host("a b"), 400),
            (host("a/b"), 400),
            (host("u@h"), 400),
            (host("h:x"), 400),
            (host("h:65536"), 400),
            (host("[::1"), 400),
            (host("::1"), 400),
            (host("[h]"), 400),
            (host("ü"), 400),
            (with("Content-Length: 5"), 400),
            (with("Content-Length: 0\r\nContent-Length: 5"), 400),
            (with("Content-Length: x"), 400),
            (with("Transfer-Encoding: chunked"), 400),
            (HEADERS.replace("Upgrade: websocket\r\n", ""), 426),
            (HEADERS.replace("websocket", "h2c"), 426),
            ("Host: h\r\n".to_owned(), 426),
            (HEADERS.replace("Connection: Upgrade\r\n", ""), 400),
            (HEADERS.replace("Connection: Upgrade", "Connection: close"), 400),
            (HEADERS.replace("13", "8"), 426),
            (HEADERS.replace("13", "013"), 426),
            (HEADERS.replace("Sec-WebSocket-Version: 13\r\n", ""), 426),
            (with("Sec-WebSocket-Version: 8"), 426),
            (HEADERS.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400),
            (HEADERS.replace("dGhl", ""), 400),
            (HEADERS.replace("dGhl", "dGh_"), 400),
            (HEADERS.replace("ZQ==", "ZQ=A"), 400),
            (HEADERS.replace("ZQ==", "ZQAA"), 400),
            (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
            (with("Origin: http://a\r\nOrigin: http://b"), 400),
            (with("Origin: ü"), 400),
            (with("Sec-WebSocket-Protocol: a b"), 400),
            (with("A : b"), 400),
            (with("A: b\r\n c"), 400),
            (with("A: b\rC"), 400),
            (with("A: \0"), 400),
            (with("\nA: b"), 400),
        ] {
            assert_eq!(status(GET, &headers), Some(expected), "{headers:?}");
        }
    }
}
