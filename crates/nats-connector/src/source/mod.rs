//! The `nats` source: a thread, and what runs on it.

mod core;
mod jetstream;
mod message;
mod partitions;
mod pending;
mod subscriptions;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::{SourceWorker, StopSignal};
use eventflux_core::{ConnectorContext, EventFluxError, Source, SourceCallback};
use eventflux_nats::{Connection, ConnectionConfig, Observer};
use tokio::time::Instant;

pub(crate) use self::core::CoreConfig;
pub(crate) use self::jetstream::JetStreamConfig;
pub(crate) use self::message::{Answered, Delivery};
pub(crate) use self::partitions::PartitionsConfig;
use crate::config::{NatsSourceConfig, SourceMode};
use crate::presence::Presence;
use crate::replies::{self, Exchanges, Hearing};

/// Receives messages of NATS. See the module documentation of the crate.
#[derive(Debug)]
pub struct NatsSource {
    config: NatsSourceConfig,
    context: ConnectorContext,
    /// Says that there is one that hears the answers, when it is one.
    hearing: Option<Hearing>,
    worker: Option<SourceWorker>,
    stop_by: StopBy,
    stopped: bool,
}

/// What every way of receiving runs with, on the source's thread. Each is a function
/// `run(config, work) -> Result<(), EventFluxError>` that returns when it was told to stop, with `Ok`; when it gave up; or
/// with what the pipeline answered.
pub(crate) struct Work {
    pub(crate) connection: ConnectionConfig,
    pub(crate) context: ConnectorContext,
    pub(crate) signal: StopSignal,
    pub(crate) callback: Arc<dyn SourceCallback>,
    pub(crate) stop_by: StopBy,
    presence: Presence,
}

/// When a source that is told to stop must be done; set before the signal is raised. Copies share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopBy(Arc<OnceLock<Instant>>);

impl NatsSource {
    pub(crate) fn new(
        config: NatsSourceConfig,
        context: ConnectorContext,
        exchanges: &Exchanges,
    ) -> Result<Self, EventFluxError> {
        let hearing = match &config.mode {
            SourceMode::Replies(name) => Some(exchanges.hear(name)),
            SourceMode::Core(_) | SourceMode::JetStream(_) | SourceMode::Partitions(_) => None,
        };
        Ok(Self { config, context, hearing, worker: None, stop_by: StopBy::default(), stopped: false })
    }
}

impl Source for NatsSource {
    fn start(&mut self, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        if self.stopped {
            return Err(EventFluxError::Stopped);
        }
        if self.worker.is_some() {
            return Err(EventFluxError::configuration("the source is started already"));
        }
        let receiving = self.hearing.as_ref().map(|hearing| hearing.start(&self.context)).transpose()?;
        let NatsSourceConfig { connection, mode } = self.config.clone();
        let (context, stop_by) = (self.context.clone(), self.stop_by.clone());
        let name = self.context.stream.clone();
        self.worker = Some(SourceWorker::spawn(&name, callback, move |signal, callback| async move {
            let health = context.health.clone();
            let result = match (mode, connection, receiving) {
                (SourceMode::Replies(_), _, Some(receiving)) => {
                    replies::run(receiving, &context, &signal, &*callback).await
                }
                (mode, Some(connection), _) => {
                    let presence = Presence::default();
                    let work = Work { connection, context, signal, callback, stop_by, presence };
                    match mode {
                        SourceMode::Core(config) => core::run(config, work).await,
                        SourceMode::JetStream(config) => jetstream::run(config, work).await,
                        SourceMode::Partitions(config) => partitions::run(config, work).await,
                        SourceMode::Replies(_) => Ok(()),
                    }
                }
                // One that hears answers has begun to; everybody else has a connection.
                (_, None, _) => Err(EventFluxError::Stopped),
            };
            match &result {
                Ok(()) => health.set(ConnectionState::Stopped, None),
                Err(error) => health.set(ConnectionState::Failed, error.to_string()),
            }
            result
        })?);
        Ok(())
    }

    fn stop(&mut self, deadline: Duration) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        let Some(worker) = &self.worker else {
            self.context.health.set(ConnectionState::Stopped, None);
            return;
        };
        self.stop_by.set(Instant::now() + deadline);
        if !worker.stop(deadline) {
            log::warn!("[{}] the source did not stop within {}ms", self.context.stream, deadline.as_millis());
        }
    }

    fn clone_box(&self) -> Box<dyn Source> {
        Box::new(Self {
            config: self.config.clone(),
            context: self.context.clone(),
            hearing: self.hearing.clone(),
            worker: None,
            stop_by: StopBy::default(),
            stopped: false,
        })
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        // One that hears answers has none: whoever asks connects.
        self.config.connection.as_ref().map_or(Ok(()), Connection::validate)
    }
}

impl Drop for NatsSource {
    fn drop(&mut self) {
        // One that never started has nothing to end, and shares its health with a clone that may be running.
        if self.worker.is_some() {
            self.stop(Duration::ZERO);
        }
    }
}

impl Work {
    /// Connects; `None` when it was told to stop first.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub(crate) async fn connect(&self) -> Result<Option<Connection>, EventFluxError> {
        let observer = Observer::of(&self.context);
        let connection = tokio::select! {
            biased;
            () = self.signal.stopped() => return Ok(None),
            connection = Connection::open(&self.connection, &observer) => connection?,
        };
        self.presence.show(&self.context, &connection);
        Ok(Some(connection))
    }

    /// Ends the connection within what is left of the time to stop, `limit` at most.
    pub(crate) async fn goodbye(&self, connection: &Connection, limit: Duration) {
        connection.close(self.stop_by.time_left(limit)).await;
        self.presence.hide(&self.context);
    }
}

impl StopBy {
    fn set(&self, by: Instant) {
        let _ = self.0.set(by);
    }

    /// How long it may still take, `limit` at most: nine tenths of what is left, so that `stop` returns in time.
    pub(crate) fn time_left(&self, limit: Duration) -> Duration {
        self.0.get().map_or(limit, |by| (by.saturating_duration_since(Instant::now()) * 9 / 10).min(limit))
    }

    /// What becomes of `future` within `limit`, and within what is left of the time to stop: also when `signal` is raised only
    /// meanwhile. `None` when it takes longer.
    pub(crate) async fn within<F: Future>(&self, signal: &StopSignal, limit: Duration, future: F) -> Option<F::Output> {
        let until = Instant::now() + limit;
        tokio::pin!(future);
        tokio::select! {
            biased;
            output = &mut future => return Some(output),
            () = signal.stopped() => {}
            () = tokio::time::sleep_until(until) => return None,
        }
        let left = self.time_left(until.saturating_duration_since(Instant::now()));
        tokio::time::timeout(left, future).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// How long what never ends may take, when the source is told `before` or meanwhile that it is to stop within a second.
    async fn time_of_one_that_never_ends(told_after: Option<Duration>) -> Duration {
        let (stop_by, (stop, signal)) = (StopBy::default(), StopSignal::new());
        let began = Instant::now();
        let told = async {
            match told_after {
                Some(after) => sleep(after).await,
                None => pending().await,
            }
            stop_by.set(Instant::now() + Duration::from_secs(1));
            stop.send_replace(true);
            pending::<()>().await;
        };
        tokio::select! {
            output = stop_by.within(&signal, LIMIT, pending::<()>()) => assert_eq!(output, None),
            () = told => {}
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_that_comes_meanwhile_shortens_what_is_left() {
        assert_eq!(time_of_one_that_never_ends(None).await.as_secs_f64().round(), 5.0);
        let told_late = time_of_one_that_never_ends(Some(Duration::from_secs(2))).await;
        assert!((2_900..=3_000).contains(&told_late.as_millis()), "{told_late:?}");
        let told_at_last = time_of_one_that_never_ends(Some(Duration::from_millis(4_900))).await;
        assert!((4_900..=5_000).contains(&told_at_last.as_millis()), "{told_at_last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_in_time_is_told_whether_the_source_is_to_stop_or_not() {
        let (stop_by, (stop, signal)) = (StopBy::default(), StopSignal::new());
        let work = || async {
            sleep(Duration::from_millis(500)).await;
            7
        };
        assert_eq!(stop_by.within(&signal, LIMIT, work()).await, Some(7));
        stop_by.set(Instant::now() + Duration::from_secs(1));
        stop.send_replace(true);
        assert_eq!(stop_by.within(&signal, LIMIT, work()).await, Some(7));
        assert_eq!(stop_by.within(&signal, LIMIT, work()).await, None, "less than that is left");
    }
}
