//! What makes the same path of several processes one: events go over a bus that all of them read, in the same order.
//!
//! A sink publishes into the bus (`sink`), and every process, its own included, gives what comes to its hub (`apply`). Who
//! is present is told beside it (`presence`).

mod apply;
mod config;
mod entry;
mod outcome;
mod presence;
mod sink;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventflux_core::health::{ConnectionState, HealthReporter};
use eventflux_core::{ConnectorContext, EventFluxError, runtime};
use eventflux_gateway::Hub;
use eventflux_nats::Observer;
use eventflux_nats::bus::Bus;
use tokio::task::AbortHandle;

pub(crate) use config::BackplaneConfig;
pub(super) use sink::SharedSink;

use self::apply::Applier;
use self::presence::Changes;

/// A path's end of the bus; started.
#[derive(Debug)]
pub(super) struct Backplane {
    hub: Arc<Hub>,
    bus: Arc<Bus>,
    applier: Arc<Applier>,
    next_sink: AtomicU64,
    tasks: Vec<AbortHandle>,
}

impl Backplane {
    /// Begins to connect. `context`: of a source or sink at the path.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when there is no runtime.
    pub(super) fn start(
        config: &BackplaneConfig,
        path: &str,
        hub: &Arc<Hub>,
        context: &ConnectorContext,
    ) -> Result<Self, EventFluxError> {
        let applier = Arc::new(Applier::new(path, hub.clone(), &context.registry));
        let health = HealthReporter::default();
        let observer = Observer { health: health.clone(), ..Observer::of(context) };
        let runtime = runtime::shared()?;
        let mut tasks = vec![runtime.spawn(show(health, applier.clone())).abort_handle()];
        let bus = Bus::start(config.bus.clone(), observer, applier.clone())?;
        if config.bus.presence.is_some() {
            let changes = Arc::<Changes>::default();
            let noted = changes.clone();
            hub.watch_presence(move |channel| noted.note(channel));
            tasks.push(runtime.spawn(changes.tell(hub.clone(), bus.clone())).abort_handle());
        }
        Ok(Self { hub: hub.clone(), bus, applier, next_sink: AtomicU64::new(1), tasks })
    }

    /// Whether clients can be taken in: what was published before is known, and what is published will be.
    pub(super) fn is_ready(&self) -> bool {
        self.applier.is_ready()
    }

    /// From now on `health` tells how the path is where clients connect to `url`.
    pub(super) fn show(&self, user: u64, health: &HealthReporter, url: String) {
        self.applier.states.add(user, health.clone(), url);
    }

    /// It tells no more.
    pub(super) fn hide(&self, user: u64) {
        self.applier.states.remove(user);
    }

    /// Leaves the bus; returns within `deadline`.
    pub(super) fn stop(&self, deadline: Duration) {
        self.tasks.iter().for_each(AbortHandle::abort);
        let unknown = self.bus.stop(deadline);
        if unknown > 0 {
            log::warn!("of {unknown} batches it is not known whether the backplane has them");
        }
    }

    fn next_sink(&self) -> u64 {
        self.next_sink.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Backplane {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Passes on how the bus is, until it is dropped.
async fn show(health: HealthReporter, applier: Arc<Applier>) {
    let mut known = health.current();
    loop {
        if known.state == ConnectionState::Failed {
            applier.fail();
        }
        applier.states.bus(known.clone());
        known = health.changed(&known).await;
    }
}
