//! A durable, bounded log of blocks: what receivers have not acknowledged survives restarts, kill -9 and power failures.
//!
//! An owner appends blocks of numbered messages, is told when they are on the disk, reads them again from any number, and
//! forgets them when nobody needs them any more. Beside the blocks the log keeps how far each reader is. One directory is one
//! log. What a block holds, what a reader is and when something is to be forgotten, is the owner's business: nothing here
//! knows a protocol, a format or a connection.
//!
//! # What is promised
//!
//! - What [`Observer::stored`] names is there after a crash, and blocks are there as they were appended. Nothing is reported
//!   before the system has confirmed that the disk has it. A disk that confirms what it has not done is not helped.
//! - A commit is carried out as a whole or not at all.
//! - A disk that fails or runs full is an event: blocks are kept in memory, up to a limit, until it works again. No restart
//!   is needed. To open a log, however, something has to be written.
//! - A file that is damaged or not ours is an error, and is left as it is.
//!
//! # How large it becomes
//!
//! [`SpoolConfig::max_bytes`] counts blocks. They are stored in pages of 4 KiB times a power of two, and space that was
//! forgotten can be used again two commits later: a file has up to about twice the size of what it held at most, in the worst case
//! (blocks a little larger than a power of two) up to four times. It does not grow beyond that, however much goes through it, and
//! shrinks when its end is free. Where the size of the disk matters, take a quarter of it.
//!
//! In memory a spool has what is not written yet, and 16 MiB of pages.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use eventflux_spool::{Block, Observer, Spool, SpoolConfig, SpoolError};
//!
//! struct Owner;
//! impl Observer for Owner {
//!     fn stored(&self, next: u64) { /* messages below `next` may be confirmed */ }
//!     fn failed(&self, error: &SpoolError) { /* count it */ }
//!     fn recovered(&self) {}
//!     fn freed(&self) { /* go on, when there was no room */ }
//! }
//!
//! # let temporary = tempfile::tempdir()?;
//! # let directory = temporary.path().join("orders");
//! let (spool, contents) = Spool::open(SpoolConfig::new(&directory), Arc::new(Owner))?;
//! spool.append(Block { first: contents.next, count: 3, data: "three messages".into(), time_ms: 0 })?;
//! spool.mark("warehouse", contents.next, 0)?;
//! assert_eq!(spool.close(Duration::from_secs(10)), 0);
//!
//! let (spool, contents) = Spool::open(SpoolConfig::new(&directory), Arc::new(Owner))?;
//! assert_eq!((contents.first, contents.next, contents.readers.len()), (0, 3, 1));
//! assert_eq!(spool.read(1, 1024)?[0].data, "three messages");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod block;
mod config;
mod error;
mod loader;
mod queue;
mod shared;
mod spool;
mod store;
mod writer;

pub use block::Block;
pub use config::{BLOCK_BYTES, BLOCK_OVERHEAD, LOADS, READER_NAME_BYTES, READERS, SpoolConfig};
pub use error::SpoolError;
pub use queue::{Refusal, Refused};
pub use spool::{Observer, Spool};
pub use store::{Contents, Reader};
