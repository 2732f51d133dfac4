//! Asks the other end of a link, one question at a time, and takes the time of each answer.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventflux_benches::control::{Gate, Latency, emit};
use eventflux_benches::error::BenchError;
use eventflux_core::{EventFluxError, SourceCallback};
use hdrhistogram::Histogram;

use crate::connectors::{Failures, Registry, refused};
use crate::event::Event;
use crate::floor;
use crate::job::Questions;
use crate::ours::wait_for_the_end;

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Of the questions, so many are warm-up: one in twenty.
const WARM_UP: u64 = 20;

/// Asks all questions, and then waits for the end of the process.
pub(crate) fn run(questions: &Questions, gate: &Gate) -> Result<(), BenchError> {
    let latency = match questions.method {
        Some(_) => over_link(questions, gate)?,
        None => floor::ask(questions, gate)?,
    };
    emit(&Event::Answered { latency })?;
    wait_for_the_end()
}

fn over_link(questions: &Questions, gate: &Gate) -> Result<Latency, BenchError> {
    let registry = Registry::new();
    let mut source = registry.source(&properties(questions, &[("websocket.accept", "reply")]))?;
    let asking = [("websocket.send", "request"), ("websocket.method", questions.method.as_deref().unwrap_or_default())];
    let sink = registry.sink(&properties(questions, &asking))?;
    let (answered, answers) = channel();
    source.it.start(Arc::new(Answers(answered))).map_err(refused)?;
    sink.it.start(Arc::new(Failures)).map_err(refused)?;
    sink.wait_until_connected()?;
    emit(&Event::Ready)?;
    gate.wait();
    interview(questions, || {
        sink.it.publish(questions.params.as_bytes()).map_err(refused)?;
        let answer = answers.recv_timeout(DEADLINE).map_err(|_| broken(&"a question was not answered"))?;
        answer.map_err(|error| broken(&error))
    })
}

/// Takes the time of each exchange of a question and its answer.
pub(crate) fn interview(
    questions: &Questions,
    mut exchange: impl FnMut() -> Result<Bytes, BenchError>,
) -> Result<Latency, BenchError> {
    let mut times = Histogram::<u64>::new(3).map_err(|error| broken(&error))?;
    let (start, interval) = (Instant::now(), Duration::from_secs(1) / questions.per_second.max(1));
    for number in 0..questions.count {
        let due = start + interval * u32::try_from(number).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        let answer = exchange()?;
        let took = asked.elapsed();
        if answer.windows(8).any(|part| part == b"\"error\":") {
            return Err(broken(&format_args!("refused: {}", String::from_utf8_lossy(&answer))));
        }
        if number >= questions.count / WARM_UP {
            times.record(took.as_nanos() as u64).map_err(|error| broken(&error))?;
        }
    }
    Ok(Latency {
        count: times.len(),
        p50_ns: times.value_at_quantile(0.5),
        p99_ns: times.value_at_quantile(0.99),
        p999_ns: times.value_at_quantile(0.999),
        max_ns: times.max(),
    })
}

fn broken(error: &dyn Display) -> BenchError {
    BenchError::Protocol(error.to_string())
}

/// What source and sink say alike: that is one connection.
fn properties(questions: &Questions, own: &[(&str, &str)]) -> Vec<(String, String)> {
    let shared = [
        ("websocket.protocol", "federation"),
        ("websocket.connection", "bench"),
        ("websocket.url", questions.url.as_str()),
    ];
    shared.iter().chain(own).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

struct Answers(Sender<Result<Bytes, String>>);

impl SourceCallback for Answers {
    fn on_data(&self, data: &[u8]) -> Result<(), EventFluxError> {
        self.0.send(Ok(Bytes::copy_from_slice(data))).map_err(|_| EventFluxError::Stopped)
    }

    fn on_batch(&self, messages: &[Bytes]) -> Result<(), EventFluxError> {
        messages.iter().try_for_each(|message| self.0.send(Ok(message.clone())).map_err(|_| EventFluxError::Stopped))
    }

    fn on_error(&self, error: EventFluxError, _: &[u8]) -> Result<(), EventFluxError> {
        self.0.send(Err(error.to_string())).map_err(|_| EventFluxError::Stopped)
    }

    fn on_end(&self, result: Result<(), EventFluxError>) {
        if let Err(error) = result {
            let _ = self.0.send(Err(error.to_string()));
        }
    }
}
