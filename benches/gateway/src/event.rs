//! What a crowd tells the runner: JSON lines on standard output.

use eventflux_benches::control::Latency;
use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use serde::{Deserialize, Serialize};

/// What a crowd tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Everybody who should be there by now is connected and gets messages; it waits to be told to go on.
    Ready,
    /// It has done its task, and keeps its connections.
    Done(Report),
    /// It could not do its part.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What happened to the messages of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Messages published.
    pub published: u64,
    /// Deliveries that there should be of them.
    pub expected: u64,
    /// Deliveries there were.
    pub delivered: u64,
    /// Deliveries of a message that is older than another one which the same subscriber got before, or as old.
    pub misordered: u64,
    /// Deliveries to somebody who had not subscribed to them.
    pub misrouted: u64,
    /// Connections of subscribers that ended.
    pub disconnected: u64,
    /// How the first of these ended.
    pub farewell: Option<String>,
    /// From the first message published to the last delivery, in nanoseconds.
    pub elapsed_ns: u64,
    /// Processor time of the crowd in the same time, in nanoseconds.
    pub crowd_cpu_ns: u64,
    /// From publishing to delivery, of tasks at a fixed rate.
    pub latency: Option<Latency>,
}

impl Report {
    /// Deliveries that are missing.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.delivered)
    }

    /// Whether everything arrived once, in order, where it should, and nobody was hung up on.
    pub fn is_clean(&self) -> bool {
        self.delivered == self.expected && self.misordered + self.misrouted + self.disconnected == 0
    }
}

/// The next event of a crowd.
///
/// # Errors
/// When it fails, ends, or says something else.
pub async fn next(crowd: &mut Process) -> Result<Event, BenchError> {
    let line = crowd.next_line().await?;
    match serde_json::from_str(&line) {
        Ok(Event::Failed { reason }) => Err(BenchError::Protocol(reason)),
        Ok(event) => Ok(event),
        Err(error) => Err(BenchError::Protocol(format!("the crowd said something that is no event ({error}): {line}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_clean_only_when_everything_arrived_once() {
        let clean = Report { expected: 5, delivered: 5, ..Report::default() };
        assert!(clean.is_clean() && clean.lost() == 0);
        let lossy = Report { delivered: 4, ..clean.clone() };
        assert!(!lossy.is_clean() && lossy.lost() == 1);
        let repeated = Report { delivered: 6, ..clean.clone() };
        assert!(!repeated.is_clean() && repeated.lost() == 0);
        assert!(!Report { misrouted: 1, ..clean }.is_clean());
    }
}
