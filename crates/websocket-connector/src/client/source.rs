//! The task of a client source: connect, subscribe, receive, come back.

use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::StopSignal;
use eventflux_core::{ConnectorContext, EventFluxError, SourceCallback};
use eventflux_websocket_wire::{Batch, Connection, Disconnect, Due, KeepAlive, Message, Progress};
use tokio::time::{Instant, Sleep, sleep_until};

use super::reconnect::{Next, Reconnect};
use super::subscribe::Subscription;
use super::{Connector, ReconnectPolicy, SubscribeStep};
use crate::compression::Inflate;
use crate::config::{ClientConfig, ConnectionConfig, WebSocketSourceConfig};
use crate::counters;
use crate::deliver::Delivery;
use crate::net::stream::ByteStream;
use crate::pings::PingBudget;

/// Further away than any deadline of ours.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A source that connects out.
#[derive(Debug)]
pub(crate) struct ClientSource {
    connector: Connector,
    reconnect: ReconnectPolicy,
    connection: ConnectionConfig,
    heartbeat: Option<(Bytes, Duration)>,
    subscribe: Arc<[SubscribeStep]>,
    inflate: Option<Inflate>,
    context: ConnectorContext,
    /// When `stop` wants to be done; set before the signal is raised.
    stop_by: Arc<OnceLock<Instant>>,
}

/// Why a connection is not served any longer.
enum End {
    /// The source is stopped; the goodbye is said.
    Stopped,
    /// The pipeline takes nothing any more.
    Pipeline(EventFluxError),
    /// The connection ended.
    Lost {
        reason: String,
        /// Whether the peer said goodbye.
        clean: bool,
    },
}

impl ClientSource {
    /// Reads what is needed from files and environment.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the file or variable.
    pub(crate) fn new(
        client: &ClientConfig,
        config: &WebSocketSourceConfig,
        context: ConnectorContext,
        stop_by: Arc<OnceLock<Instant>>,
    ) -> Result<Self, EventFluxError> {
        let heartbeat = client.heartbeat.as_ref();
        context.health.set(ConnectionState::Connecting, client.url.to_string());
        Ok(Self {
            connector: Connector::new(client, &config.connection)?,
            reconnect: client.reconnect,
            connection: config.connection.clone(),
            heartbeat: heartbeat.map(|beat| (Bytes::copy_from_slice(beat.message.expose().as_bytes()), beat.interval)),
            subscribe: config.subscribe.clone(),
            inflate: config.inflate,
            context,
            stop_by,
        })
    }

    /// Runs until it is stopped, gives up, or the pipeline ends.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`] after the last attempt; what the pipeline answered.
    pub(crate) async fn run(self, signal: StopSignal, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        let result = self.attempts(&signal, &callback).await;
        match &result {
            Ok(()) => self.context.health.set(ConnectionState::Stopped, None),
            Err(error) => self.context.health.set(ConnectionState::Failed, error.to_string()),
        }
        result
    }

    async fn attempts(&self, signal: &StopSignal, callback: &Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        let endpoint = self.connector.endpoint();
        let stream = &self.context.stream;
        let mut reconnect = Reconnect::new(self.reconnect);
        let mut served = false;
        loop {
            let attempt = tokio::select! {
                biased;
                () = signal.stopped() => return Ok(()),
                attempt = self.connector.connect() => attempt,
            };
            let (error, clean) = match attempt {
                Err(error) => (error.at(endpoint), false),
                Ok(connection) => {
                    reconnect.connected(Instant::now());
                    self.connected(served);
                    served = true;
                    let end = self.serve(connection, signal, callback).await;
                    self.context.metrics.connections.set(0);
                    match end {
                        End::Stopped => return Ok(()),
                        End::Pipeline(error) => return Err(error),
                        End::Lost { reason, clean } => (lost(endpoint.to_string(), reason), clean),
                    }
                }
            };
            match reconnect.ended(Instant::now()) {
                Next::GiveUp if clean && !self.reconnect.enabled => {
                    log::info!("[{stream}] {error}; websocket.reconnect is off, so the source has ended");
                    return Ok(());
                }
                Next::GiveUp => {
                    log::error!("[{stream}] {error}; giving up after attempt {}", reconnect.failures().max(1));
                    return Err(error);
                }
                Next::Wait(pause) => {
                    let attempt = reconnect.failures() + 1;
                    log::warn!("[{stream}] {error}; attempt {attempt} in {}ms", pause.as_millis());
                    self.context.health.set(ConnectionState::Reconnecting, error.to_string());
                    if !signal.sleep(pause).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn connected(&self, again: bool) {
        let (endpoint, stream) = (self.connector.endpoint(), &self.context.stream);
        let metrics = &self.context.metrics;
        metrics.connections.set(1);
        self.context.health.set(ConnectionState::Connected, endpoint.to_string());
        if again {
            metrics.reconnects.increment();
            metrics.gaps.increment();
            log::warn!("[{stream}] connected to {endpoint} again; what it sent meanwhile is missing (gap)");
        } else {
            log::info!("[{stream}] connected to {endpoint}");
        }
    }

    async fn serve(
        &self,
        connection: Connection<ByteStream>,
        signal: &StopSignal,
        callback: &Arc<dyn SourceCallback>,
    ) -> End {
        let now = Instant::now();
        let heartbeat = self.heartbeat.as_ref().map(|(_, interval)| *interval);
        let mut session = Session {
            source: self,
            connection,
            keep_alive: KeepAlive::new(self.connection.keep_alive.clone(), heartbeat, now),
            pings: PingBudget::new(self.connection.max_pings, now),
            subscription: Subscription::new(self.subscribe.clone()),
            delivery: Delivery::new(callback.clone(), self.inflate),
        };
        let end = session.run(signal, now).await;
        let limit = self.connection.close_timeout;
        let (code, reason, limit) = match &end {
            SessionEnd::Stopped => (1000, "", self.goodbye_on_stop()),
            SessionEnd::Pipeline(_) => (1001, "", limit),
            SessionEnd::Dead(_) => {
                counters::violation(&self.context.registry, &self.connector.endpoint().to_string(), None);
                return end.into_end();
            }
            SessionEnd::Unanswered(_) => (1000, "", limit),
            SessionEnd::Disconnected(Disconnect::Lost(_)) => return end.into_end(),
            SessionEnd::Disconnected(Disconnect::Closed { .. }) => (1000, "", limit),
            SessionEnd::Disconnected(Disconnect::Violation { code, reason }) => (*code, reason.as_str(), limit),
        };
        if let SessionEnd::Disconnected(Disconnect::Violation { code, .. }) = &end {
            let endpoint = self.connector.endpoint().to_string();
            counters::violation(&self.context.registry, &endpoint, Some(*code));
        }
        let by = Instant::now() + limit;
        let goodbye = session.connection.close(code, reason, by);
        if matches!(end, SessionEnd::Stopped) {
            goodbye.await;
        } else {
            tokio::select! { () = goodbye => {}, () = signal.stopped() => {} }
        }
        end.into_end()
    }

    /// Nine tenths of what is left, so that `stop` returns in time.
    fn goodbye_on_stop(&self) -> Duration {
        let limit = self.connection.close_timeout;
        let left = self.stop_by.get().map_or(limit, |by| by.saturating_duration_since(Instant::now()));
        (left * 9 / 10).min(limit)
    }
}

/// One connection while it is served.
struct Session<'a> {
    source: &'a ClientSource,
    connection: Connection<ByteStream>,
    keep_alive: KeepAlive,
    pings: PingBudget,
    subscription: Subscription,
    delivery: Delivery,
}

enum SessionEnd {
    Stopped,
    Pipeline(EventFluxError),
    Disconnected(Disconnect),
    /// A keep-alive deadline passed.
    Dead(&'static str),
    /// An expected reply did not come.
    Unanswered(String),
}

enum Event {
    Driven(Result<Progress, Disconnect>),
    Stopped,
    Timer,
}

impl Session<'_> {
    async fn run(&mut self, signal: &StopSignal, now: Instant) -> SessionEnd {
        match self.receive(signal, now).await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    async fn receive(&mut self, signal: &StopSignal, now: Instant) -> Result<std::convert::Infallible, SessionEnd> {
        let mut batch = Batch::default();
        let mut stopped = pin!(signal.stopped());
        let mut timer = pin!(sleep_until(now));
        self.subscribe(now, timer.as_mut());
        loop {
            if !self.delivery.callback().is_ready() {
                self.pause(&mut batch, stopped.as_mut(), timer.as_mut()).await?;
            }
            let event = tokio::select! {
                biased;
                driven = self.connection.drive(Some(&mut batch)) => Event::Driven(driven),
                () = &mut stopped => Event::Stopped,
                () = &mut timer => Event::Timer,
            };
            match event {
                Event::Driven(Ok(Progress::Received)) => {
                    let now = Instant::now();
                    self.received(&mut batch, now, timer.as_mut())?;
                    // A feed that never pauses would keep the timer and the signal from being looked at.
                    if signal.is_stopped() {
                        return Err(SessionEnd::Stopped);
                    }
                    if self.next_deadline().is_some_and(|deadline| deadline <= now) {
                        self.timers(now, timer.as_mut())?;
                    }
                }
                Event::Driven(Ok(Progress::Flushed)) => self.keep_alive.flushed(),
                Event::Driven(Err(disconnect)) => return Err(self.disconnected(disconnect)),
                Event::Stopped => return Err(SessionEnd::Stopped),
                Event::Timer => self.timers(Instant::now(), timer.as_mut())?,
            }
        }
    }

    #[inline]
    fn received(&mut self, batch: &mut Batch, now: Instant, timer: Pin<&mut Sleep>) -> Result<(), SessionEnd> {
        self.keep_alive.received(!batch.messages.is_empty(), now);
        self.keep_alive.mid_message(self.connection.is_mid_message(), now);
        if !self.pings.allow(batch.pings, now) {
            return Err(SessionEnd::Disconnected(PingBudget::exceeded()));
        }
        if self.subscription.is_waiting() && self.subscription.take_reply(batch) {
            self.subscribe(now, timer);
        } else if self.next_deadline().is_some_and(|deadline| deadline < timer.deadline()) {
            self.arm(now, timer);
        }
        let delivered = self.delivery.deliver(batch, None);
        batch.clear();
        delivered.map_err(SessionEnd::Pipeline)
    }

    fn subscribe(&mut self, now: Instant, timer: Pin<&mut Sleep>) {
        let connection = &mut self.connection;
        self.subscription.advance(now, |message| connection.queue(Message::text(message)));
        if self.connection.has_unsent() {
            self.keep_alive.sending(now);
        }
        self.arm(now, timer);
    }

    /// Waits until the pipeline takes more. Sends meanwhile, and reads one batch ahead, so that the peer's pings are
    /// answered for as long as its messages fit; then TCP slows it down.
    async fn pause(
        &mut self,
        ahead: &mut Batch,
        mut stopped: Pin<&mut impl Future<Output = ()>>,
        mut timer: Pin<&mut Sleep>,
    ) -> Result<(), SessionEnd> {
        self.keep_alive.pause();
        let callback = self.delivery.callback().clone();
        let mut ready = pin!(callback.ready());
        let mut ended = None;
        loop {
            let reads = ahead.has_room();
            let drives = ended.is_none() && (reads || self.connection.has_unsent());
            tokio::select! {
                biased;
                () = &mut stopped => return Err(SessionEnd::Stopped),
                () = &mut ready => break,
                driven = self.connection.drive(reads.then_some(&mut *ahead)), if drives => match driven {
                    Ok(Progress::Flushed) => self.keep_alive.flushed(),
                    Ok(Progress::Received) => {}
                    Err(disconnect) => ended = Some(disconnect),
                },
                () = &mut timer => self.timers(Instant::now(), timer.as_mut())?,
            }
        }
        let now = Instant::now();
        self.keep_alive.resume(now);
        self.arm(now, timer.as_mut());
        self.received(ahead, now, timer)?;
        match ended {
            Some(disconnect) => Err(self.disconnected(disconnect)),
            None => Ok(()),
        }
    }

    fn timers(&mut self, now: Instant, timer: Pin<&mut Sleep>) -> Result<(), SessionEnd> {
        if let Some(reason) = self.subscription.overdue(now) {
            return Err(SessionEnd::Unanswered(reason));
        }
        self.keep_alive.progressed(self.connection.chunks_sent(), now);
        while let Some(due) = self.keep_alive.due(now) {
            match due {
                Due::Ping => self.connection.queue(Message::ping()),
                Due::Heartbeat => {
                    if let Some((message, _)) = &self.source.heartbeat {
                        self.connection.queue(Message::text(message.clone()));
                    }
                }
                Due::MessageStalled => {
                    let reason = Due::MessageStalled.reason().to_owned();
                    return Err(SessionEnd::Disconnected(Disconnect::Violation { code: 1008, reason }));
                }
                dead => return Err(SessionEnd::Dead(dead.reason())),
            }
            self.keep_alive.sending(now);
        }
        self.arm(now, timer);
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        match (self.keep_alive.deadline(), self.subscription.deadline()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn arm(&self, now: Instant, timer: Pin<&mut Sleep>) {
        timer.reset(self.next_deadline().unwrap_or(now + NEVER));
    }

    /// A message that never became one goes to the error strategy.
    fn disconnected(&self, disconnect: Disconnect) -> SessionEnd {
        if let Disconnect::Violation { code: 1007 | 1009, .. } = disconnect {
            let error = EventFluxError::mapping(None, disconnect.describe());
            if let Err(stopped) = self.delivery.callback().on_error(error, &[]) {
                return SessionEnd::Pipeline(stopped);
            }
        }
        SessionEnd::Disconnected(disconnect)
    }
}

impl SessionEnd {
    fn into_end(self) -> End {
        match self {
            Self::Stopped => End::Stopped,
            Self::Pipeline(error) => End::Pipeline(error),
            Self::Dead(reason) => End::Lost { reason: reason.to_owned(), clean: false },
            Self::Unanswered(reason) => End::Lost { reason, clean: false },
            Self::Disconnected(disconnect) => End::Lost {
                reason: disconnect.describe(),
                clean: matches!(disconnect, Disconnect::Closed { code: None | Some(1000 | 1001), .. }),
            },
        }
    }
}

fn lost(endpoint: String, reason: String) -> EventFluxError {
    EventFluxError::ConnectionUnavailable { endpoint, reason, retryable: true }
}
