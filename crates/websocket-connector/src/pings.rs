//! How many pings a peer may send: each makes us write a pong. No clock: the time goes in.

use std::time::Duration;

use eventflux_websocket_wire::Disconnect;
use tokio::time::Instant;

/// Over which pings are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts the pings of one connection.
#[derive(Debug)]
pub(crate) struct PingBudget {
    max_pings: usize,
    since: Instant,
    count: usize,
}

impl PingBudget {
    /// At most `max_pings` in ten seconds.
    pub(crate) fn new(max_pings: usize, now: Instant) -> Self {
        Self { max_pings, since: now, count: 0 }
    }

    /// What a connection ends with when there were too many.
    pub(crate) fn exceeded() -> Disconnect {
        Disconnect::Violation { code: 1008, reason: "more pings than websocket.max.pings in ten seconds".to_owned() }
    }

    /// Counts; false when there were too many.
    #[inline]
    pub(crate) fn allow(&mut self, pings: usize, now: Instant) -> bool {
        if pings == 0 {
            return true;
        }
        if now.saturating_duration_since(self.since) > WINDOW {
            self.since = now;
            self.count = 0;
        }
        self.count += pings;
        self.count <= self.max_pings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_pings_is_noticed_and_an_ordinary_pace_is_not() {
        let start = Instant::now();
        let mut pings = PingBudget::new(1000, start);
        for second in 0..1000 {
            assert!(pings.allow(10, start + Duration::from_secs(second)));
        }
        assert!(!pings.allow(1000, start + Duration::from_secs(1000)));
    }
}
