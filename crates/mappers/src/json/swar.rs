//! Eight bytes at a time in an ordinary 64-bit register ("SIMD within a register").

/// The ASCII digit 0, eight times.
pub(super) const DIGIT_ZEROS: u64 = 0x3030_3030_3030_3030;

/// The high bit of each byte of `word` that is no ASCII digit; exact up to the first one.
#[inline]
pub(super) fn non_digits(word: u64) -> u64 {
    let digits = word ^ DIGIT_ZEROS;
    (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080
}

/// Eight digit values, one a byte, the lowest byte first, as one number.
#[inline]
pub(super) fn eight_digits(digits: u64) -> u64 {
    let pairs = (digits * 10).wrapping_add(digits >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100).wrapping_add(pairs >> 16) & 0x0000_FFFF_0000_FFFF;
    (fours * 10_000).wrapping_add(fours >> 32) & 0xFFFF_FFFF
}

/// Eight bytes at `at`, the first one lowest; `None` when there are fewer.
#[inline]
pub(super) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(chunk.try_into().ok()?))
}

/// The high bit of the first byte that ends plain text: a quote, a backslash or a control character. Bits above the
/// first may be wrong (a borrow carries upwards); the lowest one is exact.
#[inline]
pub(super) fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (is_quote | is_backslash | is_control) & (ONES * 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_stop_is_found_at_every_place_of_a_word() {
        for place in 0..8 {
            for stop in (0..0x20).chain([b'"', b'\\']) {
                let mut bytes = [b'a'; 8];
                bytes[place] = stop;
                let mask = stops(u64::from_le_bytes(bytes));
                assert_eq!((mask.trailing_zeros() / 8) as usize, place, "{stop:#x}");
            }
        }
        for plain in [0x20_u8, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
            assert_eq!(stops(u64::from_le_bytes([plain; 8])), 0, "{plain:#x}");
        }
    }

    proptest! {
        #[test]
        fn non_digits_are_found_at_their_first_place(bytes: [u8; 8]) {
            let first = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(8);
            prop_assert_eq!((non_digits(u64::from_le_bytes(bytes)).trailing_zeros() / 8) as usize, first);
        }
    }
}
