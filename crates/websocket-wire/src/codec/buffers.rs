//! Buffers that belong to the thread, so that an idle connection holds none.

use std::cell::Cell;

/// Size of the buffer received bytes are read into.
const READ_BYTES: usize = 64 * 1024;

/// Largest buffer kept for the next to use.
const MAX_SPARE_BYTES: usize = 256 * 1024;

thread_local! {
    static READ: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's read buffer, 64 KiB of anything. A nested call gets a buffer of its own.
pub(crate) fn with_read_buffer<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = READ.take().unwrap_or_else(|| vec![0; READ_BYTES].into_boxed_slice());
    let result = work(&mut buffer);
    READ.set(Some(buffer));
    result
}

/// An empty buffer to encode into; to be given back.
pub(super) fn take_write_buffer() -> Vec<u8> {
    WRITE.take()
}

/// Gives a buffer back.
pub(super) fn give_write_buffer(mut buffer: Vec<u8>) {
    if buffer.capacity() <= MAX_SPARE_BYTES {
        buffer.clear();
        WRITE.set(buffer);
    }
}
