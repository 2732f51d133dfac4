//! A client sink: a bounded queue, and a task that keeps it moving.
//!
//! A payload leaves the queue when the kernel has accepted it; what was handed to a connection that ended first is sent
//! again on the next one. So between queue and kernel delivery is at-least-once, in order; what the kernel had accepted
//! and the peer never read is lost with the connection, and a plain WebSocket cannot tell.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::{self, StopSignal};
use eventflux_core::{ConnectorContext, EventFluxError, RowFailure, SinkCallback};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Sleep, sleep_until};

use super::reconnect::{Next, Reconnect};
use super::{Connector, ReconnectPolicy};
use crate::config::{ClientConfig, WebSocketSinkConfig};
use crate::keep_alive::{Due, KeepAlive, KeepAliveConfig};
use crate::queue::{FullPolicy, PayloadQueue, QueueConfig, Slice};
use crate::transport::{Batch, Connection, Disconnect, MessageKind, Progress};

/// Payload bytes handed to the socket before it is flushed and they leave the queue.
const CHUNK_BYTES: usize = 64 * 1024;

/// A queue that was said to be full and is filled all the same refuses at this many times its size: several streams may
/// each have had one more batch, but the engine is meant to wait.
const OVERFILL_FACTOR: usize = 16;

/// How long a goodbye may take when the peer closed first, or ends for another reason than a stop.
const GOODBYE: Duration = Duration::from_secs(2);

/// Further away than any deadline of ours.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A sink that connects out; started.
pub(crate) struct ClientSink {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    done: Mutex<mpsc::Receiver<()>>,
}

/// What the publishers and the task share.
struct Shared {
    state: Mutex<State>,
    /// Whether the queue has room; a copy that is read without the lock.
    ready: AtomicBool,
    /// Wakes whoever waits for room.
    room: Notify,
    /// Wakes the task: something is queued.
    work: Notify,
    /// Wakes the task that gave up: something was published.
    retry: Notify,
    config: QueueConfig,
    context: ConnectorContext,
}

struct State {
    queue: PayloadQueue,
    /// Payloads handed to the connection and not flushed.
    in_flight: Vec<Slice>,
    in_flight_cost: usize,
    phase: Phase,
    stop_by: Option<Instant>,
}

enum Phase {
    Running,
    /// Gave up; why.
    Failed(EventFluxError),
    Stopped,
}

/// The task.
struct Task {
    shared: Arc<Shared>,
    connector: Connector,
    reconnect: ReconnectPolicy,
    keep_alive: KeepAliveConfig,
    heartbeat: Option<(Bytes, Duration)>,
    callback: Arc<dyn SinkCallback>,
    signal: StopSignal,
    served: bool,
}

enum End {
    Stopped,
    Lost(String),
}

enum RoundEnd {
    Stopped,
    GaveUp(EventFluxError),
}

impl ClientSink {
    /// Reads files and environment and starts the task.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the file or variable.
    pub(crate) fn start(
        client: &ClientConfig,
        config: &WebSocketSinkConfig,
        context: ConnectorContext,
        callback: Arc<dyn SinkCallback>,
    ) -> Result<Self, EventFluxError> {
        let connector = Connector::new(client, &config.connection)?;
        let shared = Arc::new(Shared::new(config.queue, context));
        let (stop, signal) = StopSignal::new();
        let (finished, done) = mpsc::channel();
        let heartbeat = client.heartbeat.as_ref();
        let task = Task {
            shared: shared.clone(),
            connector,
            reconnect: client.reconnect,
            keep_alive: config.connection.keep_alive,
            heartbeat: heartbeat.map(|beat| (Bytes::copy_from_slice(beat.message.expose().as_bytes()), beat.interval)),
            callback,
            signal,
            served: false,
        };
        let endpoint = task.connector.endpoint().to_string();
        shared.context.health.set(ConnectionState::Connecting, endpoint);
        runtime::shared()?.spawn(async move {
            let _finished = Finished { shared: task.shared.clone(), sender: finished };
            task.run().await;
        });
        Ok(Self { shared, stop, done: Mutex::new(done) })
    }

    /// Queues payloads.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`] after giving up (the next series of attempts starts now),
    /// [`EventFluxError::Stopped`], or [`EventFluxError::Send`] when the queue was overfilled.
    pub(crate) fn publish(&self, slice: Slice) -> Result<(), RowFailure> {
        self.shared.publish(slice)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
    }

    /// Resolves when [`ClientSink::is_ready`].
    pub(crate) async fn ready(&self) {
        loop {
            let mut room = pin!(self.shared.room.notified());
            room.as_mut().enable();
            if self.is_ready() {
                return;
            }
            room.await;
        }
    }

    /// Sends what is queued, says goodbye, and returns the number of payloads that could not be sent.
    pub(crate) fn stop(&self, deadline: Duration) -> u64 {
        // Nine tenths for the task, so that its goodbye is over when the deadline is.
        self.shared.lock().stop_by.get_or_insert(Instant::now() + deadline * 9 / 10);
        self.stop.send_replace(true);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = done.recv_timeout(deadline);
        self.shared.end()
    }
}

impl fmt::Debug for ClientSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSink").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

impl Shared {
    fn new(config: QueueConfig, context: ConnectorContext) -> Self {
        Self {
            state: Mutex::new(State {
                queue: PayloadQueue::default(),
                in_flight: Vec::new(),
                in_flight_cost: 0,
                phase: Phase::Running,
                stop_by: None,
            }),
            ready: AtomicBool::new(true),
            room: Notify::new(),
            work: Notify::new(),
            retry: Notify::new(),
            config,
            context,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, slice: Slice) -> Result<(), RowFailure> {
        let refused = |error| Err(RowFailure { row: 0, error });
        let mut state = self.lock();
        match &state.phase {
            Phase::Stopped => return refused(EventFluxError::Stopped),
            Phase::Failed(error) => {
                let error = error.clone();
                state.phase = Phase::Running;
                self.retry.notify_one();
                return refused(error);
            }
            Phase::Running => {}
        }
        if state.cost() >= self.config.max_bytes.saturating_mul(OVERFILL_FACTOR) {
            let reason = "the sink's queue (websocket.queue.bytes) was overfilled while it was not ready".to_owned();
            return refused(EventFluxError::Send { reason, retryable: true });
        }
        let in_flight = state.in_flight_cost;
        let pushed = state.queue.push(self.config, slice, in_flight);
        if pushed.dropped > 0 {
            self.context.metrics.dropped.add(pushed.dropped as u64);
        }
        self.changed(&state);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Takes the next payloads to send.
    fn take(&self, payloads: &mut Vec<(MessageKind, Bytes)>) {
        let state = &mut *self.lock();
        state.in_flight_cost += state.queue.take(CHUNK_BYTES, &mut state.in_flight);
        payloads.extend(state.in_flight.iter().flat_map(Slice::payloads));
    }

    /// What was taken is sent.
    fn release(&self) {
        let mut state = self.lock();
        state.in_flight.clear();
        state.in_flight_cost = 0;
        self.changed(&state);
    }

    /// What was taken is not sent.
    fn put_back(&self) {
        let state = &mut *self.lock();
        state.queue.put_back(state.in_flight.drain(..));
        state.in_flight_cost = 0;
    }

    /// Takes the largest of the payloads in flight out: the peer does not accept it.
    fn take_largest(&self) -> Option<Slice> {
        let state = &mut *self.lock();
        let (index, _) = state.in_flight.iter().enumerate().max_by_key(|(_, slice)| slice.largest_bytes())?;
        let [before, largest, behind] = state.in_flight[index].split_largest()?;
        state.in_flight_cost = state.in_flight_cost.saturating_sub(largest.cost());
        state.in_flight.splice(index..=index, [before, behind]);
        Some(largest)
    }

    /// Gives up: everything queued.
    fn fail(&self, error: EventFluxError) -> Vec<Slice> {
        let state = &mut *self.lock();
        let mut slices = std::mem::take(&mut state.in_flight);
        slices.append(&mut state.queue.take_all());
        state.in_flight_cost = 0;
        if !matches!(state.phase, Phase::Stopped) {
            state.phase = Phase::Failed(error);
        }
        self.changed(state);
        slices
    }

    /// Ends; returns the number of payloads that are left. They are forgotten.
    fn end(&self) -> u64 {
        let mut state = self.lock();
        let left = state.pending() as u64;
        state.in_flight.clear();
        state.in_flight_cost = 0;
        state.queue.take_all();
        state.phase = Phase::Stopped;
        self.changed(&state);
        left
    }

    fn changed(&self, state: &State) {
        self.context.metrics.queue_bytes.set(state.cost() as u64);
        let running = matches!(state.phase, Phase::Running);
        let blocks = self.config.full == FullPolicy::Block;
        let ready = !running || !blocks || state.cost() < self.config.max_bytes;
        if ready != self.ready.swap(ready, Ordering::AcqRel) && ready {
            self.room.notify_waiters();
        }
    }
}

impl State {
    fn cost(&self) -> usize {
        self.queue.cost() + self.in_flight_cost
    }

    fn pending(&self) -> usize {
        self.queue.len() + self.in_flight.iter().map(Slice::len).sum::<usize>()
    }
}

/// Tells `stop` that the task ended, in whatever way.
struct Finished {
    shared: Arc<Shared>,
    sender: mpsc::Sender<()>,
}

impl Drop for Finished {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let component = format!("the websocket sink of {}", self.shared.context.stream);
            let error = EventFluxError::Panic { component, reason: "see the log".to_owned() };
            self.shared.context.health.set(ConnectionState::Failed, error.to_string());
            let mut state = self.shared.lock();
            state.phase = Phase::Failed(error);
            self.shared.changed(&state);
        }
        let _ = self.sender.send(());
    }
}

impl Task {
    async fn run(mut self) {
        let mut reconnect = Reconnect::new(self.reconnect);
        let mut pause = Duration::ZERO;
        while let RoundEnd::GaveUp(error) = self.round(&mut reconnect, pause).await {
            self.give_up(&error);
            tokio::select! {
                () = self.shared.retry.notified() => {
                    pause = reconnect.new_round();
                    self.shared.context.health.set(ConnectionState::Reconnecting, error.to_string());
                }
                () = self.signal.stopped() => break,
            }
        }
        self.shared.context.health.set(ConnectionState::Stopped, None);
    }

    fn give_up(&self, error: &EventFluxError) {
        let context = &self.shared.context;
        let slices = self.shared.fail(error.clone());
        let payloads: usize = slices.iter().map(Slice::len).sum();
        log::error!("[{}] {error}; giving up, {payloads} queued payloads failed", context.stream);
        context.health.set(ConnectionState::Failed, error.to_string());
        for slice in slices.iter().filter(|slice| slice.len() > 0) {
            self.report(slice, error.clone());
        }
    }

    /// One series of attempts, the first after `pause`.
    async fn round(&mut self, reconnect: &mut Reconnect, mut pause: Duration) -> RoundEnd {
        let endpoint = self.connector.endpoint().to_string();
        let context = self.shared.context.clone();
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
    async fn connect(&self) -> Option<Result<Connection, EventFluxError>> {
        tokio::select! {
            biased;
            () = self.nothing_to_connect_for() => None,
            attempt = self.connector.connect() => Some(attempt.map_err(|error| error.at(self.connector.endpoint()))),
        }
    }

    async fn nothing_to_connect_for(&self) {
        self.signal.stopped().await;
        let (pending, by) = {
            let state = self.shared.lock();
            (state.pending(), state.stop_by)
        };
        if pending > 0
            && let Some(by) = by
        {
            sleep_until(by).await;
        }
    }

    async fn serve(&mut self, connection: Connection) -> End {
        self.connected();
        let now = Instant::now();
        let heartbeat = self.heartbeat.as_ref().map(|(_, interval)| *interval);
        let mut session = Session {
            task: self,
            connection,
            keep_alive: KeepAlive::new(self.keep_alive, heartbeat, now),
            payloads: Vec::new(),
            busy: false,
            stopping: false,
        };
        let result = session.run(now).await;
        let connection = session.connection;
        self.shared.context.metrics.connections.set(0);
        if matches!(result, Err(Disconnect::Closed { code: Some(1009), .. })) {
            self.refused_as_too_large();
        }
        self.shared.put_back();
        let (code, by, end) = match result {
            Ok(()) => (Some(1000), self.stop_by(), End::Stopped),
            Err(Disconnect::Lost(reason)) => (None, Instant::now(), End::Lost(reason)),
            Err(Disconnect::Violation { code, reason }) => (Some(code), Instant::now() + GOODBYE, End::Lost(reason)),
            Err(closed) => (Some(1000), Instant::now() + GOODBYE, End::Lost(closed.describe())),
        };
        if let Some(code) = code {
            connection.close(code, "", by).await;
        }
        end
    }

    fn connected(&mut self) {
        let (context, endpoint) = (&self.shared.context, self.connector.endpoint());
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
        if let Some(slice) = self.shared.take_largest() {
            let reason = format!("the peer does not accept a payload of {} bytes (1009)", slice.largest_bytes());
            self.report(&slice, EventFluxError::Send { reason, retryable: false });
        }
    }

    /// A callback that panics takes nobody else with it.
    fn report(&self, slice: &Slice, error: EventFluxError) {
        let report = AssertUnwindSafe(|| self.callback.on_failed(slice.to_batch(), error));
        if std::panic::catch_unwind(report).is_err() {
            log::error!("[{}] the pipeline panicked over failed payloads", self.shared.context.stream);
        }
    }

    fn stop_by(&self) -> Instant {
        self.shared.lock().stop_by.unwrap_or_else(|| Instant::now() + GOODBYE)
    }
}

/// One connection while it is served.
struct Session<'a> {
    task: &'a Task,
    connection: Connection,
    keep_alive: KeepAlive,
    /// Reused between chunks.
    payloads: Vec<(MessageKind, Bytes)>,
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
                driven = self.connection.drive(Some(&mut ignored)) => Event::Driven(driven),
                () = &mut stopped, if !self.stopping => Event::Stopped,
                () = task.shared.work.notified(), if !self.busy => Event::Work,
                () = &mut timer => Event::Timer,
            };
            match event {
                Event::Driven(Ok(Progress::Flushed)) => {
                    self.keep_alive.flushed();
                    if std::mem::take(&mut self.busy) {
                        task.shared.release();
                    }
                }
                Event::Driven(Ok(Progress::Received)) => {
                    self.keep_alive.received(!ignored.messages.is_empty(), Instant::now());
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

    fn fill(&mut self, timer: Pin<&mut Sleep>) {
        self.task.shared.take(&mut self.payloads);
        if self.payloads.is_empty() {
            return;
        }
        self.busy = true;
        for (kind, payload) in self.payloads.drain(..) {
            self.connection.queue(kind, payload);
        }
        let now = Instant::now();
        self.keep_alive.sending(now);
        if timer.deadline() > now + self.task.keep_alive.write_timeout {
            self.arm(now, timer);
        }
    }

    fn timers(&mut self, timer: Pin<&mut Sleep>) -> Result<(), Disconnect> {
        let now = Instant::now();
        if self.stopping && now >= self.task.stop_by() {
            return Err(Disconnect::Lost("the time to stop is over".to_owned()));
        }
        self.keep_alive.progressed(self.connection.frames_sent(), now);
        while let Some(due) = self.keep_alive.due(now) {
            match due {
                Due::Ping => self.connection.queue(MessageKind::Ping, Bytes::new()),
                Due::Heartbeat => {
                    if let Some((message, _)) = &self.task.heartbeat {
                        self.connection.queue(MessageKind::Text, message.clone());
                    }
                }
                dead => return Err(Disconnect::Lost(dead.reason().to_owned())),
            }
            self.keep_alive.sending(now);
        }
        self.arm(now, timer);
        Ok(())
    }

    fn arm(&self, now: Instant, timer: Pin<&mut Sleep>) {
        let deadline = self.keep_alive.deadline().unwrap_or(now + NEVER);
        let stop_by = if self.stopping { self.task.stop_by() } else { deadline };
        timer.reset(deadline.min(stop_by));
    }
}
