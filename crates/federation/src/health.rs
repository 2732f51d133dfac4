//! Whether a place is well, and the figures behind it, as an operator asks for them.
//!
//! Whoever knows the figures brings them with [`HealthMonitor::observe`], every few seconds; nothing here looks at a clock.

use std::time::{Duration, Instant};

use eventflux_core::health::ConnectionState;
use serde::Serialize;

use crate::{Meter, Now};

/// Which end of a connection opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The other one.
    Server,
    /// This one.
    Client,
}

/// What is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthLimits {
    /// A server that nobody is connected to.
    pub without_connection: Duration,
    /// A queue that is full.
    pub queue_full: Duration,
}

/// How a place is doing at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Where it is in its life. A client that [failed](ConnectionState::Failed) has given up.
    pub state: ConnectionState,
    /// Connections that are open.
    pub active: u64,
    /// Connections that have been opened so far.
    pub total: u64,
    /// Messages that wait.
    pub queue_depth: u64,
    /// Messages that can wait; 0 when that is not limited by their number.
    pub queue_capacity: u64,
    /// Messages so far, for the throughput.
    pub messages: u64,
}

/// See the module.
#[derive(Debug)]
pub struct HealthMonitor {
    mode: Mode,
    limits: HealthLimits,
    throughput: Meter,
    last: Observation,
    /// Since when nobody has been connected.
    alone_since: Option<Instant>,
    full_since: Option<Instant>,
}

/// What a health check answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthReport {
    /// Whether there is no reason to look after it.
    pub healthy: bool,
    /// The name of its state.
    pub status: &'static str,
    /// Reasons to look after it; not there when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Figures.
    pub details: HealthDetails,
}

/// Figures of a [`HealthReport`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthDetails {
    /// Who opens its connections.
    pub mode: Mode,
    /// How many there are.
    pub connections: ConnectionFigures,
    /// What waits.
    pub queue: QueueFigures,
    /// What passes.
    pub throughput: ThroughputFigures,
}

/// Connections, now and since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ConnectionFigures {
    /// Now.
    pub active: u64,
    /// Since the start.
    pub total: u64,
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QueueFigures {
    /// Messages.
    pub depth: u64,
    /// The part of what can wait, from 0 to 1.
    pub utilization: f64,
}

/// Messages per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ThroughputFigures {
    /// In the last seconds.
    pub messages_per_second: u64,
    /// In the last minute.
    pub average_1m: u64,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self { without_connection: Duration::from_secs(5 * 60), queue_full: Duration::from_secs(30) }
    }
}

impl HealthMonitor {
    /// Begins with nobody connected.
    #[must_use]
    pub fn new(mode: Mode, limits: HealthLimits, now: Now) -> Self {
        let last = Observation {
            state: ConnectionState::Init,
            active: 0,
            total: 0,
            queue_depth: 0,
            queue_capacity: 0,
            messages: 0,
        };
        Self { mode, limits, throughput: Meter::new(now.at), last, alone_since: Some(now.at), full_since: None }
    }

    /// How it is doing now. What `messages` grew by since the last call counts as having passed now.
    pub fn observe(&mut self, observation: Observation, now: Now) {
        self.throughput.add(observation.messages.saturating_sub(self.last.messages), now.at);
        let since = |begun: Option<Instant>, holds: bool| holds.then(|| begun.unwrap_or(now.at));
        self.alone_since = since(self.alone_since, observation.active == 0);
        self.full_since = since(self.full_since, observation.is_full());
        self.last = observation;
    }

    /// What is to be told of it.
    #[must_use]
    pub fn report(&self, now: Now) -> HealthReport {
        let Observation { state, active, total, queue_depth, .. } = self.last;
        let reasons: Vec<_> = [self.alone(now), self.given_up(), self.full(now)].into_iter().flatten().collect();
        HealthReport {
            healthy: reasons.is_empty(),
            status: state.name(),
            reasons,
            details: HealthDetails {
                mode: self.mode,
                connections: ConnectionFigures { active, total },
                queue: QueueFigures { depth: queue_depth, utilization: self.last.utilization() },
                throughput: ThroughputFigures {
                    messages_per_second: self.throughput.current(now.at),
                    average_1m: self.throughput.average_1m(now.at),
                },
            },
        }
    }

    fn alone(&self, now: Now) -> Option<String> {
        let alone = longer(self.alone_since, self.limits.without_connection, now)?;
        (self.mode == Mode::Server).then(|| format!("no connection for {} seconds", alone.as_secs()))
    }

    fn given_up(&self) -> Option<String> {
        let is_over = self.mode == Mode::Client && self.last.state == ConnectionState::Failed;
        is_over.then(|| "not connected, and no further attempt is made".to_owned())
    }

    fn full(&self, now: Now) -> Option<String> {
        let full = longer(self.full_since, self.limits.queue_full, now)?;
        Some(format!("the queue has been full for {} seconds", full.as_secs()))
    }
}

impl Observation {
    fn is_full(&self) -> bool {
        self.queue_capacity > 0 && self.queue_depth >= self.queue_capacity
    }

    /// From 0 to 1, to four digits. What comes together may be taken in together, so that for a while more than the
    /// capacity waits.
    #[must_use]
    pub fn utilization(&self) -> f64 {
        if self.queue_capacity == 0 {
            return 0.0;
        }
        (self.queue_depth as f64 / self.queue_capacity as f64 * 1e4).round().min(1e4) / 1e4
    }
}

/// How long it has been so, when that is longer than `limit`.
fn longer(since: Option<Instant>, limit: Duration, now: Now) -> Option<Duration> {
    since.map(|since| now.at.saturating_duration_since(since)).filter(|lasted| *lasted > limit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn start() -> Now {
        Now { at: Instant::now(), unix_ms: 1_704_844_800_000 }
    }

    fn connected(active: u64) -> Observation {
        let state = if active > 0 { ConnectionState::Connected } else { ConnectionState::Listening };
        Observation { state, active, total: 37, queue_depth: 45, queue_capacity: 1_000, messages: 0 }
    }

    fn reasons(monitor: &HealthMonitor, now: Now) -> Vec<String> {
        let report = monitor.report(now);
        assert_eq!(report.healthy, report.reasons.is_empty());
        report.reasons
    }

    #[test]
    fn the_report_of_a_healthy_server_is_as_documented() {
        let mut now = start();
        let mut monitor = HealthMonitor::new(Mode::Server, HealthLimits::default(), now);
        let mut messages = 0;
        for second in 0..60 {
            messages += if second < 55 { 230 } else { 250 };
            monitor.observe(Observation { messages, ..connected(5) }, now);
            now = now + SECOND;
        }
        let report = serde_json::to_value(monitor.report(now)).unwrap();
        let expected = json!({
            "healthy": true,
            "status": "connected",
            "details": {
                "mode": "server",
                "connections": {"active": 5, "total": 37},
                "queue": {"depth": 45, "utilization": 0.045},
                "throughput": {"messages_per_second": 250, "average_1m": 232}
            }
        });
        assert_eq!(report, expected);
    }

    #[test]
    fn a_server_is_unhealthy_without_a_connection_for_more_than_five_minutes() {
        let begin = start();
        let mut monitor = HealthMonitor::new(Mode::Server, HealthLimits::default(), begin);
        monitor.observe(connected(0), begin + SECOND);
        assert!(reasons(&monitor, begin + 5 * MINUTE).is_empty());
        assert_eq!(reasons(&monitor, begin + 5 * MINUTE + SECOND), ["no connection for 301 seconds"]);
        monitor.observe(connected(1), begin + 6 * MINUTE);
        assert!(reasons(&monitor, begin + 20 * MINUTE).is_empty());
        monitor.observe(connected(0), begin + 20 * MINUTE);
        assert!(reasons(&monitor, begin + 25 * MINUTE).is_empty());
        assert_eq!(reasons(&monitor, begin + 26 * MINUTE), ["no connection for 360 seconds"]);
    }

    #[test]
    fn a_client_is_unhealthy_when_it_has_given_up_and_not_before() {
        let begin = start();
        let mut monitor = HealthMonitor::new(Mode::Client, HealthLimits::default(), begin);
        let observation = |state| Observation { state, active: 0, ..connected(0) };
        monitor.observe(observation(ConnectionState::Reconnecting), begin);
        assert!(reasons(&monitor, begin + 60 * MINUTE).is_empty());
        monitor.observe(observation(ConnectionState::Failed), begin + 61 * MINUTE);
        let report = monitor.report(begin + 61 * MINUTE);
        assert_eq!((report.healthy, report.status), (false, "failed"));
        assert_eq!(report.reasons, ["not connected, and no further attempt is made"]);
    }

    #[test]
    fn a_queue_that_is_full_for_more_than_thirty_seconds_is_unhealthy() {
        let begin = start();
        for mode in [Mode::Server, Mode::Client] {
            let mut monitor = HealthMonitor::new(mode, HealthLimits::default(), begin);
            let full = Observation { queue_depth: 1_000, ..connected(1) };
            monitor.observe(full, begin);
            monitor.observe(full, begin + 30 * SECOND);
            assert!(reasons(&monitor, begin + 30 * SECOND).is_empty());
            assert_eq!(reasons(&monitor, begin + 31 * SECOND), ["the queue has been full for 31 seconds"]);
            // It moves, and is full again.
            monitor.observe(connected(1), begin + 32 * SECOND);
            monitor.observe(full, begin + 33 * SECOND);
            assert!(reasons(&monitor, begin + 60 * SECOND).is_empty());
            assert_eq!(monitor.report(begin + 60 * SECOND).details.queue.utilization, 1.0);
        }
    }
}
