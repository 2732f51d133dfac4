//! One run of a source that reads a stream: between the consumer and the pipeline.

mod finish;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::{Message, Statistics};
use eventflux_core::{BoxFuture, EventFluxError};
use eventflux_nats::Connection;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Sleep;

use super::super::Work;
use super::super::message::{Delivery, STORED_DELIVERY_BYTES, Stored};
use super::config::JetStreamConfig;
use super::consumer::{self, Consumer, Position};
use super::inbox::{ACK, Inbox, PROGRESS};
use super::ledger::{Ledger, Place, Verdict};
use super::pulls::{EXPIRES, End, Pulls};
use super::receipt::Receipt;
use super::report::Report;
use super::status::Status;

/// How often the server is asked how far the consumer is, while messages come.
const LOOK: Duration = Duration::from_secs(10);

/// The part of the time for an acknowledgement after which the server is told that messages are being worked on.
const PROGRESS_PARTS: u32 = 3;

type Settling = BoxFuture<'static, (Vec<Place>, Result<(), EventFluxError>)>;

pub(super) struct Session<'w> {
    config: JetStreamConfig,
    work: &'w Work,
    connection: &'w Connection,
    inbox: Inbox,
    pulls: Pulls,
    ledger: Ledger,
    /// What the pipeline has not taken yet.
    waiting: VecDeque<Received>,
    /// Bytes of that, as the server counts them.
    waiting_bytes: usize,
    delivery: Delivery,
    /// Deliveries whose marks are not passed.
    settling: FuturesUnordered<Settling>,
    state: State,
    /// How long the server waits for an acknowledgement.
    ack_wait: Duration,
    position: Option<Position>,
    looking: Option<BoxFuture<'static, Option<Position>>>,
    /// When to look how far the consumer is.
    look_at: Option<Instant>,
    /// When to say that messages are being worked on.
    progress_at: Instant,
    statistics: Arc<Statistics>,
    /// How often the connection was there, when that was seen last.
    connects: u64,
    report: Report,
}

enum State {
    /// The consumer is looked for.
    Opening(BoxFuture<'static, Result<Consumer, EventFluxError>>),
    /// It is there.
    Reading,
}

struct Received {
    message: Message,
    receipt: Receipt,
}

enum Happened {
    Stopped,
    GaveUp(EventFluxError),
    Reconnected,
    Opened(Result<Consumer, EventFluxError>),
    Settled(Vec<Place>, Result<(), EventFluxError>),
    Sent(Result<(), EventFluxError>),
    Looked(Option<Position>),
    Message(Option<Message>),
    /// The pipeline is ready, or it is time for something.
    Again,
}

impl<'w> Session<'w> {
    pub(super) async fn new(
        config: JetStreamConfig,
        work: &'w Work,
        connection: &'w Connection,
    ) -> Result<Self, EventFluxError> {
        let statistics = connection.client().statistics();
        Ok(Self {
            inbox: Inbox::open(connection.client(), &config).await?,
            pulls: Pulls::new(config.fetch_messages, config.fetch_bytes, EXPIRES),
            ledger: Ledger::new(config.max_ack_pending),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            delivery: Delivery::new(work.context.metadata.clone()),
            settling: FuturesUnordered::new(),
            state: open(&config, work, connection, None),
            position: None,
            looking: None,
            look_at: None,
            progress_at: now() + config.ack_wait / PROGRESS_PARTS,
            ack_wait: config.ack_wait,
            connects: statistics.connects.load(Ordering::Relaxed),
            statistics,
            report: Report::new(&work.context),
            config,
            work,
            connection,
        })
    }

    /// Reads until it is told to stop, gives up, or the pipeline wants nothing more.
    pub(super) async fn run(&mut self) -> Result<(), EventFluxError> {
        let mut reconnected = self.connection.reconnected().boxed();
        let mut given_up = Box::pin(self.connection.given_up());
        let mut timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        loop {
            self.notice_reconnects();
            if self.deliver()? {
                // The connection lives on this thread, too.
                tokio::task::yield_now().await;
                continue;
            }
            self.keep_time();
            self.ask();
            match self.next(&mut reconnected, &mut given_up, &mut timer).await {
                Happened::Stopped => return Ok(()),
                Happened::GaveUp(error) => return Err(error),
                Happened::Reconnected => reconnected = self.connection.reconnected().boxed(),
                Happened::Opened(consumer) => self.opened(&consumer?),
                Happened::Settled(places, result) => self.settled(places, result)?,
                Happened::Sent(result) => result?,
                Happened::Looked(position) => {
                    self.looking = None;
                    self.position = position.or(self.position);
                }
                Happened::Message(Some(message)) => self.receive(message),
                // What ended the connection is about to be known.
                Happened::Message(None) => return Err(given_up.await),
                Happened::Again => {}
            }
        }
    }

    async fn next(
        &mut self,
        reconnected: &mut BoxFuture<'static, ()>,
        given_up: &mut Pin<Box<impl Future<Output = EventFluxError>>>,
        timer: &mut Pin<Box<Sleep>>,
    ) -> Happened {
        let deadline = self.deadline().map(tokio::time::Instant::from_std);
        if let Some(at) = deadline.filter(|at| timer.deadline() != *at) {
            timer.as_mut().reset(at);
        }
        let is_connected = self.connection.is_connected();
        let has_outgoing = self.inbox.has_outgoing() && is_connected;
        let callback = self.work.callback.clone();
        let Self { state, settling, inbox, looking, waiting, work, .. } = self;
        tokio::select! {
            biased;
            () = work.signal.stopped() => Happened::Stopped,
            error = given_up => Happened::GaveUp(error),
            () = reconnected => Happened::Reconnected,
            Some((places, result)) = settling.next(), if !settling.is_empty() => Happened::Settled(places, result),
            consumer = opening(state) => Happened::Opened(consumer),
            position = look(looking) => Happened::Looked(position),
            happened = send_or_receive(inbox, has_outgoing) => happened,
            () = callback.ready(), if !waiting.is_empty() => Happened::Again,
            () = timer, if deadline.is_some() => Happened::Again,
        }
    }

    /// Hands over what waits, up to a size, if the pipeline takes it now; says whether it did.
    fn deliver(&mut self) -> Result<bool, EventFluxError> {
        let callback = self.work.callback.clone();
        if self.waiting.is_empty() || !callback.is_ready() || self.work.signal.is_stopped() {
            return Ok(false);
        }
        let mut places = Vec::with_capacity(self.waiting.len());
        while self.delivery.bytes() < STORED_DELIVERY_BYTES
            && let Some(Received { message, receipt }) = self.waiting.pop_front()
        {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(message.length);
            places.push(receipt.place);
            if self.config.max_deliver.is_some_and(|most| receipt.deliveries > most) {
                self.delivery.hand_over(&*callback)?;
                self.refuse(&message, receipt)?;
                continue;
            }
            self.delivery.push_stored(
                message,
                Stored {
                    stream: &self.config.stream.name,
                    sequence: receipt.place.sequence,
                    published_ms: receipt.published_ms(),
                    deliveries: receipt.deliveries,
                    partition: None,
                },
            );
        }
        self.delivery.hand_over(&*callback)?;
        // The mark is set here, behind what was handed over.
        let settled = callback.settled();
        self.settling.push(settled.map(move |result| (places, result)).boxed());
        Ok(true)
    }

    /// Gives a message that was delivered too often to the error strategy.
    fn refuse(&self, message: &Message, receipt: Receipt) -> Result<(), EventFluxError> {
        self.report.poison.increment();
        let (before, most) = (receipt.deliveries - 1, self.config.max_deliver.unwrap_or_default());
        let reason = format!("was delivered {before} times and not acknowledged (nats.max.deliver is {most})");
        self.work.callback.on_error(EventFluxError::mapping(None, reason), &message.payload)
    }

    fn settled(&mut self, places: Vec<Place>, result: Result<(), EventFluxError>) -> Result<(), EventFluxError> {
        result?;
        for place in places {
            if let Some(reply) = self.ledger.settle(place) {
                self.inbox.say(reply, ACK);
            }
        }
        self.report.under_way(self.ledger.len());
        Ok(())
    }

    /// Takes a message, and all that are there behind it.
    fn receive(&mut self, message: Message) {
        let mut next = Some(message);
        let mut pending = None;
        while let Some(message) = next {
            pending = self.take(message).or(pending);
            next = self.inbox.try_next();
        }
        if let Some(pending) = pending {
            self.report.pending(pending);
            self.report.under_way(self.ledger.len());
            self.look_at.get_or_insert_with(|| now() + LOOK);
        }
    }

    /// Takes one message; says how many the consumer has behind it.
    fn take(&mut self, message: Message) -> Option<u64> {
        if let Some(status) = Status::read(&message) {
            self.pull_ended(&message, status);
            return None;
        }
        let reply = message.reply.clone()?;
        let receipt = Receipt::read(&reply)?;
        self.pulls.received(message.length);
        if receipt.deliveries > 1 {
            self.report.redelivered.increment();
        }
        match self.ledger.receive(receipt.place, &reply) {
            Verdict::New => {
                self.waiting_bytes += message.length;
                self.waiting.push_back(Received { message, receipt });
            }
            Verdict::UnderWay => self.report.known.increment(),
            Verdict::Settled => {
                self.report.known.increment();
                self.inbox.say(reply, ACK);
            }
        }
        Some(receipt.pending)
    }

    fn pull_ended(&mut self, message: &Message, Status { end, messages, bytes }: Status) {
        let Some(id) = self.inbox.pull_of(message) else { return };
        match self.pulls.ended(id, messages, bytes, end, now()) {
            Some(End::Gone(reason)) => {
                log::warn!("[{}] {}: {reason}", self.work.context.stream, self.config.consumer);
                self.reopen();
            }
            Some(End::Refused(reason)) => {
                log::warn!("[{}] a pull was refused: {reason}; trying again", self.work.context.stream);
            }
            Some(End::Over | End::TooLarge) | None => {}
        }
    }

    fn ask(&mut self) {
        if !matches!(self.state, State::Reading) || !self.connection.is_connected() {
            return;
        }
        let here = self.ledger.len() + self.pulls.missing();
        // What the pipeline has not taken counts as missing: it is not to grow while the pipeline stands still.
        let is_backed_up =
            self.waiting.len() * 2 > self.config.fetch_messages || self.waiting_bytes > self.config.fetch_bytes;
        let room = if is_backed_up { 0 } else { self.config.max_ack_pending.saturating_sub(here) };
        if let Some(request) = self.pulls.ask(room, now()) {
            self.inbox.ask(request);
        }
    }

    fn opened(&mut self, consumer: &Consumer) {
        self.pulls.resize(consumer.messages, consumer.bytes, consumer.expires);
        self.position = Some(consumer.position);
        self.state = State::Reading;
        self.ack_wait = consumer.ack_wait;
        self.progress_at = now() + consumer.ack_wait / PROGRESS_PARTS;
    }

    fn reopen(&mut self) {
        if matches!(self.state, State::Reading) {
            self.pulls.lost_consumer();
            self.inbox.withdraw_pulls();
            self.state = open(&self.config, self.work, self.connection, self.position);
        }
    }

    /// The server does not know of any pull of an earlier connection.
    fn notice_reconnects(&mut self) {
        let connects = self.statistics.connects.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.connects, connects) != connects {
            self.pulls.lost();
            self.inbox.withdraw_pulls();
        }
    }

    /// Does what is to be done by now.
    fn keep_time(&mut self) {
        let now = now();
        if self.progress_at <= now {
            self.say_progress();
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            self.looking = Some(consumer::position(self.config.clone(), self.connection.clone()).boxed());
        }
        // Silence: perhaps there is no such consumer any more.
        if self.connection.is_connected() && self.pulls.expire(now) {
            self.reopen();
        }
    }

    fn say_progress(&mut self) {
        self.progress_at = now() + self.ack_wait / PROGRESS_PARTS;
        if self.connection.is_connected() && !self.inbox.has_outgoing() {
            let replies: Vec<_> = self.ledger.replies().cloned().collect();
            replies.into_iter().for_each(|reply| self.inbox.say(reply, PROGRESS));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let progress = (self.ledger.len() > 0).then_some(self.progress_at);
        let pulls = self.pulls.deadline(now()).filter(|_| self.connection.is_connected());
        [progress, self.look_at, pulls].into_iter().flatten().min()
    }
}

fn open(config: &JetStreamConfig, work: &Work, connection: &Connection, known: Option<Position>) -> State {
    State::Opening(consumer::open(config.clone(), connection.clone(), work.context.clone(), known).boxed())
}

async fn opening(state: &mut State) -> Result<Consumer, EventFluxError> {
    match state {
        State::Opening(opening) => opening.await,
        State::Reading => std::future::pending().await,
    }
}

async fn look(looking: &mut Option<BoxFuture<'static, Option<Position>>>) -> Option<Position> {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

async fn send_or_receive(inbox: &mut Inbox, has_outgoing: bool) -> Happened {
    if has_outgoing {
        // Quick unless the connection stands still, and then nothing comes either.
        return Happened::Sent(inbox.send().await);
    }
    Happened::Message(inbox.next().await)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
