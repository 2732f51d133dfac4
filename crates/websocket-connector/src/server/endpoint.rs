//! One path: the sources and sinks that share it, and the clients connected to it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eventflux_core::EventFluxError;
use eventflux_core::metrics::{Gauge, Metrics};
use eventflux_websocket_wire::{Batch, Message};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::config::PathConfig;
use crate::config::ConnectionConfig;
use crate::counters;
use crate::queue::{PayloadQueue, Pushed, QueueConfig, Slice};

/// What a source receives from its path.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// Messages of one client, in order.
    Messages(Arc<Batch>),
    /// A message that never became one.
    Bad(EventFluxError),
}

/// Where a source takes messages from; bounded.
pub(crate) type Inbox = mpsc::Sender<Item>;

/// A source or a sink at a path.
#[derive(Debug)]
pub(crate) struct User {
    /// What it wants of the connections.
    pub(crate) connection: ConnectionConfig,
    /// Whom to let in; the same for all users of the path.
    pub(crate) admission: Arc<PathConfig>,
    /// Largest number of connections.
    pub(crate) max_connections: usize,
    /// Largest number of connections of one address.
    pub(crate) max_connections_per_address: Option<usize>,
    /// Where to count.
    pub(crate) metrics: Metrics,
    /// Shows the number of connections.
    pub(crate) connections: Gauge,
    /// Of a source: where its messages go.
    pub(crate) inbox: Option<Inbox>,
}

/// A path with everybody at it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    path: String,
    next_id: AtomicU64,
    members: Mutex<Members>,
    /// The sources' inboxes, as the connections see them.
    inboxes: watch::Sender<Arc<[Inbox]>>,
    /// When everybody must be gone; set once, by the last user that leaves.
    stop: watch::Sender<Option<Instant>>,
    clients: watch::Sender<usize>,
    /// A client's queue ran empty, or a client left.
    drained: Notify,
}

#[derive(Debug, Default)]
struct Members {
    users: HashMap<u64, User>,
    clients: HashMap<u64, Arc<Client>>,
    /// Clients of each address.
    addresses: HashMap<IpAddr, usize>,
}

/// Why a client gets no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// There are as many clients as allowed, or nobody is at the path any more.
    Path,
    /// The client's address has as many connections as allowed.
    Address,
}

/// One client: what waits to be sent to it.
#[derive(Debug, Default)]
pub(crate) struct Client {
    outbox: Mutex<Outbox>,
    /// Wakes the connection: something waits, or it was given up.
    pub(super) work: Notify,
}

#[derive(Debug, Default)]
struct Outbox {
    queue: PayloadQueue,
    in_flight: Vec<Slice>,
    in_flight_cost: usize,
    overflowed: bool,
}

/// What became of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Broadcast {
    /// Clients connected.
    pub(crate) clients: usize,
    /// Payloads dropped, counted for each client.
    pub(crate) dropped: usize,
    /// Clients given up.
    pub(crate) evicted: usize,
    /// Bytes that wait for all clients.
    pub(crate) waiting_bytes: usize,
}

/// A client's place at an endpoint; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    endpoint: Arc<Endpoint>,
    id: u64,
    client: Arc<Client>,
    address: IpAddr,
    config: ConnectionConfig,
    metrics: Metrics,
}

impl Endpoint {
    pub(super) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            next_id: AtomicU64::new(0),
            members: Mutex::default(),
            inboxes: watch::channel(Arc::from([])).0,
            stop: watch::channel(None).0,
            clients: watch::channel(0).0,
            drained: Notify::new(),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Takes a user in.
    ///
    /// # Errors
    /// The property in which it differs from those who are at the path already.
    pub(super) fn join(&self, user: User) -> Result<u64, &'static str> {
        let id = self.id();
        let mut members = self.lock();
        if let Some(other) = members.users.values().next() {
            let compression = user.connection.deflate != other.connection.deflate;
            let difference = user.admission.difference(&other.admission);
            if let Some(key) = difference.or(compression.then_some("websocket.permessage-deflate")) {
                return Err(key);
            }
        }
        members.users.insert(id, user);
        self.changed(&members);
        Ok(id)
    }

    /// Whom the users of the path let in; `None` when nobody is there.
    pub(super) fn admission(&self) -> Option<Arc<PathConfig>> {
        self.lock().users.values().next().map(|user| user.admission.clone())
    }

    /// Returns whether this was the last user. A user that left already is not.
    pub(super) fn leave(&self, user: u64) -> bool {
        let mut members = self.lock();
        let Some(user) = members.users.remove(&user) else {
            return false;
        };
        user.connections.set(0);
        self.changed(&members);
        members.users.is_empty()
    }

    /// Tells every client goodbye; they have until `by`.
    pub(super) fn stop(&self, by: Instant) {
        self.stop.send_replace(Some(by));
    }

    /// Resolves when no client is connected.
    pub(super) async fn emptied(&self) {
        // The sender lives in self.
        let _ = self.clients.subscribe().wait_for(|clients| *clients == 0).await;
    }

    /// Takes a client in.
    ///
    /// # Errors
    /// When there are as many as allowed already.
    pub(super) fn admit(endpoint: &Arc<Self>, address: IpAddr) -> Result<Seat, Full> {
        let mut members = endpoint.lock();
        let max_connections = members.users.values().map(|user| user.max_connections).min().unwrap_or(0);
        let per_address = members.users.values().filter_map(|user| user.max_connections_per_address).min();
        let users = members.users.values().map(|user| user.connection);
        let config = users.reduce(ConnectionConfig::strictest).ok_or(Full::Path)?;
        let metrics = members.users.values().next().map(|user| user.metrics.clone()).ok_or(Full::Path)?;
        if members.clients.len() >= max_connections {
            return Err(Full::Path);
        }
        let of_address = members.addresses.entry(address).or_default();
        if per_address.is_some_and(|limit| *of_address >= limit) {
            return Err(Full::Address);
        }
        *of_address += 1;
        let id = endpoint.id();
        let client = Arc::<Client>::default();
        members.clients.insert(id, client.clone());
        endpoint.changed(&members);
        drop(members);
        Ok(Seat { endpoint: endpoint.clone(), id, client, address, config, metrics })
    }

    /// Queues payloads for every client. They are shared, not copied.
    pub(crate) fn broadcast(&self, config: QueueConfig, slice: &Slice) -> Broadcast {
        let members = self.lock();
        let mut result = Broadcast { clients: members.clients.len(), ..Broadcast::default() };
        for client in members.clients.values() {
            let (pushed, waiting_bytes) = client.push(config, slice.clone());
            result.waiting_bytes += waiting_bytes;
            result.dropped += pushed.dropped;
            result.evicted += usize::from(pushed.overflowed);
        }
        result
    }

    /// The payloads that wait for the client with the longest queue.
    pub(crate) fn backlog(&self) -> usize {
        self.lock().clients.values().map(|client| client.pending()).max().unwrap_or(0)
    }

    /// Resolves when nothing waits for any client.
    pub(crate) async fn drained(&self) {
        loop {
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            if self.backlog() == 0 {
                return;
            }
            drained.await;
        }
    }

    fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, members: &Members) {
        let clients = members.clients.len();
        members.users.values().for_each(|user| user.connections.set(clients as u64));
        self.clients.send_replace(clients);
        self.inboxes.send_replace(members.users.values().filter_map(|user| user.inbox.clone()).collect());
    }
}

impl Client {
    /// What became of the payloads, and the bytes that wait now.
    fn push(&self, config: QueueConfig, slice: Slice) -> (Pushed, usize) {
        let mut outbox = self.lock();
        let pushed = if outbox.overflowed {
            Pushed::default()
        } else {
            let in_flight = outbox.in_flight_cost;
            outbox.queue.push(config, slice, in_flight)
        };
        outbox.overflowed |= pushed.overflowed;
        let waiting_bytes = outbox.queue.cost() + outbox.in_flight_cost;
        drop(outbox);
        self.work.notify_one();
        (pushed, waiting_bytes)
    }

    /// Takes the next payloads out, which then count as in flight; `None` when the client is given up.
    pub(super) fn take(&self, bytes: usize, messages: &mut Vec<Message>) -> Option<()> {
        let outbox = &mut *self.lock();
        if outbox.overflowed {
            return None;
        }
        outbox.in_flight_cost += outbox.queue.take(bytes, &mut outbox.in_flight);
        messages.extend(outbox.in_flight.iter().flat_map(Slice::messages));
        Some(())
    }

    /// What was taken is sent; returns whether nothing waits.
    pub(super) fn release(&self) -> bool {
        let mut outbox = self.lock();
        outbox.in_flight.clear();
        outbox.in_flight_cost = 0;
        outbox.queue.len() == 0
    }

    /// Payloads that are not sent.
    fn pending(&self) -> usize {
        let outbox = self.lock();
        outbox.queue.len() + outbox.in_flight.iter().map(Slice::len).sum::<usize>()
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// What waits for this client.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// What all users of the path agree on.
    pub(super) fn config(&self) -> &ConnectionConfig {
        &self.config
    }

    /// The sources' inboxes.
    pub(super) fn inboxes(&self) -> watch::Receiver<Arc<[Inbox]>> {
        self.endpoint.inboxes.subscribe()
    }

    /// When the client must be gone, once there is such a time.
    pub(super) fn stop(&self) -> watch::Receiver<Option<Instant>> {
        self.endpoint.stop.subscribe()
    }

    /// Nothing waits for this client any more.
    pub(super) fn drained(&self) {
        self.endpoint.drained.notify_waiters();
    }

    /// Counts that the connection ends because of the client; see [`counters::violation`].
    pub(super) fn count_violation(&self, code: Option<u16>) {
        counters::violation(&self.metrics, &self.endpoint.path, code);
    }

    /// Path, number and address, for the log.
    pub(super) fn name(&self) -> String {
        format!("{} client {} ({})", self.endpoint.path, self.id, self.address)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut members = self.endpoint.lock();
        members.clients.remove(&self.id);
        if let std::collections::hash_map::Entry::Occupied(mut clients) = members.addresses.entry(self.address) {
            *clients.get_mut() -= 1;
            if *clients.get() == 0 {
                clients.remove();
            }
        }
        self.endpoint.changed(&members);
        drop(members);
        self.drained();
    }
}
