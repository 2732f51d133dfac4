//! How a `TIMESTAMP` (microseconds since 1970-01-01T00:00:00Z) is written: a number of some unit, or RFC 3339 text.

use bytes::BytesMut;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use eventflux_core::{EventFluxError, Properties};

use crate::json::number::{Scaled, scaled};

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// Names of the units, as properties spell them.
pub(crate) const UNITS: &[&str] = &["s", "ms", "us", "ns"];

/// Names of the formats of an encoder, as properties spell them.
pub(crate) const FORMATS: &[&str] = &["ms", "us", "s", "rfc3339"];

impl TimeUnit {
    /// The unit a property names.
    ///
    /// # Errors
    /// When the property has no value.
    pub(crate) fn from_property(properties: &Properties, key: &str) -> Result<Self, EventFluxError> {
        Ok(match properties.text(key)? {
            "s" => Self::Seconds,
            "us" => Self::Microseconds,
            "ns" => Self::Nanoseconds,
            _ => Self::Milliseconds,
        })
    }

    /// Decimal places between the unit and a microsecond.
    fn places(self) -> i64 {
        match self {
            Self::Seconds => 6,
            Self::Milliseconds => 3,
            Self::Microseconds => 0,
            Self::Nanoseconds => -3,
        }
    }
}

/// How an encoder writes times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    /// A number; with as many decimals as it takes to lose nothing.
    Number(TimeUnit),
    /// Text, in UTC.
    Rfc3339,
}

impl TimeFormat {
    /// The format a property names.
    ///
    /// # Errors
    /// When the property has no value.
    pub(crate) fn from_property(properties: &Properties, key: &str) -> Result<Self, EventFluxError> {
        match properties.text(key)? {
            "rfc3339" => Ok(Self::Rfc3339),
            _ => TimeUnit::from_property(properties, key).map(Self::Number),
        }
    }
}

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

/// Appends the number; nothing finer than a microsecond exists, so `unit` is not nanoseconds.
pub(crate) fn push_number(out: &mut BytesMut, micros: i64, unit: TimeUnit) {
    let places = unit.places().max(0) as usize;
    let per_unit = 10_u64.pow(places as u32);
    let magnitude = micros.unsigned_abs();
    let (whole, mut fraction) = (magnitude / per_unit, magnitude % per_unit);
    if micros < 0 {
        out.extend_from_slice(b"-");
    }
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    if fraction == 0 {
        return;
    }
    let mut digits = [b'0'; 7];
    digits[0] = b'.';
    for place in (1..=places).rev() {
        digits[place] += (fraction % 10) as u8;
        fraction /= 10;
    }
    let shown = digits[..=places].iter().rposition(|&digit| digit != b'0').unwrap_or(0);
    out.extend_from_slice(&digits[..=shown]);
}

/// Appends RFC 3339 text in UTC, with as many decimals as it takes.
///
/// # Errors
/// A reason when the year does not have four digits.
pub(crate) fn push_rfc3339(out: &mut BytesMut, micros: i64) -> Result<(), &'static str> {
    let time = DateTime::<Utc>::from_timestamp_micros(micros).filter(|time| (0..=9999).contains(&time.year()));
    let time = time.ok_or("the time is not in the years 0000 to 9999 of RFC 3339")?;
    let precision = match micros {
        whole if whole % 1_000_000 == 0 => SecondsFormat::Secs,
        millis if millis % 1_000 == 0 => SecondsFormat::Millis,
        _ => SecondsFormat::Micros,
    };
    out.extend_from_slice(time.to_rfc3339_opts(precision, true).as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(micros: i64, unit: TimeUnit) -> String {
        let mut out = BytesMut::new();
        push_number(&mut out, micros, unit);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn numbers_are_as_long_as_they_must_be() {
        assert_eq!(number(1_700_000_000_000_000, TimeUnit::Milliseconds), "1700000000000");
        assert_eq!(number(1_700_000_000_123_456, TimeUnit::Milliseconds), "1700000000123.456");
        assert_eq!(number(1_700_000_000_120_000, TimeUnit::Seconds), "1700000000.12");
        assert_eq!(number(-1_500, TimeUnit::Milliseconds), "-1.5");
        assert_eq!(number(-1, TimeUnit::Seconds), "-0.000001");
        assert_eq!(number(7, TimeUnit::Microseconds), "7");
    }

    #[test]
    fn text_is_utc_and_any_offset_is_read() {
        let mut out = BytesMut::new();
        push_rfc3339(&mut out, 1_700_000_000_123_000).unwrap();
        assert_eq!(&out[..], b"2023-11-14T22:13:20.123Z");
        assert_eq!(micros_from_rfc3339("2023-11-14T23:13:20.123456789+01:00"), Some(1_700_000_000_123_456));
        assert_eq!(micros_from_rfc3339("2023-11-14"), None);
        assert!(push_rfc3339(&mut out, i64::MAX).is_err());
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
            let mut out = BytesMut::new();
            push_rfc3339(&mut out, year).unwrap();
            prop_assert_eq!(micros_from_rfc3339(std::str::from_utf8(&out).unwrap()), Some(year));
        }
    }
}
