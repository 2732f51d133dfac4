//! One connection: moves bytes in both directions at once, so that pings are answered and messages recorded whatever
//! the script is doing. The steps themselves are in `steps`.

use std::{collections::VecDeque, future::Future, io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::Instant,
};

use super::{
    MAX_HEAD_BYTES, MAX_MESSAGE_BYTES,
    deflate::{Deflater, Inflater},
    extensions::Agreement,
    frames::{RawFrame, Side},
    message::{Assembler, Broken, Incoming, Message},
    record::{Board, Ended, Ending, ReceivedClose, RunState},
    script::Pace,
    transport::Transport,
};

/// Bytes read at once at full pace.
const READ_CHUNK_BYTES: usize = 64 << 10;

/// A slow reader's portions per second.
const SLOW_PORTIONS_PER_SECOND: usize = 10;

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The head of the request, or of the response, is still to come.
    Head,
    /// Frames.
    Open,
}

pub(super) struct Conversation {
    pub(super) side: Side,
    pub(super) number: usize,
    pub(super) board: watch::Sender<Board>,
    pub(super) phase: Phase,
    pub(super) pace: Pace,
    pub(super) answer_pings: bool,
    pub(super) answer_close: bool,
    pub(super) close_sent: bool,
    /// Messages no step has expected yet.
    pub(super) inbox: VecDeque<Message>,
    /// Pongs no step has waited for yet.
    pub(super) pongs: VecDeque<Bytes>,
    pub(super) ending: Option<Ending>,
    /// `None` once the connection is gone.
    pub(super) transport: Option<Transport>,
    pub(super) input: BytesMut,
    pub(super) output: BytesMut,
    /// Once permessage-deflate is agreed upon.
    pub(super) deflater: Option<Deflater>,
    unflushed: bool,
    queued_bytes: u64,
    /// How many of the queued bytes have left this process.
    flushed_bytes: u64,
    next_slow_read: Instant,
    assembler: Assembler,
    /// Set when the other end's close came; the connection ends once our answer is written.
    closed: Option<Ending>,
}

enum Moved {
    In(io::Result<usize>),
    Out(io::Result<usize>),
    Flushed(io::Result<()>),
}

impl Conversation {
    pub(super) fn new(side: Side, number: usize, transport: Transport, board: watch::Sender<Board>) -> Self {
        Self {
            side,
            number,
            board,
            phase: Phase::Head,
            pace: Pace::Full,
            answer_pings: true,
            answer_close: true,
            close_sent: false,
            inbox: VecDeque::new(),
            pongs: VecDeque::new(),
            ending: None,
            transport: Some(transport),
            input: BytesMut::new(),
            output: BytesMut::new(),
            deflater: None,
            unflushed: false,
            queued_bytes: 0,
            flushed_bytes: 0,
            next_slow_read: Instant::now(),
            assembler: Assembler::new(side.opposite()),
            closed: None,
        }
    }

    /// Moves bytes until `done` gives a value; an error is how the connection ended before that.
    pub(super) async fn until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> Result<T, Ending> {
        loop {
            if let Some(value) = done(self) {
                return Ok(value);
            }
            if let Some(ending) = &self.ending {
                return Err(ending.clone());
            }
            self.turn().await;
        }
    }

    /// Moves bytes until `future` is ready; an error is how the connection ended before that.
    pub(super) async fn during<F: Future>(&mut self, future: F) -> Result<F::Output, Ending> {
        let mut future = std::pin::pin!(future);
        loop {
            if let Some(ending) = &self.ending {
                return Err(ending.clone());
            }
            tokio::select! {
                biased;
                output = &mut future => return Ok(output),
                () = self.turn() => {}
            }
        }
    }

    /// Moves bytes until all that was queued is written.
    pub(super) async fn drained(&mut self) -> Result<(), Ending> {
        self.until(|this| (this.output.is_empty() && !this.unflushed).then_some(())).await
    }

    /// Queues bytes; [`drained`](Self::drained) or any other turn writes them.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
        self.queued_bytes += bytes.len() as u64;
        self.unflushed = true;
    }

    /// Queues a frame, masked as our side has to.
    pub(super) fn queue_frame(&mut self, frame: RawFrame) {
        let bytes = frame.from_side(self.side).encode();
        self.queue(&bytes);
    }

    /// The head of a request or response, without the empty line that ends it.
    pub(super) async fn head(&mut self) -> Result<String, Ending> {
        self.until(|this| {
            let end = this.input.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let head = this.input.split_to(end + 4);
                return Some(String::from_utf8_lossy(&head[..end]).into_owned());
            }
            if this.input.len() > MAX_HEAD_BYTES {
                this.end(Ending::Broken(format!("a head above {MAX_HEAD_BYTES} bytes")));
            }
            None
        })
        .await
    }

    /// From here on messages may be compressed in both directions, as agreed upon.
    pub(super) fn agree(&mut self, agreement: Agreement) {
        let [ours, theirs] = [self.side, self.side.opposite()].map(|side| agreement.sent_by(side));
        self.deflater = Some(Deflater::new(ours.window_bits, ours.context_takeover));
        self.assembler.inflate_with(Inflater::new(theirs.context_takeover));
    }

    /// From here on the bytes are frames, also those that came with the head.
    pub(super) fn open(&mut self) {
        self.phase = Phase::Open;
        self.decode();
    }

    /// Notes how the connection ended, once, and lets go of it.
    pub(super) fn end(&mut self, ending: Ending) {
        if self.ending.is_some() {
            return;
        }
        let transport = self.transport.take();
        self.board.send_modify(|board| {
            board.record.open = board.record.open.saturating_sub(1);
            board.record.endings.push(Ended { connection: self.number, ending: ending.clone() });
        });
        self.ending = Some(ending);
        drop(transport);
    }

    /// Ends the connection with a TCP reset.
    pub(super) fn reset(&mut self) {
        if let Some(transport) = self.transport.take() {
            transport.reset();
        }
        self.end(Ending::ByTest);
    }

    /// Reads or writes once, whatever is possible first. Loses nothing when it is cancelled.
    async fn turn(&mut self) {
        let Some(transport) = &mut self.transport else {
            return self.end(Ending::ByTest);
        };
        let (mut reader, mut writer) = tokio::io::split(transport);
        let (input, output) = (&mut self.input, &self.output[..]);
        let read = read(&mut reader, input, self.pace, self.next_slow_read);
        let write = async {
            if output.is_empty() {
                Moved::Flushed(writer.flush().await)
            } else {
                Moved::Out(writer.write(output).await)
            }
        };
        let moved = tokio::select! {
            biased;
            moved = write, if self.unflushed => moved,
            moved = read => Moved::In(moved),
        };
        self.settle(moved);
    }

    fn settle(&mut self, moved: Moved) {
        match moved {
            Moved::In(Ok(0)) => self.end(self.closed.clone().unwrap_or(Ending::HungUp)),
            Moved::In(Ok(_)) => {
                if matches!(self.pace, Pace::Slow { .. }) {
                    self.next_slow_read = Instant::now() + slow_pause();
                }
                if self.phase == Phase::Open {
                    self.decode();
                }
            }
            Moved::Out(Ok(written)) => {
                drop(self.output.split_to(written));
                if self.transport.as_ref().is_some_and(Transport::is_unbuffered) {
                    self.flushed();
                }
            }
            Moved::Flushed(Ok(())) => self.flushed(),
            Moved::In(Err(error)) | Moved::Out(Err(error)) | Moved::Flushed(Err(error)) => {
                self.end(self.closed.clone().unwrap_or(Ending::Failed(error.to_string())));
            }
        }
        if !self.unflushed
            && let Some(closed) = self.closed.take()
        {
            self.end(closed);
        }
    }

    fn flushed(&mut self) {
        self.flushed_bytes = self.queued_bytes - self.output.len() as u64;
        self.unflushed = !self.output.is_empty();
    }

    fn decode(&mut self) {
        while self.ending.is_none() && self.closed.is_none() {
            let frame = match RawFrame::decode(&mut self.input, MAX_MESSAGE_BYTES) {
                Ok(None) => return,
                Ok(Some(frame)) => frame,
                Err(length) => {
                    return self.refuse(Broken::new(1009, format!("a frame that declares {length} bytes")));
                }
            };
            match self.assembler.accept(frame) {
                Ok(None) => {}
                Ok(Some(incoming)) => self.take(incoming),
                Err(broken) => return self.refuse(broken),
            }
        }
    }

    fn take(&mut self, incoming: Incoming) {
        let number = self.number;
        match incoming {
            Incoming::Message { message, compressed_bytes } => {
                self.board.send_modify(|board| board.message(number, &message, compressed_bytes));
                self.inbox.push_back(message);
            }
            Incoming::Ping(payload) => {
                self.board.send_modify(|board| board.record.pings += 1);
                if self.answer_pings {
                    self.queue_frame(RawFrame::pong(payload));
                }
            }
            Incoming::Pong(payload) => {
                self.board.send_modify(|board| board.record.pongs += 1);
                self.pongs.push_back(payload);
            }
            Incoming::Close { code, reason } => self.take_close(code, reason),
        }
    }

    fn take_close(&mut self, code: Option<u16>, reason: String) {
        let close = ReceivedClose { connection: self.number, code, reason: reason.clone() };
        self.board.send_modify(|board| board.record.closes.push(close));
        if !self.answer_close && !self.close_sent {
            return;
        }
        if !self.close_sent {
            self.close_sent = true;
            let answer = code.map_or_else(|| RawFrame::new(super::frames::CLOSE, ""), |code| RawFrame::close(code, ""));
            self.queue_frame(answer);
        }
        self.closed = Some(Ending::Closed { code, reason });
    }

    /// Answers a violation with its close code, then ends.
    fn refuse(&mut self, broken: Broken) {
        self.input.clear();
        if !self.close_sent {
            self.close_sent = true;
            self.queue_frame(RawFrame::close(broken.code, ""));
        }
        let failed = RunState::Failed(format!("the other end broke the protocol: {}", broken.reason));
        self.board.send_modify(|board| board.run_state(self.number, failed));
        self.unflushed = true;
        self.closed = Some(Ending::Broken(broken.reason));
    }
}

/// One read at the connection's pace; pending for ever when it is stopped.
async fn read(
    reader: &mut (impl AsyncReadExt + Unpin),
    input: &mut BytesMut,
    pace: Pace,
    next_slow_read: Instant,
) -> io::Result<usize> {
    match pace {
        Pace::Stopped => std::future::pending().await,
        Pace::Full => {
            input.reserve(READ_CHUNK_BYTES);
            reader.read_buf(input).await
        }
        Pace::Slow { bytes_per_second } => {
            tokio::time::sleep_until(next_slow_read).await;
            let portion = (bytes_per_second / SLOW_PORTIONS_PER_SECOND).max(1);
            reader.take(portion as u64).read_buf(input).await
        }
    }
}

fn slow_pause() -> Duration {
    Duration::from_secs(1) / SLOW_PORTIONS_PER_SECOND as u32
}
