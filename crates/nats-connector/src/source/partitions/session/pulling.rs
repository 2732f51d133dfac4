//! Consumers of the partitions that are held, and what they are asked for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use eventflux_core::EventFluxError;
use eventflux_nats::leases::Term;
use futures_util::FutureExt;

use super::super::consumers::{self, Opened};
use super::super::start;
use super::Session;
use crate::source::jetstream::pulls::Request;

/// Consumers that are created at the same time.
const MAX_OPENING: usize = 16;

/// Pause before a consumer is created again.
const PAUSE: Duration = Duration::from_millis(250);

/// Least that is asked for at a time for one partition, however many are held: messages, bytes.
const MIN_FETCH: (usize, usize) = (4, 16 << 10);

/// How often the server says how far it is while nothing comes, at least.
const HEARTBEAT: Duration = Duration::from_secs(4);

impl Session<'_> {
    /// Asks for what there is room for. Returns how long until there is something to do.
    pub(super) fn ask(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let (messages, bytes) = self.share();
        let (mut asks, mut late, mut deadline) = (Vec::new(), Vec::new(), None);
        for (partition, reader) in self.readers.iter_mut() {
            reader.resize(messages, bytes);
            if reader.expire(now) {
                late.push((partition, reader.term));
            }
            if let (Some(request), Some(consumer)) = (reader.ask(messages, bytes, now), reader.consumer()) {
                asks.push((partition, consumer.to_owned(), request));
            }
            deadline = [deadline, reader.deadline(now)].into_iter().flatten().min();
        }
        for (partition, term) in late {
            self.reopen(partition, term, "the server does not answer");
        }
        for (partition, consumer, request) in asks {
            self.pull(partition, &consumer, request);
        }
        self.open_consumers();
        deadline.map(|at| at.saturating_duration_since(now))
    }

    /// What is asked for at a time for each partition.
    fn share(&self) -> (usize, usize) {
        let held = self.readers.len().max(1);
        let share = |all: usize, least: usize| (all / held).max(least.min(all));
        (share(self.config.fetch_messages, MIN_FETCH.0), share(self.config.fetch_bytes, MIN_FETCH.1))
    }

    fn pull(&mut self, partition: u32, consumer: &str, request: Request) {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", self.config.stream.name);
        let Request { id, messages, bytes, expires } = request;
        let mut text = format!(
            "{{\"batch\":{messages},\"expires\":{},\"idle_heartbeat\":{}",
            expires.as_nanos(),
            HEARTBEAT.min(expires / 3).as_nanos()
        );
        if let Some(bytes) = bytes {
            text.push_str(&format!(",\"max_bytes\":{bytes}"));
        }
        text.push('}');
        let (client, reply) = (self.connection.client().clone(), self.readers.reply(partition, id));
        self.send(async move {
            // A connection that has ended says so elsewhere.
            let _ = client.publish_with_reply(subject, reply, Bytes::from(text)).await;
        });
    }

    fn send(&self, what: impl Future<Output = ()> + Send + 'static) {
        self.sending.push(what.boxed());
    }

    fn open_consumers(&mut self) {
        while self.checking.is_empty()
            && self.opening.len() < MAX_OPENING
            && let Some((partition, term)) = self.closed.pop_front()
        {
            let Some(reader) = self.readers.of(partition, term) else { continue };
            let (next, filter, stream) = (reader.next(), self.config.filter(partition), self.stream.clone());
            self.opening.push(async move { (partition, term, consumers::open(&stream, filter, next).await) }.boxed());
        }
    }

    pub(super) fn opened(&mut self, partition: u32, term: Term, opened: Result<Opened, EventFluxError>) {
        let (messages, bytes) = self.share();
        let of = &self.work.context.stream;
        match (opened, self.readers.of(partition, term)) {
            (Ok(opened), Some(reader)) => {
                let missing = reader.opened(opened, messages, bytes);
                self.readers.opened(partition);
                if missing > 0 {
                    self.work.context.metrics.gaps.increment();
                    log::warn!(
                        "[{of}] partition {partition}: messages may be missing: {missing} sequences of the stream were removed before they were read"
                    );
                }
            }
            (Ok(opened), None) => self.forget_consumer(opened.name),
            (Err(error), Some(_)) => {
                log::debug!("[{of}] partition {partition}: {error}; trying again");
                self.closed.push_back((partition, term));
                self.check(PAUSE);
            }
            (Err(_), None) => {}
        }
    }

    /// Asks whether the stream is still the same; one check at a time, after a pause.
    fn check(&mut self, pause: Duration) {
        if self.checking.is_empty() {
            let stream = self.stream.clone();
            self.checking.push(
                async move {
                    tokio::time::sleep(pause).await;
                    start::is_another(&stream).await
                }
                .boxed(),
            );
        }
    }

    /// A partition needs another consumer, from where it is.
    pub(super) fn reopen(&mut self, partition: u32, term: Term, reason: &str) {
        if self.readers.of(partition, term).is_none() {
            return;
        }
        let Some(name) = self.readers.close(partition) else { return };
        log::debug!("[{}] partition {partition} needs another consumer: {reason}", self.work.context.stream);
        self.forget_consumer(name);
        self.closed.push_back((partition, term));
        // One that was replaced at once has consumers, too.
        self.check(Duration::ZERO);
    }

    pub(super) fn forget_consumer(&self, name: String) {
        self.send(consumers::close(self.stream.clone(), name));
    }

    /// The server has forgotten what it was asked for. It may be another stream, too.
    pub(super) fn reconnected(&mut self) {
        // What was asked on the connection before may never be answered.
        self.checking.clear();
        let all: Vec<_> = self.readers.iter().map(|(partition, reader)| (partition, reader.term)).collect();
        all.into_iter().for_each(|(partition, term)| self.reopen(partition, term, "the connection was lost"));
        self.check(Duration::ZERO);
        self.show();
    }
}
