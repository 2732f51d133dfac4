//! A source in memory, sound or broken in one way.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use eventflux_core::{
    ConnectorContext, EventFluxError, Properties, PropertySpec, Secret, Source, SourceCallback, SourceFactory,
    health::ConnectionState,
    runtime::{SourceWorker, StopSignal},
};
use eventflux_testkit::contract::{Capabilities, Limits, SourceHarness, SourcePeer};
use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::{
    SHORT,
    hub::{Frame, Hub, HubPeer},
    properties::{self, TableFault},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceFault {
    Table(TableFault),
    EndsTwice,
    StopNeedsStart,
    SecondStopHangs,
    StartsTwice,
    Restarts,
    ClonesShareTheirState,
    LosesOne,
    SwapsTwo,
    DiscardsAtClose,
    DeliversAfterStop,
    ConnectIgnoresStop,
    BackoffIgnoresStop,
    NeverReconnects,
    GivesUpAtOnce,
    AlwaysReachable,
    NeverAsksWhetherReady,
    WaitsForReadyForEver,
    IgnoresRefusals,
    AcknowledgesFirst,
    AcknowledgesUnsettled,
    HidesPanics,
    ShowsSecretInDebug,
    ShowsSecretInLog,
    ShowsSecretInError,
    ShowsSecretInHealth,
}

pub(crate) struct Harness {
    factory: MemorySourceFactory,
}

impl Harness {
    pub(crate) fn sound() -> Self {
        Self { factory: MemorySourceFactory { fault: None } }
    }

    pub(crate) fn broken(fault: SourceFault) -> Self {
        Self { factory: MemorySourceFactory { fault: Some(fault) } }
    }
}

impl SourceHarness for Harness {
    fn factory(&self) -> &dyn SourceFactory {
        &self.factory
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { acknowledges: true, ..Capabilities::network() }
    }

    fn peer(&self) -> Box<dyn SourcePeer> {
        Box::new(HubPeer::fresh())
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        properties::invalid_values()
    }

    fn limits(&self) -> Limits {
        if self.factory.fault.is_some() { SHORT } else { Limits::default() }
    }
}

struct MemorySourceFactory {
    fault: Option<SourceFault>,
}

impl MemorySourceFactory {
    fn table_fault(&self) -> Option<TableFault> {
        match self.fault {
            Some(SourceFault::Table(fault)) => Some(fault),
            _ => None,
        }
    }
}

impl SourceFactory for MemorySourceFactory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn doc(&self) -> &'static str {
        "Takes messages from a hub in memory."
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
    ) -> Result<Box<dyn Source>, EventFluxError> {
        properties::check(self.table_fault(), properties)?;
        let token = Secret::new(properties.optional_text("memory.token").unwrap_or_default());
        if self.fault == Some(SourceFault::ShowsSecretInError) && !token.expose().is_empty() {
            return Err(EventFluxError::property("memory.token", format!("'{}' is bad", token.expose())));
        }
        Ok(Box::new(MemorySource {
            config: Config {
                hub: Hub::named(properties.optional_text("memory.hub").unwrap_or("none")),
                delay: Duration::from_millis(properties.integer("memory.delay.ms")?),
                token,
                context: context.clone(),
                fault: self.fault,
            },
            worker: None,
            stopped: Arc::default(),
        }))
    }
}

#[derive(Clone)]
struct Config {
    hub: Arc<Hub>,
    delay: Duration,
    token: Secret,
    context: ConnectorContext,
    fault: Option<SourceFault>,
}

struct MemorySource {
    config: Config,
    worker: Option<SourceWorker>,
    stopped: Arc<AtomicBool>,
}

impl Source for MemorySource {
    fn start(&mut self, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        let fault = self.config.fault;
        let again = self.worker.is_some() && fault != Some(SourceFault::StartsTwice);
        let stopped = self.stopped.load(Ordering::Relaxed);
        if (again || stopped) && !(stopped && fault == Some(SourceFault::Restarts)) {
            return Err(EventFluxError::configuration("a second start"));
        }
        if fault == Some(SourceFault::DeliversAfterStop) {
            let late = Arc::clone(&callback);
            thread::spawn(move || {
                for _ in 0..200 {
                    let _ = late.on_data(b"0");
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let config = self.config.clone();
        let spawned = SourceWorker::spawn("memory", callback, move |signal, callback| async move {
            let run = config.run(&signal, &*callback);
            let result = match fault {
                Some(SourceFault::HidesPanics) => AssertUnwindSafe(run).catch_unwind().await.unwrap_or(Ok(())),
                _ => run.await,
            };
            if fault == Some(SourceFault::EndsTwice) {
                callback.on_end(Ok(()));
            }
            result
        });
        self.worker = Some(spawned?);
        Ok(())
    }

    fn stop(&mut self, deadline: Duration) {
        let fault = self.config.fault;
        if self.stopped.swap(true, Ordering::Relaxed) && fault == Some(SourceFault::SecondStopHangs) {
            thread::sleep(deadline * 2);
        }
        match &self.worker {
            Some(worker) => drop(worker.stop(deadline)),
            None => assert!(fault != Some(SourceFault::StopNeedsStart), "stopped before it was started"),
        }
    }

    fn clone_box(&self) -> Box<dyn Source> {
        let shared = self.config.fault == Some(SourceFault::ClonesShareTheirState);
        let stopped = if shared { Arc::clone(&self.stopped) } else { Arc::default() };
        Box::new(Self { config: self.config.clone(), worker: None, stopped })
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        if self.config.fault == Some(SourceFault::AlwaysReachable) { Ok(()) } else { self.config.hub.try_reach() }
    }
}

impl std::fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("MemorySource");
        if self.config.fault == Some(SourceFault::ShowsSecretInDebug) {
            shown.field("token", &self.config.token.expose());
        }
        shown.field("delay", &self.config.delay).finish_non_exhaustive()
    }
}

impl Config {
    async fn run(&self, signal: &StopSignal, callback: &dyn SourceCallback) -> Result<(), EventFluxError> {
        self.context.health.set(ConnectionState::Connecting, None);
        loop {
            let connected = match self.fault {
                Some(SourceFault::ConnectIgnoresStop) => self.hub.listen().await,
                _ => tokio::select! {
                    () = signal.stopped() => return Ok(()),
                    connected = self.hub.listen() => connected,
                },
            };
            match connected {
                Ok(frames) => {
                    self.context.health.set(ConnectionState::Connected, None);
                    if self.serve(frames, signal, callback).await? {
                        return Ok(());
                    }
                    if self.fault == Some(SourceFault::NeverReconnects) {
                        return Ok(());
                    }
                }
                Err(error) if self.fault == Some(SourceFault::GivesUpAtOnce) => return Err(error),
                Err(error) => self.complain(&error),
            }
            self.context.health.set(ConnectionState::Reconnecting, self.detail());
            if self.fault == Some(SourceFault::BackoffIgnoresStop) {
                tokio::time::sleep(self.delay).await;
            }
            if !signal.sleep(self.delay).await {
                return Ok(());
            }
        }
    }

    /// Whether it was stopped; otherwise the connection was lost.
    async fn serve(
        &self,
        mut frames: mpsc::UnboundedReceiver<Frame>,
        signal: &StopSignal,
        callback: &dyn SourceCallback,
    ) -> Result<bool, EventFluxError> {
        let mut held = None;
        loop {
            let frame = tokio::select! {
                () = signal.stopped() => return Ok(true),
                frame = frames.recv() => frame,
            };
            let Some(Frame::Message(message)) = frame else {
                return Ok(false);
            };
            let message = match self.fault {
                // Always one behind: the last one is held when the close comes.
                Some(SourceFault::DiscardsAtClose) => match held.replace(message) {
                    Some(before) => before,
                    None => continue,
                },
                _ => message,
            };
            match self.fault {
                Some(SourceFault::LosesOne) if message == b"7" => continue,
                Some(SourceFault::SwapsTwo) if message == b"7" => {
                    held = Some(message);
                    continue;
                }
                _ => {}
            }
            let swapped = held.take_if(|_| self.fault == Some(SourceFault::SwapsTwo));
            for message in [Some(message), swapped].into_iter().flatten() {
                if !self.deliver(&message, signal, callback).await? {
                    return Ok(true);
                }
            }
        }
    }

    /// Whether it was delivered; otherwise it was stopped.
    async fn deliver(
        &self,
        message: &[u8],
        signal: &StopSignal,
        callback: &dyn SourceCallback,
    ) -> Result<bool, EventFluxError> {
        match self.fault {
            Some(SourceFault::NeverAsksWhetherReady) => {}
            Some(SourceFault::WaitsForReadyForEver) => callback.ready().await,
            _ => tokio::select! {
                () = signal.stopped() => return Ok(false),
                () = callback.ready() => {}
            },
        }
        if self.fault == Some(SourceFault::AcknowledgesFirst) {
            self.hub.acknowledge();
        }
        match callback.on_data(message) {
            Err(_) if self.fault == Some(SourceFault::IgnoresRefusals) => {}
            other => other?,
        }
        if self.fault != Some(SourceFault::AcknowledgesUnsettled) {
            tokio::select! {
                () = signal.stopped() => return Ok(false),
                settled = callback.settled() => settled?,
            }
        }
        self.hub.acknowledge();
        Ok(true)
    }

    fn complain(&self, error: &EventFluxError) {
        match self.fault {
            Some(SourceFault::ShowsSecretInLog) => log::warn!("{error} with {}", self.token.expose()),
            _ => log::warn!("{error}"),
        }
    }

    fn detail(&self) -> Option<String> {
        (self.fault == Some(SourceFault::ShowsSecretInHealth)).then(|| self.token.expose().to_owned())
    }
}
