//! A sink in memory, sound or broken in one way.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use eventflux_core::{
    BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, Properties, PropertySpec, Secret, Sink, SinkCallback,
    SinkFactory, health::ConnectionState, runtime,
};
use eventflux_testkit::contract::{Capabilities, Limits, SinkHarness, SinkPeer};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    SHORT,
    hub::{Hub, HubPeer, Line},
    properties::{self, TableFault},
};

/// Payloads that may wait.
const QUEUE: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SinkFault {
    Table(TableFault),
    InventsLosses,
    StopNeedsStart,
    SecondStopHangs,
    StartsTwice,
    Restarts,
    ClonesShareTheirState,
    LosesOne,
    SwapsTwo,
    StopDiscards,
    NeverSettles,
    SettlesAtOnce,
    SettlesWhenEmpty,
    SettlesWhenStopped,
    AcceptsAfterStop,
    HidesLosses,
    StopIgnoresItsDeadline,
    BackoffIgnoresStop,
    NeverReconnects,
    GivesUpAtOnce,
    AlwaysReachable,
    Unbounded,
    DiesOfPanics,
    ShowsSecretInDebug,
}

pub(crate) struct Harness {
    factory: MemorySinkFactory,
}

impl Harness {
    pub(crate) fn sound() -> Self {
        Self { factory: MemorySinkFactory { fault: None } }
    }

    pub(crate) fn broken(fault: SinkFault) -> Self {
        Self { factory: MemorySinkFactory { fault: Some(fault) } }
    }
}

impl SinkHarness for Harness {
    fn factory(&self) -> &dyn SinkFactory {
        &self.factory
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::network()
    }

    fn peer(&self) -> Box<dyn SinkPeer> {
        Box::new(HubPeer::fresh())
    }

    fn giving_up_properties(&self) -> Option<Vec<(String, String)>> {
        Some(vec![("memory.attempts".into(), "3".into()), ("memory.delay.ms".into(), "20".into())])
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        properties::invalid_values()
    }

    fn limits(&self) -> Limits {
        if self.factory.fault.is_some() { SHORT } else { Limits::default() }
    }
}

struct MemorySinkFactory {
    fault: Option<SinkFault>,
}

impl MemorySinkFactory {
    fn table_fault(&self) -> Option<TableFault> {
        match self.fault {
            Some(SinkFault::Table(fault)) => Some(fault),
            _ => None,
        }
    }
}

impl SinkFactory for MemorySinkFactory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn doc(&self) -> &'static str {
        "Brings payloads to a hub in memory."
    }

    fn supported_formats(&self) -> &'static [&'static str] {
        &["text"]
    }

    fn properties(&self) -> &'static [PropertySpec] {
        properties::table(self.table_fault())
    }

    fn required_parameters(&self) -> Vec<&'static str> {
        vec!["memory.hub"]
    }

    fn create_initialized(
        &self,
        properties: &Properties,
        context: &ConnectorContext,
    ) -> Result<Box<dyn Sink>, EventFluxError> {
        properties::check(self.table_fault(), properties)?;
        let config = Config {
            hub: Hub::named(properties.optional_text("memory.hub").unwrap_or("none")),
            delay: Duration::from_millis(properties.integer("memory.delay.ms")?),
            attempts: properties.integer("memory.attempts")?,
            token: Secret::new(properties.optional_text("memory.token").unwrap_or_default()),
            context: context.clone(),
            fault: self.fault,
        };
        Ok(Box::new(MemorySink { queue: Arc::new(Queue::new(&config)), task: Mutex::default(), config }))
    }
}

#[derive(Clone)]
struct Config {
    hub: Arc<Hub>,
    delay: Duration,
    attempts: i64,
    token: Secret,
    context: ConnectorContext,
    fault: Option<SinkFault>,
}

struct MemorySink {
    config: Config,
    queue: Arc<Queue>,
    task: Mutex<Option<(JoinHandle<()>, mpsc::Receiver<()>)>>,
}

/// What the sink and its task share.
struct Queue {
    payloads: Mutex<VecDeque<Vec<u8>>>,
    /// Payloads that have left the queue; changes with `payloads`.
    done: AtomicUsize,
    /// Counts changes of the queue.
    changed: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    stopped: AtomicBool,
    /// Nothing leaves the queue any more.
    ended: AtomicBool,
    gave_up: AtomicBool,
    attempts_left: AtomicI64,
}

impl Queue {
    fn new(config: &Config) -> Self {
        Self {
            payloads: Mutex::default(),
            done: AtomicUsize::new(0),
            changed: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            stopped: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            gave_up: AtomicBool::new(false),
            attempts_left: AtomicI64::new(config.attempts),
        }
    }

    fn len(&self) -> usize {
        self.payloads.lock().unwrap().len()
    }

    /// The first `count` payloads leave it for good.
    fn leave(&self, count: usize) {
        let mut payloads = self.payloads.lock().unwrap();
        let left = count.min(payloads.len());
        payloads.drain(..left);
        self.done.fetch_add(left, Ordering::Relaxed);
        drop(payloads);
        self.notify();
    }

    fn notify(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }
}

impl Sink for MemorySink {
    fn start(&self, callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        let fault = self.config.fault;
        let mut task = self.task.lock().unwrap();
        let stopped = self.queue.stopped.load(Ordering::Relaxed);
        let again = task.is_some() && fault != Some(SinkFault::StartsTwice);
        if (again || stopped) && !(stopped && fault == Some(SinkFault::Restarts)) {
            return Err(EventFluxError::configuration("a second start"));
        }
        let (finished, done) = mpsc::channel();
        let (config, queue) = (self.config.clone(), Arc::clone(&self.queue));
        let running = runtime::shared()?.spawn(async move {
            config.run(&queue, &*callback).await;
            let _ = finished.send(());
        });
        *task = Some((running, done));
        Ok(())
    }

    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        let fault = self.config.fault;
        let stopped = self.queue.stopped.load(Ordering::Relaxed) && fault != Some(SinkFault::AcceptsAfterStop);
        if stopped || self.queue.gave_up.load(Ordering::Relaxed) {
            return Err(EventFluxError::Stopped);
        }
        let mut payloads = self.queue.payloads.lock().unwrap();
        match fault {
            Some(SinkFault::LosesOne) if payload == b"7" => {}
            Some(SinkFault::SwapsTwo) if payload == b"7" => {}
            Some(SinkFault::SwapsTwo) if payload == b"8" => payloads.extend([b"8".to_vec(), b"7".to_vec()]),
            _ => payloads.push_back(payload.to_vec()),
        }
        drop(payloads);
        self.queue.notify();
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let ended = self.queue.stopped.load(Ordering::Relaxed) || self.queue.gave_up.load(Ordering::Relaxed);
        ended || self.queue.len() < QUEUE || self.config.fault == Some(SinkFault::Unbounded)
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        let mut changes = self.queue.changed.subscribe();
        Box::pin(async move {
            let _ = changes.wait_for(|_| self.is_ready()).await;
        })
    }

    fn settled(&self) -> BoxFuture<'static, Result<(), EventFluxError>> {
        let (fault, queue) = (self.config.fault, Arc::clone(&self.queue));
        if fault == Some(SinkFault::SettlesAtOnce) {
            return Box::pin(std::future::ready(Ok(())));
        }
        let payloads = self.queue.payloads.lock().unwrap();
        let mark = self.queue.done.load(Ordering::Relaxed) + payloads.len();
        let mut changes = self.queue.changed.subscribe();
        Box::pin(async move {
            loop {
                changes.borrow_and_update();
                let reached = match fault {
                    Some(SinkFault::NeverSettles) => false,
                    Some(SinkFault::SettlesWhenEmpty) => queue.len() == 0,
                    _ => queue.done.load(Ordering::Relaxed) >= mark,
                };
                let ended = queue.ended.load(Ordering::Relaxed);
                match fault {
                    _ if reached => return Ok(()),
                    Some(SinkFault::SettlesWhenStopped) if ended => return Ok(()),
                    _ if ended => return Err(EventFluxError::Stopped),
                    _ => {}
                }
                let _ = changes.changed().await;
            }
        })
    }

    fn stop(&self, deadline: Duration) -> u64 {
        let fault = self.config.fault;
        if self.queue.stopped.swap(true, Ordering::Relaxed) {
            if fault == Some(SinkFault::SecondStopHangs) {
                thread::sleep(deadline * 2);
            }
            return 0;
        }
        let Some((task, done)) = self.task.lock().unwrap().take() else {
            assert!(fault != Some(SinkFault::StopNeedsStart), "stopped before it was started");
            return 0;
        };
        if fault == Some(SinkFault::StopDiscards) {
            self.queue.payloads.lock().unwrap().clear();
        }
        self.queue.stopping.send_replace(true);
        let patience = if fault == Some(SinkFault::StopIgnoresItsDeadline) { deadline * 5 } else { deadline };
        let _ = done.recv_timeout(patience);
        task.abort();
        self.queue.ended.store(true, Ordering::Relaxed);
        self.queue.notify();
        match fault {
            Some(SinkFault::InventsLosses) => 1,
            Some(SinkFault::HidesLosses) => 0,
            _ => self.queue.len() as u64,
        }
    }

    fn clone_box(&self) -> Box<dyn Sink> {
        let shared = self.config.fault == Some(SinkFault::ClonesShareTheirState);
        let queue = if shared { Arc::clone(&self.queue) } else { Arc::new(Queue::new(&self.config)) };
        Box::new(Self { config: self.config.clone(), queue, task: Mutex::default() })
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        if self.config.fault == Some(SinkFault::AlwaysReachable) { Ok(()) } else { self.config.hub.try_reach() }
    }
}

impl std::fmt::Debug for MemorySink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("MemorySink");
        if self.config.fault == Some(SinkFault::ShowsSecretInDebug) {
            shown.field("token", &self.config.token.expose());
        }
        shown.field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}

impl Config {
    async fn run(&self, queue: &Queue, callback: &dyn SinkCallback) {
        let mut stopping = queue.stopping.subscribe();
        self.context.health.set(ConnectionState::Connecting, None);
        loop {
            if *stopping.borrow() && queue.len() == 0 {
                return;
            }
            // A sink that is asked to stop goes on trying only while it has something to deliver.
            let idle_stop = async {
                let _ = stopping.wait_for(|stopping| *stopping && queue.len() == 0).await;
            };
            let connected = tokio::select! {
                () = idle_stop, if self.fault != Some(SinkFault::StopIgnoresItsDeadline) => return,
                connected = self.hub.connect() => connected,
            };
            match connected {
                Ok(line) => {
                    self.context.health.set(ConnectionState::Connected, None);
                    if self.serve(&line, queue).await || self.fault == Some(SinkFault::NeverReconnects) {
                        return;
                    }
                }
                Err(error) => {
                    let left = queue.attempts_left.fetch_sub(1, Ordering::Relaxed) - 1;
                    if left == 0 || self.fault == Some(SinkFault::GivesUpAtOnce) {
                        return self.give_up(queue, callback, &error);
                    }
                }
            }
            self.context.health.set(ConnectionState::Reconnecting, None);
            if self.fault == Some(SinkFault::BackoffIgnoresStop) {
                tokio::time::sleep(self.delay).await;
            }
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping && queue.len() == 0) => return,
                () = tokio::time::sleep(self.delay) => {}
            }
        }
    }

    /// Delivers until the connection is lost, or until it is asked to stop and the queue is empty: then true.
    async fn serve(&self, line: &Line, queue: &Queue) -> bool {
        let (mut changes, mut stopping) = (queue.changed.subscribe(), queue.stopping.subscribe());
        loop {
            // The one that discards at stop is always one behind, so that it has something to discard.
            let kept = usize::from(self.fault == Some(SinkFault::StopDiscards));
            let next = Some(queue.len()).filter(|waiting| *waiting > kept);
            let next = next.and_then(|_| queue.payloads.lock().unwrap().front().cloned());
            if self.hub.is_cut(line) {
                return false;
            }
            match next {
                Some(payload) => {
                    if !self.hub.deliver(line, &payload).await {
                        return false;
                    }
                    queue.leave(1);
                }
                None if *stopping.borrow_and_update() => return true,
                None => tokio::select! {
                    _ = changes.changed() => {}
                    _ = stopping.changed() => {}
                    // How this sink notices that it was cut while idle.
                    () = tokio::time::sleep(Duration::from_millis(2)) => {}
                },
            }
        }
    }

    fn give_up(&self, queue: &Queue, callback: &dyn SinkCallback, error: &EventFluxError) {
        let payloads: Vec<_> = queue.payloads.lock().unwrap().iter().cloned().collect();
        let count = payloads.len();
        if self.fault != Some(SinkFault::DiesOfPanics) {
            queue.gave_up.store(true, Ordering::Relaxed);
        }
        for (position, payload) in (0_u64..).zip(payloads) {
            let report = || callback.on_failed(EncodedBatch::single(Bytes::from(payload), position), error.clone());
            if self.fault == Some(SinkFault::DiesOfPanics) {
                report();
            } else if catch_unwind(AssertUnwindSafe(report)).is_err() {
                log::error!("the callback panicked");
            }
        }
        queue.leave(count);
    }
}
