//! The processes of a wire run, all started from the runner's own executable: `wire-bench role NAME ...`.

use std::ffi::CString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity, set_name};

use super::counterpart::{self, CounterpartArgs};
use super::crowd::{self, CrowdArgs};
use super::event::Event;
use super::peers::{self, SystemArgs};
use crate::control::emit;
use crate::error::BenchError;
use crate::role::ROLE_ARGUMENT;

#[derive(Debug, Parser)]
#[command(name = ROLE_ARGUMENT, about = "One process of a benchmark run; started by the runner")]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The system under test.
    System(SystemArgs),
    /// The other end of its connection.
    Counterpart(CounterpartArgs),
    /// Many clients of it.
    Crowd(CrowdArgs),
}

/// Plays the role the arguments name; `None` when they name none and this process is a runner.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    if std::env::args().nth(1).as_deref() != Some(ROLE_ARGUMENT) {
        return None;
    }
    let role = Cli::parse_from(std::env::args().skip(1)).role;
    let Err(error) = play(&role) else {
        return Some(ExitCode::SUCCESS);
    };
    let reason = error.to_string();
    let _ = emit(&Event::Failed { reason });
    Some(ExitCode::FAILURE)
}

fn play(role: &Role) -> Result<(), BenchError> {
    // Even a runner that is killed leaves nothing behind.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| BenchError::io("asking to die with the runner")(error.into()))?;
    match role {
        Role::System(args) => {
            name_process(&args.system.name());
            keep_to_processor(Place::System);
            peers::run(args)
        }
        Role::Counterpart(args) => {
            name_process("counterpart");
            keep_to_processor(Place::Other);
            counterpart::run(args)
        }
        Role::Crowd(args) => {
            name_process("crowd");
            keep_to_processor(Place::Other);
            crowd::run(args)
        }
    }
}

/// Profilers and `top` tell the processes apart by this name; without it the benchmark works as well.
fn name_process(name: &str) {
    if let Ok(name) = CString::new(name) {
        let _ = set_name(&name);
    }
}

/// Where a process runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    System,
    Other,
}

/// Keeps the system and the others on processors of their own. The kernel does a part of a connection's work in the time
/// of whoever is on the processor where data arrives: the figures would depend on where the scheduler puts whom. Where
/// there is one processor only, all share it.
fn keep_to_processor(place: Place) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
    let chosen = match place {
        Place::System => processors.next_back(),
        Place::Other => processors.next(),
    };
    if let Some(processor) = chosen {
        let mut set = CpuSet::new();
        set.set(processor);
        // Without it the figures vary more; they are not wrong.
        let _ = sched_setaffinity(None, &set);
    }
}
