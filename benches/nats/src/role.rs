//! The processes of a run, all started from the runner's own executable: `nats-bench role load JOB`, `nats-bench role floor
//! JOB`, and those of the gateway benchmark.

use std::process::ExitCode;

use eventflux_benches::control::{Gate, emit, follow_runner};
use eventflux_benches::error::BenchError;
use eventflux_benches::role::ROLE_ARGUMENT;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::de::DeserializeOwned;

use crate::event::Event;
use crate::{floor, load};

/// The role of WebSocket clients that publish.
pub(crate) const LOAD: &str = "load";

/// The role of a client of NATS that publishes.
pub(crate) const FLOOR: &str = "floor";

/// Plays the role the arguments name; `None` when they name none and this process is a runner.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let played = match arguments[..] {
        [ROLE_ARGUMENT, LOAD, job] => play(job, load::run),
        [ROLE_ARGUMENT, FLOOR, job] => play(job, floor::run),
        _ => return eventflux_gateway_bench::role::dispatch(),
    };
    let Err(error) = played else { return Some(ExitCode::SUCCESS) };
    let _ = emit(&Event::Failed { reason: error.to_string() });
    Some(ExitCode::FAILURE)
}

fn play<T: DeserializeOwned>(job: &str, run: fn(&T, &Gate) -> Result<(), BenchError>) -> Result<(), BenchError> {
    // Even a runner that is killed leaves nothing behind.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| BenchError::io("asking to die with the runner")(error.into()))?;
    let job =
        serde_json::from_str(job).map_err(|error| BenchError::Usage(format!("not what a runner says: {error}")))?;
    run(&job, &follow_runner())?;
    // The end of standard input ends this process.
    loop {
        std::thread::park();
    }
}
