//! The processes of a run, all started from the runner's own executable: `gateway-bench role crowd JOB`, `gateway-bench role
//! guard PROGRAM ...`, and those that any benchmark has.

use std::io::{self, Read};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use eventflux_benches::control::emit;
use eventflux_benches::error::BenchError;
use eventflux_benches::role::{self, ROLE_ARGUMENT};
use rustix::process::{Signal, getpgrp, kill_process_group, set_parent_process_death_signal};

use crate::crowd;
use crate::event::Event;

/// The role that plays all clients of a gateway.
pub const CROWD: &str = "crowd";

/// The role that starts a gateway, and ends all of its processes when the runner is gone.
pub(crate) const GUARD: &str = "guard";

/// Plays the role the arguments name; `None` when they name none and this process is a runner.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [ROLE_ARGUMENT, CROWD, job] => Some(play(job).map_or_else(
            |error| {
                let reason = error.to_string();
                let _ = emit(&Event::Failed { reason });
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        )),
        [ROLE_ARGUMENT, GUARD, program, ref arguments @ ..] => {
            Some(guard(program, arguments).unwrap_or_else(|error| {
                eprintln!("{error}");
                ExitCode::FAILURE
            }))
        }
        _ => role::dispatch(),
    }
}

fn play(job: &str) -> Result<(), BenchError> {
    // Even a runner that is killed leaves no crowd behind.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| BenchError::io("asking to die with the runner")(error.into()))?;
    let job = serde_json::from_str(job).map_err(|error| BenchError::Usage(format!("no job of a crowd: {error}")))?;
    crowd::run(job)
}

/// Runs a program to its end, or to the end of standard input. A signal at the runner's death would not reach the
/// program's own children.
fn guard(program: &str, arguments: &[&str]) -> Result<ExitCode, BenchError> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .map_err(BenchError::io(format!("starting {program}")))?;
    thread::spawn(|| {
        while io::stdin().read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
        let _ = kill_process_group(getpgrp(), Signal::KILL);
    });
    let status = child.wait().map_err(BenchError::io(format!("waiting for {program}")))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
