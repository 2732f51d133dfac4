//! A request that is not for an upgrade: for servers that speak plain HTTP at the same address.

use std::fmt;
use std::ops::Deref;

use bytes::BytesMut;
use httparse::{EMPTY_HEADER, Request};
use tokio::io::AsyncRead;
use tungstenite::http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::checks;
use super::head::{HeadBuffer, MAX_HEADERS, has_token, read_head};
use super::refusal::Refusal;
use super::request_head::RequestHead;
use super::upgrade_request::UpgradeRequest;

/// What a client asks for.
#[derive(Debug)]
pub enum Requested {
    /// An upgrade.
    Upgrade(UpgradeRequest),
    /// Something else.
    Plain(PlainRequest),
}

/// A proper HTTP/1.1 request that asks for no upgrade to WebSocket; its body, if it has one, was not read. Its `Debug`
/// shows no query and no value of a header.
pub struct PlainRequest {
    method: String,
    head: RequestHead,
    bytes: BytesMut,
    refusal: Refusal,
}

impl Requested {
    /// As [`UpgradeRequest::read_within`], but takes other requests as well.
    ///
    /// # Errors
    /// As there, for what is neither a proper request for an upgrade nor another proper request.
    pub async fn read_within<S>(stream: &mut S, max_head_bytes: usize) -> Result<Self, Refusal>
    where
        S: AsyncRead + Unpin,
    {
        let mut received = HeadBuffer::new(max_head_bytes);
        let head = read_head(stream, &mut received).await?;
        match UpgradeRequest::parse(&head) {
            Ok(mut request) => {
                request.received = received.into_rest();
                Ok(Self::Upgrade(request))
            }
            Err(refusal) => {
                let mut request = PlainRequest::parse(&head, refusal)?;
                request.bytes = head;
                request.bytes.unsplit(received.into_rest());
                Ok(Self::Plain(request))
            }
        }
    }
}

impl PlainRequest {
    /// Parses a whole head. `refusal` is what is wrong with it as a request for an upgrade.
    ///
    /// # Errors
    /// `refusal` when it asks for an upgrade, or is no proper request at all.
    fn parse(head: &[u8], refusal: Refusal) -> Result<Self, Refusal> {
        let mut lines = [EMPTY_HEADER; MAX_HEADERS];
        let mut request = Request::new(&mut lines);
        let is_complete = request.parse(head).is_ok_and(|status| status.is_complete());
        let (true, Some(method), Some(target), Some(1)) = (is_complete, request.method, request.path, request.version)
        else {
            return Err(refusal);
        };
        let Some((target, headers)) = target.parse().ok().zip(headers(request.headers)) else { return Err(refusal) };
        let upgrade = headers.get_all("upgrade").into_iter().map(HeaderValue::as_bytes);
        if has_token(upgrade, "websocket") {
            return Err(refusal);
        }
        let target: Uri = target;
        let host = checks::host(&target, &headers)?;
        checks::origin(&headers)?;
        let head = RequestHead { target, headers, host };
        Ok(Self { method: method.to_owned(), head, bytes: BytesMut::new(), refusal })
    }

    /// The method as it was sent.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// What to answer where only upgrades are served.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// Everything that was received: the head, credentials included, and what followed it.
    #[must_use]
    pub fn into_bytes(self) -> BytesMut {
        self.bytes
    }
}

impl Deref for PlainRequest {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        &self.head
    }
}

impl fmt::Debug for PlainRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainRequest").field("method", &self.method).field("head", &self.head).finish_non_exhaustive()
    }
}

fn headers(lines: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::MAX_HEAD_BYTES;

    async fn read(request: &str) -> Result<Requested, Refusal> {
        Requested::read_within(&mut request.as_bytes(), MAX_HEAD_BYTES).await
    }

    async fn plain(request: &str) -> PlainRequest {
        match read(request).await.unwrap() {
            Requested::Plain(plain) => plain,
            upgrade @ Requested::Upgrade(_) => panic!("{upgrade:?}"),
        }
    }

    fn status(refusal: &Refusal) -> u16 {
        match refusal {
            Refusal::Status { status, .. } => *status,
            Refusal::Gone => 0,
        }
    }

    const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    #[tokio::test]
    async fn any_method_is_read_and_what_follows_the_head_is_kept() {
        let text = "POST /p?channel=a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nOrigin: http://o\r\n\r\n{}";
        let request = plain(text).await;
        assert_eq!((request.method(), request.path(), request.query()), ("POST", "/p", Some("channel=a")));
        assert_eq!((request.host(), request.origin(), status(request.refusal())), ("h", Some("http://o"), 405));
        assert!(request.header("content-length").eq([b"2"]));
        assert_eq!(request.into_bytes(), text);
        let get = plain("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!((get.method(), status(get.refusal())), ("GET", 426));
    }

    #[tokio::test]
    async fn an_upgrade_is_judged_as_ever() {
        let proper = read(&format!("GET / HTTP/1.1\r\nHost: h\r\n{UPGRADE}\r\n")).await;
        assert!(matches!(proper, Ok(Requested::Upgrade(_))));
        for (first, headers, expected) in [
            ("POST / HTTP/1.1", UPGRADE, 405),
            ("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", 426),
        ] {
            let refusal = read(&format!("{first}\r\nHost: h\r\n{headers}\r\n")).await.unwrap_err();
            assert_eq!(status(&refusal), expected, "{first} {headers}");
        }
    }

    #[tokio::test]
    async fn what_is_no_proper_request_is_refused() {
        for (request, expected) in [
            ("GET / HTTP/1.0\r\nHost: h\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\nOrigin: http://b\r\n\r\n", 400),
            ("POST * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("\u{1}\u{2} / HTTP/1.1\r\n\r\n", 400),
            ("POST /", 0),
        ] {
            assert_eq!(status(&read(request).await.unwrap_err()), expected, "{request}");
        }
    }

    #[tokio::test]
    async fn nothing_secret_is_shown() {
        let request = plain("GET /p?token=hunter2 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer hunter2\r\n\r\n").await;
        let shown = format!("{request:?}");
        assert!(shown.contains("authorization") && !shown.contains("hunter"), "{shown}");
    }
}
