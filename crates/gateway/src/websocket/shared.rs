//! What a manager and the connections it gave away have in common.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use eventflux_core::Secret;
use eventflux_core::metrics::Metrics;
use uuid::Uuid;

use super::auth::{AuthHandler, Refusal, user_of};
use super::clock::Clock;
use super::connection::Connection;
use super::{CloseReason, WebSocketConfig, WsError};
use crate::auth::{Attempts, Identity};
use crate::dialects::CHANNELS;
use crate::{Accepts, Authenticated, Framed, Framing, Hub, Origin, Pattern, Retention, SharedFraming};

/// How often clients of one address may fail to authenticate within [`FAILURE_WINDOW`]; then it is refused until that is
/// over.
pub const MAX_FAILURES: u32 = 20;

/// See [`MAX_FAILURES`].
pub const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// What a manager is made of.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) config: WebSocketConfig,
    pub(super) handler: Option<Arc<dyn AuthHandler>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    /// A label of the metrics.
    pub(super) path: String,
    pub(super) accepts: Accepts,
}

pub(super) struct Shared {
    pub(super) parts: Parts,
    pub(super) hub: Arc<Hub>,
    pub(super) retention: Retention,
    pub(super) framing: SharedFraming,
    attempts: Mutex<Attempts>,
    table: Mutex<HashMap<Uuid, Arc<Connection>>>,
}

/// Texts as they are: whoever owns the socket makes frames of them.
#[derive(Debug)]
struct Plain;

impl Framing for Plain {
    fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(message.text);
    }
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let epoch = Uuid::new_v4().to_string();
        let origin = Origin { path: &parts.path, metrics: &parts.metrics, epoch: &epoch };
        let hub = Hub::new(CHANNELS, parts.config.hub(parts.handler.is_some()), &origin);
        hub.accept(parts.accepts.clone());
        Arc::new(Self {
            hub,
            retention: parts.config.retention(),
            framing: SharedFraming::new(Plain),
            attempts: Mutex::new(Attempts::new(MAX_FAILURES, FAILURE_WINDOW)),
            table: Mutex::default(),
            parts,
        })
    }

    pub(super) fn config(&self) -> &WebSocketConfig {
        &self.parts.config
    }

    pub(super) fn now(&self) -> Instant {
        self.parts.clock.now()
    }

    pub(super) fn connections(&self) -> Vec<Arc<Connection>> {
        self.table().values().cloned().collect()
    }

    pub(super) fn find(&self, id: Uuid) -> Result<Arc<Connection>, WsError> {
        self.table().get(&id).cloned().ok_or(WsError::ConnectionNotFound)
    }

    pub(super) fn add(&self, connection: &Arc<Connection>) -> Result<(), WsError> {
        match self.table().entry(connection.id) {
            Entry::Occupied(_) => Err(WsError::DuplicateConnection),
            Entry::Vacant(entry) => {
                entry.insert(connection.clone());
                Ok(())
            }
        }
    }

    /// Ends a connection.
    pub(super) fn close(&self, connection: &Arc<Connection>, reason: CloseReason) {
        connection.close(reason, self.now());
        self.forget(connection);
    }

    /// The connection is over.
    pub(super) fn forget(&self, connection: &Arc<Connection>) {
        let mut table = self.table();
        if table.get(&connection.id).is_none_or(|known| !Arc::ptr_eq(known, connection)) {
            return;
        }
        table.remove(&connection.id);
        drop(table);
        let reason = connection.close_reason().unwrap_or(CloseReason::NORMAL);
        log::info!("connection {} of {} closed: {reason}", connection.id, connection.address);
    }

    /// Who a token stands for.
    pub(super) async fn verify(&self, address: IpAddr, token: &Secret) -> Result<Authenticated, Refusal> {
        let Some(handler) = &self.parts.handler else { return Ok(identity(None)) };
        self.attempts().check(address, self.now())?;
        let user = user_of(&**handler, token.expose()).await;
        let user = user.inspect_err(|refusal| {
            if refusal.is_failure {
                self.attempts().failed(address, self.now());
            }
            log::warn!("a client of {address} could not authenticate: {}", refusal.reason);
        })?;
        Ok(identity(Some(user)))
    }

    /// Whether a client may use a channel or pattern.
    pub(super) async fn permits(&self, user: Option<&str>, pattern: &Pattern) -> bool {
        match (&self.parts.handler, user) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(handler), Some(user)) if pattern.is_exact() => handler.check_permission(user, pattern.text()).await,
            (Some(handler), Some(user)) => handler.check_pattern(user, pattern.text()).await,
        }
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Connection>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody, or nobody in particular; what they may use is asked channel by channel.
pub(super) fn identity(user: Option<Arc<str>>) -> Authenticated {
    Authenticated { identity: Identity { user, grants: Arc::default(), expires: None }, expires: None }
}
