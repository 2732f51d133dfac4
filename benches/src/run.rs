//! One run: start collector, feeder and system, let them work, measure, stop them.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::ValueEnum;
use tokio::process::Command;
use tokio::time::timeout;

use crate::clock::monotonic_ns;
use crate::control::{CollectorReport, Event};
use crate::error::BenchError;
use crate::process::Process;
use crate::system::{System, role_command};
use crate::usage::{self, Usage};
use crate::workload::{MAX_COLUMNS, MAX_MESSAGES};

/// Longest wait for a feeder or collector to listen, and for a system to connect to both.
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);

/// Longest wait for a system to end after the interrupt.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// A connection without progress for so long has lost what is still missing, in milliseconds.
const STALL_MS: u64 = 5_000;

/// Longest saturating run; one that makes progress but takes longer is given up.
const RUN_DEADLINE: Duration = Duration::from_secs(600);

/// Longest wait for a feeder to say that it has finished, once everything has arrived.
const FINISH_DEADLINE: Duration = Duration::from_secs(1);

/// What a run sends.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Messages on each connection.
    pub messages: u64,
    /// Connections from feeder to system, and from system to collector.
    pub connections: usize,
    /// Messages per second; as fast as possible when absent.
    pub rate: Option<NonZeroU64>,
    /// Columns of a wide message; a trade when absent.
    pub columns: Option<usize>,
    /// Arrivals that are not counted in the latency.
    pub warmup: u64,
    /// When the feeder begins.
    pub start: Start,
}

/// When the feeder begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// When the system has made all its connections, so that only the work is measured.
    WhenConnected,
    /// As soon as the system connects to the feeder, to measure the time from start to first event.
    AtOnce,
}

/// What a run measured.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Messages taken in per second, over all connections, from the first send to the last arrival.
    pub messages_per_second: f64,
    /// User and system time of the system for each message taken in, in microseconds.
    pub cpu_us_per_message: f64,
    /// Peak resident set, in bytes.
    pub peak_rss_bytes: u64,
    /// From starting the process to the first message at the collector, in milliseconds. Means
    /// something for [`Start::AtOnce`] only.
    pub first_event_ms: f64,
    /// What the collector saw.
    pub report: CollectorReport,
    /// How late the feeder was at worst in a paced run, in nanoseconds.
    pub feeder_lag_ns: Option<u64>,
    /// How the system ended, where that was not as it should.
    pub unclean_exit: Option<String>,
}

impl Outcome {
    /// Whether every message arrived once, in order, and with the right values.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.report.tally.is_clean() && self.report.wrong_values == 0 && self.unclean_exit.is_none()
    }
}

impl Plan {
    /// As many messages as possible over one connection each way.
    #[must_use]
    pub fn saturating(messages: u64) -> Self {
        Self { messages, connections: 1, rate: None, columns: None, warmup: 0, start: Start::WhenConnected }
    }

    /// Checks the limits of the workload.
    ///
    /// # Errors
    /// Names the option that is out of range.
    pub fn validate(&self) -> Result<(), BenchError> {
        if !(1..=MAX_MESSAGES).contains(&self.messages) {
            return Err(BenchError::Usage(format!(
                "{} messages on a connection: give 1 to {MAX_MESSAGES}",
                self.messages
            )));
        }
        if let Some(columns) = self.columns
            && !(3..=MAX_COLUMNS).contains(&columns)
        {
            return Err(BenchError::Usage(format!("{columns} columns: give 3 to {MAX_COLUMNS}")));
        }
        Ok(())
    }

    fn feeder(&self) -> Result<Command, BenchError> {
        let mut command = role_command()?;
        command.arg("feeder");
        option(&mut command, "--messages", self.messages);
        option(&mut command, "--connections", self.connections);
        if let Some(rate) = self.rate {
            option(&mut command, "--paced", rate);
        }
        if let Some(columns) = self.columns {
            option(&mut command, "--columns", columns);
        }
        Ok(command)
    }

    fn collector(&self, system: &System) -> Result<Command, BenchError> {
        let mut command = role_command()?;
        command.arg("collector");
        option(&mut command, "--messages", self.messages);
        option(&mut command, "--connections", self.connections);
        option(&mut command, "--warmup", self.warmup);
        option(&mut command, "--stall-ms", STALL_MS);
        if let Some(expect) = system.expect.to_possible_value() {
            option(&mut command, "--expect", expect.get_name());
        }
        if self.rate.is_some() {
            command.arg("--latency");
        }
        Ok(command)
    }

    fn deadline(&self) -> Duration {
        let paced = self.rate.map_or(0, |rate| self.messages / rate);
        RUN_DEADLINE + Duration::from_secs(paced)
    }
}

/// Measures `system` once.
///
/// # Errors
/// When a process cannot be started, does not connect, or fails; with the system's last words.
pub async fn measure(system: &System, plan: &Plan) -> Result<Outcome, BenchError> {
    plan.validate()?;
    let mut ends = Ends::start(system, plan).await?;
    if plan.start == Start::AtOnce {
        ends.go().await?;
    }
    let spawned_ns = monotonic_ns();
    let command = system.command(&ends.feed_url, &ends.out_url)?;
    let mut process = Process::spawn(&system.name, command)?;
    let connecting = timeout(CONNECT_DEADLINE, ends.connected(plan.connections));
    watched(system, &mut process, "connecting to feeder and collector", connecting).await?;
    let before = match plan.start {
        Start::AtOnce => Usage::default(),
        Start::WhenConnected => usage::sample(process.group()),
    };
    if plan.start == Start::WhenConnected {
        ends.go().await?;
    }
    let finishing = timeout(plan.deadline(), ends.finished());
    let Finished { started_ns, lag_ns, report } = watched(system, &mut process, "running", finishing).await?;
    let after = usage::sample(process.group());
    let unclean_exit = stop(system, &mut process).await?;
    let total = plan.messages as f64 * plan.connections as f64;
    let elapsed_ns = report.last_ns.saturating_sub(started_ns).max(1) as f64;
    Ok(Outcome {
        messages_per_second: total * 1e9 / elapsed_ns,
        cpu_us_per_message: (after.cpu_seconds - before.cpu_seconds) * 1e6 / total,
        peak_rss_bytes: after.peak_rss_bytes,
        first_event_ms: report.first_ns.saturating_sub(spawned_ns) as f64 / 1e6,
        feeder_lag_ns: plan.rate.and(lag_ns),
        unclean_exit,
        report,
    })
}

/// The two ends of a run.
struct Ends {
    feeder: Process,
    collector: Process,
    feed_url: String,
    out_url: String,
}

/// What the two ends said.
struct Finished {
    started_ns: u64,
    lag_ns: Option<u64>,
    report: CollectorReport,
}

impl Ends {
    async fn start(system: &System, plan: &Plan) -> Result<Self, BenchError> {
        let mut collector = Process::spawn("collector", plan.collector(system)?)?;
        let mut feeder = Process::spawn("feeder", plan.feeder()?)?;
        Ok(Self {
            feed_url: listening_url(&mut feeder).await?,
            out_url: listening_url(&mut collector).await?,
            feeder,
            collector,
        })
    }

    async fn go(&mut self) -> Result<(), BenchError> {
        self.collector.go().await?;
        self.feeder.go().await
    }

    async fn connected(&mut self, connections: usize) -> Result<(), BenchError> {
        for end in [&mut self.feeder, &mut self.collector] {
            while end.next_event().await? != (Event::Connected { count: connections }) {}
        }
        Ok(())
    }

    async fn finished(&mut self) -> Result<Finished, BenchError> {
        let started_ns = loop {
            if let Event::Started { at_ns } = self.feeder.next_event().await? {
                break at_ns;
            }
        };
        let report = loop {
            if let Event::Report(report) = self.collector.next_event().await? {
                break report;
            }
        };
        // With losses the feeder may never finish: then its lag stays unknown.
        let lag_ns = match timeout(FINISH_DEADLINE, self.feeder.next_event()).await {
            Ok(Ok(Event::Finished { worst_lag_ns, .. })) => Some(worst_lag_ns),
            _ => None,
        };
        Ok(Finished { started_ns, lag_ns, report })
    }
}

async fn listening_url(end: &mut Process) -> Result<String, BenchError> {
    match timeout(CONNECT_DEADLINE, end.next_event()).await {
        Ok(event) => match event? {
            Event::Listening { url } => Ok(url),
            other => Err(BenchError::Protocol(format!("too early: {other:?}"))),
        },
        Err(_) => Err(BenchError::Protocol("a feeder or collector did not start to listen".into())),
    }
}

/// Waits for a step of the run, and blames the system when it ends, or time does, or the step fails.
async fn watched<T>(
    system: &System,
    process: &mut Process,
    doing: &str,
    step: impl Future<Output = Result<Result<T, BenchError>, tokio::time::error::Elapsed>>,
) -> Result<T, BenchError> {
    let reason = tokio::select! {
        outcome = step => match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => format!("failed while {doing}: {error}"),
            Err(_) => format!("{doing} took longer than allowed"),
        },
        status = process.drain_until_exit() => {
            let reason = format!("ended while {doing}: {}", status?);
            let stderr = process.final_words().await;
            return Err(BenchError::System { system: system.name.clone(), reason, stderr });
        }
    };
    Err(BenchError::System { system: system.name.clone(), reason, stderr: process.last_words() })
}

async fn stop(system: &System, process: &mut Process) -> Result<Option<String>, BenchError> {
    let status = process.interrupt(STOP_DEADLINE).await?;
    Ok(match status {
        None => Some(format!("did not end within {} s of the interrupt", STOP_DEADLINE.as_secs())),
        Some(status) if system.ends_cleanly() && !status.success() => {
            Some(format!("ended with {status} after the interrupt; {}", process.final_words().await))
        }
        Some(_) => None,
    })
}

fn option(command: &mut Command, name: &str, value: impl ToString) {
    command.arg(name).arg(value.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_outside_the_workload_are_refused() {
        assert!(Plan::saturating(1).validate().is_ok());
        assert!(Plan::saturating(0).validate().is_err());
        assert!(Plan::saturating(MAX_MESSAGES + 1).validate().is_err());
        let narrow = Plan { columns: Some(2), ..Plan::saturating(1) };
        assert!(narrow.validate().is_err());
    }
}
