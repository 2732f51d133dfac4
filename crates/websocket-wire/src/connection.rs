//! One open WebSocket connection: the codec, driven over a byte stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use crate::codec::with_read_buffer;
use crate::deflate::Deflate;
use crate::drain::drain;
use crate::{Batch, Codec, Disconnect, Limits, Message, Role};

/// How long the end of the byte stream is awaited once both have said goodbye.
const LINGER: Duration = Duration::from_secs(1);

/// How long what a peer said before it hung up is awaited once nothing can be written any more.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What [`Connection::poll_drive`] got done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Everything queued was accepted by the stream.
    Flushed,
    /// The batch holds what was received: messages, control frames only, or nothing but the begin of a message, which
    /// [`Connection::is_mid_message`] tells.
    Received,
}

/// An open connection. Receives and sends concurrently from one task; reading is never stopped by a peer that does not
/// read, nor the other way round.
///
/// While nothing happens it holds no buffer: bytes are read into one of the thread's, and what waits to be sent is
/// encoded into another.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    codec: Codec,
    /// Received and not taken, because a batch was full.
    leftover: BytesMut,
    unflushed: bool,
    /// Whether the caller knows that a message is under way.
    told_mid_message: bool,
    /// Once nothing can be sent any more.
    write_failed: Option<Box<WriteFailed>>,
}

/// Nothing can be sent any more; what the peer had sent before may be on its way still.
#[derive(Debug)]
struct WriteFailed {
    lost: Disconnect,
    last_words: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection over `stream` after the handshake. `received`: what came behind the handshake.
    pub fn new(stream: S, received: BytesMut, role: Role, limits: Limits, deflate: Option<Deflate>) -> Self {
        let codec = Codec::new(role, limits, deflate);
        Self { stream, codec, leftover: received, unflushed: false, told_mid_message: false, write_failed: None }
    }

    /// Queues a message without sending; the payload is shared, not copied. [`Connection::poll_drive`] sends it.
    /// Bounding what waits is the caller's.
    #[inline]
    pub fn queue(&mut self, message: Message) {
        self.codec.queue(message);
    }

    /// Queues encoded frames without sending: see [`Codec::queue_frames`].
    #[inline]
    pub fn queue_frames(&mut self, frames: Bytes) {
        self.codec.queue_frames(frames);
    }

    /// Whether something queued was not yet accepted by the stream.
    #[inline]
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.unflushed || self.codec.has_unsent()
    }

    /// [`Codec::chunks_sent`]
    #[must_use]
    pub fn chunks_sent(&self) -> u64 {
        self.codec.chunks_sent()
    }

    /// Whether the peer began a message and has not completed it.
    #[inline]
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        self.codec.is_mid_message()
    }

    /// The byte stream, for its options.
    #[must_use]
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Gives memory back; for connections that have been idle for a while.
    pub fn shrink(&mut self) {
        self.codec.shrink();
        if self.leftover.is_empty() {
            self.leftover = BytesMut::new();
        }
    }

    /// Sends what is queued, and receives into `batch` when there is one. Resolves with whatever is done first.
    ///
    /// # Errors
    /// How the connection ended; what was received before is handed over first.
    pub fn poll_drive(
        &mut self,
        cx: &mut Context<'_>,
        batch: Option<&mut Batch>,
    ) -> Poll<Result<Progress, Disconnect>> {
        if let Some(ended) = self.codec.ended() {
            // Found behind messages, which were handed over with it. Before anything is called flushed: what was queued
            // since then is not sent.
            return Poll::Ready(Err(ended.clone()));
        }
        if self.write_failed.is_none()
            && self.has_unsent()
            && let Poll::Ready(sent) = self.poll_send(cx)
        {
            match sent {
                Ok(()) => return Poll::Ready(Ok(Progress::Flushed)),
                Err(lost) => {
                    let last_words = Box::pin(sleep(LAST_WORDS));
                    self.write_failed = Some(Box::new(WriteFailed { lost, last_words }));
                }
            }
        }
        let listens = batch.is_some();
        let received = match batch {
            Some(batch) => self.poll_receive(cx, batch).map_ok(|()| Progress::Received),
            None => Poll::Pending,
        };
        match (&mut self.write_failed, received) {
            // What the peer had sent before is read first: its Close may tell why it takes nothing any more. That there
            // is something to read may be known a moment later than that nothing can be written.
            (Some(failed), Poll::Pending) => {
                if listens {
                    ready!(failed.last_words.as_mut().poll(cx));
                }
                Poll::Ready(Err(failed.lost.clone()))
            }
            (_, received) => received,
        }
    }

    /// [`Connection::poll_drive`] as a future. Dropping it loses nothing.
    ///
    /// # Errors
    /// As [`Connection::poll_drive`].
    pub async fn drive(&mut self, mut batch: Option<&mut Batch>) -> Result<Progress, Disconnect> {
        poll_fn(|cx| self.poll_drive(cx, batch.as_deref_mut())).await
    }

    /// Says goodbye with `code` (RFC 6455 section 7.4) and waits for the peer's goodbye, both until `deadline`; what
    /// was queued and not begun is dropped, and so is what still comes. A reason of more than 123 bytes is cut.
    pub async fn close(mut self, code: u16, reason: &str, deadline: Instant) {
        self.codec.close(code, reason);
        let _ = timeout_at(deadline, self.goodbye()).await;
    }

    async fn goodbye(&mut self) {
        let sent = poll_fn(|cx| {
            // First, because reading may use up the task's turn.
            let sent = self.poll_send(cx);
            if sent.is_pending() {
                // So that a peer that sends first and reads later gets to our Close.
                self.discard(cx);
            }
            sent
        });
        if sent.await.is_err() {
            return;
        }
        poll_fn(|cx| {
            self.discard(cx);
            if self.codec.ended().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        // Ends our direction and reads on until the peer ends its own: closing a socket with unread bytes resets the
        // connection, and the reset can overtake our Close.
        let _ = timeout_at(Instant::now() + LINGER, self.drain()).await;
    }

    /// Receives all there is and forgets it.
    fn discard(&mut self, cx: &mut Context<'_>) {
        let mut ignored = Batch::default();
        while self.codec.ended().is_none() && self.poll_receive(cx, &mut ignored).is_ready() {
            ignored.clear();
        }
    }

    async fn drain(&mut self) {
        // The answer to what came last, if there is one.
        let _ = poll_fn(|cx| self.poll_send(cx)).await;
        let _ = self.stream.shutdown().await;
        let _ = drain(&mut self.stream).await;
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnect>> {
        let lost = |error: std::io::Error| Disconnect::Lost(error.to_string());
        loop {
            let unsent = self.codec.unsent()?;
            if unsent.iter().all(|slice| slice.is_empty()) {
                break;
            }
            let stream = Pin::new(&mut self.stream);
            let written = match unsent[1].is_empty() {
                true => stream.poll_write(cx, &unsent[0]),
                false => stream.poll_write_vectored(cx, &unsent),
            };
            let count = ready!(written).map_err(lost)?;
            if count == 0 {
                return Poll::Ready(Err(Disconnect::Lost("the connection takes nothing any more".to_owned())));
            }
            self.unflushed = true;
            self.codec.sent(count);
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(lost)?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn poll_receive(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<Result<(), Disconnect>> {
        let frames = batch.frames();
        if self.codec.has_buffered() || !self.leftover.is_empty() {
            // Reading would count against the task's turn; bytes that are here already do too, or a peer that sends the
            // smallest of frames would keep the thread from everybody else.
            ready!(poll_proceed(cx)).made_progress();
            self.take_leftover(batch)?;
        }
        with_read_buffer(|buffer| {
            while batch.has_room() {
                let mut space = ReadBuf::new(buffer);
                let result = match Pin::new(&mut self.stream).poll_read(cx, &mut space) {
                    Poll::Pending if batch.frames() == frames && !self.begins_message() => return Poll::Pending,
                    Poll::Pending => break,
                    Poll::Ready(result) => result.map(|()| space.filled()),
                };
                if let Err(ended) = self.take(result, batch) {
                    // With the messages before it first; the next call says it again.
                    return if batch.frames() > frames { Poll::Ready(Ok(())) } else { Poll::Ready(Err(ended)) };
                }
            }
            self.told_mid_message = self.codec.is_mid_message();
            Poll::Ready(Ok(()))
        })
    }

    /// Whether a message is under way, and the caller has yet to hear of it.
    fn begins_message(&self) -> bool {
        self.codec.is_mid_message() && !self.told_mid_message
    }

    fn take(&mut self, received: std::io::Result<&[u8]>, batch: &mut Batch) -> Result<(), Disconnect> {
        let mut input = match received {
            Ok([]) => return Err(self.codec.end_of_stream()),
            Ok(bytes) => bytes,
            Err(error) => return Err(self.codec.failed(&error)),
        };
        let result = self.codec.receive(&mut input, batch);
        self.leftover.extend_from_slice(input);
        result
    }

    fn take_leftover(&mut self, batch: &mut Batch) -> Result<(), Disconnect> {
        let mut input = &self.leftover[..];
        let result = self.codec.receive(&mut input, batch);
        let taken = self.leftover.len() - input.len();
        bytes::Buf::advance(&mut self.leftover, taken);
        result
    }
}

#[cfg(test)]
mod tests;
