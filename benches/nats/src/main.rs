//! What EventFlux costs between WebSockets and NATS, beside NATS without it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing its results is what a benchmark is for")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use eventflux_benches::error::BenchError;
use eventflux_benches::process::unless_interrupted;
use eventflux_benches::report::{Format, machine};
use eventflux_gateway_bench::run::allow_descriptors;
use eventflux_nats_bench::role;
use eventflux_nats_bench::run::{Setup, interleaved};
use eventflux_nats_bench::scenario::{Case, Scenario, Size};
use eventflux_nats_bench::table::table;

/// Exit status after an interrupt, as shells have it.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Parser)]
#[command(name = "nats-bench", about = "Measures NATS behind WebSockets: storing, fan-out, several gateways")]
struct Cli {
    /// Run only these
    scenarios: Vec<Scenario>,
    /// Run only the rows of these names
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    rows: Vec<String>,
    /// Messages that are stored in a run
    #[arg(long, default_value_t = 400_000)]
    messages: u64,
    /// Most messages that were published to a stream and are not confirmed
    #[arg(long, default_value_t = 1_024)]
    in_flight: usize,
    /// Clients that subscribe
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// Seconds of each saturating run
    #[arg(long, default_value_t = 3)]
    saturated_seconds: u64,
    /// Messages that may be under way in a saturating run: published, and not delivered to everybody
    #[arg(long, default_value_t = 1_024)]
    window: u64,
    /// Seconds of each paced run
    #[arg(long, default_value_t = 10)]
    paced_seconds: u64,
    /// Rounds; each runs every row once, and medians are quoted
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A smoke test: few messages and clients, one round, whose figures mean nothing
    #[arg(
        long,
        conflicts_with_all = ["messages", "in_flight", "subscribers", "saturated_seconds", "window", "paced_seconds", "rounds"]
    )]
    quick: bool,
    /// The eventflux binary; the one beside this executable by default
    #[arg(long, value_name = "PATH")]
    eventflux: Option<PathBuf>,
    /// Passed on to eventflux
    #[arg(long = "set", value_name = "STREAM.PROPERTY=VALUE")]
    settings: Vec<String>,
    /// The NATS server; by default the one that benches/gateway/peers/install has put into place, or that the shell finds
    #[arg(long, value_name = "PATH")]
    nats: Option<PathBuf>,
    /// A directory on the disk for streams; that of temporary files by default
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
    allow_descriptors(size.subscribers)?;
    let setup = Setup::new(cli.eventflux.as_deref(), &cli.settings, cli.nats.as_deref(), cli.disk.as_deref());
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
    for (name, value) in [
        ("messages", cli.messages),
        ("in-flight", cli.in_flight as u64),
        ("subscribers", cli.subscribers as u64),
        ("saturated-seconds", cli.saturated_seconds),
        ("window", cli.window),
        ("paced-seconds", cli.paced_seconds),
        ("rounds", cli.rounds as u64),
    ] {
        if value == 0 {
            return Err(BenchError::Usage(format!("--{name} 0: give 1 or more")));
        }
    }
    Ok(Size {
        messages: cli.messages,
        in_flight: cli.in_flight,
        subscribers: cli.subscribers,
        saturated_ms: cli.saturated_seconds * 1_000,
        window: cli.window,
        paced_seconds: cli.paced_seconds,
        rounds: cli.rounds,
    })
}
