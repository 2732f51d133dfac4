//! Runs with the `eventflux` binary: pipelines in SQL at one or both ends.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use eventflux_benches::clock::monotonic_ns;
use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use eventflux_benches::system::role_command;
use eventflux_benches::usage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::event::{Event, next, unexpected};
use crate::job::Questions;
use crate::outcome::Outcome;
use crate::role::{ASK, ECHO};
use crate::run::{Setup, cost_since, free_address, start};
use crate::scenario::REQUEST_RATE;

/// The pipelines.
const PIPELINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");

/// What they take from their environment.
const LISTEN: &str = "LINK_BENCH_LISTEN";
const URL: &str = "LINK_BENCH_URL";
const LINK: &str = "LINK_BENCH_LINK";
const COUNT: &str = "LINK_BENCH_COUNT";

/// Between two looks at how far a pipeline is.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Longest wait for a pipeline to start, and to answer about itself.
const DEADLINE: Duration = Duration::from_secs(10);

/// What counts the events that a pipeline has received.
const RECEIVED: &str = "eventflux_source_events_total{";

/// From a generator over a link to a blackhole.
pub(crate) async fn connect(link: &str, messages: u64, setup: &Setup) -> Result<Outcome, BenchError> {
    let (address, admin) = (free_address()?, free_address()?);
    let variables = [(LISTEN, address.to_string()), (LINK, link.to_owned())];
    let mut receiver = pipeline("receiver.sql", setup, &variables, Some(admin))?;
    let answers = async {
        while events(admin).await.is_err() {
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    };
    while_running(&mut receiver, answers).await?;
    let variables = [(URL, format!("ws://{address}/")), (LINK, link.to_owned()), (COUNT, messages.to_string())];
    let mut sender = pipeline("sender.sql", setup, &variables, None)?;
    let first = while_running(&mut sender, reach(admin, 1)).await?;
    let (start_ns, before) = (monotonic_ns(), [&sender, &receiver].map(|process| usage::sample(process.group())));
    let last = reach(admin, messages).await?;
    let elapsed_ns = monotonic_ns() - start_ns;
    Ok(Outcome {
        messages: messages - first,
        elapsed_ns,
        sender: cost_since(&sender, before[0]),
        receiver: cost_since(&receiver, before[1]),
        wrong: last.abs_diff(messages),
        ..Outcome::default()
    })
}

/// Asks a pipeline, or who just echoes.
pub(crate) async fn ask(method: Option<&str>, params: &str, count: u64, setup: &Setup) -> Result<Outcome, BenchError> {
    let (answerer, url) = match method {
        Some(_) => answerer(setup).await?,
        None => echo().await?,
    };
    let (method, params) = (method.map(str::to_owned), params.to_owned());
    let questions = Questions { url, method, params, count, per_second: REQUEST_RATE };
    let mut asker = start("asker", ASK, &questions)?;
    match next(&mut asker).await? {
        Event::Ready => {}
        other => return Err(unexpected(&other)),
    }
    let before = [&asker, &answerer].map(|process| usage::sample(process.group()));
    asker.go().await?;
    match next(&mut asker).await? {
        Event::Answered { latency } => Ok(Outcome {
            messages: count,
            sender: cost_since(&asker, before[0]),
            receiver: cost_since(&answerer, before[1]),
            latency,
            ..Outcome::default()
        }),
        other => Err(unexpected(&other)),
    }
}

/// A pipeline that answers, and where it listens.
async fn answerer(setup: &Setup) -> Result<(Process, String), BenchError> {
    let address = free_address()?;
    let mut answerer = pipeline("answerer.sql", setup, &[(LISTEN, address.to_string())], None)?;
    let listening = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    };
    while_running(&mut answerer, listening).await?;
    Ok((answerer, format!("ws://{address}/")))
}

/// A process that echoes, and where it listens.
async fn echo() -> Result<(Process, String), BenchError> {
    let mut echo = start("echo", ECHO, &())?;
    match next(&mut echo).await? {
        Event::Listening { url } => Ok((echo, url)),
        other => Err(unexpected(&other)),
    }
}

fn pipeline(
    file: &str,
    setup: &Setup,
    variables: &[(&str, String)],
    admin: Option<SocketAddr>,
) -> Result<Process, BenchError> {
    let mut command = role_command()?;
    command.args(["exec", "--"]).arg(&setup.eventflux()?.binary).arg("--quiet").arg("run");
    command.args(admin.iter().flat_map(|admin| ["--admin".to_owned(), admin.to_string()]));
    command.arg(Path::new(PIPELINES).join(file)).envs(variables.iter().map(|(name, value)| (name, value)));
    Process::spawn(file, command)
}

/// Waits until a pipeline has received so many events; how many they are then.
async fn reach(admin: SocketAddr, count: u64) -> Result<u64, BenchError> {
    loop {
        let events = events(admin).await?;
        if events >= count {
            return Ok(events);
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Events that a pipeline has received.
async fn events(admin: SocketAddr) -> Result<u64, BenchError> {
    let asking = async {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = timeout(DEADLINE, asking).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let answer = answer.map_err(BenchError::io("asking a pipeline about itself"))?;
    received(&answer).ok_or_else(|| BenchError::Protocol(format!("no {RECEIVED} in the metrics")))
}

/// The sum over all streams.
fn received(metrics: &str) -> Option<u64> {
    let lines = metrics.lines().filter(|line| line.starts_with(RECEIVED));
    lines.map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// Does `work` as long as a pipeline runs, which has to do its part in time.
async fn while_running<T>(
    process: &mut Process,
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    let reason = tokio::select! {
        done = timeout(DEADLINE, work) => match done {
            Ok(done) => return done,
            Err(_) => format!("has not started within {} s", DEADLINE.as_secs()),
        },
        status = process.drain_until_exit() => format!("ended: {}", status?),
    };
    Err(BenchError::System { system: "eventflux".to_owned(), reason, stderr: process.final_words().await })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_all_streams_are_counted() {
        let text = "# TYPE eventflux_source_events_total counter\n\
            eventflux_source_events_total{stream=\"a\"} 7\neventflux_source_events_total{stream=\"b c\"} 35\nother 1\n";
        assert_eq!(received(text), Some(42));
        assert_eq!(received("eventflux_source_events_total{} many"), None);
    }
}
