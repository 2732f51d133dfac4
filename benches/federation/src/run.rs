//! Runs: one case, and all cases of a scenario in turn.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use eventflux_benches::system::{EventFlux, role_command};
use eventflux_benches::usage::{self, Usage};
use serde::Serialize;
use tokio::time::timeout;

use crate::job::End;
use crate::outcome::{Cost, Outcome, Row};
use crate::scenario::{Case, Scenario, Size, Work};
use crate::{pipelines, transfer};

/// Longest run.
const DEADLINE: Duration = Duration::from_secs(180);

/// Where the gateway benchmark puts other programs.
const NATS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/gateway-peers/debian/usr/sbin/nats-server");

/// What runs need besides this executable.
#[derive(Debug)]
pub struct Setup {
    eventflux: Result<EventFlux, String>,
    nats: PathBuf,
    /// Where what is durable is kept.
    disk: PathBuf,
    /// Which end listens; the other one connects.
    listens: End,
}

impl Setup {
    /// With the binaries at these places: by default `eventflux` beside this executable, and NATS where the gateway
    /// benchmark installs it.
    #[must_use]
    pub fn new(eventflux: Option<&Path>, nats: Option<&Path>, disk: Option<&Path>, sender_listens: bool) -> Self {
        Self {
            eventflux: EventFlux::locate(eventflux, &[]).map_err(|error| error.to_string()),
            nats: nats.map_or_else(|| NATS.into(), Path::to_path_buf),
            disk: disk.map_or_else(std::env::temp_dir, Path::to_path_buf),
            listens: if sender_listens { End::Sender } else { End::Receiver },
        }
    }

    /// Why a case cannot be run here, and what would help; `None` when it can.
    #[must_use]
    pub fn missing(&self, case: &Case) -> Option<String> {
        if case.needs_eventflux() {
            return self.eventflux.as_ref().err().cloned();
        }
        if self.listens == End::Sender && case.needs_a_sink_that_connects() {
            return Some(format!("{}: a sink that listens waits only for receivers that acknowledge", case.label));
        }
        (case.needs_nats() && !self.nats.is_file()).then(|| {
            let nats = self.nats.display();
            format!("{}: there is no {nats}; run `benches/gateway/peers/install nats`", case.label)
        })
    }

    pub(crate) fn eventflux(&self) -> Result<&EventFlux, BenchError> {
        self.eventflux.as_ref().map_err(|error| BenchError::Usage(error.clone()))
    }

    pub(crate) fn nats(&self) -> &Path {
        &self.nats
    }

    pub(crate) fn listens(&self) -> End {
        self.listens
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
            Work::Transfer(transfer) => transfer::measure(transfer, setup).await,
            Work::Ask { method, params, count } => pipelines::ask(*method, params, *count, setup).await,
            Work::Pipelines { link, messages } => pipelines::connect(link, *messages, setup).await,
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

/// What a process has cost since `before`.
pub(crate) fn cost_since(process: &Process, before: Usage) -> Cost {
    let now = usage::sample(process.group());
    Cost {
        // In a short run, threads that have ended may take more with them than the clock's ticks make up for.
        cpu_seconds: (now.cpu_seconds - before.cpu_seconds).max(0.0),
        peak_rss_bytes: now.peak_rss_bytes,
        rss_before_bytes: before.peak_rss_bytes,
    }
}

/// An address nobody listens on, for programs that cannot choose one and tell which.
pub(crate) fn free_address() -> Result<SocketAddr, BenchError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(BenchError::io("looking for a free port"))
}

fn describe(outcome: &Outcome) -> String {
    if outcome.latency.count > 0 {
        let us = |ns: u64| ns as f64 / 1e3;
        return format!("p50 {:.0} µs, p99 {:.0} µs", us(outcome.latency.p50_ns), us(outcome.latency.p99_ns));
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut text = format!(
        "{:.0} messages/s, {:.3} µs CPU each (sender {:.3}, receiver {:.3}), {:.1} and {:.1} MiB",
        outcome.per_second(),
        outcome.cpu_us(),
        outcome.each_us(outcome.sender),
        outcome.each_us(outcome.receiver),
        mib(outcome.sender.peak_rss_bytes),
        mib(outcome.receiver.peak_rss_bytes)
    );
    if !outcome.is_clean() {
        text.push_str(&format!(", NOT CLEAN: {} missing, repeated or out of order", outcome.wrong));
    }
    text
}
