//! The task of a client sink: connects, sends what is queued, comes back, gives up, says goodbye.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::StopSignal;
use eventflux_core::{EventFluxError, SinkCallback};
use eventflux_websocket_wire::{Batch, Connection, Disconnect, Due, KeepAlive, Message, Progress};
use tokio::time::{Instant, Sleep, sleep_until};

use super::outbox::Outbox;
use super::reconnect::{Next, Reconnect};
use super::{Connector, ReconnectPolicy};
use crate::config::ConnectionConfig;
use crate::counters;
use crate::net::stream::ByteStream;
use crate::pings::PingBudget;
use crate::queue::Slice;

/// Further away than any deadline of ours.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The task.
pub(super) struct Task {
    pub(super) outbox: Arc<Outbox>,
    pub(super) connector: Connector,
    pub(super) reconnect: ReconnectPolicy,
    pub(super) connection: ConnectionConfig,
    pub(super) heartbeat: Option<(Bytes, Duration)>,
    pub(super) callback: Arc<dyn SinkCallback>,
    pub(super) signal: StopSignal,
    pub(super) served: bool,
}

enum End {
    Stopped,
    Lost(String),
}

enum RoundEnd {
    Stopped,
    GaveUp(EventFluxError),
}

/// Tells `stop` that the task ended, in whatever way.
pub(super) struct Finished {
    pub(super) outbox: Arc<Outbox>,
    pub(super) sender: mpsc::Sender<()>,
}

impl Task {
    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let mut reconnect = Reconnect::new(self.reconnect);
        let mut pause = Duration::ZERO;
        while let RoundEnd::GaveUp(error) = self.round(&mut reconnect, pause).await {
            self.give_up(&error);
            tokio::select! {
                () = self.outbox.retry.notified() => {
                    pause = reconnect.new_round();
                    self.outbox.context.health.set(ConnectionState::Reconnecting, error.to_string());
                }
                () = self.signal.stopped() => break,
            }
        }
        self.outbox.context.health.set(ConnectionState::Stopped, None);
    }

    fn give_up(&self, error: &EventFluxError) {
        let context = &self.outbox.context;
        let slices = self.outbox.fail(error.clone());
        let payloads: usize = slices.iter().map(Slice::len).sum();
        log::error!("[{}] {error}; giving up, {payloads} queued payloads failed", context.stream);
        context.health.set(ConnectionState::Failed, error.to_string());
        for slice in slices.iter().filter(|slice| slice.len() > 0) {
            self.report(slice, error.clone());
        }
        self.outbox.reported();
    }

    /// One series of attempts, the first after `pause`.
    async fn round(&mut self, reconnect: &mut Reconnect, mut pause: Duration) -> RoundEnd {
        let endpoint = self.connector.endpoint().to_string();
        let context = self.outbox.context.clone();
        let mut last = false;
        loop {
            if !self.signal.sleep(pause).await {
                // One more attempt at once, for the sake of what is queued.
                last = true;
            }
            let error = match self.connect().await {
                None => return RoundEnd::Stopped,
                Some(Err(error)) => error,
                Some(Ok(connection)) => {
                    reconnect.connected(Instant::now());
                    match self.serve(connection).await {
                        End::Stopped => return RoundEnd::Stopped,
                        End::Lost(reason) => EventFluxError::ConnectionUnavailable {
                            endpoint: endpoint.clone(),
                            reason,
                            retryable: true,
                        },
                    }
                }
            };
            if last {
                return RoundEnd::Stopped;
            }
            match reconnect.ended(Instant::now()) {
                Next::GiveUp => return RoundEnd::GaveUp(error),
                Next::Wait(wait) => {
                    let attempt = reconnect.failures() + 1;
                    log::warn!("[{}] {error}; attempt {attempt} in {}ms", context.stream, wait.as_millis());
                    context.health.set(ConnectionState::Reconnecting, error.to_string());
                    pause = wait;
                }
            }
        }
    }

    /// `None`: stopped, with nothing left to send or no time left.
    async fn connect(&self) -> Option<Result<Connection<ByteStream>, EventFluxError>> {
        tokio::select! {
            biased;
            () = self.nothing_to_connect_for() => None,
            attempt = self.connector.connect() => Some(attempt.map_err(|error| error.at(self.connector.endpoint()))),
        }
    }

    async fn nothing_to_connect_for(&self) {
        self.signal.stopped().await;
        if self.outbox.pending() > 0
            && let Some(by) = self.outbox.stop_by()
        {
            sleep_until(by).await;
        }
    }

    async fn serve(&mut self, connection: Connection<ByteStream>) -> End {
        self.connected();
        let now = Instant::now();
        let heartbeat = self.heartbeat.as_ref().map(|(_, interval)| *interval);
        let mut session = Session {
            task: self,
            connection,
            keep_alive: KeepAlive::new(self.connection.keep_alive.clone(), heartbeat, now),
            pings: PingBudget::new(self.connection.max_pings, now),
            messages: Vec::new(),
            busy: false,
            stopping: false,
        };
        let result = session.run(now).await;
        let connection = session.connection;
        let goodbye_by = Instant::now() + self.connection.close_timeout;
        self.outbox.context.metrics.connections.set(0);
        if matches!(result, Err(Disconnect::Closed { code: Some(1009), .. })) {
            self.refused_as_too_large();
        }
        self.outbox.put_back();
        let (code, by, end) = match result {
            Ok(()) => (Some(1000), self.stop_by().min(goodbye_by), End::Stopped),
            Err(Disconnect::Lost(reason)) => (None, Instant::now(), End::Lost(reason)),
            Err(Disconnect::Violation { code, reason }) => (Some(code), goodbye_by, End::Lost(reason)),
            Err(closed) => (Some(1000), goodbye_by, End::Lost(closed.describe())),
        };
        if let Some(code) = code {
            if !matches!(code, 1000 | 1001) {
                let endpoint = self.connector.endpoint().to_string();
                counters::violation(&self.outbox.context.registry, &endpoint, Some(code));
            }
            connection.close(code, "", by).await;
        }
        end
    }

    fn connected(&mut self) {
        let (context, endpoint) = (&self.outbox.context, self.connector.endpoint());
        context.metrics.connections.set(1);
        context.health.set(ConnectionState::Connected, endpoint.to_string());
        if self.served {
            context.metrics.reconnects.increment();
        }
        self.served = true;
        log::info!("[{}] connected to {endpoint}", context.stream);
    }

    /// A peer that closes with 1009 while we send would do so again: the largest payload in flight is the culprit.
    fn refused_as_too_large(&self) {
        if let Some(slice) = self.outbox.take_largest() {
            let reason = format!("the peer does not accept a payload of {} bytes (1009)", slice.largest_bytes());
            self.report(&slice, EventFluxError::Send { reason, retryable: false });
            self.outbox.reported();
        }
    }

    /// A callback that panics takes nobody else with it.
    fn report(&self, slice: &Slice, error: EventFluxError) {
        let report = AssertUnwindSafe(|| self.callback.on_failed(slice.to_batch(), error));
        if std::panic::catch_unwind(report).is_err() {
            log::error!("[{}] the pipeline panicked over failed payloads", self.outbox.context.stream);
        }
    }

    fn stop_by(&self) -> Instant {
        self.outbox.stop_by().unwrap_or_else(|| Instant::now() + self.connection.close_timeout)
    }
}

/// One connection while it is served.
struct Session<'a> {
    task: &'a Task,
    connection: Connection<ByteStream>,
    keep_alive: KeepAlive,
    pings: PingBudget,
    /// Reused between chunks.
    messages: Vec<Message>,
    /// Whether payloads are in flight.
    busy: bool,
    stopping: bool,
}

enum Event {
    Driven(Result<Progress, Disconnect>),
    Work,
    Stopped,
    Timer,
}

impl Session<'_> {
    /// Sends until it is stopped and everything is sent.
    async fn run(&mut self, now: Instant) -> Result<(), Disconnect> {
        let task = self.task;
        let mut ignored = Batch::default();
        let mut stopped = pin!(task.signal.stopped());
        let mut timer = pin!(sleep_until(now));
        self.arm(now, timer.as_mut());
        loop {
            if !self.busy {
                self.fill(timer.as_mut());
            }
            if self.stopping && !self.busy {
                return Ok(());
            }
            let event = tokio::select! {
                biased;
                () = &mut stopped, if !self.stopping => Event::Stopped,
                driven = self.connection.drive(Some(&mut ignored)) => Event::Driven(driven),
                () = task.outbox.work.notified(), if !self.busy => Event::Work,
                () = &mut timer => Event::Timer,
            };
            match event {
                Event::Driven(Ok(Progress::Flushed)) => {
                    self.keep_alive.flushed();
                    if std::mem::take(&mut self.busy) {
                        task.outbox.release();
                    }
                }
                Event::Driven(Ok(Progress::Received)) => {
                    self.received(&ignored, timer.as_mut())?;
                    ignored.clear();
                }
                Event::Driven(Err(disconnect)) => return Err(disconnect),
                Event::Work => {}
                Event::Stopped => {
                    self.stopping = true;
                    self.arm(Instant::now(), timer.as_mut());
                }
                Event::Timer => self.timers(timer.as_mut())?,
            }
        }
    }

    /// Nobody reads what the peer sends; it shows that the peer is there.
    fn received(&mut self, ignored: &Batch, timer: Pin<&mut Sleep>) -> Result<(), Disconnect> {
        let now = Instant::now();
        self.keep_alive.received(!ignored.messages.is_empty(), now);
        self.keep_alive.mid_message(self.connection.is_mid_message(), now);
        if !self.pings.allow(ignored.pings, now) {
            return Err(PingBudget::exceeded());
        }
        // A peer that never pauses would keep the timer from being looked at.
        if self.next_deadline(now) <= now {
            return self.timers(timer);
        }
        self.arm_earlier(now, timer);
        Ok(())
    }

    fn fill(&mut self, timer: Pin<&mut Sleep>) {
        self.task.outbox.take(&mut self.messages);
        if self.messages.is_empty() {
            return;
        }
        self.busy = true;
        for message in self.messages.drain(..) {
            self.connection.queue(message);
        }
        let now = Instant::now();
        self.keep_alive.sending(now);
        self.arm_earlier(now, timer);
    }

    fn timers(&mut self, timer: Pin<&mut Sleep>) -> Result<(), Disconnect> {
        let now = Instant::now();
        if self.stopping && now >= self.task.stop_by() {
            return Err(Disconnect::Lost("the time to stop is over".to_owned()));
        }
        self.keep_alive.progressed(self.connection.chunks_sent(), now);
        while let Some(due) = self.keep_alive.due(now) {
            match due {
                Due::Ping => self.connection.queue(Message::ping()),
                Due::Heartbeat => {
                    if let Some((message, _)) = &self.task.heartbeat {
                        self.connection.queue(Message::text(message.clone()));
                    }
                }
                Due::MessageStalled => {
                    return Err(Disconnect::Violation { code: 1008, reason: Due::MessageStalled.reason().to_owned() });
                }
                dead => {
                    let endpoint = self.task.connector.endpoint().to_string();
                    counters::violation(&self.task.outbox.context.registry, &endpoint, None);
                    return Err(Disconnect::Lost(dead.reason().to_owned()));
                }
            }
            self.keep_alive.sending(now);
        }
        self.arm(now, timer);
        Ok(())
    }

    /// Looking is cheaper than arming.
    fn arm_earlier(&self, now: Instant, timer: Pin<&mut Sleep>) {
        if self.next_deadline(now) < timer.deadline() {
            self.arm(now, timer);
        }
    }

    fn arm(&self, now: Instant, timer: Pin<&mut Sleep>) {
        timer.reset(self.next_deadline(now));
    }

    fn next_deadline(&self, now: Instant) -> Instant {
        let deadline = self.keep_alive.deadline().unwrap_or(now + NEVER);
        if self.stopping { deadline.min(self.task.stop_by()) } else { deadline }
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let component = format!("the websocket sink of {}", self.outbox.context.stream);
            let error = EventFluxError::Panic { component, reason: "see the log".to_owned() };
            self.outbox.context.health.set(ConnectionState::Failed, error.to_string());
            self.outbox.broken(error);
        }
        let _ = self.sender.send(());
    }
}
