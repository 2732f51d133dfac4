//! The Rust API: plan a pipeline, start it, push events, subscribe, stop.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eventflux_core::health::{ConnectionState, Health};
use eventflux_core::metrics::{ConnectorMetrics, Metrics};
use eventflux_core::runtime::shared;
use eventflux_core::{ConnectorRole, EventBatch, EventFluxContext, EventFluxError, Schema, SourceCallback, Value};

use crate::diagnostic::{Diagnostic, SourceFile, render};
use crate::overrides::Override;
use crate::plan::{self, Environment, Plan};
use crate::runtime::{Entry, Graph, Running, Subscriber};

/// One pipeline: planned, then running, then stopped.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
/// use eventflux_core::{EventFluxContext, Value, ValueRef};
/// use eventflux_engine::EventFlux;
///
/// let sql = "
///     CREATE STREAM Trades (symbol STRING, price DOUBLE);
///     CREATE STREAM Large (symbol STRING, price DOUBLE);
///     INSERT INTO Large SELECT symbol, price FROM Trades WHERE price > 100;
/// ";
/// let mut pipeline = EventFlux::from_sql(sql, &EventFluxContext::new())?;
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let copy = seen.clone();
/// pipeline.subscribe("Large", move |batch| {
///     for row in batch.rows() {
///         if let Some(ValueRef::String(symbol)) = row.get("symbol") {
///             copy.lock().unwrap().push(symbol.to_owned());
///         }
///     }
/// })?;
/// pipeline.start()?;
/// let trades = pipeline.input("Trades")?;
/// trades.send(&["BTCUSDT".into(), Value::Double(50_000.0)])?;
/// trades.send(&["DOGEUSDT".into(), Value::Double(0.1)])?;
/// let summary = pipeline.stop(Duration::from_secs(5));
/// assert_eq!(*seen.lock().unwrap(), ["BTCUSDT"]);
/// assert_eq!(summary.events_in, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventFlux {
    metrics: Metrics,
    warnings: PlanError,
    stage: Stage,
}

/// Where a pipeline is: a plan is used up by its start.
enum Stage {
    /// The mutex makes the pipeline `Sync`; nothing ever waits for it.
    Planned {
        plan: Mutex<Box<Plan>>,
        subscribers: Vec<(usize, Subscriber)>,
    },
    Running(Running),
}

impl EventFlux {
    /// Plans the pipeline in `sql`, without any I/O.
    ///
    /// # Errors
    /// Every mistake in the text, with its place.
    pub fn from_sql(sql: &str, context: &EventFluxContext) -> Result<Self, PlanError> {
        Self::from_file(SourceFile::new("pipeline.sql", sql), &[], context)
    }

    /// Plans the pipeline in a file, with properties given from outside.
    ///
    /// # Errors
    /// Every mistake in the file, with its place.
    pub fn from_file(
        mut file: SourceFile,
        overrides: &[Override],
        context: &EventFluxContext,
    ) -> Result<Self, PlanError> {
        let metrics = Metrics::default();
        let environment = Environment { context, metrics: &metrics, overrides };
        let (plan, diagnostics) = plan::plan(&mut file, &environment);
        let failed = diagnostics.iter().any(Diagnostic::is_error);
        let warnings = PlanError { file, diagnostics };
        if failed {
            return Err(warnings);
        }
        let stage = Stage::Planned { plan: Mutex::new(Box::new(plan)), subscribers: Vec::new() };
        Ok(Self { metrics, warnings, stage })
    }

    /// What is odd about the file, though it can run.
    pub fn warnings(&self) -> &PlanError {
        &self.warnings
    }

    /// Whether anything in the file brings events; without a source only a program does, through [`EventFlux::input`].
    pub fn has_sources(&self) -> bool {
        match &self.stage {
            Stage::Planned { plan, .. } => !plan.lock().unwrap_or_else(PoisonError::into_inner).sources.is_empty(),
            Stage::Running(running) => !running.sources.is_empty(),
        }
    }

    /// Calls `subscriber` with each batch of a stream, on the thread that brings it; to be called before the start.
    ///
    /// # Errors
    /// When there is no such stream, or the pipeline was started.
    pub fn subscribe(
        &mut self,
        stream: &str,
        subscriber: impl Fn(&EventBatch) + Send + Sync + 'static,
    ) -> Result<(), EventFluxError> {
        let Stage::Planned { plan, subscribers } = &mut self.stage else {
            return Err(EventFluxError::configuration("subscribe before the pipeline is started"));
        };
        let plan = plan.get_mut().unwrap_or_else(PoisonError::into_inner);
        let index = find(plan.streams.iter().map(|stream| &*stream.name), stream)?;
        subscribers.push((index, Arc::new(subscriber)));
        Ok(())
    }

    /// Starts sinks, then sources.
    ///
    /// # Errors
    /// The connector that cannot start, and why; everything is stopped again. Also when it was started before.
    pub fn start(&mut self) -> Result<(), EventFluxError> {
        let Stage::Planned { plan, subscribers } = &mut self.stage else {
            return Err(EventFluxError::configuration("the pipeline was started before"));
        };
        let plan = std::mem::take(&mut **plan.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.stage = Stage::Running(Running::start(plan, std::mem::take(subscribers), &self.metrics)?);
        Ok(())
    }

    /// Where a program pushes events into a stream; to be called after the start.
    ///
    /// # Errors
    /// When there is no such stream, or the pipeline was not started.
    pub fn input(&self, stream: &str) -> Result<InputHandler, EventFluxError> {
        let Stage::Running(running) = &self.stage else {
            return Err(EventFluxError::configuration("start the pipeline before pushing events into it"));
        };
        let streams = &running.graph.streams;
        let index = find(streams.iter().map(|stream| &*stream.name), stream)?;
        Ok(InputHandler { entry: running.input(index)?, schema: streams[index].schema.clone() })
    }

    /// Blocks until the pipeline ends by itself, or is asked to by a [`Stopper`]. Every finite source is exhausted then;
    /// [`EventFlux::stop`] still has to drain the sinks.
    ///
    /// # Errors
    /// The fault that ended it; or that it was not started.
    pub fn wait(&self) -> Result<(), EventFluxError> {
        match &self.stage {
            Stage::Running(running) => running.wait(),
            Stage::Planned { .. } => Err(EventFluxError::configuration("the pipeline was not started")),
        }
    }

    /// Ends [`EventFlux::wait`] from another thread; of no use before the start.
    pub fn stopper(&self) -> Stopper {
        match &self.stage {
            Stage::Running(running) => Stopper(Some(running.graph.clone())),
            Stage::Planned { .. } => Stopper(None),
        }
    }

    /// Stops sources, lets what is under way reach the sinks, then stops the sinks; within `deadline`. A second call
    /// changes nothing.
    pub fn stop(&mut self, deadline: Duration) -> Summary {
        match &mut self.stage {
            Stage::Running(running) => {
                let undelivered = running.stop(deadline);
                summary(running, undelivered)
            }
            Stage::Planned { .. } => Summary::default(),
        }
    }

    /// What happened so far, in numbers.
    pub fn summary(&self) -> Summary {
        match &self.stage {
            Stage::Running(running) => summary(running, 0),
            Stage::Planned { .. } => Summary::default(),
        }
    }

    /// State and metrics of each source and sink of a started pipeline.
    pub fn status(&self) -> Vec<ConnectorStatus> {
        let Stage::Running(running) = &self.stage else {
            return Vec::new();
        };
        let sources =
            running.sources.iter().map(|node| (&node.connector, &node.context, node.context.metrics.events.value()));
        let sinks = running.graph.sinks.iter().map(|node| (&node.connector, &node.context, node.delivered()));
        sources
            .chain(sinks)
            .map(|(connector, context, events)| ConnectorStatus {
                stream: context.stream.clone(),
                role: context.role,
                connector: connector.clone(),
                events,
                health: context.health.current(),
                metrics: context.metrics.clone(),
            })
            .collect()
    }

    /// Whether every source and sink can do its work.
    pub fn is_healthy(&self) -> bool {
        self.status()
            .iter()
            .all(|status| status.health.state.is_healthy() || status.health.state == ConnectionState::Stopped)
    }

    /// All metrics of this pipeline.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned { .. } => f.write_str("Planned"),
            Self::Running(running) => running.fmt(f),
        }
    }
}

impl Drop for EventFlux {
    /// A pipeline that was not stopped stops at once; what is under way is lost.
    fn drop(&mut self) {
        if let Stage::Running(running) = &mut self.stage {
            running.stop(Duration::ZERO);
        }
    }
}

/// Plans a file and makes nothing of it: every mistake, or what is odd.
///
/// # Errors
/// Every mistake in the file, with its place.
pub fn check(file: SourceFile, overrides: &[Override], context: &EventFluxContext) -> Result<PlanError, PlanError> {
    EventFlux::from_file(file, overrides, context).map(|pipeline| pipeline.warnings().clone())
}

/// Mistakes in a file, and what is odd about it.
#[derive(Debug, Clone)]
pub struct PlanError {
    file: SourceFile,
    diagnostics: Vec<Diagnostic>,
}

impl PlanError {
    pub(crate) fn new(file: SourceFile, diagnostics: Vec<Diagnostic>) -> Self {
        Self { file, diagnostics }
    }

    /// Each mistake with place, excerpt and hint.
    pub fn render(&self, color: bool) -> String {
        render(&self.file, &self.diagnostics, color)
    }

    /// The mistakes, in the order of the file.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The file they are in.
    pub fn file(&self) -> &SourceFile {
        &self.file
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for PlanError {}

/// Pushes events into a stream, in order. Copies push into the same stream.
#[derive(Debug, Clone)]
pub struct InputHandler {
    entry: Arc<Entry>,
    schema: Arc<Schema>,
}

impl InputHandler {
    /// The stream's columns.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Pushes one event, values in column order. Waits while a sink behind it cannot take more.
    ///
    /// # Errors
    /// When the values do not fit the columns, or the pipeline has failed or was stopped.
    pub fn send(&self, values: &[Value]) -> Result<(), EventFluxError> {
        let mut batch = EventBatch::new(self.schema.clone());
        batch.push_row(values, 0)?;
        self.send_batch(&batch)
    }

    /// Pushes events. Waits while a sink behind it cannot take more.
    ///
    /// # Errors
    /// When the batch has other columns, or the pipeline has failed or was stopped.
    pub fn send_batch(&self, batch: &EventBatch) -> Result<(), EventFluxError> {
        if batch.schema() != &self.schema {
            return Err(EventFluxError::mapping(None, "the batch has other columns than the stream"));
        }
        if !self.entry.is_ready() {
            let _context = shared()?.enter();
            futures_executor::block_on(self.entry.ready());
        }
        self.entry.push(batch)
    }
}

/// Ends [`EventFlux::wait`].
#[derive(Debug, Clone)]
pub struct Stopper(Option<Arc<Graph>>);

impl Stopper {
    /// Asks for the end; [`EventFlux::stop`] then does the stopping.
    pub fn request(&self) {
        if let Some(graph) = &self.0 {
            graph.control.end();
        }
    }
}

/// One source or sink of a running pipeline.
#[derive(Debug, Clone)]
pub struct ConnectorStatus {
    /// Its stream.
    pub stream: String,
    /// Source or sink.
    pub role: ConnectorRole,
    /// Its type; from the second one of a type on the same stream with a number.
    pub connector: String,
    /// Events a source brought; payloads a sink accepted and did not report as failed or undelivered.
    pub events: u64,
    /// Its state.
    pub health: Health,
    /// Its metrics.
    pub metrics: ConnectorMetrics,
}

/// What became of the events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events that sources decoded and programs pushed.
    pub events_in: u64,
    /// Payloads that sinks accepted and did not report as failed or undelivered; what a queue policy then dropped is
    /// among them.
    pub events_out: u64,
    /// Events given up by strategy or queue policy.
    pub dropped: u64,
    /// Events that failed, whatever became of them.
    pub failed: u64,
    /// Events that went to a dead-letter stream.
    pub dead_lettered: u64,
    /// Events that were accepted and not delivered before the deadline.
    pub undelivered: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events_in, events_out, dropped, failed, dead_lettered, undelivered } = self;
        write!(
            f,
            "in {events_in}, out {events_out}, dropped {dropped}, failed {failed}, \
             dead letters {dead_lettered}, undelivered {undelivered}"
        )
    }
}

fn summary(running: &Running, undelivered: u64) -> Summary {
    let mut summary = Summary { undelivered, ..Summary::default() };
    let mut add = |metrics: &ConnectorMetrics| {
        summary.dropped += metrics.dropped.value();
        summary.failed += metrics.failed.value();
        summary.dead_lettered += metrics.dead_lettered.value();
    };
    let entries = running.entries();
    entries.iter().for_each(|entry| add(&entry.faults.metrics));
    running.graph.sinks.iter().for_each(|sink| add(&sink.faults.metrics));
    summary.events_in = entries.iter().map(|entry| entry.faults.metrics.events.value()).sum();
    summary.events_out = running.graph.sinks.iter().map(|sink| sink.delivered()).sum();
    summary
}

/// Index of the stream of that name.
fn find<'a>(mut names: impl Iterator<Item = &'a str>, wanted: &str) -> Result<usize, EventFluxError> {
    names
        .position(|name| name == wanted)
        .ok_or_else(|| EventFluxError::configuration(format!("there is no stream '{wanted}'")))
}
