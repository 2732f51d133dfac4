//! The processes of a run, all started from the runner's own executable: `BINARY role NAME ...`.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::collector::{self, CollectorArgs};
use crate::control::{Event, emit};
use crate::error::BenchError;
use crate::feeder::{self, FeederArgs};
use crate::handwritten::{self, Decoder};
use crate::relay;

/// The first argument that makes a benchmark binary play a role.
pub const ROLE_ARGUMENT: &str = "role";

#[derive(Debug, Parser)]
#[command(name = ROLE_ARGUMENT, about = "One process of a benchmark run; started by the runner")]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Sends the messages.
    Feeder(FeederArgs),
    /// Receives and checks them.
    Collector(CollectorArgs),
    /// Passes every message on.
    Relay {
        /// URL of the feeder.
        feed: String,
        /// URL of the collector.
        out: String,
    },
    /// The benchmark's pipeline written by hand.
    Handwritten {
        /// The JSON library.
        #[arg(long)]
        decoder: Decoder,
        /// URL of the feeder.
        feed: String,
        /// URL of the collector.
        out: String,
    },
    /// Becomes another program that dies with the runner.
    Exec {
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

/// Plays the role the arguments name; `None` when they name none and this process is a runner.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let mut arguments = std::env::args();
    if arguments.nth(1).as_deref() != Some(ROLE_ARGUMENT) {
        return None;
    }
    let role = Cli::parse_from(std::env::args().skip(1)).role;
    let Err(error) = play(&role) else {
        return Some(ExitCode::SUCCESS);
    };
    // Feeder and collector speak to the runner in events, the systems by standard error.
    if matches!(role, Role::Feeder(_) | Role::Collector(_)) {
        let reason = error.to_string();
        let _ = emit(&Event::Failed { reason });
    } else {
        eprintln!("{error}");
    }
    Some(ExitCode::FAILURE)
}

fn play(role: &Role) -> Result<(), BenchError> {
    // Even a runner that is killed leaves nothing behind.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| BenchError::io("asking to die with the runner")(error.into()))?;
    match role {
        Role::Feeder(args) => feeder::run(args),
        Role::Collector(args) => collector::run(args),
        Role::Relay { feed, out } => block_on(relay::run(feed, out)),
        Role::Handwritten { decoder, feed, out } => block_on(handwritten::run(feed, out, *decoder)),
        Role::Exec { command } => exec(command),
    }
}

fn block_on(program: impl Future<Output = Result<(), BenchError>>) -> Result<(), BenchError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(BenchError::io("starting a runtime"))?
        .block_on(program)
}

fn exec(command: &[String]) -> Result<(), BenchError> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| BenchError::Usage("role exec: no program given".into()))?;
    // Returns only when it fails.
    let error = Command::new(program).args(arguments).exec();
    Err(BenchError::io(format!("starting {program}"))(error))
}
