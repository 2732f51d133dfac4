//! Reading a stream to its end.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::codec::with_read_buffer;

/// Reads until the peer ends its direction, and throws away what comes. Has no deadline of its own, and no buffer either:
/// a buffer would count for every connection that may be drained one day.
pub(crate) async fn drain<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    poll_fn(|cx| {
        with_read_buffer(|buffer| {
            loop {
                let mut space = ReadBuf::new(buffer);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut space))?;
                if space.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    })
    .await
}
