//! The beginning of a refusal's body, when a human can read it: bounded in bytes and in time.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;
use tungstenite::handshake::client::Response;
use tungstenite::http::HeaderMap;

use super::head::{has_token, values};

/// Most bytes of a body that are read, the marks between its chunks included.
const MAX_BODY_BYTES: usize = 4096;

/// How long the body may take.
const BODY_DEADLINE: Duration = Duration::from_secs(1);

/// Reads the body, of which `received` is the beginning. What the peer does not send in time, or at all, is left out.
pub(super) async fn read_text<S>(stream: &mut S, response: &Response, mut received: BytesMut) -> String
where
    S: AsyncRead + Unpin,
{
    let framing = Framing::of(response);
    if !is_text(response.headers()) {
        return String::new();
    }
    let read = async {
        while received.len() < MAX_BODY_BYTES && !framing.decode(&received).1 {
            if !matches!(stream.read_buf(&mut received).await, Ok(count) if count > 0) {
                break;
            }
        }
    };
    // However it ended, what has come is all there is to show.
    let _ = timeout(BODY_DEADLINE, read).await;
    received.truncate(MAX_BODY_BYTES);
    String::from_utf8_lossy(&framing.decode(&received).0).into_owned()
}

/// How the end of a body is known (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    fn of(response: &Response) -> Self {
        let headers = response.headers();
        let status = response.status().as_u16();
        if matches!(status, 100..200 | 204 | 304) {
            return Self::Length(0);
        }
        if has_token(values(headers, "transfer-encoding"), "chunked") {
            return Self::Chunked;
        }
        let length = values(headers, "content-length").next().and_then(|value| std::str::from_utf8(value).ok());
        length.and_then(|length| length.parse().ok()).map_or(Self::UntilClose, Self::Length)
    }

    /// The body in what was received so far, and whether nothing more can come.
    fn decode(self, received: &[u8]) -> (Vec<u8>, bool) {
        match self {
            Self::Length(length) => (received[..length.min(received.len())].to_vec(), received.len() >= length),
            Self::Chunked => decode_chunks(received),
            Self::UntilClose => (received.to_vec(), false),
        }
    }
}

/// The content of a chunked body (RFC 9112 section 7.1). A body that breaks the rules ends where it does.
fn decode_chunks(mut received: &[u8]) -> (Vec<u8>, bool) {
    let mut content = Vec::new();
    loop {
        let Some(end) = received.windows(2).position(|window| window == b"\r\n") else { return (content, false) };
        let digits = received[..end].split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        received = &received[end + 2..];
        match size {
            None | Some(0) => return (content, true),
            Some(size) if size.saturating_add(2) > received.len() => {
                content.extend_from_slice(&received[..size.min(received.len())]);
                return (content, false);
            }
            Some(size) => {
                content.extend_from_slice(&received[..size]);
                received = &received[size + 2..];
            }
        }
    }
}

/// Whether the body is text or JSON as it stands.
fn is_text(headers: &HeaderMap) -> bool {
    let media_type = values(headers, "content-type").next().unwrap_or_default();
    let media_type =
        media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let readable =
        media_type.starts_with(b"text/") || media_type == b"application/json" || media_type.ends_with(b"+json");
    readable && values(headers, "content-encoding").all(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::super::response::parse;
    use super::*;

    fn response(status: u16, headers: &str) -> Response {
        parse(format!("HTTP/1.1 {status} x\r\n{headers}\r\n").as_bytes()).unwrap()
    }

    /// What is read of a body that comes in two parts, from a peer that then stays silent.
    async fn read(headers: &str, first: &str, second: &str) -> String {
        let (mut stream, mut peer) = duplex(64 * 1024);
        peer.write_all(second.as_bytes()).await.unwrap();
        let headers = format!("Content-Type: text/plain\r\n{headers}");
        let text = read_text(&mut stream, &response(400, &headers), first.into()).await;
        drop(peer);
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_ends_where_its_framing_says() {
        assert_eq!(read("Content-Length: 5\r\n", "ab", "cdefgh").await, "abcde");
        assert_eq!(read("Content-Length: 0\r\n", "", "more").await, "");
        let chunked = "Transfer-Encoding: gzip, chunked\r\n";
        assert_eq!(read(chunked, "2\r\nab\r\n", "A;x=y\r\n0123456789\r\n0\r\n\r\nx").await, "ab0123456789");
        assert_eq!(read(chunked, "2\r\nab\r\n", "no number\r\nx").await, "ab");
        assert_eq!(read(chunked, "ffffffffffffffff\r\nab", "cd").await, "abcd");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_an_end_is_cut_in_bytes_and_in_time() {
        assert_eq!(read("", "ab", "cd").await, "abcd");
        assert_eq!(read("", &"x".repeat(MAX_BODY_BYTES * 2), "").await.len(), MAX_BODY_BYTES);
        let text = response(400, "Content-Type: text/plain\r\n");
        assert_eq!(read_text(&mut tokio::io::repeat(b'x'), &text, BytesMut::new()).await.len(), MAX_BODY_BYTES);
        assert_eq!(read("Content-Length: 9999999\r\n", "ab", "cd").await, "abcd");
    }

    #[tokio::test]
    async fn what_nobody_can_read_is_not_read() {
        for headers in [
            "",
            "Content-Type: image/png\r\n",
            "Content-Type: application/octet-stream\r\n",
            "Content-Type: text/html\r\nContent-Encoding: gzip\r\n",
        ] {
            let (mut stream, _peer) = duplex(64);
            assert_eq!(read_text(&mut stream, &response(400, headers), "body".into()).await, "", "{headers}");
        }
        for media_type in ["Text/HTML; charset=utf-8", "application/json", "application/problem+json"] {
            assert!(is_text(response(400, &format!("Content-Type: {media_type}\r\n")).headers()), "{media_type}");
        }
    }

    #[test]
    fn some_statuses_have_no_body_whatever_they_say() {
        assert_eq!(Framing::of(&response(204, "Content-Length: 5\r\n")), Framing::Length(0));
        assert_eq!(Framing::of(&response(400, "Content-Length: x\r\n")), Framing::UntilClose);
    }

    proptest::proptest! {
        #[test]
        fn no_chunk_panics_or_grows(received: Vec<u8>, digits in "[0-9a-f]{0,17}") {
            for received in [received.clone(), [digits.as_bytes(), b"\r\n", &received].concat()] {
                proptest::prop_assert!(decode_chunks(&received).0.len() <= received.len());
            }
        }
    }
}
