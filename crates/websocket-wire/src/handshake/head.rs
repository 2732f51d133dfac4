//! The little of HTTP both handshakes share: bounded heads, tokens, field values.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};
use tungstenite::http::HeaderMap;

/// Largest head of a response, in bytes, its empty line included; the default for requests.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Largest number of header lines in a head. The parser below holds 124.
pub const MAX_HEADERS: usize = 100;

/// What is allocated for a head to begin with, in bytes; most fit.
const INITIAL_BYTES: usize = 1024;

/// The end of a head: the end of its last line, and an empty one.
const END: &[u8] = b"\r\n\r\n";

/// Whether comma-separated lists of tokens (RFC 9110 section 5.6.1) hold `token`, in any case. `values` are the values
/// of one header, which may be sent in several lines.
pub fn has_token<'a>(values: impl IntoIterator<Item = &'a [u8]>, token: &str) -> bool {
    list_items(values).any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether `text` is a token (RFC 9110 section 5.6.2), as a header's name or a subprotocol must be.
#[must_use]
pub fn is_token(text: &str) -> bool {
    is_token_bytes(text.as_bytes())
}

/// Whether `text` can be a header's value (RFC 9110 section 5.5): no control characters, so no second header either.
#[must_use]
pub fn is_field_value(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control())
}

pub(super) fn is_token_bytes(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// The items of comma-separated lists, without the empty ones, which a recipient ignores.
pub(super) fn list_items<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let items = values.into_iter().flat_map(|value| value.split(|byte| *byte == b','));
    items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// All values of a header, one per line it was sent in, without the spaces around them.
pub(super) fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers.get_all(name).into_iter().map(|value| value.as_bytes().trim_ascii())
}

/// Why no head was read.
#[derive(Debug)]
pub(super) enum HeadError {
    /// The stream ended or failed first.
    Io(io::Error),
    /// More bytes or lines than a head may have.
    TooLarge,
}

/// Reads up to the empty line and returns the head with that line. What followed it stays in `received`.
pub(super) async fn read_head<S>(stream: &mut S, received: &mut HeadBuffer) -> Result<BytesMut, HeadError>
where
    S: AsyncRead + Unpin,
{
    loop {
        if let Some(head) = received.take()? {
            return Ok(head);
        }
        match stream.read_buf(&mut received.bytes).await {
            Ok(0) => {
                let reason = "the peer ended the connection during the handshake";
                return Err(HeadError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, reason)));
            }
            Ok(_) => {}
            Err(error) => return Err(HeadError::Io(error)),
        }
    }
}

/// Received bytes of which heads are taken. Looks at each byte once, however they come.
pub(super) struct HeadBuffer {
    bytes: BytesMut,
    max_head_bytes: usize,
    searched: usize,
    line_ends: usize,
}

impl HeadBuffer {
    /// For heads of at most `max_head_bytes`.
    pub(super) fn new(max_head_bytes: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(INITIAL_BYTES), max_head_bytes, searched: 0, line_ends: 0 }
    }

    /// What followed the heads; takes no memory when nothing did.
    pub(super) fn into_rest(self) -> BytesMut {
        if self.bytes.is_empty() { BytesMut::new() } else { self.bytes }
    }

    /// The next head, once all of it is here.
    ///
    /// # Errors
    /// [`HeadError::TooLarge`] as soon as it is.
    fn take(&mut self) -> Result<Option<BytesMut>, HeadError> {
        let overlap = self.searched.saturating_sub(END.len() - 1);
        let found = self.bytes[overlap..].windows(END.len()).position(|window| window == END);
        let end = found.map_or(self.bytes.len(), |start| overlap + start + END.len());
        self.line_ends += self.bytes[self.searched..end].iter().filter(|byte| **byte == b'\n').count();
        self.searched = end;
        // The first line is no header, and neither is the last, the empty one.
        let most_line_ends = MAX_HEADERS + 1 + usize::from(found.is_some());
        if end > self.max_head_bytes || self.line_ends > most_line_ends {
            return Err(HeadError::TooLarge);
        }
        if found.is_none() {
            return Ok(None);
        }
        (self.searched, self.line_ends) = (0, 0);
        Ok(Some(self.bytes.split_to(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8]) -> Result<(BytesMut, BytesMut), HeadError> {
        let mut received = HeadBuffer::new(MAX_HEAD_BYTES);
        let head = read_head(&mut &input[..], &mut received).await?;
        Ok((head, received.into_rest()))
    }

    #[tokio::test]
    async fn a_head_ends_at_the_empty_line_and_what_follows_is_kept() {
        let (head, rest) = read(b"GET / HTTP/1.1\r\nA: b\r\n\r\n\x81\x00").await.unwrap();
        assert_eq!((&head[..], &rest[..]), (&b"GET / HTTP/1.1\r\nA: b\r\n\r\n"[..], &b"\x81\x00"[..]));
        assert!(matches!(read(b"GET / HT").await, Err(HeadError::Io(_))));
    }

    #[tokio::test]
    async fn the_largest_head_passes_and_one_byte_or_line_more_does_not() {
        let of_bytes = |bytes: usize| {
            let frame = "GET / HTTP/1.1\r\nA: \r\n\r\n";
            frame.replace("A: ", &format!("A: {}", "x".repeat(bytes - frame.len()))).into_bytes()
        };
        assert!(read(&of_bytes(MAX_HEAD_BYTES)).await.is_ok());
        assert!(matches!(read(&of_bytes(MAX_HEAD_BYTES + 1)).await, Err(HeadError::TooLarge)));
        let of_lines = |lines: usize| ["GET / HTTP/1.1\r\n", &"A: b\r\n".repeat(lines), "\r\n"].concat();
        assert!(read(of_lines(MAX_HEADERS).as_bytes()).await.is_ok());
        assert!(matches!(read(of_lines(MAX_HEADERS + 1).as_bytes()).await, Err(HeadError::TooLarge)));
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_refused_while_the_peer_still_sends() {
        for endless in ["A: b\r\n".repeat(MAX_HEADERS + 2), "x".repeat(MAX_HEAD_BYTES + 1)] {
            let (mut stream, mut peer) = tokio::io::duplex(endless.len());
            tokio::io::AsyncWriteExt::write_all(&mut peer, endless.as_bytes()).await.unwrap();
            let read = read_head(&mut stream, &mut HeadBuffer::new(MAX_HEAD_BYTES)).await;
            assert!(matches!(read, Err(HeadError::TooLarge)));
            drop(peer);
        }
    }

    #[test]
    fn tokens_are_found_in_lists_and_never_inside_others() {
        let values: [&[u8]; 2] = [b"keep-alive,\t Upgrade,,", b"x"];
        assert!(has_token(values, "upgrade") && has_token(values, "X"));
        assert!(!has_token(values, "up") && !has_token(values, ""));
    }

    #[test]
    fn tokens_and_field_values_hold_no_separator() {
        assert!(is_token("graphql-transport-ws") && !is_token("a b") && !is_token("a:b") && !is_token(""));
        assert!(is_field_value("Bearer a.b") && is_field_value("ü"));
        assert!(!is_field_value("a\r\nB: c") && !is_field_value("a\nb") && !is_field_value("a\0"));
    }

    proptest::proptest! {
        #[test]
        fn a_head_is_the_same_however_it_is_split(parts in proptest::collection::vec("[a\r\n]{0,6}", 0..20)) {
            let whole = parts.concat();
            let mut buffer = HeadBuffer::new(MAX_HEAD_BYTES);
            let mut taken = None;
            for part in &parts {
                buffer.bytes.extend_from_slice(part.as_bytes());
                if taken.is_none() {
                    taken = buffer.take().unwrap();
                }
            }
            let expected = whole.find("\r\n\r\n").map(|start| &whole.as_bytes()[..start + 4]);
            proptest::prop_assert_eq!(taken.as_deref(), expected);
        }
    }
}
