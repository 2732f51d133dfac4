//! Contexts that keep nothing from one message to the next. They belong to the thread, not to a connection: thousands
//! of connections without context takeover need as many contexts as there are threads.

use std::cell::RefCell;

use bytes::Bytes;

use super::{Compressor, Decompressor, InflateError};

/// Compressors a thread keeps, each with its own window and level. With more in use, the one unused for longest goes.
const MAX_COMPRESSORS: usize = 4;

thread_local! {
    /// The one used last is the last.
    static COMPRESSORS: RefCell<Vec<Compressor>> = const { RefCell::new(Vec::new()) };
    static DECOMPRESSOR: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
}

/// [`Compressor::compress`] of a message that refers to no other.
pub(super) fn compress(window_bits: u8, level: u32, payload: &[u8]) -> Option<Bytes> {
    COMPRESSORS.with_borrow_mut(|compressors| {
        let compressor = match compressors.iter().position(|compressor| compressor.is_of(window_bits, level)) {
            Some(index) => compressors.remove(index),
            None => Compressor::new(window_bits, level, false),
        };
        if compressors.len() == MAX_COMPRESSORS {
            compressors.remove(0);
        }
        compressors.push(compressor);
        compressors.last_mut()?.compress(payload)
    })
}

/// [`Decompressor::inflate`] of a message that refers to no other.
pub(super) fn inflate(payload: &[u8], max_bytes: usize) -> Result<Bytes, InflateError> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        decompressor.get_or_insert_with(|| Decompressor::new(false)).inflate(payload, max_bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_a_bounded_number_of_compressors_the_last_used_ones() {
        for level in [1, 2, 3, 4, 1, 5, 6] {
            compress(9, level, b"some words").unwrap();
        }
        COMPRESSORS.with_borrow(|compressors| {
            let levels = [4, 1, 5, 6];
            assert_eq!(compressors.len(), MAX_COMPRESSORS);
            assert!(compressors.iter().zip(levels).all(|(compressor, level)| compressor.is_of(9, level)));
        });
    }

    #[test]
    fn messages_do_not_refer_to_those_of_other_connections() {
        let text = b"the secret of another connection";
        let [first, second] = [0; 2].map(|_| compress(15, 6, text).unwrap());
        assert_eq!(first, second);
        let mut keeping = Compressor::new(15, 6, true);
        let [_, referring] = [0; 2].map(|_| keeping.compress(text).unwrap());
        assert!(referring.len() < first.len());
        assert_eq!(inflate(&first, 100).unwrap(), &text[..]);
        assert_eq!(inflate(&referring, 100), Err(InflateError::Corrupt));
    }
}
