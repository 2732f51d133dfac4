//! Which server to try next, and when; when to give up. No socket and no clock: the time goes in.

use std::time::Duration;

use eventflux_core::backoff::{Backoff, Growth};
use tokio::time::Instant;

use crate::config::Reconnect;

/// How long a connection must be up to count as a success: attempts and pauses start over then.
pub(super) const STABLE: Duration = Duration::from_secs(30);

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Try the server of this index after a pause.
    Try(usize, Duration),
    /// No more attempts.
    GiveUp,
}

/// The attempts so far. An attempt is a round in which each server is tried once, in an order of chance; there are pauses
/// before rounds, but not within them.
#[derive(Debug)]
pub(super) struct Plan {
    policy: Option<Reconnect>,
    backoff: Backoff,
    failures: u32,
    tried: Vec<String>,
    /// The server that a connection was lost to: others first.
    lost: Option<String>,
    pause: Duration,
    connected: Option<(String, Instant)>,
    leaving: bool,
}

impl Plan {
    /// Before the first attempt, which comes without a pause. Without a policy there is one attempt and no reconnect.
    pub(super) fn new(policy: Option<Reconnect>) -> Self {
        let (delay, max) = policy.map_or_else(Default::default, |policy| (policy.delay, policy.max_delay));
        let backoff = Backoff::new(delay, max, Growth::Exponential);
        let (tried, pause) = (Vec::new(), Duration::ZERO);
        Self { policy, backoff, failures: 0, tried, lost: None, pause, connected: None, leaving: false }
    }

    /// An attempt succeeded.
    pub(super) fn connected(&mut self, server: &str, now: Instant) {
        self.connected = Some((server.to_owned(), now));
        self.leaving = false;
    }

    /// The server to try, of those that are known now; there is at least one.
    pub(super) fn next(&mut self, servers: &[String], now: Instant) -> Next {
        if let Some((server, since)) = self.connected.take() {
            if self.is_over_after_loss(now.saturating_duration_since(since)) {
                return Next::GiveUp;
            }
            self.lost = Some(server);
        }
        if self.untried(servers).is_empty() {
            self.failures = self.failures.saturating_add(1);
            if self.is_exhausted() {
                return Next::GiveUp;
            }
            self.begin_round();
        }
        let untried = self.untried(servers);
        match untried.get(fastrand::usize(..untried.len().max(1))) {
            Some(&server) => {
                self.tried.push(servers[server].clone());
                Next::Try(server, std::mem::take(&mut self.pause))
            }
            None => Next::GiveUp,
        }
    }

    /// The connection will be left on purpose: that is no failure.
    pub(super) fn leaves(&mut self) {
        self.leaving = true;
    }

    /// Attempts in a row that brought no stable connection.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    fn is_over_after_loss(&mut self, up: Duration) -> bool {
        if up >= STABLE {
            self.failures = 0;
            self.backoff.reset();
        } else if !std::mem::take(&mut self.leaving) {
            self.failures = self.failures.saturating_add(1);
        }
        self.begin_round();
        self.is_exhausted()
    }

    fn is_exhausted(&self) -> bool {
        self.policy.is_none_or(|policy| policy.max_attempts.is_some_and(|max| self.failures >= max))
    }

    fn begin_round(&mut self) {
        self.tried.clear();
        self.lost = None;
        self.pause = self.backoff.next_full_jitter();
    }

    /// Indexes of servers that were not tried in this round; the one that was lost only when it is the last.
    fn untried(&self, servers: &[String]) -> Vec<usize> {
        let mut untried: Vec<_> = (0..servers.len()).filter(|&server| !self.tried.contains(&servers[server])).collect();
        if untried.len() > 1 {
            untried.retain(|&server| self.lost.as_ref() != Some(&servers[server]));
        }
        untried
    }
}
