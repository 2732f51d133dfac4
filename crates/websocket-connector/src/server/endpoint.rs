//! One path: the sources and sinks that share it, and the hub with the clients connected to it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use eventflux_core::metrics::Metrics;
use eventflux_core::reports::{ReportHandle, Reports};
use eventflux_core::{ConnectorContext, EventFluxError, runtime};
use eventflux_gateway::dialects::Position;
use eventflux_gateway::{Accepts, Arrival, Ending, Hub, Inbound, Origin, Pattern, Session, SharedFraming};
use eventflux_websocket_wire::Batch;
use eventflux_websocket_wire::deflate::{DeflateConfig, Negotiated};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::backplane::Backplane;
use super::config::PathConfig;
use super::framing::Framings;
use super::http::HttpState;
use crate::access::Authenticator;
use crate::config::ConnectionConfig;
use crate::counters;
use crate::federation::{self, Place};

/// So many clients are told goodbye at once.
const AT_ONCE: usize = 50;

/// More are told in so many portions.
const DRAIN_STEPS: usize = 40;

/// What a source receives from its path.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// Messages of one client as they are, in order.
    Messages(Arc<Batch>, Arc<Sender>),
    /// Messages of one client that the protocol passes on, in order.
    Inbound(Arc<[Inbound]>, Arc<Sender>),
    /// A message that never became one.
    Bad(EventFluxError),
}

/// Who sent a message, and when it came.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    /// Id of the connection.
    pub(crate) connection: Arc<str>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) address: IpAddr,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub(crate) received: i64,
}

/// Where a source takes messages from; bounded.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    pub(crate) items: mpsc::Sender<Item>,
    pub(crate) accepts: Arc<Accepts>,
}

/// A source or a sink at a path.
#[derive(Debug)]
pub(crate) struct User {
    /// What it wants of the connections.
    pub(crate) connection: ConnectionConfig,
    /// Whom to let in, and how they are served; the same for all users of the path.
    pub(crate) path: Arc<PathConfig>,
    pub(crate) member: Member,
}

/// What a source or a sink brings along.
#[derive(Debug)]
pub(crate) struct Member {
    /// Where to count and to report.
    pub(crate) context: ConnectorContext,
    /// Of a source: where its messages go.
    pub(crate) inbox: Option<Inbox>,
}

/// A path with everybody at it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    path: String,
    /// How it serves: what its first user said.
    config: Arc<PathConfig>,
    hub: Arc<Hub>,
    authenticator: Arc<Authenticator>,
    framings: Framings,
    http: HttpState,
    /// Where its links meet, when it serves the protocol `federation`.
    place: Option<Arc<Place>>,
    /// What makes it one with the same path of other processes.
    backplane: Option<Arc<Backplane>>,
    metrics: Metrics,
    next_id: AtomicU64,
    users: Mutex<HashMap<u64, User>>,
    /// What all users want of connections; `None` when nobody is there.
    connection: RwLock<Option<Arc<ConnectionConfig>>>,
    /// The sources' inboxes, as the connections see them.
    inboxes: RwLock<Arc<[Inbox]>>,
    /// When everybody must be gone; set once, by the last user that leaves.
    stop_by: OnceLock<Instant>,
    clients: watch::Sender<usize>,
    report: OnceLock<ReportHandle>,
}

/// A client's place at an endpoint; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    endpoint: Arc<Endpoint>,
    config: Arc<ConnectionConfig>,
    address: IpAddr,
}

impl Endpoint {
    /// An endpoint nobody is at yet; `user` will be the first.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for a file of credentials or keys that cannot be used, and when there is no runtime.
    pub(super) fn new(path: &str, user: &User) -> Result<Self, EventFluxError> {
        let authenticator = Authenticator::new(&user.path.access, path, &user.member.context.registry)?;
        let epoch = uuid::Uuid::new_v4().simple().to_string();
        // Where hubs share a log, it names the epoch.
        let epoch = if user.path.backplane.is_some() { "" } else { &epoch[..12] };
        let origin = Origin { path, metrics: &user.member.context.registry, epoch };
        let gateway = &user.path.gateway;
        let place = user.path.federation.as_ref().map(|settings| {
            let context = &user.member.context;
            Place::new(settings.of_stream(&context.stream), federation::counters_of(context))
        });
        let hub = Hub::new(gateway.dialect, gateway.hub.clone(), &origin);
        let backplane = user.path.backplane.as_ref();
        let backplane = backplane.map(|config| Backplane::start(config, path, &hub, &user.member.context));
        Ok(Self {
            path: path.to_owned(),
            config: user.path.clone(),
            hub,
            backplane: backplane.transpose()?.map(Arc::new),
            authenticator,
            framings: Framings::new(),
            http: HttpState::new(),
            place,
            metrics: user.member.context.registry.clone(),
            next_id: AtomicU64::new(0),
            users: Mutex::default(),
            connection: RwLock::default(),
            inboxes: RwLock::new(Arc::from([])),
            stop_by: OnceLock::new(),
            clients: watch::channel(0).0,
            report: OnceLock::new(),
        })
    }

    /// Reports about itself from now on, as being served at `address`.
    pub(super) fn report(&self, reports: &Reports, address: SocketAddr) {
        let hub = Arc::downgrade(&self.hub);
        let require_auth = self.config.access.requires_authentication() && self.config.access.is_required();
        let name = format!("websocket {}", self.path);
        let handle = reports.add(&name, move || {
            let hub = hub.upgrade();
            let stats = hub.as_ref().map(|hub| hub.stats()).unwrap_or_default();
            serde_json::json!({
                "is_running": hub.as_ref().is_some_and(|hub| !hub.is_stopping()),
                "active_clients": stats.active_connections,
                "active_users": stats.active_users,
                "total_connections": stats.total_connections,
                "peak_connections": stats.peak_connections,
                "refused_connections": stats.failed_connections,
                "total_subscriptions": stats.subscriptions,
                "channels": stats.channels,
                "messages_sent": stats.messages_sent,
                "messages_received": stats.messages_received,
                "deliveries": stats.delivered,
                "dropped": stats.dropped,
                "errors": stats.errors,
                "config": {
                    "protocol": hub.as_ref().map(|hub| hub.dialect().name()),
                    "host": address.ip().to_string(),
                    "port": address.port(),
                    "max_connections": hub.as_ref().map(|hub| hub.config().max_connections),
                    "require_auth": require_auth,
                },
            })
        });
        let _ = self.report.set(handle);
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What its clients have in common.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// What its plain requests share.
    pub(super) fn http(&self) -> &HttpState {
        &self.http
    }

    /// Where its links meet; `None` when it serves another protocol.
    pub(crate) fn place(&self) -> Option<&Arc<Place>> {
        self.place.as_ref()
    }

    /// What makes it one with the same path of other processes.
    pub(super) fn backplane(&self) -> Option<&Arc<Backplane>> {
        self.backplane.as_ref()
    }

    /// Whether there is something to serve yet.
    pub(super) fn is_ready(&self) -> bool {
        self.backplane.as_ref().is_none_or(|backplane| backplane.is_ready())
    }

    /// Who judges its clients.
    pub(super) fn authenticator(&self) -> &Arc<Authenticator> {
        &self.authenticator
    }

    /// Whom it lets in, and how it serves them.
    pub(super) fn config(&self) -> &PathConfig {
        &self.config
    }

    /// How events are framed for a connection, and whether it wants them one by one instead: see [`Framings::of`].
    pub(super) fn framing(&self, deflate: Option<(DeflateConfig, Negotiated)>) -> (SharedFraming, bool) {
        let (framing, singly) = self.framings.of(deflate);
        // What is put together into one message is put together from texts.
        let batches = self.config.gateway.hub.batching.is_some();
        if batches { (self.framings.texts(), true) } else { (framing, singly) }
    }

    /// What connecting subscribes to: everything, where clients cannot say what they want.
    pub(super) fn subscriptions_of_everybody(&self) -> Vec<(Pattern, Option<Position>)> {
        let everything = Pattern::parse("*").ok().filter(|_| self.config.gateway.dialect.traits().transparent);
        everything.into_iter().map(|pattern| (pattern, None)).collect()
    }

    /// Takes a user in.
    ///
    /// # Errors
    /// The property in which it differs from those who are at the path already.
    pub(super) fn join(&self, user: User) -> Result<u64, &'static str> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut users = self.users();
        if let Some(other) = users.values().next() {
            let compression = user.connection.deflate != other.connection.deflate;
            let difference = user.path.difference(&other.path);
            if let Some(key) = difference.or(compression.then_some("websocket.permessage-deflate")) {
                return Err(key);
            }
        }
        users.insert(id, user);
        self.changed(&users);
        Ok(id)
    }

    /// Returns whether this was the last user. A user that left already is not.
    pub(super) fn leave(&self, id: u64) -> bool {
        let mut users = self.users();
        let Some(user) = users.remove(&id) else {
            return false;
        };
        user.member.context.metrics.connections.set(0);
        if let Some(backplane) = &self.backplane {
            backplane.hide(id);
        }
        self.changed(&users);
        users.is_empty()
    }

    /// Tells every client goodbye; they have until `by`. Many are not told all at once.
    pub(super) fn stop(&self, by: Instant) {
        let _ = self.stop_by.set(by);
        self.hub.refuse_all();
        let clients = *self.clients.borrow();
        let spread = self.config.drain_spread.min(by.saturating_duration_since(Instant::now()) / 2);
        let Ok(runtime) = runtime::shared() else { return self.hub.stop() };
        if clients <= AT_ONCE || spread.is_zero() {
            return self.hub.stop();
        }
        let (hub, portion) = (self.hub.clone(), clients.div_ceil(DRAIN_STEPS));
        runtime.spawn(async move {
            for _ in 1..DRAIN_STEPS {
                hub.dismiss(portion);
                sleep(spread / DRAIN_STEPS as u32).await;
            }
            hub.stop();
        });
    }

    /// When everybody must be gone.
    pub(super) fn stop_by(&self) -> Option<Instant> {
        self.stop_by.get().copied()
    }

    /// Clients that are connected.
    pub(super) fn clients(&self) -> usize {
        *self.clients.borrow()
    }

    /// Resolves when no client is connected.
    pub(super) async fn emptied(&self) {
        // The sender lives in self.
        let _ = self.clients.subscribe().wait_for(|clients| *clients == 0).await;
    }

    /// The sources' inboxes.
    pub(super) fn inboxes(&self) -> Arc<[Inbox]> {
        self.inboxes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What all users of the path want of connections; `None` when nobody is there any more.
    pub(super) fn connection_config(&self) -> Option<Arc<ConnectionConfig>> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn users(&self) -> MutexGuard<'_, HashMap<u64, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, users: &HashMap<u64, User>) {
        let inboxes: Arc<[Inbox]> = users.values().filter_map(|user| user.member.inbox.clone()).collect();
        let kinds = inboxes.iter().flat_map(|inbox| inbox.accepts.kinds.iter().cloned()).collect();
        self.hub.accept(Accepts { kinds, any: inboxes.iter().any(|inbox| inbox.accepts.any) });
        *self.inboxes.write().unwrap_or_else(PoisonError::into_inner) = inboxes;
        let connection = users.values().map(|user| user.connection.clone()).reduce(ConnectionConfig::strictest);
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection.map(Arc::new);
        self.count(users, *self.clients.borrow());
    }

    fn count(&self, users: &HashMap<u64, User>, clients: usize) {
        users.values().for_each(|user| user.member.context.metrics.connections.set(clients as u64));
    }

    /// A client comes or goes.
    fn count_client(&self, change: impl Fn(usize) -> usize) {
        let users = self.users();
        self.clients.send_modify(|clients| *clients = change(*clients));
        self.count(&users, *self.clients.borrow());
    }
}

impl Inbox {
    /// Of `item`, what this source takes; `None` when it is nothing.
    pub(super) fn filter(&self, item: &Item) -> Option<Item> {
        let Item::Inbound(messages, sender) = item else { return Some(item.clone()) };
        let takes = |message: &&Inbound| self.accepts.any || self.accepts.kinds.contains(&message.kind);
        if messages.iter().all(|message| takes(&message)) {
            return Some(item.clone());
        }
        let taken: Arc<[Inbound]> = messages.iter().filter(takes).cloned().collect();
        (!taken.is_empty()).then(|| Item::Inbound(taken, sender.clone()))
    }
}

impl Seat {
    /// Takes a place; the hub decides whether there is room.
    pub(super) fn take(endpoint: &Arc<Endpoint>, address: IpAddr, config: Arc<ConnectionConfig>) -> Self {
        endpoint.count_client(|clients| clients + 1);
        Self { endpoint: endpoint.clone(), config, address }
    }

    /// The session of the client.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn session(&self, arrival: Arrival) -> Result<Session, Ending> {
        self.endpoint.hub.connect(arrival, std::time::Instant::now())
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// What all users of the path agree on.
    pub(super) fn config(&self) -> &ConnectionConfig {
        &self.config
    }

    /// Counts that the connection ends because of the client; see [`counters::violation`].
    pub(super) fn count_violation(&self, code: Option<u16>) {
        counters::violation(&self.endpoint.metrics, &self.endpoint.path, code);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.endpoint.count_client(|clients| clients.saturating_sub(1));
    }
}
