//! What all connections of one place have in common: streams out, positions of streams in, who is connected.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::counters::Counters;
use crate::intake::Intake;
use crate::link::{Mailbox, ReplayBytes};
use crate::outlet::Outlet;
use crate::requests::To;
use crate::{Ending, FederationConfig, Now};

/// See the module.
#[derive(Debug)]
pub struct Federation {
    config: FederationConfig,
    outlets: RwLock<Vec<Arc<Outlet>>>,
    wants: RwLock<Wants>,
    /// Changes with `outlets` and `wants`.
    version: AtomicU64,
    intake: Intake,
    links: Mutex<HashMap<u64, Arc<Mailbox>>>,
    next_link: AtomicU64,
    counters: Counters,
    started: Now,
    /// Part of the handles of requests; of another run it is another one.
    nonce: u64,
    replay_bytes: ReplayBytes,
}

/// What the sources of a place take, all together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wants {
    /// Events.
    pub data: bool,
    /// Of these streams; of all when there is none.
    pub streams: Vec<String>,
    /// Requests of peers.
    pub requests: bool,
    /// Replies to our requests.
    pub replies: bool,
    /// Notices of gaps.
    pub gaps: bool,
}

impl Federation {
    /// A place with nobody at it.
    #[must_use]
    pub fn new(config: FederationConfig, counters: Counters, now: Now) -> Arc<Self> {
        Arc::new(Self {
            intake: Intake::new(config.max_positions),
            config,
            outlets: RwLock::default(),
            wants: RwLock::default(),
            version: AtomicU64::new(1),
            links: Mutex::default(),
            next_link: AtomicU64::new(1),
            counters,
            started: now,
            nonce: fastrand::u64(..),
            replay_bytes: ReplayBytes::default(),
        })
    }

    /// How its links behave.
    #[must_use]
    pub fn config(&self) -> &FederationConfig {
        &self.config
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// When it began.
    #[must_use]
    pub fn started(&self) -> Now {
        self.started
    }

    /// Sends a stream from now on. `false` when there is one of that name.
    #[must_use]
    pub fn add_outlet(&self, outlet: Arc<Outlet>) -> bool {
        let mut outlets = self.outlets.write().unwrap_or_else(PoisonError::into_inner);
        if outlets.iter().any(|other| other.config().stream == outlet.config().stream) {
            return false;
        }
        outlets.push(outlet);
        drop(outlets);
        self.changed();
        true
    }

    /// Sends it no longer.
    pub fn remove_outlet(&self, outlet: &Arc<Outlet>) {
        outlet.close();
        self.outlets.write().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, outlet));
        self.changed();
    }

    /// The streams it sends.
    #[must_use]
    pub fn outlets(&self) -> Vec<Arc<Outlet>> {
        self.outlets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the sources at the place take from now on.
    pub fn accept(&self, wants: Wants) {
        *self.wants.write().unwrap_or_else(PoisonError::into_inner) = wants;
        self.changed();
    }

    /// What the sources at the place take.
    #[must_use]
    pub fn wants(&self) -> Wants {
        self.wants.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends connections: how many.
    pub fn close(&self, to: To<'_>, ending: &Ending) -> usize {
        let is_meant = |mailbox: &&Arc<Mailbox>| match to {
            To::All => true,
            To::Connection(name) => **mailbox.connection() == *name,
        };
        self.mailboxes().iter().filter(is_meant).map(|mailbox| mailbox.close(ending.clone())).count()
    }

    /// Connections that are open.
    #[must_use]
    pub fn links(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Takes a link in: its number, and where others reach it.
    pub(crate) fn enter(&self, connection: &str) -> (u64, Arc<Mailbox>) {
        let id = self.next_link.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::new(connection));
        self.lock().insert(id, mailbox.clone());
        (id, mailbox)
    }

    pub(crate) fn leave(&self, link: u64) {
        self.lock().remove(&link);
    }

    /// The mailbox of a link.
    pub(crate) fn mailbox(&self, link: u64) -> Option<Arc<Mailbox>> {
        self.lock().get(&link).cloned()
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }

    pub(crate) fn replay_bytes(&self) -> &ReplayBytes {
        &self.replay_bytes
    }

    /// The mailboxes of all links.
    pub(crate) fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.lock().values().cloned().collect()
    }

    /// Tells every link that there is something to look at.
    fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.lock().values().for_each(|mailbox| mailbox.signal().ring());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Mailbox>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wants {
    /// Whether events of `stream` are taken.
    #[must_use]
    pub fn takes(&self, stream: &str) -> bool {
        self.data && (self.streams.is_empty() || self.streams.iter().any(|name| name == stream))
    }
}
