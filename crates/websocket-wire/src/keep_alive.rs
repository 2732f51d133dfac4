//! When to ping, and when silence means that the connection is dead. No socket and no clock: the time goes in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Periods and deadlines of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAliveConfig {
    /// Between two pings; `None`: no pings.
    pub ping_interval: Option<Duration>,
    /// From a ping to the last moment for a sign of life.
    pub pong_timeout: Duration,
    /// From one message to the last moment for the next; `None`: no limit.
    pub idle_timeout: Option<Duration>,
    /// From the begin of a message to its end; `None`: no limit.
    pub message_timeout: Option<Duration>,
    /// From one part of what we send that the peer took to the last moment for the next.
    pub write_timeout: Duration,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Send a ping.
    Ping,
    /// Send the heartbeat message.
    Heartbeat,
    /// Drop the connection: nothing came after a ping.
    PongMissed,
    /// Drop the connection: no message came for too long.
    Idle,
    /// Close the connection with 1008: the peer began a message and does not complete it.
    MessageStalled,
    /// Drop the connection: the peer does not take what we send.
    WriteStalled,
}

impl Due {
    /// Why the connection is dropped, in words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Ping | Self::Heartbeat => "",
            Self::PongMissed => "nothing came within websocket.pong.timeout after a ping",
            Self::Idle => "no message came within websocket.idle.timeout",
            Self::MessageStalled => "a message was not complete within websocket.message.timeout",
            Self::WriteStalled => "the peer did not take what was sent within websocket.write.timeout",
        }
    }
}

/// The timers of one connection.
///
/// While the pipeline does not take more, nothing is read, so silence proves nothing: [`KeepAlive::pause`] stops the
/// deadlines (not the pings) until [`KeepAlive::resume`].
#[derive(Debug)]
pub struct KeepAlive {
    config: Arc<KeepAliveConfig>,
    heartbeat_interval: Option<Duration>,
    next_ping: Option<Instant>,
    next_heartbeat: Option<Instant>,
    pong_due: Option<Instant>,
    message_due: Option<Instant>,
    write_due: Option<Instant>,
    chunks_sent: u64,
    idle_since: Instant,
    paused: bool,
}

impl KeepAlive {
    /// The timers of a connection opened at `now`; connections may share their configuration. The first heartbeat is due one interval later.
    pub fn new(config: impl Into<Arc<KeepAliveConfig>>, heartbeat_interval: Option<Duration>, now: Instant) -> Self {
        let config = config.into();
        Self {
            heartbeat_interval,
            next_ping: config.ping_interval.map(|interval| now + interval),
            next_heartbeat: heartbeat_interval.map(|interval| now + interval),
            pong_due: None,
            message_due: None,
            write_due: None,
            chunks_sent: 0,
            idle_since: now,
            paused: false,
            config,
        }
    }

    /// Something came; `message`: more than control frames.
    #[inline]
    pub fn received(&mut self, message: bool, now: Instant) {
        self.pong_due = None;
        if message {
            self.idle_since = now;
            self.message_due = None;
        }
    }

    /// Whether a message is under way, as [`crate::Connection::is_mid_message`] tells. To be called after
    /// [`KeepAlive::received`].
    #[inline]
    pub fn mid_message(&mut self, is_mid_message: bool, now: Instant) {
        if !is_mid_message {
            self.message_due = None;
        } else if self.message_due.is_none() {
            self.message_due = self.config.message_timeout.map(|timeout| now + timeout);
        }
    }

    /// Something is to be sent.
    pub fn sending(&mut self, now: Instant) {
        self.write_due.get_or_insert(now + self.config.write_timeout);
    }

    /// The socket has taken `chunks` in all; more than last time means that the peer reads.
    pub fn progressed(&mut self, chunks: u64, now: Instant) {
        if chunks != self.chunks_sent {
            self.chunks_sent = chunks;
            self.write_due = self.write_due.map(|_| now + self.config.write_timeout);
        }
    }

    /// All that was to be sent is sent.
    pub fn flushed(&mut self) {
        self.write_due = None;
    }

    /// Nothing is read from now on.
    pub fn pause(&mut self) {
        self.paused = true;
        self.pong_due = None;
        self.message_due = None;
    }

    /// Reading goes on.
    pub fn resume(&mut self, now: Instant) {
        self.paused = false;
        self.idle_since = now;
        // A peer that waits for us to read may not have read itself.
        self.write_due = self.write_due.map(|_| now + self.config.write_timeout);
    }

    /// When [`KeepAlive::due`] has something to say next; `None`: never.
    #[inline]
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.pong_due, self.idle_due(), self.message_due, self.stalled_at()];
        [self.next_ping, self.next_heartbeat].into_iter().chain(deadlines).flatten().min()
    }

    /// What is to be done at `now`; call again until `None`.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        let reached = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if reached(self.pong_due) {
            return Some(Due::PongMissed);
        }
        if reached(self.idle_due()) {
            return Some(Due::Idle);
        }
        if reached(self.message_due) {
            return Some(Due::MessageStalled);
        }
        if reached(self.stalled_at()) {
            return Some(Due::WriteStalled);
        }
        if reached(self.next_heartbeat) {
            self.next_heartbeat = self.heartbeat_interval.map(|interval| now + interval);
            return Some(Due::Heartbeat);
        }
        if reached(self.next_ping) {
            self.next_ping = self.config.ping_interval.map(|interval| now + interval);
            if !self.paused {
                self.pong_due.get_or_insert(now + self.config.pong_timeout);
            }
            return Some(Due::Ping);
        }
        None
    }

    fn stalled_at(&self) -> Option<Instant> {
        self.write_due.filter(|_| !self.paused)
    }

    fn idle_due(&self) -> Option<Instant> {
        self.config.idle_timeout.filter(|_| !self.paused).map(|timeout| self.idle_since + timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: KeepAliveConfig = KeepAliveConfig {
        ping_interval: Some(Duration::from_secs(20)),
        pong_timeout: Duration::from_secs(10),
        idle_timeout: None,
        message_timeout: None,
        write_timeout: Duration::from_secs(30),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_silent_peer_is_dropped_one_pong_timeout_after_the_ping() {
        let start = Instant::now();
        let mut timers = KeepAlive::new(CONFIG, None, start);
        assert_eq!(timers.due(start + seconds(19)), None);
        assert_eq!(timers.due(start + seconds(20)), Some(Due::Ping));
        assert_eq!(timers.deadline(), Some(start + seconds(30)));
        assert_eq!(timers.due(start + seconds(29)), None);
        assert_eq!(timers.due(start + seconds(30)), Some(Due::PongMissed));
    }

    #[test]
    fn any_sign_of_life_answers_the_ping_and_state_does_not_pile_up() {
        let start = Instant::now();
        let mut timers = KeepAlive::new(CONFIG, None, start);
        for round in 1..100 {
            let now = start + seconds(20 * round);
            assert_eq!(timers.due(now), Some(Due::Ping));
            assert_eq!(timers.due(now), None);
            timers.received(false, now + seconds(9));
        }
    }

    #[test]
    fn pongs_keep_a_connection_alive_but_not_busy() {
        let start = Instant::now();
        let config = KeepAliveConfig { idle_timeout: Some(seconds(60)), ..CONFIG };
        let mut timers = KeepAlive::new(config, None, start);
        timers.received(false, start + seconds(50));
        while timers.due(start + seconds(59)).is_some() {}
        timers.received(false, start + seconds(59));
        assert_eq!(timers.due(start + seconds(60)), Some(Due::Idle));
        timers.received(true, start + seconds(60));
        assert_ne!(timers.due(start + seconds(61)), Some(Due::Idle));
    }

    #[test]
    fn a_paused_reader_pings_on_and_blames_nobody() {
        let start = Instant::now();
        let mut timers = KeepAlive::new(KeepAliveConfig { idle_timeout: Some(seconds(5)), ..CONFIG }, None, start);
        timers.pause();
        assert_eq!(timers.due(start + seconds(20)), Some(Due::Ping));
        assert_eq!(timers.due(start + seconds(39)), None);
        timers.resume(start + seconds(39));
        assert_eq!(timers.due(start + seconds(39)), None);
        assert_eq!(timers.due(start + seconds(44)), Some(Due::Idle));
    }

    #[test]
    fn a_peer_that_takes_nothing_is_dropped_after_the_write_timeout() {
        let start = Instant::now();
        let mut timers = KeepAlive::new(KeepAliveConfig { ping_interval: None, ..CONFIG }, None, start);
        timers.sending(start);
        timers.sending(start + seconds(20));
        timers.progressed(1, start + seconds(29));
        timers.progressed(1, start + seconds(58));
        assert_eq!(timers.due(start + seconds(58)), None);
        assert_eq!(timers.due(start + seconds(59)), Some(Due::WriteStalled));
        timers.flushed();
        assert_eq!(timers.due(start + seconds(59)), None);
    }

    #[test]
    fn a_message_has_to_be_complete_in_time_however_many_bytes_trickle_in() {
        let start = Instant::now();
        let config = KeepAliveConfig { ping_interval: None, message_timeout: Some(seconds(60)), ..CONFIG };
        let mut timers = KeepAlive::new(config, None, start);
        for second in 0..60 {
            timers.received(false, start + seconds(second));
            timers.mid_message(true, start + seconds(second));
        }
        assert_eq!(timers.due(start + seconds(59)), None);
        assert_eq!(timers.due(start + seconds(60)), Some(Due::MessageStalled));
        // The next one has begun already when it is complete.
        timers.received(true, start + seconds(60));
        timers.mid_message(true, start + seconds(60));
        assert_eq!(timers.due(start + seconds(119)), None);
        timers.mid_message(false, start + seconds(119));
        assert_eq!(timers.due(start + seconds(200)), None);
    }

    #[test]
    fn a_process_that_slept_sends_one_ping_and_one_heartbeat_not_many() {
        let start = Instant::now();
        let mut timers = KeepAlive::new(CONFIG, Some(seconds(15)), start);
        let woken = start + seconds(120);
        assert_eq!(timers.due(woken), Some(Due::Heartbeat));
        assert_eq!(timers.due(woken), Some(Due::Ping));
        assert_eq!(timers.due(woken), None);
    }

    #[test]
    fn without_periods_nothing_is_ever_due() {
        let config = KeepAliveConfig { ping_interval: None, ..CONFIG };
        let start = Instant::now();
        let mut timers = KeepAlive::new(config, None, start);
        assert_eq!(timers.deadline(), None);
        assert_eq!(timers.due(start + seconds(1_000_000)), None);
    }
}
