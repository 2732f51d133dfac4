//! A spool as its owner sees it.

use std::fmt;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::block::Block;
use crate::config::{BLOCK_OVERHEAD, Backoff, DROP_DEADLINE, LOADS, SpoolConfig};
use crate::error::SpoolError;
use crate::loader::{self, Load};
use crate::queue::{Queue, Refused};
use crate::shared::Shared;
use crate::store::file::Directory;
use crate::store::{Contents, Place};
use crate::writer::Writer;

/// What a spool tells its owner, from the writer's thread. Nothing is written until it returns: it must not block. It may call
/// the spool; when it lets the last handle go, or closes it, what waits is written without anybody waiting for that.
pub trait Observer: Send + Sync {
    /// Everything below `next` survives a crash now. What waited in memory has made room.
    fn stored(&self, next: u64);

    /// An attempt to write failed. What was to be written is kept, and it is tried again.
    fn failed(&self, error: &SpoolError);

    /// It works again after [`Observer::failed`].
    fn recovered(&self);

    /// What was forgotten has made room in the file.
    fn freed(&self);
}

/// A log of blocks in a directory. All methods may be called from any thread, and those that do not say otherwise return at
/// once. Dropping it closes it with a deadline of a second.
pub struct Spool {
    shared: Arc<Shared>,
    /// `None` once it is closed.
    loads: Mutex<Option<SyncSender<Load>>>,
    epoch: u64,
}

impl Spool {
    /// Opens the log in a directory, or makes one, and says what is in it. Blocks while the file is checked: about a second
    /// for each gigabyte that it holds.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] when somebody else has the directory; [`SpoolError::Foreign`], [`SpoolError::Format`] and
    /// [`SpoolError::Damaged`] for a file that cannot be used, which is left as it is; [`SpoolError::Io`] for the rest.
    pub fn open(config: SpoolConfig, observer: Arc<dyn Observer>) -> Result<(Self, Contents), SpoolError> {
        let place = Directory::claim(&config.directory)?;
        Self::open_place(config, observer, place, Backoff::default())
    }

    /// The same for any place.
    pub(crate) fn open_place(
        config: SpoolConfig,
        observer: Arc<dyn Observer>,
        place: impl Place,
        backoff: Backoff,
    ) -> Result<(Self, Contents), SpoolError> {
        let store = place.open()?;
        let contents = store.contents()?;
        let epoch = contents.epoch;
        let directory = config.directory.clone();
        let shared = Arc::new(Shared::new(config, observer, &contents, store));
        let thread_error = |source| SpoolError::Io { what: "start the threads of", path: directory.clone(), source };
        let (loads, waiting) = sync_channel(LOADS);
        let reading = Arc::clone(&shared);
        let loader = move || loader::run(&reading, &waiting);
        thread::Builder::new().name("spool-loader".into()).spawn(loader).map_err(thread_error)?;
        let writer = Writer { shared: Arc::clone(&shared), place, backoff, failures: 0 };
        thread::Builder::new().name("spool-writer".into()).spawn(move || writer.run()).map_err(thread_error)?;
        Ok((Self { shared, loads: Mutex::new(Some(loads)), epoch }, contents))
    }

    /// Queues a block to be written. It is stored when [`Observer::stored`] says so; until then it is lost in a crash.
    ///
    /// # Errors
    /// The block is given back when it does not begin at [`Spool::next`], when there is no room, or when the spool is closed.
    pub fn append(&self, block: Block) -> Result<(), Refused> {
        self.shared.with(|queue, now| queue.append(block, now))
    }

    /// Whether a block with this much data would be taken. What other threads append in between is not known.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.shared.see(|queue| queue.has_room(bytes.saturating_add(BLOCK_OVERHEAD)))
    }

    /// Forgets blocks that end at `before` or below. They are out of sight with one of the next commits, and their space is
    /// used again; after a crash before that they are back.
    pub fn forget(&self, before: u64) {
        self.shared.with(|queue, now| queue.forget(before, now));
    }

    /// Notes how far a reader is and when it was seen. Of several marks of one reader the last counts. It is on the disk no
    /// later than a block that is appended after it, and after 100 ms when none is.
    ///
    /// # Errors
    /// [`SpoolError::Reader`] when the name is too long or there are too many: [`crate::READERS`].
    pub fn mark(&self, reader: &str, position: u64, seen_ms: u64) -> Result<(), SpoolError> {
        let marked = self.shared.with(|queue, now| queue.mark(reader, (position, seen_ms), now));
        marked.map_err(|reason| SpoolError::Reader { directory: self.shared.config.directory.clone(), reason })
    }

    /// Forgets a reader, as [`Spool::mark`] notes one.
    pub fn unmark(&self, reader: &str) {
        self.shared.with(|queue, now| queue.unmark(reader, now));
    }

    /// Reads as [`Spool::read`] does, on a thread of the spool, which calls `then` exactly once. Others wait for that to
    /// return. When [`LOADS`] wait already, or the spool is closed, the caller's thread calls it at once.
    pub fn load(
        &self,
        from: u64,
        max_bytes: usize,
        then: impl FnOnce(Result<Vec<Block>, SpoolError>) + Send + 'static,
    ) {
        let directory = || self.shared.config.directory.clone();
        let loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let load = Load { from, max_bytes, then: Box::new(then) };
        let Some(loads) = loads else { return (load.then)(Err(SpoolError::Closed { directory: directory() })) };
        match loads.try_send(load) {
            Ok(()) => {}
            Err(TrySendError::Full(load)) => {
                (load.then)(Err(SpoolError::Busy { directory: directory(), limit: LOADS }));
            }
            Err(TrySendError::Disconnected(load)) => (load.then)(Err(SpoolError::Closed { directory: directory() })),
        }
    }

    /// Reads the block that holds number `from` and those behind it, up to `max_bytes` of data, and at least one if any is
    /// there. Blocks that were forgotten are passed over, and those that are not stored yet are not found. Waits for the disk.
    ///
    /// # Errors
    /// [`SpoolError::Unavailable`] while a file that failed is not open, [`SpoolError::Closed`] once the spool is, and
    /// [`SpoolError::Io`] or [`SpoolError::Damaged`] when the file cannot be read.
    pub fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<Block>, SpoolError> {
        self.shared.read(from, max_bytes)
    }

    /// The epoch: [`Contents::epoch`].
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The number of the first message that was not forgotten, as of the last commit.
    pub fn first(&self) -> u64 {
        self.shared.see(|queue| queue.numbers().first)
    }

    /// The number that everything stored is below.
    pub fn stored(&self) -> u64 {
        self.shared.see(|queue| queue.numbers().next)
    }

    /// The number that the next block has to begin with.
    pub fn next(&self) -> u64 {
        self.shared.see(Queue::next)
    }

    /// What is there and what waits, as [`SpoolConfig::max_bytes`] counts it.
    pub fn bytes(&self) -> u64 {
        self.shared.see(Queue::bytes)
    }

    /// What waits to be written, as [`SpoolConfig::max_unwritten_bytes`] counts it.
    pub fn unwritten_bytes(&self) -> usize {
        self.shared.see(Queue::unwritten_bytes)
    }

    /// Takes nothing any more, writes what waits, and waits for that until `deadline` has passed. Returns how many blocks
    /// are not known to be stored. When that is none, the directory is free for the next.
    pub fn close(&self, deadline: Duration) -> u64 {
        drop(self.loads.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.shared.close(deadline)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.close(DROP_DEADLINE);
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (numbers, bytes) = self.shared.see(|queue| (queue.numbers(), queue.bytes()));
        let mut out = f.debug_struct("Spool");
        out.field("directory", &self.shared.config.directory).field("numbers", &numbers).field("bytes", &bytes);
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
