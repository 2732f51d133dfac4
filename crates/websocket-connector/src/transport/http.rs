//! The little of HTTP both handshakes share: bounded heads, tokens, field values.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest head of a request or response, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Largest number of header lines; the parser holds no more.
pub(super) const MAX_HEADERS: usize = 100;

/// Why no head was read.
#[derive(Debug)]
pub(super) enum HeadError {
    /// The stream ended or failed first.
    Io(String),
    /// More bytes or lines than a head may have.
    TooLarge,
}

/// Reads up to the empty line; returns the head with that line, and what followed it.
pub(super) async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(BytesMut, BytesMut), HeadError> {
    const END: &[u8] = b"\r\n\r\n";
    let mut buffer = BytesMut::with_capacity(1024);
    let mut searched = 0;
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) => {
                return Err(HeadError::Io("the peer ended the connection during the handshake".to_owned()));
            }
            Ok(_) => {}
            Err(error) => return Err(HeadError::Io(error.to_string())),
        }
        if let Some(found) = buffer[searched..].windows(END.len()).position(|window| window == END) {
            let head = buffer.split_to(searched + found + END.len());
            let lines = head.iter().filter(|byte| **byte == b'\n').count();
            // Neither the first nor the last line is a header.
            let fits = head.len() <= MAX_HEAD_BYTES && lines <= MAX_HEADERS + 2;
            return if fits { Ok((head, buffer)) } else { Err(HeadError::TooLarge) };
        }
        if buffer.len() > MAX_HEAD_BYTES {
            return Err(HeadError::TooLarge);
        }
        searched = buffer.len().saturating_sub(END.len() - 1);
    }
}

/// Whether a comma-separated list of tokens (RFC 9110 section 5.6.1) holds `token`, in any case.
pub(super) fn has_token<'a>(values: impl IntoIterator<Item = &'a [u8]>, token: &str) -> bool {
    values
        .into_iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether `text` is a token (RFC 9110 section 5.6.2): a header name or a subprotocol.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether `text` can be a header's value: no control characters, so no second header either.
pub(crate) fn is_field_value(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8]) -> Result<(BytesMut, BytesMut), HeadError> {
        read_head(&mut &input[..]).await
    }

    #[tokio::test]
    async fn a_head_ends_at_the_empty_line_and_what_follows_is_kept() {
        let (head, rest) = read(b"GET / HTTP/1.1\r\nA: b\r\n\r\n\x81\x00").await.unwrap();
        assert_eq!((&head[..], &rest[..]), (&b"GET / HTTP/1.1\r\nA: b\r\n\r\n"[..], &b"\x81\x00"[..]));
    }

    #[tokio::test]
    async fn too_many_bytes_or_lines_are_refused() {
        let long = [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'x'; MAX_HEAD_BYTES], b"\r\n\r\n".to_vec()].concat();
        assert!(matches!(read(&long).await, Err(HeadError::TooLarge)));
        let many = ["GET / HTTP/1.1\r\n", &"A: b\r\n".repeat(MAX_HEADERS + 1), "\r\n"].concat();
        assert!(matches!(read(many.as_bytes()).await, Err(HeadError::TooLarge)));
        assert!(matches!(read(b"GET / HT").await, Err(HeadError::Io(_))));
    }

    #[test]
    fn tokens_are_found_in_lists_and_never_inside_others() {
        let values: [&[u8]; 2] = [b"keep-alive, Upgrade", b"x"];
        assert!(has_token(values, "upgrade") && has_token(values, "X"));
        assert!(!has_token(values, "up"));
        assert!(is_token("graphql-transport-ws") && !is_token("a b") && !is_token(""));
        assert!(is_field_value("Bearer a.b") && !is_field_value("a\r\nB: c"));
    }
}
