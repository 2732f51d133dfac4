//! The `log` sink: a queue, and a thread that prints what is in it.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::{ConnectionState, HealthReporter};
use eventflux_core::runtime::panicked;
use eventflux_core::{
    BoxFuture, ConnectorContext, EncodedBatch, EventFluxError, PayloadWriter, RowFailure, Sink, SinkCallback,
};

use super::LogSinkConfig;
use super::printer::{Lines, Printer};
use super::queue::Queue;

/// Prints payloads.
#[derive(Debug)]
pub struct LogSink {
    config: LogSinkConfig,
    context: ConnectorContext,
    queue: Arc<Queue>,
}

impl LogSink {
    /// A sink that is not started.
    pub fn new(config: LogSinkConfig, context: ConnectorContext) -> Self {
        let queue = Arc::new(Queue::new(config.queue_bytes, context.metrics.queue_bytes.clone()));
        Self { config, context, queue }
    }

    fn start_with(&self, lines: impl Lines + 'static, callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        if !self.queue.open() {
            return Err(EventFluxError::configuration("a log sink starts once; use a clone"));
        }
        let mut worker = Worker {
            printer: Printer::new(&self.config, lines),
            queue: self.queue.clone(),
            callback,
            health: self.context.health.clone(),
            endpoint: self.config.target.name(),
        };
        self.context.health.set(ConnectionState::Connected, self.config.target.name().to_owned());
        let started = thread::Builder::new().name("eventflux-log".to_owned()).spawn(move || worker.run());
        started.map(drop).map_err(|error| EventFluxError::configuration(format!("cannot start a thread: {error}")))
    }
}

impl Sink for LogSink {
    fn start(&self, callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        self.start_with(self.config.target, callback)
    }

    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        self.queue.push(EncodedBatch::single(Bytes::copy_from_slice(payload), 0))
    }

    fn publish_batch(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        self.queue.push(batch.clone()).map_err(|error| RowFailure { row: 0, error })
    }

    fn is_ready(&self) -> bool {
        self.queue.is_ready()
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.queue.ready())
    }

    fn stop(&self, deadline: Duration) -> u64 {
        let was_open = self.queue.is_open();
        let given_up = self.queue.stop(deadline);
        if was_open {
            self.context.health.set(ConnectionState::Stopped, None);
        }
        given_up
    }

    fn clone_box(&self) -> Box<dyn Sink> {
        Box::new(Self::new(self.config.clone(), self.context.clone()))
    }
}

impl Drop for LogSink {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The printing thread.
struct Worker<L> {
    printer: Printer<L>,
    queue: Arc<Queue>,
    callback: Arc<dyn SinkCallback>,
    health: HealthReporter,
    endpoint: &'static str,
}

impl<L: Lines> Worker<L> {
    fn run(&mut self) {
        let mut done = None;
        while let Some(batch) = self.queue.next(done.take()) {
            // A logger that panics must not leave a queue that nobody empties.
            let printed = std::panic::catch_unwind(AssertUnwindSafe(|| self.printer.print(&batch)));
            match printed {
                Ok(Ok(())) => {}
                Ok(Err((row, error))) => self.give_back(batch.tail(row), self.failure(&error)),
                Err(panic) => self.give_back(batch.clone(), panicked("a log sink", &*panic)),
            }
            done = Some(batch);
        }
    }

    /// Reports what failed, with everything that waits behind it, as one batch: so its order is kept.
    fn give_back(&self, failed: EncodedBatch, error: EventFluxError) {
        log::debug!("log sink: {error}");
        let Some(waiting) = self.queue.fail(error.clone()) else {
            return;
        };
        let transient = error.is_retryable();
        let state = if transient { ConnectionState::Reconnecting } else { ConnectionState::Failed };
        self.health.set(state, error.to_string());
        let failed = joined(std::iter::once(failed).chain(waiting));
        // It is the engine's to answer for; this thread has to go on.
        let reported = std::panic::catch_unwind(AssertUnwindSafe(|| self.callback.on_failed(failed, error)));
        if let Err(panic) = reported {
            log::error!("{}", panicked("the callback of a log sink", &*panic));
        }
        if transient {
            self.queue.recovered();
            self.health.set(ConnectionState::Connected, self.endpoint.to_owned());
        }
    }

    /// A reader that is gone does not come back; a disk that is full may have room again.
    fn failure(&self, error: &io::Error) -> EventFluxError {
        let retryable = error.kind() != io::ErrorKind::BrokenPipe;
        EventFluxError::ConnectionUnavailable {
            endpoint: self.endpoint.to_owned(),
            reason: error.to_string(),
            retryable,
        }
    }
}

fn joined(batches: impl Iterator<Item = EncodedBatch>) -> EncodedBatch {
    let mut writer = PayloadWriter::default();
    for batch in batches {
        for (index, payload) in batch.iter().enumerate() {
            writer.buffer().extend_from_slice(payload);
            writer.finish(batch.position(index));
        }
    }
    writer.take()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use eventflux_core::{ConnectorRole, FaultClass};

    use super::*;
    use crate::testing::{DEADLINE, batch, context, returned, wait_until};

    fn sink(pairs: &[(&str, &str)]) -> LogSink {
        let config = LogSinkConfig::from_pairs(pairs.iter().copied()).unwrap();
        LogSink::new(config, context(ConnectorRole::Sink))
    }

    /// Answers each print with what the test says, after the test says it.
    struct Scripted {
        answers: Receiver<io::Result<()>>,
        printed: Printed,
    }

    impl Lines for Scripted {
        fn print(&mut self, lines: &str) -> io::Result<()> {
            self.answers.recv().unwrap_or(Ok(()))?;
            self.printed.lock().unwrap().push(lines.to_owned());
            Ok(())
        }
    }

    type Printed = Arc<Mutex<Vec<String>>>;

    fn scripted() -> (Sender<io::Result<()>>, Printed, Scripted) {
        let (sender, answers) = channel();
        let printed = Printed::default();
        let lines = Scripted { answers, printed: Arc::clone(&printed) };
        (sender, printed, lines)
    }

    #[test]
    fn everything_accepted_is_printed_before_a_stop_returns() {
        let (answers, printed, lines) = scripted();
        drop(answers);
        let sink = sink(&[]);
        sink.start_with(lines, returned()).unwrap();
        sink.publish_batch(&batch(["a", "b"])).unwrap();
        sink.publish(b"c").unwrap();
        assert_eq!(sink.stop(DEADLINE), 0);
        assert_eq!(sink.stop(DEADLINE), 0);
        assert_eq!(printed.lock().unwrap().concat(), "a\nb\nc\n");
        assert_eq!(sink.publish(b"d"), Err(EventFluxError::Stopped));
        assert_eq!(sink.context.health.current().state, ConnectionState::Stopped);
    }

    #[test]
    fn an_output_that_is_held_gives_backpressure_and_does_not_hold_a_stop() {
        let (_answers, _, lines) = scripted();
        let sink = sink(&[("log.queue.bytes", "64")]);
        sink.start_with(lines, returned()).unwrap();
        assert!(sink.is_ready());
        sink.publish_batch(&batch(["a", "b"])).unwrap();
        assert!(!sink.is_ready());
        sink.publish(b"c").unwrap();
        assert_eq!(sink.stop(Duration::from_millis(1)), 3);
    }

    #[tokio::test]
    async fn readiness_returns_when_the_output_takes_lines_again() {
        let (answers, _, lines) = scripted();
        let sink = sink(&[("log.queue.bytes", "1")]);
        sink.start_with(lines, returned()).unwrap();
        sink.publish(b"a").unwrap();
        assert!(!sink.is_ready());
        answers.send(Ok(())).unwrap();
        tokio::time::timeout(DEADLINE, sink.ready()).await.unwrap();
        assert!(sink.is_ready());
    }

    #[test]
    fn a_reader_that_is_gone_is_a_lasting_fault_and_no_panic() {
        let (answers, printed, lines) = scripted();
        let (sink, returned) = (sink(&[]), returned());
        sink.start_with(lines, returned.clone()).unwrap();
        sink.publish_batch(&batch(["a", "b"])).unwrap();
        sink.publish(b"c").unwrap();
        answers.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
        wait_until("the failure", || !returned.errors().is_empty());
        // "c" was returned with the others or is refused by the thread's next look; it is never lost.
        let error = returned.errors()[0].clone();
        assert_eq!(error.class(), FaultClass::Fatal);
        assert!(error.to_string().starts_with("standard output: "), "{error}");
        assert_eq!(returned.payloads(), ["a", "b", "c"]);
        assert_eq!(sink.publish(b"d"), Err(error));
        assert!(sink.is_ready(), "nobody waits for what will not come");
        assert_eq!(sink.context.health.current().state, ConnectionState::Failed);
        assert_eq!(sink.stop(DEADLINE), 0);
        assert!(printed.lock().unwrap().is_empty());
    }

    #[test]
    fn a_full_disk_behind_the_output_is_a_fault_that_passes() {
        let (answers, printed, lines) = scripted();
        let (sink, returned) = (sink(&[]), returned());
        sink.start_with(lines, returned.clone()).unwrap();
        sink.publish(b"a").unwrap();
        answers.send(Err(ErrorKind::StorageFull.into())).unwrap();
        wait_until("the failure", || !returned.errors().is_empty());
        assert!(returned.errors()[0].is_retryable());
        answers.send(Ok(())).unwrap();
        wait_until("recovery", || sink.publish(b"b").is_ok());
        assert_eq!(sink.stop(DEADLINE), 0);
        assert_eq!(*printed.lock().unwrap(), ["b\n"]);
    }

    #[test]
    fn a_panic_of_the_output_is_contained() {
        struct Panics;
        impl Lines for Panics {
            fn print(&mut self, _: &str) -> io::Result<()> {
                panic!("no paper")
            }
        }
        let (sink, returned) = (sink(&[]), returned());
        sink.start_with(Panics, returned.clone()).unwrap();
        sink.publish(b"a").unwrap();
        wait_until("the failure", || !returned.errors().is_empty());
        assert_eq!(returned.errors()[0].to_string(), "a log sink panicked: no paper");
        assert_eq!(sink.stop(DEADLINE), 0);
    }

    #[test]
    fn a_callback_that_panics_does_not_end_the_printing() {
        struct Panics;
        impl SinkCallback for Panics {
            fn on_failed(&self, _: EncodedBatch, _: EventFluxError) {
                panic!("on purpose")
            }
        }
        let (answers, printed, lines) = scripted();
        let sink = sink(&[]);
        sink.start_with(lines, Arc::new(Panics)).unwrap();
        sink.publish(b"a").unwrap();
        answers.send(Err(ErrorKind::StorageFull.into())).unwrap();
        answers.send(Ok(())).unwrap();
        wait_until("a line", || {
            let _ = sink.publish(b"b");
            !printed.lock().unwrap().is_empty() || answers.send(Ok(())).is_err()
        });
        drop(answers);
        assert_eq!(sink.stop(DEADLINE), 0);
    }

    #[test]
    fn it_starts_once_and_its_clone_starts_afresh() {
        let sink = sink(&[("log.target", "log"), ("log.level", "trace")]);
        assert_eq!(sink.publish(b"a"), Err(EventFluxError::Stopped));
        sink.start(returned()).unwrap();
        assert!(sink.start(returned()).is_err());
        sink.stop(DEADLINE);
        assert!(sink.start(returned()).is_err());
        let clone = sink.clone_box();
        clone.start(returned()).unwrap();
        clone.publish(b"a").unwrap();
        assert_eq!(clone.stop(DEADLINE), 0);
    }

    #[test]
    fn what_waits_is_given_back_in_order_with_its_positions() {
        let whole = joined([batch(["a", "b"]).tail(1), batch(["c", "d"])].into_iter());
        assert_eq!(whole.iter().collect::<Vec<_>>(), [b"b", b"c", b"d"]);
        assert_eq!((whole.position(0), whole.position(2)), (1, 1));
    }
}
