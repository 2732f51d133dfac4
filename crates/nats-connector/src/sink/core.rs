//! Publishing to subjects, and answering: each event at least once, as long as NATS is there.
//!
//! What the server has not confirmed ([`Marks`]) when a connection is lost is sent again on the next one. So events may
//! come twice, and the first copies of some of them early: the library sends what it still holds before we hear that it
//! has connected again.
//!
//! What the server does not permit it says once for each event, and of more such errors than [`LIBRARY_KEEPS`] at a time
//! the library drops some. So when there were many, nothing counts as confirmed: when the last mark has come back, what
//! is left is sent again (also what arrived), in bursts so small that no error is lost.
//!
//! The order of errors and marks is known only where the library's tasks and ours share a thread: this way of sending
//! has one of its own.

use std::time::Duration;

use async_nats::Client;
use async_nats::client::PublishErrorKind;
use eventflux_core::EventFluxError;
use eventflux_nats::Connection;
use eventflux_nats::connection::{Operation, Violation};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::{Instant, sleep_until};

use super::confirm::{Marks, Refused};
use super::outbox::Event;
use super::{Work, closed, connects, next_violation};

/// Events that are sent between two marks: also those that may come early after a reconnect.
const BURST_EVENTS: usize = 512;

/// Their payloads, bytes, unless one alone is larger.
const BURST_BYTES: usize = 1 << 20;

/// Most events that are sent and not confirmed.
const MAX_UNCONFIRMED_EVENTS: u64 = 16 * 1024;

/// How long a mark may be under way before we subscribe again and send another one.
const MARK_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Errors that the library keeps until its task tells us of them; further ones are dropped.
const LIBRARY_KEEPS: usize = 128;

/// With so many errors since the last mark some may have been dropped.
const MANY_ERRORS: usize = LIBRARY_KEEPS / 2;

/// Most marks that are under way: each may be an error, and among those that the library keeps many must be of events.
const MAX_MARKS: usize = LIBRARY_KEEPS / 4;

/// Events that are sent between two marks while errors are to be expected, and no others then: fewer than are many.
const CAREFUL_EVENTS: usize = LIBRARY_KEEPS / 4;

/// How long errors are to be expected after there were many.
const CAREFUL: Duration = Duration::from_secs(60);

/// How often the other tasks of this thread run before a confirmation counts, so that a violation that came before it is
/// seen before it.
const TURNS: usize = 4;

/// Runs until it is stopped or gives up.
pub(super) async fn run(work: &Work) -> Result<(), EventFluxError> {
    let Some(connection) = work.connect().await? else { return Ok(()) };
    let result = tokio::select! {
        biased;
        error = connection.given_up() => Err(error),
        result = serve(&connection, work) => result,
    };
    work.goodbye(&connection, GOODBYE).await;
    // What was taken and is not confirmed is sent again by the next connection.
    work.outbox.rewind();
    result
}

async fn serve(connection: &Connection, work: &Work) -> Result<(), EventFluxError> {
    let client = connection.client();
    // Before anything is sent that may be refused.
    let violations = connection.violations();
    let marks = Marks::begin(client, work.outbox.settled_up_to()).await?;
    let connects = connects(client);
    let renew_at = Instant::now();
    let mut session = Session {
        connection,
        client,
        work,
        marks,
        violations,
        connects,
        renew_at,
        careful_until: None,
        errors: 0,
        doubts: false,
    };
    session.run().await
}

/// One client of the library, over all its connections.
struct Session<'a> {
    connection: &'a Connection,
    client: &'a Client,
    work: &'a Work,
    marks: Marks,
    violations: broadcast::Receiver<Violation>,
    /// Which connection it is on which everything was sent that is not confirmed.
    connects: u64,
    /// When marks that are under way are lost.
    renew_at: Instant,
    /// How long bursts are small, and one at a time.
    careful_until: Option<Instant>,
    /// Events that were not permitted since the last mark.
    errors: usize,
    /// Whether errors may have been dropped: marks prove nothing until everything is sent again.
    doubts: bool,
}

enum Happened {
    Reconnected,
    Returned(String),
    Violation(Option<Violation>),
    Work,
    Overdue,
    Done,
}

impl Session<'_> {
    async fn run(&mut self) -> Result<(), EventFluxError> {
        let mut reconnected = Box::pin(self.connection.reconnected());
        loop {
            if self.work.signal.is_stopped() && self.work.outbox.len() == 0 {
                return Ok(());
            }
            if self.doubts && !self.marks.are_under_way() {
                // All errors that were not dropped are here.
                self.errors = 0;
                self.start_over().await?;
            }
            let may_send = self.may_send();
            if may_send && self.work.outbox.has_work() {
                tokio::select! {
                    biased;
                    () = self.work.nothing_to_do() => return Ok(()),
                    sent = self.send() => sent?,
                }
            }
            let happened = tokio::select! {
                biased;
                () = self.work.nothing_to_do() => Happened::Done,
                () = &mut reconnected => {
                    reconnected = Box::pin(self.connection.reconnected());
                    Happened::Reconnected
                }
                violation = next_violation(&mut self.violations) => Happened::Violation(violation),
                returned = self.marks.next() => match returned {
                    Some(message) => Happened::Returned(message.subject.to_string()),
                    None => return Err(closed("the connection has ended")),
                },
                () = self.work.outbox.work(), if may_send => Happened::Work,
                () = sleep_until(self.renew_at), if self.marks.are_under_way() => Happened::Overdue,
            };
            match happened {
                Happened::Done => return Ok(()),
                Happened::Reconnected => {
                    self.work.context.metrics.reconnects.increment();
                    self.begin_again().await?;
                }
                Happened::Violation(violation) => self.refused(violation.as_ref()),
                Happened::Returned(subject) => self.returned(&subject).await,
                Happened::Work => {}
                Happened::Overdue => self.renew().await?,
            }
        }
    }

    /// Whether the server is there, and has confirmed enough.
    fn may_send(&self) -> bool {
        let unconfirmed = self.marks.marked().saturating_sub(self.marks.confirmed());
        let (most, marks) = if self.is_careful() { (1, 1) } else { (MAX_UNCONFIRMED_EVENTS, MAX_MARKS) };
        !self.doubts && self.connection.is_connected() && unconfirmed < most && self.marks.under_way() < marks
    }

    fn is_careful(&self) -> bool {
        self.careful_until.is_some_and(|until| Instant::now() < until)
    }

    /// Sends some events, and a mark behind them.
    async fn send(&mut self) -> Result<(), EventFluxError> {
        self.begin_again().await?;
        let most = if self.is_careful() { CAREFUL_EVENTS } else { BURST_EVENTS };
        let events = self.work.outbox.take(most, BURST_BYTES);
        let Some(last) = events.last().map(|event| event.number) else { return Ok(()) };
        let was_idle = !self.marks.are_under_way();
        for event in events {
            self.publish(event).await?;
        }
        self.marks.mark(self.client, last).await?;
        if was_idle {
            self.renew_at = Instant::now() + MARK_TIMEOUT;
        }
        self.settle();
        self.begin_again().await
    }

    async fn publish(&self, event: Event) -> Result<(), EventFluxError> {
        let Event { number, address, payload, .. } = event;
        let size = payload.len();
        let published = match address.headers {
            Some(headers) => self.client.publish_with_headers(address.subject, headers, payload).await,
            None => self.client.publish(address.subject, payload).await,
        };
        let Err(error) = published else { return Ok(()) };
        let reason = match error.kind() {
            PublishErrorKind::Send => return Err(closed(error)),
            PublishErrorKind::MaxPayloadExceeded => {
                let most = self.client.max_payload();
                format!(
                    "the server takes no payload of {size} bytes with its headers; its limit (max_payload) is {most}"
                )
            }
            PublishErrorKind::InvalidSubject => error.to_string(),
        };
        self.work.outbox.failed(number, EventFluxError::Send { reason, retryable: false });
        Ok(())
    }

    /// When there was another connection meanwhile, what the earlier one has not confirmed is sent again.
    async fn begin_again(&mut self) -> Result<(), EventFluxError> {
        if self.is_same_connection() {
            return Ok(());
        }
        self.start_over().await
    }

    /// What is not settled is sent again.
    async fn start_over(&mut self) -> Result<(), EventFluxError> {
        self.connects = connects(self.client);
        self.doubts = false;
        self.work.outbox.rewind();
        self.marks = Marks::begin(self.client, self.work.outbox.settled_up_to()).await?;
        Ok(())
    }

    fn is_same_connection(&self) -> bool {
        connects(self.client) == self.connects
    }

    /// A mark came back.
    async fn returned(&mut self, subject: &str) {
        // A violation that came before it takes another way to us.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        loop {
            match self.violations.try_recv() {
                Ok(violation) => self.refused(Some(&violation)),
                Err(TryRecvError::Lagged(_)) => self.refused(None),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if self.marks.returned(subject).is_some() {
            self.renew_at = Instant::now() + MARK_TIMEOUT;
            self.errors = 0;
            self.settle();
        }
    }

    fn settle(&self) {
        // On another connection marks stand for events that were lost with the earlier one, and so does a flush.
        if !self.doubts && self.is_same_connection() {
            self.work.outbox.done_up_to(self.marks.confirmed());
        }
    }

    /// `None`: some were dropped.
    fn refused(&mut self, violation: Option<&Violation>) {
        let Some(violation) = violation else { return self.count(MANY_ERRORS) };
        let stream = &self.work.context.stream;
        match self.marks.refused(violation) {
            Refused::Mark(_) if self.marks.are_under_way() => {}
            Refused::Mark(_) => self.errors = 0,
            Refused::Subscription => log::warn!(
                "[{stream}] {violation}: events count as delivered when they are written to the connection (permit it, or set nats.inbox.prefix)"
            ),
            Refused::Other if violation.operation == Operation::Publish => {
                self.count(1);
                let error = EventFluxError::Send { reason: violation.to_string(), retryable: false };
                for number in self.work.outbox.taken_to(&violation.subject) {
                    self.work.outbox.failed(number, error.clone());
                }
            }
            Refused::Other => return,
        }
        self.settle();
    }

    fn count(&mut self, errors: usize) {
        self.errors += errors;
        self.doubts |= self.errors >= MANY_ERRORS;
        if self.doubts || self.is_careful() {
            self.careful_until = Some(Instant::now() + CAREFUL);
        }
    }

    /// Marks do not come back: perhaps the server has forgotten our subscription.
    async fn renew(&mut self) -> Result<(), EventFluxError> {
        self.renew_at = Instant::now() + MARK_TIMEOUT;
        if !self.connection.is_connected() || !self.is_same_connection() {
            return self.begin_again().await;
        }
        let (last, confirmed) = (self.marks.marked(), self.marks.confirmed());
        let renewed = async {
            let mut marks = Marks::begin(self.client, confirmed).await?;
            marks.mark(self.client, last).await?;
            Ok::<_, EventFluxError>(marks)
        };
        tokio::select! {
            biased;
            () = self.work.nothing_to_do() => {}
            // A connection that takes nothing will be found dead by its pings.
            renewed = tokio::time::timeout(MARK_TIMEOUT, renewed) => match renewed {
                Ok(marks) => self.marks = marks?,
                Err(_) => return Ok(()),
            },
        }
        Ok(())
    }
}
