//! The subscriptions of a client of the library: read together, and asked for again when the server refuses them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Client, Message, Statistics, Subscriber};
use eventflux_core::EventFluxError;
use futures_util::{FutureExt, StreamExt};
use tokio::task::coop;
use tokio::time::Instant;

use super::pending::Pending;

/// Pause before we subscribe again to what the server did not permit: permissions may change.
const RESUBSCRIBE_PAUSE: Duration = Duration::from_secs(5);

/// The subscriptions. Nobody else receives messages on the same client.
pub(super) struct Subscriptions<'a> {
    queue: Option<&'a str>,
    all: Vec<Subscription<'a>>,
    /// Which one is read first the next time: each comes first once.
    turn: usize,
    next_attempt: Instant,
    statistics: Arc<Statistics>,
    /// Messages that came, or were dropped by the library, as far as we know.
    counted: u64,
}

struct Subscription<'a> {
    subject: &'a str,
    subscriber: Subscriber,
    refusal: Refusal,
}

/// Whether the server has said that a subscription is not permitted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    No,
    /// It has.
    Yes,
    /// We have subscribed again since.
    Tried,
}

impl<'a> Subscriptions<'a> {
    /// Subscribes to all subjects, in the queue group if there is one.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) async fn open(
        subjects: &'a [String],
        queue: Option<&'a str>,
        client: &Client,
    ) -> Result<Self, EventFluxError> {
        let statistics = client.statistics();
        let counted = statistics.in_messages.load(Ordering::Relaxed);
        let mut all = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let subscriber = subscribe(client, subject, queue).await?;
            all.push(Subscription { subject, subscriber, refusal: Refusal::No });
        }
        Ok(Self { queue, all, turn: 0, next_attempt: Instant::now(), statistics, counted })
    }

    /// The next message; `None` when the connection has ended. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let message = std::future::poll_fn(|context| self.poll(context)).await;
        self.counted += u64::from(message.is_some());
        message
    }

    /// Takes everything that is there.
    pub(super) fn drain_into(&mut self, pending: &mut Pending) {
        // Not as much only as tokio's budget of one turn allows: a batch is what is there.
        while let Some(Some(message)) = coop::unconstrained(self.next()).now_or_never() {
            pending.push(message);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let count = self.all.len();
        self.turn = (self.turn + 1) % count.max(1);
        for place in 0..count {
            match self.all[(self.turn + place) % count].subscriber.poll_next_unpin(context) {
                Poll::Pending => {}
                // One ends with the connection, and so do all.
                ready => return ready,
            }
        }
        Poll::Pending
    }

    /// Messages that the library dropped because its queue was full, since this was asked last. To be asked when everything
    /// that was there was taken.
    pub(super) fn take_dropped(&mut self) -> u64 {
        let received = self.statistics.in_messages.load(Ordering::Relaxed);
        let dropped = received.saturating_sub(self.counted);
        self.counted += dropped;
        dropped
    }

    /// The server does not let us subscribe to `subject`; whether that is one of ours.
    pub(super) fn refuse(&mut self, subject: &str) -> bool {
        let Some(subscription) = self.all.iter_mut().find(|subscription| subscription.subject == subject) else {
            return false;
        };
        subscription.refusal = Refusal::Yes;
        self.next_attempt = Instant::now() + RESUBSCRIBE_PAUSE;
        true
    }

    /// Whether one of them is refused, as far as we know.
    pub(super) fn are_refused(&self) -> bool {
        self.all.iter().any(|subscription| subscription.refusal != Refusal::No)
    }

    /// When to subscribe again to what is refused.
    pub(super) fn next_attempt(&self) -> Instant {
        self.next_attempt
    }

    /// Subscribes again to what is refused. What was tried before, and not refused since, is permitted.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) async fn resubscribe(&mut self, client: &Client) -> Result<(), EventFluxError> {
        self.next_attempt = Instant::now() + RESUBSCRIBE_PAUSE;
        for subscription in &mut self.all {
            subscription.refusal = match subscription.refusal {
                Refusal::No | Refusal::Tried => Refusal::No,
                Refusal::Yes => {
                    // The earlier one ends, so that messages do not come twice.
                    subscription.subscriber = subscribe(client, subscription.subject, self.queue).await?;
                    Refusal::Tried
                }
            };
        }
        Ok(())
    }
}

async fn subscribe(client: &Client, subject: &str, queue: Option<&str>) -> Result<Subscriber, EventFluxError> {
    let subject = subject.to_owned();
    let subscribed = match queue {
        Some(queue) => client.queue_subscribe(subject, queue.to_owned()).await,
        None => client.subscribe(subject).await,
    };
    subscribed.map_err(|error| EventFluxError::ConnectionUnavailable {
        endpoint: "NATS".to_owned(),
        reason: error.to_string(),
        retryable: true,
    })
}
