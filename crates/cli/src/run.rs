//! `eventflux run`: plan all files, start all pipelines, watch them to their end.
//!
//! Pipelines do not depend on each other: one that fails is stopped and reported, the others go on.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use eventflux_core::EventFluxError;
use eventflux_engine::{ConnectorStatus, EventFlux, Stopper, Summary};

use crate::args::RunArgs;
use crate::context::context;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::summary;
use crate::{files, output, signals};

/// Runs the pipelines of all files. Nothing is started when one of them has a mistake.
pub(crate) fn run(args: &RunArgs, quiet: bool) -> Exit {
    let planned = match plan(args) {
        Ok(planned) => planned,
        Err(exit) => return exit,
    };
    let stop_all = StopAll::default();
    if let Err(error) = stop_all.at_first_signal(args.drain_timeout, quiet) {
        output::print_error(&format!("cannot watch for signals: {error}"));
        return Exit::PipelineFailed;
    }
    match start(planned, args.drain_timeout, &stop_all) {
        Ok(pipelines) => {
            let progress = Progress::new(args.no_progress || quiet, args.progress_interval);
            supervise(&pipelines, args.drain_timeout, progress, quiet)
        }
        Err(exit) => exit,
    }
}

/// Plans every file, and reports the mistakes of all. A file without a source is one: it would wait for ever.
fn plan(args: &RunArgs) -> Result<Vec<(String, EventFlux)>, Exit> {
    let (context, color) = (context(), output::has_color());
    let mut pipelines = Vec::with_capacity(args.files.len());
    for (path, file) in args.files.iter().zip(files::read_all(&args.files, &args.overrides)?) {
        match EventFlux::from_file(file.source, &file.overrides, &context) {
            Ok(pipeline) => {
                output::note(&pipeline.warnings().render(color));
                if pipeline.has_sources() {
                    pipelines.push((path.display().to_string(), pipeline));
                } else {
                    let path = path.display();
                    output::print_error(&format!("{path}: nothing to run: no stream has a source (add @source(...))"));
                }
            }
            Err(mistakes) => output::note(&mistakes.render(color)),
        }
    }
    if pipelines.len() == args.files.len() { Ok(pipelines) } else { Err(Exit::Usage) }
}

/// Passes the first signal on to every pipeline, those that start later included.
#[derive(Clone, Default)]
struct StopAll(Arc<Mutex<StopRequest>>);

#[derive(Default)]
struct StopRequest {
    requested: bool,
    stoppers: Vec<Stopper>,
}

impl StopAll {
    fn at_first_signal(&self, drain: Duration, quiet: bool) -> io::Result<()> {
        let request = self.0.clone();
        signals::handle(move || {
            if !quiet {
                let limit = summary::seconds(drain);
                output::note(&format!(
                    "stopping: delivering what is under way, for at most {limit}; a second signal stops at once"
                ));
            }
            let mut request = lock(&request);
            request.requested = true;
            request.stoppers.iter().for_each(Stopper::request);
        })
    }

    /// Adds a pipeline that was just started.
    fn add(&self, stopper: Stopper) {
        let mut request = lock(&self.0);
        if request.requested {
            stopper.request();
        }
        request.stoppers.push(stopper);
    }
}

/// A pipeline that was started.
struct Running {
    name: String,
    started: Instant,
    /// Read while it runs (to wait, and for its status), written once to stop it.
    pipeline: RwLock<EventFlux>,
    /// What the connectors reported last; their metrics are live.
    connectors: Mutex<Vec<ConnectorStatus>>,
}

/// How a pipeline ended.
struct Ended<'a> {
    running: &'a Running,
    ran_for: Duration,
    result: Result<(), EventFluxError>,
    summary: Summary,
}

/// Starts all pipelines; when one cannot be started, those before it are stopped again.
fn start(planned: Vec<(String, EventFlux)>, drain: Duration, stop_all: &StopAll) -> Result<Vec<Running>, Exit> {
    let mut running: Vec<Running> = Vec::with_capacity(planned.len());
    for (name, mut pipeline) in planned {
        if let Err(error) = pipeline.start() {
            output::print_error(&format!("{name}: cannot start: {error}"));
            for before in &running {
                before.stop(drain);
            }
            return Err(Exit::PipelineFailed);
        }
        stop_all.add(pipeline.stopper());
        let connectors = Mutex::new(pipeline.status());
        running.push(Running { name, started: Instant::now(), pipeline: RwLock::new(pipeline), connectors });
    }
    Ok(running)
}

/// Waits for all pipelines, each on a thread of its own, and shows progress meanwhile.
fn supervise(pipelines: &[Running], drain: Duration, mut progress: Progress, quiet: bool) -> Exit {
    let mut exit = Exit::Success;
    let (sender, ended) = mpsc::channel();
    thread::scope(|scope| {
        for running in pipelines {
            let sender = sender.clone();
            // The receiver outlives the scope, so sending cannot fail.
            scope.spawn(move || drop(sender.send(running.wait_and_stop(drain))));
        }
        drop(sender);
        loop {
            match ended.recv_timeout(progress.pause()) {
                Ok(end) => {
                    progress.finish();
                    if end.report(quiet) == Exit::PipelineFailed {
                        exit = Exit::PipelineFailed;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let connectors: Vec<_> = pipelines.iter().flat_map(Running::status).collect();
                    progress.show(&connectors);
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    exit
}

impl Running {
    /// Blocks until the pipeline ended or a signal arrived, then drains it.
    fn wait_and_stop(&self, drain: Duration) -> Ended<'_> {
        let result = self.pipeline.read().unwrap_or_else(PoisonError::into_inner).wait();
        let summary = self.stop(drain);
        Ended { running: self, ran_for: self.started.elapsed(), result, summary }
    }

    fn stop(&self, drain: Duration) -> Summary {
        self.pipeline.write().unwrap_or_else(PoisonError::into_inner).stop(drain)
    }

    /// The state of its connectors; while it drains, the state they had before.
    fn status(&self) -> Vec<ConnectorStatus> {
        let mut connectors = lock(&self.connectors);
        if let Ok(pipeline) = self.pipeline.try_read() {
            *connectors = pipeline.status();
        }
        connectors.clone()
    }
}

impl Ended<'_> {
    fn report(&self, quiet: bool) -> Exit {
        let name = &self.running.name;
        let undelivered = self.summary.undelivered;
        if let Err(error) = &self.result {
            output::print_error(&format!("{name}: failed: {error}"));
        }
        if undelivered > 0 {
            let count = summary::grouped(undelivered);
            output::print_error(&format!("{name}: {count} events were not delivered before the end of the drain"));
        }
        if !quiet {
            let how = if self.result.is_ok() { "ended" } else { "failed" };
            output::note(&summary::text(name, how, self.ran_for, &self.summary, &self.running.status()));
        }
        if self.result.is_ok() && undelivered == 0 { Exit::Success } else { Exit::PipelineFailed }
    }
}

/// Locks even when a thread panicked while it held the lock: what these locks protect is whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
