//! What it costs to bring events from one process to another, and what acknowledgements add to that.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing its results is what a benchmark is for")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use eventflux_benches::error::BenchError;
use eventflux_benches::process::unless_interrupted;
use eventflux_benches::report::{Format, machine};
use eventflux_federation_bench::role;
use eventflux_federation_bench::run::{Setup, interleaved};
use eventflux_federation_bench::scenario::{Case, Scenario, Size};
use eventflux_federation_bench::table::table;

/// Exit status after an interrupt, as shells have it.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Parser)]
#[command(name = "link-bench", about = "Measures links between two processes: speed, cuts, memory, requests")]
struct Cli {
    /// Run only these
    scenarios: Vec<Scenario>,
    /// Run only the rows of these names
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    rows: Vec<String>,
    /// Messages of a run; a system that is slow by nature gets fewer
    #[arg(long, default_value_t = 2_000_000)]
    messages: u64,
    /// Requests of a run
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// Seconds for which the receiver takes nothing, where that is what is measured
    #[arg(long, default_value_t = 3)]
    stall_seconds: u64,
    /// Rounds; each runs every row once, and medians are quoted
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A smoke test: few messages, one round, whose figures mean nothing
    #[arg(long, conflicts_with_all = ["messages", "requests", "stall_seconds", "rounds"])]
    quick: bool,
    /// The sender listens, and the receiver connects, instead of the other way round
    #[arg(long)]
    sender_listens: bool,
    /// The eventflux binary; the one beside this executable by default
    #[arg(long, value_name = "PATH")]
    eventflux: Option<PathBuf>,
    /// The NATS server; where benches/gateway/peers/install puts it by default
    #[arg(long, value_name = "PATH")]
    nats: Option<PathBuf>,
    /// A directory on the disk for what is durable; that of temporary files by default
    #[arg(long, value_name = "DIRECTORY")]
    disk: Option<PathBuf>,
    /// How tables are printed
    #[arg(long, default_value = "markdown")]
    format: Format,
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

/// Runs everything asked for; whether all of it was clean.
async fn bench(cli: &Cli) -> Result<bool, BenchError> {
    if cfg!(debug_assertions) {
        eprintln!("This is a debug build: its figures mean nothing. Use cargo run --release.");
    }
    let size = size(cli)?;
    let setup = Setup::new(cli.eventflux.as_deref(), cli.nats.as_deref(), cli.disk.as_deref(), cli.sender_listens);
    println!("{}", machine());
    println!("Messages of 200 bytes, median of {} interleaved rounds\n", size.rounds);
    let scenarios = if cli.scenarios.is_empty() { Scenario::value_variants() } else { &cli.scenarios };
    let mut clean = true;
    for scenario in scenarios.iter().copied() {
        let cases = cases(scenario, size, cli, &setup);
        if cases.is_empty() {
            eprintln!("Skipped {}: it has no rows here", scenario.name());
            continue;
        }
        let rows = interleaved(scenario, &cases, &setup, size).await;
        println!("{}", table(scenario, size, &rows).render(cli.format));
        clean &= rows.iter().all(|row| row.is_clean());
    }
    Ok(clean)
}

/// The cases that were asked for and can be run here.
fn cases(scenario: Scenario, size: Size, cli: &Cli, setup: &Setup) -> Vec<Case> {
    let is_there = |case: &Case| match setup.missing(case) {
        None => true,
        Some(missing) => {
            eprintln!("Skipped {missing}");
            false
        }
    };
    let is_wanted = |case: &Case| cli.rows.is_empty() || cli.rows.contains(&case.label);
    scenario.cases(size).into_iter().filter(is_wanted).filter(is_there).collect()
}

fn size(cli: &Cli) -> Result<Size, BenchError> {
    if cli.quick {
        return Ok(Size::QUICK);
    }
    for (name, value) in [("messages", cli.messages), ("requests", cli.requests), ("rounds", cli.rounds as u64)] {
        if value == 0 {
            return Err(BenchError::Usage(format!("--{name} 0: give 1 or more")));
        }
    }
    Ok(Size { messages: cli.messages, requests: cli.requests, stall_ms: cli.stall_seconds * 1_000, rounds: cli.rounds })
}
