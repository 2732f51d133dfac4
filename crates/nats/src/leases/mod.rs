//! Which of several processes holds which of a fixed number of partitions, and how far each has been worked through.
//!
//! A key-value bucket `eventflux-leases-GROUP` has a key for each partition (`partition.K`: who holds it, and the next
//! sequence to work on) and one for each process (`member.ID`). Every write of a partition's key expects the revision that
//! was read, so that of two processes one succeeds. Nobody compares clocks: a lease is over for the others when its key has not
//! changed for as long as a lease lasts, on their own monotonic clocks; its holder stops a while before that.
//!
//! | module | for |
//! |---|---|
//! | `record` | what the keys say |
//! | `machine` | who holds what: no clock, no I/O |
//! | `share` | how many partitions each process is to hold |
//! | `clock` | time that passes while a machine sleeps, too |
//! | `driver` | the bucket |
//!
//! Why one at a time: a holder works on a partition until two thirds of a lease after it *sent* the last write that succeeded.
//! Others learn of that write later, wait for a whole lease from then on, and their write succeeds only if there was no
//! other one. What is under way when the holder stops (a write that is late) fails, or is the one that makes theirs fail.

mod clock;
mod driver;
mod machine;
mod record;
mod share;
#[cfg(test)]
mod simulation;

use std::time::Duration;

pub use driver::Leases;

/// Most partitions that can be shared.
pub const MAX_PARTITIONS: u32 = 1024;

/// How leases are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Who shares the partitions. Letters, digits, `-` and `_`.
    pub group: String,
    /// Number of partitions, at most [`MAX_PARTITIONS`].
    pub partitions: u32,
    /// How long a lease lasts that is not renewed.
    pub lease: Duration,
    /// Servers that keep the bucket, when it is created.
    pub replicas: usize,
}

/// What positions count: the messages of one stream, from a place on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Which stream: one that is created later under the same name has a greater number.
    pub epoch: u64,
    /// Where a partition begins that nobody has worked on. Where there are positions of another epoch, partitions begin at
    /// the first message of this one.
    pub first: u64,
    /// Streams up to this epoch are known to be gone, though it is greater than that of this one: one was restored, or the
    /// server's clock went back. 0: none.
    pub gone: u64,
}

impl Origin {
    /// This one, known to be there after one of epoch `newest` was seen: if that is greater, it is gone.
    #[must_use]
    pub fn after(self, newest: u64) -> Self {
        Self { gone: if newest > self.epoch { newest } else { 0 }, ..self }
    }

    /// Whether there is a newer stream than this one, when there are positions of that epoch.
    pub(in crate::leases) fn is_before(self, epoch: u64) -> bool {
        epoch > self.epoch.max(self.gone)
    }
}

/// A time during which this process holds a partition; the next one has a greater number. The
/// default is no such time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub(in crate::leases) u64);

/// What changed about what this process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It holds a partition: work on it from this position on. Replaces an earlier term of the same partition.
    Acquired {
        /// Which one.
        partition: u32,
        /// Until when, in other words.
        term: Term,
        /// The next sequence to work on.
        position: u64,
    },
    /// Another process is to have it: finish what has been begun, then say [`Leases::release`].
    Release {
        /// Which one.
        partition: u32,
        /// Of which term.
        term: Term,
    },
    /// It is gone: stop at once.
    Lost {
        /// Which one.
        partition: u32,
        /// Of which term.
        term: Term,
    },
    /// Other processes work, or worked, on a stream that is newer than the one this process knows: ask for it, and begin again.
    /// If it is none the less the older one, then the newer one is gone: say so with [`Origin::gone`].
    Outdated {
        /// Which one.
        epoch: u64,
    },
}
