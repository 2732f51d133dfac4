//! Tables, for a terminal or for a document.

use std::fs;

use clap::ValueEnum;

use crate::series::Series;
use crate::stats::median_ratio;
use crate::system::BASELINE;

/// How tables are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Text,
    /// Markdown tables.
    Markdown,
}

/// A table under construction: a title, column names, and rows of as many cells.
#[derive(Debug)]
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self { title: title.to_owned(), rows: vec![columns.iter().map(|name| (*name).to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The finished text, ending with a newline.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = match format {
            Format::Text => format!("{}\n", self.title),
            Format::Markdown => format!("### {}\n\n", self.title),
        };
        for (index, row) in self.rows.iter().enumerate() {
            text.push_str(&render_row(row, &widths, format));
            if index == 0 && format == Format::Markdown {
                text.push_str(&markdown_rule(&widths));
            }
        }
        text
    }
}

/// The table of saturating runs.
#[must_use]
pub fn throughput_table(title: &str, series: &[Series]) -> Table {
    let mut table = Table::new(
        title,
        &[
            "system",
            "in, msg/s",
            "spread",
            "CPU µs/msg",
            "peak RSS MB",
            "rate vs hand",
            "CPU vs hand",
            "lost",
            "duplicate",
            "misordered",
            "unexpected",
            "wrong value",
        ],
    );
    let baseline = series.iter().find(|series| series.label == BASELINE);
    for series in series {
        let ratio = |figure: fn(&crate::run::Outcome) -> f64| {
            let baseline = baseline?.each(figure);
            median_ratio(&series.each(figure), &baseline)
        };
        let mut cells = vec![
            series.label.clone(),
            thousands(series.median(|run| run.messages_per_second)),
            percent(series.spread(|run| run.messages_per_second)),
            decimals(series.median(|run| run.cpu_us_per_message), 2),
            decimals(series.worst(|run| run.peak_rss_bytes as f64 / 1e6), 1),
            decimals(ratio(|run| run.messages_per_second), 2),
            decimals(ratio(|run| run.cpu_us_per_message), 2),
        ];
        cells.extend(verdict(series));
        table.row(cells);
    }
    table
}

/// The table of paced runs.
#[must_use]
pub fn latency_table(title: &str, series: &[Series]) -> Table {
    let mut table = Table::new(
        title,
        &[
            "system",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "max µs",
            "CPU µs/msg",
            "peak RSS MB",
            "feeder late µs",
            "lost",
            "duplicate",
            "misordered",
            "unexpected",
            "wrong value",
        ],
    );
    for series in series {
        let latency = |pick: fn(&crate::control::Latency) -> u64| {
            move |run: &crate::run::Outcome| run.report.latency.as_ref().map_or(0, pick) as f64 / 1e3
        };
        let mut cells = vec![
            series.label.clone(),
            decimals(series.median(latency(|l| l.p50_ns)), 0),
            decimals(series.median(latency(|l| l.p99_ns)), 0),
            decimals(series.median(latency(|l| l.p999_ns)), 0),
            decimals(series.worst(latency(|l| l.max_ns)), 0),
            decimals(series.median(|run| run.cpu_us_per_message), 1),
            decimals(series.worst(|run| run.peak_rss_bytes as f64 / 1e6), 1),
            decimals(series.worst(|run| run.feeder_lag_ns.unwrap_or(0) as f64 / 1e3), 0),
        ];
        cells.extend(verdict(series));
        table.row(cells);
    }
    table
}

/// The table of a curve: how cost grows with the work.
#[must_use]
pub fn curve_table(title: &str, series: &[Series]) -> Table {
    let mut table = Table::new(
        title,
        &[
            "case",
            "in, msg/s",
            "spread",
            "CPU µs/msg",
            "peak RSS MB",
            "lost",
            "duplicate",
            "misordered",
            "unexpected",
            "wrong value",
        ],
    );
    for series in series {
        let mut cells = vec![
            series.label.clone(),
            thousands(series.median(|run| run.messages_per_second)),
            percent(series.spread(|run| run.messages_per_second)),
            decimals(series.median(|run| run.cpu_us_per_message), 2),
            decimals(series.worst(|run| run.peak_rss_bytes as f64 / 1e6), 1),
        ];
        cells.extend(verdict(series));
        table.row(cells);
    }
    table
}

/// The machine, in a line: processor, cores, kernel, and how busy it already was.
#[must_use]
pub fn machine() -> String {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_ascii_whitespace().next().unwrap_or("unknown");
    format!("{model}, {cores} cores, Linux {}, load average before the runs {load}", kernel.trim())
}

/// A number with a fixed count of decimals; a dash for none.
#[must_use]
pub fn decimals(value: Option<f64>, count: usize) -> String {
    value.map_or_else(dash, |value| format!("{value:.count$}"))
}

fn verdict(series: &Series) -> [String; 5] {
    if series.outcomes.iter().all(Option::is_none) {
        return std::array::from_fn(|_| "failed".to_owned());
    }
    let tally = series.tally();
    [tally.lost(), tally.duplicates, tally.out_of_order, tally.unexpected, series.wrong_values()]
        .map(|count| count.to_string())
}

/// A rate, rounded to thousands: more digits would only be noise. A dash for none.
#[must_use]
pub fn thousands(value: Option<f64>) -> String {
    let Some(value) = value else { return dash() };
    let thousands = (value / 1e3).round();
    if thousands < 1e3 {
        format!("{thousands:.0},000")
    } else {
        format!("{:.0},{:03.0},000", (thousands / 1e3).floor(), thousands % 1e3)
    }
}

/// A share in percent; a dash for none.
#[must_use]
pub fn percent(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{:.0} %", value * 100.0))
}

fn dash() -> String {
    "–".to_owned()
}

fn render_row(row: &[String], widths: &[usize], format: Format) -> String {
    // Names to the left, numbers to the right.
    let cells = row.iter().zip(widths).enumerate();
    let cells: Vec<String> = cells
        .map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        })
        .collect();
    match format {
        Format::Text => format!("{}\n", cells.join("  ")),
        Format::Markdown => format!("| {} |\n", cells.join(" | ")),
    }
}

fn markdown_rule(widths: &[usize]) -> String {
    let cells = widths.iter().enumerate().map(|(column, width)| {
        let dashes = "-".repeat(*width);
        if column == 0 { format!(" {dashes} ") } else { format!(" {dashes}:") }
    });
    format!("|{}|\n", Vec::from_iter(cells).join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_markdown_align_the_same_cells() {
        let mut table = Table::new("Speed", &["system", "µs"]);
        table.row(vec!["relay".into(), "0.4".into()]);
        assert_eq!(table.render(Format::Text), "Speed\nsystem   µs\nrelay   0.4\n");
        assert_eq!(
            table.render(Format::Markdown),
            "### Speed\n\n| system |  µs |\n| ------ | ---:|\n| relay  | 0.4 |\n"
        );
    }

    #[test]
    fn rates_are_rounded_to_thousands() {
        assert_eq!(thousands(Some(1_269_700.0)), "1,270,000");
        assert_eq!(thousands(Some(2_004_400.0)), "2,004,000");
        assert_eq!(thousands(Some(230_499.0)), "230,000");
        assert_eq!(thousands(None), "–");
    }
}
