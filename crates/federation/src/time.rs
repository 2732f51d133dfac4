//! The time, as the driver tells it.

use std::time::{Duration, Instant, SystemTime};

/// One moment on both clocks: deadlines follow the one that never jumps, envelopes tell the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic.
    pub at: Instant,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
}

impl Now {
    /// This moment. For drivers: nothing in this crate calls it.
    #[must_use]
    pub fn read() -> Self {
        let unix_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        Self { at: Instant::now(), unix_ms }
    }
}

impl std::ops::Add<Duration> for Now {
    type Output = Self;

    fn add(self, passed: Duration) -> Self {
        Self { at: self.at + passed, unix_ms: self.unix_ms + passed.as_millis() as u64 }
    }
}
