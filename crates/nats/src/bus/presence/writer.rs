//! What this process says, written to the bucket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use async_nats::HeaderMap;
use tokio::sync::watch;

use super::reader::OPERATION;
use super::{Presence, bucket, key};
use crate::bus::BusConfig;
use crate::bus::feed::{ACK_TIMEOUT, RETRY};
use crate::publisher::{Outcome, Outgoing, Publisher, PublisherConfig};
use crate::{Connection, Observer};

/// Most values that were sent and are not confirmed.
const IN_FLIGHT: usize = 256;

/// See the module.
pub(in crate::bus) struct Writer {
    presence: Arc<Presence>,
    publisher: Publisher,
    prefix: String,
    instance: String,
}

impl Writer {
    pub(in crate::bus) fn new(
        config: &BusConfig,
        instance: &str,
        connection: &Connection,
        observer: &Observer,
        presence: Arc<Presence>,
    ) -> Self {
        let publisher = PublisherConfig {
            in_flight: IN_FLIGHT,
            ack_timeout: ACK_TIMEOUT,
            stream: bucket::stream(config),
            retry: RETRY,
            max_attempts: None,
        };
        Self {
            presence,
            publisher: Publisher::new(connection, publisher, observer),
            prefix: bucket::prefix(config),
            instance: instance.to_owned(),
        }
    }

    /// Ends when everything was taken back after [`Presence::leave`]. Begins when the bucket is there.
    pub(in crate::bus) async fn run(mut self, mut there: watch::Receiver<bool>) {
        if !self.presence.may_be_said(&mut there).await {
            return;
        }
        loop {
            let due = self.push_due();
            if due.is_none() && self.publisher.is_empty() && self.presence.leaving.load(Ordering::Relaxed) {
                return;
            }
            let due = due.filter(|_| self.publisher.has_room());
            let until = due.map(tokio::time::Instant::from_std);
            let presence = self.presence.clone();
            tokio::select! {
                outcome = self.publisher.next() => {
                    self.note(&outcome);
                    while let Some(outcome) = self.publisher.try_next() {
                        self.note(&outcome);
                    }
                }
                () = presence.work.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Pushes what is to be said now, as far as there is room; returns when something is to be said next.
    fn push_due(&mut self) -> Option<Instant> {
        let mut own = self.presence.own();
        let now = Instant::now();
        while self.publisher.has_room()
            && let Some((key, value)) = own.take(now)
        {
            let subject = format!("{}{}", self.prefix, key::encode(&key, &self.instance)).into();
            let headers = value.is_none().then(deletion);
            self.publisher.push(Outgoing { subject, headers, payload: value.unwrap_or_default(), id: None });
        }
        own.next()
    }

    /// What failed is said again with the next confirmation.
    fn note(&self, outcome: &Outcome) {
        if let Outcome::Failed { error, .. } = outcome {
            self.presence.warn(&format!("the server does not take it: {error}"));
        }
    }
}

/// How a key is deleted.
fn deletion() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(OPERATION, "DEL");
    headers
}

async fn sleep_until(until: Option<tokio::time::Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
