//! One running source: its start, its end, and what follows when it ends by itself.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::dead_letter::Stage;
use eventflux_core::strategy::ErrorStrategy;
use eventflux_core::{ConnectorContext, EventFluxError, Source};
use tokio::time::Instant;

use super::control::{contain, lock};
use super::entry::Entry;
use super::faults::Failure;
use super::graph::Graph;

/// A source that ran this long counts as recovered: its next failure is the first one again.
const STABLE: Duration = Duration::from_secs(30);

/// A source with its entry.
pub(crate) struct SourceNode {
    pub(crate) connector: String,
    pub(crate) context: ConnectorContext,
    pub(crate) entry: Arc<Entry>,
    pub(crate) validates: bool,
    source: Mutex<Box<dyn Source>>,
}

/// What follows when a source has ended by a fault.
#[derive(Debug, PartialEq, Eq)]
enum Sequel {
    /// Start a fresh one.
    Restart,
    /// Go on without it.
    GoOn,
    /// The pipeline has failed.
    Fail,
}

impl SourceNode {
    pub(crate) fn new(
        connector: String,
        context: ConnectorContext,
        entry: Arc<Entry>,
        validates: bool,
        source: Box<dyn Source>,
    ) -> Self {
        Self { connector, context, entry, validates, source: Mutex::new(source) }
    }

    pub(crate) fn start(&self) -> Result<(), EventFluxError> {
        let mut source = lock(&self.source);
        contain(&self.entry.faults.component, || {
            if self.validates {
                source.validate_connectivity()?;
            }
            source.start(self.entry.clone())
        })?
    }

    pub(crate) fn stop(&self, deadline: Duration) {
        self.entry.expect_end();
        let stopped = contain(&self.entry.faults.component, || lock(&self.source).stop(deadline));
        if let Err(error) = stopped {
            log::error!("{error}");
        }
    }

    /// Watches the source until it has ended for good. A restart keeps the entry, and with it the error strategy.
    pub(crate) async fn supervise(self: Arc<Self>, graph: Arc<Graph>) {
        let mut failures = 0;
        let mut started = Instant::now();
        while let Err(error) = self.entry.ended().await {
            // A source that ends with the fault of the pipeline only passes it on.
            if self.entry.expects_end() || graph.control.check().as_ref() == Err(&error) {
                return;
            }
            failures = if started.elapsed() >= STABLE { 1 } else { failures + 1 };
            if self.sequel(&graph, error, failures) != Sequel::Restart {
                return;
            }
            let pause = self.entry.faults.policy.backoff().after(failures - 1).next_equal_jitter();
            if !graph.control.signal().sleep(pause).await || self.entry.expects_end() {
                return;
            }
            started = Instant::now();
            self.restart();
        }
    }

    fn sequel(&self, graph: &Graph, error: EventFluxError, failures: u32) -> Sequel {
        let faults = &self.entry.faults;
        let panicked = matches!(error, EventFluxError::Panic { .. });
        if faults.policy.strategy == Some(ErrorStrategy::Retry) && failures <= faults.policy.max_attempts {
            log::warn!("{}: {error}; starting it again", faults.component);
            faults.metrics.retried.increment();
            return Sequel::Restart;
        }
        let stream = &self.context.stream;
        let failure = Failure { stage: Stage::Receive, stream, attempts: failures, position: 0, error };
        let fails = match faults.policy.strategy_for(&failure.error) {
            ErrorStrategy::Retry => faults.policy.retry_fallback == ErrorStrategy::Fail,
            strategy => strategy == ErrorStrategy::Fail,
        };
        faults.settle(graph, failure, Bytes::new);
        match (fails, panicked) {
            (true, _) => Sequel::Fail,
            (false, true) => Sequel::Restart,
            (false, false) => Sequel::GoOn,
        }
    }

    fn restart(&self) {
        let mut source = lock(&self.source);
        let fresh = source.clone_box();
        *source = fresh;
        self.entry.restarted();
        let component = &self.entry.faults.component;
        let started = contain(component, || source.start(self.entry.clone())).and_then(|result| result);
        if let Err(error) = started {
            eventflux_core::SourceCallback::on_end(&*self.entry, Err(error));
        }
    }
}

impl fmt::Debug for SourceNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceNode")
            .field("stream", &self.context.stream)
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}
