//! The task of one accepted connection: drives the client's session over its socket.
//!
//! Written as one state machine instead of an `async` function that waits for several things at once: there are
//! thousands of them, and most of them wait.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use eventflux_core::{BoxFuture, EventFluxError};
use eventflux_gateway::{Effect, Ending, Inbound, Outgoing, Session};
use eventflux_websocket_wire::{
    Batch, Connection, Disconnect, Due, KeepAlive, Message, MessageKind, Progress,
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::endpoint::{Inbox, Item, Seat, Sender};
use super::permission::{Asked, Permission};
use super::scratch::{with_batch, with_outgoing};
use super::welcome::Admitted;
use crate::net::stream::ByteStream;
use crate::pings::PingBudget;

/// Bytes handed to the socket before it is flushed.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long sources may take to accept what is left of a connection that is over.
const REPORT_LIMIT: Duration = Duration::from_secs(2);

/// How often it is looked what a client misses that takes nothing.
const OVERTAKE_INTERVAL: Duration = Duration::from_millis(250);

/// Further away than any deadline of ours.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A connection that is served to its end: a pointer, whatever it points to.
enum Serving {
    Driven(Pin<Box<Driver>>),
    /// The goodbye, or a refusal.
    Ending(BoxFuture<'static, ()>),
}

/// Serves a connection.
pub(super) fn serve(admitted: Admitted) -> BoxFuture<'static, ()> {
    let Admitted { connection, seat, session, permission } = admitted;
    Box::pin(match session {
        Err(ending) => Serving::Ending(Box::pin(refuse(connection, seat, ending))),
        Ok(session) => {
            let driver = Driver::new(connection, seat, session, permission);
            log::info!("{} connected", driver.name());
            Serving::Driven(Box::pin(driver))
        }
    })
}

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Driven(driver) = &mut *self {
            let end = std::task::ready!(driver.as_mut().poll(cx));
            let driver = std::mem::replace(&mut *self, Self::Ending(Box::pin(std::future::ready(()))));
            if let Self::Driven(driver) = driver {
                *self = Self::Ending(Box::pin(driver.finish(end)));
            }
        }
        match &mut *self {
            Self::Ending(ending) => ending.as_mut().poll(cx),
            // Became an ending above.
            Self::Driven(_) => Poll::Pending,
        }
    }
}

async fn refuse(connection: Connection<ByteStream>, seat: Seat, ending: Ending) {
    log::info!("{} from {} refused: {}", seat.endpoint().path(), seat.address(), ending.reason());
    seat.count_violation(Some(ending.code()));
    let by = Instant::now() + seat.config().close_timeout;
    Box::pin(connection.close(ending.code(), ending.reason(), by)).await;
}

struct Driver {
    connection: Connection<ByteStream>,
    session: Session,
    seat: Seat,
    permission: Permission,
    keep_alive: KeepAlive,
    timer: Pin<Box<Sleep>>,
    /// Whether something is in flight.
    busy: bool,
    /// While something is in flight: when to look what the client misses meanwhile.
    overtake_at: Option<Instant>,
    pings: PingBudget,
    /// Messages that were received and wait for what came before them.
    unread: VecDeque<(Bytes, bool)>,
    /// What was received, and the sources that have yet to take it; nothing more is read meanwhile.
    waiting: VecDeque<(Inbox, Item)>,
    /// The first of `waiting` on its way.
    handing_over: Option<BoxFuture<'static, ()>>,
    /// Somebody is asked about the client; nothing more is read meanwhile.
    asking: Option<BoxFuture<'static, Asked>>,
    sender: Option<Arc<Sender>>,
}

enum End {
    /// Not worth a goodbye.
    Dead(&'static str),
    /// Given up.
    Evicted(&'static str),
    /// Ended by the session.
    Ended(Ending),
    Disconnected(Disconnect),
}

impl Driver {
    fn new(connection: Connection<ByteStream>, seat: Seat, session: Session, permission: Permission) -> Self {
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
            overtake_at: None,
            unread: VecDeque::new(),
            waiting: VecDeque::new(),
            handing_over: None,
            asking: None,
            sender: None,
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        match self.run(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Gets done what can be done without waiting.
    fn run(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
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

    fn takes_messages(&self) -> bool {
        self.waiting.is_empty() && self.asking.is_none()
    }

    /// Sends and receives; whether anything was.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
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
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let has_something = self.session.register(cx.waker()) || self.is_session_due();
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
        if self.busy {
            self.keep_alive.sending(now);
            self.overtake_at = Some(now + OVERTAKE_INTERVAL);
        }
        self.arm_earlier(now);
        Ok(self.busy)
    }

    fn is_session_due(&self) -> bool {
        self.session.deadline().is_some_and(|deadline| deadline <= std::time::Instant::now())
    }

    fn flushed(&mut self) {
        self.keep_alive.flushed();
        self.busy = false;
        self.overtake_at = None;
        self.session.flushed();
    }

    fn received(&mut self, batch: &mut Batch) -> Result<(), End> {
        let now = Instant::now();
        self.keep_alive.received(!batch.messages.is_empty(), now);
        self.keep_alive.mid_message(self.connection.is_mid_message(), now);
        if !self.pings.allow(batch.pings, now) {
            return Err(End::Disconnected(PingBudget::exceeded()));
        }
        self.take(batch);
        // A client that never pauses would keep the timer from being looked at.
        if self.keep_alive.deadline().is_some_and(|deadline| deadline <= now) {
            return self.timers();
        }
        self.arm_earlier(now);
        Ok(())
    }

    fn take(&mut self, batch: &mut Batch) {
        if batch.messages.is_empty() {
            return batch.clear();
        }
        if self.session.is_transparent() {
            self.session.count_received(batch.messages.len());
            let inboxes = self.seat.endpoint().inboxes();
            if inboxes.is_empty() {
                return batch.clear();
            }
            let sender = self.sender();
            let messages = Arc::new(std::mem::take(batch));
            return self.pass(&inboxes, &Item::Messages(messages, sender));
        }
        let messages = batch.iter().map(|(kind, message)| (message.clone(), kind == MessageKind::Binary));
        self.unread.extend(messages);
        batch.clear();
    }

    /// Gives the session what was received, as far as nothing has to be waited for.
    fn read_on(&mut self) -> Result<bool, End> {
        let mut inbound = Vec::new();
        let mut result = Ok(());
        let mut progress = false;
        while self.takes_messages()
            && let Some((message, binary)) = self.unread.pop_front()
        {
            progress = true;
            result = self.session.receive(&message, binary, std::time::Instant::now());
            self.effects(&mut inbound);
            if result.is_err() {
                break;
            }
        }
        if self.unread.is_empty() {
            self.unread = VecDeque::new();
        }
        if progress {
            // A request has a deadline, and nothing may be to send before.
            self.arm_earlier(Instant::now());
        }
        self.effects(&mut inbound);
        progress |= !inbound.is_empty();
        self.pass_inbound(inbound);
        if let Err(ending) = result {
            // What is to be said before the goodbye.
            self.last_words();
            return Err(End::Ended(ending));
        }
        Ok(progress)
    }

    fn effects(&mut self, inbound: &mut Vec<Inbound>) {
        while self.asking.is_none()
            && let Some(effect) = self.session.next_effect()
        {
            match effect {
                Effect::Deliver(message) => inbound.push(message),
                Effect::Authenticate(token) => {
                    let before = self.session.identity().cloned();
                    self.asking = Some(self.permission.authenticate(token, before));
                }
                Effect::Authorize(patterns) => {
                    self.asking = Some(self.permission.authorize(self.session.user(), self.session.id(), patterns));
                }
            }
        }
    }

    fn pass_inbound(&mut self, inbound: Vec<Inbound>) {
        if !inbound.is_empty() {
            let inboxes = self.seat.endpoint().inboxes();
            let item = Item::Inbound(inbound.into(), self.sender());
            self.pass(&inboxes, &item);
        }
    }

    fn pass(&mut self, inboxes: &[Inbox], item: &Item) {
        for inbox in inboxes {
            let Some(item) = inbox.filter(item) else { continue };
            match inbox.items.try_send(item) {
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

    fn poll_asking(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let Some(asking) = &mut self.asking else { return Ok(()) };
        let Poll::Ready(asked) = asking.as_mut().poll(cx) else { return Ok(()) };
        self.asking = None;
        // Who it is now.
        self.sender = None;
        let now = std::time::Instant::now();
        match asked {
            Asked::Authenticated(result) => self.session.authenticated(result).map_err(End::Ended),
            Asked::Authorized(allowed) => {
                self.session.authorized(&allowed, now);
                Ok(())
            }
        }
    }

    fn poll_handing_over(&mut self, cx: &mut Context<'_>) {
        while let Some((inbox, item)) = self.waiting.front() {
            let handing_over = self.handing_over.get_or_insert_with(|| {
                let (items, item) = (inbox.items.clone(), item.clone());
                // A source that is gone takes nothing.
                Box::pin(async move { drop(items.send(item).await) })
            });
            if handing_over.as_mut().poll(cx).is_pending() {
                return;
            }
            self.handing_over = None;
            self.waiting.pop_front();
            if self.waiting.is_empty() {
                self.waiting = VecDeque::new();
                let now = Instant::now();
                self.keep_alive.resume(now);
                self.keep_alive.mid_message(self.connection.is_mid_message(), now);
                self.arm(now);
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        if self.timer.as_mut().poll(cx).is_pending() {
            return Ok(Poll::Pending);
        }
        self.timers()?;
        Ok(Poll::Ready(()))
    }

    fn timers(&mut self) -> Result<(), End> {
        let now = Instant::now();
        self.keep_alive.progressed(self.connection.chunks_sent(), now);
        while let Some(due) = self.keep_alive.due(now) {
            match due {
                Due::Ping => {
                    self.connection.shrink();
                    self.session.shrink(now.into_std());
                    self.connection.queue(Message::ping());
                    self.session.ping();
                }
                Due::Heartbeat => {}
                Due::MessageStalled => return Err(End::Evicted(Due::MessageStalled.reason())),
                dead => return Err(End::Dead(dead.reason())),
            }
            self.keep_alive.sending(now);
        }
        if self.overtake_at.is_some_and(|at| at <= now) {
            self.session.overtake(now.into_std()).map_err(End::Ended)?;
            self.overtake_at = Some(now + OVERTAKE_INTERVAL);
        }
        if let Err(ending) = self.session.timers(now.into_std()) {
            self.last_words();
            return Err(End::Ended(ending));
        }
        self.arm(now);
        Ok(())
    }

    /// Queues what the session has to say before it ends.
    fn last_words(&mut self) {
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
        let session = self.session.deadline().map(Instant::from_std);
        [self.keep_alive.deadline(), session, self.overtake_at].into_iter().flatten().min()
    }

    fn sender(&mut self) -> Arc<Sender> {
        let received = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
        let sender = match &self.sender {
            Some(sender) => Arc::new(Sender { received, ..(**sender).clone() }),
            None => Arc::new(Sender {
                connection: self.session.id().into(),
                user: self.session.user().cloned(),
                address: self.seat.address(),
                received,
            }),
        };
        self.sender = Some(sender.clone());
        sender
    }

    /// Path, connection, address and user, for the log.
    fn name(&self) -> String {
        let (path, id, address) = (self.seat.endpoint().path(), self.session.id(), self.seat.address());
        match self.session.user() {
            Some(user) => format!("{path} client {id} ({address}, user {})", eventflux_core::escape_control(user)),
            None => format!("{path} client {id} ({address})"),
        }
    }

    /// Says goodbye as it befits the end.
    async fn finish(self: Pin<Box<Self>>, end: End) {
        let name = self.name();
        let mut driver = *Pin::into_inner(self);
        driver.leave().await;
        let goodbye_by = Instant::now() + driver.seat.config().close_timeout;
        let (code, reason, by) = match end {
            End::Ended(Ending::GoingAway) => {
                let by = driver.seat.endpoint().stop_by().map_or(goodbye_by, |by| by.min(goodbye_by));
                (1001, "going away".to_owned(), by)
            }
            End::Ended(ending) => {
                log::warn!("{name} closed: {}", ending.reason());
                (ending.code(), ending.reason().to_owned(), goodbye_by)
            }
            End::Dead(reason) => {
                log::info!("{name} dropped: {reason}");
                driver.seat.count_violation(None);
                return;
            }
            End::Evicted(reason) => {
                log::warn!("{name} closed: {reason}");
                (1008, reason.to_owned(), goodbye_by)
            }
            End::Disconnected(disconnect) => {
                log::info!("{name}: {}", disconnect.describe());
                driver.report(&disconnect).await;
                match disconnect {
                    Disconnect::Lost(_) => return,
                    Disconnect::Closed { .. } => (1000, String::new(), goodbye_by),
                    Disconnect::Violation { code, reason } => (code, reason, goodbye_by),
                }
            }
        };
        if !matches!(code, 1000 | 1001) {
            driver.seat.count_violation(Some(code));
        }
        let Self { connection, session, seat, .. } = driver;
        let flush_by = Instant::now() + FAREWELL_LIMIT.min(by.saturating_duration_since(Instant::now()));
        // Out of the hub before the goodbye: who does not answer it takes nobody's place.
        drop(session);
        close(connection, (code, &reason), flush_by, by).await;
        drop(seat);
    }

    /// Ends the subscriptions, which the sources may want to hear of, behind what they have yet to take.
    async fn leave(&mut self) {
        self.hand_over().await;
        self.session.leave(std::time::Instant::now());
        let mut inbound = Vec::new();
        while let Some(effect) = self.session.next_effect() {
            if let Effect::Deliver(message) = effect {
                inbound.push(message);
            }
        }
        self.pass_inbound(inbound);
        self.hand_over().await;
    }

    /// Waits until the sources have taken what waits for them, but not for ever.
    async fn hand_over(&mut self) {
        let taken = poll_fn(|cx| {
            self.poll_handing_over(cx);
            if self.waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        });
        let _ = tokio::time::timeout(REPORT_LIMIT, taken).await;
    }

    /// A message that never became one goes to the sources' error strategies.
    async fn report(&mut self, disconnect: &Disconnect) {
        let Disconnect::Violation { code: 1007 | 1009, .. } = disconnect else {
            return;
        };
        let error = EventFluxError::mapping(None, disconnect.describe());
        for inbox in self.seat.endpoint().inboxes().iter() {
            let _ = tokio::time::timeout(REPORT_LIMIT, inbox.items.send(Item::Bad(error.clone()))).await;
        }
    }
}

/// How long what was said last may take before the goodbye.
const FAREWELL_LIMIT: Duration = Duration::from_millis(500);

/// Sends what is queued, the reason for the end perhaps, and says goodbye.
async fn close(mut connection: Connection<ByteStream>, (code, reason): (u16, &str), flush_by: Instant, by: Instant) {
    if connection.has_unsent() {
        let flush = async {
            while let Ok(progress) = connection.drive(None).await {
                if progress == Progress::Flushed {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout_at(flush_by, flush).await;
    }
    connection.close(code, reason, by).await;
}

fn message(text: Bytes, binary: bool) -> Message {
    Message::new(if binary { MessageKind::Binary } else { MessageKind::Text }, text)
}
