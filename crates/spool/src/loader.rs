//! The thread that reads for those who must not wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::block::Block;
use crate::error::SpoolError;
use crate::shared::Shared;

/// Takes what was loaded.
pub(crate) type Then = Box<dyn FnOnce(Result<Vec<Block>, SpoolError>) + Send>;

/// Blocks that somebody asked for.
pub(crate) struct Load {
    pub(crate) from: u64,
    pub(crate) max_bytes: usize,
    pub(crate) then: Then,
}

/// Answers until nobody can ask any more.
pub(crate) fn run(shared: &Arc<Shared>, loads: &Receiver<Load>) {
    for Load { from, max_bytes, then } in loads {
        let result = shared.read(from, max_bytes);
        // A panic of the owner's code has been reported by its hook, and ends this answer alone.
        let _ = catch_unwind(AssertUnwindSafe(|| then(result)));
    }
}
