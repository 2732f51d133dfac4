//! `eventflux run`: plan all files, start all pipelines, watch them to their end.
//!
//! Pipelines do not depend on each other: one that fails is stopped and reported, the others go on.

use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use eventflux_engine::{EventFlux, Stopper, components};

use crate::admin::Admin;
use crate::args::RunArgs;
use crate::context::context;
use crate::exit::Exit;
use crate::process::{Ending, Pipeline, Process, lock};
use crate::progress::Progress;
use crate::summary;
use crate::{files, output, signals};

/// Runs the pipelines of all files. Nothing is started when one of them has a mistake.
pub(crate) fn run(args: &RunArgs, quiet: bool) -> Exit {
    let process = match plan(args) {
        Ok(planned) => Arc::new(Process::new(planned)),
        Err(exit) => return exit,
    };
    let stop_all = StopAll::default();
    if let Err(error) = stop_all.at_first_signal(process.clone(), args.drain_timeout, quiet) {
        output::print_error(&format!("cannot watch for signals: {error}"));
        return Exit::PipelineFailed;
    }
    let admin = match Admin::start(&args.admin, &process) {
        Ok(admin) => admin,
        Err(problem) => {
            output::print_error(&problem);
            return Exit::PipelineFailed;
        }
    };
    let exit = start(&process, args.drain_timeout, &stop_all).map_or_else(
        |exit| exit,
        |()| {
            let progress = Progress::new(args.no_progress || quiet, args.progress_interval);
            supervise(&process.pipelines, args.drain_timeout, progress, quiet)
        },
    );
    // It answers until there is nothing left to ask about.
    drop(admin);
    exit
}

/// Plans every file, and reports the mistakes of all. A file without a source is one: it would wait for ever.
fn plan(args: &RunArgs) -> Result<Vec<(String, EventFlux)>, Exit> {
    let (context, color) = (context(), output::has_color());
    let mut pipelines = Vec::with_capacity(args.files.len());
    for (path, file) in args.files.iter().zip(files::read_all(&args.files, &args.overrides)?) {
        let is_component_file = components::is_component_file(&file.source);
        match EventFlux::from_file(file.source, &file.overrides, &context) {
            Ok(pipeline) => {
                output::note(&pipeline.warnings().render(color));
                if pipeline.has_sources() {
                    pipelines.push((path.display().to_string(), pipeline));
                } else {
                    let missing = match is_component_file {
                        true => "no component is an input",
                        false => "no stream has a source (add @source(...))",
                    };
                    output::print_error(&format!("{}: nothing to run: {missing}", path.display()));
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
    fn at_first_signal(&self, process: Arc<Process>, drain: Duration, quiet: bool) -> io::Result<()> {
        let request = self.0.clone();
        signals::handle(move || {
            process.set_stopping();
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

/// Starts all pipelines; when one cannot be started, those before it are stopped again.
fn start(process: &Process, drain: Duration, stop_all: &StopAll) -> Result<(), Exit> {
    for (index, pipeline) in process.pipelines.iter().enumerate() {
        match pipeline.start() {
            Ok(stopper) => stop_all.add(stopper),
            Err(error) => {
                output::print_error(&format!("{}: cannot start: {error}", pipeline.name));
                for before in &process.pipelines[..index] {
                    before.stop(drain);
                }
                return Err(Exit::PipelineFailed);
            }
        }
    }
    Ok(())
}

/// Waits for all pipelines, each on a thread of its own, and shows progress meanwhile.
fn supervise(pipelines: &[Pipeline], drain: Duration, mut progress: Progress, quiet: bool) -> Exit {
    let mut exit = Exit::Success;
    let (sender, ended) = mpsc::channel();
    thread::scope(|scope| {
        for pipeline in pipelines {
            let sender = sender.clone();
            // The receiver outlives the scope, so sending cannot fail.
            scope.spawn(move || drop(sender.send((pipeline, pipeline.run_to_the_end(drain)))));
        }
        drop(sender);
        loop {
            match ended.recv_timeout(progress.pause()) {
                Ok((pipeline, ending)) => {
                    progress.finish();
                    if report(pipeline, &ending, quiet) == Exit::PipelineFailed {
                        exit = Exit::PipelineFailed;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let connectors: Vec<_> =
                        pipelines.iter().flat_map(|pipeline| pipeline.snapshot().connectors).collect();
                    progress.show(&connectors);
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    exit
}

/// Says how a pipeline ended.
fn report(pipeline: &Pipeline, ending: &Ending, quiet: bool) -> Exit {
    let Ending { ran_for, result, summary } = ending;
    let name = &pipeline.name;
    let undelivered = summary.undelivered;
    if let Err(error) = result {
        output::print_error(&format!("{name}: failed: {error}"));
    }
    if undelivered > 0 {
        let count = summary::grouped(undelivered);
        output::print_error(&format!("{name}: {count} events were not delivered before the end of the drain"));
    }
    if !quiet {
        let how = if result.is_ok() { "ended" } else { "failed" };
        output::note(&summary::text(name, how, *ran_for, summary, &pipeline.snapshot().connectors));
    }
    if result.is_ok() && undelivered == 0 { Exit::Success } else { Exit::PipelineFailed }
}
