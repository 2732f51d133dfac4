//! Numbers from their text: integers exactly, floats to the nearest.

use super::swar::{DIGIT_ZEROS, eight_digits, word_at};

/// A number of at most this many bytes before its exponent is finite when its exponent is short.
pub(super) const ALWAYS_FINITE_BYTES: usize = 200;

/// An exponent of at most this many digits cannot make such a number infinite.
pub(super) const ALWAYS_FINITE_EXPONENT_DIGITS: usize = 2;

/// Digits an `u64` always holds.
const U64_DIGITS: usize = 19;

const POWERS_OF_TEN: [u64; 20] = {
    let mut powers = [1; 20];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

/// Whether the nearest 64-bit float of a JSON number is finite.
pub(super) fn is_finite(number: &[u8]) -> bool {
    double(std::str::from_utf8(number).unwrap_or("")).is_some_and(f64::is_finite)
}

/// The nearest 64-bit float.
#[inline]
pub(super) fn double(text: &str) -> Option<f64> {
    short_double(text.as_bytes()).or_else(|| text.parse().ok())
}

/// The nearest 64-bit float of a JSON number without an exponent and with so few digits that they and the power of ten
/// they are divided by are exact floats; the division then rounds once, correctly. `None` for all other text.
#[inline(never)]
pub(super) fn short_double(text: &[u8]) -> Option<f64> {
    const MAX_EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
    const MAX_BYTES: usize = 17;
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > MAX_BYTES || matches!(digits, [] | [b'.', ..] | [b'0', b'0'..=b'9', ..]) {
        return None;
    }
    let (mut mantissa, mut point) = (0, None);
    for (index, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            mantissa = mantissa * 10 + u64::from(digit);
        } else if byte == b'.' && point.is_none() && index + 1 < digits.len() {
            point = Some(index);
        } else {
            return None;
        }
    }
    let places = point.map_or(0, |point| digits.len() - 1 - point);
    if mantissa > MAX_EXACT {
        return None;
    }
    let value = mantissa as f64 / POWERS_OF_TEN[places] as f64;
    Some(if negative { -value } else { value })
}

/// The nearest 32-bit float; `None` when it is too large for one.
pub(super) fn float(text: &str) -> Option<f32> {
    text.parse().ok().filter(|value: &f32| value.is_finite())
}

/// The value of `bytes[start..end]`, a JSON integer; `None` when it does not fit.
#[inline]
pub(super) fn integer(bytes: &[u8], start: usize, end: usize) -> Option<i64> {
    let negative = bytes.get(start) == Some(&b'-');
    let magnitude = digits(bytes, start + usize::from(negative), end)?;
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// The value of the ASCII digits `bytes[start..end]`; `None` when there are more than an `u64` always holds.
#[inline]
fn digits(bytes: &[u8], start: usize, end: usize) -> Option<u64> {
    let count = end - start;
    if count > U64_DIGITS {
        return None;
    }
    let mut value = 0;
    let mut at = start;
    while end - at >= 8 {
        value = value * POWERS_OF_TEN[8] + eight_digits(word_at(bytes, at)? ^ DIGIT_ZEROS);
        at += 8;
    }
    let left = end - at;
    if left == 0 {
        return Some(value);
    }
    let tail = match word_at(bytes, at) {
        // The digits move to the high bytes; the low ones become leading zeros.
        Some(word) => eight_digits((word ^ DIGIT_ZEROS) << (8 * (8 - left))),
        None => bytes[at..end].iter().fold(0, |value, &digit| value * 10 + u64::from(digit - b'0')),
    };
    Some(value * POWERS_OF_TEN[left] + tail)
}

/// What a number is worth as a count of units of ten to the power of minus `shift`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scaled {
    /// That many units, exactly.
    Exact(i64),
    /// Between that many units and the next one up.
    Above(i64),
    /// More than 64 bits hold.
    OutOfRange,
}

/// `text`, a JSON number, times ten to the power of `shift`, without going through a float.
pub(crate) fn scaled(text: &str, shift: i64) -> Scaled {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        // An exponent too long for 64 bits counts as huge: only a zero mantissa survives that.
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().unwrap_or_else(|_| huge(exponent))),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0');
    let point = (whole.len() as i64).saturating_add(exponent).saturating_add(shift);
    let mut magnitude = 0_u64;
    let mut inexact = false;
    let mut count = 0_i64;
    for digit in digits {
        if count < point {
            let next = magnitude.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit)));
            let Some(next) = next else { return Scaled::OutOfRange };
            magnitude = next;
        } else {
            inexact |= digit != 0;
        }
        count += 1;
    }
    while count < point && magnitude != 0 {
        let Some(next) = magnitude.checked_mul(10) else {
            return Scaled::OutOfRange;
        };
        magnitude = next;
        count += 1;
    }
    finish(negative, magnitude, inexact)
}

fn huge(exponent: &str) -> i64 {
    // Halved, so that adding lengths and shifts cannot overflow.
    if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 }
}

fn finish(negative: bool, magnitude: u64, inexact: bool) -> Scaled {
    let value = match (negative, inexact) {
        (false, _) => i64::try_from(magnitude).ok(),
        (true, false) => 0_i64.checked_sub_unsigned(magnitude),
        (true, true) => 0_i64.checked_sub_unsigned(magnitude).and_then(|value| value.checked_sub(1)),
    };
    match (value, inexact) {
        (None, _) => Scaled::OutOfRange,
        (Some(value), false) => Scaled::Exact(value),
        (Some(value), true) => Scaled::Above(value),
    }
}

/// Whether all of `text` is one JSON number.
pub(crate) fn is_number(text: &str) -> bool {
    use super::scan::Scanner;
    use super::slot::Kind;
    let is_exact = |start, end| start == 0 && end == text.len();
    Scanner::check(text).is_ok_and(|value| {
        matches!(value.kind(), Kind::Integer | Kind::Decimal) && is_exact(value.start(), value.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Option<i64> {
        integer(text.as_bytes(), 0, text.len())
    }

    #[test]
    fn sixty_four_bits_are_exact_to_the_last() {
        assert_eq!(whole("9223372036854775807"), Some(i64::MAX));
        assert_eq!(whole("9223372036854775808"), None);
        assert_eq!(whole("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(whole("-9223372036854775809"), None);
        assert_eq!(whole("18446744073709551616"), None);
        assert_eq!(whole("-0"), Some(0));
    }

    #[test]
    fn a_number_is_scaled_without_rounding() {
        let cases = [
            ("1.0", 0, Scaled::Exact(1)),
            ("1e3", 0, Scaled::Exact(1000)),
            ("1.5e1", 0, Scaled::Exact(15)),
            ("1500e-2", 0, Scaled::Exact(15)),
            ("1.5", 0, Scaled::Above(1)),
            ("-1.5", 0, Scaled::Above(-2)),
            ("1700000000.123456", 6, Scaled::Exact(1_700_000_000_123_456)),
            ("1700000000123456789", -3, Scaled::Above(1_700_000_000_123_456)),
            ("9223372036854775807.0", 0, Scaled::Exact(i64::MAX)),
            ("9223372036854775808", 0, Scaled::OutOfRange),
            ("1e99999999999999999999", 0, Scaled::OutOfRange),
            ("1e-99999999999999999999", 0, Scaled::Above(0)),
            ("0e99999999999999999999", 0, Scaled::Exact(0)),
            ("0.0000000000000000000001e22", 0, Scaled::Exact(1)),
        ];
        for (text, shift, expected) in cases {
            assert_eq!(scaled(text, shift), expected, "{text} shifted by {shift}");
        }
    }

    proptest! {
        #[test]
        fn integers_agree_with_the_standard_library(value: i64, before in "[a-z]{0,9}", after in "[,}a-z]{0,9}") {
            let text = format!("{before}{value}{after}");
            let end = text.len() - after.len();
            prop_assert_eq!(integer(text.as_bytes(), before.len(), end), Some(value));
        }

        #[test]
        fn doubles_agree_with_the_standard_library(text in "-?(0|[1-9][0-9]{0,16})(\\.[0-9]{1,17})?(e-?[0-9]{1,3})?") {
            let theirs: f64 = text.parse().unwrap();
            prop_assert_eq!(double(&text).map(f64::to_bits), Some(theirs.to_bits()));
        }

        #[test]
        fn a_short_double_is_a_json_number(text in "[-+0-9.e ]{0,6}") {
            prop_assert!(short_double(text.as_bytes()).is_none() || is_number(&text), "{}", text);
        }

        #[test]
        fn whole_numbers_scale_to_themselves(value: i64) {
            prop_assert_eq!(scaled(&value.to_string(), 0), Scaled::Exact(value));
        }
    }
}
