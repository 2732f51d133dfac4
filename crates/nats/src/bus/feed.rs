//! What this process publishes: from its queue into the log.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Subject, jetstream};
use tokio::sync::{mpsc, watch};

use super::order::Outbox;
use super::pull::BATCH_MESSAGES;
use super::shared::Shared;
use super::teller::Told;
use super::{BusConfig, log};
use crate::publisher::{Outcome, Outgoing, Publisher, PublisherConfig};
use crate::{Connection, Observer};

/// How long a confirmation may take.
pub(super) const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// First and longest pause before an entry is sent again that was refused.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// See the module.
pub(super) struct Feed {
    shared: Arc<Shared>,
    publisher: Publisher,
    outbox: Outbox,
    subject: Subject,
    jetstream: jetstream::Context,
    stream: String,
    /// Of the log to which was published last.
    epoch: Option<String>,
    tell: mpsc::Sender<Vec<Told>>,
}

impl Feed {
    pub(super) fn new(
        config: &BusConfig,
        instance: &str,
        connection: &Connection,
        observer: &Observer,
        shared: Arc<Shared>,
        tell: mpsc::Sender<Vec<Told>>,
    ) -> Self {
        let stream = log::stream_config(config).name;
        let publisher = PublisherConfig {
            in_flight: config.in_flight,
            ack_timeout: ACK_TIMEOUT,
            stream: stream.clone(),
            retry: RETRY,
            max_attempts: None,
        };
        Self {
            shared,
            publisher: Publisher::new(connection, publisher, observer),
            subject: log::subject(config).into(),
            outbox: Outbox::new(instance),
            jetstream: connection.jetstream(),
            stream,
            epoch: None,
            tell,
        }
    }

    /// Never ends. Begins when the stream is there.
    pub(super) async fn run(mut self, mut there: watch::Receiver<bool>) {
        // An error means that nobody will create it: the bus ends.
        let _ = there.wait_for(|there| *there).await;
        self.epoch = self.find_epoch().await;
        loop {
            while self.publisher.has_room()
                && let Some((id, payload)) = self.outbox.next(|| self.shared.take())
            {
                let subject = self.subject.clone();
                self.publisher.push(Outgoing { subject, headers: None, payload, id: Some(id) });
            }
            tokio::select! {
                outcome = self.publisher.next() => {
                    let told = self.settle(outcome).await;
                    // An error means that the listener is gone: the bus ends.
                    let _ = self.tell.send(told).await;
                }
                () = self.shared.work(), if self.publisher.has_room() => {}
            }
        }
    }

    /// What is to be told of an outcome, and of those that are known as well.
    async fn settle(&mut self, outcome: Outcome) -> Vec<Told> {
        let (mut told, mut next) = (Vec::new(), Some(outcome));
        while let Some(outcome) = next {
            if self.outbox.is_early(&outcome) && self.is_another_log().await {
                self.outbox.restart();
            }
            told.extend(self.outbox.settle(outcome).map(Told::Outcome));
            next = if told.len() < BATCH_MESSAGES { self.publisher.try_next() } else { None };
        }
        told
    }

    /// Whether the log is certainly another one than that of before.
    async fn is_another_log(&mut self) -> bool {
        let Some(epoch) = self.find_epoch().await else { return false };
        let before = self.epoch.replace(epoch);
        before.is_some() && before != self.epoch
    }

    /// Of the log that is there now; `None`: it is not there, or nobody answers.
    async fn find_epoch(&mut self) -> Option<String> {
        let stream = self.jetstream.get_stream(&self.stream).await.ok()?;
        log::epoch(stream.cached_info())
    }
}
