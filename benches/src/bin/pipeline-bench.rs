//! Throughput, cost, memory, loss and latency of the benchmark's pipeline, side by side: EventFlux,
//! the same pipeline written by hand, a do-nothing relay, and any command given.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing its results is what a benchmark is for")]

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use eventflux_benches::error::BenchError;
use eventflux_benches::process::unless_interrupted;
use eventflux_benches::report::{Format, latency_table, machine, throughput_table};
use eventflux_benches::role;
use eventflux_benches::run::Plan;
use eventflux_benches::series::{Case, Series, interleaved};
use eventflux_benches::system::{EventFlux, System};

/// The pipeline file, beside this package's manifest.
const PIPELINE_SQL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pipeline.sql");

/// Exit status after an interrupt, as shells have it.
const INTERRUPTED: u8 = 130;

/// One in so many messages of a latency run is warm-up.
const WARMUP_DIVISOR: u64 = 20;

#[derive(Debug, Parser)]
#[command(
    name = "pipeline-bench",
    about = "Measures the trade pipeline (parse, filter half, cast two columns, encode) over WebSockets"
)]
struct Cli {
    /// Messages in each throughput run
    #[arg(long, default_value_t = 3_000_000)]
    messages: u64,
    /// Rounds; each runs every system once, and medians are quoted
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Rates of the latency runs, in messages per second
    #[arg(long, value_name = "RATE", value_delimiter = ',', default_value = "1000,10000")]
    paced: Vec<NonZeroU64>,
    /// Length of each latency run, in seconds
    #[arg(long, default_value_t = 10)]
    paced_seconds: u64,
    /// Run only this part
    #[arg(long)]
    only: Option<Part>,
    /// Systems: relay, handwritten, handwritten-serde, eventflux
    #[arg(long, value_delimiter = ',', default_value = "relay,handwritten,eventflux")]
    systems: Vec<String>,
    /// A further system: a shell command with {feed} and {out} for the two URLs
    #[arg(long = "command", value_name = "NAME=COMMAND")]
    commands: Vec<String>,
    /// The eventflux binary; the one beside this executable by default
    #[arg(long, value_name = "PATH")]
    eventflux: Option<PathBuf>,
    /// The pipeline that eventflux runs
    #[arg(long, value_name = "FILE", default_value = PIPELINE_SQL)]
    sql: PathBuf,
    /// Passed on to eventflux
    #[arg(long = "set", value_name = "STREAM.PROPERTY=VALUE")]
    settings: Vec<String>,
    /// How tables are printed
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// As fast as possible.
    Throughput,
    /// At fixed rates.
    Paced,
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

fn main() -> ExitCode {
    role::dispatch().unwrap_or_else(run)
}

/// Runs everything asked for; whether all of it was clean.
async fn bench(cli: &Cli) -> Result<bool, BenchError> {
    if cfg!(debug_assertions) {
        eprintln!("This is a debug build: its figures mean nothing. Use cargo run --release.");
    }
    let systems = systems(cli)?;
    println!("{}\n", machine());
    let mut clean = true;
    if cli.only != Some(Part::Paced) {
        let plan = Plan::saturating(cli.messages);
        let series = rounds(cli, "throughput", &systems, plan).await?;
        let title = format!("Throughput: {} messages, median of {} interleaved rounds", cli.messages, cli.rounds);
        println!("{}", throughput_table(&title, &series).render(cli.format));
        clean &= series.iter().all(Series::is_clean);
    }
    let rates = if cli.only == Some(Part::Throughput) { &[] } else { &cli.paced[..] };
    for rate in rates {
        let messages = rate.get().saturating_mul(cli.paced_seconds);
        let plan = Plan {
            rate: Some(*rate),
            // The first arrivals warm caches and branch predictors up.
            warmup: messages / WARMUP_DIVISOR,
            ..Plan::saturating(messages)
        };
        let series = rounds(cli, &format!("paced at {rate}/s"), &systems, plan).await?;
        let title = format!(
            "Latency at {rate} messages/s for {} s, median of {} interleaved rounds (max: of all)",
            cli.paced_seconds, cli.rounds
        );
        println!("{}", latency_table(&title, &series).render(cli.format));
        clean &= series.iter().all(Series::is_clean);
    }
    Ok(clean)
}

async fn rounds(cli: &Cli, title: &str, systems: &[System], plan: Plan) -> Result<Vec<Series>, BenchError> {
    plan.validate()?;
    let cases: Vec<Case> =
        systems.iter().map(|system| Case { label: system.name.clone(), system: system.clone(), plan }).collect();
    Ok(interleaved(title, &cases, cli.rounds).await)
}

/// The systems asked for; without an `eventflux` binary, that one is skipped with a message.
fn systems(cli: &Cli) -> Result<Vec<System>, BenchError> {
    let mut systems = Vec::new();
    for name in &cli.systems {
        if name == "eventflux" {
            match EventFlux::locate(cli.eventflux.as_deref(), &cli.settings) {
                Ok(eventflux) => systems.push(eventflux.running(name, &cli.sql)),
                Err(error) => eprintln!("Skipped {error}"),
            }
        } else {
            systems.push(System::built_in(name).ok_or_else(|| {
                BenchError::Usage(format!(
                    "--systems {name}: there is relay, handwritten, handwritten-serde and \
                     eventflux; add others with --command"
                ))
            })?);
        }
    }
    for definition in &cli.commands {
        systems.push(System::external(definition)?);
    }
    Ok(systems)
}
