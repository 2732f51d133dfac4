//! What `eventflux run` runs: pipelines, and where each of them is in its life. Shared by those who run them and those
//! who ask about them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use eventflux_core::EventFluxError;
use eventflux_core::metrics::Metrics;
use eventflux_engine::{ConnectorStatus, EventFlux, Stopper, Summary};

/// One run of the command.
#[derive(Debug)]
pub(crate) struct Process {
    /// In the order of the command line.
    pub(crate) pipelines: Vec<Pipeline>,
    /// What belongs to no pipeline.
    pub(crate) metrics: Metrics,
    started: Instant,
    stopping: AtomicBool,
}

/// One pipeline, from its plan to its end.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Its file as written on the command line; when the same is written again, with a number.
    pub(crate) name: String,
    metrics: Metrics,
    started: OnceLock<Instant>,
    phase: Mutex<Phase>,
    /// Read while it runs (to wait, and for its status), written to start and to stop it.
    flux: RwLock<EventFlux>,
    /// What it looked like last; the metrics of its connectors are live.
    last: Mutex<Snapshot>,
}

/// Where a pipeline is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not all of its connectors are started.
    Starting,
    /// Events flow.
    Running,
    /// What is under way is delivered; nothing new is taken.
    Stopping,
    /// Over, without a fault.
    Ended,
    /// A fault ended it, or kept it from starting.
    Failed(EventFluxError),
}

/// How a pipeline ended.
pub(crate) struct Ending {
    pub(crate) ran_for: Duration,
    pub(crate) result: Result<(), EventFluxError>,
    pub(crate) summary: Summary,
}

/// The connectors and totals of a pipeline at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) connectors: Vec<ConnectorStatus>,
    pub(crate) summary: Summary,
}

impl Process {
    /// The process of planned pipelines, with their names.
    pub(crate) fn new(planned: Vec<(String, EventFlux)>) -> Self {
        let mut pipelines: Vec<Pipeline> = Vec::with_capacity(planned.len());
        for (file, flux) in planned {
            let name = unique(file, &pipelines);
            pipelines.push(Pipeline::new(name, flux));
        }
        let metrics = Metrics::default();
        metrics
            .describe("process_start_time_seconds", "When the process started, in seconds since 1970-01-01T00:00:00Z.");
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        metrics.gauge("process_start_time_seconds", &[]).set(since_1970.as_secs());
        metrics.describe("eventflux_build_info", "Always 1; the label is the version.");
        metrics.gauge("eventflux_build_info", &[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        Self { pipelines, metrics, started: Instant::now(), stopping: AtomicBool::new(false) }
    }

    /// Says that all pipelines are asked to stop.
    pub(crate) fn set_stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether all pipelines are asked to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// How long it has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Pipeline {
    fn new(name: String, flux: EventFlux) -> Self {
        Self {
            name,
            metrics: flux.metrics().clone(),
            started: OnceLock::new(),
            phase: Mutex::new(Phase::Starting),
            flux: RwLock::new(flux),
            last: Mutex::default(),
        }
    }

    /// Starts it.
    ///
    /// # Errors
    /// The connector that cannot start.
    pub(crate) fn start(&self) -> Result<Stopper, EventFluxError> {
        let mut flux = self.flux.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = flux.start() {
            self.enter(Phase::Failed(error.clone()));
            return Err(error);
        }
        self.started.get_or_init(Instant::now);
        *lock(&self.last) = Snapshot::of(&flux);
        self.enter(Phase::Running);
        Ok(flux.stopper())
    }

    /// Blocks until it ended by itself, failed, or was asked to stop; then drains it.
    pub(crate) fn run_to_the_end(&self, drain: Duration) -> Ending {
        let flux = self.flux.read().unwrap_or_else(PoisonError::into_inner);
        let result = flux.wait();
        *lock(&self.last) = Snapshot::of(&flux);
        drop(flux);
        if let Err(error) = &result {
            self.enter(Phase::Failed(error.clone()));
        }
        let summary = self.stop(drain);
        Ending { ran_for: self.uptime().unwrap_or_default(), result, summary }
    }

    /// Stops it, within the time `drain`.
    pub(crate) fn stop(&self, drain: Duration) -> Summary {
        self.enter(Phase::Stopping);
        let mut flux = self.flux.write().unwrap_or_else(PoisonError::into_inner);
        let summary = flux.stop(drain);
        *lock(&self.last) = Snapshot { connectors: flux.status(), summary };
        self.enter(Phase::Ended);
        summary
    }

    /// Its connectors and totals; while it starts or stops, as they were before.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut last = lock(&self.last);
        // After the end only the snapshot that was kept has what was not delivered.
        if matches!(self.phase(), Phase::Running) {
            match self.flux.try_read() {
                Ok(flux) => *last = Snapshot::of(&flux),
                Err(TryLockError::Poisoned(flux)) => *last = Snapshot::of(&flux.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        last.clone()
    }

    /// Where it is in its life.
    pub(crate) fn phase(&self) -> Phase {
        lock(&self.phase).clone()
    }

    /// Its metrics, live at any time.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Time since it was started.
    pub(crate) fn uptime(&self) -> Option<Duration> {
        self.started.get().map(Instant::elapsed)
    }

    /// A fault stays.
    fn enter(&self, next: Phase) {
        let mut phase = lock(&self.phase);
        if !matches!(*phase, Phase::Failed(_)) {
            *phase = next;
        }
    }
}

impl Phase {
    /// Every name.
    pub(crate) const NAMES: [&'static str; 5] = ["starting", "running", "stopping", "ended", "failed"];

    /// The phase as one lower-case word.
    pub(crate) fn name(&self) -> &'static str {
        let [starting, running, stopping, ended, failed] = Self::NAMES;
        match self {
            Self::Starting => starting,
            Self::Running => running,
            Self::Stopping => stopping,
            Self::Ended => ended,
            Self::Failed(_) => failed,
        }
    }
}

impl Snapshot {
    fn of(flux: &EventFlux) -> Self {
        Self { connectors: flux.status(), summary: flux.summary() }
    }
}

/// `file`, with a number when one of the pipelines has that name.
fn unique(file: String, pipelines: &[Pipeline]) -> String {
    let taken = |name: &str| pipelines.iter().any(|pipeline| pipeline.name == name);
    let mut name = file.clone();
    let mut number = 1;
    while taken(&name) {
        number += 1;
        name = format!("{file}-{number}");
    }
    name
}

/// Locks even when a thread panicked while it held the lock: what these locks protect is whole at every moment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A process of pipelines with these names, all with this SQL, none of them started.
    pub(crate) fn process(sql: &str, files: &[&str]) -> Process {
        let context = crate::context::context();
        let plan = |file: &&str| ((*file).to_owned(), EventFlux::from_sql(sql, &context).unwrap());
        Process::new(files.iter().map(plan).collect())
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::Value;

    use super::*;

    const SQL: &str = "CREATE STREAM Numbers (n INT);";

    fn process(files: &[&str]) -> Process {
        testing::process(SQL, files)
    }

    #[test]
    fn a_pipeline_starts_runs_and_ends() {
        let process = process(&["a.sql"]);
        let pipeline = &process.pipelines[0];
        assert_eq!((pipeline.phase(), pipeline.uptime()), (Phase::Starting, None));
        pipeline.start().unwrap();
        assert_eq!(pipeline.phase(), Phase::Running);
        let input = pipeline.flux.read().unwrap().input("Numbers").unwrap();
        input.send(&[Value::Int(1)]).unwrap();
        assert_eq!(pipeline.snapshot().summary.events_in, 1);
        pipeline.stop(Duration::from_secs(1));
        assert_eq!(pipeline.phase(), Phase::Ended);
        assert_eq!(pipeline.snapshot().summary.events_in, 1);
    }

    #[test]
    fn a_fault_stays_though_the_pipeline_is_stopped() {
        let process = process(&["a.sql"]);
        let pipeline = &process.pipelines[0];
        pipeline.start().unwrap();
        let again = pipeline.start().unwrap_err();
        pipeline.stop(Duration::from_secs(1));
        assert_eq!(pipeline.phase(), Phase::Failed(again));
    }

    #[test]
    fn a_file_that_runs_twice_has_two_names() {
        let process = process(&["a.sql", "b.sql", "a.sql"]);
        let names: Vec<_> = process.pipelines.iter().map(|pipeline| &*pipeline.name).collect();
        assert_eq!(names, ["a.sql", "b.sql", "a.sql-2"]);
    }
}
