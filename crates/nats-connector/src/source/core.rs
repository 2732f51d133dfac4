//! What is published to subjects, as it comes: at most once. What comes while the pipeline does not keep up waits, up to
//! a limit; what comes while the connection is away is missing.

use std::time::Duration;

use async_nats::Message;
use eventflux_core::health::{ConnectionState, Health};
use eventflux_core::{EventFluxError, Properties};
use eventflux_nats::Connection;
use eventflux_nats::connection::{Operation, Violation};
use eventflux_nats::subject;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::Work;
use super::message::Delivery;
use super::pending::Pending;
use super::subscriptions::Subscriptions;

const SUBJECT: &str = "nats.subject";
const QUEUE: &str = "nats.queue";

/// Most messages in one delivery.
const DELIVERY_MESSAGES: usize = 8192;

/// Bytes of payloads after which a delivery is handed over.
const DELIVERY_BYTES: usize = 4 << 20;

/// Time between two lines of the log about dropped messages.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// The longest goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a source of core NATS receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CoreConfig {
    subjects: Vec<String>,
    queue: Option<String>,
    pending_messages: usize,
    pending_bytes: usize,
}

impl CoreConfig {
    /// Reads validated properties.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what is no subject to subscribe to, or no name of a group.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let Some(text) = properties.optional_text(SUBJECT) else {
            let error = EventFluxError::property(SUBJECT, "is required but missing");
            return Err(error.with_hint("for example 'blob.>'; or nats.stream, or nats.replies"));
        };
        let mut subjects: Vec<String> = Vec::new();
        for name in text.split(',').map(str::trim) {
            subject::check_pattern(name).map_err(|reason| {
                EventFluxError::property(SUBJECT, format!("'{name}' is no subject to subscribe to: {reason}"))
                    .with_hint("tokens separated by dots; * for any one, a last > for all that follow")
            })?;
            // The server would send what matches both twice.
            if subjects.iter().any(|known| known == name) {
                return Err(EventFluxError::property(SUBJECT, format!("'{text}' has '{name}' twice")));
            }
            subjects.push(name.to_owned());
        }
        let queue = properties.is_given(QUEUE).then(|| queue(properties)).transpose()?;
        Ok(Self {
            subjects,
            queue,
            pending_messages: properties.integer("nats.pending.messages")?,
            pending_bytes: properties.size("nats.pending.bytes")?,
        })
    }
}

/// A name of a queue group travels on the same line as the subject.
fn queue(properties: &Properties) -> Result<String, EventFluxError> {
    let name = crate::config::name(properties, QUEUE)?;
    if name.chars().any(|character| character.is_whitespace() || character.is_control()) {
        let error = EventFluxError::property(QUEUE, format!("'{name}' has white space in it"));
        return Err(error.with_hint("a name such as workers"));
    }
    Ok(name)
}

/// Runs until it is stopped or gives up.
pub(super) async fn run(config: CoreConfig, work: Work) -> Result<(), EventFluxError> {
    let Some(connection) = work.connect().await? else { return Ok(()) };
    let result = receive(&config, &work, &connection).await;
    work.goodbye(&connection, GOODBYE).await;
    result
}

async fn receive(config: &CoreConfig, work: &Work, connection: &Connection) -> Result<(), EventFluxError> {
    let violations = connection.violations();
    let subscriptions = Subscriptions::open(&config.subjects, config.queue.as_deref(), connection.client()).await?;
    let mut session = Session {
        work,
        connection,
        subscriptions,
        pending: Pending::new(config.pending_messages, config.pending_bytes),
        delivery: Delivery::new(work.context.metadata.clone()),
        violations,
        healthy: None,
        complained: None,
    };
    let result = session.run().await;
    // What came before the end, as far as the pipeline takes it now.
    let last = if result.is_ok() { session.deliver_last() } else { Ok(()) };
    session.count_dropped();
    result.and(last)
}

/// One client of the library, over all its connections.
struct Session<'a> {
    work: &'a Work,
    connection: &'a Connection,
    subscriptions: Subscriptions<'a>,
    pending: Pending,
    delivery: Delivery,
    violations: broadcast::Receiver<Violation>,
    /// The health before the server said that something is not permitted.
    healthy: Option<Health>,
    /// When the log was told of dropped messages last.
    complained: Option<Instant>,
}

enum Happened {
    Stopped,
    Reconnected,
    Violation(Option<Violation>),
    Message(Option<Message>),
    Ready,
    Resubscribe,
}

impl Session<'_> {
    async fn run(&mut self) -> Result<(), EventFluxError> {
        let callback = self.work.callback.clone();
        let mut reconnected = Box::pin(self.connection.reconnected());
        let mut given_up = Box::pin(self.connection.given_up());
        loop {
            self.subscriptions.drain_into(&mut self.pending);
            self.count_dropped();
            if !self.pending.is_empty() && callback.is_ready() && !self.work.signal.is_stopped() {
                self.deliver()?;
                // The connection lives on this thread, too.
                yield_now().await;
                continue;
            }
            let (next_attempt, are_refused) = (self.subscriptions.next_attempt(), self.subscriptions.are_refused());
            let happened = tokio::select! {
                biased;
                () = self.work.signal.stopped() => Happened::Stopped,
                error = &mut given_up => return Err(error),
                () = &mut reconnected => Happened::Reconnected,
                violation = next_violation(&mut self.violations) => Happened::Violation(violation),
                message = self.subscriptions.next() => Happened::Message(message),
                () = callback.ready(), if !self.pending.is_empty() => Happened::Ready,
                () = sleep_until(next_attempt), if are_refused => Happened::Resubscribe,
            };
            match happened {
                Happened::Stopped => return Ok(()),
                Happened::Reconnected => {
                    reconnected = Box::pin(self.connection.reconnected());
                    self.missed();
                }
                Happened::Violation(Some(violation)) => self.refused(&violation),
                Happened::Message(Some(message)) => self.pending.push(message),
                // They end with the connection only.
                Happened::Violation(None) | Happened::Message(None) => {
                    return tokio::select! {
                        () = self.work.signal.stopped() => Ok(()),
                        error = given_up => Err(error),
                    };
                }
                Happened::Ready => {}
                Happened::Resubscribe => self.resubscribe().await?,
            }
        }
    }

    fn deliver(&mut self) -> Result<(), EventFluxError> {
        while self.delivery.len() < DELIVERY_MESSAGES
            && self.delivery.bytes() < DELIVERY_BYTES
            && let Some(message) = self.pending.pop()
        {
            self.delivery.push(message);
        }
        self.work.context.metrics.queue_bytes.set(self.pending.bytes() as u64);
        self.delivery.hand_over(&*self.work.callback)
    }

    fn deliver_last(&mut self) -> Result<(), EventFluxError> {
        self.subscriptions.drain_into(&mut self.pending);
        while !self.pending.is_empty() && self.work.callback.is_ready() {
            self.deliver()?;
        }
        while self.pending.pop().is_some() {
            self.work.context.metrics.dropped.increment();
        }
        Ok(())
    }

    fn missed(&mut self) {
        let context = &self.work.context;
        context.metrics.reconnects.increment();
        context.metrics.gaps.increment();
        log::warn!("[{}] connected to NATS again; what was published meanwhile is missing (gap)", context.stream);
    }

    fn count_dropped(&mut self) {
        let dropped = self.pending.take_dropped() + self.subscriptions.take_dropped();
        let context = &self.work.context;
        context.metrics.queue_bytes.set(self.pending.bytes() as u64);
        if dropped == 0 {
            return;
        }
        context.metrics.dropped.add(dropped);
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT_PAUSE) {
            self.complained = Some(Instant::now());
            log::warn!(
                "[{}] the pipeline does not keep up: messages are dropped (nats.pending.messages, nats.pending.bytes); see eventflux_source_dropped_total",
                context.stream
            );
        }
    }

    fn refused(&mut self, violation: &Violation) {
        if violation.operation == Operation::Subscribe && self.subscriptions.refuse(&violation.subject) {
            let health = &self.work.context.health;
            let before = health.current();
            // Said once, not with each attempt.
            if before.state == ConnectionState::Connected {
                self.healthy = Some(before);
                log::error!("[{}] {violation}; trying again", self.work.context.stream);
            }
            health.set(ConnectionState::Reconnecting, violation.to_string());
        }
    }

    async fn resubscribe(&mut self) -> Result<(), EventFluxError> {
        self.subscriptions.resubscribe(self.connection.client()).await?;
        if !self.subscriptions.are_refused()
            && self.connection.is_connected()
            && let Some(Health { state, detail }) = self.healthy.take()
        {
            self.work.context.health.set(state, detail);
            log::info!("[{}] the server permits the subscriptions now", self.work.context.stream);
        }
        Ok(())
    }
}

/// `None`: the connection has ended. Cancel safe.
async fn next_violation(violations: &mut broadcast::Receiver<Violation>) -> Option<Violation> {
    loop {
        match violations.recv().await {
            Ok(violation) => return Some(violation),
            // The newest are still there.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}
