//! The task: whatever comes, then what the machine says.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::{Entry, Watch, WatcherError};
use eventflux_core::EventFluxError;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::super::machine::Request;
use super::Shared;
use super::bucket::{Bucket, Done, Shown};
use super::clock;

/// Pause before the bucket is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Most that is taken in before the machine is asked.
const MAX_INPUTS: usize = 512;

struct Driver {
    shared: Arc<Shared>,
    bucket: Bucket,
    writes: FuturesUnordered<BoxFuture<'static, Done>>,
    watch: Option<Watch>,
    /// While the bucket is found again, or a watch is begun: what is held is renewed all the same.
    renewal: Option<BoxFuture<'static, Result<Renewed, EventFluxError>>>,
    /// The bucket may be another one, or be gone.
    is_suspect: bool,
}

/// The bucket, and a watch of it.
struct Renewed {
    bucket: Bucket,
    is_another: bool,
    watch: Watch,
}

/// Runs until it is dropped, or everything has been given back.
pub(super) async fn run(shared: Arc<Shared>, bucket: Bucket) {
    let (writes, is_suspect) = (FuturesUnordered::new(), false);
    let mut driver = Driver { shared, bucket, writes, watch: None, renewal: None, is_suspect };
    driver.renew(Duration::ZERO);
    while !driver.shared.machine().has_left() {
        driver.poll();
        driver.wait().await;
    }
    driver.shared.output.notify_waiters();
    driver.shared.output.notify_one();
}

impl Driver {
    /// Begins to find the bucket again where that is needed, and to watch it, after a pause.
    fn renew(&mut self, pause: Duration) {
        let (mut bucket, is_suspect) = (self.bucket.clone(), self.is_suspect);
        self.renewal = Some(
            async move {
                tokio::time::sleep(pause).await;
                let is_another = is_suspect && bucket.reopen().await?;
                let watch = bucket.watch().await?;
                Ok(Renewed { bucket, is_another, watch })
            }
            .boxed(),
        );
    }

    fn renewed(&mut self, renewed: Result<Renewed, EventFluxError>) {
        self.renewal = None;
        match renewed {
            Ok(Renewed { bucket, is_another, watch }) => {
                if is_another {
                    log::warn!("[{}] the bucket of leases was replaced by another one", self.shared.of);
                    self.forget();
                }
                (self.bucket, self.watch, self.is_suspect) = (bucket, Some(watch), false);
            }
            Err(error) => {
                log::warn!("[{}] {error}; trying again", self.shared.of);
                self.renew(RETRY);
            }
        }
    }

    fn forget(&mut self) {
        // What became of them is of no interest any more.
        self.writes.clear();
        self.shared.machine().forget();
    }

    fn poll(&mut self) {
        let now = clock::now();
        let is_deaf = self.shared.machine().is_deaf(now);
        if is_deaf {
            log::warn!("[{}] the bucket of leases does not show what is written; reading it anew", self.shared.of);
            self.forget();
            self.watch = None;
        }
        if self.renewal.is_none() && (self.is_suspect || self.watch.is_none()) {
            self.renew(RETRY);
        }
        let mut machine = self.shared.machine();
        let (requests, timeout) = (machine.poll(now), machine.write_timeout());
        let is_news = machine.has_changes() || machine.has_left();
        drop(machine);
        for request in requests {
            self.writes.push(self.bucket.clone().write(request, timeout).boxed());
        }
        if is_news {
            self.shared.output.notify_one();
        }
    }

    /// Takes in what there is, at least one thing.
    async fn wait(&mut self) {
        let deadline = self.shared.machine().deadline();
        let pause = deadline.map(|at| at.saturating_sub(clock::now()));
        tokio::select! {
            entry = next(&mut self.watch) => self.entry(entry),
            Some(renewed) = finished(&mut self.renewal) => self.renewed(renewed),
            Some(done) = self.writes.next() => self.done(&done),
            () = self.shared.input.notified() => {}
            () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => {}
        }
        for _ in 0..MAX_INPUTS {
            let entry = self.watch.as_mut().and_then(|watch| watch.next().now_or_never());
            let done = self.writes.next().now_or_never().flatten();
            if let Some(done) = &done {
                self.done(done);
            }
            match entry {
                Some(entry) => self.entry(entry),
                None if done.is_none() => return,
                None => {}
            }
        }
    }

    fn entry(&mut self, entry: Option<Result<Entry, WatcherError>>) {
        let now = clock::now();
        match entry {
            Some(Ok(entry)) => match Shown::read(&entry) {
                Some(Shown::Partition(partition, revision, record)) => {
                    self.shared.machine().partition_seen(now, partition, revision, record);
                }
                Some(Shown::Member(id, revision, presence)) => {
                    self.shared.machine().member_seen(now, &id, revision, presence);
                }
                None => {}
            },
            Some(Err(error)) => {
                log::debug!("[{}] watching the bucket of leases: {error}", self.shared.of);
                self.watch = None;
            }
            None => self.watch = None,
        }
    }

    fn done(&mut self, done: &Done) {
        let (now, outcome) = (clock::now(), done.outcome);
        self.is_suspect |= done.is_missing;
        let mut machine = self.shared.machine();
        match &done.request {
            Request::Partition { partition, record, .. } => {
                machine.partition_written(now, *partition, record.write, outcome);
            }
            Request::Alive(..) => machine.alive_written(now, outcome),
            Request::Leave(_) => machine.leave_written(now, outcome),
            Request::Remove(_) => {}
        }
    }
}

/// What the watch shows next; never while there is none.
async fn next(watch: &mut Option<Watch>) -> Option<Result<Entry, WatcherError>> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

async fn finished<T>(future: &mut Option<BoxFuture<'static, T>>) -> Option<T> {
    match future {
        Some(future) => Some(future.await),
        None => None,
    }
}
