//! What a run shows while it runs: one line that is refreshed on a terminal, plain lines where it is not one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use eventflux_core::ConnectorRole;
use eventflux_core::escape_control;
use eventflux_core::health::{ConnectionState, Health};
use eventflux_engine::ConnectorStatus;

use crate::output;
use crate::summary::{clock, grouped};

/// Pause between two refreshes of the line on a terminal.
const REFRESH: Duration = Duration::from_millis(500);
/// Shortest pause between two plain lines.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// Most connectors named on one line because they need attention; the rest is counted.
const MAX_NAMED: usize = 3;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Hidden,
    Live,
    /// With this pause between two lines.
    Plain(Duration),
}

/// Shows progress; call [`Progress::show`] about every [`Progress::pause`].
#[derive(Debug)]
pub(crate) struct Progress {
    style: Style,
    started: Instant,
    last: Totals,
    last_states: String,
    last_shown: Instant,
}

/// Counts over all connectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Totals {
    events_in: u64,
    events_out: u64,
    dropped: u64,
    failed: u64,
}

impl Progress {
    /// Progress as fits the terminal, or none; `pause` stands between two lines where there is no terminal.
    pub(crate) fn new(hidden: bool, pause: Duration) -> Self {
        let style = match (hidden, output::has_progress_line()) {
            (true, _) => Style::Hidden,
            (false, true) => Style::Live,
            (false, false) => Style::Plain(pause),
        };
        let now = Instant::now();
        Self { style, started: now, last: Totals::default(), last_states: String::new(), last_shown: now }
    }

    /// Time until the next call makes sense.
    pub(crate) fn pause(&self) -> Duration {
        match self.style {
            Style::Live | Style::Hidden => REFRESH,
            Style::Plain(pause) => pause.max(SHORTEST_PAUSE),
        }
    }

    /// Shows where the connectors are now. A plain line appears only when something changed.
    pub(crate) fn show(&mut self, connectors: &[ConnectorStatus]) {
        if self.style == Style::Hidden {
            return;
        }
        let now = Instant::now();
        let totals = Totals::of(connectors);
        let states = states(connectors.iter().map(|connector| (connector.stream.as_str(), &connector.health)));
        let line = line(self.last, totals, now - self.last_shown, now - self.started, &states);
        match self.style {
            Style::Live => output::set_progress(Some(line)),
            _ if totals == self.last && states == self.last_states => {}
            _ => output::note(&line),
        }
        self.last = totals;
        self.last_states = states;
        self.last_shown = now;
    }

    /// Removes the line from the terminal.
    pub(crate) fn finish(&self) {
        if self.style == Style::Live {
            output::set_progress(None);
        }
    }
}

impl Totals {
    fn of(connectors: &[ConnectorStatus]) -> Self {
        connectors.iter().fold(Self::default(), |mut totals, connector| {
            let metrics = &connector.metrics;
            match connector.role {
                ConnectorRole::Source => totals.events_in += connector.events,
                ConnectorRole::Sink => totals.events_out += connector.events,
            }
            totals.dropped += metrics.dropped.value();
            totals.failed += metrics.failed.value();
            totals
        })
    }
}

fn line(before: Totals, now: Totals, since: Duration, running: Duration, states: &str) -> String {
    let rate = |before: u64, now: u64| {
        let seconds = since.as_secs_f64();
        if seconds > 0.0 { now.saturating_sub(before) as f64 / seconds } else { 0.0 }
    };
    format!(
        "{}  in {} ({}/s)  out {} ({}/s)  dropped {}  failed {}  {states}",
        clock(running),
        grouped(now.events_in),
        grouped(rate(before.events_in, now.events_in).round() as u64),
        grouped(now.events_out),
        grouped(rate(before.events_out, now.events_out).round() as u64),
        grouped(now.dropped),
        grouped(now.failed),
    )
}

/// Healthy connectors are counted by state; those that need attention come first, by name and with the reason.
fn states<'a>(connectors: impl Iterator<Item = (&'a str, &'a Health)>) -> String {
    let mut parts = Vec::new();
    let mut more = 0_usize;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (stream, health) in connectors {
        let calm = health.state.is_healthy() || health.state == ConnectionState::Stopped;
        if calm {
            *counts.entry(health.state.name()).or_default() += 1;
        } else if parts.len() < MAX_NAMED {
            let mut part = format!("{stream} {}", health.state.name());
            if let Some(detail) = &health.detail {
                let _ = write!(part, " ({})", escape_control(detail));
            }
            parts.push(part);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        parts.push(format!("{more} more not connected"));
    }
    parts.extend(counts.iter().map(|(state, count)| format!("{count} {state}")));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(state: ConnectionState, detail: Option<&str>) -> Health {
        Health { state, detail: detail.map(str::to_owned) }
    }

    #[test]
    fn rates_count_what_came_since_the_last_line() {
        let before = Totals { events_in: 1_000, events_out: 400, ..Totals::default() };
        let now = Totals { events_in: 5_000, events_out: 1_400, dropped: 7, failed: 9 };
        let line = line(before, now, Duration::from_secs(2), Duration::from_secs(62), "2 connected");
        assert_eq!(line, "01:02  in 5,000 (2,000/s)  out 1,400 (500/s)  dropped 7  failed 9  2 connected");
    }

    #[test]
    fn no_time_since_the_last_line_means_no_rate() {
        let line = line(Totals::default(), Totals::default(), Duration::ZERO, Duration::ZERO, "");
        assert!(line.contains("in 0 (0/s)"), "{line}");
    }

    #[test]
    fn connectors_that_need_attention_are_named_before_the_healthy_are_counted() {
        let all = [
            ("A", health(ConnectionState::Connected, None)),
            ("B", health(ConnectionState::Reconnecting, Some("refused\u{1b}[2J"))),
            ("C", health(ConnectionState::Connected, None)),
            ("D", health(ConnectionState::Listening, None)),
        ];
        let text = states(all.iter().map(|(name, health)| (*name, health)));
        assert_eq!(text, "B reconnecting (refused\\u{1b}[2J), 2 connected, 1 listening");
    }

    #[test]
    fn a_hundred_lost_connections_still_fit_on_a_line() {
        let lost = health(ConnectionState::Reconnecting, None);
        let text = states((0..100).map(|_| ("S", &lost)));
        assert_eq!(text, "S reconnecting, S reconnecting, S reconnecting, 97 more not connected");
    }
}
