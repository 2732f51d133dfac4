//! One run in which messages go to many clients, all played by the crowd of the gateway benchmark.

use std::net::SocketAddr;

use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use eventflux_gateway_bench::Protocol;
use eventflux_gateway_bench::event::{Event, Report, next};
use eventflux_gateway_bench::job::{Audience, Entrance, Job, Language, Work};
use eventflux_gateway_bench::role::CROWD;

use crate::event::unexpected;
use crate::outcome::{Meter, Outcome};
use crate::pipeline::{Pipeline, STORAGE, URL};
use crate::run::{Setup, start};
use crate::scenario::{FanOut, Gateway, Storage};
use crate::server::Server;

/// What a run is made of besides the crowd.
struct Stage {
    server: Option<Server>,
    first: Option<Pipeline>,
    second: Option<Pipeline>,
}

/// Measures it once.
pub(crate) async fn measure(fan_out: &FanOut, setup: &Setup) -> Result<Outcome, BenchError> {
    let directory = setup.directory()?;
    let mut stage = Stage { server: None, first: None, second: None };
    if fan_out.gateway != Gateway::Embedded {
        stage.server = Some(Server::start(setup.nats()?, directory.path()).await?);
    }
    let job = stage.set(fan_out, setup)?;
    let groups = [
        stage.first.as_ref().map(Pipeline::process),
        stage.second.as_ref().map(Pipeline::process),
        stage.server.as_ref().map(Server::process),
    ];
    let groups = groups.map(|process| process.map(Process::group));
    let mut crowd = start("crowd", CROWD, &job)?;
    let playing = async {
        ready(&mut crowd).await?;
        if let Some(second) = &stage.second {
            second.await_ready().await?;
        }
        let meter = Meter::start(groups);
        crowd.go().await?;
        let report = done(&mut crowd).await?;
        Ok((report, meter.seconds()))
    };
    let (report, seconds) = match &mut stage.first {
        Some(first) => first.while_running(playing).await?,
        None => playing.await?,
    };
    Ok(outcome(&report, seconds))
}

impl Stage {
    /// Starts what is between the publisher and the clients; what the crowd is to do.
    fn set(&mut self, fan_out: &FanOut, setup: &Setup) -> Result<Job, BenchError> {
        let url = self.server.as_ref().map(Server::url).unwrap_or_default();
        let mut entrance =
            self.server.as_ref().map(|server| Entrance { address: server.clients(), language: Language::Nats });
        let (address, language) = match fan_out.gateway {
            Gateway::ServerWebSocket => (self.at(Server::websocket), Language::NatsWebSocket),
            Gateway::ServerTcp => (self.at(Server::clients), Language::Nats),
            Gateway::Bridge(protocol) => {
                let first = Pipeline::start(&format!("{}.sql", protocol.name()), setup, &[(URL, url)])?;
                (self.first.insert(first).address(), Language::WebSocket(protocol))
            }
            Gateway::Embedded => {
                let first = Pipeline::start("embedded.sql", setup, &[])?;
                (self.first.insert(first).address(), Language::WebSocket(Protocol::Channels))
            }
            Gateway::Backplane { storage, second } => {
                entrance = None;
                let storage = if storage == Storage::File { "file" } else { "memory" };
                let variables = [(URL, url), (STORAGE, storage.to_owned())];
                if second {
                    self.second = Some(Pipeline::start("backplane.sql", setup, &variables)?);
                }
                let first = Pipeline::start("backplane.sql", setup, &variables)?;
                (self.first.insert(first).address(), Language::WebSocket(Protocol::Channels))
            }
        };
        let FanOut { subscribers, task, .. } = *fan_out;
        let work = Work { subscribers, frozen: 0, audience: Audience::Everyone, task };
        Ok(Job { address, language, entrance, work })
    }

    fn at(&self, place: fn(&Server) -> SocketAddr) -> SocketAddr {
        self.server.as_ref().map_or(([127, 0, 0, 1], 0).into(), place)
    }
}

async fn ready(crowd: &mut Process) -> Result<(), BenchError> {
    match next(crowd).await? {
        Event::Ready => Ok(()),
        other => Err(unexpected(&other)),
    }
}

async fn done(crowd: &mut Process) -> Result<Report, BenchError> {
    match next(crowd).await? {
        Event::Done(report) => Ok(report),
        other => Err(unexpected(&other)),
    }
}

fn outcome(report: &Report, [first_seconds, second_seconds, server_seconds]: [f64; 3]) -> Outcome {
    Outcome {
        count: report.delivered,
        elapsed_ns: report.elapsed_ns,
        first_seconds,
        second_seconds,
        server_seconds,
        wrong: report.expected.abs_diff(report.delivered) + report.misordered + report.misrouted + report.disconnected,
        latency: report.latency,
        crowd_busy: report.crowd_cpu_ns as f64 / report.elapsed_ns.max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_went_wrong_with_a_delivery_counts() {
        let clean = Report { expected: 5, delivered: 5, elapsed_ns: 10, crowd_cpu_ns: 5, ..Report::default() };
        let outcome_of = |report: &Report| outcome(report, [0.0; 3]);
        assert_eq!((outcome_of(&clean).wrong, outcome_of(&clean).crowd_busy), (0, 0.5));
        assert_eq!(outcome_of(&Report { delivered: 4, misordered: 1, disconnected: 1, ..clean }).wrong, 3);
    }
}
