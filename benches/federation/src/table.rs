//! The results of a scenario as a table. Ratios compare with one row, round by round.

use eventflux_benches::control::Latency;
use eventflux_benches::report::{Table, decimals, percent, thousands};
use eventflux_benches::stats::{median, median_ratio, spread};

use crate::outcome::{Cost, Outcome, Row};
use crate::scenario::{Scenario, Size};

/// The table of `scenario`.
#[must_use]
pub fn table(scenario: Scenario, size: Size, rows: &[Row]) -> Table {
    let title = scenario.title(size);
    match scenario {
        Scenario::Memory => memory_table(&title, rows),
        Scenario::Requests => request_table(&title, rows, scenario.baseline()),
        Scenario::Brokers => transfer_table(&title, rows, scenario.baseline(), true),
        _ => transfer_table(&title, rows, scenario.baseline(), false),
    }
}

fn transfer_table(title: &str, rows: &[Row], baseline: &str, has_broker: bool) -> Table {
    let (rate, cpu) = (format!("rate vs {baseline}"), format!("CPU vs {baseline}"));
    let mut columns = vec!["", "messages/s", "spread", &rate, "CPU µs each", &cpu, "sender", "receiver"];
    columns.extend(has_broker.then_some("broker"));
    columns.extend(["sender MiB", "receiver MiB", "wrong"]);
    let mut table = Table::new(title, &columns);
    let compared = rows.iter().find(|row| row.label == baseline);
    for row in rows {
        let ratio = |figure: fn(&Outcome) -> f64| median_ratio(&row.each(figure), &compared?.each(figure));
        let rates = row.succeeded(Outcome::per_second);
        let each =
            |cost: fn(&Outcome) -> Cost| decimals(median(&row.succeeded(|outcome| outcome.each_us(cost(outcome)))), 3);
        let mut cells = vec![
            row.label.clone(),
            thousands(median(&rates)),
            percent(spread(&rates)),
            decimals(ratio(Outcome::per_second), 2),
            decimals(median(&row.succeeded(Outcome::cpu_us)), 3),
            decimals(ratio(Outcome::cpu_us), 2),
            each(|outcome| outcome.sender),
            each(|outcome| outcome.receiver),
        ];
        cells.extend(has_broker.then(|| each(|outcome| outcome.broker)));
        cells.extend([mebibytes(row, |of| of.sender.peak_rss_bytes), mebibytes(row, |of| of.receiver.peak_rss_bytes)]);
        cells.push(verdict(row));
        table.row(cells);
    }
    table
}

fn memory_table(title: &str, rows: &[Row]) -> Table {
    let columns = ["window", "sender before, MiB", "at most", "receiver before, MiB", "at most", "wrong"];
    let mut table = Table::new(title, &columns);
    for row in rows {
        let mut cells = vec![row.label.clone()];
        for cost in [(|of| of.sender) as fn(&Outcome) -> Cost, |of| of.receiver] {
            cells.push(mebibytes(row, |of| cost(of).rss_before_bytes));
            cells.push(mebibytes(row, |of| cost(of).peak_rss_bytes));
        }
        cells.push(verdict(row));
        table.row(cells);
    }
    table
}

fn request_table(title: &str, rows: &[Row], baseline: &str) -> Table {
    let columns = ["method", "p50 µs", "vs floor", "p99 µs", "p99.9 µs", "max µs", "CPU µs each", "asker", "answerer"];
    let mut table = Table::new(title, &columns);
    let floor = rows.iter().find(|row| row.label == baseline);
    let median_us = |outcome: &Outcome| outcome.latency.p50_ns as f64 / 1e3;
    for row in rows {
        let us = |pick: fn(&Latency) -> u64| decimals(median(&row.succeeded(|of| pick(&of.latency) as f64 / 1e3)), 0);
        let each = |figure: fn(&Outcome) -> f64| decimals(median(&row.succeeded(figure)), 0);
        table.row(vec![
            row.label.clone(),
            us(|of| of.p50_ns),
            decimals(floor.and_then(|floor| median_ratio(&row.each(median_us), &floor.each(median_us))), 1),
            us(|of| of.p99_ns),
            us(|of| of.p999_ns),
            us(|of| of.max_ns),
            each(Outcome::cpu_us),
            each(|of| of.each_us(of.sender)),
            each(|of| of.each_us(of.receiver)),
        ]);
    }
    table
}

/// The worst round.
fn mebibytes(row: &Row, bytes: impl Fn(&Outcome) -> u64) -> String {
    let worst = row.succeeded(|outcome| bytes(outcome) as f64 / f64::from(1 << 20)).into_iter().reduce(f64::max);
    decimals(worst, 1)
}

/// What is missing, came twice or in another order, over all rounds.
fn verdict(row: &Row) -> String {
    if row.rounds.iter().any(Option::is_none) {
        return "failed".to_owned();
    }
    row.rounds.iter().flatten().map(|outcome| outcome.wrong).sum::<u64>().to_string()
}

#[cfg(test)]
mod tests {
    use eventflux_benches::report::Format;

    use super::*;

    fn row(label: &str, rounds: &[Option<u64>]) -> Row {
        let outcome = |per_second: &Option<u64>| {
            per_second.map(|messages| Outcome { messages, elapsed_ns: 1_000_000_000, wrong: 2, ..Outcome::default() })
        };
        Row { label: label.to_owned(), rounds: rounds.iter().map(outcome).collect() }
    }

    fn line(rows: &[Row], label: &str) -> String {
        let text = table(Scenario::Batch100, Size::QUICK, rows).render(Format::Markdown);
        text.lines().find(|line| line.starts_with(&format!("| {label} "))).unwrap().to_owned()
    }

    #[test]
    fn ratios_compare_within_a_round_and_what_is_wrong_adds_up() {
        let rows = [row("plain", &[Some(100_000), Some(200_000)]), row("link", &[Some(80_000), Some(180_000)])];
        let link = line(&rows, "link");
        assert!(link.contains(" 0.85 ") && link.contains(" 130,000 ") && link.ends_with(" 4 |"), "{link}");
    }

    #[test]
    fn a_round_that_failed_shows() {
        assert!(line(&[row("plain", &[Some(1), None])], "plain").contains("failed"));
    }
}
