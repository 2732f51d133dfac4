//! The life of a bus: connected, working, drained.

use std::sync::Arc;
use std::time::Duration;

use eventflux_core::EventFluxError;
use eventflux_core::health::HealthReporter;
use eventflux_core::runtime::panicked;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::feed::Feed;
use super::follow::follow;
use super::health::Parts;
use super::log::Log;
use super::presence::{Presence, PresenceReader, Writer, forget};
use super::shared::Shared;
use super::teller::{Teller, Told};
use super::{BusConfig, Listener};
use crate::{Connection, Observer};

/// Whether to stop.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    No,
    /// Yes: what is left at `drained` is given up, and everything has ended at `ended`.
    By {
        drained: Instant,
        ended: Instant,
    },
}

/// See the module.
pub(super) struct Run {
    pub(super) config: BusConfig,
    pub(super) instance: String,
    pub(super) observer: Observer,
    pub(super) shared: Arc<Shared>,
    pub(super) presence: Option<Arc<Presence>>,
    pub(super) stop: watch::Receiver<Stop>,
}

/// What runs beside each other while there is a connection.
struct Tasks {
    /// None of them ends by itself.
    endless: JoinSet<()>,
    /// Ends when nobody is said to be present any more.
    writer: JoinSet<()>,
}

impl Run {
    /// Ends when the bus is stopped, or cannot go on.
    pub(super) async fn run(self, listener: Arc<dyn Listener>) {
        let health = Parts::new(self.observer.health.clone());
        let (tell, teller) = Teller::new(listener, self.shared.clone());
        let teller = tokio::spawn(teller.run());
        let result = tokio::select! {
            result = self.work(tell, &health) => result,
            never = health.show() => match never {},
        };
        self.conclude(&result, &health);
        let result = match teller.await {
            Ok(teller) => self.fail_rest(teller, result).await,
            Err(error) => Err(ended(error)),
        };
        if let Err(error @ EventFluxError::Panic { .. }) = &result {
            log::error!("[{}] {error}", self.observer.stream);
            self.shared.end(error.clone());
            health.end(error);
        }
        self.shared.finish();
    }

    /// Says why nothing goes on, where nobody asked for an end.
    fn conclude(&self, result: &Result<(), EventFluxError>, health: &Parts) {
        match result {
            // A panic is told of later, when it is known whose it was.
            Ok(()) | Err(EventFluxError::Stopped | EventFluxError::Panic { .. }) => {}
            Err(error) => {
                if !health.has_failed() {
                    log::error!("[{}] {error}", self.observer.stream);
                }
                health.end(error);
            }
        }
    }

    /// After giving up: what has no outcome has failed.
    async fn fail_rest(&self, teller: Teller, result: Result<(), EventFluxError>) -> Result<(), EventFluxError> {
        if let Err(error) = &result {
            self.shared.end(error.clone());
            let error = error.clone();
            // On a task of its own, so that a panic of the listener ends nothing else.
            tokio::spawn(async move { teller.fail_rest(&error) }).await.map_err(ended)?;
        }
        result
    }

    async fn work(&self, tell: mpsc::Sender<Vec<Told>>, health: &Parts) -> Result<(), EventFluxError> {
        let observer = self.observer_of(&health.connection);
        let connection = tokio::select! {
            opened = Connection::open(&self.config.connection, &observer) => opened?,
            _ = self.asked() => return Ok(()),
            () = tell.closed() => return Err(EventFluxError::Stopped),
        };
        let mut tasks = self.start(&connection, &tell, health);
        let result = tokio::select! {
            error = connection.given_up() => Err(error),
            // The listener panicked.
            () = tell.closed() => Err(EventFluxError::Stopped),
            Some(Err(error)) = tasks.endless.join_next() => Err(ended(error)),
            by = self.asked() => self.drain(by, &connection, &mut tasks.writer).await,
        };
        tasks.endless.shutdown().await;
        tasks.writer.shutdown().await;
        let goodbye = match *self.stop.borrow() {
            Stop::By { ended, .. } => ended.saturating_duration_since(Instant::now()),
            Stop::No => Duration::ZERO,
        };
        connection.close(goodbye).await;
        result
    }

    fn start(&self, connection: &Connection, tell: &mpsc::Sender<Vec<Told>>, health: &Parts) -> Tasks {
        let Self { config, instance, observer, .. } = self;
        let (mut endless, mut writer) = (JoinSet::new(), JoinSet::new());
        let (there, is_there) = watch::channel(false);
        let log = Log::new(config, connection, observer, tell.clone(), there);
        endless.spawn(follow(connection.clone(), self.observer_of(&health.reader), log));
        let publishing = self.observer_of(&health.publisher);
        let feed = Feed::new(config, instance, connection, &publishing, self.shared.clone(), tell.clone());
        endless.spawn(feed.run(is_there));
        if let Some((presence, ttl)) = self.presence.clone().zip(config.presence) {
            let observer = beside(observer);
            let (there, is_there) = watch::channel(false);
            let reader = PresenceReader::new(config, ttl, instance, connection, presence.clone(), tell.clone(), there);
            endless.spawn(forget(reader.others(), tell.clone()));
            endless.spawn(follow(connection.clone(), observer.clone(), reader));
            writer.spawn(Writer::new(config, instance, connection, &observer, presence).run(is_there));
        }
        Tasks { endless, writer }
    }

    /// Sends what was taken, and takes back what was said.
    async fn drain(
        &self,
        by: Instant,
        connection: &Connection,
        writer: &mut JoinSet<()>,
    ) -> Result<(), EventFluxError> {
        if let Some(presence) = &self.presence {
            presence.leave();
        }
        let drained = async {
            // An error means that the listener is gone.
            let _ = self.shared.settled().await;
            // Without a server nobody can be told; they will notice.
            if connection.is_connected() {
                let _ = writer.join_next().await;
            }
        };
        tokio::select! {
            error = connection.given_up() => Err(error),
            // An error means that the time is over: what is left is counted.
            _ = timeout_at(by, drained) => Ok(()),
        }
    }

    /// An observer that shows the state of a part.
    fn observer_of(&self, part: &HealthReporter) -> Observer {
        Observer { health: part.clone(), ..self.observer.clone() }
    }

    /// Resolves when it is to stop: until when it may drain.
    async fn asked(&self) -> Instant {
        let mut stop = self.stop.clone();
        match stop.wait_for(|stop| matches!(stop, Stop::By { .. })).await.as_deref() {
            Ok(Stop::By { drained, .. }) => *drained,
            // Nobody holds the bus any more.
            _ => Instant::now(),
        }
    }
}

/// An observer that neither counts nor shows its state where that of the log does.
fn beside(observer: &Observer) -> Observer {
    Observer {
        connector: format!("{}-presence", observer.connector),
        health: HealthReporter::default(),
        ..observer.clone()
    }
}

/// Why a task ended that should not.
fn ended(error: JoinError) -> EventFluxError {
    error.try_into_panic().map_or(EventFluxError::Stopped, |panic| panicked("bus", &*panic))
}
