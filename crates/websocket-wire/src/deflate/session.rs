//! The extension of one connection: which messages are compressed, and with whose context.

use std::sync::OnceLock;

use bytes::Bytes;

use super::{
    Compressor, Decompressor, DeflateConfig, InflateError, MAX_WINDOW_BITS, MIN_COMPRESSOR_WINDOW_BITS, Negotiated,
    per_thread,
};
use crate::{Message, MessageKind};

/// Windows there is a compressor for.
const WINDOWS: usize = (MAX_WINDOW_BITS - MIN_COMPRESSOR_WINDOW_BITS + 1) as usize;

/// permessage-deflate as two sides agreed upon it, from the first message to the last.
#[derive(Debug)]
pub struct Deflate {
    threshold_bytes: usize,
    level: u32,
    negotiated: Negotiated,
    /// With context takeover only, from the first message that is compressed.
    compressor: Option<Compressor>,
    /// With context takeover only, from the first compressed message received.
    decompressor: Option<Decompressor>,
}

impl Deflate {
    /// Of `config`, the threshold and the level; the rest is what was negotiated. Allocates nothing: contexts are made
    /// when a message needs them. A window larger than 15 bits counts as 15.
    #[must_use]
    pub fn new(config: DeflateConfig, mut negotiated: Negotiated) -> Self {
        let DeflateConfig { threshold_bytes, level, .. } = config;
        negotiated.send.window_bits = negotiated.send.window_bits.min(MAX_WINDOW_BITS);
        Self { threshold_bytes, level, negotiated, compressor: None, decompressor: None }
    }

    /// What was agreed upon.
    #[must_use]
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// The payload of the next message to be sent, compressed: it goes out with RSV1 set, and in this order.
    ///
    /// `None` for a message that goes as it is: a ping, one that is empty or below the threshold, all of them with a
    /// window of 8 bits, for which there is no compressor, and those that compression does not make smaller. With
    /// context takeover the last only applies from the size of the window on, see below.
    #[must_use]
    pub fn compress(&mut self, message: &Message) -> Option<Bytes> {
        let (payload, send) = (&message.payload, self.negotiated.send);
        let is_eligible = message.kind != MessageKind::Ping
            && !payload.is_empty()
            && payload.len() >= self.threshold_bytes
            && send.window_bits >= MIN_COMPRESSOR_WINDOW_BITS;
        if !is_eligible {
            return None;
        }
        if send.context_takeover {
            return self.compress_in_context(payload);
        }
        let compress = || {
            let compressed = per_thread::compress(send.window_bits, self.level, payload)?;
            (compressed.len() < payload.len()).then_some(compressed)
        };
        match &message.shared {
            Some(shared) => shared.get_or_compress(send.window_bits, compress),
            None => compress(),
        }
    }

    /// The payload of the next compressed message received, inflated.
    ///
    /// # Errors
    /// Those of [`Decompressor::inflate`]; the connection cannot go on.
    pub fn inflate(&mut self, payload: &[u8], max_bytes: usize) -> Result<Bytes, InflateError> {
        if self.negotiated.receive.context_takeover {
            self.decompressor.get_or_insert_with(|| Decompressor::new(true)).inflate(payload, max_bytes)
        } else {
            per_thread::inflate(payload, max_bytes)
        }
    }

    /// What was compressed is in our window and has to get into the peer's, even if it did not become smaller. Only a
    /// message that fills the whole window has pushed everything else out of it: forgetting it all loses nothing then,
    /// and it can go as it is.
    fn compress_in_context(&mut self, payload: &[u8]) -> Option<Bytes> {
        let window_bits = self.negotiated.send.window_bits;
        let compressor = self.compressor.get_or_insert_with(|| Compressor::new(window_bits, self.level, true));
        let compressed = compressor.compress(payload)?;
        if compressed.len() >= payload.len() && payload.len() >= 1 << window_bits {
            compressor.reset();
            return None;
        }
        Some(compressed)
    }
}

/// The compressed forms of one message that goes to many connections, one for each window: the first connection without
/// context takeover that sends it compresses it, with its level, and all others take what is there.
#[derive(Debug, Default)]
pub struct SharedDeflate {
    /// From the smallest window to the largest; `None` inside when compression does not make the message smaller.
    compressed: [OnceLock<Option<Bytes>>; WINDOWS],
}

impl SharedDeflate {
    fn get_or_compress(&self, window_bits: u8, compress: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
        let index = usize::from(window_bits.checked_sub(MIN_COMPRESSOR_WINDOW_BITS)?);
        self.compressed.get(index)?.get_or_init(compress).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::DirectionConfig;
    use super::*;

    const TEXT: &str = "the same words, the same words, the same words";

    /// One that sends and receives alike.
    fn deflate(window_bits: u8, context_takeover: bool, threshold_bytes: usize) -> Deflate {
        let direction = DirectionConfig { window_bits, context_takeover };
        let config = DeflateConfig { threshold_bytes, level: 1, send: direction, receive: direction };
        Deflate::new(config, Negotiated { send: direction, receive: direction })
    }

    /// 40,000 bytes that do not compress.
    fn noise() -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..40_000).map(|_| next()).collect()
    }

    #[test]
    fn a_message_below_the_threshold_an_empty_one_and_a_ping_go_as_they_are() {
        for context_takeover in [true, false] {
            let mut deflate = deflate(15, context_takeover, TEXT.len());
            assert_eq!(deflate.compress(&Message::text(&TEXT[1..])), None);
            assert_eq!(deflate.compress(&Message::new(MessageKind::Ping, TEXT.into())), None);
            assert!(deflate.compress(&Message::text(TEXT)).is_some());
            assert!(deflate.compress(&Message::binary(TEXT)).is_some());
            deflate.threshold_bytes = 0;
            assert_eq!(deflate.compress(&Message::text("")), None);
        }
    }

    #[test]
    fn nothing_is_compressed_with_a_window_of_8_bits() {
        for context_takeover in [true, false] {
            let mut deflate = deflate(8, context_takeover, 0);
            assert_eq!(deflate.compress(&Message::text(TEXT)), None);
            assert_eq!(deflate.compress(&Message::text(TEXT).for_many()), None);
        }
    }

    #[test]
    fn what_does_not_become_smaller_goes_as_it_is_without_context_takeover() {
        let mut deflate = deflate(15, false, 0);
        assert_eq!(deflate.compress(&Message::text("abc")), None);
        assert_eq!(deflate.compress(&Message::binary(noise())), None);
        assert_eq!(deflate.compress(&Message::binary(noise()).for_many()), None);
    }

    #[test]
    fn with_context_takeover_only_a_message_that_fills_the_window_goes_as_it_is() {
        let (noise, mut sender, mut receiver) = (noise(), deflate(15, true, 0), deflate(15, true, 0));
        let text = TEXT.as_bytes();
        // The last refers to the one that went as it is, if anything of that is left.
        for message in [text, &noise[..100], text, &noise, text, text, &noise[30_000..]] {
            match sender.compress(&Message::binary(message.to_vec())) {
                Some(compressed) => assert_eq!(receiver.inflate(&compressed, usize::MAX).unwrap(), message),
                None => assert_eq!(message.len(), noise.len()),
            }
        }
    }

    #[test]
    fn contexts_are_made_when_a_message_needs_one_of_its_own() {
        let compressed = deflate(15, false, 0).compress(&Message::text(TEXT)).unwrap();
        for context_takeover in [true, false] {
            let mut deflate = deflate(15, context_takeover, TEXT.len());
            assert_eq!(deflate.compress(&Message::text("short")), None);
            assert!(deflate.compressor.is_none() && deflate.decompressor.is_none());
            deflate.compress(&Message::text(TEXT)).unwrap();
            deflate.inflate(&compressed, TEXT.len()).unwrap();
            assert_eq!(deflate.compressor.is_some(), context_takeover);
            assert_eq!(deflate.decompressor.is_some(), context_takeover);
        }
    }

    #[test]
    fn a_message_for_many_is_compressed_once_for_each_window() {
        let message = Message::text(TEXT).for_many();
        let compress = |window_bits| deflate(window_bits, false, 0).compress(&message.clone()).unwrap();
        let [first, second] = [0; 2].map(|_| compress(12));
        assert_eq!(first.as_ptr(), second.as_ptr());
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| compress(12)).join().unwrap());
        assert_eq!(first.as_ptr(), elsewhere.as_ptr());
        assert_ne!(first.as_ptr(), compress(15).as_ptr());
        let plain = Message::text(TEXT);
        let [first, second] = [0; 2].map(|_| deflate(12, false, 0).compress(&plain).unwrap());
        assert_ne!(first.as_ptr(), second.as_ptr());
    }

    #[test]
    fn a_message_for_many_takes_part_in_a_kept_context() {
        let (message, shared) = (Message::text(TEXT), Message::text(TEXT).for_many());
        let (mut sender, mut receiver) = (deflate(15, true, 0), deflate(15, true, 0));
        for message in [&message, &shared, &message, &shared] {
            let compressed = sender.compress(message).unwrap();
            assert_eq!(receiver.inflate(&compressed, TEXT.len()).unwrap(), TEXT);
        }
        assert!(shared.shared.is_some_and(|shared| shared.compressed.iter().all(|form| form.get().is_none())));
    }

    #[test]
    fn that_compression_is_in_vain_is_found_out_once() {
        let shared = Arc::new(SharedDeflate::default());
        for _ in 0..2 {
            let compressed = shared.get_or_compress(9, || {
                assert!(shared.compressed[0].get().is_none(), "it is known already");
                None
            });
            assert_eq!(compressed, None);
        }
    }

    #[test]
    fn a_window_that_does_not_exist_counts_as_the_largest() {
        for context_takeover in [true, false] {
            assert!(deflate(99, context_takeover, 0).compress(&Message::text(TEXT).for_many()).is_some());
        }
    }
}
