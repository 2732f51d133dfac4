//! Threads and the shared tokio runtime.
//!
//! A source whose speed matters runs on a thread of its own ([`SourceWorker`]); everything else (the I/O of most sinks,
//! timers, listeners) shares one small multi-thread runtime ([`shared`]).

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::{EventFluxError, SourceCallback, escape_control};

/// Worker threads of the shared runtime.
pub const SHARED_WORKERS: usize = 2;

/// The runtime that connectors share; started when it is first asked for, for the life of the process.
///
/// # Errors
/// When the system refuses to start its threads.
pub fn shared() -> Result<&'static Handle, EventFluxError> {
    static SHARED: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let runtime = SHARED.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(SHARED_WORKERS)
            .thread_name("eventflux-io")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())
    });
    runtime
        .as_ref()
        .map(Runtime::handle)
        .map_err(|reason| EventFluxError::configuration(format!("cannot start the I/O threads: {reason}")))
}

/// Tells a task that it is asked to stop. Copies share the request.
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// A signal and the sender that raises it (send `true`; dropping it raises it too).
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether it is raised.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Resolves when it is raised.
    pub async fn stopped(&self) {
        // An error means that the sender is gone, which counts as raised.
        let _ = self.0.clone().wait_for(|stopped| *stopped).await;
    }

    /// Waits for `duration`, or until it is raised; returns whether the time passed in full.
    pub async fn sleep(&self, duration: Duration) -> bool {
        tokio::select! {
            () = self.stopped() => false,
            () = tokio::time::sleep(duration) => true,
        }
    }
}

/// A source's thread with a current-thread runtime: runs one future, contains its panic, and reports the end to the
/// callback.
#[derive(Debug)]
pub struct SourceWorker {
    stop: watch::Sender<bool>,
    done: mpsc::Receiver<()>,
}

impl SourceWorker {
    /// Starts the thread. `task` is called on it, with the signal that tells it to stop; its result, or its panic,
    /// goes to [`SourceCallback::on_end`].
    ///
    /// # Errors
    /// When the system refuses a thread or a runtime.
    pub fn spawn<F, Fut>(name: &str, callback: Arc<dyn SourceCallback>, task: F) -> Result<Self, EventFluxError>
    where
        F: FnOnce(StopSignal, Arc<dyn SourceCallback>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), EventFluxError>>,
    {
        let refused = |error: std::io::Error| EventFluxError::configuration(format!("cannot start a thread: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let (stop, signal) = StopSignal::new();
        let (finished, done) = mpsc::channel();
        let component = name.to_owned();
        thread::Builder::new()
            .name(thread_name(name))
            .spawn(move || {
                let run = AssertUnwindSafe(|| runtime.block_on(task(signal, callback.clone())));
                let result = std::panic::catch_unwind(run).unwrap_or_else(|panic| Err(panicked(&component, &*panic)));
                callback.on_end(result);
                drop(runtime);
                let _ = finished.send(());
            })
            .map_err(refused)?;
        Ok(Self { stop, done })
    }

    /// Asks the task to stop and waits for it, at most `deadline`; returns whether it ended.
    pub fn stop(&self, deadline: Duration) -> bool {
        self.stop.send_replace(true);
        match self.done.recv_timeout(deadline) {
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => true,
            Err(mpsc::RecvTimeoutError::Timeout) => false,
        }
    }
}

/// The error for a caught panic. Its text is safe to log: line breaks, as `assert_eq!` writes them, are escaped.
pub fn panicked(component: &str, panic: &(dyn Any + Send)) -> EventFluxError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let reason = escape_control(text).into_owned();
    EventFluxError::Panic { component: component.to_owned(), reason }
}

/// Linux shows 15 bytes of a thread's name.
fn thread_name(name: &str) -> String {
    name.chars().filter(|c| *c != '\0').take(15).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Recorder {
        data: Mutex<Vec<Vec<u8>>>,
        ends: Mutex<Vec<Result<(), EventFluxError>>>,
    }

    impl SourceCallback for Recorder {
        fn on_data(&self, data: &[u8]) -> Result<(), EventFluxError> {
            self.data.lock().unwrap().push(data.to_vec());
            Ok(())
        }
        fn on_error(&self, _: EventFluxError, _: &[u8]) -> Result<(), EventFluxError> {
            Ok(())
        }
        fn on_end(&self, result: Result<(), EventFluxError>) {
            self.ends.lock().unwrap().push(result);
        }
    }

    #[test]
    fn a_worker_runs_until_it_is_stopped_and_reports_its_end_once() {
        let recorder = Arc::new(Recorder::default());
        let worker = SourceWorker::spawn("test", recorder.clone(), |signal, callback| async move {
            callback.on_data(b"x")?;
            signal.stopped().await;
            Ok(())
        })
        .unwrap();
        assert!(worker.stop(Duration::from_secs(10)));
        assert!(worker.stop(Duration::from_secs(10)));
        assert_eq!(*recorder.data.lock().unwrap(), [b"x"]);
        assert_eq!(*recorder.ends.lock().unwrap(), [Ok(())]);
    }

    #[test]
    fn a_panic_is_contained_and_reported() {
        let recorder = Arc::new(Recorder::default());
        let worker =
            SourceWorker::spawn("test", recorder.clone(), |_, _| async { panic!("broken {}", "part") }).unwrap();
        assert!(worker.stop(Duration::from_secs(10)));
        let ends = recorder.ends.lock().unwrap();
        assert_eq!(ends[0].clone().unwrap_err().to_string(), "test panicked: broken part");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_ends_early_when_the_signal_is_raised() {
        let (sender, signal) = StopSignal::new();
        assert!(signal.sleep(Duration::from_secs(5)).await);
        sender.send_replace(true);
        assert!(signal.is_stopped());
        assert!(!signal.sleep(Duration::from_secs(5)).await);
    }

    #[test]
    fn control_characters_of_a_panic_are_escaped() {
        let panic: Box<dyn Any + Send> = Box::new("a\n\u{1b}[31m 'b' \u{e9}".to_owned());
        let reason = panicked("x", &*panic).to_string();
        assert!(reason.ends_with("a\\n\\u{1b}[31m 'b' \u{e9}"), "{reason}");
    }

    #[test]
    fn a_dropped_sender_counts_as_raised() {
        let (sender, signal) = StopSignal::new();
        assert!(!signal.is_stopped());
        drop(sender);
        assert!(signal.is_stopped());
    }
}
