//! One run in which messages are stored in a stream.

use eventflux_benches::clock::monotonic_ns;
use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;

use crate::event::{Event, next, unexpected};
use crate::job::{Floor, Load};
use crate::outcome::{Meter, Outcome};
use crate::pipeline::{IN_FLIGHT, Pipeline, URL};
use crate::role::{FLOOR, LOAD};
use crate::run::{Setup, start};
use crate::scenario::{Deposit, Publishing};
use crate::server::Server;
use crate::stream::Stream;

/// Part of the messages that comes before the run, as a divisor.
const WARM_UP_DIVISOR: u64 = 20;

/// Measures it once.
pub(crate) async fn measure(deposit: &Deposit, setup: &Setup) -> Result<Outcome, BenchError> {
    let directory = setup.directory()?;
    let server = Server::start(setup.nats()?, directory.path()).await?;
    let mut stream = Stream::create(&server.url(), deposit.storage).await?;
    match deposit.publishing {
        Publishing::Library { ids } => {
            let (warm_up, messages) = shares(deposit.messages, 1);
            let job = Floor { url: server.url(), warm_up, messages, in_flight: deposit.in_flight, ids };
            let mut floor = start("floor", FLOOR, &job)?;
            ready(&mut floor).await?;
            run(&mut floor, None, &server, &mut stream, (1, warm_up, messages)).await
        }
        Publishing::Pipeline { clients } => {
            let (warm_up, messages) = shares(deposit.messages, clients as u64);
            let variables = [(URL, server.url()), (IN_FLIGHT, deposit.in_flight.to_string())];
            let mut pipeline = Pipeline::start("store.sql", setup, &variables)?;
            let mut load = start("load", LOAD, &Load { address: pipeline.address(), clients, warm_up, messages })?;
            pipeline.while_running(ready(&mut load)).await?;
            run(&mut load, Some(&pipeline), &server, &mut stream, (clients, warm_up, messages)).await
        }
    }
}

/// What each of `clients` publishes before and in the run.
fn shares(messages: u64, clients: u64) -> (u64, u64) {
    let each = (messages / clients.max(1)).max(1);
    (each.div_ceil(WARM_UP_DIVISOR), each)
}

/// Has `loader` publish; it is itself what is measured where there is no pipeline.
async fn run(
    loader: &mut Process,
    pipeline: Option<&Pipeline>,
    server: &Server,
    stream: &mut Stream,
    (clients, warm_up, messages): (usize, u64, u64),
) -> Result<Outcome, BenchError> {
    let (before, count) = (warm_up * clients as u64, messages * clients as u64);
    await_stored(stream, before, pipeline).await?;
    let first = pipeline.map_or(loader.group(), |pipeline| pipeline.process().group());
    let meter = Meter::start([Some(first), Some(server.process().group())]);
    loader.go().await?;
    let started_ns = match next(loader).await? {
        Event::Started { at_ns } => at_ns,
        other => return Err(unexpected(&other)),
    };
    await_stored(stream, before + count, pipeline).await?;
    let elapsed_ns = monotonic_ns() - started_ns;
    let [first_seconds, server_seconds] = meter.seconds();
    let wrong = stream.wrong(clients, warm_up + messages).await?;
    Ok(Outcome { count, elapsed_ns, first_seconds, server_seconds, wrong, ..Outcome::default() })
}

async fn await_stored(stream: &mut Stream, count: u64, pipeline: Option<&Pipeline>) -> Result<(), BenchError> {
    let stored = stream.reach(count).await?;
    if stored >= count {
        return Ok(());
    }
    let stderr = pipeline.map_or_else(String::new, |pipeline| pipeline.process().last_words());
    let reason = format!("{stored} messages are stored, of {count}");
    Err(BenchError::System { system: "publishing".to_owned(), reason, stderr })
}

async fn ready(process: &mut Process) -> Result<(), BenchError> {
    match next(process).await? {
        Event::Ready => Ok(()),
        other => Err(unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_share_the_messages() {
        assert_eq!(shares(1_000, 4), (13, 250));
        assert_eq!(shares(1, 4), (1, 1));
    }
}
