//! What happens, one after the other: messages, deliveries, what settles, what is held.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream::Stream};
use async_nats::{Message, Subscriber};
use bytes::Bytes;
use eventflux_core::{BoxFuture, EventFluxError, runtime};
use eventflux_nats::Connection;
use eventflux_nats::leases::{Change, Leases, Term};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::config::PartitionsConfig;
use super::consumers::{self, Opened};
use super::progress::{Part, Progress};
use super::reader::{Meaning, Place, Reader};
use super::readers::Readers;
use super::report::Report;
use super::{AbortOnDrop, start};
use crate::source::Work;
use crate::source::jetstream::pulls::Request;
use crate::source::message::{Delivery, Stored};

/// Consumers that are created at the same time.
const MAX_OPENING: usize = 16;

/// Pause before a consumer is created again.
const PAUSE: Duration = Duration::from_millis(250);

/// Least that is asked for at a time for one partition, however many are held.
const MIN_FETCH: (usize, usize) = (4, 16 << 10);

/// Bytes of payloads after which a delivery is handed over.
const DELIVERY_BYTES: usize = 4 << 20;

/// How long the pipeline may take to settle what it has when the source stops.
const SETTLE: Duration = Duration::from_secs(5);

/// How long giving back may take then.
const LEAVE: Duration = Duration::from_secs(2);

/// How often the server says how far it is while nothing comes; less than half of the time of a pull.
const HEARTBEAT: Duration = Duration::from_secs(4);

const ANOTHER: &str = "the stream was deleted or is another one: positions begin anew";

/// How a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// As it was told.
    Stopped,
    /// Another one has to begin, because of this.
    Again(String),
}

/// See the module of its parent.
pub(super) struct Session<'a> {
    config: &'a PartitionsConfig,
    work: &'a Work,
    connection: &'a Connection,
    jetstream: jetstream::Context,
    stream: Stream,
    leases: Leases,
    subscriber: Subscriber,
    readers: Readers,
    /// Partitions that need a consumer.
    closed: VecDeque<(u32, Term)>,
    opening: FuturesUnordered<BoxFuture<'static, (u32, Term, Result<Opened, EventFluxError>)>>,
    /// Whether the stream is another one; consumers wait for the answer.
    checking: FuturesUnordered<BoxFuture<'static, bool>>,
    /// What is sent to the server, and needs no answer.
    sending: FuturesUnordered<BoxFuture<'static, ()>>,
    waiting: VecDeque<Waiting>,
    progress: Progress,
    delivery: Delivery,
    report: Report,
}

/// A message that came and is not delivered.
struct Waiting {
    partition: u32,
    term: Term,
    sequence: u64,
    published_ms: i64,
    message: Message,
}

type Reconnected = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<'a> Session<'a> {
    /// Finds the stream and takes part in the leases; `None` when the source was told to stop first.
    pub(super) async fn open(
        config: &'a PartitionsConfig,
        work: &'a Work,
        connection: &'a Connection,
    ) -> Result<Option<Self>, EventFluxError> {
        let prepare = {
            let (config, connection, of) = (config.clone(), connection.clone(), work.context.stream.clone());
            async move {
                let stream = config.stream.open(&connection, &of).await?;
                start::check(&stream)?;
                let origin = start::resolve(&stream, &config).await?;
                let leases = Leases::open(&connection, &config.leases, origin, &of).await?;
                Ok((stream, leases))
            }
        };
        // There, so that leases are renewed while this thread works.
        let prepared = AbortOnDrop(runtime::shared()?.spawn(prepare));
        let Some((stream, leases)) = prepared.or_stopped(work).await? else { return Ok(None) };
        let client = connection.client();
        let readers = Readers::new(format!("{}.", client.new_inbox()));
        let subscriber = client.subscribe(readers.subject()).await.map_err(|error| {
            let (endpoint, reason) = ("NATS".to_owned(), error.to_string());
            EventFluxError::ConnectionUnavailable { endpoint, reason, retryable: true }
        })?;
        Ok(Some(Self {
            config,
            work,
            connection,
            jetstream: connection.jetstream(),
            stream,
            leases,
            subscriber,
            readers,
            closed: VecDeque::new(),
            opening: FuturesUnordered::new(),
            checking: FuturesUnordered::new(),
            sending: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            progress: Progress::new(config.unsettled),
            delivery: Delivery::new(work.context.metadata.clone()),
            report: Report::new(&work.context),
        }))
    }

    /// Runs until the source is to stop, or another session is needed.
    ///
    /// # Errors
    /// What the pipeline answered, and when the connection gave up.
    pub(super) async fn run(mut self) -> Result<End, EventFluxError> {
        self.show();
        let result = self.serve().await;
        self.finish(result.is_ok()).await;
        result
    }

    async fn serve(&mut self) -> Result<End, EventFluxError> {
        let (callback, signal) = (self.work.callback.clone(), self.work.signal.clone());
        let connection = self.connection.clone();
        let mut reconnected: Reconnected = Box::pin(connection.reconnected());
        let given_up = connection.given_up();
        tokio::pin!(given_up);
        loop {
            let pause = self.ask();
            let can_deliver = !self.waiting.is_empty() && self.progress.has_room();
            tokio::select! {
                biased;
                () = signal.stopped() => return Ok(End::Stopped),
                changes = self.leases.changed() => {
                    if let Some(end) = self.changed(changes) {
                        return Ok(end);
                    }
                }
                parts = self.progress.next() => self.settled(&parts?),
                Some((partition, term, opened)) = self.opening.next() => self.opened(partition, term, opened),
                Some(is_another) = self.checking.next() => {
                    if is_another {
                        return Ok(End::Again(ANOTHER.to_owned()));
                    }
                }
                () = callback.ready(), if can_deliver => self.deliver()?,
                message = self.subscriber.next() => match message {
                    Some(message) => self.receive_all(message),
                    None => return Ok(End::Again("the connection has ended".to_owned())),
                },
                () = &mut reconnected => {
                    reconnected = Box::pin(connection.reconnected());
                    self.reconnected();
                }
                error = &mut given_up => return Err(error),
                Some(()) = self.sending.next() => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    }

    /// Asks for what there is room for. Returns how long until there is something to do.
    fn ask(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let (messages, bytes) = self.share();
        let (mut asks, mut late, mut deadline) = (Vec::new(), Vec::new(), None);
        for (partition, reader) in self.readers.iter_mut() {
            reader.resize(messages, bytes);
            if reader.expire(now) {
                late.push((partition, reader.term));
            }
            if let (Some(request), Some(consumer)) = (reader.ask(messages, now), reader.consumer()) {
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

    fn opened(&mut self, partition: u32, term: Term, opened: Result<Opened, EventFluxError>) {
        let (messages, bytes) = self.share();
        let of = &self.work.context.stream;
        match (opened, self.readers.of(partition, term)) {
            (Ok(opened), Some(reader)) => {
                let missing = reader.opened(opened, messages, bytes);
                self.readers.renew_subject(partition);
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
    fn reopen(&mut self, partition: u32, term: Term, reason: &str) {
        let Some(reader) = self.readers.of(partition, term) else { return };
        let Some(name) = reader.close() else { return };
        log::debug!("[{}] partition {partition} needs another consumer: {reason}", self.work.context.stream);
        self.readers.renew_subject(partition);
        self.forget_consumer(name);
        self.closed.push_back((partition, term));
    }

    fn forget_consumer(&self, name: String) {
        self.send(consumers::close(self.stream.clone(), name));
    }

    /// The server has forgotten what it was asked for. It may be another stream, too.
    fn reconnected(&mut self) {
        let all: Vec<_> = self.readers.iter().map(|(partition, reader)| (partition, reader.term)).collect();
        all.into_iter().for_each(|(partition, term)| self.reopen(partition, term, "the connection was lost"));
        self.check(Duration::ZERO);
        self.show();
    }

    fn changed(&mut self, changes: Vec<Change>) -> Option<End> {
        for change in changes {
            match change {
                Change::Acquired { partition, term, position } => {
                    self.report.moved.increment();
                    self.drop_reader(partition);
                    self.readers.insert(partition, Reader::new(term, position));
                    self.closed.push_back((partition, term));
                }
                Change::Release { partition, term } => self.release(partition, term),
                Change::Lost { partition, term } => {
                    if self.readers.of(partition, term).is_some() {
                        self.report.moved.increment();
                        self.drop_reader(partition);
                    }
                }
                Change::Outdated => return Some(End::Again(ANOTHER.to_owned())),
            }
        }
        self.show();
        None
    }

    fn release(&mut self, partition: u32, term: Term) {
        match self.readers.of(partition, term) {
            Some(reader) => {
                reader.is_releasing = true;
                reader.drop_waiting();
                let consumer = reader.close();
                consumer.into_iter().for_each(|name| self.forget_consumer(name));
                self.waiting.retain(|waiting| (waiting.partition, waiting.term) != (partition, term));
                self.release_if_settled(partition, term);
            }
            None => self.leases.release(partition, term),
        }
    }

    fn release_if_settled(&mut self, partition: u32, term: Term) {
        let is_done = self.readers.of(partition, term).is_some_and(|reader| reader.is_releasing && reader.is_settled());
        if is_done {
            self.report.moved.increment();
            self.drop_reader(partition);
            self.leases.release(partition, term);
        }
    }

    fn drop_reader(&mut self, partition: u32) {
        let Some(mut reader) = self.readers.remove(partition) else { return };
        self.waiting.retain(|waiting| waiting.partition != partition);
        if let Some(name) = reader.close() {
            self.forget_consumer(name);
        }
    }

    fn receive_all(&mut self, first: Message) {
        let mut next = Some(first);
        while let Some(message) = next {
            self.receive(message);
            next = self.subscriber.next().now_or_never().flatten();
        }
        self.report.pending(self.readers.iter().map(|(_, reader)| reader.pending).sum());
    }

    fn receive(&mut self, message: Message) {
        let message = jetstream::Message { message, context: self.jetstream.clone() };
        let place = Place::read(&message).ok();
        let message = message.message;
        let Some((partition, pull, reader)) = self.readers.receiver(&message) else { return };
        let term = reader.term;
        match reader.receive(&message, pull, place, Instant::now()) {
            Meaning::Next { sequence, published_ms } => {
                self.waiting.push_back(Waiting { partition, term, sequence, published_ms, message });
            }
            Meaning::Idle(next) => self.leases.advance([(partition, term, next)]),
            Meaning::Reopen(reason) => self.reopen(partition, term, &reason),
            Meaning::None => {}
        }
    }

    /// Hands over what came, of partitions that are held at this moment.
    fn deliver(&mut self) -> Result<(), EventFluxError> {
        let mut parts: Vec<Part> = Vec::new();
        let terms: Vec<_> = self.readers.iter().map(|(partition, reader)| (partition, reader.term)).collect();
        let workable = self.leases.workable(&terms);
        for ((partition, _), is_workable) in terms.into_iter().zip(workable) {
            if !is_workable {
                self.drop_reader(partition);
            }
        }
        while let Some(Waiting { partition, term, sequence, published_ms, message }) = self.waiting.pop_front() {
            match parts.iter_mut().find(|part| part.partition == partition) {
                Some(part) => (part.next, part.messages) = (sequence + 1, part.messages + 1),
                None => parts.push(Part { partition, term, next: sequence + 1, messages: 1 }),
            }
            let stream = &*self.config.stream.name;
            let partition = Some(partition);
            self.delivery.push_stored(message, Stored { stream, sequence, published_ms, deliveries: 1, partition });
            if self.delivery.len() >= self.config.fetch_messages || self.delivery.bytes() >= DELIVERY_BYTES {
                break;
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        for part in &parts {
            if let Some(reader) = self.readers.of(part.partition, part.term) {
                reader.delivered(part.messages);
            }
        }
        self.delivery.hand_over(&*self.work.callback)?;
        self.progress.push(parts, self.work.callback.settled());
        Ok(())
    }

    fn settled(&mut self, parts: &[Part]) {
        self.leases.advance(parts.iter().map(|part| (part.partition, part.term, part.next)));
        for part in parts {
            if let Some(reader) = self.readers.of(part.partition, part.term) {
                reader.settled(part.messages);
            }
            self.release_if_settled(part.partition, part.term);
        }
    }

    fn show(&self) {
        let held: Vec<_> = self.readers.iter().map(|(partition, _)| partition).collect();
        self.report.show(&held, self.config.leases.partitions, self.leases.members());
    }

    /// Lets the pipeline settle what it has, and gives everything back.
    async fn finish(mut self, is_well: bool) {
        let stop_by = &self.work.stop_by;
        if is_well {
            let settle = async {
                while !self.progress.is_empty() {
                    match self.progress.next().await {
                        Ok(parts) => {
                            self.leases.advance(parts.iter().map(|part| (part.partition, part.term, part.next)));
                        }
                        Err(_) => return,
                    }
                }
            };
            let _ = tokio::time::timeout(stop_by.time_left(SETTLE), settle).await;
        }
        let names: Vec<_> = self.readers.iter_mut().filter_map(|(_, reader)| reader.close()).collect();
        names.into_iter().for_each(|name| self.forget_consumer(name));
        let limit = stop_by.time_left(LEAVE);
        let Self { leases, sending, .. } = self;
        let goodbye = sending.collect::<Vec<()>>();
        let _ = tokio::join!(leases.leave(limit), tokio::time::timeout(limit, goodbye));
    }
}
