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
    /// The bucket may be another one, or be gone.
    is_suspect: bool,
}

/// Runs until it is dropped, or everything has been given back.
pub(super) async fn run(shared: Arc<Shared>, bucket: Bucket) {
    let mut driver = Driver { shared, bucket, writes: FuturesUnordered::new(), watch: None, is_suspect: false };
    while !driver.shared.machine().has_left() {
        if driver.is_suspect || driver.watch.is_none() {
            driver.renew_watch().await;
        }
        driver.poll();
        driver.wait().await;
    }
    driver.shared.output.notify_waiters();
    driver.shared.output.notify_one();
}

impl Driver {
    /// Finds the bucket again when that is needed, and watches it. Writes go on meanwhile: what is held stays held.
    async fn renew_watch(&mut self) {
        let renewed = {
            let (bucket, is_suspect) = (&mut self.bucket, self.is_suspect);
            let renewal = async move {
                let is_another = is_suspect && bucket.reopen().await?;
                Ok::<_, EventFluxError>((is_another, bucket.watch().await?))
            };
            renewal.await
        };
        match renewed {
            Ok((is_another, watch)) => {
                if is_another {
                    log::warn!("[{}] the bucket of leases was replaced by another one", self.shared.of);
                    self.forget();
                }
                self.watch = Some(watch);
                self.is_suspect = false;
            }
            Err(error) => {
                log::warn!("[{}] {error}; trying again", self.shared.of);
                tokio::time::sleep(RETRY).await;
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
        let Some(watch) = &mut self.watch else { return };
        tokio::select! {
            entry = watch.next() => self.entry(entry),
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
