//! Links that are opened from here: one connection for each source or sink, or one for several that share it by name.

use std::collections::HashMap;
use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};

use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::{self, StopSignal};
use eventflux_core::{ConnectorContext, EventFluxError};
use eventflux_federation::{FederationConfig, Opening, Reliable};
use eventflux_websocket_wire::Disconnect;
use tokio::sync::watch;
use tokio::time::Instant;

use super::driver::{Driver, End};
use super::renewal::keep_authenticated;
use super::servers::{Opened, Servers};
use super::sharing::Terms;
use super::{FederationSettings, Peer, Place, Side, counters};
use crate::client::{Next, Reconnect};
use crate::config::{ClientConfig, ConnectionConfig};
use crate::counters as violations;

/// What a receiver is called that is the only one its connection can lead to.
const THE_RECEIVER: &str = "peer";

/// The connections that sources and sinks share by name. Held by the factories.
#[derive(Debug, Default)]
pub(crate) struct ClientLinks(Mutex<HashMap<String, Weak<ClientLink>>>);

/// A connection that is opened, and opened again.
#[derive(Debug)]
struct ClientLink {
    place: Arc<Place>,
    terms: Terms,
    servers: Servers,
    /// Whether it is connected.
    up: watch::Sender<bool>,
    members: Mutex<Members>,
    stop: watch::Sender<bool>,
    stop_by: OnceLock<Instant>,
    done: Mutex<mpsc::Receiver<()>>,
}

#[derive(Debug, Default)]
struct Members {
    contexts: HashMap<u64, ConnectorContext>,
    next: u64,
    state: Option<(ConnectionState, String)>,
}

/// A source or sink at a connection. Must be detached.
#[derive(Debug)]
pub(crate) struct ClientMember {
    link: Arc<ClientLink>,
    id: u64,
}

impl ClientLinks {
    /// Joins the connection of that name, or opens one.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names a file or variable, or the property in which those who share the
    /// connection differ.
    pub(crate) fn attach(
        &self,
        client: &ClientConfig,
        connection: &ConnectionConfig,
        settings: &FederationSettings,
        context: &ConnectorContext,
    ) -> Result<ClientMember, EventFluxError> {
        let Some(name) = &client.connection else {
            return Ok(ClientLink::open(client, connection, settings, context)?.join(context));
        };
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, link| link.strong_count() > 0);
        if let Some(link) = links.get(name).and_then(Weak::upgrade).filter(|link| !link.is_stopping()) {
            let differs = |key: &str| {
                let reason = format!("differs from what another source or sink says of the connection '{name}'");
                EventFluxError::property(key, reason).with_hint("they share it: say the same in all of them")
            };
            if let Some(key) = link.terms.difference(client, connection) {
                return Err(differs(key));
            }
            return Ok(link.join(context));
        }
        let link = ClientLink::open(client, connection, settings, context)?;
        links.insert(name.clone(), Arc::downgrade(&link));
        Ok(link.join(context))
    }
}

impl ClientLink {
    fn open(
        client: &ClientConfig,
        connection: &ConnectionConfig,
        settings: &FederationSettings,
        context: &ConnectorContext,
    ) -> Result<Arc<Self>, EventFluxError> {
        let config = settings.of_stream(&context.stream);
        let servers = Servers::new(client, connection, config.reliable != Reliable::Off)?;
        let config = FederationConfig { stand_ins: servers.are_several(), ..config };
        let (stop, signal) = StopSignal::new();
        let (finished, done) = mpsc::channel();
        let link = Arc::new(Self {
            place: Place::new(config, counters::of(context)),
            terms: Terms::new(client, connection),
            servers,
            up: watch::channel(false).0,
            members: Mutex::default(),
            stop,
            stop_by: OnceLock::new(),
            done: Mutex::new(done),
        });
        let reconnect = Reconnect::new(client.reconnect);
        let task = Task { link: link.clone(), reconnect, connection: connection.clone(), signal, served: false };
        runtime::shared()?.spawn(async move {
            // Tells `detach` that the task has ended, in whatever way.
            let _finished = finished;
            task.run().await;
        });
        Ok(link)
    }

    fn join(self: Arc<Self>, context: &ConnectorContext) -> ClientMember {
        let mut members = self.members();
        let id = members.next;
        members.next += 1;
        let (state, detail) = members.state.clone().unwrap_or_else(|| (ConnectionState::Connecting, self.servers.endpoints()));
        context.health.set(state, detail);
        context.metrics.connections.set(u64::from(state == ConnectionState::Connected));
        members.contexts.insert(id, context.clone());
        drop(members);
        ClientMember { link: self, id }
    }

    fn is_stopping(&self) -> bool {
        self.stop_by.get().is_some()
    }

    /// Tells everybody what state the connection is in.
    fn state(&self, state: ConnectionState, detail: &str) {
        let mut members = self.members();
        members.state = Some((state, detail.to_owned()));
        for context in members.contexts.values() {
            context.health.set(state, detail.to_owned());
            context.metrics.connections.set(u64::from(state == ConnectionState::Connected));
        }
        drop(members);
        self.up.send_replace(state == ConnectionState::Connected);
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientMember {
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.link.place
    }

    /// Whether it is connected, now and from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.link.up.subscribe()
    }

    /// Leaves the connection. The last one says goodbye to the peer; blocks until that is done, at most until `by`.
    pub(crate) fn detach(&self, by: Instant) {
        let mut members = self.link.members();
        if members.contexts.remove(&self.id).is_none() || !members.contexts.is_empty() {
            return;
        }
        drop(members);
        let _ = self.link.stop_by.set(by);
        self.link.stop.send_replace(true);
        let done = self.link.done.lock().unwrap_or_else(PoisonError::into_inner);
        // An error says that the task has dropped its end.
        let _ = done.recv_timeout(by.saturating_duration_since(Instant::now()));
    }
}

/// What a connection was left for.
enum Over {
    Stopped,
    /// A connection to a server that is preferred.
    Better(Opened),
    /// It ended; with the reason.
    Lost(String),
}

/// Connects, serves, and comes back.
struct Task {
    link: Arc<ClientLink>,
    reconnect: Reconnect,
    connection: ConnectionConfig,
    signal: StopSignal,
    served: bool,
}

impl Task {
    async fn run(mut self) {
        if let Err(error) = self.attempts().await {
            log::error!("{error}; giving up after attempt {}", self.reconnect.failures().max(1));
            self.link.state(ConnectionState::Failed, &error.to_string());
            self.link.place.fail(&error);
        }
    }

    async fn attempts(&mut self) -> Result<(), EventFluxError> {
        let link = self.link.clone();
        let mut better = None;
        loop {
            let attempt = match better.take() {
                Some(opened) => Ok(opened),
                None => tokio::select! {
                    biased;
                    () = self.signal.stopped() => return Ok(()),
                    attempt = link.servers.connect() => attempt,
                },
            };
            let error = match attempt {
                Err(error) => error,
                Ok(opened) => {
                    self.reconnect.connected(Instant::now());
                    let endpoint = link.servers.endpoint(opened.server);
                    match self.serve(opened, &endpoint).await {
                        Over::Stopped => return Ok(()),
                        Over::Better(opened) => {
                            better = Some(opened);
                            continue;
                        }
                        Over::Lost(reason) => {
                            EventFluxError::ConnectionUnavailable { endpoint, reason, retryable: true }
                        }
                    }
                }
            };
            match self.reconnect.ended(Instant::now()) {
                Next::GiveUp => return Err(error),
                Next::Wait(pause) => {
                    let attempt = self.reconnect.failures() + 1;
                    log::warn!("{error}; attempt {attempt} in {}ms", pause.as_millis());
                    link.state(ConnectionState::Reconnecting, &error.to_string());
                    if !self.signal.sleep(pause).await {
                        return Ok(());
                    }
                    link.place.counters().attempts.increment();
                }
            }
        }
    }

    /// Serves one connection, to its end or until there is a better one.
    async fn serve(&mut self, opened: Opened, endpoint: &str) -> Over {
        let Opened { connection, agreed, server } = opened;
        let opening =
            Opening { connection: endpoint.to_owned(), agreed, receiver: Some(THE_RECEIVER.to_owned()) };
        let peer = Peer { connection: endpoint.into(), user: None, address: None };
        let side = match Side::new(&self.link.place, opening, peer) {
            Ok(side) => side,
            Err(ending) => {
                connection.close(ending.code, &ending.reason, Instant::now() + self.connection.close_timeout).await;
                return Over::Lost(ending.reason);
            }
        };
        self.connected(agreed, endpoint);
        let mut driver = Driver::new(connection, side, &self.connection);
        let link = &self.link;
        let renewal = async {
            match link.servers.token_file(server) {
                Some(file) => keep_authenticated(&link.place, endpoint, file).await,
                None => pending().await,
            }
        };
        let end = tokio::select! {
            biased;
            end = poll_fn(|cx| driver.poll(cx)) => end,
            () = self.signal.stopped() => End::Stopped,
            opened = link.servers.better_than(server) => {
                log::info!("{} can be reached again; leaving {endpoint}", link.servers.endpoint(opened.server));
                driver.conclude(1000, "", Instant::now() + self.connection.close_timeout).await;
                return Over::Better(opened);
            }
            never = renewal => match never {},
        };
        self.ended(driver, end, endpoint).await.map_or(Over::Stopped, Over::Lost)
    }

    fn connected(&mut self, agreed: bool, endpoint: &str) {
        let link = &self.link;
        link.state(ConnectionState::Connected, endpoint);
        let kind = if agreed { "with acknowledgements" } else { "without acknowledgements: the peer knows none" };
        log::info!("connected to {endpoint}, {kind}");
        if self.served {
            link.members().contexts.values().for_each(|context| context.metrics.reconnects.increment());
        }
        self.served = true;
    }

    /// Says goodbye where that makes sense; why it ended, or `None` when that was asked for.
    async fn ended(&self, mut driver: Driver, end: End, endpoint: &str) -> Option<String> {
        let limit = Instant::now() + self.connection.close_timeout;
        let (code, reason, result) = match end {
            End::Stopped => {
                let by = self.link.stop_by.get().map_or(limit, |by| limit.min(*by));
                driver.conclude(1000, "", by).await;
                return None;
            }
            End::Link(ending) => (Some(ending.code), ending.reason.clone(), ending.reason),
            End::Dead(reason) => (None, String::new(), reason.to_owned()),
            End::Disconnected(Disconnect::Lost(reason)) => {
                driver.lost();
                return Some(reason);
            }
            End::Disconnected(Disconnect::Violation { code, reason }) => (Some(code), reason.clone(), reason),
            End::Disconnected(closed @ Disconnect::Closed { code: Some(1009), .. }) => {
                driver.refused_as_too_large();
                (Some(1000), String::new(), closed.describe())
            }
            End::Disconnected(closed) => (Some(1000), String::new(), closed.describe()),
        };
        if code.is_none_or(|code| !matches!(code, 1000 | 1001 | 1012)) {
            let registry = self.link.members().contexts.values().next().map(|context| context.registry.clone());
            if let Some(registry) = registry {
                violations::violation(&registry, endpoint, code);
            }
        }
        match code {
            None => driver.lost(),
            Some(code) => tokio::select! {
                () = driver.conclude(code, &reason, limit) => {}
                () = self.signal.stopped() => {}
            },
        }
        Some(result)
    }
}
