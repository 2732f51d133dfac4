//! The results of a scenario as a table. Ratios compare with the first row, round by round.

use eventflux_benches::control::Latency;
use eventflux_benches::report::{Table, decimals, percent, thousands};
use eventflux_benches::stats::{median, median_ratio, spread};

use crate::run::{Outcome, Row};
use crate::scenario::{Scenario, Size};

/// The table of `scenario`.
#[must_use]
pub fn table(scenario: Scenario, size: Size, rows: &[Row]) -> Table {
    let title = scenario.title(size);
    match scenario {
        Scenario::FanOut1000 | Scenario::FanOut100 => fan_out_table(&title, rows),
        Scenario::Latency => latency_table(&title, rows),
        Scenario::Idle => idle_table(&title, rows),
        Scenario::Filters | Scenario::Patterns => match_table(&title, rows),
        Scenario::Frozen => frozen_table(&title, rows),
    }
}

fn fan_out_table(title: &str, rows: &[Row]) -> Table {
    let baseline = rows.first().map_or("", |row| row.name.as_str());
    let (rate, cpu) = (format!("rate vs {baseline}"), format!("CPU vs {baseline}"));
    let columns = [
        "gateway",
        "deliveries/s",
        "spread",
        "CPU µs each",
        &rate,
        &cpu,
        "crowd µs each",
        "crowd busy",
        "lost",
        "misordered",
    ];
    let mut table = Table::new(title, &columns);
    for row in rows {
        let rates = succeeded(row, Outcome::deliveries_per_second);
        let mut cells = vec![
            row.name.clone(),
            thousands(median(&rates)),
            percent(spread(&rates)),
            decimals(median(&succeeded(row, Outcome::cpu_us_per_delivery)), 3),
            decimals(ratio(row, rows.first(), Outcome::deliveries_per_second), 2),
            decimals(ratio(row, rows.first(), Outcome::cpu_us_per_delivery), 2),
            decimals(median(&succeeded(row, Outcome::crowd_us_per_delivery)), 3),
            percent(median(&succeeded(row, Outcome::crowd_busy))),
        ];
        cells.extend(verdict(row));
        table.row(cells);
    }
    table
}

fn latency_table(title: &str, rows: &[Row]) -> Table {
    let columns = ["gateway", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "CPU µs each", "lost", "misordered"];
    let mut table = Table::new(title, &columns);
    for row in rows {
        let mut cells = vec![row.name.clone()];
        cells.extend([median_ms(row, |of| of.p50_ns), median_ms(row, |of| of.p99_ns), median_ms(row, |of| of.p999_ns)]);
        let worst = succeeded(row, milliseconds(|of| of.max_ns)).into_iter().reduce(f64::max);
        cells.push(decimals(worst, 2));
        cells.push(decimals(median(&succeeded(row, Outcome::cpu_us_per_delivery)), 2));
        cells.extend(verdict(row));
        table.row(cells);
    }
    table
}

fn idle_table(title: &str, rows: &[Row]) -> Table {
    let mut table = Table::new(title, &["gateway", "KiB each"]);
    for row in rows {
        let kib = median(&succeeded(row, |outcome| outcome.connection_bytes / 1024.0));
        table.row(vec![row.name.clone(), decimals(kib, 1)]);
    }
    table
}

fn match_table(title: &str, rows: &[Row]) -> Table {
    let mut table = Table::new(title, &["gateway", "", "CPU µs/message", "ratio", "messages/s", "lost", "misordered"]);
    for row in rows {
        let mut cells = vec![
            row.name.clone(),
            row.variant.clone(),
            decimals(median(&succeeded(row, Outcome::cpu_us_per_message)), 2),
            decimals(ratio(row, first_variant(rows, row), Outcome::cpu_us_per_message), 2),
            thousands(median(&succeeded(row, Outcome::deliveries_per_second))),
        ];
        cells.extend(verdict(row));
        table.row(cells);
    }
    table
}

fn frozen_table(title: &str, rows: &[Row]) -> Table {
    let mut table =
        Table::new(title, &["gateway", "", "p50 ms", "p99 ms", "p99 ratio", "CPU µs each", "lost", "misordered"]);
    for row in rows {
        let mut cells = vec![
            row.name.clone(),
            row.variant.clone(),
            median_ms(row, |of| of.p50_ns),
            median_ms(row, |of| of.p99_ns),
            decimals(ratio(row, first_variant(rows, row), milliseconds(|of| of.p99_ns)), 2),
            decimals(median(&succeeded(row, Outcome::cpu_us_per_delivery)), 2),
        ];
        cells.extend(verdict(row));
        table.row(cells);
    }
    table
}

/// The variant that the others of the same contestant are compared with.
fn first_variant<'a>(rows: &'a [Row], row: &Row) -> Option<&'a Row> {
    rows.iter().find(|other| other.name == row.name)
}

/// What is missing and what came in the wrong order or place, over all rounds.
fn verdict(row: &Row) -> [String; 2] {
    if row.rounds.iter().any(Option::is_none) {
        return std::array::from_fn(|_| "failed".to_owned());
    }
    let sum = |figure: fn(&Outcome) -> u64| row.rounds.iter().flatten().map(figure).sum::<u64>().to_string();
    [sum(|of| of.report.lost()), sum(|of| of.report.misordered + of.report.misrouted)]
}

fn median_ms(row: &Row, pick: fn(&Latency) -> u64) -> String {
    decimals(median(&succeeded(row, milliseconds(pick))), 2)
}

fn milliseconds(pick: fn(&Latency) -> u64) -> impl Fn(&Outcome) -> f64 + Copy {
    move |outcome| outcome.report.latency.as_ref().map_or(0, pick) as f64 / 1e6
}

fn ratio(row: &Row, baseline: Option<&Row>, figure: impl Fn(&Outcome) -> f64 + Copy) -> Option<f64> {
    median_ratio(&each(row, figure), &each(baseline?, figure))
}

fn each(row: &Row, figure: impl Fn(&Outcome) -> f64) -> Vec<Option<f64>> {
    row.rounds.iter().map(|outcome| outcome.as_ref().map(&figure)).collect()
}

fn succeeded(row: &Row, figure: impl Fn(&Outcome) -> f64) -> Vec<f64> {
    row.rounds.iter().flatten().map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventflux_benches::report::Format;

    use crate::event::Report;

    fn row(name: &str, variant: &str, delivered: &[Option<u64>]) -> Row {
        let outcome = |delivered: &Option<u64>| {
            let delivered = (*delivered)?;
            let latency = Some(Latency { p99_ns: delivered * 1_000_000, ..Latency::default() });
            let report = Report { expected: 300, delivered, elapsed_ns: 1_000, latency, ..Report::default() };
            Some(Outcome { report, ..Outcome::default() })
        };
        Row { name: name.into(), variant: variant.into(), rounds: delivered.iter().map(outcome).collect() }
    }

    /// The line of the table that begins with a name and has a label.
    fn line(scenario: Scenario, rows: &[Row], name: &str, label: &str) -> String {
        let text = table(scenario, Size::QUICK, rows).render(Format::Markdown);
        let is_it = |line: &&str| line.starts_with(&format!("| {name} ")) && line.contains(label);
        text.lines().find(is_it).unwrap().to_owned()
    }

    #[test]
    fn ratios_compare_with_the_first_gateway_within_a_round() {
        let rows = [row("ours", "", &[Some(100), Some(200)]), row("theirs", "", &[Some(50), Some(100)])];
        let theirs = line(Scenario::FanOut100, &rows, "theirs", "");
        assert!(theirs.contains(" 0.50 "), "{theirs}");
        assert!(theirs.contains(" 450 "), "lost in both rounds: {theirs}");
    }

    #[test]
    fn frozen_clients_are_compared_with_the_same_gateway_without_them() {
        let rows = [
            row("ours", "none frozen", &[Some(100)]),
            row("ours", "50 frozen", &[Some(110)]),
            row("theirs", "none frozen", &[Some(50)]),
            row("theirs", "50 frozen", &[Some(100)]),
        ];
        let ours = line(Scenario::Frozen, &rows, "ours", "50 frozen");
        assert!(ours.contains(" 1.10 "), "{ours}");
        let theirs = line(Scenario::Frozen, &rows, "theirs", "50 frozen");
        assert!(theirs.contains(" 2.00 "), "{theirs}");
    }

    #[test]
    fn a_failed_round_shows() {
        let rows = [row("ours", "", &[Some(300), None])];
        assert!(line(Scenario::FanOut1000, &rows, "ours", "").contains("failed"));
    }
}
