//! The task of one accepted connection: sends what waits for the client, takes what the client sends.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use eventflux_core::EventFluxError;
use eventflux_websocket_wire::{Batch, Connection, Disconnect, Due, KeepAlive, Message, Progress};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use super::endpoint::{Inbox, Item, Seat};
use crate::net::stream::ByteStream;
use crate::pings::PingBudget;

/// Payload bytes handed to the socket before it is flushed.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long a source may take to accept the report of a bad message.
const REPORT_LIMIT: Duration = Duration::from_secs(2);

/// Further away than any deadline of ours.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Serves a connection to its end.
pub(super) async fn serve(connection: Connection<ByteStream>, seat: Seat) {
    let now = Instant::now();
    log::debug!("{} connected", seat.name());
    let mut session = Session {
        keep_alive: KeepAlive::new(seat.config().keep_alive, None, now),
        connection,
        messages: Vec::new(),
        busy: false,
        waiting: VecDeque::new(),
        pings: PingBudget::new(seat.config().max_pings, now),
        inboxes: seat.inboxes(),
        seat,
    };
    let end = session.run(now).await;
    let Session { connection, seat, .. } = session;
    let goodbye_by = Instant::now() + seat.config().close_timeout;
    let (code, reason, by) = match end {
        End::Stopped(by) => (1001, "going away".to_owned(), by.min(goodbye_by)),
        End::Dead(reason) => {
            log::debug!("{} dropped: {reason}", seat.name());
            seat.count_violation(None);
            return;
        }
        End::Evicted(reason) => {
            log::warn!("{} closed: {reason}", seat.name());
            (1008, reason.to_owned(), goodbye_by)
        }
        End::Disconnected(disconnect) => {
            log::debug!("{}: {}", seat.name(), disconnect.describe());
            match disconnect {
                Disconnect::Lost(_) => return,
                Disconnect::Closed { .. } => (1000, String::new(), goodbye_by),
                Disconnect::Violation { code, reason } => (code, reason, goodbye_by),
            }
        }
    };
    if !matches!(code, 1000 | 1001) {
        seat.count_violation(Some(code));
    }
    // In a box, because most of its life a connection is not closing.
    Box::pin(connection.close(code, &reason, by)).await;
}

struct Session {
    connection: Connection<ByteStream>,
    seat: Seat,
    keep_alive: KeepAlive,
    /// Reused between chunks.
    messages: Vec<Message>,
    /// Whether payloads are in flight.
    busy: bool,
    /// What was received, and the sources that have yet to take it; nothing more is read meanwhile.
    waiting: VecDeque<(Inbox, Item)>,
    inboxes: watch::Receiver<Arc<[Inbox]>>,
    pings: PingBudget,
}

enum End {
    /// The path is closed; be gone by then.
    Stopped(Instant),
    /// Not worth a goodbye.
    Dead(&'static str),
    /// Given up, with 1008.
    Evicted(&'static str),
    Disconnected(Disconnect),
}

enum Event {
    Driven(Result<Progress, Disconnect>),
    Taken,
    Work,
    Stopped(Instant),
    Timer,
}

impl Session {
    async fn run(&mut self, now: Instant) -> End {
        match self.exchange(now).await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    async fn exchange(&mut self, now: Instant) -> Result<std::convert::Infallible, End> {
        let mut batch = Batch::default();
        let mut stop = self.seat.stop();
        let mut stopped = pin!(async move {
            let by = stop.wait_for(Option::is_some).await.ok().and_then(|by| *by);
            by.unwrap_or_else(Instant::now)
        });
        let mut timer = pin!(sleep_until(now));
        self.arm(now, timer.as_mut());
        loop {
            if !self.busy {
                self.fill(timer.as_mut())?;
            }
            let reading = self.waiting.is_empty();
            let event = tokio::select! {
                biased;
                by = &mut stopped => Event::Stopped(by),
                driven = self.connection.drive(reading.then_some(&mut batch)) => Event::Driven(driven),
                () = hand_over(&mut self.waiting), if !reading => Event::Taken,
                () = self.seat.client().work.notified(), if !self.busy => Event::Work,
                () = &mut timer => Event::Timer,
            };
            match event {
                Event::Driven(Ok(Progress::Flushed)) => self.flushed(),
                Event::Driven(Ok(Progress::Received)) => self.received(&mut batch, timer.as_mut())?,
                Event::Driven(Err(disconnect)) => {
                    self.report(&disconnect).await;
                    return Err(End::Disconnected(disconnect));
                }
                Event::Taken => {
                    let now = Instant::now();
                    self.keep_alive.resume(now);
                    self.keep_alive.mid_message(self.connection.is_mid_message(), now);
                    self.arm(now, timer.as_mut());
                }
                Event::Work => {}
                Event::Stopped(by) => return Err(End::Stopped(by)),
                Event::Timer => self.timers(timer.as_mut())?,
            }
        }
    }

    fn fill(&mut self, timer: Pin<&mut Sleep>) -> Result<(), End> {
        let client = self.seat.client();
        client.take(CHUNK_BYTES, &mut self.messages).ok_or(End::Evicted("too slow"))?;
        if self.messages.is_empty() {
            return Ok(());
        }
        self.busy = true;
        for message in self.messages.drain(..) {
            self.connection.queue(message);
        }
        let now = Instant::now();
        self.keep_alive.sending(now);
        self.arm_earlier(now, timer);
        Ok(())
    }

    fn flushed(&mut self) {
        self.keep_alive.flushed();
        if std::mem::take(&mut self.busy) && self.seat.client().release() {
            self.seat.drained();
        }
    }

    fn received(&mut self, batch: &mut Batch, timer: Pin<&mut Sleep>) -> Result<(), End> {
        let now = Instant::now();
        self.keep_alive.received(!batch.messages.is_empty(), now);
        self.keep_alive.mid_message(self.connection.is_mid_message(), now);
        if !self.pings.allow(batch.pings, now) {
            return Err(End::Disconnected(PingBudget::exceeded()));
        }
        self.pass_on(batch);
        // A client that never pauses would keep the timer from being looked at.
        if self.keep_alive.deadline().is_some_and(|deadline| deadline <= now) {
            return self.timers(timer);
        }
        self.arm_earlier(now, timer);
        Ok(())
    }

    /// Passes the messages on. Without a source at the path they are ignored.
    fn pass_on(&mut self, batch: &mut Batch) {
        let inboxes = self.inboxes.borrow_and_update().clone();
        if batch.messages.is_empty() || inboxes.is_empty() {
            batch.clear();
            return;
        }
        let messages = Arc::new(std::mem::take(batch));
        self.pass(&inboxes, &Item::Messages(messages));
    }

    fn pass(&mut self, inboxes: &[Inbox], item: &Item) {
        for inbox in inboxes {
            match inbox.try_send(item.clone()) {
                // A source that is gone takes nothing; it left the path or is about to.
                Ok(()) | Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => {}
                Err(tokio::sync::mpsc::error::TrySendError::Full(item)) => {
                    self.waiting.push_back((inbox.clone(), item));
                }
            }
        }
        if !self.waiting.is_empty() {
            self.keep_alive.pause();
        }
    }

    /// A message that never became one goes to the sources' error strategies.
    async fn report(&mut self, disconnect: &Disconnect) {
        let Disconnect::Violation { code: 1007 | 1009, .. } = disconnect else {
            return;
        };
        let error = EventFluxError::mapping(None, disconnect.describe());
        let inboxes = self.inboxes.borrow_and_update().clone();
        for inbox in inboxes.iter() {
            let _ = tokio::time::timeout(REPORT_LIMIT, inbox.send(Item::Bad(error.clone()))).await;
        }
    }

    fn timers(&mut self, timer: Pin<&mut Sleep>) -> Result<(), End> {
        let now = Instant::now();
        self.keep_alive.progressed(self.connection.chunks_sent(), now);
        while let Some(due) = self.keep_alive.due(now) {
            match due {
                Due::Ping => {
                    self.connection.shrink();
                    self.connection.queue(Message::ping());
                }
                Due::Heartbeat => {}
                Due::MessageStalled => return Err(End::Evicted(Due::MessageStalled.reason())),
                dead => return Err(End::Dead(dead.reason())),
            }
            self.keep_alive.sending(now);
        }
        self.arm(now, timer);
        Ok(())
    }

    /// Looking is cheaper than arming.
    fn arm_earlier(&self, now: Instant, timer: Pin<&mut Sleep>) {
        if self.keep_alive.deadline().is_some_and(|deadline| deadline < timer.deadline()) {
            self.arm(now, timer);
        }
    }

    fn arm(&self, now: Instant, timer: Pin<&mut Sleep>) {
        timer.reset(self.keep_alive.deadline().unwrap_or(now + NEVER));
    }
}

/// Waits until every source has taken its share. Dropping it loses nothing.
async fn hand_over(waiting: &mut VecDeque<(Inbox, Item)>) {
    while let Some((inbox, item)) = waiting.front() {
        if let Ok(permit) = inbox.reserve().await {
            permit.send(item.clone());
        }
        waiting.pop_front();
    }
}
