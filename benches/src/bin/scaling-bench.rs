//! How the cost of EventFlux grows with the work: pipelines in a process, queries on a stream, columns in
//! a message. Also the time from start to first event, and the size of the binary.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing its results is what a benchmark is for")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use eventflux_benches::error::BenchError;
use eventflux_benches::process::unless_interrupted;
use eventflux_benches::report::{Format, Table, curve_table, decimals, machine};
use eventflux_benches::role;
use eventflux_benches::run::{Plan, Start};
use eventflux_benches::scaling_sql::{self, Declared};
use eventflux_benches::series::{Case, Series, interleaved};
use eventflux_benches::system::EventFlux;
use tempfile::TempDir;

/// Exit status after an interrupt, as shells have it.
const INTERRUPTED: u8 = 130;

const PIPELINES: [usize; 3] = [1, 10, 100];
const QUERIES: [usize; 6] = [1, 2, 5, 10, 20, 50];
const COLUMNS: [usize; 4] = [5, 20, 50, 100];

/// Messages of a run that measures the time to the first one.
const STARTUP_MESSAGES: u64 = 1024;

#[derive(Debug, Parser)]
#[command(
    name = "scaling-bench",
    about = "Measures how the cost of EventFlux grows with pipelines, queries and columns"
)]
struct Cli {
    /// Messages in each run, over all its pipelines
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Rounds; each runs every case once, and medians are quoted
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Run only these curves
    #[arg(long, value_delimiter = ',')]
    only: Vec<Curve>,
    /// The eventflux binary; the one beside this executable by default
    #[arg(long, value_name = "PATH")]
    eventflux: Option<PathBuf>,
    /// Passed on to eventflux
    #[arg(long = "set", value_name = "STREAM.PROPERTY=VALUE")]
    settings: Vec<String>,
    /// How tables are printed
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Curve {
    /// 1 to 100 pipelines in one process.
    Pipelines,
    /// 1 to 50 queries on one stream.
    Queries,
    /// 5 to 100 columns in a message, of which 3 are used.
    Columns,
    /// Start to first event, and the size of the binary.
    Startup,
}

fn main() -> ExitCode {
    role::dispatch().unwrap_or_else(run)
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> ExitCode {
    let cli = Cli::parse();
    match unless_interrupted(bench(&cli)).await {
        Ok(Some(Ok(true))) => ExitCode::SUCCESS,
        Ok(Some(Ok(false))) => ExitCode::FAILURE,
        Ok(None) => ExitCode::from(INTERRUPTED),
        Ok(Some(Err(error))) | Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Runs every curve asked for; whether all runs were clean.
async fn bench(cli: &Cli) -> Result<bool, BenchError> {
    let eventflux = EventFlux::locate(cli.eventflux.as_deref(), &cli.settings)?;
    let directory = tempfile::tempdir().map_err(BenchError::io("creating a directory"))?;
    println!("{}\n", machine());
    let curves = if cli.only.is_empty() { Curve::value_variants() } else { &cli.only };
    let mut clean = true;
    for curve in curves {
        let cases = Cases { cli, eventflux: &eventflux, directory: &directory };
        let (title, cases) = match curve {
            Curve::Pipelines => ("Pipelines in one process", cases.pipelines()?),
            Curve::Queries => ("Queries on one stream", cases.queries()?),
            Curve::Columns => ("Columns in a message, three used", cases.columns()?),
            Curve::Startup => ("Start", cases.startup()?),
        };
        let series = interleaved(title, &cases, cli.rounds).await;
        let table = match curve {
            Curve::Startup => startup_table(&eventflux.binary, &series)?,
            _ => curve_table(title, &series),
        };
        println!("{}", table.render(cli.format));
        clean &= series.iter().all(Series::is_clean);
    }
    Ok(clean)
}

/// Builds the cases of each curve, and their SQL files.
struct Cases<'a> {
    cli: &'a Cli,
    eventflux: &'a EventFlux,
    directory: &'a TempDir,
}

impl Cases<'_> {
    fn pipelines(&self) -> Result<Vec<Case>, BenchError> {
        let case = |count: usize| {
            let plan = Plan { connections: count, ..Plan::saturating(self.cli.messages.div_ceil(count as u64)) };
            let label = counted(count, "pipeline", "pipelines");
            self.case(&label, &scaling_sql::pipelines(count), plan)
        };
        PIPELINES.into_iter().map(case).collect()
    }

    fn queries(&self) -> Result<Vec<Case>, BenchError> {
        let case = |count: usize| {
            let plan = Plan::saturating(self.cli.messages);
            let label = counted(count, "query", "queries");
            self.case(&label, &scaling_sql::queries(count), plan)
        };
        QUERIES.into_iter().map(case).collect()
    }

    fn columns(&self) -> Result<Vec<Case>, BenchError> {
        let case = |(count, declared): (usize, Declared)| {
            let plan = Plan { columns: Some(count), ..Plan::saturating(self.cli.messages) };
            let label = match declared {
                Declared::Used => format!("{count} columns, 3 declared"),
                Declared::All => format!("{count} columns, all declared"),
            };
            self.case(&label, &scaling_sql::columns(count, declared), plan)
        };
        let both = |count| [(count, Declared::Used), (count, Declared::All)];
        COLUMNS.into_iter().flat_map(both).map(case).collect()
    }

    fn startup(&self) -> Result<Vec<Case>, BenchError> {
        let plan = Plan { start: Start::AtOnce, ..Plan::saturating(STARTUP_MESSAGES) };
        Ok(vec![self.case("start", &scaling_sql::pipelines(1), plan)?])
    }

    fn case(&self, label: &str, sql: &str, plan: Plan) -> Result<Case, BenchError> {
        plan.validate()?;
        let file_name = format!("{}.sql", label.replace([' ', ','], "-"));
        let path = self.directory.path().join(file_name);
        fs::write(&path, sql).map_err(BenchError::io(format!("writing {}", path.display())))?;
        Ok(Case { label: label.to_owned(), system: self.eventflux.running("eventflux", &path), plan })
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn startup_table(binary: &Path, series: &[Series]) -> Result<Table, BenchError> {
    let size = fs::metadata(binary).map_err(BenchError::io(format!("measuring {}", binary.display())))?.len();
    let mut table = Table::new("Start", &["figure", "value"]);
    for series in series {
        let median = series.median(|run| run.first_event_ms);
        let worst = series.worst(|run| run.first_event_ms);
        table.row(vec!["start to first event at the collector, ms, median".into(), decimals(median, 1)]);
        table.row(vec!["the same, worst round".into(), decimals(worst, 1)]);
    }
    table.row(vec!["size of the binary, MB".into(), decimals(Some(size as f64 / 1e6), 1)]);
    Ok(table)
}
