//! An outlet's store: a spool in a directory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::{ConnectorContext, EventFluxError, runtime};
use eventflux_federation::{Kept, Outlet, OutletConfig, OutletCounters, Store, StoredPayloads};
use eventflux_spool::{Block, Observer, Refusal, Spool, SpoolConfig, SpoolError};
use tokio::time::sleep;

use super::config::SpoolSettings;
use super::output_metrics::SpoolStatus;

/// What is taken beyond the limits: the batch that filled the spool, which had been accepted before it was known to.
const SLACK_BYTES: usize = 64 << 20;

/// After so long a read that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Attempts to write that failed.
const FAILURES: &str = "eventflux_sink_spool_failures_total";

/// See the module.
#[derive(Debug)]
pub(crate) struct SpoolStore {
    spool: OnceLock<Spool>,
    max_bytes: u64,
    /// What the spool had no room for; it goes first.
    refused: Mutex<VecDeque<Block>>,
    outlet: OnceLock<Weak<Outlet>>,
    context: ConnectorContext,
    /// Itself, for what goes on without being waited for.
    this: Weak<Self>,
}

impl SpoolStore {
    /// An outlet that goes on with what the directory has.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when the directory cannot be used.
    pub(crate) fn open(
        settings: &SpoolSettings,
        config: OutletConfig,
        counters: OutletCounters,
        context: &ConnectorContext,
    ) -> Result<(Arc<Outlet>, Arc<Self>), EventFluxError> {
        context
            .registry
            .describe(FAILURES, "Attempts to write to the spool that failed; what is to be written is kept.");
        let store = Arc::new_cyclic(|this| Self {
            spool: OnceLock::new(),
            max_bytes: settings.max_bytes,
            refused: Mutex::default(),
            outlet: OnceLock::new(),
            context: context.clone(),
            this: this.clone(),
        });
        let spool = SpoolConfig {
            max_bytes: settings.max_bytes.saturating_add(SLACK_BYTES as u64),
            max_unwritten_bytes: config.queue_bytes.saturating_add(SLACK_BYTES),
            ..SpoolConfig::new(&settings.directory)
        };
        let told = Arc::new(Told(Arc::downgrade(&store)));
        let (spool, contents) = Spool::open(spool, told)
            .map_err(|error| EventFluxError::property("websocket.spool.path", error.to_string()))?;
        let receivers = contents.readers.into_iter();
        let kept = Kept {
            epoch: contents.epoch,
            first: sequence(contents.first),
            next: sequence(contents.next),
            receivers: receivers.map(|reader| (reader.name, sequence(reader.position), reader.seen_ms)).collect(),
        };
        let _ = store.spool.set(spool);
        let outlet = Arc::new(Outlet::stored_in(config, counters, store.clone(), kept));
        let _ = store.outlet.set(Arc::downgrade(&outlet));
        Ok((outlet, store))
    }

    /// What it holds.
    pub(super) fn status(&self) -> SpoolStatus {
        let bytes = self.spool.get().map_or(0, Spool::bytes);
        SpoolStatus { bytes, max_bytes: self.max_bytes, unwritten_bytes: self.unwritten_bytes() as u64 }
    }

    /// Writes what waits.
    pub(crate) fn close(&self, deadline: Duration) {
        if let Some(spool) = self.spool.get() {
            let left = spool.close(deadline);
            if left > 0 {
                log::error!("[{}] {left} blocks of the spool could not be written", self.context.stream);
            }
        }
    }

    fn outlet(&self) -> Option<Arc<Outlet>> {
        self.outlet.get()?.upgrade()
    }

    /// Gives the spool what it had no room for, as far as it has some now.
    fn try_again(&self) {
        let mut refused = self.refused();
        while let (Some(block), Some(spool)) = (refused.pop_front(), self.spool.get()) {
            if let Err(again) = spool.append(block) {
                refused.push_front(again.block);
                return;
            }
        }
    }

    fn refused(&self) -> MutexGuard<'_, VecDeque<Block>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load_later(self: Arc<Self>, reader: u64, from: u64, max_bytes: usize, error: &SpoolError) {
        if self.outlet().is_none_or(|outlet| outlet.is_closed()) {
            return;
        }
        log::warn!("[{}] the spool cannot be read, and is tried again: {error}", self.context.stream);
        let Ok(runtime) = runtime::shared() else { return };
        runtime.spawn(async move {
            sleep(RETRY_AFTER).await;
            self.load(reader, from, max_bytes);
        });
    }
}

/// The spool counts from 0, links from 1.
fn sequence(number: u64) -> u64 {
    number + 1
}

fn number(sequence: u64) -> u64 {
    sequence.saturating_sub(1)
}

impl Store for SpoolStore {
    fn append(&self, payloads: StoredPayloads) {
        let Some(spool) = self.spool.get() else { return };
        let StoredPayloads { first, count, data } = payloads;
        let block = Block { first: number(first), count, data: Bytes::from(data), time_ms: 0 };
        let mut refused = self.refused();
        if !refused.is_empty() {
            return refused.push_back(block);
        }
        if let Err(again) = spool.append(block) {
            if !matches!(again.reason, Refusal::Full { .. } | Refusal::Behind { .. }) {
                log::error!("[{}] events cannot be stored: {}", self.context.stream, again.reason);
            }
            refused.push_back(again.block);
        }
    }

    fn has_room(&self) -> bool {
        self.refused().is_empty() && self.spool.get().is_none_or(|spool| spool.bytes() < self.max_bytes)
    }

    fn load(&self, reader: u64, from: u64, max_bytes: usize) {
        let (Some(spool), this) = (self.spool.get(), self.this.clone()) else { return };
        spool.load(number(from), max_bytes, move |loaded| {
            let Some(store) = this.upgrade() else { return };
            match (loaded, store.outlet()) {
                (Ok(blocks), Some(outlet)) => {
                    outlet.loaded(reader, &blocks.into_iter().map(stored).collect::<Vec<_>>());
                }
                (Ok(_), None) => {}
                (Err(error), _) => store.load_later(reader, from, max_bytes, &error),
            }
        });
    }

    fn forget(&self, before: u64) {
        if let Some(spool) = self.spool.get() {
            spool.forget(number(before));
        }
    }

    fn mark(&self, receiver: &str, next: u64, unix_ms: u64) {
        if let Some(spool) = self.spool.get()
            && let Err(error) = spool.mark(receiver, number(next), unix_ms)
        {
            log::warn!("[{}] the spool does not remember a receiver: {error}", self.context.stream);
        }
    }

    fn unmark(&self, receiver: &str) {
        if let Some(spool) = self.spool.get() {
            spool.unmark(receiver);
        }
    }

    fn unwritten_bytes(&self) -> usize {
        let refused: usize = self.refused().iter().map(|block| block.data.len()).sum();
        refused + self.spool.get().map_or(0, Spool::unwritten_bytes)
    }
}

fn stored(block: Block) -> StoredPayloads {
    StoredPayloads { first: sequence(block.first), count: block.count, data: block.data.to_vec() }
}

/// Passes on what the spool says.
struct Told(Weak<SpoolStore>);

impl Observer for Told {
    fn stored(&self, next: u64) {
        let Some(store) = self.0.upgrade() else { return };
        store.try_again();
        if let Some(outlet) = store.outlet() {
            outlet.stored(sequence(next));
        }
    }

    fn failed(&self, error: &SpoolError) {
        let Some(store) = self.0.upgrade() else { return };
        let labels = [("stream", store.context.stream.as_str()), ("type", "websocket")];
        store.context.registry.counter(FAILURES, &labels).increment();
        log::error!("[{}] the spool cannot be written, and is tried again: {error}", store.context.stream);
    }

    fn recovered(&self) {
        if let Some(store) = self.0.upgrade() {
            log::info!("[{}] the spool works again", store.context.stream);
        }
    }

    fn freed(&self) {
        let Some(store) = self.0.upgrade() else { return };
        store.try_again();
        if let Some(outlet) = store.outlet() {
            outlet.store_has_room();
        }
    }
}
