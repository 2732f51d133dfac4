//! What happens, one after the other: messages, deliveries, what settles, what is held.

mod delivering;
mod holding;
mod pulling;

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use async_nats::jetstream::{self, stream::Stream};
use async_nats::{Message, Subscriber};
use eventflux_core::health::ConnectionState;
use eventflux_core::{BoxFuture, EventFluxError, runtime};
use eventflux_nats::Connection;
use eventflux_nats::leases::{Leases, Term};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::config::PartitionsConfig;
use super::consumers::Opened;
use super::progress::Progress;
use super::readers::Readers;
use super::report::Report;
use super::{AbortOnDrop, start};
use crate::source::Work;
use crate::source::message::Delivery;

/// How long the pipeline may take to settle what it has when the source stops.
const SETTLE: Duration = Duration::from_secs(5);

/// How long giving back may take then.
const LEAVE: Duration = Duration::from_secs(2);

const ANOTHER: &str = "the stream was deleted or is another one: positions begin anew";

const OLDER: &str = "the stream is older than one that the positions of partition.group are of: it was restored, the server's \
     clock went back, or the group reads another stream, too; positions begin anew";

/// How a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// As it was told.
    Stopped,
    /// Another one has to begin, because of this.
    Again(String),
    /// Another one has to begin: others know a stream that was created later, at this epoch.
    Outdated(u64),
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
    opening: FuturesUnordered<BoxFuture<'static, Opening>>,
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

/// A consumer that was to be created, and of what.
type Opening = (u32, Term, Result<Opened, EventFluxError>);

type Reconnected = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<'a> Session<'a> {
    /// Finds the stream and takes part in the leases; `None` when the source was told to stop first. `newest`: the newest stream
    /// that others are known to have worked on.
    pub(super) async fn open(
        config: &'a PartitionsConfig,
        work: &'a Work,
        connection: &'a Connection,
        newest: u64,
    ) -> Result<Option<Self>, EventFluxError> {
        let prepare = {
            let (config, connection, of) = (config.clone(), connection.clone(), work.context.stream.clone());
            async move {
                let stream = config.stream.open(&connection, &of).await?;
                start::check(&stream)?;
                // Asked after others had said that there is a newer one: what it says now is how it is.
                let origin = start::resolve(&stream, &config).await?.after(newest);
                if origin.gone > 0 {
                    log::warn!("[{of}] {OLDER}");
                }
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
        if self.connection.is_connected() {
            self.work.context.health.pass(&[ConnectionState::Reconnecting], ConnectionState::Connected);
        }
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
                    self.show();
                }
                Some(()) = self.sending.next() => {}
                () = &mut reconnected => {
                    reconnected = Box::pin(connection.reconnected());
                    self.reconnected();
                }
                error = &mut given_up => return Err(error),
                () = callback.ready(), if can_deliver => self.deliver()?,
                message = self.subscriber.next() => match message {
                    Some(message) => self.receive_all(message),
                    None => return Ok(End::Again("the connection has ended".to_owned())),
                },
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    }

    fn show(&self) {
        let held: Vec<_> = self.readers.iter().map(|(partition, _)| partition).collect();
        self.report.show(&held, self.config.leases.partitions, self.leases.members());
    }

    /// Lets the pipeline settle what it has, and gives everything back.
    async fn finish(mut self, is_well: bool) {
        let Work { stop_by, signal, .. } = self.work;
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
            stop_by.within(signal, SETTLE, settle).await;
        }
        let held: Vec<_> = self.readers.iter().map(|(partition, _)| partition).collect();
        held.into_iter()
            .filter_map(|partition| self.readers.close(partition))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|name| self.forget_consumer(name));
        let of = &self.work.context.stream;
        let limit = stop_by.time_left(LEAVE);
        let Self { leases, sending, .. } = self;
        let goodbye = tokio::time::timeout(limit, sending.collect::<Vec<()>>());
        let leave = async { tokio::join!(leases.leave(limit), goodbye) };
        if stop_by.within(signal, LEAVE, leave).await.is_none() {
            log::warn!(
                "[{of}] the source stopped before its partitions were given back: others take them when their leases end"
            );
        }
    }
}
