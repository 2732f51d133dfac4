//! Drives one connection that was opened from here: its link over its socket.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use eventflux_federation::{Effect, Ending};
use eventflux_websocket_wire::{Batch, Connection, Disconnect, Due, KeepAlive, Message, Progress};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::Side;
use crate::config::ConnectionConfig;
use crate::net::stream::ByteStream;
use crate::pings::PingBudget;

/// Bytes of events handed to the connection before it is flushed.
const CHUNK_BYTES: usize = 64 * 1024;

/// Further away than any deadline of ours.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why a connection is not served any longer.
pub(super) enum End {
    Stopped,
    Link(Ending),
    /// A keep-alive deadline passed.
    Dead(&'static str),
    Disconnected(Disconnect),
}

/// See the module.
pub(super) struct Driver {
    connection: Connection<ByteStream>,
    side: Side,
    keep_alive: KeepAlive,
    pings: PingBudget,
    timer: Pin<Box<Sleep>>,
    batch: Batch,
    /// Something is in flight.
    busy: bool,
    paused: bool,
}

impl Driver {
    pub(super) fn new(connection: Connection<ByteStream>, side: Side, config: &ConnectionConfig) -> Self {
        let now = Instant::now();
        Self {
            connection,
            side,
            keep_alive: KeepAlive::new(config.keep_alive.clone(), None, now),
            pings: PingBudget::new(config.max_pings, now),
            timer: Box::pin(sleep_until(now)),
            batch: Batch::default(),
            busy: false,
            paused: false,
        }
    }

    /// Gets done what can be done without waiting.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match self.run(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        loop {
            if self.side.poll_handing_over(cx) {
                self.resume();
            }
            let progress = self.fill(cx)? | self.drive(cx)?;
            if !progress {
                if self.timer.as_mut().poll(cx).is_pending() {
                    return Ok(());
                }
                self.timers()?;
            }
        }
    }

    /// Hands to the connection what the link has, when it has sent what it got before.
    fn fill(&mut self, cx: &Context<'_>) -> Result<bool, End> {
        let has_something = self.side.register(cx.waker());
        if self.busy || !has_something {
            return Ok(false);
        }
        let connection = &mut self.connection;
        let sent = self.side.transmit(CHUNK_BYTES, |message| connection.queue(message)).map_err(End::Link)?;
        let now = Instant::now();
        if sent {
            self.busy = true;
            self.keep_alive.sending(now);
        }
        self.arm_earlier(now);
        Ok(sent)
    }

    /// Sends and receives; whether anything was.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let reading = self.side.takes_messages();
        match self.connection.poll_drive(cx, reading.then_some(&mut self.batch)) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(Progress::Flushed)) => {
                self.keep_alive.flushed();
                if std::mem::take(&mut self.busy) {
                    self.side.flushed();
                }
                Ok(true)
            }
            Poll::Ready(Ok(Progress::Received)) => self.received().map(|()| true),
            Poll::Ready(Err(disconnect)) => Err(End::Disconnected(disconnect)),
        }
    }

    fn received(&mut self) -> Result<(), End> {
        let now = Instant::now();
        self.keep_alive.received(!self.batch.messages.is_empty(), now);
        self.keep_alive.mid_message(self.connection.is_mid_message(), now);
        if !self.pings.allow(self.batch.pings, now) {
            return Err(End::Disconnected(PingBudget::exceeded()));
        }
        self.side.received(&mut self.batch).map_err(End::Link)?;
        while let Some(Effect::Authenticate { ticket, .. }) = self.side.next_effect() {
            // Who is connected to proves who it is by its certificate.
            self.side
                .authenticated(ticket, Err("this end has opened the connection, and asks for no tokens".to_owned()));
        }
        if !self.side.takes_messages() && !self.paused {
            self.paused = true;
            self.keep_alive.pause();
        }
        // A peer that never pauses would keep the timer from being looked at.
        if self.keep_alive.deadline().is_some_and(|deadline| deadline <= now) {
            return self.timers();
        }
        self.arm_earlier(now);
        Ok(())
    }

    fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            let now = Instant::now();
            self.keep_alive.resume(now);
            self.keep_alive.mid_message(self.connection.is_mid_message(), now);
            self.arm(now);
        }
    }

    fn timers(&mut self) -> Result<(), End> {
        let now = Instant::now();
        self.keep_alive.progressed(self.connection.chunks_sent(), now);
        while let Some(due) = self.keep_alive.due(now) {
            match due {
                Due::Ping => self.connection.queue(Message::ping()),
                Due::Heartbeat => {}
                Due::MessageStalled => {
                    let reason = Due::MessageStalled.reason().to_owned();
                    return Err(End::Disconnected(Disconnect::Violation { code: 1008, reason }));
                }
                dead => return Err(End::Dead(dead.reason())),
            }
            self.keep_alive.sending(now);
        }
        if self.side.timers_deadline().is_some_and(|deadline| deadline <= now.into_std()) {
            self.side.timers().map_err(End::Link)?;
        }
        self.arm(now);
        Ok(())
    }

    fn arm_earlier(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline < self.timer.deadline()) {
            self.arm(now);
        }
    }

    fn arm(&mut self, now: Instant) {
        let deadline = self.deadline().unwrap_or(now + NEVER);
        self.timer.as_mut().reset(deadline);
    }

    fn deadline(&self) -> Option<Instant> {
        // What needs room is looked at when there is some.
        let link = if self.busy { self.side.timers_deadline() } else { self.side.deadline() };
        [self.keep_alive.deadline(), link.map(Instant::from_std)].into_iter().flatten().min()
    }

    /// The peer has closed the connection because a message was too large for it.
    pub(super) fn refused_as_too_large(&mut self) {
        self.side.refused_as_too_large();
    }

    /// The connection is gone.
    pub(super) fn lost(mut self) {
        self.side.disconnected();
    }

    /// Says what is to be said, and goodbye; both until `by`.
    pub(super) async fn conclude(mut self, code: u16, reason: &str, by: Instant) {
        self.side.conclude();
        let connection = &mut self.connection;
        let _ = self.side.transmit(CHUNK_BYTES, |message| connection.queue(message));
        let flush = async {
            while connection.has_unsent() {
                connection.drive(None).await.ok()?;
            }
            Some(())
        };
        if let Ok(Some(())) = timeout_at(by, flush).await {
            // What was given to the kernel is sent.
            self.side.flushed();
        }
        self.close(code, reason, by).await;
    }

    /// The peer has said goodbye, and takes nothing any more: what was under way did not get there, as far as is known.
    pub(super) async fn closed(self, by: Instant) {
        self.close(1000, "", by).await;
    }

    async fn close(mut self, code: u16, reason: &str, by: Instant) {
        self.side.disconnected();
        drop(self.side);
        self.connection.close(code, reason, by).await;
    }
}
