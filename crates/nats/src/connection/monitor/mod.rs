//! What is known of a connection, and who is told: health, counters, logs, and those who wait for a change.

mod events;
mod metrics;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_nats::{Server, ServerAddr, Statistics};
use eventflux_core::health::ConnectionState;
use eventflux_core::{EventFluxError, escape_control};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::plan::{Next, Plan};
use super::violation::{MAX_VIOLATIONS, Violation};
use super::{Observer, Shared};
use crate::ConnectionConfig;
use metrics::Counters;
pub use metrics::{ERRORS, RECONNECTS, SLOW_CONSUMERS, describe};

/// Most complaints of a server, and most reasons of a loss, that are logged for one connection; further ones are only counted.
const MAX_LOGGED: usize = 64;

/// Time between two looks at a connection that is away: the library drops what it has to tell when too much of it waits.
const LOOK: Duration = Duration::from_millis(500);

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Monitor {
    observer: Observer,
    state: Mutex<State>,
    /// What the library counts; `None` until there is a first connection.
    statistics: watch::Sender<Option<Arc<Statistics>>>,
    shared: OnceLock<Weak<Shared>>,
    counters: Counters,
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
    /// Why it is not connected: of which server, and the reason.
    failure: Option<(String, String)>,
    /// The same, as it was reported last.
    shown: String,
    /// What the server said last, on the present connection.
    last_words: Option<String>,
    logged: HashSet<String>,
    /// What the server said of messages and subscriptions that was logged.
    complaints: HashSet<String>,
}

/// What to do about an attempt to reconnect.
pub(super) enum Attempt {
    /// Try this one after a pause.
    At(ServerAddr, Duration),
    /// Try whichever the library likes.
    Any,
    /// No more.
    End,
}

impl Monitor {
    pub(super) fn new(config: &ConnectionConfig, observer: &Observer) -> Self {
        let state = State {
            plan: Plan::new(config.reconnect),
            may_reconnect: config.reconnect.is_some(),
            first: None,
            server: config.servers.join(","),
            failed_before: 0,
            is_connected: false,
            failure: None,
            shown: String::new(),
            last_words: None,
            logged: HashSet::new(),
            complaints: HashSet::new(),
        };
        Self {
            state: Mutex::new(state),
            statistics: watch::Sender::new(None),
            shared: OnceLock::new(),
            counters: Counters::new(observer),
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

    /// What the library is to try now, which asks before each attempt. `servers` are those it knows, with what it thinks of
    /// them.
    pub(super) async fn next(self: &Arc<Self>, servers: &[Server]) -> Attempt {
        if let Some(first) = self.lock().first.take() {
            let server = servers.iter().find(|server| name_of(&server.addr) == first);
            return server.map_or(Attempt::Any, |server| Attempt::At(server.addr.clone(), Duration::ZERO));
        }
        // A connection may be lost before whoever opened it has heard of it. The sender is in self.
        let _ = self.statistics.subscribe().wait_for(Option::is_some).await;
        self.next_after_loss(servers)
    }

    fn next_after_loss(self: &Arc<Self>, servers: &[Server]) -> Attempt {
        self.observe();
        let names: Vec<_> = servers.iter().map(|server| name_of(&server.addr)).collect();
        let mut state = self.lock();
        if *self.ended.borrow() {
            return Attempt::End;
        }
        if state.is_connected {
            state.is_connected = false;
            let reason = lost_because(&state);
            self.report(&mut state, &reason);
            self.watch_for_return();
        } else {
            let failure = failure_of(&state, &names, servers);
            self.report(&mut state, &failure);
            self.counters.error("connect");
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
        self.report(&mut state, reason);
        self.counters.error("connect");
    }

    /// There will be no first connection. `retryable`: whether a later one may succeed.
    pub(super) fn first_given_up(&self, retryable: bool) -> EventFluxError {
        self.give_up(&self.lock(), retryable)
    }

    /// The first connection is there; `statistics` tell of all that follow.
    pub(super) fn begin(&self, statistics: Arc<Statistics>) {
        // Those of attempts that failed have ended.
        self.closed.send_replace(false);
        self.statistics.send_replace(Some(statistics));
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

    /// The library's task has ended.
    pub(super) fn task_ended(&self) {
        self.closed.send_replace(true);
    }

    /// Resolves when the library has ended the connection.
    pub(super) async fn closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Takes notice of a connection that was made.
    fn observe(&self) {
        let Some(statistics) = self.statistics.borrow().clone() else { return };
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
        state.shown.clear();
        state.logged.clear();
        state.complaints.clear();
        health.set(ConnectionState::Connected, server.clone());
        if again {
            self.counters.reconnects.increment();
            log::warn!("[{stream}] connected to {server} again");
        } else {
            log::info!("[{stream}] connected to {server}");
        }
        self.generation.send_replace(connects);
    }

    /// Says that it is away and why, once for each reason.
    fn report(&self, state: &mut State, reason: &str) {
        let (server, reason) = (state.server.clone(), escape_control(reason).into_owned());
        let shown = format!("{server}: {reason}");
        if state.shown != shown && !*self.ended.borrow() {
            if state.may_reconnect {
                self.log_once(|state| &mut state.logged, state, format!("{shown}; trying again"));
            }
            self.observer.health.set(ConnectionState::Reconnecting, shown.clone());
        }
        (state.shown, state.failure) = (shown, Some((server, reason)));
    }

    fn give_up(&self, state: &State, retryable: bool) -> EventFluxError {
        let nobody = || (state.server.clone(), "no server is named".to_owned());
        let (endpoint, reason) = state.failure.clone().unwrap_or_else(nobody);
        let reason = match state.plan.failures() {
            _ if !state.may_reconnect => format!("{reason} (nats.reconnect is false)"),
            attempts => format!("{reason}; giving up after attempt {attempts}"),
        };
        let error = EventFluxError::ConnectionUnavailable { endpoint, reason, retryable };
        log::error!("[{}] {error}", self.observer.stream);
        self.observer.health.set(ConnectionState::Failed, error.to_string());
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

    /// Logs what is not in that list of what was logged since the connection was made.
    fn log_once(&self, list: fn(&mut State) -> &mut HashSet<String>, state: &mut State, text: String) {
        let logged = list(state);
        if logged.len() < MAX_LOGGED && !logged.contains(&text) {
            log::warn!("[{}] {text}", self.observer.stream);
            logged.insert(text);
        }
    }

    /// The same for what the server says of a message or a subscription: however much that is, it does not keep the loss of
    /// the connection out of the log.
    fn log_complaint(&self, text: String) {
        self.log_once(|state| &mut state.complaints, &mut self.lock(), text);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost_because(state: &State) -> String {
    let words = state.last_words.as_ref().map(|words| format!(", {words}")).unwrap_or_default();
    format!("the connection was lost{words}")
}

/// Why the attempt before this one failed. What fails before a connection is tried the library does not count.
fn failure_of(state: &State, names: &[String], servers: &[Server]) -> String {
    let tried = names.iter().position(|name| *name == state.server).and_then(|at| servers.get(at));
    let failed = tried.filter(|tried| tried.failed_attempts > state.failed_before);
    failed.and_then(|failed| failed.last_error.clone()).unwrap_or_else(|| "its name cannot be looked up".to_owned())
}

/// An address as it is configured and shown: without credentials, which servers that are learned from others may have.
pub(super) fn name_of(address: &ServerAddr) -> String {
    let host = address.host();
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{}://{bracketed}:{}", address.scheme(), address.port())
}
