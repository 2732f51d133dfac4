//! Masking of what a client sends (RFC 6455 section 5.3).

use rand::Rng;

/// Keys drawn at a time: one draw for each frame would cost as much as the rest of its header.
const KEYS: usize = 16;

/// Masking keys. They cannot be foreseen, so that nobody can choose what goes over the wire (RFC 6455 section 10.3).
#[derive(Default)]
pub(super) struct MaskingKeys {
    /// Drawn and not used; nothing at an end that does not mask.
    drawn: Option<Box<Drawn>>,
}

#[derive(Default)]
struct Drawn {
    keys: [[u8; 4]; KEYS],
    left: usize,
}

impl MaskingKeys {
    /// The next key; each is used once.
    #[inline]
    pub(super) fn next(&mut self) -> [u8; 4] {
        let drawn = self.drawn.get_or_insert_default();
        if drawn.left == 0 {
            rand::rng().fill_bytes(drawn.keys.as_flattened_mut());
            drawn.left = KEYS;
        }
        drawn.left -= 1;
        drawn.keys[drawn.left]
    }
}

impl std::fmt::Debug for MaskingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskingKeys")
    }
}

/// Masks, or unmasks, eight bytes at a time.
#[inline]
pub(super) fn mask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let twice = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (eights, rest) = payload.as_chunks_mut::<8>();
    for eight in eights {
        *eight = (u64::from_ne_bytes(*eight) ^ twice).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_example_of_the_rfc_and_every_length_are_masked() {
        // Section 5.7.
        let mut hello = *b"Hello";
        mask(&mut hello, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(hello, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).collect();
            let mut masked = plain.clone();
            mask(&mut masked, [1, 2, 3, 4]);
            let expected: Vec<u8> = plain.iter().zip([1, 2, 3, 4].into_iter().cycle()).map(|(a, b)| a ^ b).collect();
            assert_eq!(masked, expected);
        }
    }

    #[test]
    fn keys_do_not_repeat() {
        let mut keys = MaskingKeys::default();
        let drawn: HashSet<_> = (0..1000).map(|_| keys.next()).collect();
        // Of a thousand out of four billion two may be the same by chance, but hardly three pairs.
        assert!(drawn.len() > 997);
    }
}
