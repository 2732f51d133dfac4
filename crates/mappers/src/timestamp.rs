//! How a `TIMESTAMP` (microseconds since 1970-01-01T00:00:00Z) is read: a number of some unit, or RFC 3339 text.

use chrono::DateTime;
pub(crate) use eventflux_core::text::{
    TIME_FORMATS as FORMATS, TIME_UNITS as UNITS, TimeFormat, TimeUnit, push_rfc3339, push_time_number,
};

use crate::json::number::{Scaled, scaled};

/// A JSON number of `unit`; what is finer than a microsecond is cut off (towards the past). `None` when it is out of
/// range.
pub(crate) fn micros_from_number(text: &str, unit: TimeUnit) -> Option<i64> {
    match scaled(text, unit.places()) {
        Scaled::Exact(micros) | Scaled::Above(micros) => Some(micros),
        Scaled::OutOfRange => None,
    }
}

/// A whole number of `unit`, as [`micros_from_number`].
#[inline]
pub(crate) fn micros_from_integer(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Seconds => value.checked_mul(1_000_000),
        TimeUnit::Milliseconds => value.checked_mul(1_000),
        TimeUnit::Microseconds => Some(value),
        TimeUnit::Nanoseconds => Some(value.div_euclid(1_000)),
    }
}

/// RFC 3339 text; what is finer than a microsecond is cut off.
pub(crate) fn micros_from_rfc3339(text: &str) -> Option<i64> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(micros: i64, unit: TimeUnit) -> String {
        let mut out = String::new();
        push_time_number(&mut out, micros, unit);
        out
    }

    #[test]
    fn any_offset_is_read() {
        assert_eq!(micros_from_rfc3339("2023-11-14T23:13:20.123456789+01:00"), Some(1_700_000_000_123_456));
        assert_eq!(micros_from_rfc3339("2023-11-14"), None);
    }

    proptest! {
        #[test]
        fn every_time_comes_back_from_every_format(micros: i64, year in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            for unit in [TimeUnit::Seconds, TimeUnit::Milliseconds, TimeUnit::Microseconds] {
                prop_assert_eq!(micros_from_number(&number(micros, unit), unit), Some(micros));
            }
            for unit in [TimeUnit::Seconds, TimeUnit::Milliseconds, TimeUnit::Microseconds, TimeUnit::Nanoseconds] {
                prop_assert_eq!(micros_from_integer(micros, unit), micros_from_number(&micros.to_string(), unit));
            }
            let mut out = String::new();
            push_rfc3339(&mut out, year).unwrap();
            prop_assert_eq!(micros_from_rfc3339(&out), Some(year));
        }
    }
}
