//! Having a stream store events: each is settled when the stream has confirmed it.

use std::collections::VecDeque;
use std::time::Duration;

use eventflux_core::backoff::{Backoff, Growth};
use eventflux_core::health::ConnectionState;
use eventflux_core::{EventFluxError, Properties};
use eventflux_nats::publisher::{Outcome, Outgoing, Publisher, PublisherConfig};
use eventflux_nats::{Connection, Observer, StreamConfig};

use super::{Addressing, Work};

/// First and longest pause before an event is sent again that the stream refused for now.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// First and longest pause before the stream is looked for again.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// How long the end of the connection may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a sink has a stream store events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JetStreamSinkConfig {
    stream: StreamConfig,
    /// Most events that were sent and are not confirmed.
    in_flight: usize,
    ack_timeout: Duration,
}

impl JetStreamSinkConfig {
    pub(crate) fn from_properties(properties: &Properties, addressing: &Addressing) -> Result<Self, EventFluxError> {
        let stream = properties.text("nats.stream")?;
        let ack_timeout = properties.duration("nats.ack.timeout")?;
        if ack_timeout.is_zero() {
            let error = EventFluxError::property("nats.ack.timeout", "0 leaves no time for a confirmation");
            return Err(error.with_hint("for example 5s"));
        }
        Ok(Self {
            stream: StreamConfig::from_properties(stream, properties, &[addressing.pattern()])?,
            in_flight: properties.integer("nats.max.in.flight")?,
            ack_timeout,
        })
    }

    fn publisher(&self) -> PublisherConfig {
        PublisherConfig {
            in_flight: self.in_flight,
            ack_timeout: self.ack_timeout,
            stream: self.stream.name.clone(),
            retry: RETRY,
            // An event waits for its stream as long as it takes; what would be refused for ever fails at once.
            max_attempts: None,
        }
    }
}

pub(super) async fn run(config: &JetStreamSinkConfig, work: &Work) -> Result<(), EventFluxError> {
    let Some(connection) = work.connect().await? else { return Ok(()) };
    work.outbox.rewind();
    let result = tokio::select! {
        biased;
        result = store(config, work, &connection) => result,
        () = work.nothing_to_do() => Ok(()),
        error = connection.given_up() => Err(error),
    };
    work.goodbye(&connection, GOODBYE).await;
    result
}

/// Runs until it was told to stop and everything is settled.
async fn store(config: &JetStreamSinkConfig, work: &Work, connection: &Connection) -> Result<(), EventFluxError> {
    wait_for_stream(config, work, connection).await;
    let mut storing = Storing {
        publisher: Publisher::new(connection, config.publisher(), &Observer::of(&work.context)),
        numbers: VecDeque::with_capacity(config.in_flight.min(1024)),
        work,
    };
    let mut missing = Backoff::new(LOOK_AGAIN.0, LOOK_AGAIN.1, Growth::Exponential);
    let mut look_again = Box::pin(tokio::time::sleep(missing.next_cap()));
    loop {
        storing.take();
        if work.signal.is_stopped() && work.outbox.len() == 0 {
            return Ok(());
        }
        tokio::select! {
            biased;
            outcome = storing.publisher.next(), if !storing.publisher.is_empty() => {
                storing.decided(outcome);
            }
            () = work.outbox.work(), if storing.publisher.has_room() => {}
            () = work.signal.stopped(), if work.outbox.len() == 0 => {}
            () = &mut look_again, if config.stream.create.is_some() => {
                if storing.publisher.lacks_stream() {
                    // What comes of it, the publisher sees.
                    let _ = config.stream.open(connection, &work.context.stream).await;
                } else {
                    missing.reset();
                }
                look_again.as_mut().reset(tokio::time::Instant::now() + missing.next_cap());
            }
        }
    }
}

/// Finds the stream, or creates it. One that is not there may come: until then events wait. When nobody says whether it is
/// there, because we may not ask, the answers to events will.
async fn wait_for_stream(config: &JetStreamSinkConfig, work: &Work, connection: &Connection) {
    let mut pause = Backoff::new(LOOK_AGAIN.0, LOOK_AGAIN.1, Growth::Exponential);
    let health = &work.context.health;
    let server = health.current().detail;
    let mut known = None;
    while let Err(error) = config.stream.open(connection, &work.context.stream).await {
        let reason = error.to_string();
        if config.stream.create.is_none() && error.is_retryable() {
            log::warn!("[{}] {reason}", work.context.stream);
            break;
        }
        health.set(ConnectionState::Reconnecting, reason.clone());
        if known.as_ref() != Some(&reason) {
            log::warn!("[{}] {reason}; trying again", work.context.stream);
            known = Some(reason);
        }
        tokio::time::sleep(pause.next_equal_jitter()).await;
    }
    if known.is_some() {
        health.pass(&[ConnectionState::Reconnecting], ConnectionState::Connected);
        health.explain(ConnectionState::Connected, server);
    }
}

/// Events on their way.
struct Storing<'w> {
    publisher: Publisher,
    /// What the outbox calls those that the publisher has, in its order.
    numbers: VecDeque<u64>,
    work: &'w Work,
}

impl Storing<'_> {
    /// Takes as many events as there is room for.
    fn take(&mut self) {
        let room = self.publisher.room();
        if room == 0 {
            return;
        }
        for event in self.work.outbox.take(room, usize::MAX) {
            let address = event.address;
            self.publisher.push(Outgoing {
                subject: address.subject,
                headers: address.headers,
                payload: event.payload,
                id: address.id,
            });
            self.numbers.push_back(event.number);
        }
    }

    /// Settles this event, and all that are decided by now.
    fn decided(&mut self, outcome: Outcome) {
        let mut stored = None;
        let mut next = Some(outcome);
        while let Some(outcome) = next {
            let Some(number) = self.numbers.pop_front() else { return };
            match outcome {
                Outcome::Stored { .. } => stored = Some(number),
                Outcome::Failed { error, .. } => {
                    // In order, also for whoever waits.
                    if let Some(stored) = stored.take() {
                        self.work.outbox.done_up_to(stored);
                    }
                    self.work.outbox.failed(number, error);
                }
            }
            next = self.publisher.try_next();
        }
        if let Some(stored) = stored {
            self.work.outbox.done_up_to(stored);
        }
    }
}
