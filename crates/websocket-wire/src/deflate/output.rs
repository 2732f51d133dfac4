//! Output whose size is not known beforehand. Small outputs never leave a buffer that the thread keeps, and become one
//! allocation of the exact size; larger ones move to a buffer of their own, which doubles up to a limit.

use std::cell::RefCell;

use bytes::Bytes;

/// Bytes of the buffer each thread keeps.
const SCRATCH_BYTES: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// The bytes that `fill` leaves in an output of at most `max_bytes`, which must not be 0.
#[inline]
pub(super) fn collect<E>(max_bytes: usize, fill: impl FnOnce(&mut Output<'_>) -> Result<(), E>) -> Result<Bytes, E> {
    SCRATCH.with_borrow_mut(|scratch| {
        let room = scratch.len().min(max_bytes);
        let mut output = Output { scratch: &mut scratch[..room], heap: Vec::new(), len: 0, max_bytes };
        fill(&mut output)?;
        Ok(output.into_bytes())
    })
}

/// Bytes written so far, and room for more.
pub(super) struct Output<'a> {
    scratch: &'a mut [u8],
    /// Takes the place of `scratch` once it has any bytes.
    heap: Vec<u8>,
    len: usize,
    max_bytes: usize,
}

impl Output<'_> {
    /// Bytes written so far.
    #[inline]
    pub(super) fn written(&self) -> &[u8] {
        &self.buffer()[..self.len]
    }

    /// Where to write next.
    #[inline]
    pub(super) fn spare(&mut self) -> &mut [u8] {
        let buffer = if self.heap.is_empty() { &mut *self.scratch } else { &mut self.heap };
        &mut buffer[self.len..]
    }

    /// The next `count` bytes are written.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        self.len += count;
        debug_assert!(self.len <= self.buffer().len());
    }

    /// Forgets the last `count` bytes.
    #[inline]
    pub(super) fn cut(&mut self, count: usize) {
        self.len = self.len.saturating_sub(count);
    }

    /// Whether there is nowhere to write.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.len == self.buffer().len()
    }

    /// Makes room for as much again; `false` when the limit is reached.
    pub(super) fn grow(&mut self) -> bool {
        let room = self.buffer().len();
        let wanted = room.saturating_mul(2).min(self.max_bytes);
        if wanted == room {
            return false;
        }
        // Exactly, or the vector would double on its own, beyond the limit.
        self.heap.reserve_exact(wanted - self.heap.len());
        if self.heap.is_empty() {
            self.heap.extend_from_slice(self.scratch);
        }
        self.heap.resize(wanted, 0);
        true
    }

    #[inline]
    fn buffer(&self) -> &[u8] {
        if self.heap.is_empty() { self.scratch } else { &self.heap }
    }

    fn into_bytes(mut self) -> Bytes {
        if self.heap.is_empty() {
            return Bytes::copy_from_slice(self.written());
        }
        self.heap.truncate(self.len);
        self.heap.shrink_to_fit();
        Bytes::from(self.heap)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Writes `count` bytes, as they fit, and returns the largest buffer there was.
    fn fill(output: &mut Output<'_>, count: usize) -> usize {
        let mut left = count;
        while left > 0 && (!output.is_full() || output.grow()) {
            let spare = output.spare();
            let written = spare.len().min(left);
            spare[..written].fill(7);
            output.advance(written);
            left -= written;
        }
        output.buffer().len().max(output.heap.capacity())
    }

    #[test]
    fn output_of_any_size_comes_out_whole() {
        for count in [0, 1, SCRATCH_BYTES - 1, SCRATCH_BYTES, SCRATCH_BYTES + 1, 5 * SCRATCH_BYTES] {
            let bytes = collect(usize::MAX, |output| {
                fill(output, count);
                Ok::<_, Infallible>(())
            });
            assert_eq!(bytes.unwrap(), vec![7; count]);
        }
    }

    #[test]
    fn no_more_is_allocated_than_the_limit_or_twice_what_is_written() {
        for max_bytes in [1, 100, SCRATCH_BYTES, SCRATCH_BYTES + 1, 3 * SCRATCH_BYTES] {
            let bytes = collect(max_bytes, |output| {
                assert!(fill(output, usize::MAX) <= max_bytes);
                Ok::<_, Infallible>(())
            });
            assert_eq!(bytes.unwrap().len(), max_bytes);
        }
        let bytes = collect(usize::MAX, |output| {
            assert!(fill(output, 5 * SCRATCH_BYTES) <= 10 * SCRATCH_BYTES);
            Ok::<_, Infallible>(())
        });
        assert_eq!(bytes.unwrap().len(), 5 * SCRATCH_BYTES);
    }

    #[test]
    fn what_is_cut_off_does_not_come_out() {
        let bytes = collect(10, |output| {
            fill(output, 6);
            output.cut(4);
            Ok::<_, Infallible>(())
        });
        assert_eq!(&bytes.unwrap()[..], [7, 7]);
    }
}
