//! What is known of a connection, and who is told: health, counters, logs, and those who wait for a change.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_nats::{ClientError, Event, Server, ServerAddr, ServerError, Statistics};
use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::{Counter, Metrics};
use eventflux_core::{EventFluxError, escape_control};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::plan::{Next, Plan};
use super::violation::{MAX_VIOLATIONS, Violation};
use super::{Observer, Shared};
use crate::ConnectionConfig;

/// Connections made after the first one.
pub const RECONNECTS: &str = "eventflux_nats_reconnects_total";
/// Messages that were dropped because a subscription was not read quickly enough.
pub const SLOW_CONSUMERS: &str = "eventflux_nats_slow_consumer_total";
/// What went wrong, by kind.
pub const ERRORS: &str = "eventflux_nats_errors_total";

/// Most errors of a server that are logged for one connection; further ones are only counted.
const MAX_LOGGED: usize = 64;

/// Time between two looks at a connection that is away: the library drops what it has to tell when too much of it waits.
const LOOK: Duration = Duration::from_millis(500);

/// Says what the metrics count.
pub fn describe(registry: &Metrics) {
    registry.describe(RECONNECTS, "Connections to NATS made after the first one.");
    registry.describe(SLOW_CONSUMERS, "Messages that were dropped because a subscription was not read quickly enough.");
    registry.describe(
        ERRORS,
        "What went wrong with NATS: connect (an attempt failed), permissions, authentication (refused while connected), slow (the server found us slow), server (anything else it says), client.",
    );
}

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Monitor {
    observer: Observer,
    state: Mutex<State>,
    statistics: OnceLock<Arc<Statistics>>,
    shared: OnceLock<Weak<Shared>>,
    reconnects: Counter,
    slow_consumers: Counter,
    /// Connections that were made.
    generation: watch::Sender<u64>,
    /// Whether nobody wants it any more.
    ended: watch::Sender<bool>,
    /// Whether the library has ended it.
    closed: watch::Sender<bool>,
    given_up: watch::Sender<Option<EventFluxError>>,
    violations: broadcast::Sender<Violation>,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    may_reconnect: bool,
    /// What the library is to take first.
    first: Option<String>,
    /// Whom it is connected to, or tries.
    server: String,
    /// How often the server that is tried had failed before.
    failed_before: usize,
    is_connected: bool,
    /// Why it is not connected, as it was reported.
    reason: String,
    /// What the server said last, on the present connection.
    last_words: Option<String>,
    logged: HashSet<String>,
}

/// What to do about an attempt to reconnect.
pub(super) enum Attempt {
    /// Try this one after a pause.
    At(ServerAddr, Duration),
    /// No more.
    End,
}

impl Monitor {
    pub(super) fn new(config: &ConnectionConfig, observer: &Observer) -> Self {
        describe(&observer.registry);
        let labels = [("stream", &*observer.stream), ("type", &*observer.connector)];
        let state = State {
            plan: Plan::new(config.reconnect),
            may_reconnect: config.reconnect.is_some(),
            first: None,
            server: config.servers.join(","),
            failed_before: 0,
            is_connected: false,
            reason: String::new(),
            last_words: None,
            logged: HashSet::new(),
        };
        Self {
            state: Mutex::new(state),
            statistics: OnceLock::new(),
            shared: OnceLock::new(),
            reconnects: observer.registry.counter(RECONNECTS, &labels),
            slow_consumers: observer.registry.counter(SLOW_CONSUMERS, &labels),
            generation: watch::Sender::new(0),
            ended: watch::Sender::new(false),
            closed: watch::Sender::new(false),
            given_up: watch::Sender::new(None),
            violations: broadcast::Sender::new(MAX_VIOLATIONS),
            observer: observer.clone(),
        }
    }

    /// Before the first connection: what to try, of those that are configured. The library will ask for it, and gets it.
    pub(super) fn next_first(&self, servers: &[String]) -> Next {
        let mut state = self.lock();
        let next = state.plan.next(servers, Instant::now());
        if let Next::Try(server, _) = next {
            state.server.clone_from(&servers[server]);
            state.first = Some(servers[server].clone());
        }
        next
    }

    /// Called by the library for each attempt. `servers` are those it knows, with what it thinks of them.
    pub(super) fn next(self: &Arc<Self>, servers: &[Server]) -> Attempt {
        self.observe();
        let names: Vec<_> = servers.iter().map(|server| name_of(&server.addr)).collect();
        let mut state = self.lock();
        if let Some(first) = state.first.take() {
            let server = names.iter().position(|name| *name == first).and_then(|at| servers.get(at));
            return server.map_or(Attempt::End, |server| Attempt::At(server.addr.clone(), Duration::ZERO));
        }
        if *self.ended.borrow() {
            return Attempt::End;
        }
        if state.is_connected {
            state.is_connected = false;
            self.report(&mut state, lost_because);
            self.watch_for_return();
        } else {
            let tried = names.iter().position(|name| *name == state.server).and_then(|at| servers.get(at));
            let failure = tried.filter(|tried| tried.failed_attempts > state.failed_before);
            let failure = failure.and_then(|tried| tried.last_error.clone());
            let failure = failure.unwrap_or_else(|| "its name cannot be looked up".to_owned());
            self.report(&mut state, |state| format!("{}: {failure}", state.server));
            self.count_error("connect");
        }
        match state.plan.next(&names, Instant::now()) {
            Next::Try(server, pause) => {
                state.server.clone_from(&names[server]);
                state.failed_before = servers[server].failed_attempts;
                Attempt::At(servers[server].addr.clone(), pause)
            }
            Next::GiveUp => {
                self.give_up(&state, true);
                Attempt::End
            }
        }
    }

    /// An attempt at the first connection failed.
    pub(super) fn first_failed(&self, reason: &str) {
        let mut state = self.lock();
        state.first = None;
        self.report(&mut state, |state| format!("{}: {reason}", state.server));
        self.count_error("connect");
    }

    /// There will be no first connection. `retryable`: whether a later one may succeed.
    pub(super) fn first_given_up(&self, retryable: bool) -> EventFluxError {
        self.give_up(&self.lock(), retryable)
    }

    /// The first connection is there; `statistics` tell of all that follow.
    pub(super) fn begin(&self, statistics: Arc<Statistics>) {
        let _ = self.statistics.set(statistics);
        self.observe();
    }

    /// For what needs the connection itself.
    pub(super) fn attach(&self, shared: Weak<Shared>) {
        let _ = self.shared.set(shared);
    }

    /// Nobody wants the connection any more: nothing is tried, and nothing is reported from now on.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Waits; whether the connection is still wanted.
    pub(super) async fn pause(&self, pause: Duration) -> bool {
        let mut ended = self.ended.subscribe();
        tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// What the library has to tell.
    pub(super) fn on(&self, event: Event) {
        self.observe();
        match event {
            Event::Connected | Event::Disconnected | Event::Draining => {}
            Event::Closed => drop(self.closed.send_replace(true)),
            Event::SlowConsumer(_) => self.on_slow_consumer(),
            Event::LameDuckMode => self.on_lame_duck(),
            Event::ServerError(error) => self.on_server_error(error),
            // Failed attempts are told of by the library when it asks for the next one, with more detail.
            Event::ClientError(ClientError::Other(_) | ClientError::MaxReconnects) => {}
            Event::ClientError(ClientError::ServerNotInPool) => self.count_error("client"),
        }
    }

    pub(super) async fn given_up(&self) -> EventFluxError {
        let mut given_up = self.given_up.subscribe();
        // The sender is in self, so that there is always an answer, or none yet.
        let error = given_up.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        match error {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    pub(super) fn reconnected(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut generation = self.generation.subscribe();
        let now = *generation.borrow_and_update();
        async move {
            if generation.wait_for(|generation| *generation > now).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) fn violations(&self) -> broadcast::Receiver<Violation> {
        self.violations.subscribe()
    }

    /// Resolves when the library has ended the connection.
    pub(super) async fn closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Takes notice of a connection that was made.
    fn observe(&self) {
        let Some(statistics) = self.statistics.get() else { return };
        let connects = statistics.connects.load(Ordering::Relaxed);
        let mut state = self.lock();
        if connects <= *self.generation.borrow() || *self.ended.borrow() {
            return;
        }
        let Observer { stream, health, .. } = &self.observer;
        let again = *self.generation.borrow() > 0;
        (state.is_connected, state.last_words) = (true, None);
        let server = state.server.clone();
        state.plan.connected(&server, Instant::now());
        state.reason.clear();
        state.logged.clear();
        health.set(ConnectionState::Connected, server.clone());
        if again {
            self.reconnects.increment();
            log::warn!("[{stream}] connected to {server} again");
        } else {
            log::info!("[{stream}] connected to {server}");
        }
        self.generation.send_replace(connects);
    }

    /// Says that it is away and why, once for each reason.
    fn report(&self, state: &mut State, reason: impl Fn(&State) -> String) {
        let reason = escape_control(&reason(state)).into_owned();
        if state.reason != reason && !*self.ended.borrow() {
            let stream = &self.observer.stream;
            if state.may_reconnect {
                log::warn!("[{stream}] {reason}; trying again");
            }
            self.observer.health.set(ConnectionState::Reconnecting, reason.clone());
        }
        state.reason = reason;
    }

    fn give_up(&self, state: &State, retryable: bool) -> EventFluxError {
        let reason = match state.plan.failures() {
            _ if !state.may_reconnect => format!("{} (nats.reconnect is false)", state.reason),
            attempts => format!("{}; giving up after attempt {attempts}", state.reason),
        };
        log::error!("[{}] {reason}", self.observer.stream);
        self.observer.health.set(ConnectionState::Failed, reason.clone());
        let error = EventFluxError::ConnectionUnavailable { endpoint: "nats".to_owned(), reason, retryable };
        self.given_up.send_replace(Some(error.clone()));
        error
    }

    fn watch_for_return(self: &Arc<Self>) {
        let (monitor, generation) = (Arc::downgrade(self), *self.generation.borrow());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(monitor) = monitor.upgrade() else { return };
                monitor.observe();
                let is_over = *monitor.ended.borrow() || monitor.given_up.borrow().is_some();
                if is_over || *monitor.generation.borrow() > generation {
                    return;
                }
            }
        });
    }

    fn on_slow_consumer(&self) {
        self.slow_consumers.increment();
        self.log_once("messages are dropped: a subscription is not read quickly enough".to_owned());
    }

    /// The server will go away: better now, in order, than when it closes the connection.
    fn on_lame_duck(&self) {
        log::info!("[{}] {} is about to shut down", self.observer.stream, self.lock().server);
        let Some(shared) = self.shared.get().and_then(Weak::upgrade) else { return };
        if !self.lock().may_reconnect {
            return;
        }
        tokio::spawn(async move {
            let client = &shared.client;
            let others = client.server_pool().await.is_ok_and(|servers| servers.len() > 1);
            if others && client.flush().await.is_ok() {
                shared.monitor.lock().plan.leaves();
                let _ = client.force_reconnect().await;
            }
        });
    }

    fn on_server_error(&self, error: ServerError) {
        let text = match error {
            ServerError::AuthorizationViolation => "authorization violation".to_owned(),
            ServerError::SlowConsumer(_) => "slow consumer".to_owned(),
            ServerError::Other(text) => text,
        };
        if let Some(violation) = Violation::parse(&text) {
            self.count_error("permissions");
            self.log_once(violation.to_string());
            // Nobody has to listen.
            let _ = self.violations.send(violation);
            return;
        }
        self.count_error(kind_of(&text));
        let text = format!("the server says: {}", escape_control(&text));
        self.log_once(text.clone());
        self.lock().last_words = Some(text);
    }

    fn log_once(&self, text: String) {
        let mut state = self.lock();
        if state.logged.len() < MAX_LOGGED && !state.logged.contains(&text) {
            log::warn!("[{}] {text}", self.observer.stream);
            state.logged.insert(text);
        }
    }

    fn count_error(&self, kind: &str) {
        let Observer { stream, connector, registry, .. } = &self.observer;
        registry.counter(ERRORS, &[("stream", stream), ("type", connector), ("kind", kind)]).increment();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost_because(state: &State) -> String {
    let what = format!("{}: the connection was lost", state.server);
    state.last_words.as_ref().map_or(what.clone(), |words| format!("{what}, {words}"))
}

/// For a label only.
fn kind_of(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    if text.contains("authorization") || text.contains("authentication") {
        "authentication"
    } else if text.contains("slow consumer") {
        "slow"
    } else {
        "server"
    }
}

/// An address as it is configured and shown: without credentials, which servers that are learned from others may have.
pub(super) fn name_of(address: &ServerAddr) -> String {
    let host = address.host();
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{}://{bracketed}:{}", address.scheme(), address.port())
}
