//! Where a manager gets the time from.

use std::time::{Instant, SystemTime};

/// Tells the time. Every one of a manager's is this one, and what [`tick`](super::WebSocketManager::tick) is told.
pub trait Clock: Send + Sync {
    /// The time now; never earlier than before.
    fn now(&self) -> Instant;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}
