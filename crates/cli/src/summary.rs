//! What is said about a pipeline when it has ended, and how numbers and times are written for people.

use std::fmt::Write;
use std::time::Duration;

use eventflux_core::ConnectorRole;
use eventflux_engine::{ConnectorStatus, Summary};

/// The totals, then a line for each connector.
pub(crate) fn text(
    name: &str,
    how: &str,
    ran_for: Duration,
    summary: &Summary,
    connectors: &[ConnectorStatus],
) -> String {
    let mut text = format!("{name} {how} after {}: {}", clock(ran_for), totals(summary));
    for connector in connectors {
        text.push('\n');
        connector_line(&mut text, connector);
    }
    text
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length of time as `12:34` or `1:02:03`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes:02}:{seconds:02}") }
}

/// A length of time as `30 s` or `1.5 s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_millis() as f64 / 1000.0)
}

fn totals(summary: &Summary) -> String {
    let Summary { events_in, events_out, dropped, failed, dead_lettered, undelivered } = *summary;
    let mut text = format!(
        "in {}, out {}, dropped {}, failed {}",
        grouped(events_in),
        grouped(events_out),
        grouped(dropped),
        grouped(failed)
    );
    rare(&mut text, &[("dead letters", dead_lettered), ("undelivered", undelivered)]);
    text
}

fn connector_line(text: &mut String, connector: &ConnectorStatus) {
    let metrics = &connector.metrics;
    let direction = match connector.role {
        ConnectorRole::Source => "in",
        ConnectorRole::Sink => "out",
    };
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "  {} {} ({}): {direction} {}, dropped {}, failed {}",
        connector.role.name(),
        connector.stream,
        connector.connector,
        grouped(connector.events),
        grouped(metrics.dropped.value()),
        grouped(metrics.failed.value()),
    );
    rare(
        text,
        &[
            ("retries", metrics.retried.value()),
            ("dead letters", metrics.dead_lettered.value()),
            ("reconnects", metrics.reconnects.value()),
            ("gaps", metrics.gaps.value()),
        ],
    );
}

/// Counts that are worth a word only when they are not zero.
fn rare(text: &mut String, counts: &[(&str, u64)]) {
    for (name, count) in counts.iter().filter(|(_, count)| *count > 0) {
        let _ = write!(text, ", {name} {}", grouped(*count));
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::health::{ConnectionState, Health};
    use eventflux_core::metrics::ConnectorMetrics;

    use super::*;

    #[test]
    fn a_summary_has_the_totals_and_a_line_for_each_connector() {
        let metrics = ConnectorMetrics::default();
        metrics.gaps.add(2);
        let connector = ConnectorStatus {
            events: 12_345,
            stream: "Trades".to_owned(),
            role: ConnectorRole::Source,
            connector: "websocket".to_owned(),
            health: Health { state: ConnectionState::Stopped, detail: None },
            metrics,
        };
        let summary = Summary { events_in: 12_345, events_out: 2_000, undelivered: 1, ..Summary::default() };
        assert_eq!(
            text("a.sql", "ended", Duration::from_secs(62), &summary, &[connector]),
            "a.sql ended after 01:02: in 12,345, out 2,000, dropped 0, failed 0, undelivered 1\n  \
             source Trades (websocket): in 12,345, dropped 0, failed 0, gaps 2"
        );
    }

    #[test]
    fn numbers_and_times_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(clock(Duration::from_secs(3_723)), "1:02:03");
        assert_eq!(seconds(Duration::from_millis(1_500)), "1.5 s");
        assert_eq!(seconds(Duration::from_secs(30)), "30 s");
    }
}
