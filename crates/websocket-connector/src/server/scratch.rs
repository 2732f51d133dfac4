//! Memory that a thread's connections use in turn: none of them holds any of it while it waits.

use std::cell::RefCell;

use eventflux_gateway::Outgoing;
use eventflux_websocket_wire::Batch;

thread_local! {
    static BATCH: RefCell<Batch> = RefCell::default();
    static OUTGOING: RefCell<Vec<Outgoing>> = RefCell::default();
}

/// Calls `work` with an empty batch.
pub(super) fn with_batch<R>(work: impl FnOnce(&mut Batch) -> R) -> R {
    let mut batch = BATCH.take();
    let result = work(&mut batch);
    batch.clear();
    BATCH.set(batch);
    result
}

/// Calls `work` with an empty list.
pub(super) fn with_outgoing<R>(work: impl FnOnce(&mut Vec<Outgoing>) -> R) -> R {
    let mut outgoing = OUTGOING.take();
    let result = work(&mut outgoing);
    outgoing.clear();
    OUTGOING.set(outgoing);
    result
}
