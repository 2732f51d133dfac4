//! The log in its file: what a commit changes, what a reader finds. Nothing here waits, retries or starts a thread.
//!
//! One redb database with three tables:
//!
//! | table | key | value |
//! |---|---|---|
//! | `spool` | `format`, `epoch`, `first`, `next`, `bytes` | a number |
//! | `blocks` | the number of the first message in a chunk | the [chunk](crate::block) |
//! | `readers` | a name | position, and when it was seen in milliseconds since 1970 |
//!
//! `first` is what was forgotten to. Chunks below it may still be there: a commit removes a bounded part of them.

mod change;
pub(crate) mod file;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use crate::block::{Block, blocks, chunk_end};
use crate::config::CACHE_BYTES;
use crate::error::SpoolError;

pub(crate) use change::{Change, Outcome};

/// The version of the tables above.
pub(crate) const FORMAT: u64 = 1;

const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("spool");
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
const MARKS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("readers");

/// A reader of the log, as its owner marked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Its name.
    pub name: String,
    /// How far it is: the number behind the last message it has acknowledged.
    pub position: u64,
    /// When it was seen last, in milliseconds since 1970, as the owner says it.
    pub seen_ms: u64,
}

/// What a spool holds when it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Chosen at random when the spool was made, and kept for its life: numbers of different epochs have nothing to do with each
    /// other. Between 1 and 2^53 - 1, so that every JSON reader keeps it as it is.
    pub epoch: u64,
    /// The number of the first message that is there; equal to `next` when none is.
    pub first: u64,
    /// The number that the next block has to begin with.
    pub next: u64,
    /// Bytes of what is there, as `max_bytes` counts them.
    pub bytes: u64,
    /// Who was marked, sorted by name.
    pub readers: Vec<Reader>,
}

/// The numbers of a log, as the last commit left them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) epoch: u64,
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) bytes: u64,
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    file: PathBuf,
}

/// Where a log is: what a writer needs to open it, and to open it again after a failure.
pub(crate) trait Place: Send + 'static {
    /// Opens the log, and makes an empty one where nothing is.
    fn open(&self) -> Result<Store, SpoolError>;

    /// Tries whether something can be written, without touching the log.
    fn probe(&self) -> Result<(), SpoolError>;
}

/// How files are opened: every checksum is looked at, whatever the last process left.
pub(crate) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Makes an empty log of a database without tables.
pub(crate) fn initialise(database: &Database, file: &Path) -> Result<(), SpoolError> {
    let failed = |error: redb::Error| failure(file, "begin", error);
    let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
    let fill = || -> Result<(), redb::Error> {
        let mut numbers = transaction.open_table(NUMBERS)?;
        let epoch = fastrand::u64(1..1 << 53);
        for (name, value) in [("format", FORMAT), ("epoch", epoch), ("first", 0), ("next", 0), ("bytes", 0)] {
            numbers.insert(name, value)?;
        }
        transaction.open_table(BLOCKS)?;
        transaction.open_table(MARKS)?;
        Ok(())
    };
    fill().map_err(failed)?;
    transaction.commit().map_err(|error| failed(error.into()))
}

impl Store {
    /// Takes a database that [`initialise`] has filled at some time; `file` is what errors name.
    pub(crate) fn new(database: Database, file: PathBuf) -> Result<Self, SpoolError> {
        let store = Self { database, file };
        let format = store
            .contained(|store| store.numbers_table()?.get("format")?.map(|value| value.value()).ok_or_else(strange));
        match format? {
            FORMAT => Ok(store),
            found => Err(SpoolError::Format { file: store.file, found, known: FORMAT }),
        }
    }

    /// Everything but the blocks.
    pub(crate) fn contents(&self) -> Result<Contents, SpoolError> {
        let Numbers { epoch, first, next, bytes } = self.numbers()?;
        let readers = self.contained(|store| {
            let table = store.database.begin_read()?.open_table(MARKS)?;
            let mut readers = Vec::new();
            for entry in table.iter()? {
                let (name, mark) = entry?;
                let (position, seen_ms) = mark.value();
                readers.push(Reader { name: name.value().to_owned(), position, seen_ms });
            }
            Ok(readers)
        })?;
        Ok(Contents { epoch, first, next, bytes, readers })
    }

    pub(crate) fn numbers(&self) -> Result<Numbers, SpoolError> {
        self.contained(|store| {
            let table = store.numbers_table()?;
            let number = |name: &str| table.get(name)?.map(|value| value.value()).ok_or_else(strange);
            let [epoch, first, next, bytes] = ["epoch", "first", "next", "bytes"].map(number);
            let numbers = Numbers { epoch: epoch?, first: first?, next: next?, bytes: bytes? };
            if numbers.first > numbers.next { Err(strange()) } else { Ok(numbers) }
        })
    }

    /// The block that holds `from` and those behind it, up to `max_bytes` of data, and at least one if any is there.
    pub(crate) fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<Block>, SpoolError> {
        self.contained(|store| {
            let transaction = store.database.begin_read()?;
            let table = transaction.open_table(BLOCKS)?;
            let first =
                transaction.open_table(NUMBERS)?.get("first")?.map(|value| value.value()).ok_or_else(strange)?;
            let from = from.max(first);
            let start = chunk_with(&table, from)?;
            let (mut found, mut room) = (Vec::new(), max_bytes);
            for entry in table.range(start..)? {
                let (key, value) = entry?;
                let part = blocks(key.value(), value.value(), from, room).ok_or_else(strange)?;
                let bytes = part.iter().map(|block| block.data.len()).sum::<usize>();
                if bytes > room && !found.is_empty() {
                    break;
                }
                let complete = part.last().map(Block::end) == chunk_end(value.value());
                found.extend(part);
                room = room.saturating_sub(bytes);
                if room == 0 || !complete {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// Carries `change` out as a whole, and returns when it is on the disk. `numbers` are those of the last commit.
    ///
    /// After an error the store is to be opened again: whether the change was carried out, its numbers say.
    pub(crate) fn commit(&self, change: &Change, numbers: Numbers) -> Result<Outcome, SpoolError> {
        self.contained(|store| change::commit(&store.database, change, numbers))
    }

    fn numbers_table(&self) -> Result<ReadOnlyTable<&'static str, u64>, redb::Error> {
        Ok(self.database.begin_read()?.open_table(NUMBERS)?)
    }

    /// A damaged file makes redb panic in places: that is an error of the file, not the end of a thread.
    fn contained<T>(&self, work: impl FnOnce(&Self) -> Result<T, redb::Error>) -> Result<T, SpoolError> {
        contain(&self.file, || work(self).map_err(|error| failure(&self.file, "use", error)))
    }
}

/// Does what may panic where a file is damaged.
pub(crate) fn contain<T>(file: &Path, work: impl FnOnce() -> Result<T, SpoolError>) -> Result<T, SpoolError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(SpoolError::Damaged { file: file.to_owned(), reason: text.unwrap_or("the database gave up").to_owned() })
    })
}

/// What an error of redb means for the owner of a spool.
pub(crate) fn failure(file: &Path, what: &'static str, error: redb::Error) -> SpoolError {
    let file = file.to_owned();
    match error {
        redb::Error::Io(source) => SpoolError::Io { what, path: file, source },
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            SpoolError::InUse { directory: file.parent().map(Path::to_owned).unwrap_or_default() }
        }
        redb::Error::PreviousIo | redb::Error::DatabaseClosed | redb::Error::LockPoisoned(_) => {
            SpoolError::Unavailable { directory: file.parent().map(Path::to_owned).unwrap_or_default() }
        }
        redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. } => {
            SpoolError::Foreign { file, reason: "a redb database with other tables" }
        }
        redb::Error::UpgradeRequired(found) => SpoolError::Format { file, found: u64::from(found), known: FORMAT },
        error => SpoolError::Damaged { file, reason: error.to_string() },
    }
}

/// The key of the chunk that holds `number`, or of the one behind it.
fn chunk_with(table: &impl ReadableTable<u64, &'static [u8]>, number: u64) -> Result<u64, redb::Error> {
    Ok(table.range(..=number)?.next_back().transpose()?.map_or(number, |(key, _)| key.value()))
}

fn strange() -> redb::Error {
    redb::Error::Corrupted("what it holds contradicts itself".to_owned())
}
