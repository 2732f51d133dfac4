//! What it costs to bring one message to many clients: EventFlux beside the gateways people use.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing its results is what a benchmark is for")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use eventflux_benches::error::BenchError;
use eventflux_benches::process::unless_interrupted;
use eventflux_benches::report::{Format, machine};
use eventflux_gateway_bench::Protocol;
use eventflux_gateway_bench::contestant::{Contestant, Installation, Program};
use eventflux_gateway_bench::role;
use eventflux_gateway_bench::run::{Row, allow_descriptors, interleaved};
use eventflux_gateway_bench::scenario::{Scenario, Size};
use eventflux_gateway_bench::table::table;

/// Exit status after an interrupt, as shells have it.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Parser)]
#[command(name = "gateway-bench", about = "Measures gateways: fan-out, latency, idle connections, filters")]
struct Cli {
    /// Run only these
    scenarios: Vec<Scenario>,
    /// Run only these programs; those that are not installed are skipped
    #[arg(long, value_delimiter = ',')]
    programs: Vec<Program>,
    /// What eventflux speaks to its clients; each is a row of its own
    #[arg(long, value_delimiter = ',', default_value = "raw,channels,analytics,events")]
    protocols: Vec<Protocol>,
    /// Seconds of each saturating run
    #[arg(long, default_value_t = 3)]
    saturated_seconds: u64,
    /// Messages that may be under way in a saturating run: published, and not delivered to everybody
    #[arg(long, default_value_t = 1_024)]
    window: u64,
    /// Idle connections
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Seconds of each paced run
    #[arg(long, default_value_t = 10)]
    paced_seconds: u64,
    /// Rounds; each runs every program once, and medians are quoted
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A smoke test: few clients, few messages, one round, whose figures mean nothing
    #[arg(long, conflicts_with_all = ["saturated_seconds", "window", "connections", "paced_seconds", "rounds"])]
    quick: bool,
    /// The eventflux binary; the one beside this executable by default
    #[arg(long, value_name = "PATH")]
    eventflux: Option<PathBuf>,
    /// Passed on to eventflux
    #[arg(long = "set", value_name = "STREAM.PROPERTY=VALUE")]
    settings: Vec<String>,
    /// Where the other programs are; where peers/install puts them by default
    #[arg(long, value_name = "DIRECTORY")]
    peers: Option<PathBuf>,
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
    allow_descriptors(size.connections)?;
    let installation = Installation::locate(cli.eventflux.as_deref(), &cli.settings, cli.peers.as_deref());
    let contestants = Contestant::all(&installed(cli, &installation), &cli.protocols);
    println!("{}", machine());
    println!("Messages of 200 bytes, median of {} interleaved rounds\n", size.rounds);
    let mut clean = true;
    for scenario in scenarios(cli, &contestants) {
        let rows = interleaved(scenario, &contestants, &installation, size).await;
        println!("{}", table(scenario, size, &rows).render(cli.format));
        clean &= rows.iter().all(Row::is_clean);
    }
    Ok(clean)
}

fn installed(cli: &Cli, installation: &Installation) -> Vec<Program> {
    let programs = if cli.programs.is_empty() { Program::value_variants() } else { &cli.programs };
    let is_there = |program: &Program| match installation.missing(*program) {
        None => true,
        Some(missing) => {
            eprintln!("Skipped {missing}");
            false
        }
    };
    programs.iter().copied().filter(is_there).collect()
}

/// The scenarios asked for in which somebody takes part.
fn scenarios(cli: &Cli, contestants: &[Contestant]) -> Vec<Scenario> {
    let scenarios = if cli.scenarios.is_empty() { Scenario::value_variants() } else { &cli.scenarios };
    let has_contestants = |scenario: &Scenario| {
        let fits = contestants.iter().any(|contestant| scenario.fits(contestant));
        if !fits {
            let needed = scenario.protocol().map_or_else(String::new, |protocol| {
                format!("; it needs eventflux with --protocols {}", protocol.name())
            });
            eprintln!("Skipped {}: no program takes part{needed}", scenario.name());
        }
        fits
    };
    scenarios.iter().copied().filter(has_contestants).collect()
}

fn size(cli: &Cli) -> Result<Size, BenchError> {
    if cli.quick {
        return Ok(Size::QUICK);
    }
    for (name, value) in [
        ("saturated-seconds", cli.saturated_seconds),
        ("window", cli.window),
        ("connections", cli.connections as u64),
        ("paced-seconds", cli.paced_seconds),
        ("rounds", cli.rounds as u64),
    ] {
        if value == 0 {
            return Err(BenchError::Usage(format!("--{name} 0: give 1 or more")));
        }
    }
    Ok(Size {
        saturated_ms: cli.saturated_seconds * 1_000,
        window: cli.window,
        connections: cli.connections,
        paced_seconds: cli.paced_seconds,
        rounds: cli.rounds,
        divisor: 1,
    })
}
