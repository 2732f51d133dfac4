//! Whether a client is still there.

use std::time::{Duration, Instant};

use super::config::{WebSocketConfig, limit};

/// How long a client that is overdue stays so before it counts as gone. A program that was stopped for a while finds all
/// clients overdue when it goes on: until then it has read what they sent meanwhile.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Follows one client.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// When anything was last heard of it.
    heard: Instant,
    /// The first ping since.
    unanswered: Option<Instant>,
    last_ping: Instant,
    overdue: Option<Instant>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    Nothing,
    Ping,
    /// It did not answer a ping.
    NoPong,
    /// It said nothing for too long.
    Idle,
}

impl Heartbeat {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, unanswered: None, last_ping: now, overdue: None }
    }

    /// Something came from the client.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.heard, self.unanswered, self.overdue) = (now, None, None);
    }

    /// Looks at the time.
    pub(super) fn beat(&mut self, now: Instant, config: &WebSocketConfig) -> Beat {
        let is_over =
            |since: Instant, span| limit(span).is_some_and(|span| now.saturating_duration_since(since) >= span);
        let without_pong = self.unanswered.is_some_and(|pinged| is_over(pinged, config.pong_timeout));
        if without_pong || is_over(self.heard, config.connection_timeout) {
            let overdue = *self.overdue.get_or_insert(now);
            return match now.saturating_duration_since(overdue) < GRACE {
                true => Beat::Nothing,
                false if without_pong => Beat::NoPong,
                false => Beat::Idle,
            };
        }
        if !is_over(self.last_ping, config.ping_interval) {
            return Beat::Nothing;
        }
        self.last_ping = now;
        self.unanswered.get_or_insert(now);
        Beat::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ping: u64, pong: u64, timeout: u64) -> WebSocketConfig {
        let [ping_interval, pong_timeout, connection_timeout] = [ping, pong, timeout].map(Duration::from_secs);
        WebSocketConfig { ping_interval, pong_timeout, connection_timeout, ..WebSocketConfig::default() }
    }

    /// What is done second by second, and when, for a client that is heard of at these times.
    fn course(config: &WebSocketConfig, heard: &[u64], until: u64) -> Vec<(u64, Beat)> {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start);
        let mut course = Vec::new();
        for second in 1..=until {
            let now = start + Duration::from_secs(second);
            if heard.contains(&second) {
                heartbeat.heard(now);
            }
            let beat = heartbeat.beat(now, config);
            if beat != Beat::Nothing {
                course.push((second, beat));
            }
            if matches!(beat, Beat::NoPong | Beat::Idle) {
                break;
            }
        }
        course
    }

    #[test]
    fn a_client_that_answers_is_pinged_at_every_interval() {
        let course = course(&config(30, 10, 60), &[31, 65, 91], 95);
        assert_eq!(course, [(30, Beat::Ping), (60, Beat::Ping), (90, Beat::Ping)]);
    }

    #[test]
    fn a_client_that_does_not_answer_in_time_is_gone() {
        assert_eq!(course(&config(30, 10, 60), &[], 99), [(30, Beat::Ping), (41, Beat::NoPong)]);
    }

    #[test]
    fn a_client_that_is_not_pinged_is_gone_after_a_long_silence() {
        assert_eq!(course(&config(0, 10, 60), &[20], 99), [(81, Beat::Idle)]);
        assert_eq!(course(&config(300, 10, 60), &[], 99), [(61, Beat::Idle)]);
    }

    #[test]
    fn zero_means_no_limit() {
        assert_eq!(course(&config(0, 10, 0), &[], 1000), []);
        assert_eq!(course(&config(500, 0, 0), &[], 999), [(500, Beat::Ping)]);
    }

    #[test]
    fn a_program_that_was_stopped_hears_its_clients_before_it_gives_them_up() {
        let (start, config) = (Instant::now(), config(30, 10, 60));
        let mut heartbeat = Heartbeat::new(start);
        assert_eq!(heartbeat.beat(start + Duration::from_secs(30), &config), Beat::Ping);
        let woken = start + Duration::from_secs(150);
        assert_eq!(heartbeat.beat(woken, &config), Beat::Nothing);
        heartbeat.heard(woken);
        assert_eq!(heartbeat.beat(woken + GRACE, &config), Beat::Ping);
    }
}
