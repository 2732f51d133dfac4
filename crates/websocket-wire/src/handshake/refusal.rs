//! What a server answers instead of an upgrade.

use std::borrow::Cow;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tungstenite::http::StatusCode;

use super::head::{is_field_value, is_token};
use crate::drain::drain;

/// How long a refused client may take to read the answer and to go away.
const LINGER: Duration = Duration::from_secs(1);

/// Why a request is not upgraded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client went away, or ended its request before it was complete: nobody is there to be answered.
    #[error("the client went away")]
    Gone,
    /// To be answered by [`refuse`].
    #[error("{status}: {}", reason.escape_debug())]
    Status {
        /// The status code, 400 to 599.
        status: u16,
        /// One line for the body of the answer; nothing the client may not know.
        reason: Cow<'static, str>,
        /// Headers of the answer besides those every refusal has.
        headers: Vec<(&'static str, String)>,
    },
}

impl Refusal {
    /// 400: the request is malformed, in the way `reason` says.
    pub fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::status(400, reason)
    }

    /// 403: an origin or host that may not connect. (RFC 6455 section 10.2)
    pub fn forbidden(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::status(403, reason)
    }

    /// 404: nothing is served at this path.
    #[must_use]
    pub fn not_found() -> Self {
        Self::status(404, "nothing is served at this path")
    }

    /// 408: the request was not complete in time.
    #[must_use]
    pub fn timeout() -> Self {
        Self::status(408, "no request came in time")
    }

    /// 503: one of our limits is reached; the client is told to come back after `retry_after`, in whole seconds.
    pub fn too_many(reason: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        Self::status(503, reason).with_header("Retry-After", seconds.to_string())
    }

    /// The answer with its end of connection, as bytes. Nothing for [`Refusal::Gone`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self::Status { status, reason, headers } = self else { return Vec::new() };
        let code = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut head = format!("HTTP/1.1 {} {}\r\n", code.as_str(), code.canonical_reason().unwrap_or_default());
        let mut header = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
        if code == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110 section 15.5.22; a header of one hop is named by Connection as well (section 7.6.1).
            header("Upgrade", "websocket");
            header("Connection", "Upgrade, close");
        } else {
            header("Connection", "close");
        }
        for (name, value) in headers {
            // A value made of what the client sent must not become a second header.
            let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            if is_token(name) && is_field_value(&value) {
                header(name, &value);
            }
        }
        header("Content-Type", "text/plain; charset=utf-8");
        header("Content-Length", &(reason.len() + 1).to_string());
        [&head, "\r\n", reason, "\n"].concat().into_bytes()
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::status(405, "the method must be GET").with_header("Allow", "GET".to_owned())
    }

    pub(super) fn upgrade_required(reason: &'static str) -> Self {
        Self::status(426, reason).with_header("Sec-WebSocket-Version", "13".to_owned())
    }

    pub(super) fn head_too_large() -> Self {
        Self::status(431, "the request has too many or too large headers")
    }

    fn status(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Status { status, reason: reason.into(), headers: Vec::new() }
    }

    fn with_header(mut self, name: &'static str, value: String) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name, value));
        }
        self
    }
}

/// Answers a request that is not upgraded, and ends the connection. Takes a second at most, whatever the client does.
pub async fn refuse<S>(stream: S, refusal: &Refusal)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = refusal.encode();
    if !answer.is_empty() {
        end(stream, &answer).await;
    }
}

/// Ends a connection with a last answer, in a way that lets the client read it. Takes a second at most, whatever the client
/// does.
pub async fn end<S>(mut stream: S, answer: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let polite = async {
        stream.write_all(answer).await?;
        // Flushes as well.
        stream.shutdown().await?;
        // Unread bytes would turn our close into a reset that can overtake the answer.
        drain(&mut stream).await
    };
    // A client that goes away first, or never does, has had its answer.
    let _ = timeout(LINGER, polite).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, BufStream, duplex};

    use super::*;

    fn encoded(refusal: &Refusal) -> String {
        String::from_utf8(refusal.encode()).unwrap()
    }

    #[test]
    fn each_refusal_has_its_status_and_headers() {
        for (refusal, status, header) in [
            (Refusal::bad_request("why"), "400 Bad Request", "Connection: close"),
            (Refusal::forbidden("why"), "403 Forbidden", "Connection: close"),
            (Refusal::not_found(), "404 Not Found", "Connection: close"),
            (Refusal::method_not_allowed(), "405 Method Not Allowed", "Allow: GET"),
            (Refusal::timeout(), "408 Request Timeout", "Connection: close"),
            (Refusal::upgrade_required("why"), "426 Upgrade Required", "Upgrade: websocket"),
            (Refusal::upgrade_required("why"), "426 Upgrade Required", "Connection: Upgrade, close"),
            (Refusal::upgrade_required("why"), "426 Upgrade Required", "Sec-WebSocket-Version: 13"),
            (Refusal::head_too_large(), "431 Request Header Fields Too Large", "Connection: close"),
            (Refusal::too_many("why", Duration::from_millis(1500)), "503 Service Unavailable", "Retry-After: 2"),
        ] {
            let text = encoded(&refusal);
            assert!(text.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{text}");
            assert!(text.contains(&format!("\r\n{header}\r\n")), "{header} in {text}");
            assert_eq!(text.matches("\r\nConnection: ").count(), 1, "{text}");
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())) && body.ends_with('\n'), "{text}");
        }
    }

    #[test]
    fn no_header_can_be_smuggled_into_an_answer() {
        let headers = vec![("WWW-Authenticate", "Bearer\r\nSet-Cookie: a=b".to_owned()), ("A\r\nB", String::new())];
        let refusal = Refusal::Status { status: 401, reason: "why\r\n\r\nnot".into(), headers };
        let text = encoded(&refusal);
        let head = text.split("\r\n\r\n").next().unwrap();
        assert_eq!(head.lines().count(), 5, "{head}");
        assert!(head.contains("\r\nWWW-Authenticate: Bearer  Set-Cookie: a=b\r\n"), "{head}");
    }

    #[test]
    fn a_status_that_is_none_is_answered_as_our_own_fault() {
        let refusal = Refusal::Status { status: 7, reason: "why".into(), headers: Vec::new() };
        assert!(encoded(&refusal).starts_with("HTTP/1.1 500 "));
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_reaches_a_client_that_still_sends() {
        let refusal = Refusal::not_found();
        let (stream, mut peer) = duplex(64);
        let client = async {
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).await.unwrap();
            // More than the pipe holds: it is all written only when it is read.
            peer.write_all(&[0; 64 * 1024]).await.unwrap();
            drop(peer);
            answer
        };
        let ((), answer) = tokio::join!(refuse(BufStream::new(stream), &refusal), client);
        assert_eq!(answer, refusal.encode());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_and_stays_is_left_after_a_moment() {
        let (stream, mut peer) = duplex(16);
        refuse(stream, &Refusal::not_found()).await;
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len(), 16);
    }

    #[tokio::test]
    async fn nobody_is_answered_who_is_gone() {
        let (stream, mut peer) = duplex(16);
        refuse(stream, &Refusal::Gone).await;
        assert_eq!(peer.read(&mut [0; 16]).await.unwrap(), 0);
    }
}
