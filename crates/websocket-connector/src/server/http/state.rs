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
    /// With the epoch that stands in the places of events.
    placed: Mutex<Option<(Arc<str>, SharedFraming)>>,
    plain: SharedFraming,
    rates: Mutex<Rates>,
    publishing: Arc<Semaphore>,
}

impl HttpState {
    pub(in crate::server) fn new() -> Self {
        Self {
            placed: Mutex::default(),
            plain: SharedFraming::new(Plain),
            rates: Mutex::default(),
            publishing: Arc::new(Semaphore::new(MAX_PUBLISHING)),
        }
    }

    /// How events become server-sent events.
    pub(super) fn framing(&self) -> SharedFraming {
        self.plain.clone()
    }

    /// The same with their places in the only channel, whose history has this epoch.
    pub(super) fn placed(&self, epoch: &Arc<str>) -> SharedFraming {
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*placed {
            Some((known, framing)) if known == epoch => framing.clone(),
            _ => {
                let framing = SharedFraming::new(Placed { epoch: epoch.to_string() });
                *placed = Some((epoch.clone(), framing.clone()));
                framing
            }
        }
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
