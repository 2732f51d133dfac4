//! A running pipeline: starts sinks before sources, supervises sources, stops sources before sinks.

mod assemble;
mod control;
mod decoder;
mod encoder;
mod entry;
mod faults;
mod graph;
mod metadata;
mod query_node;
mod row_json;
mod settlement;
mod sink_node;
mod source_node;
mod waiting_room;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eventflux_core::EventFluxError;
use eventflux_core::metrics::Metrics;
use eventflux_core::runtime::shared;
use futures_util::future::join_all;

pub(crate) use entry::Entry;
pub(crate) use graph::{Graph, Subscriber};
pub(crate) use source_node::SourceNode;

use control::lock;
use sink_node::SinkReporter;

use crate::plan::Plan;

/// Shortest time a sink gets to say goodbye, even when the deadline has passed.
const GOODBYE: Duration = Duration::from_millis(100);

/// A pipeline whose sinks and sources run.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) graph: Arc<Graph>,
    pub(crate) sources: Vec<Arc<SourceNode>>,
    /// Entries of programs that push, by stream; made when they are asked for.
    inputs: Mutex<BTreeMap<usize, Arc<Entry>>>,
    metrics: Metrics,
    stopped: Option<u64>,
}

impl Running {
    /// Starts everything: sinks first, then sources, each in the order of the file.
    ///
    /// # Errors
    /// The first connector that cannot start; what was started before is stopped.
    pub(crate) fn start(
        plan: Plan,
        subscribers: Vec<(usize, Subscriber)>,
        metrics: &Metrics,
    ) -> Result<Self, EventFluxError> {
        let (graph, sources) = assemble::assemble(plan, subscribers);
        let mut running = Self { graph, sources, inputs: Mutex::default(), metrics: metrics.clone(), stopped: None };
        if let Err(error) = running.start_all() {
            running.stop(GOODBYE);
            return Err(error);
        }
        Ok(running)
    }

    /// The entry of programs that push into stream number `stream`.
    pub(crate) fn input(&self, stream: usize) -> Result<Arc<Entry>, EventFluxError> {
        let mut inputs = lock(&self.inputs);
        if let Some(entry) = inputs.get(&stream) {
            return Ok(entry.clone());
        }
        let entry = assemble::input(&self.graph, stream, &self.metrics)?;
        shared()?.spawn(entry.clone().retry_loop());
        inputs.insert(stream, entry.clone());
        Ok(entry)
    }

    /// Every entry: of sources, and of programs that push.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        let sources = self.sources.iter().map(|source| source.entry.clone());
        sources.chain(lock(&self.inputs).values().cloned()).collect()
    }

    fn start_all(&self) -> Result<(), EventFluxError> {
        let handle = shared()?;
        for (index, node) in self.graph.sinks.iter().enumerate() {
            let named = |error| name_fault(error, &node.faults.component);
            if node.validates {
                off_runtime(|| node.sink.validate_connectivity()).map_err(named)?;
            }
            node.sink.start(Arc::new(SinkReporter::new(&self.graph, index))).map_err(named)?;
            handle.spawn(node.clone().retry_loop(self.graph.clone()));
        }
        for node in &self.sources {
            handle.spawn(node.entry.clone().retry_loop());
            off_runtime(|| node.start()).map_err(|error| name_fault(error, &node.entry.faults.component))?;
        }
        let supervisors: Vec<_> = self.sources.iter().map(|node| node.clone().supervise(self.graph.clone())).collect();
        if !supervisors.is_empty() {
            let graph = self.graph.clone();
            handle.spawn(async move {
                join_all(supervisors).await;
                graph.control.end();
            });
        }
        Ok(())
    }

    /// Stops sources, lets what is under way reach the sinks, stops the sinks; all within `deadline`. Returns the
    /// number of events that could not be delivered. A second call returns the same number.
    pub(crate) fn stop(&mut self, deadline: Duration) -> u64 {
        if let Some(undelivered) = self.stopped {
            return undelivered;
        }
        let end = Instant::now() + deadline;
        std::thread::scope(|scope| {
            for source in &self.sources {
                scope.spawn(|| source.stop(remaining(end)));
            }
        });
        self.drain(end);
        // First, so that nobody takes for settled what is given up.
        self.graph.control.stop();
        let mut undelivered = self.entries().iter().map(|entry| entry.abandon()).sum::<u64>();
        undelivered += std::thread::scope(|scope| {
            let stops: Vec<_> =
                self.graph.sinks.iter().map(|node| scope.spawn(|| node.stop(remaining(end).max(GOODBYE)))).collect();
            stops.into_iter().map(|stop| stop.join().unwrap_or(0)).sum::<u64>()
        });
        self.stopped = Some(undelivered);
        undelivered
    }

    /// Waits until nothing waits for another try, or `end`.
    fn drain(&self, end: Instant) {
        const LOOK: Duration = Duration::from_millis(5);
        let entries = self.entries();
        let waits = || entries.iter().any(|entry| entry.waits()) || self.graph.sinks.iter().any(|sink| sink.waits());
        while waits() && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
    }

    /// Blocks until the pipeline has ended or failed.
    pub(crate) fn wait(&self) -> Result<(), EventFluxError> {
        let handle = shared()?;
        off_runtime(|| handle.block_on(self.graph.control.finished()))
    }
}

/// Runs something that blocks, from inside or outside an async task.
fn off_runtime<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn remaining(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

/// Says whose fault it is in front of the reason.
fn name_fault(error: EventFluxError, component: &str) -> EventFluxError {
    match error {
        EventFluxError::Configuration { property, reason, hint } => {
            EventFluxError::Configuration { property, reason: format!("{component}: {reason}"), hint }
        }
        EventFluxError::ConnectionUnavailable { endpoint, reason, retryable } => {
            EventFluxError::ConnectionUnavailable { endpoint, reason: format!("{reason} ({component})"), retryable }
        }
        other => other,
    }
}
