//! The processes of a run, all started from the runner's own executable: `gateway-bench role crowd JOB`, and those that
//! any benchmark has.

use std::process::ExitCode;

use eventflux_benches::control::emit;
use eventflux_benches::error::BenchError;
use eventflux_benches::role::{self, ROLE_ARGUMENT};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::crowd;
use crate::event::Event;

/// The role that plays all clients of a gateway.
pub(crate) const CROWD: &str = "crowd";

/// Plays the role the arguments name; `None` when they name none and this process is a runner.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [ROLE_ARGUMENT, CROWD, job] = arguments[..] else {
        return role::dispatch();
    };
    let Err(error) = play(job) else {
        return Some(ExitCode::SUCCESS);
    };
    let reason = error.to_string();
    let _ = emit(&Event::Failed { reason });
    Some(ExitCode::FAILURE)
}

fn play(job: &str) -> Result<(), BenchError> {
    // Even a runner that is killed leaves no crowd behind.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| BenchError::io("asking to die with the runner")(error.into()))?;
    let job = serde_json::from_str(job).map_err(|error| BenchError::Usage(format!("no job of a crowd: {error}")))?;
    crowd::run(job)
}
