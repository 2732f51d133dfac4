//! Carries error strategies out: count, log, then drop, dead-letter or fail. Retrying is left to the caller, who knows
//! what to try again.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventflux_core::dead_letter::{DeadLetter, Stage};
use eventflux_core::metrics::ConnectorMetrics;
use eventflux_core::strategy::{ErrorPolicy, ErrorStrategy};
use eventflux_core::{EventFluxError, escape_control};

use super::control::lock;
use super::graph::Graph;

/// Shortest pause between two log lines of one source or sink about failed events.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The error strategy of one source or sink, with its metrics and its log.
#[derive(Debug)]
pub(crate) struct Faults {
    /// What the author declared.
    pub(crate) policy: ErrorPolicy,
    /// Where failures are counted.
    pub(crate) metrics: ConnectorMetrics,
    /// Who: `source 'websocket' of stream Trades`.
    pub(crate) component: String,
    /// Index of the dead-letter stream.
    pub(crate) dead_letters: Option<usize>,
    quiet: Mutex<Quiet>,
}

/// One event that failed.
#[derive(Debug)]
pub(crate) struct Failure<'a> {
    pub(crate) stage: Stage,
    /// Stream whose source, query or sink failed.
    pub(crate) stream: &'a str,
    /// Number of tries so far.
    pub(crate) attempts: u32,
    pub(crate) position: u64,
    pub(crate) error: EventFluxError,
}

#[derive(Debug, Default)]
struct Quiet {
    last: Option<Instant>,
    left_out: u64,
}

impl Faults {
    pub(crate) fn new(
        policy: ErrorPolicy,
        metrics: ConnectorMetrics,
        component: String,
        dead_letters: Option<usize>,
    ) -> Self {
        Self { policy, metrics, component, dead_letters, quiet: Mutex::default() }
    }

    /// Whether a failure with this error is to be tried again, after `attempts` tries.
    pub(crate) fn retries(&self, error: &EventFluxError, attempts: u32) -> bool {
        self.policy.strategy_for(error) == ErrorStrategy::Retry && attempts <= self.policy.max_attempts
    }

    /// Does with a failed event what its strategy says, retries being used up. `original` is asked for the event's
    /// bytes only where they are needed.
    pub(crate) fn settle(&self, graph: &Graph, failure: Failure<'_>, original: impl FnOnce() -> Bytes) {
        self.metrics.failed.increment();
        match failure.stage {
            // Without a position it is the source as a whole, and no message.
            Stage::Receive if failure.position == 0 => {}
            Stage::Receive | Stage::Decode | Stage::Encode => self.metrics.unreadable.increment(),
            Stage::Query | Stage::Send => self.metrics.refused.increment(),
        }
        let strategy = match self.policy.strategy_for(&failure.error) {
            ErrorStrategy::Retry => self.policy.retry_fallback,
            strategy => strategy,
        };
        self.log(&failure, strategy);
        match (strategy, self.dead_letters) {
            (ErrorStrategy::Dlq, Some(stream)) => {
                let letter = DeadLetter {
                    original: original(),
                    error: failure.error,
                    stage: failure.stage,
                    stream: failure.stream.to_owned(),
                    position: failure.position,
                    attempts: failure.attempts,
                    timestamp: chrono::Utc::now().timestamp_micros(),
                };
                graph.dead_letter(stream, &letter, self);
                self.metrics.dead_lettered.increment();
            }
            (ErrorStrategy::Drop, _) => self.metrics.dropped.increment(),
            _ => graph.control.fail(failure.error),
        }
    }

    /// Does with a dead letter that failed in a query of its own what `error.dlq.fallback-strategy` says. There is no
    /// dead letter of a dead letter.
    pub(crate) fn settle_dead_letter(&self, graph: &Graph, failure: Failure<'_>) {
        self.metrics.failed.increment();
        self.log(&failure, self.policy.dlq_fallback);
        match self.policy.dlq_fallback {
            ErrorStrategy::Drop => self.metrics.dropped.increment(),
            _ => graph.control.fail(failure.error),
        }
    }

    fn log(&self, failure: &Failure<'_>, strategy: ErrorStrategy) {
        let left_out = {
            let mut quiet = lock(&self.quiet);
            let now = Instant::now();
            if quiet.last.is_some_and(|last| now.duration_since(last) < LOG_INTERVAL) {
                quiet.left_out += 1;
                return;
            }
            quiet.last = Some(now);
            std::mem::take(&mut quiet.left_out)
        };
        // Positions count from 1: without one, it is the source as a whole.
        let event = match failure.position {
            0 => String::new(),
            position => format!("event from message {position} "),
        };
        let more = if left_out == 0 { String::new() } else { format!(" ({left_out} more since the last line)") };
        log::log!(
            self.policy.log_level,
            "{}: {}failed to {} (stream {}), strategy {}: {}{more}",
            self.component,
            event,
            failure.stage.name(),
            failure.stream,
            strategy.name(),
            escape_control(&failure.error.to_string()),
        );
    }
}
