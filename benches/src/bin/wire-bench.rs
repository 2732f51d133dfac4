//! What a WebSocket message and an idle connection cost, library against library: this project's layer, the other Rust
//! libraries, and no library at all.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing its results is what a benchmark is for")]

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use eventflux_benches::error::BenchError;
use eventflux_benches::process::unless_interrupted;
use eventflux_benches::report::{Format, machine};
use eventflux_benches::wire::peers::System;
use eventflux_benches::wire::plan::{Scenario, Size};
use eventflux_benches::wire::role;
use eventflux_benches::wire::run::interleaved;
use eventflux_benches::wire::table::table;

/// Exit status after an interrupt, as shells have it.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Parser)]
#[command(name = "wire-bench", about = "Measures WebSocket libraries: messages received and sent, idle connections")]
struct Cli {
    /// Messages in each run; where a message costs more, a half or a fifth of it
    #[arg(long, default_value_t = 2_000_000)]
    messages: u64,
    /// Idle connections
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Rounds; each runs every system once, and medians are quoted
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// A smoke test: one short round, whose figures mean nothing
    #[arg(long, conflicts_with_all = ["messages", "connections", "rounds"])]
    quick: bool,
    /// Run only these scenarios
    #[arg(long, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Run only these systems
    #[arg(long, value_delimiter = ',')]
    systems: Vec<System>,
    /// How tables are printed
    #[arg(long, default_value = "text")]
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

/// Runs everything asked for; whether all of it succeeded.
async fn bench(cli: &Cli) -> Result<bool, BenchError> {
    if cfg!(debug_assertions) {
        eprintln!("This is a debug build: its figures mean nothing. Use cargo run --release.");
    }
    let size = size(cli)?;
    let scenarios = if cli.only.is_empty() { Scenario::value_variants() } else { &cli.only };
    let systems = if cli.systems.is_empty() { System::value_variants() } else { &cli.systems };
    println!("{}", machine());
    println!("Messages of 170 bytes; {} in a run, median of {} interleaved rounds\n", size.messages, size.rounds);
    let mut succeeded = true;
    for scenario in scenarios {
        let rows = interleaved(*scenario, systems, size).await;
        println!("{}", table(*scenario, &rows).render(cli.format));
        succeeded &= rows.iter().all(|row| row.rounds.iter().all(Option::is_some));
    }
    Ok(succeeded)
}

fn size(cli: &Cli) -> Result<Size, BenchError> {
    if cli.quick {
        return Ok(Size::QUICK);
    }
    for (name, value) in
        [("messages", cli.messages), ("connections", cli.connections as u64), ("rounds", cli.rounds as u64)]
    {
        if value == 0 {
            return Err(BenchError::Usage(format!("--{name} 0: give 1 or more")));
        }
    }
    Ok(Size { messages: cli.messages, connections: cli.connections, rounds: cli.rounds })
}
