//! Runs: one case, and all cases of a scenario in turn.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use eventflux_benches::system::{EventFlux, role_command};
use serde::Serialize;
use tokio::time::timeout;

use crate::outcome::{Outcome, Row};
use crate::scenario::{Case, Scenario, Size, Work};
use crate::{deposit, fan_out};

/// Longest run.
const DEADLINE: Duration = Duration::from_secs(180);

/// Where the gateway benchmark puts other programs.
const NATS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/gateway-peers/debian/usr/sbin/nats-server");

/// What it is called where the shell finds it.
const PROGRAM: &str = "nats-server";

/// What runs need besides this executable.
#[derive(Debug)]
pub struct Setup {
    eventflux: Result<EventFlux, String>,
    nats: Option<PathBuf>,
    /// Where streams are kept that are kept on disk.
    disk: PathBuf,
}

impl Setup {
    /// With the binaries at these places: by default `eventflux` beside this executable, and NATS where the gateway
    /// benchmark installs it or where the shell finds it.
    #[must_use]
    pub fn new(eventflux: Option<&Path>, settings: &[String], nats: Option<&Path>, disk: Option<&Path>) -> Self {
        Self {
            eventflux: EventFlux::locate(eventflux, settings).map_err(|error| error.to_string()),
            nats: nats.map_or_else(installed, |nats| Some(nats.to_path_buf()).filter(|nats| nats.is_file())),
            disk: disk.map_or_else(std::env::temp_dir, Path::to_path_buf),
        }
    }

    /// Why a case cannot be run here, and what would help; `None` when it can.
    #[must_use]
    pub fn missing(&self, case: &Case) -> Option<String> {
        if case.needs_eventflux()
            && let Err(missing) = &self.eventflux
        {
            return Some(missing.clone());
        }
        (case.needs_nats() && self.nats.is_none()).then(|| {
            let help = "name one with --nats, or run `benches/gateway/peers/install nats`";
            format!("{}: there is no nats-server; {help}", case.label)
        })
    }

    pub(crate) fn eventflux(&self) -> Result<&EventFlux, BenchError> {
        self.eventflux.as_ref().map_err(|error| BenchError::Usage(error.clone()))
    }

    pub(crate) fn nats(&self) -> Result<&Path, BenchError> {
        self.nats.as_deref().ok_or_else(|| BenchError::Usage("there is no nats-server".to_owned()))
    }

    /// A directory on the disk, for one run.
    pub(crate) fn directory(&self) -> Result<tempfile::TempDir, BenchError> {
        tempfile::tempdir_in(&self.disk)
            .map_err(BenchError::io(format!("creating a directory in {}", self.disk.display())))
    }
}

/// Runs every case once in each round, telling each run's result on standard error.
pub async fn interleaved(scenario: Scenario, cases: &[Case], setup: &Setup, size: Size) -> Vec<Row> {
    let mut rows: Vec<Row> = cases.iter().map(|case| Row { label: case.label.clone(), rounds: Vec::new() }).collect();
    for round in 1..=size.rounds {
        for (case, row) in cases.iter().zip(&mut rows) {
            let outcome = measure(case, setup).await;
            let result = outcome.as_ref().map_or_else(|error| format!("FAILED: {error}"), describe);
            eprintln!("{}, round {round}/{}, {}: {result}", scenario.name(), size.rounds, case.label);
            row.rounds.push(outcome.ok());
        }
    }
    rows
}

async fn measure(case: &Case, setup: &Setup) -> Result<Outcome, BenchError> {
    let measuring = async {
        match &case.work {
            Work::Deposit(deposit) => deposit::measure(deposit, setup).await,
            Work::FanOut(fan_out) => fan_out::measure(fan_out, setup).await,
        }
    };
    match timeout(DEADLINE, measuring).await {
        Ok(outcome) => outcome,
        Err(_) => Err(BenchError::Protocol(format!("not done within {} s", DEADLINE.as_secs()))),
    }
}

/// A process of this executable that plays a role.
pub(crate) fn start(name: &str, role: &str, task: &impl Serialize) -> Result<Process, BenchError> {
    let task = serde_json::to_string(task).map_err(|error| BenchError::Protocol(format!("encoding a job: {error}")))?;
    let mut command = role_command()?;
    command.args([role, &task]);
    Process::spawn(name, command)
}

/// An address nobody listens on, for programs that cannot choose one and tell which.
pub(crate) fn free_address() -> Result<SocketAddr, BenchError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(BenchError::io("looking for a free port"))
}

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM));
    std::iter::once(NATS.into()).chain(found).find(|file| file.is_file())
}

fn describe(outcome: &Outcome) -> String {
    let mut text = format!(
        "{:.0}/s, {:.3} µs CPU each ({:.3}, second {:.3}, server {:.3})",
        outcome.per_second(),
        outcome.cpu_us(),
        outcome.first_us(),
        outcome.second_us(),
        outcome.server_us()
    );
    if let Some(latency) = &outcome.latency {
        let milliseconds = |ns: u64| ns as f64 / 1e6;
        let (p50, p99) = (milliseconds(latency.p50_ns), milliseconds(latency.p99_ns));
        text.push_str(&format!(", p50 {p50:.1} ms, p99 {p99:.1} ms"));
    }
    if outcome.wrong > 0 {
        text.push_str(&format!(", NOT CLEAN: {} missing, repeated, changed or out of order", outcome.wrong));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_installed_is_named_with_what_would_help() {
        let nowhere = Some(Path::new("/nowhere"));
        let setup = Setup::new(nowhere, &[], nowhere, None);
        let missing = |scenario: Scenario, label: &str| {
            let case = scenario.cases(Size::QUICK).into_iter().find(|case| case.label == label);
            setup.missing(&case.unwrap()).unwrap()
        };
        assert!(missing(Scenario::StoreFile, "floor").contains("peers/install nats"));
        assert!(missing(Scenario::StoreFile, "eventflux").contains("cargo build"));
        assert!(missing(Scenario::GatewaysLatency, "embedded").contains("cargo build"));
    }
}
