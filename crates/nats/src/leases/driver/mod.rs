//! The bucket: a task that tells a [`Machine`] what it shows, and writes what the machine says.

mod bucket;
mod run;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventflux_core::EventFluxError;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::machine::Machine;
use super::{Change, LeaseConfig, Origin, Term, clock};
use crate::Connection;
use bucket::Bucket;

/// What this process holds of the partitions of a group. Dropped without [`Leases::leave`] it is as if the process had died:
/// the others wait for the end of its leases.
pub struct Leases {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What the task shares with whoever works on partitions.
struct Shared {
    /// For logs.
    of: String,
    machine: Mutex<Machine>,
    /// Wakes the task.
    input: Notify,
    /// Wakes whoever works.
    output: Notify,
}

impl Leases {
    /// Opens the bucket of the group, which is created when it does not exist, and begins to take partitions, on the runtime
    /// that this is called in: one that goes on while the pipeline works. `of` is the stream's name, for logs.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`]: not retryable when JetStream is not there for this account or the bucket
    /// cannot be created, retryable when nobody answers.
    pub async fn open(
        connection: &Connection,
        config: &LeaseConfig,
        origin: Origin,
        of: &str,
    ) -> Result<Self, EventFluxError> {
        let bucket = Bucket::open(connection.jetstream(), config).await?;
        let me = uuid::Uuid::now_v7().simple().to_string();
        let shared = Arc::new(Shared {
            of: of.to_owned(),
            machine: Mutex::new(Machine::new(config, origin, me)),
            input: Notify::new(),
            output: Notify::new(),
        });
        let task = tokio::spawn(run::run(shared.clone(), bucket));
        Ok(Self { shared, task })
    }

    /// Resolves when something has changed; cancel safe. Of each partition the latest change only.
    pub async fn changed(&self) -> Vec<Change> {
        loop {
            let woken = self.shared.output.notified();
            let changes = self.shared.machine().take_changes();
            if !changes.is_empty() {
                return changes;
            }
            woken.await;
        }
    }

    /// Those of `terms` in which may be worked now. To be asked before each piece of work, which is to take much less than a
    /// third of a lease: then nobody else works on the same partition.
    pub fn workable<'a>(&self, terms: impl IntoIterator<Item = &'a (u32, Term)>) -> Vec<bool> {
        let (machine, now) = (self.shared.machine(), clock::now());
        terms.into_iter().map(|(partition, term)| machine.may_work(now, *partition, *term)).collect()
    }

    /// Partitions have been worked through up to these positions: the next sequence to work on. It is stored soon. Of no
    /// effect for terms that are over.
    pub fn advance(&self, positions: impl IntoIterator<Item = (u32, Term, u64)>) {
        let mut machine = self.shared.machine();
        positions.into_iter().for_each(|(partition, term, position)| machine.advance(partition, term, position));
        drop(machine);
        self.shared.input.notify_one();
    }

    /// Nothing of the partition is worked on any more: the answer to [`Change::Release`].
    pub fn release(&self, partition: u32, term: Term) {
        self.shared.machine().release(partition, term);
        self.shared.input.notify_one();
    }

    /// The partitions it holds now.
    pub fn held(&self) -> Vec<u32> {
        self.shared.machine().held().collect()
    }

    /// Processes of the group that are alive, this one included, as far as it knows.
    pub fn members(&self) -> usize {
        self.shared.machine().members(clock::now())
    }

    /// Nothing is worked on any more: gives everything back, and returns within `deadline`, whether the others know or not.
    pub async fn leave(self, deadline: Duration) {
        self.shared.machine().leave();
        self.shared.input.notify_one();
        let left = async {
            loop {
                let woken = self.shared.output.notified();
                if self.shared.machine().has_left() {
                    return;
                }
                woken.await;
            }
        };
        if tokio::time::timeout(deadline, left).await.is_err() {
            log::warn!(
                "[{}] partitions could not be given back in time: others take them when their leases end",
                self.shared.of
            );
        }
    }
}

impl Shared {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("of", &self.shared.of).finish_non_exhaustive()
    }
}
