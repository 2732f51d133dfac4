//! The processes of a run, all started from the runner's own executable: `link-bench role end JOB`, `link-bench role ask
//! QUESTIONS`, and those that any benchmark has.

use std::process::ExitCode;

use eventflux_benches::control::{emit, follow_runner};
use eventflux_benches::error::BenchError;
use eventflux_benches::role::{self, ROLE_ARGUMENT};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::de::DeserializeOwned;

use crate::event::Event;
use crate::job::{Job, Questions};
use crate::system::System;
use crate::{ask, floor, nats, ours};

/// The role that is one end.
pub(crate) const END: &str = "end";

/// The role that asks.
pub(crate) const ASK: &str = "ask";

/// The role that sends back what it gets.
pub(crate) const ECHO: &str = "echo";

/// Plays the role the arguments name; `None` when they name none and this process is a runner.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let played = match arguments[..] {
        [ROLE_ARGUMENT, END, job] => parse(job).and_then(|job| play(&job)),
        [ROLE_ARGUMENT, ASK, questions] => parse(questions).and_then(|questions| interview(&questions)),
        [ROLE_ARGUMENT, ECHO, ..] => echo(),
        _ => return role::dispatch(),
    };
    let Err(error) = played else { return Some(ExitCode::SUCCESS) };
    let _ = emit(&Event::Failed { reason: error.to_string() });
    Some(ExitCode::FAILURE)
}

fn play(job: &Job) -> Result<(), BenchError> {
    die_with_runner()?;
    let gate = follow_runner();
    match job.system {
        System::Floor => floor::run(job, &gate),
        system if system.has_broker() => nats::run(job, &gate),
        _ => ours::run(job, &gate),
    }
}

fn interview(questions: &Questions) -> Result<(), BenchError> {
    die_with_runner()?;
    ask::run(questions, &follow_runner())
}

fn echo() -> Result<(), BenchError> {
    die_with_runner()?;
    // The end of standard input ends this process.
    let _gate = follow_runner();
    floor::echo()
}

/// Even a runner that is killed leaves nothing behind.
fn die_with_runner() -> Result<(), BenchError> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| BenchError::io("asking to die with the runner")(error.into()))
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, BenchError> {
    serde_json::from_str(text).map_err(|error| BenchError::Usage(format!("not what a runner says: {error}")))
}
