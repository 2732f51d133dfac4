//! A stream of events: drives a session over the client's connection.
//!
//! Not by the HTTP library, because what a client does not read must wait where the limits of the hub apply: a session is
//! asked for more when the socket has taken all it got before. The end of the answer is the end of the connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use eventflux_core::BoxFuture;
use eventflux_gateway::{Ending, Outgoing, Session};
use eventflux_websocket_wire::{Due, KeepAlive, KeepAliveConfig};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::event::{HEARTBEAT, write_data, write_id};
use super::ids::Ids;
use super::opening::announce;
use crate::net::stream::ByteStream;
use crate::server::endpoint::Seat;
use crate::server::scratch::with_outgoing;

/// Bytes handed to the socket before it is asked whether it took them.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes a client may send behind its request; nothing is expected.
const MAX_IGNORED_BYTES: usize = 4 * 1024;

/// How often it is looked what a client misses that takes nothing.
const OVERTAKE_INTERVAL: Duration = Duration::from_millis(250);

/// How long what was said last may take.
const FAREWELL_LIMIT: Duration = Duration::from_millis(500);

/// Further away than any deadline of ours.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A stream of events to one client.
pub(in crate::server) struct Stream {
    connection: ByteStream,
    session: Session,
    seat: Seat,
    ids: Ids,
    out: VecDeque<Bytes>,
    /// Whether something is in flight.
    busy: bool,
    chunks_sent: u64,
    overtake_at: Option<Instant>,
    keep_alive: KeepAlive,
    timer: Pin<Box<Sleep>>,
    ignored: usize,
}

enum End {
    /// The client is gone.
    Gone(String),
    /// Given up.
    Dead(&'static str),
    /// Ended by the session.
    Ended(Ending),
}

impl Stream {
    /// A stream that begins with `head`; `ignored`: bytes that came behind the request.
    pub(super) fn new(
        connection: ByteStream,
        (session, seat, ids): (Session, Seat, Ids),
        head: Vec<u8>,
        ignored: usize,
    ) -> Self {
        let now = Instant::now();
        let every = *seat.config().keep_alive;
        // The client says nothing, so that silence proves nothing: that it is gone shows when it does not take a heartbeat.
        let config = KeepAliveConfig { ping_interval: None, idle_timeout: None, message_timeout: None, ..every };
        let mut keep_alive = KeepAlive::new(config, every.ping_interval, now);
        keep_alive.sending(now);
        Self {
            connection,
            session,
            seat,
            ids,
            out: VecDeque::from([Bytes::from(head)]),
            busy: true,
            chunks_sent: 0,
            overtake_at: Some(now + OVERTAKE_INTERVAL),
            keep_alive,
            timer: Box::pin(sleep_until(now)),
            ignored,
        }
    }

    /// Serves it to its end.
    pub(in crate::server) fn serve(self) -> BoxFuture<'static, ()> {
        Box::pin(run(Box::pin(self)))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        match self.run(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Gets done what can be done without waiting.
    fn run(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        self.read(cx)?;
        loop {
            let progress = self.fill(cx)? | self.write(cx)?;
            if !progress && self.poll_timer(cx)?.is_pending() {
                return Ok(());
            }
        }
    }

    /// Looks whether the client is still there; what it says is not for us.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let mut buffer = [0; 512];
        loop {
            let mut space = ReadBuf::new(&mut buffer);
            match Pin::new(&mut self.connection).poll_read(cx, &mut space) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(End::Gone(error.to_string())),
                Poll::Ready(Ok(())) if space.filled().is_empty() => {
                    return Err(End::Gone("the client left".to_owned()));
                }
                Poll::Ready(Ok(())) => self.ignored += space.filled().len(),
            }
            if self.ignored > MAX_IGNORED_BYTES {
                return Err(End::Dead("the client goes on talking behind its request"));
            }
        }
    }

    /// Takes from the session what it has, when the client has taken what it got before.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let is_due = self.session.deadline().is_some_and(|deadline| deadline <= std::time::Instant::now());
        let has_something = self.session.register(cx.waker()) || is_due;
        if self.busy {
            // What the client does not read does not keep it from being ended.
            return self.session.ending().map_or(Ok(false), |ending| Err(End::Ended(ending)));
        }
        if !has_something {
            return Ok(false);
        }
        let now = Instant::now();
        self.transmit(now).map_err(End::Ended)?;
        if self.busy {
            self.keep_alive.sending(now);
            self.overtake_at = Some(now + OVERTAKE_INTERVAL);
        }
        self.arm(now);
        Ok(self.busy)
    }

    fn transmit(&mut self, now: Instant) -> Result<(), Ending> {
        let Self { session, ids, out, busy, .. } = self;
        with_outgoing(|outgoing| {
            let result = session.transmit(now.into_std(), CHUNK_BYTES, outgoing);
            let mut text = Vec::new();
            for outgoing in outgoing.drain(..) {
                *busy = true;
                match outgoing {
                    Outgoing::Framed(frames) => {
                        push(&mut text, out);
                        out.push_back(frames);
                    }
                    Outgoing::Message { text: message, binary, place } => {
                        if place.is_some_and(|(channel, number)| ids.reach(&channel, number))
                            && let Some(id) = ids.text()
                        {
                            write_id(&id, &mut text);
                        }
                        write_data(&message, binary, &mut text);
                    }
                }
            }
            push(&mut text, out);
            result
        })
    }

    /// Sends; whether anything was.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.busy {
            return Ok(false);
        }
        match self.poll_flush(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(End::Gone(error.to_string())),
            Poll::Ready(Ok(())) => {
                self.busy = false;
                self.overtake_at = None;
                self.keep_alive.flushed();
                self.session.flushed();
                Ok(true)
            }
        }
    }

    /// Ready when the socket has taken everything.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(chunk) = self.out.front_mut() {
            let written = ready!(Pin::new(&mut self.connection).poll_write(cx, chunk))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.chunks_sent += 1;
            chunk.advance(written);
            if chunk.is_empty() {
                self.out.pop_front();
            }
        }
        // An idle stream holds no memory.
        self.out = VecDeque::new();
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        if self.timer.as_mut().poll(cx).is_pending() {
            return Ok(Poll::Pending);
        }
        let now = Instant::now();
        self.keep_alive.progressed(self.chunks_sent, now);
        while let Some(due) = self.keep_alive.due(now) {
            if due != Due::Heartbeat {
                return Err(End::Dead(due.reason()));
            }
            self.session.shrink(now.into_std());
            if !self.busy {
                self.busy = true;
                self.out.push_back(Bytes::from_static(HEARTBEAT));
                self.keep_alive.sending(now);
            }
        }
        if self.overtake_at.is_some_and(|at| at <= now) {
            self.session.overtake(now.into_std()).map_err(End::Ended)?;
            self.overtake_at = Some(now + OVERTAKE_INTERVAL);
        }
        self.session.timers(now.into_std()).map_err(End::Ended)?;
        self.arm(now);
        Ok(Poll::Ready(()))
    }

    fn arm(&mut self, now: Instant) {
        let session = self.session.deadline().map(Instant::from_std);
        let deadline = [self.keep_alive.deadline(), session, self.overtake_at].into_iter().flatten().min();
        self.timer.as_mut().reset(deadline.unwrap_or(now + NEVER));
    }

    /// Path, session, address and user, for the log.
    fn name(&self) -> String {
        let (path, id, address) = (self.seat.endpoint().path(), self.session.id(), self.seat.address());
        match self.session.user() {
            Some(user) => format!("{path} stream {id} ({address}, user {})", eventflux_core::escape_control(user)),
            None => format!("{path} stream {id} ({address})"),
        }
    }

    /// Sends what was said last, ends the answer, and leaves.
    async fn finish(self: Pin<Box<Self>>, end: End) {
        let name = self.name();
        let mut driver = *Pin::into_inner(self);
        match end {
            End::Gone(reason) => log::info!("{name} is over: {reason}"),
            End::Dead(reason) => {
                log::info!("{name} dropped: {reason}");
                driver.seat.count_violation(None);
            }
            End::Ended(ending) => {
                if ending == Ending::GoingAway {
                    log::info!("{name} is over: {}", ending.reason());
                } else {
                    log::warn!("{name} closed: {}", ending.reason());
                    driver.seat.count_violation(Some(ending.code()));
                }
                driver.say_goodbye().await;
            }
        }
        let Self { connection, mut session, seat, .. } = driver;
        drop(connection);
        session.leave(std::time::Instant::now());
        // Nobody waits for an answer any more.
        let _ = announce(seat.endpoint(), &mut session, seat.address()).await;
    }

    async fn say_goodbye(&mut self) {
        let _ = self.transmit(Instant::now());
        let goodbye_by = Instant::now() + FAREWELL_LIMIT;
        let by = self.seat.endpoint().stop_by().map_or(goodbye_by, |by| by.min(goodbye_by));
        let farewell = async {
            poll_fn(|cx| self.poll_flush(cx)).await?;
            self.connection.shutdown().await
        };
        // Who does not take it in time has missed it.
        let _ = timeout_at(by, farewell).await;
    }
}

async fn run(mut driver: Pin<Box<Stream>>) {
    log::info!("{} opened", driver.name());
    let end = poll_fn(|cx| driver.as_mut().poll(cx)).await;
    // In a box, because most of its life a stream is not ending.
    Box::pin(driver.finish(end)).await;
}

fn push(text: &mut Vec<u8>, out: &mut VecDeque<Bytes>) {
    if !text.is_empty() {
        out.push_back(Bytes::from(std::mem::take(text)));
    }
}
