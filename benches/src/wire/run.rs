//! Runs: one system in one scenario, and many of them in turn.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use rustix::process::Pid;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::crowd::WARM_UP_CONNECTIONS;
use super::event::{Done, Event, next};
use super::job::Side;
use super::messages::MESSAGE_BYTES;
use super::peers::{System, Task};
use super::plan::{Exchange, Scenario, Size};
use crate::error::BenchError;
use crate::process::Process;
use crate::system::role_command;

/// Longest run.
const DEADLINE: Duration = Duration::from_secs(120);

/// Time between two looks at a process's memory; it has settled when both see the same.
const SETTLING: Duration = Duration::from_millis(50);

/// What a run measured; of the two kinds of scenario, each has its own figures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Processor time for each message, in nanoseconds.
    pub cpu_ns: f64,
    /// Messages per second of wall time.
    pub per_second: f64,
    /// Bytes on the wire for each message.
    pub wire_bytes: f64,
    /// Resident memory for each connection, in bytes.
    pub connection_bytes: f64,
}

/// One system in the rounds of one scenario.
#[derive(Debug)]
pub struct Row {
    /// The system.
    pub system: System,
    /// One for each round; `None` where the run failed.
    pub rounds: Vec<Option<Figures>>,
}

/// Runs every system once in each round, telling failures on standard error. Memory does not vary: one round shows it.
pub async fn interleaved(scenario: Scenario, systems: &[System], size: Size) -> Vec<Row> {
    let fitting = systems.iter().filter(|system| scenario.fits(**system));
    let mut rows: Vec<Row> = fitting.map(|system| Row { system: *system, rounds: Vec::new() }).collect();
    let rounds = if scenario.exchange().is_some() { size.rounds } else { 1 };
    for round in 1..=rounds {
        for row in &mut rows {
            let figures = measure(scenario, row.system, size).await;
            if let Err(error) = &figures {
                eprintln!("{}, round {round}/{rounds}, {} FAILED: {error}", scenario.title(), row.system.name());
            }
            row.rounds.push(figures.ok());
        }
    }
    rows
}

/// Measures `system` once.
///
/// # Errors
/// When a process cannot be started or fails, when messages are lost or changed, or time runs out.
pub async fn measure(scenario: Scenario, system: System, size: Size) -> Result<Figures, BenchError> {
    let measuring = async {
        match scenario.exchange() {
            Some(exchange) => exchange_messages(system, exchange, size.messages).await,
            None => hold_connections(system, scenario.has_deflate(), size.connections).await,
        }
    };
    match timeout(DEADLINE, measuring).await {
        Ok(figures) => figures,
        Err(_) => Err(BenchError::Protocol(format!("not done within {} s", DEADLINE.as_secs()))),
    }
}

async fn exchange_messages(system: System, exchange: Exchange, messages: u64) -> Result<Figures, BenchError> {
    let messages = (messages / exchange.divisor).max(1);
    let (mut under_test, mut counterpart) = start(system, exchange, messages).await?;
    for process in [&mut under_test, &mut counterpart] {
        ready(process).await?;
    }
    // Who receives goes first, so that nobody's time counts before the other is there.
    if exchange.task == Task::Receive {
        under_test.go().await?;
        counterpart.go().await?;
    } else {
        counterpart.go().await?;
        under_test.go().await?;
    }
    let (measured, passed) = (done(&mut under_test).await?, done(&mut counterpart).await?);
    let complete = Done { messages, bytes: messages * MESSAGE_BYTES as u64, ..measured };
    if measured != complete || passed.messages != messages {
        return Err(BenchError::Protocol(format!("{messages} messages became {measured:?} and {passed:?}")));
    }
    let each = |total: u64| total as f64 / messages as f64;
    Ok(Figures {
        cpu_ns: each(measured.cpu_ns),
        per_second: 1e9 / each(measured.elapsed_ns.max(1)),
        wire_bytes: each(passed.bytes),
        ..Figures::default()
    })
}

/// Starts both processes: first the one that listens, then the one that connects.
async fn start(system: System, exchange: Exchange, messages: u64) -> Result<(Process, Process), BenchError> {
    let under_test = |connect| system_command(system, exchange, messages, connect);
    let counterpart = |connect| counterpart_command(exchange, messages, connect);
    match exchange.side {
        Side::Server => {
            let (under_test, address) = listening("system", under_test(None)?).await?;
            Ok((under_test, Process::spawn("counterpart", counterpart(Some(address))?)?))
        }
        Side::Client => {
            let (counterpart, address) = listening("counterpart", counterpart(None)?).await?;
            Ok((Process::spawn("system", under_test(Some(address))?)?, counterpart))
        }
    }
}

async fn hold_connections(system: System, deflate: bool, connections: usize) -> Result<Figures, BenchError> {
    let total = connections + WARM_UP_CONNECTIONS;
    let echo = Exchange { task: Task::Echo, side: Side::Server, batch: 1, deflate, divisor: 1 };
    let mut command = system_command(system, echo, 0, None)?;
    option(&mut command, "--connections", total);
    let (under_test, address) = listening("system", command).await?;
    let mut command = role_command()?;
    command.arg("crowd");
    option(&mut command, "--connections", total);
    job_options(&mut command, Side::Client, echo, 0, Some(address));
    let mut crowd = Process::spawn("crowd", command)?;
    ready(&mut crowd).await?;
    let before = settled_resident_bytes(under_test.group()).await?;
    crowd.go().await?;
    ready(&mut crowd).await?;
    let after = settled_resident_bytes(under_test.group()).await?;
    let grown = after.saturating_sub(before) as f64;
    Ok(Figures { connection_bytes: grown / connections as f64, ..Figures::default() })
}

fn system_command(
    system: System,
    exchange: Exchange,
    messages: u64,
    connect: Option<SocketAddr>,
) -> Result<Command, BenchError> {
    let mut command = role_command()?;
    command.arg("system");
    option(&mut command, "--system", system.name());
    value_option(&mut command, "--task", exchange.task);
    job_options(&mut command, exchange.side, exchange, messages, connect);
    Ok(command)
}

fn counterpart_command(exchange: Exchange, messages: u64, connect: Option<SocketAddr>) -> Result<Command, BenchError> {
    let mut command = role_command()?;
    command.args(["counterpart", "--part", if exchange.task == Task::Receive { "feed" } else { "drain" }]);
    job_options(&mut command, exchange.side.opposite(), exchange, messages, connect);
    Ok(command)
}

fn job_options(command: &mut Command, side: Side, exchange: Exchange, messages: u64, connect: Option<SocketAddr>) {
    value_option(command, "--side", side);
    option(command, "--messages", messages);
    option(command, "--batch", exchange.batch);
    if let Some(address) = connect {
        option(command, "--connect", address);
    }
    if exchange.deflate {
        command.arg("--deflate");
    }
}

fn option(command: &mut Command, name: &str, value: impl ToString) {
    command.arg(name).arg(value.to_string());
}

fn value_option(command: &mut Command, name: &str, value: impl ValueEnum) {
    if let Some(value) = value.to_possible_value() {
        command.arg(name).arg(value.get_name());
    }
}

async fn listening(name: &str, command: Command) -> Result<(Process, SocketAddr), BenchError> {
    let mut process = Process::spawn(name, command)?;
    match next(&mut process).await? {
        Event::Listening { address } => Ok((process, address)),
        other => Err(too_early(&other)),
    }
}

async fn ready(process: &mut Process) -> Result<(), BenchError> {
    match next(process).await? {
        Event::Ready { .. } => Ok(()),
        other => Err(too_early(&other)),
    }
}

async fn done(process: &mut Process) -> Result<Done, BenchError> {
    match next(process).await? {
        Event::Done(done) => Ok(done),
        other => Err(too_early(&other)),
    }
}

fn too_early(event: &Event) -> BenchError {
    BenchError::Protocol(format!("not expected now: {event:?}"))
}

/// The resident memory of a process once it no longer changes.
async fn settled_resident_bytes(process: Pid) -> Result<u64, BenchError> {
    let mut last = resident_bytes(process)?;
    loop {
        sleep(SETTLING).await;
        let now = resident_bytes(process)?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
}

/// `RssAnon` of `/proc/PID/status`: what the process allocated, without the pages of its program file.
fn resident_bytes(process: Pid) -> Result<u64, BenchError> {
    let path = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = fs::read_to_string(&path).map_err(BenchError::io(format!("reading {path}")))?;
    parse_resident(&status).ok_or_else(|| BenchError::Protocol(format!("{path} has no RssAnon")))
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_resident_memory() {
        assert_eq!(parse_resident("VmRSS:\t 9 kB\nRssAnon:\t    1234 kB\n"), Some(1234 * 1024));
        assert_eq!(parse_resident("Name:\tx\n"), None);
    }
}
