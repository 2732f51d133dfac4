//! What this process publishes: from its queue into the log.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::{mpsc, watch};

use super::pull::BATCH_MESSAGES;
use super::shared::Shared;
use super::teller::Told;
use super::{BusConfig, log};
use crate::publisher::{Outgoing, Publisher, PublisherConfig};
use crate::{Connection, Observer};

/// How long a confirmation may take.
pub(super) const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// First and longest pause before an entry is sent again that was refused.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// See the module.
pub(super) struct Feed {
    shared: Arc<Shared>,
    publisher: Publisher,
    subject: Subject,
    instance: String,
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
        let publisher = PublisherConfig {
            in_flight: config.in_flight,
            ack_timeout: ACK_TIMEOUT,
            stream: log::stream_config(config).name,
            retry: RETRY,
            max_attempts: None,
        };
        Self {
            shared,
            publisher: Publisher::new(connection, publisher, observer),
            subject: log::subject(config).into(),
            instance: instance.to_owned(),
            tell,
        }
    }

    /// Never ends. Begins when the stream is there.
    pub(super) async fn run(mut self, mut there: watch::Receiver<bool>) {
        // An error means that nobody will create it: the bus ends.
        let _ = there.wait_for(|there| *there).await;
        let mut number = 0;
        loop {
            while self.publisher.has_room()
                && let Some(payload) = self.shared.take()
            {
                number += 1;
                let id = Some(format!("{}.{number}", self.instance));
                let pushed =
                    self.publisher.push(Outgoing { subject: self.subject.clone(), headers: None, payload, id });
                debug_assert_eq!(pushed, number, "the publisher counts as the queue does");
            }
            tokio::select! {
                outcome = self.publisher.next() => {
                    let mut told = vec![Told::Outcome(outcome)];
                    while told.len() < BATCH_MESSAGES && let Some(outcome) = self.publisher.try_next() {
                        told.push(Told::Outcome(outcome));
                    }
                    // An error means that the listener is gone: the bus ends.
                    let _ = self.tell.send(told).await;
                }
                () = self.shared.work(), if self.publisher.has_room() => {}
            }
        }
    }
}
