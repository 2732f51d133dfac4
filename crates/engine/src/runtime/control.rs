//! Whether a pipeline runs, has ended, or has failed. Shared by everything in it.

use eventflux_core::EventFluxError;
use eventflux_core::runtime::StopSignal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Where a pipeline is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Events flow.
    Running,
    /// Every source is exhausted; or somebody asked to stop.
    Ended,
    /// A fault ended it; the first one.
    Failed(EventFluxError),
}

/// The phase and the request to stop.
#[derive(Debug)]
pub(crate) struct Control {
    phase: watch::Sender<Phase>,
    stop: watch::Sender<bool>,
    signal: StopSignal,
}

impl Control {
    pub(crate) fn new() -> Self {
        let (stop, signal) = StopSignal::new();
        Self { phase: watch::channel(Phase::Running).0, stop, signal }
    }

    /// Ends the pipeline with a fault; the first one stays.
    pub(crate) fn fail(&self, error: EventFluxError) {
        self.finish(Phase::Failed(error));
    }

    /// Ends the pipeline without a fault, unless it has failed.
    pub(crate) fn end(&self) {
        self.finish(Phase::Ended);
    }

    fn finish(&self, end: Phase) {
        self.phase.send_if_modified(|phase| {
            let running = *phase == Phase::Running;
            if running {
                *phase = end;
            }
            running
        });
    }

    /// Resolves when the pipeline has ended or failed.
    pub(crate) async fn finished(&self) -> Result<(), EventFluxError> {
        let mut receiver = self.phase.subscribe();
        match receiver.wait_for(|phase| *phase != Phase::Running).await.as_deref() {
            Ok(Phase::Failed(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Resolves when nothing that is under way will be settled any more, with the reason: the pipeline has failed, or is
    /// stopped. One that has merely ended still delivers what is under way.
    pub(crate) async fn over(&self) -> EventFluxError {
        let mut receiver = self.phase.subscribe();
        tokio::select! {
            biased;
            failed = receiver.wait_for(|phase| matches!(phase, Phase::Failed(_))) => match failed.as_deref() {
                Ok(Phase::Failed(error)) => error.clone(),
                _ => EventFluxError::Stopped,
            },
            () = self.signal.stopped() => EventFluxError::Stopped,
        }
    }

    /// The fault that ended the pipeline, [`EventFluxError::Stopped`] after the last event was taken, else `Ok`.
    pub(crate) fn check(&self) -> Result<(), EventFluxError> {
        if self.signal.is_stopped() {
            return Err(EventFluxError::Stopped);
        }
        match &*self.phase.borrow() {
            Phase::Failed(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Takes no more events and ends the tasks of the pipeline.
    pub(crate) fn stop(&self) {
        self.end();
        self.stop.send_replace(true);
    }

    /// Raised by [`Control::stop`].
    pub(crate) fn signal(&self) -> &StopSignal {
        &self.signal
    }
}

/// Locks even when another thread panicked while it held the lock: panics are contained, and what the locks protect
/// here is reset before each use.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work`, turning a panic into an error that names `component`.
pub(crate) fn contain<T>(component: &str, work: impl FnOnce() -> T) -> Result<T, EventFluxError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .map_err(|panic| eventflux_core::runtime::panicked(component, &*panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_fault_stays() {
        let control = Control::new();
        assert_eq!(control.check(), Ok(()));
        control.fail(EventFluxError::configuration("one"));
        control.fail(EventFluxError::configuration("two"));
        control.end();
        assert_eq!(control.finished().await, Err(EventFluxError::configuration("one")));
        assert_eq!(control.check(), Err(EventFluxError::configuration("one")));
    }

    #[tokio::test]
    async fn stopping_ends_without_a_fault() {
        let control = Control::new();
        control.stop();
        assert_eq!(control.finished().await, Ok(()));
        assert_eq!(control.check(), Err(EventFluxError::Stopped));
    }
}
