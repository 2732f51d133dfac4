//! Links that are opened from here: one connection for each source or sink, or one for several that share it by name.

mod task;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};

use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::{self, StopSignal};
use eventflux_core::{ConnectorContext, EventFluxError};
use eventflux_federation::{FederationConfig, Reliable};
use tokio::sync::watch;
use tokio::time::Instant;

use self::task::Task;
use super::arriving::{Arrivals, Arriving, Expected};
use super::pool::{Reporter, Together};
use super::servers::Servers;
use super::sharing::Terms;
use super::{FederationSettings, Place, counters};
use crate::client::Reconnect;
use crate::config::{ClientConfig, ConnectionConfig};

/// What a receiver is called that is the only one its connection can lead to.
pub(super) const THE_RECEIVER: &str = "peer";

/// The connections that sources and sinks share by name. Held by the factories.
#[derive(Debug, Default)]
pub(crate) struct ClientLinks {
    named: Mutex<HashMap<String, Weak<ClientLink>>>,
    arrivals: Arrivals,
}

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
    reporters: HashMap<u64, Reporter>,
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
    /// A source or sink that will attach, and says so when it is there.
    pub(crate) fn expect(&self, client: &ClientConfig) -> Arc<Arriving> {
        self.arrivals.expect(client.connection.as_deref())
    }

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
        arriving: &Arriving,
    ) -> Result<ClientMember, EventFluxError> {
        let open = || ClientLink::open(client, connection, place(client, settings, context), arriving.expected());
        let Some(name) = &client.connection else {
            return Ok(open()?.join(context.clone().into()));
        };
        let mut links = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, link| link.strong_count() > 0);
        if let Some(link) = links.get(name).and_then(Weak::upgrade).filter(|link| !link.is_stopping()) {
            let differs = |key: &str| {
                let reason = format!("differs from what another source or sink says of the connection '{name}'");
                EventFluxError::property(key, reason).with_hint("they share it: say the same in all of them")
            };
            if let Some(key) = link.terms.difference(client, connection) {
                return Err(differs(key));
            }
            return Ok(link.join(context.clone().into()));
        }
        let link = open()?;
        links.insert(name.clone(), Arc::downgrade(&link));
        Ok(link.join(context.clone().into()))
    }

    /// Opens a connection to each of the servers. `is_one_place`: what comes from all of them comes together; otherwise each
    /// connection has a place of its own, and its member a context of its own.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names a file or variable.
    pub(crate) fn attach_to_each(
        client: &ClientConfig,
        connection: &ConnectionConfig,
        settings: &FederationSettings,
        context: &ConnectorContext,
        is_one_place: bool,
        arriving: &Arriving,
    ) -> Result<Vec<ClientMember>, EventFluxError> {
        let servers = client.servers();
        let together = Together::new(context, servers.len());
        let mut members: Vec<ClientMember> = Vec::with_capacity(servers.len());
        for (index, server) in servers.iter().enumerate() {
            let reporter = together.reporter(index);
            let shared = members.first().filter(|_| is_one_place).map(|first| first.place().clone());
            let place = shared.unwrap_or_else(|| {
                let counted = if is_one_place { context } else { reporter.context() };
                Place::new(settings.of_stream(&context.stream), counters::of(counted))
            });
            match ClientLink::open(server, connection, place, arriving.expected()) {
                Ok(link) => members.push(link.join(reporter)),
                Err(error) => {
                    members.iter().for_each(|member| member.detach(Instant::now()));
                    return Err(error);
                }
            }
        }
        Ok(members)
    }
}

/// The place of one connection, whichever of its servers it leads to.
fn place(client: &ClientConfig, settings: &FederationSettings, context: &ConnectorContext) -> Arc<Place> {
    let config = FederationConfig { stand_ins: client.pool.is_some(), ..settings.of_stream(&context.stream) };
    Place::new(config, counters::of(context))
}

impl ClientLink {
    fn open(
        client: &ClientConfig,
        connection: &ConnectionConfig,
        place: Arc<Place>,
        expected: Expected,
    ) -> Result<Arc<Self>, EventFluxError> {
        let servers = Servers::new(client, connection, place.federation().config().reliable != Reliable::Off)?;
        let (stop, signal) = StopSignal::new();
        let (finished, done) = mpsc::channel();
        let link = Arc::new(Self {
            place,
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
            task.run(expected).await;
        });
        Ok(link)
    }

    fn join(self: Arc<Self>, reporter: Reporter) -> ClientMember {
        let mut members = self.members();
        let id = members.next;
        members.next += 1;
        let (state, detail) =
            members.state.clone().unwrap_or_else(|| (ConnectionState::Connecting, self.servers.endpoints()));
        reporter.state(state, &detail);
        members.reporters.insert(id, reporter);
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
        members.reporters.values().for_each(|reporter| reporter.state(state, detail));
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

    /// What it is about: of one of several connections, its own.
    pub(crate) fn context(&self) -> Option<ConnectorContext> {
        self.link.members().reporters.get(&self.id).map(|reporter| reporter.context().clone())
    }

    /// Where it connects to, without what may be secret.
    pub(crate) fn endpoint(&self) -> String {
        self.link.servers.endpoints()
    }

    /// Whether it is connected, now and from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.link.up.subscribe()
    }

    /// Leaves the connection. The last one says goodbye to the peer; blocks until that is done, at most until `by`.
    pub(crate) fn detach(&self, by: Instant) {
        let mut members = self.link.members();
        if members.reporters.remove(&self.id).is_none() || !members.reporters.is_empty() {
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
