//! The task of one accepted connection: sends what waits for the client, takes what the client sends.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::EventFluxError;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use super::endpoint::{Inbox, Item, Seat};
use crate::keep_alive::{Due, KeepAlive};
use crate::transport::{Batch, Connection, Disconnect, MessageKind, Progress};

/// Payload bytes handed to the socket before it is flushed.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long a goodbye may take when the path goes on.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a goodbye may take at most.
const MAX_GOODBYE: Duration = Duration::from_secs(5);

/// Further away than any deadline of ours.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Pings a client may send within [`PING_WINDOW`]; each makes us write a pong.
const MAX_PINGS: usize = 1000;

/// See [`MAX_PINGS`].
const PING_WINDOW: Duration = Duration::from_secs(10);

/// Serves a connection to its end.
pub(super) async fn serve(connection: Connection, seat: Seat) {
    let now = Instant::now();
    log::debug!("{} connected", seat.name());
    let mut session = Session {
        keep_alive: KeepAlive::new(seat.config().keep_alive, None, now),
        connection,
        payloads: Vec::new(),
        busy: false,
        waiting: VecDeque::new(),
        pings: PingBudget { since: now, count: 0 },
        inboxes: seat.inboxes(),
        seat,
    };
    let end = session.run(now).await;
    let Session { connection, seat, .. } = session;
    let (code, reason, by) = match end {
        End::Stopped(by) => (1001, "going away".to_owned(), by.min(Instant::now() + MAX_GOODBYE)),
        End::Dead(reason) => {
            log::debug!("{} dropped: {reason}", seat.name());
            return;
        }
        End::Evicted(reason) => {
            log::warn!("{} closed: {reason}", seat.name());
            (1008, reason.to_owned(), Instant::now() + GOODBYE)
        }
        End::Disconnected(disconnect) => {
            log::debug!("{}: {}", seat.name(), disconnect.describe());
            match disconnect {
                Disconnect::Lost(_) => return,
                Disconnect::Closed { .. } => (1000, String::new(), Instant::now() + GOODBYE),
                Disconnect::Violation { code, reason } => (code, reason, Instant::now() + GOODBYE),
            }
        }
    };
    connection.close(code, &reason, by).await;
}

struct Session {
    connection: Connection,
    seat: Seat,
    keep_alive: KeepAlive,
    /// Reused between chunks.
    payloads: Vec<(MessageKind, Bytes)>,
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
                Event::Driven(Ok(Progress::Received)) => {
                    let now = Instant::now();
                    self.keep_alive.received(!batch.messages.is_empty(), now);
                    if !self.pings.allow(batch.pings, now) {
                        return Err(End::Evicted("too many pings"));
                    }
                    self.received(&mut batch);
                }
                Event::Driven(Err(disconnect)) => {
                    self.report(&disconnect).await;
                    return Err(End::Disconnected(disconnect));
                }
                Event::Taken => {
                    let now = Instant::now();
                    self.keep_alive.resume(now);
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
        client.take(CHUNK_BYTES, &mut self.payloads).ok_or(End::Evicted("too slow"))?;
        if self.payloads.is_empty() {
            return Ok(());
        }
        self.busy = true;
        for (kind, payload) in self.payloads.drain(..) {
            self.connection.queue(kind, payload);
        }
        let now = Instant::now();
        self.keep_alive.sending(now);
        if timer.deadline() > now + self.seat.config().keep_alive.write_timeout {
            self.arm(now, timer);
        }
        Ok(())
    }

    fn flushed(&mut self) {
        self.keep_alive.flushed();
        if std::mem::take(&mut self.busy) && self.seat.client().release() {
            self.seat.drained();
        }
    }

    /// Passes the messages on. Without a source at the path they are ignored.
    fn received(&mut self, batch: &mut Batch) {
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
            let _ = tokio::time::timeout(GOODBYE, inbox.send(Item::Bad(error.clone()))).await;
        }
    }

    fn timers(&mut self, timer: Pin<&mut Sleep>) -> Result<(), End> {
        let now = Instant::now();
        self.keep_alive.progressed(self.connection.frames_sent(), now);
        while let Some(due) = self.keep_alive.due(now) {
            match due {
                Due::Ping => self.connection.queue(MessageKind::Ping, Bytes::new()),
                Due::Heartbeat => {}
                dead => return Err(End::Dead(dead.reason())),
            }
            self.keep_alive.sending(now);
        }
        self.arm(now, timer);
        Ok(())
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

/// Counts pings per window.
struct PingBudget {
    since: Instant,
    count: usize,
}

impl PingBudget {
    fn allow(&mut self, pings: usize, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) > PING_WINDOW {
            self.since = now;
            self.count = 0;
        }
        self.count += pings;
        self.count <= MAX_PINGS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_pings_is_noticed_and_an_ordinary_pace_is_not() {
        let start = Instant::now();
        let mut pings = PingBudget { since: start, count: 0 };
        for second in 0..1000 {
            assert!(pings.allow(10, start + Duration::from_secs(second)));
        }
        assert!(!pings.allow(MAX_PINGS, start + Duration::from_secs(1000)));
    }
}
