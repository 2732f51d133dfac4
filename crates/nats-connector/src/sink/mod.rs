//! The `nats` sink: a queue, and a task that keeps it moving.

mod addressing;
mod asked;
mod confirm;
mod core;
mod jetstream;
mod outbox;
pub(crate) mod partition;
mod request;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::{self, StopSignal};
use eventflux_core::{BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, RowFailure, Sink, SinkCallback};
use eventflux_nats::connection::Violation;
use eventflux_nats::{Connection, ConnectionConfig, Observer};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

pub(crate) use self::addressing::Addressing;
pub(crate) use self::jetstream::JetStreamSinkConfig;
use self::outbox::Outbox;
pub(crate) use self::request::RequestConfig;
use crate::config::{NatsSinkConfig, SinkMode};
use crate::presence::Presence;
use crate::replies::{Asking, Exchanges};

/// Pause between giving up and the next series of attempts, which the next event starts.
const PAUSE_AFTER_GIVING_UP: Duration = Duration::from_secs(1);

/// Publishes events to NATS. See the module documentation of the crate.
#[derive(Debug)]
pub struct NatsSink {
    config: NatsSinkConfig,
    context: ConnectorContext,
    /// Says that there is one that asks, when it is one.
    asking: Option<Asking>,
    running: OnceLock<Running>,
    /// Also keeps start and stop apart.
    stopped: Mutex<bool>,
}

#[derive(Debug)]
struct Running {
    outbox: Arc<Outbox>,
    stop: watch::Sender<bool>,
    done: Mutex<mpsc::Receiver<()>>,
}

/// What every way of sending runs with, on the shared runtime. Each is a function
/// `run(config, work) -> Result<(), EventFluxError>` that takes events out of the outbox and says what became of them. It
/// returns `Ok` when it was told to stop and has sent what it could within [`Outbox::time_left`]; an error when it gave
/// up: then everything in the outbox, taken or not, goes to the error strategy, and it is called again when something new
/// is published.
pub(super) struct Work {
    pub(super) connection: ConnectionConfig,
    pub(super) context: ConnectorContext,
    pub(super) outbox: Arc<Outbox>,
    pub(super) signal: StopSignal,
    presence: Presence,
}

impl NatsSink {
    pub(crate) fn new(
        config: NatsSinkConfig,
        context: ConnectorContext,
        exchanges: &Exchanges,
    ) -> Result<Self, EventFluxError> {
        let asking = match &config.mode {
            SinkMode::Request(request) => Some(exchanges.ask(&request.name)),
            SinkMode::Core | SinkMode::JetStream(_) => None,
        };
        Ok(Self { config, context, asking, running: OnceLock::new(), stopped: Mutex::new(false) })
    }

    fn lifecycle(&self) -> MutexGuard<'_, bool> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for NatsSink {
    fn start(&self, callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        let stopped = self.lifecycle();
        if *stopped {
            return Err(EventFluxError::Stopped);
        }
        if self.running.get().is_some() {
            return Err(EventFluxError::configuration("the sink is started already"));
        }
        let asking = self.asking.clone();
        asking.as_ref().map_or(Ok(()), Asking::check)?;
        let max_events = match &self.config.mode {
            SinkMode::Request(request) => request.max_requests,
            SinkMode::Core | SinkMode::JetStream(_) => usize::MAX,
        };
        let place = Place::of(&self.config.mode)?;
        let outbox = Arc::new(Outbox::new(self.config.queue_bytes, max_events, self.context.clone(), callback));
        let (stop, signal) = StopSignal::new();
        let (finished, done) = mpsc::channel();
        let work = Work {
            connection: self.config.connection.clone(),
            context: self.context.clone(),
            outbox: outbox.clone(),
            signal,
            presence: Presence::default(),
        };
        let mode = self.config.mode.clone();
        let finished = Finished { outbox: outbox.clone(), context: self.context.clone(), sender: finished };
        place.spawn(async move {
            let _finished = finished;
            run(mode, asking, work).await;
        })?;
        // Nobody else can have set it: the lock is held.
        let _ = self.running.set(Running { outbox, stop, done: Mutex::new(done) });
        Ok(())
    }

    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        let batch = EncodedBatch::single(Bytes::copy_from_slice(payload), 0);
        self.publish_batch(&batch).map_err(|failure| failure.error)
    }

    fn publish_batch(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        match self.running.get() {
            Some(running) => running.outbox.publish(batch, &self.config.addressing),
            None => Err(RowFailure { row: 0, error: EventFluxError::Stopped }),
        }
    }

    fn is_ready(&self) -> bool {
        self.running.get().is_none_or(|running| running.outbox.is_ready())
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        match self.running.get() {
            Some(running) => Box::pin(running.outbox.ready()),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        match self.running.get() {
            Some(running) => running.outbox.settled(),
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn stop(&self, deadline: Duration) -> u64 {
        let mut stopped = self.lifecycle();
        let before = std::mem::replace(&mut *stopped, true);
        let Some(running) = self.running.get() else {
            if !before {
                self.context.health.set(ConnectionState::Stopped, None);
            }
            return 0;
        };
        running.stop(deadline)
    }

    fn clone_box(&self) -> Box<dyn Sink> {
        Box::new(Self {
            config: self.config.clone(),
            context: self.context.clone(),
            asking: self.asking.clone(),
            running: OnceLock::new(),
            stopped: Mutex::new(false),
        })
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        Connection::validate(&self.config.connection)
    }
}

impl Drop for NatsSink {
    fn drop(&mut self) {
        // One that never started has nothing to end, and shares its health with a clone that may be running.
        if self.running.get().is_some() && !*self.lifecycle() {
            self.stop(Duration::ZERO);
        }
    }
}

impl Running {
    fn stop(&self, deadline: Duration) -> u64 {
        // Nine tenths for the task, so that its goodbye is over when the deadline is.
        self.outbox.set_stop_by(Instant::now() + deadline * 9 / 10);
        self.stop.send_replace(true);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = done.recv_timeout(deadline);
        self.outbox.end()
    }
}

/// Where the task of a sink runs, and those of the library that belong to it.
enum Place {
    Shared(&'static Handle),
    /// In a thread of its own.
    Own(Runtime),
}

impl Place {
    fn of(mode: &SinkMode) -> Result<Self, EventFluxError> {
        match mode {
            // It depends on the order in which the library's tasks run.
            SinkMode::Core => Builder::new_current_thread().enable_all().build().map(Self::Own).map_err(no_thread),
            SinkMode::JetStream(_) | SinkMode::Request(_) => runtime::shared().map(Self::Shared),
        }
    }

    fn spawn(self, task: impl Future<Output = ()> + Send + 'static) -> Result<(), EventFluxError> {
        match self {
            Self::Shared(runtime) => drop(runtime.spawn(task)),
            Self::Own(runtime) => {
                let thread = thread::Builder::new().name("nats-sink".to_owned());
                thread.spawn(move || runtime.block_on(task)).map_err(no_thread)?;
            }
        }
        Ok(())
    }
}

fn no_thread(error: std::io::Error) -> EventFluxError {
    EventFluxError::configuration(format!("cannot start a thread: {error}"))
}

/// Runs until it is stopped, one series of attempts after the other.
async fn run(mode: SinkMode, asking: Option<Asking>, work: Work) {
    let context = &work.context;
    loop {
        let result = match (&mode, &asking) {
            (SinkMode::Core, _) => core::run(&work).await,
            (SinkMode::JetStream(config), _) => jetstream::run(config, &work).await,
            (SinkMode::Request(config), Some(asking)) => request::run(config, asking, &work).await,
            // One that asks has said so.
            (SinkMode::Request(_), None) => Ok(()),
        };
        work.presence.hide(context);
        let Err(error) = result else { break };
        if work.signal.is_stopped() {
            break;
        }
        context.health.set(ConnectionState::Failed, error.to_string());
        let events = work.outbox.give_up(&error);
        log::error!("[{}] {error}; giving up, {events} queued events failed", context.stream);
        tokio::select! {
            () = work.signal.stopped() => break,
            () = work.outbox.retried() => context.health.set(ConnectionState::Reconnecting, error.to_string()),
        }
        if !work.signal.sleep(PAUSE_AFTER_GIVING_UP).await {
            break;
        }
    }
    context.health.set(ConnectionState::Stopped, None);
}

impl Work {
    /// Connects. `None` when it was told to stop, and there is nothing to connect for, or no time left.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(super) async fn connect(&self) -> Result<Option<Connection>, EventFluxError> {
        let observer = Observer::of(&self.context);
        let connection = tokio::select! {
            biased;
            () = self.nothing_to_do() => return Ok(None),
            connection = Connection::open(&self.connection, &observer) => connection?,
        };
        self.presence.show(&self.context, &connection);
        Ok(Some(connection))
    }

    /// Resolves when it was told to stop, and nothing is left, or no time.
    pub(super) async fn nothing_to_do(&self) {
        self.signal.stopped().await;
        if self.outbox.len() > 0 {
            tokio::time::sleep(self.outbox.time_left(Duration::MAX)).await;
        }
    }

    /// Ends the connection within what is left of the time to stop, `limit` at most.
    pub(super) async fn goodbye(&self, connection: &Connection, limit: Duration) {
        connection.close(self.outbox.time_left(limit)).await;
        self.presence.hide(&self.context);
    }
}

/// Which connection of this client the present one is, counted from 1.
fn connects(client: &async_nats::Client) -> u64 {
    client.statistics().connects.load(Ordering::Acquire)
}

/// Waits for what the server does not permit; `None`: some were lost. Cancel safe.
async fn next_violation(violations: &mut broadcast::Receiver<Violation>) -> Option<Violation> {
    match violations.recv().await {
        Ok(violation) => Some(violation),
        // The newest are still there.
        Err(RecvError::Lagged(_)) => None,
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

/// The error for a client of the library that takes no more commands, because its connection has ended for good.
fn closed(error: impl std::fmt::Display) -> EventFluxError {
    EventFluxError::ConnectionUnavailable { endpoint: "NATS".to_owned(), reason: error.to_string(), retryable: true }
}

/// Tells `stop` that the task ended, in whatever way.
struct Finished {
    outbox: Arc<Outbox>,
    context: ConnectorContext,
    sender: mpsc::Sender<()>,
}

impl Drop for Finished {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let component = format!("the nats sink of {}", self.context.stream);
            let error = EventFluxError::Panic { component, reason: "see the log".to_owned() };
            self.context.health.set(ConnectionState::Failed, error.to_string());
            self.outbox.broken(error);
        }
        let _ = self.sender.send(());
    }
}
