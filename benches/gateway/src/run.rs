//! Runs: one contestant in one variant of a scenario, and many of them in turn.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use eventflux_benches::system::role_command;
use eventflux_benches::usage;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::timeout;

use crate::contestant::{Contestant, Installation};
use crate::event::{Event, Report, next};
use crate::job::{Job, Task, Work};
use crate::memory::settled_bytes;
use crate::role::CROWD;
use crate::scenario::{Scenario, Size, Variant};

/// Longest run.
const DEADLINE: Duration = Duration::from_secs(300);

/// Longest wait for a gateway to end after the interrupt.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Descriptors besides those of connections.
const SPARE_DESCRIPTORS: u64 = 256;

/// What a run measured.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What the crowd saw.
    pub(crate) report: Report,
    /// Processor time of the gateway in the meantime, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Growth of the gateway's memory with each idle connection, in bytes.
    pub(crate) connection_bytes: f64,
}

/// One contestant in the rounds of one variant.
#[derive(Debug)]
pub struct Row {
    /// The contestant's name.
    pub name: String,
    /// The variant's label.
    pub variant: String,
    /// One for each round; `None` where the run failed.
    pub rounds: Vec<Option<Outcome>>,
}

impl Outcome {
    pub(crate) fn deliveries_per_second(&self) -> f64 {
        self.report.delivered as f64 * 1e9 / self.report.elapsed_ns.max(1) as f64
    }

    pub(crate) fn cpu_us_per_delivery(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.report.delivered.max(1) as f64
    }

    pub(crate) fn cpu_us_per_message(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.report.published.max(1) as f64
    }

    pub(crate) fn crowd_us_per_delivery(&self) -> f64 {
        self.report.crowd_cpu_ns as f64 / 1e3 / self.report.delivered.max(1) as f64
    }

    /// Share of the time in which the crowd was busy: near 1, it is what was measured.
    pub(crate) fn crowd_busy(&self) -> f64 {
        self.report.crowd_cpu_ns as f64 / self.report.elapsed_ns.max(1) as f64
    }
}

impl Row {
    /// Whether every round succeeded, and everything arrived in it as it should.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.rounds.iter().all(|outcome| outcome.as_ref().is_some_and(|outcome| outcome.report.is_clean()))
    }
}

/// Runs every contestant that fits once in each round and variant, telling each run's result on standard error.
pub async fn interleaved(
    scenario: Scenario,
    contestants: &[Contestant],
    installation: &Installation,
    size: Size,
) -> Vec<Row> {
    let fitting: Vec<&Contestant> = contestants.iter().filter(|contestant| scenario.fits(contestant)).collect();
    let variants = scenario.variants(size);
    let cases = fitting.iter().flat_map(|contestant| variants.iter().map(move |variant| (*contestant, variant)));
    let mut rows: Vec<(&Contestant, &Variant, Row)> = cases
        .map(|(contestant, variant)| {
            let row = Row { name: contestant.name.clone(), variant: variant.label.clone(), rounds: Vec::new() };
            (contestant, variant, row)
        })
        .collect();
    let rounds = scenario.rounds(size);
    for round in 1..=rounds {
        for (contestant, variant, row) in &mut rows {
            let outcome = measure(contestant, installation, variant.work).await;
            let result = outcome.as_ref().map_or_else(|error| format!("FAILED: {error}"), describe);
            let label = format!("{} {}", row.name, row.variant);
            eprintln!("{}, round {round}/{rounds}, {}: {result}", scenario.name(), label.trim_end());
            row.rounds.push(outcome.ok());
        }
    }
    rows.into_iter().map(|(_, _, row)| row).collect()
}

/// Raises the limit of open files of this process and those it starts, as far as `connections` need.
///
/// # Errors
/// When the hard limit is lower.
pub fn allow_descriptors(connections: usize) -> Result<(), BenchError> {
    let needed = connections as u64 + SPARE_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(BenchError::Usage(format!(
            "{connections} connections need {needed} open files: raise `ulimit -Hn`, or give fewer with --connections"
        )));
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .map_err(|error| BenchError::io("raising the limit of open files")(error.into()))
}

/// Measures a contestant once.
async fn measure(contestant: &Contestant, installation: &Installation, work: Work) -> Result<Outcome, BenchError> {
    let directory = tempfile::tempdir().map_err(BenchError::io("creating a directory"))?;
    let address = free_address()?;
    let command = contestant.command(installation, address, directory.path())?;
    let mut gateway = Process::spawn(&contestant.name, command)?;
    let job = Job { address, language: contestant.language(), entrance: None, work };
    let group = gateway.group();
    let reason = tokio::select! {
        outcome = timeout(DEADLINE, play(&job, group)) => match outcome {
            Ok(Ok(outcome)) => {
                // Its clients have gone; what it does now is not measured, and a gateway that hangs is killed.
                gateway.interrupt(STOP_DEADLINE).await?;
                return Ok(outcome);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not done within {} s", DEADLINE.as_secs()),
        },
        status = gateway.drain_until_exit() => format!("ended: {}", status?),
    };
    let stderr = gateway.last_words();
    Err(BenchError::System { system: contestant.name.clone(), reason, stderr })
}

/// Has a crowd do its job, and looks at the gateway before and after. The crowd is gone afterwards.
async fn play(job: &Job, gateway: Pid) -> Result<Outcome, BenchError> {
    let text = serde_json::to_string(job).map_err(|error| BenchError::Protocol(format!("encoding a job: {error}")))?;
    let mut command = role_command()?;
    command.args([CROWD, &text]);
    let mut crowd = Process::spawn("crowd", command)?;
    match next(&mut crowd).await? {
        Event::Ready => {}
        other => return Err(BenchError::Protocol(format!("not expected now: {other:?}"))),
    }
    let idle = matches!(job.work.task, Task::Idle { .. });
    let bytes_before = if idle { settled_bytes(gateway).await } else { 0 };
    let before = usage::sample(gateway);
    crowd.go().await?;
    let report = match next(&mut crowd).await? {
        Event::Done(report) => report,
        other => return Err(BenchError::Protocol(format!("not expected now: {other:?}"))),
    };
    let cpu_seconds = usage::sample(gateway).cpu_seconds - before.cpu_seconds;
    let connection_bytes = match job.work.task {
        Task::Idle { first } => {
            let grown = settled_bytes(gateway).await.saturating_sub(bytes_before);
            grown as f64 / job.work.subscribers.saturating_sub(first).max(1) as f64
        }
        Task::Saturate { .. } | Task::Pace { .. } => 0.0,
    };
    Ok(Outcome { report, cpu_seconds, connection_bytes })
}

/// An address nobody listens on. Not every gateway can choose one and tell which.
fn free_address() -> Result<SocketAddr, BenchError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(BenchError::io("looking for a free port"))
}

fn describe(outcome: &Outcome) -> String {
    let report = &outcome.report;
    if outcome.connection_bytes > 0.0 {
        return format!("{:.1} KiB per connection", outcome.connection_bytes / 1024.0);
    }
    let mut text = format!(
        "{:.0} deliveries/s, {:.3} µs CPU each, crowd {:.3} µs",
        outcome.deliveries_per_second(),
        outcome.cpu_us_per_delivery(),
        outcome.crowd_us_per_delivery()
    );
    if let Some(latency) = &report.latency {
        let milliseconds = |ns: u64| ns as f64 / 1e6;
        text.push_str(&format!(
            ", p50 {:.1} ms, p99 {:.1} ms",
            milliseconds(latency.p50_ns),
            milliseconds(latency.p99_ns)
        ));
    }
    if !report.is_clean() {
        text.push_str(&format!(
            ", NOT CLEAN: {} lost, {} misordered, {} misrouted, {} disconnected",
            report.lost(),
            report.misordered,
            report.misrouted,
            report.disconnected
        ));
        if let Some(farewell) = &report.farewell {
            text.push_str(&format!(" (the first {farewell})"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_per_delivery_and_per_message() {
        let report = Report {
            published: 10,
            expected: 1_000,
            delivered: 1_000,
            elapsed_ns: 1_000_000,
            crowd_cpu_ns: 500_000,
            ..Report::default()
        };
        let outcome = Outcome { report, cpu_seconds: 0.002, connection_bytes: 0.0 };
        assert_eq!(outcome.deliveries_per_second(), 1e6);
        assert_eq!(outcome.cpu_us_per_delivery(), 2.0);
        assert_eq!(outcome.cpu_us_per_message(), 200.0);
        assert_eq!(outcome.crowd_us_per_delivery(), 0.5);
        assert_eq!(outcome.crowd_busy(), 0.5);
    }

    #[test]
    fn a_failed_or_lossy_round_is_not_clean() {
        let row = |rounds| Row { name: "x".into(), variant: String::new(), rounds };
        assert!(row(vec![Some(Outcome::default())]).is_clean());
        assert!(!row(vec![Some(Outcome::default()), None]).is_clean());
        let lossy = Outcome { report: Report { expected: 1, ..Report::default() }, ..Outcome::default() };
        assert!(!row(vec![Some(lossy)]).is_clean());
    }
}
