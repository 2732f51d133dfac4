//! The task that writes objects, several at a time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use eventflux_core::health::{ConnectionState, HealthReporter};
use eventflux_core::metrics::Counter;
use eventflux_core::runtime::panicked;
use eventflux_core::{ConnectorContext, EventFluxError, SinkCallback};
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::object::Object;
use crate::queue::Queue;
use crate::store::Store;

/// Objects that were written.
const WRITTEN: &str = "eventflux_objectstore_objects_total";
/// Bytes of the objects that were written.
const WRITTEN_BYTES: &str = "eventflux_objectstore_bytes_total";
/// Tries to write an object that failed.
const FAILED: &str = "eventflux_objectstore_failures_total";

/// Writes what is in the queue.
pub(crate) struct Writer {
    queue: Arc<Queue>,
    store: Arc<dyn Store>,
    callback: Arc<dyn SinkCallback>,
    /// How many objects at a time.
    writes: usize,
    /// How long one may take.
    timeout: Duration,
    place: String,
    health: HealthReporter,
    stream: String,
    /// Whether the last object failed.
    failing: bool,
    written: Counter,
    written_bytes: Counter,
    failed: Counter,
}

/// An object, and what came of writing it.
type Written = (Object, Result<(), EventFluxError>);

impl Writer {
    pub(crate) fn new(
        queue: Arc<Queue>,
        store: Arc<dyn Store>,
        callback: Arc<dyn SinkCallback>,
        (writes, timeout): (usize, Duration),
        place: String,
        context: &ConnectorContext,
    ) -> Self {
        let registry = &context.registry;
        registry.describe(WRITTEN, "Objects that were written.");
        registry.describe(WRITTEN_BYTES, "Bytes of the objects that were written.");
        registry.describe(FAILED, "Tries to write an object that failed.");
        let counter = |name| registry.counter(name, &[("stream", &context.stream)]);
        let (written, written_bytes, failed) = (counter(WRITTEN), counter(WRITTEN_BYTES), counter(FAILED));
        let (health, stream) = (context.health.clone(), context.stream.clone());
        let failing = false;
        Self { queue, store, callback, writes, timeout, place, health, stream, failing, written, written_bytes, failed }
    }

    /// Writes until the queue is over. Writes under way are then abandoned.
    pub(crate) async fn run(mut self) {
        let mut writes = JoinSet::new();
        while !self.queue.is_over() {
            while writes.len() < self.writes
                && let Some(object) = self.queue.next(Instant::now())
            {
                writes.spawn(write(self.store.clone(), object, self.timeout, self.place.clone()));
            }
            let due = self.queue.due().filter(|_| writes.len() < self.writes);
            tokio::select! {
                Some(done) = writes.join_next() => match done {
                    Ok(written) => self.finish(written),
                    // Its own panics are contained, and nobody else cancels it.
                    Err(error) => log::error!("[{}] a write of the objectstore sink ended: {error}", self.stream),
                },
                () = self.queue.work() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    fn finish(&mut self, (object, result): Written) {
        let number = object.number();
        match result {
            Ok(()) => {
                self.written.increment();
                self.written_bytes.add(object.body().len() as u64);
                if std::mem::take(&mut self.failing) {
                    self.health.set(ConnectionState::Connected, self.place.clone());
                }
            }
            Err(error) => self.report(object, error),
        }
        self.queue.finish(number);
    }

    fn report(&mut self, object: Object, error: EventFluxError) {
        log::debug!("[{}] object {} of {} events: {error}", self.stream, object.key(), object.len());
        self.failed.increment();
        let Some(batch) = self.queue.fail(object) else { return };
        self.failing = true;
        self.health.set(ConnectionState::Reconnecting, error.to_string());
        // It is the engine's to answer for; this task has to go on.
        let reported = std::panic::catch_unwind(AssertUnwindSafe(|| self.callback.on_failed(batch, error)));
        if let Err(panic) = reported {
            log::error!("{}", panicked("the callback of an objectstore sink", &*panic));
        }
    }
}

async fn write(store: Arc<dyn Store>, object: Object, limit: Duration, place: String) -> Written {
    let put = AssertUnwindSafe(store.put(object.key(), object.body())).catch_unwind();
    let result = match timeout(limit, put).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(panicked("an object store", &*panic)),
        Err(_) => Err(EventFluxError::ConnectionUnavailable {
            endpoint: place,
            reason: format!("an object was not written within objectstore.timeout ({limit:?})"),
            retryable: true,
        }),
    };
    (object, result)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use bytes::Bytes;
    use eventflux_core::metrics::{Gauge, Metrics};
    use eventflux_core::{BoxFuture, ConnectorRole, EncodedBatch, FaultClass, Template, Ticket};
    use object_store::path::Path;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::batcher::{BatchLimits, Batcher};
    use crate::naming::Namer;
    use crate::object::Framing;
    use crate::testing::batch;

    /// What a store does with an object.
    enum Answer {
        Take,
        Fail,
        Panic,
        Hang,
    }

    /// Answers as the test says, and takes everything after that; as many at a time as it has permits.
    struct Scripted {
        answers: Mutex<VecDeque<Answer>>,
        permits: Semaphore,
        taken: Mutex<Vec<(String, String)>>,
        under_way: tokio::sync::watch::Sender<usize>,
    }

    impl Store for Scripted {
        fn put<'a>(&'a self, key: &'a Path, body: Bytes) -> BoxFuture<'a, Result<(), EventFluxError>> {
            Box::pin(async move {
                self.under_way.send_modify(|count| *count += 1);
                let _permit = self.permits.acquire().await;
                let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Take);
                match answer {
                    Answer::Take => {}
                    Answer::Fail => {
                        return Err(EventFluxError::Send { reason: "no space left".to_owned(), retryable: true });
                    }
                    Answer::Panic => panic!("broken store"),
                    Answer::Hang => std::future::pending().await,
                }
                let body = String::from_utf8(body.to_vec()).unwrap();
                self.taken.lock().unwrap().push((key.to_string(), body));
                Ok(())
            })
        }
    }

    struct Bench {
        queue: Arc<Queue>,
        store: Arc<Scripted>,
        returned: Arc<Returned>,
        context: ConnectorContext,
    }

    /// Keeps what comes back, or panics.
    #[derive(Default)]
    struct Returned {
        panics: bool,
        batches: Mutex<Vec<(EncodedBatch, EventFluxError)>>,
    }

    impl SinkCallback for Returned {
        fn on_failed(&self, batch: EncodedBatch, error: EventFluxError) {
            self.batches.lock().unwrap().push((batch, error));
            assert!(!self.panics, "on purpose");
        }
    }

    impl Bench {
        /// Each payload is an object, and `permits` are written at a time.
        fn start(answers: impl IntoIterator<Item = Answer>, permits: usize, panics: bool) -> Self {
            let path = Template::parse("p").unwrap();
            let limits = BatchLimits { bytes: 1, events: 10, delay: Duration::from_secs(5), open: 10 };
            let batcher = Batcher::new(limits, Framing::Lines, Namer::new("", &path, "", "jsonl").unwrap());
            let queue = Arc::new(Queue::new(1_000, path, batcher, Gauge::default()));
            assert!(queue.open());
            let store = Arc::new(Scripted {
                answers: Mutex::new(answers.into_iter().collect()),
                permits: Semaphore::new(permits),
                taken: Mutex::default(),
                under_way: tokio::sync::watch::Sender::new(0),
            });
            let returned = Arc::new(Returned { panics, ..Returned::default() });
            let context = ConnectorContext::new(&Metrics::default(), ConnectorRole::Sink, "S", "objectstore");
            let limits = (2, Duration::from_secs(30));
            let writer =
                Writer::new(queue.clone(), store.clone(), returned.clone(), limits, "the store".to_owned(), &context);
            tokio::spawn(writer.run());
            Self { queue, store, returned, context }
        }

        fn publish(&self, number: u64, payload: &str) {
            let mut batch = batch([payload]);
            batch.set_ticket(Ticket { number, row: 0 });
            self.queue.publish(&batch).unwrap();
        }

        fn bodies(&self) -> Vec<String> {
            self.store.taken.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
        }

        fn error(&self, index: usize) -> EventFluxError {
            self.returned.batches.lock().unwrap()[index].1.clone()
        }

        fn count(&self, name: &'static str) -> u64 {
            self.context.registry.counter(name, &[("stream", "S")]).value()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn objects_are_written_several_at_a_time_and_no_more() {
        let bench = Bench::start([], 0, false);
        for number in 1..=5 {
            bench.publish(number, "x");
        }
        bench.store.under_way.subscribe().wait_for(|count| *count == 2).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*bench.store.under_way.borrow(), 2);
        bench.store.permits.add_permits(5);
        bench.queue.settled().await.unwrap();
        assert_eq!(bench.bodies().len(), 5);
        assert_eq!((bench.count(WRITTEN), bench.count(WRITTEN_BYTES)), (5, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_failed_is_reported_and_has_the_same_name_when_it_comes_again() {
        let bench = Bench::start([Answer::Fail, Answer::Fail], 1, false);
        bench.publish(1, "x");
        bench.queue.settled().await.unwrap();
        assert_eq!(bench.context.health.current().state, ConnectionState::Reconnecting);
        for tries in 1..=2 {
            let (batch, error) = bench.returned.batches.lock().unwrap()[tries - 1].clone();
            assert_eq!((batch.payload(0), error.class()), (&b"x"[..], FaultClass::Transient));
            bench.queue.publish(&batch).unwrap();
            bench.queue.settled().await.unwrap();
        }
        assert_eq!(bench.bodies(), ["x\n"]);
        assert_eq!(bench.context.health.current().state, ConnectionState::Connected);
        assert_eq!((bench.count(FAILED), bench.count(WRITTEN)), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_behind_an_object_that_failed_is_written() {
        let bench = Bench::start([Answer::Fail], 1, false);
        for (number, payload) in [(1, "a"), (2, "b"), (3, "c")] {
            bench.publish(number, payload);
        }
        bench.queue.settled().await.unwrap();
        assert_eq!(bench.bodies(), ["b\n", "c\n"]);
        assert_eq!(bench.returned.batches.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_panics_or_hangs_is_contained() {
        let bench = Bench::start([Answer::Panic, Answer::Hang], 2, false);
        bench.publish(1, "a");
        bench.publish(2, "b");
        bench.publish(3, "c");
        bench.queue.settled().await.unwrap();
        assert_eq!(bench.bodies(), ["c\n"]);
        assert_eq!(bench.error(0).to_string(), "an object store panicked: broken store");
        let late = "the store: an object was not written within objectstore.timeout (30s)";
        assert_eq!((bench.error(1).to_string(), bench.error(1).is_retryable()), (late.to_owned(), true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_callback_that_panics_does_not_end_the_writing() {
        let bench = Bench::start([Answer::Fail], 1, true);
        bench.publish(1, "a");
        bench.publish(2, "b");
        bench.queue.settled().await.unwrap();
        assert_eq!(bench.bodies(), ["b\n"]);
    }
}
