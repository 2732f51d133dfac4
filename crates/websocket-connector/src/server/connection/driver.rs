//! The state of a connection that is served, and what moves it on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::BoxFuture;
use eventflux_gateway::{Ending, Outgoing, Session};
use eventflux_websocket_wire::{Batch, Connection, Disconnect, Due, KeepAlive, Message, MessageKind, Progress};
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::endpoint::{Inbox, Item, Seat, Sender};
use super::super::permission::{Asked, Permission};
use super::super::scratch::{with_batch, with_outgoing};
use crate::federation::Side;
use crate::net::stream::ByteStream;
use crate::pings::PingBudget;

/// Bytes handed to the socket before it is flushed.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// How long after something was given to the connection it is looked at what became of it.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Further away than any deadline of ours.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) struct Driver {
    pub(super) connection: Connection<ByteStream>,
    pub(super) session: Session,
    pub(super) seat: Seat,
    pub(super) permission: Permission,
    pub(super) keep_alive: KeepAlive,
    pub(super) timer: Pin<Box<Sleep>>,
    /// Whether something is in flight.
    pub(super) busy: bool,
    /// When to look at what became of what was sent.
    pub(super) look_at: Option<Instant>,
    pub(super) pings: PingBudget,
    /// Messages that were received and wait for what came before them.
    pub(super) unread: VecDeque<(Bytes, bool)>,
    /// What was received, and the sources that have yet to take it; nothing more is read meanwhile.
    pub(super) waiting: VecDeque<(Inbox, Item)>,
    /// The first of `waiting` on its way.
    pub(super) handing_over: Option<BoxFuture<'static, ()>>,
    /// Somebody is asked about the client; nothing more is read meanwhile.
    pub(super) asking: Option<BoxFuture<'static, Asked>>,
    pub(super) sender: Option<Arc<Sender>>,
    /// Its end of a link, where links are served.
    pub(super) side: Option<Box<Side>>,
    /// The link's name for what is asked.
    pub(super) ticket: Option<u64>,
}

pub(super) enum End {
    /// Not worth a goodbye.
    Dead(&'static str),
    /// Given up.
    Evicted(&'static str),
    /// Ended by the session.
    Ended(Ending),
    /// Ended by the link.
    Unlinked(eventflux_federation::Ending),
    Disconnected(Disconnect),
}

impl Driver {
    pub(super) fn new(
        connection: Connection<ByteStream>,
        seat: Seat,
        session: Session,
        permission: Permission,
        side: Option<Side>,
    ) -> Self {
        let now = Instant::now();
        Self {
            keep_alive: KeepAlive::new(seat.config().keep_alive.clone(), None, now),
            pings: PingBudget::new(seat.config().max_pings, now),
            timer: Box::pin(sleep_until(now)),
            connection,
            session,
            seat,
            permission,
            busy: false,
            look_at: None,
            unread: VecDeque::new(),
            waiting: VecDeque::new(),
            handing_over: None,
            asking: None,
            sender: None,
            side: side.map(Box::new),
            ticket: None,
        }
    }

    pub(super) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        match self.run(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Gets done what can be done without waiting.
    pub(super) fn run(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        loop {
            self.poll_asking(cx)?;
            self.poll_handing_over(cx);
            // Whatever gets something done may have begun what is waited for above.
            let progress = self.read_on()? | self.fill(cx)? | self.drive(cx)?;
            if !progress && self.poll_timer(cx)?.is_pending() {
                return Ok(());
            }
        }
    }

    pub(super) fn takes_messages(&self) -> bool {
        self.waiting.is_empty() && self.asking.is_none() && self.side.as_ref().is_none_or(|side| side.takes_messages())
    }

    /// Sends and receives; whether anything was.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let reading = self.takes_messages() && self.unread.is_empty();
        with_batch(|batch| {
            let driven = self.connection.poll_drive(cx, reading.then_some(&mut *batch));
            match driven {
                Poll::Pending => Ok(false),
                Poll::Ready(Ok(Progress::Flushed)) => {
                    self.flushed();
                    Ok(true)
                }
                Poll::Ready(Ok(Progress::Received)) => self.received(batch).map(|()| true),
                Poll::Ready(Err(disconnect)) => Err(End::Disconnected(disconnect)),
            }
        })
    }

    /// Hands to the connection what the session has, when it has sent what it got before.
    pub(super) fn fill(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let linked = self.side.as_ref().is_some_and(|side| side.register(cx.waker()));
        let has_something = self.session.register(cx.waker()) || self.is_session_due() || linked;
        if self.busy {
            // What the client does not read does not keep it from being ended.
            return self.session.ending().map_or(Ok(false), |ending| Err(End::Ended(ending)));
        }
        if !has_something {
            return Ok(false);
        }
        let now = Instant::now();
        with_outgoing(|out| {
            let transmitted = self.session.transmit(now.into_std(), CHUNK_BYTES, out);
            for outgoing in out.drain(..) {
                self.busy = true;
                match outgoing {
                    Outgoing::Framed(frames) => self.connection.queue_frames(frames),
                    Outgoing::Message { text, binary, .. } => self.connection.queue(message(text, binary)),
                }
            }
            transmitted.map_err(End::Ended)
        })?;
        if let Some(side) = &mut self.side {
            let connection = &mut self.connection;
            self.busy |= side.transmit(CHUNK_BYTES, |message| connection.queue(message)).map_err(End::Unlinked)?;
        }
        if self.busy {
            self.keep_alive.sending(now);
            self.look_at.get_or_insert(now + LOOK_INTERVAL);
        }
        self.arm_earlier(now);
        Ok(self.busy)
    }

    pub(super) fn is_session_due(&self) -> bool {
        self.session.deadline().is_some_and(|deadline| deadline <= std::time::Instant::now())
    }

    pub(super) fn flushed(&mut self) {
        self.keep_alive.flushed();
        if std::mem::take(&mut self.busy)
            && let Some(side) = &mut self.side
        {
            side.flushed();
        }
        self.session.flushed();
    }

    pub(super) fn received(&mut self, batch: &mut Batch) -> Result<(), End> {
        let now = Instant::now();
        self.keep_alive.received(!batch.messages.is_empty(), now);
        self.keep_alive.mid_message(self.connection.is_mid_message(), now);
        if !self.pings.allow(batch.pings, now) {
            return Err(End::Disconnected(PingBudget::exceeded()));
        }
        self.take(batch)?;
        // A client that never pauses would keep the timer from being looked at.
        if self.keep_alive.deadline().is_some_and(|deadline| deadline <= now) {
            return self.timers();
        }
        self.arm_earlier(now);
        Ok(())
    }

    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        if self.timer.as_mut().poll(cx).is_pending() {
            return Ok(Poll::Pending);
        }
        self.timers()?;
        Ok(Poll::Ready(()))
    }

    pub(super) fn timers(&mut self) -> Result<(), End> {
        let now = Instant::now();
        self.keep_alive.progressed(self.connection.chunks_sent(), now);
        while let Some(due) = self.keep_alive.due(now) {
            match due {
                Due::Ping => {
                    self.connection.queue(Message::ping());
                    self.session.ping();
                }
                Due::Heartbeat => {}
                Due::MessageStalled => return Err(End::Evicted(Due::MessageStalled.reason())),
                dead => return Err(End::Dead(dead.reason())),
            }
            self.keep_alive.sending(now);
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look(now)?;
        }
        if let Err(ending) = self.session.timers(now.into_std()) {
            self.last_words();
            return Err(End::Ended(ending));
        }
        if let Some(side) = &mut self.side
            && side.timers_deadline().is_some_and(|deadline| deadline <= now.into_std())
        {
            side.timers().map_err(End::Unlinked)?;
        }
        self.arm(now);
        Ok(())
    }

    /// A while after something was given to the connection: what the client misses if it has not taken it yet, and what is
    /// needed no longer if it has.
    fn look(&mut self, now: Instant) -> Result<(), End> {
        if self.busy {
            self.look_at = Some(now + LOOK_INTERVAL);
            return self.session.overtake(now.into_std()).map_err(End::Ended);
        }
        self.look_at = None;
        self.connection.shrink();
        self.session.shrink(now.into_std());
        Ok(())
    }

    /// Queues what the session has to say before it ends.
    pub(super) fn last_words(&mut self) {
        with_outgoing(|out| {
            let _ = self.session.transmit(std::time::Instant::now(), CHUNK_BYTES, out);
            for outgoing in out.drain(..) {
                if let Outgoing::Message { text, binary, .. } = outgoing {
                    self.connection.queue(message(text, binary));
                }
            }
        });
    }

    /// Looking is cheaper than arming.
    pub(super) fn arm_earlier(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline < self.timer.deadline()) {
            self.arm(now);
        }
    }

    pub(super) fn arm(&mut self, now: Instant) {
        let deadline = self.deadline().unwrap_or(now + NEVER);
        self.timer.as_mut().reset(deadline);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let session = self.session.deadline().map(Instant::from_std);
        // What needs room is looked at when there is some.
        let of = |side: &Side| if self.busy { side.timers_deadline() } else { side.deadline() };
        let link = self.side.as_deref().and_then(of).map(Instant::from_std);
        [self.keep_alive.deadline(), session, self.look_at, link].into_iter().flatten().min()
    }

    /// Path, connection, address and user, for the log.
    pub(super) fn name(&self) -> String {
        let (path, id, address) = (self.seat.endpoint().path(), self.session.id(), self.seat.address());
        match self.session.user() {
            Some(user) => format!("{path} client {id} ({address}, user {})", eventflux_core::escape_control(user)),
            None => format!("{path} client {id} ({address})"),
        }
    }
}

fn message(text: Bytes, binary: bool) -> Message {
    Message::new(if binary { MessageKind::Binary } else { MessageKind::Text }, text)
}
