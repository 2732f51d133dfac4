//! Publishing to subjects, and answering: each event at least once, as long as NATS is there.
//!
//! What the server has not confirmed ([`Marks`]) when a connection is lost is sent again on the next one. So events may
//! come twice, and the first copies of some of them early: the library sends what it still holds before we hear that it
//! has connected again.

use std::time::Duration;

use async_nats::Client;
use async_nats::client::PublishErrorKind;
use eventflux_core::EventFluxError;
use eventflux_nats::Connection;
use eventflux_nats::connection::{Operation, Violation};
use tokio::sync::broadcast;
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

/// How often others may run before a confirmation counts, so that a violation that came before it is seen before it.
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
    Session { connection, client, work, marks, violations, connects, renew_at: Instant::now() }.run().await
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
}

enum Happened {
    Reconnected,
    Returned(String),
    Violation(Violation),
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
                Happened::Violation(violation) => self.refused(&violation),
                Happened::Returned(subject) => self.returned(&subject).await,
                Happened::Work => {}
                Happened::Overdue => self.renew().await?,
            }
        }
    }

    /// Whether the server is there, and has confirmed enough.
    fn may_send(&self) -> bool {
        let unconfirmed = self.marks.marked().saturating_sub(self.marks.confirmed());
        self.connection.is_connected() && unconfirmed < MAX_UNCONFIRMED_EVENTS
    }

    /// Sends some events, and a mark behind them.
    async fn send(&mut self) -> Result<(), EventFluxError> {
        self.begin_again().await?;
        let events = self.work.outbox.take(BURST_EVENTS, BURST_BYTES);
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
        Ok(())
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
        let connects = connects(self.client);
        if connects != self.connects {
            self.connects = connects;
            self.work.outbox.rewind();
            self.marks = Marks::begin(self.client, self.work.outbox.settled_up_to()).await?;
        }
        Ok(())
    }

    /// A mark came back.
    async fn returned(&mut self, subject: &str) {
        // A violation that came before it takes another way to us.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        while let Ok(violation) = self.violations.try_recv() {
            self.refused(&violation);
        }
        // On another connection it would stand for events that were lost with the earlier one.
        if connects(self.client) == self.connects && self.marks.returned(subject).is_some() {
            self.renew_at = Instant::now() + MARK_TIMEOUT;
            self.settle();
        }
    }

    fn settle(&self) {
        self.work.outbox.done_up_to(self.marks.confirmed());
    }

    fn refused(&mut self, violation: &Violation) {
        let stream = &self.work.context.stream;
        match self.marks.refused(violation) {
            Refused::Mark(_) => {}
            Refused::Subscription => log::warn!(
                "[{stream}] {violation}: events count as delivered when they are written to the connection (permit it, or set nats.inbox.prefix)"
            ),
            Refused::Other if violation.operation == Operation::Publish => {
                let error = EventFluxError::Send { reason: violation.to_string(), retryable: false };
                for number in self.work.outbox.taken_to(&violation.subject) {
                    self.work.outbox.failed(number, error.clone());
                }
            }
            Refused::Other => return,
        }
        self.settle();
    }

    /// Marks do not come back: perhaps the server has forgotten our subscription.
    async fn renew(&mut self) -> Result<(), EventFluxError> {
        self.renew_at = Instant::now() + MARK_TIMEOUT;
        if !self.connection.is_connected() {
            return Ok(());
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
