//! The results of a scenario as a table. Ratios compare with one row, round by round.

use eventflux_benches::control::Latency;
use eventflux_benches::report::{Table, decimals, percent, thousands};
use eventflux_benches::stats::{median, median_ratio, spread};

use crate::outcome::{Outcome, Row};
use crate::scenario::{Scenario, Size};

/// A column with a figure of its own.
type Figure = (&'static str, fn(&Outcome) -> f64);

/// The table of `scenario`.
#[must_use]
pub fn table(scenario: Scenario, size: Size, rows: &[Row]) -> Table {
    let (title, baseline) = (scenario.title(size), scenario.baseline());
    let columns = columns(scenario);
    match scenario {
        Scenario::StoreMemory | Scenario::StoreFile => saturated_table(&title, "messages/s", rows, baseline, columns),
        Scenario::FanOut | Scenario::GatewaysFanOut | Scenario::GatewaysFew => {
            saturated_table(&title, "deliveries/s", rows, baseline, columns)
        }
        Scenario::Latency | Scenario::GatewaysLatency => latency_table(&title, rows, baseline, columns),
    }
}

/// Whose processor time is told apart. The first one is compared with that of the baseline.
fn columns(scenario: Scenario) -> &'static [Figure] {
    match scenario {
        Scenario::StoreMemory | Scenario::StoreFile => {
            &[("publisher", Outcome::first_us), ("server", Outcome::server_us)]
        }
        Scenario::FanOut | Scenario::Latency => &[("gateway", Outcome::first_us), ("server", Outcome::server_us)],
        Scenario::GatewaysFanOut | Scenario::GatewaysFew | Scenario::GatewaysLatency => {
            &[("first", Outcome::first_us), ("second", Outcome::second_us), ("server", Outcome::server_us)]
        }
    }
}

fn saturated_table(title: &str, rate: &str, rows: &[Row], baseline: &str, parts: &[Figure]) -> Table {
    let first = parts.first().copied();
    let (rate_ratio, cpu_ratio) = (format!("rate vs {baseline}"), format!("CPU vs {baseline}"));
    let mut columns = vec!["", rate, "spread", &rate_ratio, "CPU µs each", &cpu_ratio];
    columns.extend(parts.iter().map(|(name, _)| *name));
    let first_ratio = first.map_or_else(String::new, |(name, _)| format!("{name} vs {baseline}"));
    let has_crowd = rows.iter().flat_map(|row| row.rounds.iter().flatten()).any(|outcome| outcome.crowd_busy > 0.0);
    columns.push(&first_ratio);
    columns.extend(has_crowd.then_some("crowd busy"));
    columns.push("wrong");
    let mut table = Table::new(title, &columns);
    for row in rows {
        let rates = row.succeeded(Outcome::per_second);
        let mut cells = vec![
            row.label.clone(),
            thousands(median(&rates)),
            percent(spread(&rates)),
            decimals(ratio(row, rows, baseline, Outcome::per_second), 2),
            decimals(median(&row.succeeded(Outcome::cpu_us)), 3),
            decimals(ratio(row, rows, baseline, Outcome::cpu_us), 2),
        ];
        cells.extend(parts.iter().map(|(_, figure)| decimals(median(&row.succeeded(figure)), 3)));
        cells.push(decimals(first.and_then(|(_, figure)| ratio(row, rows, baseline, figure)), 2));
        cells.extend(has_crowd.then(|| percent(median(&row.succeeded(|outcome| outcome.crowd_busy)))));
        cells.push(verdict(row));
        table.row(cells);
    }
    table
}

fn latency_table(title: &str, rows: &[Row], baseline: &str, parts: &[Figure]) -> Table {
    let ratios = ["p50", "p99", "CPU"].map(|name| format!("{name} vs {baseline}"));
    let mut columns = vec!["", "p50 ms", &ratios[0], "p99 ms", &ratios[1], "max ms", "CPU µs each", &ratios[2]];
    columns.extend(parts.iter().map(|(name, _)| *name));
    let first = parts.first().copied();
    let first_ratio = first.map_or_else(String::new, |(name, _)| format!("{name} vs {baseline}"));
    columns.extend([first_ratio.as_str(), "wrong"]);
    let mut table = Table::new(title, &columns);
    let (p50, p99, max) = (milliseconds(|of| of.p50_ns), milliseconds(|of| of.p99_ns), milliseconds(|of| of.max_ns));
    for row in rows {
        let mut cells = vec![
            row.label.clone(),
            decimals(median(&row.succeeded(p50)), 2),
            decimals(ratio(row, rows, baseline, p50), 2),
            decimals(median(&row.succeeded(p99)), 2),
            decimals(ratio(row, rows, baseline, p99), 2),
            decimals(row.succeeded(max).into_iter().reduce(f64::max), 2),
            decimals(median(&row.succeeded(Outcome::cpu_us)), 2),
            decimals(ratio(row, rows, baseline, Outcome::cpu_us), 2),
        ];
        cells.extend(parts.iter().map(|(_, figure)| decimals(median(&row.succeeded(figure)), 2)));
        cells.push(decimals(first.and_then(|(_, figure)| ratio(row, rows, baseline, figure)), 2));
        cells.push(verdict(row));
        table.row(cells);
    }
    table
}

fn milliseconds(pick: fn(&Latency) -> u64) -> impl Fn(&Outcome) -> f64 + Copy {
    move |outcome| outcome.latency.as_ref().map_or(0, pick) as f64 / 1e6
}

fn ratio(row: &Row, rows: &[Row], baseline: &str, figure: impl Fn(&Outcome) -> f64 + Copy) -> Option<f64> {
    let compared = rows.iter().find(|row| row.label == baseline)?;
    median_ratio(&row.each(figure), &compared.each(figure))
}

/// What is missing, repeated, changed or out of order, over all rounds.
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
        let outcome = |count: &Option<u64>| {
            count.map(|count| Outcome {
                count,
                elapsed_ns: 1_000_000_000,
                first_seconds: 0.001,
                wrong: 2,
                latency: Some(Latency { p99_ns: count * 1_000, ..Latency::default() }),
                ..Outcome::default()
            })
        };
        Row { label: label.to_owned(), rounds: rounds.iter().map(outcome).collect() }
    }

    fn line(scenario: Scenario, rows: &[Row], label: &str) -> String {
        let text = table(scenario, Size::QUICK, rows).render(Format::Markdown);
        text.lines().find(|line| line.starts_with(&format!("| {label} "))).unwrap().to_owned()
    }

    #[test]
    fn ratios_compare_within_a_round_and_what_is_wrong_adds_up() {
        let rows = [row("floor", &[Some(100_000), Some(200_000)]), row("eventflux", &[Some(80_000), Some(180_000)])];
        let ours = line(Scenario::StoreMemory, &rows, "eventflux");
        assert!(ours.contains(" 0.85 ") && ours.contains(" 130,000 ") && ours.ends_with(" 4 |"), "{ours}");
    }

    #[test]
    fn the_second_gateway_is_compared_with_a_single_one() {
        let rows = [row("one", &[Some(1_000)]), row("two", &[Some(2_000)])];
        let two = line(Scenario::GatewaysLatency, &rows, "two");
        let cells: Vec<&str> = two.split('|').map(str::trim).collect();
        assert!(cells.contains(&"2.00"), "p99: {two}");
        assert_eq!(cells.iter().filter(|cell| **cell == "0.50").count(), 4, "CPU of all and of the first: {two}");
    }

    #[test]
    fn a_round_that_failed_shows() {
        for scenario in [Scenario::StoreFile, Scenario::Latency] {
            assert!(
                line(scenario, &[row(scenario.baseline(), &[Some(1), None])], scenario.baseline()).contains("failed")
            );
        }
    }
}
