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

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Reconnect =
        Reconnect { delay: Duration::from_secs(1), max_delay: Duration::from_secs(30), max_attempts: None };

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("nats://h{number}:4222")).collect()
    }

    /// The servers that are tried until somebody has to wait, or it is over, without the first pause.
    fn round(plan: &mut Plan, servers: &[String]) -> Vec<usize> {
        let mut tried: Vec<_> = (0..servers.len())
            .map_while(|_| match plan.next(servers, Instant::now()) {
                Next::Try(server, _) => Some(server),
                Next::GiveUp => None,
            })
            .collect();
        tried.sort_unstable();
        tried
    }

    fn pauses(plan: &mut Plan, servers: &[String], rounds: usize) -> Vec<Duration> {
        let next = |_| match plan.next(servers, Instant::now()) {
            Next::Try(_, pause) => pause,
            Next::GiveUp => panic!("gave up"),
        };
        (0..rounds * servers.len()).map(next).collect()
    }

    #[test]
    fn the_first_attempt_comes_at_once_and_each_round_has_every_server() {
        let (mut plan, servers) = (Plan::new(Some(POLICY)), names(3));
        let Next::Try(first, Duration::ZERO) = plan.next(&servers, Instant::now()) else { panic!() };
        let others = [plan.next(&servers, Instant::now()), plan.next(&servers, Instant::now())];
        let mut tried: Vec<_> = others
            .iter()
            .map(|next| match next {
                Next::Try(server, Duration::ZERO) => *server,
                _ => panic!("a pause within a round"),
            })
            .chain([first])
            .collect();
        tried.sort_unstable();
        assert_eq!(tried, [0, 1, 2]);
        assert_eq!(round(&mut plan, &servers), [0, 1, 2]);
    }

    #[test]
    fn pauses_between_rounds_grow_to_the_maximum() {
        let (mut plan, servers) = (Plan::new(Some(POLICY)), names(1));
        let first = pauses(&mut plan, &servers, 3);
        assert!(first[0].is_zero() && first[1] <= Duration::from_secs(1) && first[2] <= Duration::from_secs(2));
        // Full jitter over 200 draws of up to 30 s stays below 10 s with a probability of 3 to the power of -190.
        let longest = pauses(&mut plan, &servers, 200).into_iter().max().unwrap();
        assert!((Duration::from_secs(10)..=Duration::from_secs(30)).contains(&longest), "{longest:?}");
    }

    #[test]
    fn attempts_are_rounds_and_end_at_the_maximum() {
        let policy = Reconnect { max_attempts: Some(2), ..POLICY };
        let (mut plan, servers) = (Plan::new(Some(policy)), names(3));
        assert_eq!(round(&mut plan, &servers), [0, 1, 2]);
        assert_eq!(round(&mut plan, &servers), [0, 1, 2]);
        assert_eq!(plan.next(&servers, Instant::now()), Next::GiveUp);
        assert_eq!(plan.failures(), 2);
    }

    #[test]
    fn without_a_policy_there_is_one_round_and_no_way_back() {
        let (mut plan, servers) = (Plan::new(None), names(2));
        assert_eq!(round(&mut plan, &servers), [0, 1]);
        assert_eq!(plan.next(&servers, Instant::now()), Next::GiveUp);
        let (mut plan, start) = (Plan::new(None), Instant::now());
        plan.next(&servers, start);
        plan.connected(&servers[0], start);
        assert_eq!(plan.next(&servers, start + STABLE * 100), Next::GiveUp);
    }

    #[test]
    fn a_server_that_takes_and_drops_us_gets_growing_pauses_and_uses_up_attempts() {
        let (start, servers) = (Instant::now(), names(1));
        let flapping = |plan: &mut Plan| {
            plan.connected(&servers[0], start);
            plan.next(&servers, start + STABLE - Duration::from_millis(1))
        };
        let mut plan = Plan::new(Some(POLICY));
        let pauses = (0..200).map(|_| match flapping(&mut plan) {
            Next::Try(_, pause) => pause,
            Next::GiveUp => panic!("gave up"),
        });
        assert!(pauses.max().unwrap() > Duration::from_secs(10));
        let mut plan = Plan::new(Some(Reconnect { max_attempts: Some(2), ..POLICY }));
        assert_ne!(flapping(&mut plan), Next::GiveUp);
        assert_eq!(flapping(&mut plan), Next::GiveUp);
    }

    #[test]
    fn a_connection_that_was_stable_starts_over() {
        let (start, servers) = (Instant::now(), names(1));
        let mut plan = Plan::new(Some(Reconnect { max_attempts: Some(2), ..POLICY }));
        for _ in 0..50 {
            plan.connected(&servers[0], start);
            let Next::Try(0, pause) = plan.next(&servers, start + STABLE) else { panic!("gave up") };
            assert!(pause <= Duration::from_secs(1));
        }
    }

    #[test]
    fn the_server_that_was_lost_is_tried_last() {
        let (start, servers) = (Instant::now(), names(3));
        for _ in 0..50 {
            let mut plan = Plan::new(Some(POLICY));
            plan.connected(&servers[1], start);
            let order: Vec<_> = (0..3).map(|_| plan.next(&servers, start)).collect();
            assert!(matches!(order[2], Next::Try(1, _)), "{order:?}");
        }
    }

    #[test]
    fn leaving_on_purpose_is_no_failure() {
        let (start, servers) = (Instant::now(), names(2));
        let mut plan = Plan::new(Some(Reconnect { max_attempts: Some(1), ..POLICY }));
        plan.connected(&servers[0], start);
        plan.leaves();
        assert!(matches!(plan.next(&servers, start), Next::Try(1, _)));
        plan.connected(&servers[1], start);
        assert_eq!(plan.next(&servers, start), Next::GiveUp, "but the next loss is");
    }

    #[test]
    fn servers_that_are_learned_meanwhile_are_tried_in_the_same_round() {
        let (mut plan, servers) = (Plan::new(Some(POLICY)), names(2));
        assert_eq!(round(&mut plan, &servers[..1]), [0]);
        assert_eq!(plan.next(&servers, Instant::now()), Next::Try(1, Duration::ZERO));
        assert_eq!(round(&mut plan, &servers), [0, 1]);
    }
}
