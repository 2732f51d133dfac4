//! The `blackhole` sink: accepts, and with a delay is busy for a while.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::{BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, RowFailure, Sink, SinkCallback};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::BlackholeSinkConfig;
use crate::sync::lock;

const NEW: u8 = 0;
const RUNNING: u8 = 1;
const STOPPED: u8 = 2;

/// Forgets payloads.
#[derive(Debug)]
pub struct BlackholeSink {
    config: BlackholeSinkConfig,
    context: ConnectorContext,
    phase: AtomicU8,
    /// When it is done with what it accepted; unused without a delay.
    busy_until: Mutex<Option<Instant>>,
    stopped: Notify,
}

impl BlackholeSink {
    /// A sink that is not started.
    pub fn new(config: BlackholeSinkConfig, context: ConnectorContext) -> Self {
        Self { config, context, phase: AtomicU8::new(NEW), busy_until: Mutex::new(None), stopped: Notify::new() }
    }

    fn accept(&self) -> Result<(), EventFluxError> {
        if self.phase.load(Ordering::Acquire) != RUNNING {
            return Err(EventFluxError::Stopped);
        }
        if !self.config.delay.is_zero() {
            let now = Instant::now();
            let mut busy_until = lock(&self.busy_until);
            let start = busy_until.map_or(now, |until| until.max(now));
            *busy_until = start.checked_add(self.config.delay).or(Some(start));
        }
        Ok(())
    }

    /// Until when it takes nothing more; `None`: it is ready.
    fn busy(&self) -> Option<Instant> {
        if self.config.delay.is_zero() || self.phase.load(Ordering::Acquire) != RUNNING {
            return None;
        }
        lock(&self.busy_until).filter(|until| *until > Instant::now())
    }
}

impl Sink for BlackholeSink {
    fn start(&self, _callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        let started = self.phase.compare_exchange(NEW, RUNNING, Ordering::AcqRel, Ordering::Acquire);
        started.map_err(|_| EventFluxError::configuration("a blackhole sink starts once; use a clone"))?;
        self.context.health.set(ConnectionState::Connected, None);
        Ok(())
    }

    fn publish(&self, _payload: &[u8]) -> Result<(), EventFluxError> {
        self.accept()
    }

    fn publish_batch(&self, _batch: &EncodedBatch) -> Result<(), RowFailure> {
        self.accept().map_err(|error| RowFailure { row: 0, error })
    }

    fn is_ready(&self) -> bool {
        self.busy().is_none()
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut stopped = std::pin::pin!(self.stopped.notified());
            stopped.as_mut().enable();
            while let Some(until) = self.busy() {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = stopped.as_mut() => return,
                }
            }
        })
    }

    fn stop(&self, _deadline: Duration) -> u64 {
        let before = self.phase.swap(STOPPED, Ordering::AcqRel);
        self.stopped.notify_waiters();
        if before == RUNNING {
            self.context.health.set(ConnectionState::Stopped, None);
        }
        0
    }

    fn clone_box(&self) -> Box<dyn Sink> {
        Box::new(Self::new(self.config.clone(), self.context.clone()))
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::ConnectorRole;

    use super::*;
    use crate::testing::{DEADLINE, batch, context, returned};

    fn sink(delay: &str) -> BlackholeSink {
        let config = BlackholeSinkConfig::from_pairs([("blackhole.delay", delay)]).unwrap();
        BlackholeSink::new(config, context(ConnectorRole::Sink))
    }

    #[test]
    fn it_takes_everything_between_start_and_stop() {
        let sink = sink("0");
        assert_eq!(sink.publish(b"x"), Err(EventFluxError::Stopped));
        sink.start(returned()).unwrap();
        assert!(sink.start(returned()).is_err());
        for _ in 0..100 {
            sink.publish_batch(&batch(["a", "b"])).unwrap();
            assert!(sink.is_ready());
        }
        assert_eq!(sink.context.health.current().state, ConnectionState::Connected);
        assert_eq!((sink.stop(DEADLINE), sink.stop(DEADLINE)), (0, 0));
        assert_eq!(sink.publish(b"x"), Err(EventFluxError::Stopped));
        assert!(sink.start(returned()).is_err());
        assert!(sink.clone_box().start(returned()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_delay_it_is_busy_that_long_for_each_batch() {
        let (sink, start) = (sink("100ms"), Instant::now());
        sink.start(returned()).unwrap();
        sink.publish_batch(&batch(["a"; 10])).unwrap();
        assert!(!sink.is_ready());
        sink.publish_batch(&batch(["b"])).unwrap();
        sink.ready().await;
        assert!(sink.is_ready());
        assert_eq!(start.elapsed().as_millis() / 10, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait() {
        let sink = Arc::new(sink("1h"));
        sink.start(returned()).unwrap();
        sink.publish(b"x").unwrap();
        let start = Instant::now();
        let waiter = tokio::spawn({
            let sink = sink.clone();
            async move { sink.ready().await }
        });
        tokio::task::yield_now().await;
        sink.stop(DEADLINE);
        waiter.await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1) && sink.is_ready());
    }
}
