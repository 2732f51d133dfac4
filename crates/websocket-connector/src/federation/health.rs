//! Whether a source or sink of links is well: looked at every second, and when somebody asks.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventflux_core::metrics::Metrics;
use eventflux_core::reports::ReportHandle;
use eventflux_core::runtime;
use eventflux_federation::Now;
use eventflux_federation::health::{HealthLimits, HealthMonitor, Mode, Observation};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked at: throughput is counted by the second, and what is not seen to be over goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks until it is dropped.
pub(super) struct Watch {
    monitor: Arc<Monitor>,
    _report: ReportHandle,
    task: Option<AbortHandle>,
}

struct Monitor {
    look: Box<dyn Fn() -> Observation + Send + Sync>,
    monitor: Mutex<HealthMonitor>,
}

impl Watch {
    /// Looks from now on, and reports as `component`.
    pub(super) fn start(
        registry: &Metrics,
        component: &str,
        mode: Mode,
        limits: HealthLimits,
        look: impl Fn() -> Observation + Send + Sync + 'static,
    ) -> Self {
        let monitor = Mutex::new(HealthMonitor::new(mode, limits, Now::read()));
        let monitor = Arc::new(Monitor { look: Box::new(look), monitor });
        monitor.look();
        let asked = monitor.clone();
        let report = registry.components().add(component, move || asked.report());
        let regular = monitor.clone();
        let task = runtime::shared().ok().map(|runtime| {
            let look = async move {
                let mut ticks = interval(LOOK_EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    regular.look();
                }
            };
            runtime.spawn(look).abort_handle()
        });
        Self { monitor, _report: report, task }
    }

    /// How it is now.
    pub(super) fn observation(&self) -> Observation {
        (self.monitor.look)()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("monitor", &*self.monitor.lock()).finish_non_exhaustive()
    }
}

impl Monitor {
    fn look(&self) {
        let mut monitor = self.lock();
        // Under the lock: nobody brings an older observation later.
        monitor.observe((self.look)(), Now::read());
    }

    fn report(&self) -> String {
        self.look();
        let report = self.lock().report(Now::read());
        // It has no key that is no text, so this cannot fail.
        serde_json::to_string(&report).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HealthMonitor> {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
