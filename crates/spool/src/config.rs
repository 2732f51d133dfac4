//! What an owner decides about a spool, and the limits that are not its to decide.

use std::path::PathBuf;
use std::time::Duration;

/// The largest block, in bytes of its data. Smaller limits of a [`SpoolConfig`] come first.
pub const BLOCK_BYTES: usize = 256 * 1024 * 1024;
/// What a block costs beside its data, in memory and in the file, as the limits count it.
pub const BLOCK_OVERHEAD: usize = 24;
/// Requests to load that wait at the same time; one more is answered with [`crate::SpoolError::Busy`].
pub const LOADS: usize = 1024;
/// Readers whose positions are kept.
pub const READERS: usize = 10_000;
/// The longest name of a reader, in bytes.
pub const READER_NAME_BYTES: usize = 1024;

/// Blocks of one commit, in bytes: more is left for the next one, so that a mark of what is stored moves on meanwhile.
pub(crate) const COMMIT_BYTES: usize = 16 * 1024 * 1024;
/// What one commit removes from the file, in bytes and in values. More takes several: nobody waits for long.
pub(crate) const REMOVE_BYTES: u64 = 64 * 1024 * 1024;
pub(crate) const REMOVE_VALUES: usize = 4096;
/// Pages of the file that are kept in memory, for reading and writing together.
pub(crate) const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Marks, and what is forgotten while there is room enough, wait this long for something to be stored with.
pub(crate) const LAZY_COMMIT: Duration = Duration::from_millis(100);
/// How long a spool that is dropped without being closed goes on writing.
pub(crate) const DROP_DEADLINE: Duration = Duration::from_secs(1);

/// Where a spool is, and how large it may become.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// The directory of this log and of nothing else. It is made when it does not exist.
    pub directory: PathBuf,
    /// The most bytes of blocks, [`BLOCK_OVERHEAD`] for each included. The file is larger: [crate documentation](crate).
    pub max_bytes: u64,
    /// The most bytes that wait in memory to be written: what is lost when the process is killed.
    pub max_unwritten_bytes: usize,
    /// How long a commit waits for more blocks. Zero still groups what comes while the disk is busy.
    pub group: Duration,
}

impl SpoolConfig {
    /// 1 GiB on disk, 64 MiB in memory, and 2 ms for a commit to fill.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            max_bytes: 1024 * 1024 * 1024,
            max_unwritten_bytes: 64 * 1024 * 1024,
            group: Duration::from_millis(2),
        }
    }

    /// The largest block that fits into an empty spool, in bytes of its data.
    pub fn largest_block(&self) -> usize {
        let bytes = usize::try_from(self.max_bytes).unwrap_or(usize::MAX).min(self.max_unwritten_bytes);
        bytes.saturating_sub(BLOCK_OVERHEAD).min(BLOCK_BYTES)
    }
}

/// How long to wait after failures of the disk: doubled each time, up to a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// The pause after failure number `failures`, counted from one.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::default();
        let pauses: Vec<_> = [1, 2, 3, 7, 40].map(|failures| backoff.pause(failures).as_millis()).into();
        assert_eq!(pauses, [100, 200, 400, 5000, 5000]);
    }

    #[test]
    fn the_largest_block_follows_the_smallest_limit() {
        let mut config = SpoolConfig::new("/nowhere");
        assert_eq!(config.largest_block(), 64 * 1024 * 1024 - BLOCK_OVERHEAD);
        config.max_bytes = 1000;
        assert_eq!(config.largest_block(), 1000 - BLOCK_OVERHEAD);
        config.max_bytes = 10;
        assert_eq!(config.largest_block(), 0);
    }
}
