//! How the runner and its feeder, collector and systems talk: events as JSON lines on the child's standard
//! output, and the word `go` on its standard input. The end of standard input ends the child, so
//! that no child outlives its runner.

use std::io::{self, BufRead, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::checker::Tally;
use crate::clock::monotonic_ns;
use crate::error::BenchError;

/// The line that opens a child's [`Gate`].
pub const GO: &str = "go\n";

/// What a child tells the runner. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The server accepts connections at this URL.
    Listening {
        /// A `ws://` URL with the port the system chose.
        url: String,
    },
    /// This many systems' connections have completed their handshakes.
    Connected {
        /// Connections so far.
        count: usize,
    },
    /// The feeder began to send.
    Started {
        /// When.
        at_ns: u64,
    },
    /// The feeder has handed its last message to the kernel.
    Finished {
        /// When.
        at_ns: u64,
        /// How late the feeder sent its latest paced message.
        worst_lag_ns: u64,
    },
    /// The collector's verdict.
    Report(CollectorReport),
    /// The child could not do its part.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What a collector saw on all its connections.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CollectorReport {
    /// Arrivals against expectations.
    pub tally: Tally,
    /// Messages whose values were compared, one in [`crate::collector::VALUE_CHECK_INTERVAL`].
    pub values_checked: u64,
    /// Messages of these whose values were wrong.
    pub wrong_values: u64,
    /// When the first message arrived, in nanoseconds of `CLOCK_MONOTONIC`; zero when none did.
    pub first_ns: u64,
    /// When the last expected message arrived; zero when none did.
    pub last_ns: u64,
    /// Latency, in paced runs.
    pub latency: Option<Latency>,
}

/// Latency percentiles in nanoseconds, from the send to the arrival at the collector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Messages measured.
    pub count: u64,
    /// Median.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// Worst.
    pub max_ns: u64,
}

/// Tells the runner something; one line on standard output.
///
/// # Errors
/// When the runner has gone.
pub fn emit(event: &impl Serialize) -> Result<(), BenchError> {
    let mut line =
        serde_json::to_string(event).map_err(|error| BenchError::Protocol(format!("encoding an event: {error}")))?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(BenchError::io("telling the runner"))
}

/// Opens once, when the runner says so.
#[derive(Debug, Default)]
pub struct Gate {
    opened_at_ns: Mutex<Option<u64>>,
    opened: Condvar,
}

impl Gate {
    /// Opens the gate; those who wait go on.
    pub fn open(&self) {
        *self.lock() = Some(monotonic_ns());
        self.opened.notify_all();
    }

    /// Waits until the gate is open.
    pub fn wait(&self) {
        let mut opened_at = self.lock();
        while opened_at.is_none() {
            opened_at = self.opened.wait(opened_at).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// When the gate opened, in nanoseconds of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn opened_at_ns(&self) -> Option<u64> {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<u64>> {
        self.opened_at_ns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the runner's commands on a thread of its own: `go` opens the gate, the end of standard
/// input ends the process.
#[must_use]
pub fn follow_runner() -> Arc<Gate> {
    let gate = Arc::new(Gate::default());
    let opener = Arc::clone(&gate);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if line.trim() == GO.trim() {
                opener.open();
            }
        }
        std::process::exit(0);
    });
    gate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_line_protocol() {
        let events = [
            Event::Listening { url: "ws://127.0.0.1:1".into() },
            Event::Report(CollectorReport { latency: Some(Latency::default()), ..CollectorReport::default() }),
            Event::Failed { reason: "a\nb".into() },
        ];
        for event in events {
            let line = serde_json::to_string(&event).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        }
    }

    #[test]
    fn a_gate_lets_waiters_through_once_opened() {
        let gate = Arc::new(Gate::default());
        assert_eq!(gate.opened_at_ns(), None);
        let waiter = {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || gate.wait())
        };
        gate.open();
        waiter.join().unwrap();
        assert!(gate.opened_at_ns().is_some());
    }
}
