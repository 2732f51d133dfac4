//! What the plain requests of a path share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eventflux_gateway::{RateLimit, SharedFraming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::event::{Placed, Plain};
use super::rates::{Rates, Who};

/// Requests of a path whose bodies are read at a time. Each may hold a message of the largest size.
pub(super) const MAX_PUBLISHING: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct HttpState {
    placed: SharedFraming,
    plain: SharedFraming,
    rates: Mutex<Rates>,
    publishing: Arc<Semaphore>,
}

impl HttpState {
    /// Of a path whose histories have this epoch.
    pub(in crate::server) fn new(epoch: &str) -> Self {
        Self {
            placed: SharedFraming::new(Placed { epoch: epoch.to_owned() }),
            plain: SharedFraming::new(Plain),
            rates: Mutex::default(),
            publishing: Arc::new(Semaphore::new(MAX_PUBLISHING)),
        }
    }

    /// How events become server-sent events; `placed`: with their places in the only channel.
    pub(super) fn framing(&self, placed: bool) -> SharedFraming {
        if placed { self.placed.clone() } else { self.plain.clone() }
    }

    /// Room for a body; `None` when there is none.
    pub(super) fn room(&self) -> Option<OwnedSemaphorePermit> {
        self.publishing.clone().try_acquire_owned().ok()
    }

    /// See [`Rates::take`].
    pub(super) fn take(&self, who: Who, messages: usize, limit: &RateLimit) -> Result<(), Option<Duration>> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(who, messages, limit, Instant::now())
    }
}
