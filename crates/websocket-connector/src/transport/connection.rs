//! One open WebSocket connection: messages in, messages out, and how it ended.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use super::stream::Continued;
use super::{Batch, ByteStream};

/// Bytes collected before they are written to the socket without a flush.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// Largest frame sent; a longer payload goes out in fragments, so that no payload needs a buffer of its size.
const MAX_FRAME_BYTES: usize = 512 * 1024;

/// Cap on what waits for a socket that takes nothing: one full buffer, one frame, and a few pongs.
const MAX_WRITE_BUFFER_BYTES: usize = WRITE_BUFFER_BYTES + MAX_FRAME_BYTES + 4 * 1024;

/// How long the end of the TCP connection is awaited once both have said goodbye.
const LINGER: Duration = Duration::from_secs(1);

/// Longest close reason (RFC 6455 section 5.5: 125 bytes with the code).
const MAX_REASON_BYTES: usize = 123;

/// Limits of what a connection receives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Largest message, in bytes.
    pub(crate) max_message_bytes: usize,
    /// Size of the read buffer, in bytes; allocated while the connection is open.
    pub(crate) read_buffer_bytes: usize,
}

/// What a payload is sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// A text message; the payload must be UTF-8.
    Text,
    /// A binary message.
    Binary,
    /// A ping; the payload must not exceed 125 bytes.
    Ping,
    /// A Close with this code; the payload is the reason.
    Close(u16),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Disconnect {
    /// The peer said goodbye.
    Closed {
        /// Its close code (RFC 6455 section 7.4).
        code: Option<u16>,
        /// Its reason, as it came; escape before showing.
        reason: String,
    },
    /// The stream ended or failed without a goodbye.
    Lost(String),
    /// The peer broke the protocol or a limit.
    Violation {
        /// The code to close with.
        code: u16,
        /// What it did.
        reason: String,
    },
}

/// What [`Connection::poll_drive`] got done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Everything queued was accepted by the kernel.
    Flushed,
    /// The batch holds what was received (which may be control frames only).
    Received,
}

/// An open connection. Receives and sends concurrently from one task; reading is never stopped by a peer that does not
/// read, nor the other way round.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: WebSocketStream<Continued>,
    outgoing: VecDeque<Outgoing>,
    unflushed: bool,
    frames_sent: u64,
    /// Why nothing can be sent any more.
    write_failed: Option<Disconnect>,
    /// Why nothing more will be received.
    ended: Option<Disconnect>,
}

#[derive(Debug)]
struct Outgoing {
    kind: MessageKind,
    payload: Bytes,
    /// Bytes of the payload that went out as fragments.
    sent: usize,
}

impl Connection {
    pub(super) async fn client(stream: ByteStream, received: BytesMut, limits: Limits) -> Self {
        Self::new(stream, received, Role::Client, limits).await
    }

    pub(super) async fn server(stream: ByteStream, received: BytesMut, limits: Limits) -> Self {
        Self::new(stream, received, Role::Server, limits).await
    }

    async fn new(stream: ByteStream, received: BytesMut, role: Role, limits: Limits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(limits.read_buffer_bytes)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(Some(limits.max_message_bytes))
            .max_frame_size(Some(limits.max_message_bytes));
        Self {
            socket: WebSocketStream::from_raw_socket(Continued::new(received, stream), role, Some(config)).await,
            outgoing: VecDeque::new(),
            unflushed: false,
            frames_sent: 0,
            write_failed: None,
            ended: None,
        }
    }

    /// Queues a message without sending; the payload is shared, not copied. [`Connection::poll_drive`] sends it.
    #[inline]
    pub(crate) fn queue(&mut self, kind: MessageKind, payload: Bytes) {
        self.outgoing.push_back(Outgoing { kind, payload, sent: 0 });
    }

    /// Whether something queued was not yet accepted by the kernel.
    pub(crate) fn has_unsent(&self) -> bool {
        self.unflushed || !self.outgoing.is_empty()
    }

    /// Frames handed to the socket so far. The next one follows when it has taken them, so a number that stands still
    /// while something is unsent means a peer that does not read.
    pub(crate) fn frames_sent(&self) -> u64 {
        self.frames_sent
    }

    /// Sends what is queued, and receives into `batch` when there is one. Resolves with whatever is done first.
    ///
    /// # Errors
    /// How the connection ended; what was received before is handed over first.
    pub(crate) fn poll_drive(
        &mut self,
        cx: &mut Context<'_>,
        batch: Option<&mut Batch>,
    ) -> Poll<Result<Progress, Disconnect>> {
        if self.write_failed.is_none()
            && self.has_unsent()
            && let Poll::Ready(sent) = self.poll_send(cx)
        {
            match sent {
                Ok(()) => return Poll::Ready(Ok(Progress::Flushed)),
                Err(lost) => self.write_failed = Some(lost),
            }
        }
        let received = match batch {
            Some(batch) => self.poll_receive(cx, batch).map_ok(|()| Progress::Received),
            None => Poll::Pending,
        };
        match (&self.write_failed, received) {
            // What the peer had sent before is read first: its Close may tell why it takes nothing any more.
            (Some(lost), Poll::Pending) => Poll::Ready(Err(lost.clone())),
            (_, received) => received,
        }
    }

    /// [`Connection::poll_drive`] as a future. Dropping it loses nothing.
    ///
    /// # Errors
    /// As [`Connection::poll_drive`].
    pub(crate) async fn drive(&mut self, mut batch: Option<&mut Batch>) -> Result<Progress, Disconnect> {
        poll_fn(|cx| self.poll_drive(cx, batch.as_deref_mut())).await
    }

    /// Says goodbye with `code` and waits for the peer's goodbye, both within `deadline`; data that still comes is
    /// dropped.
    pub(crate) async fn close(mut self, code: u16, reason: &str, deadline: Instant) {
        self.outgoing.retain(|message| message.sent > 0);
        let mut ends = (0..=reason.len().min(MAX_REASON_BYTES)).rev();
        let end = ends.find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
        self.queue(MessageKind::Close(code), Bytes::copy_from_slice(&reason.as_bytes()[..end]));
        let _ = timeout_at(deadline, self.goodbye()).await;
    }

    async fn goodbye(&mut self) {
        let sent = poll_fn(|cx| {
            // Read along, so that a peer that sends first and reads later gets to our Close.
            let mut ignored = Batch::default();
            while self.ended.is_none() && self.poll_receive(cx, &mut ignored).is_ready() {
                ignored.clear();
            }
            if matches!(self.ended, Some(Disconnect::Closed { .. })) {
                // The library has queued the answer to the peer's Close; nothing else may follow.
                self.outgoing.clear();
            }
            self.poll_send(cx)
        });
        if sent.await.is_err() {
            return;
        }
        let ended = poll_fn(|cx| {
            while let Some(item) = ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                if matches!(item, Err(_) | Ok(Message::Close(_))) {
                    break;
                }
            }
            Poll::Ready(())
        });
        ended.await;
        // Ends our direction and reads on until the peer ends its own: closing a socket with unread bytes resets the
        // connection, and the reset can overtake our Close.
        let _ = timeout_at(Instant::now() + LINGER, self.drain()).await;
    }

    async fn drain(&mut self) {
        let _ = poll_fn(|cx| Pin::new(&mut self.socket).poll_flush(cx)).await;
        let stream = self.socket.get_mut();
        let _ = stream.shutdown().await;
        let mut ignored = [0; 4096];
        while matches!(stream.read(&mut ignored).await, Ok(count) if count > 0) {}
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnect>> {
        while let Some(next) = self.outgoing.front_mut() {
            ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(lost)?;
            let (message, done) = next.next_frame();
            self.unflushed = true;
            self.frames_sent += 1;
            Pin::new(&mut self.socket).start_send(message).map_err(lost)?;
            if done {
                self.outgoing.pop_front();
            }
        }
        ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(lost)?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn poll_receive(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<Result<(), Disconnect>> {
        if let Some(ended) = &self.ended {
            return Poll::Ready(Err(ended.clone()));
        }
        let mut received = false;
        while batch.has_room() {
            let Poll::Ready(item) = Pin::new(&mut self.socket).poll_next(cx) else {
                return if received { Poll::Ready(Ok(())) } else { Poll::Pending };
            };
            let ended = match item {
                Some(Ok(Message::Text(text))) => {
                    batch.push_text(text.into());
                    None
                }
                Some(Ok(Message::Binary(bytes))) => {
                    batch.push_binary(bytes);
                    None
                }
                Some(Ok(Message::Close(frame))) => Some(closed(frame)),
                Some(Ok(control)) => {
                    batch.push_control(matches!(control, Message::Ping(_)));
                    None
                }
                Some(Err(error)) => Some(disconnect(error)),
                None => Some(Disconnect::Lost("the connection is closed".to_owned())),
            };
            if let Some(ended) = ended {
                self.ended = Some(ended.clone());
                return Poll::Ready(if received { Ok(()) } else { Err(ended) });
            }
            received = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Outgoing {
    /// The next frame of the message, and whether it is the last.
    #[inline]
    fn next_frame(&mut self) -> (Message, bool) {
        let data = match self.kind {
            MessageKind::Text => Data::Text,
            MessageKind::Binary => Data::Binary,
            MessageKind::Ping => return (Message::Ping(self.payload.clone()), true),
            MessageKind::Close(code) => {
                let reason = String::from_utf8_lossy(&self.payload).into_owned().into();
                return (Message::Close(Some(CloseFrame { code: code.into(), reason })), true);
            }
        };
        let opcode = OpCode::Data(if self.sent == 0 { data } else { Data::Continue });
        let end = self.payload.len().min(self.sent + MAX_FRAME_BYTES);
        let done = end == self.payload.len();
        let fragment =
            if done && self.sent == 0 { std::mem::take(&mut self.payload) } else { self.payload.slice(self.sent..end) };
        self.sent = end;
        (Message::Frame(Frame::message(fragment, opcode, done)), done)
    }
}

impl Disconnect {
    /// The reason in words, safe to log: what the peer wrote is escaped.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Closed { code: None, .. } => "closed by the peer without a code".to_owned(),
            Self::Closed { code: Some(code), reason } if reason.is_empty() => format!("closed by the peer with {code}"),
            Self::Closed { code: Some(code), reason } => {
                format!("closed by the peer with {code} '{}'", reason.escape_debug())
            }
            Self::Lost(reason) => reason.clone(),
            Self::Violation { code, reason } => format!("{reason} (closing with {code})"),
        }
    }
}

fn closed(frame: Option<CloseFrame>) -> Disconnect {
    match frame {
        Some(frame) => Disconnect::Closed { code: Some(frame.code.into()), reason: frame.reason.as_str().to_owned() },
        None => Disconnect::Closed { code: None, reason: String::new() },
    }
}

fn lost(error: Error) -> Disconnect {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Disconnect::Lost("the connection is closed".to_owned()),
        error => Disconnect::Lost(error.to_string()),
    }
}

fn disconnect(error: Error) -> Disconnect {
    let code = match &error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            return Disconnect::Lost("the peer ended the connection without a Close frame".to_owned());
        }
        Error::Protocol(_) => 1002,
        Error::Utf8(_) => 1007,
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            let reason =
                format!("a message of {size} bytes or more exceeds websocket.max.message.size ({max_size} bytes)");
            return Disconnect::Violation { code: 1009, reason };
        }
        Error::Capacity(_) => 1009,
        _ => return lost(error),
    };
    Disconnect::Violation { code, reason: error.to_string() }
}
