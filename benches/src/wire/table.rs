//! The results of a scenario as a table.

use super::peers::System;
use super::plan::Scenario;
use super::run::{Figures, Row};
use crate::report::{Table, decimals, percent, thousands};
use crate::stats::{median, median_ratio, spread};

/// The system the others are compared with.
const BASELINE: System = System::Eventflux;

/// The table of `scenario`.
#[must_use]
pub fn table(scenario: Scenario, rows: &[Row]) -> Table {
    match scenario.exchange() {
        Some(_) => exchange_table(scenario, rows),
        None => memory_table(scenario, rows),
    }
}

fn exchange_table(scenario: Scenario, rows: &[Row]) -> Table {
    let columns = ["system", "CPU ns/msg", "spread", "CPU vs eventflux", "msg/s", "wire bytes/msg"];
    let mut table = Table::new(scenario.title(), &columns);
    let baseline = rows.iter().find(|row| row.system == BASELINE);
    for row in rows {
        let cpu = succeeded(row, |figures| figures.cpu_ns);
        let ratio = baseline.and_then(|baseline| {
            median_ratio(&each(row, |figures| figures.cpu_ns), &each(baseline, |figures| figures.cpu_ns))
        });
        table.row(vec![
            row.system.name(),
            decimals(median(&cpu), 0),
            percent(spread(&cpu)),
            decimals(ratio, 2),
            thousands(median(&succeeded(row, |figures| figures.per_second))),
            decimals(median(&succeeded(row, |figures| figures.wire_bytes)), 0),
        ]);
    }
    table
}

fn memory_table(scenario: Scenario, rows: &[Row]) -> Table {
    let mut table = Table::new(scenario.title(), &["system", "KiB/connection"]);
    for row in rows {
        let kib = median(&succeeded(row, |figures| figures.connection_bytes / 1024.0));
        table.row(vec![row.system.name(), decimals(kib, 1)]);
    }
    table
}

fn each(row: &Row, figure: impl Fn(&Figures) -> f64) -> Vec<Option<f64>> {
    row.rounds.iter().map(|figures| figures.as_ref().map(&figure)).collect()
}

fn succeeded(row: &Row, figure: impl Fn(&Figures) -> f64) -> Vec<f64> {
    row.rounds.iter().flatten().map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Format;

    fn row(system: System, cpu: &[Option<f64>]) -> Row {
        let figures = |cpu_ns: &Option<f64>| cpu_ns.map(|cpu_ns| Figures { cpu_ns, ..Figures::default() });
        Row { system, rounds: cpu.iter().map(figures).collect() }
    }

    #[test]
    fn ratios_compare_systems_within_a_round() {
        let rows = [
            row(System::Eventflux, &[Some(100.0), Some(200.0), Some(100.0)]),
            row(System::Yawc, &[Some(150.0), None, Some(150.0)]),
        ];
        let text = table(Scenario::ReceiveAsClient, &rows).render(Format::Markdown);
        let yawc = text.lines().find(|line| line.contains("yawc")).unwrap();
        assert!(yawc.contains(" 150 ") && yawc.contains(" 1.50 "), "{text}");
    }

    #[test]
    fn a_system_that_failed_every_round_has_dashes() {
        let text = table(Scenario::Idle, &[row(System::Floor, &[None])]).render(Format::Text);
        assert!(text.ends_with("–\n"), "{text}");
    }
}
