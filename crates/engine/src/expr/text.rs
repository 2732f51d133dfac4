//! How values read and write as text. Every parser here ignores white space around the value and refuses anything else
//! that does not belong to it.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use eventflux_core::ValueRef;

/// The most characters of a value that an error message shows.
const MAX_SHOWN_CHARACTERS: usize = 40;

/// Why a text is not a value of a type; completes "it ...".
pub(crate) type Reason = &'static str;

/// Microseconds per second.
pub(crate) const MICROS: i64 = 1_000_000;

/// Reads an integer.
pub(crate) fn parse_long(text: &str) -> Result<i64, Reason> {
    text.trim().parse().map_err(|error: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        match error.kind() {
            PosOverflow | NegOverflow => "is out of range",
            _ => "is not an integer",
        }
    })
}

/// Reads a number; not `NaN`, `Infinity`, or one that is too large or too small for the type.
pub(crate) fn parse_double(text: &str) -> Result<f64, Reason> {
    let text = text.trim();
    let value: f64 = text.parse().map_err(|_| "is not a number")?;
    check_parsed(value.is_finite(), value == 0.0, text)?;
    Ok(value)
}

/// [`parse_double`] for 32 bits.
pub(crate) fn parse_float(text: &str) -> Result<f32, Reason> {
    let text = text.trim();
    let value: f32 = text.parse().map_err(|_| "is not a number")?;
    check_parsed(value.is_finite(), value == 0.0, text)?;
    Ok(value)
}

#[inline]
fn check_parsed(finite: bool, zero: bool, text: &str) -> Result<(), Reason> {
    if !finite {
        // Besides digits, the standard library reads only `nan`, `inf` and `infinity`.
        let is_number = text.bytes().any(|byte| byte.is_ascii_digit());
        return Err(if is_number { "is out of range" } else { "is not a finite number" });
    }
    if zero {
        let mut digits = text.bytes().take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'));
        if digits.any(|byte| matches!(byte, b'1'..=b'9')) {
            return Err("is too small");
        }
    }
    Ok(())
}

/// Reads a truth value.
pub(crate) fn parse_bool(text: &str) -> Result<bool, Reason> {
    let text = text.trim();
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["true", "t", "yes", "y", "on", "1"]) {
        Ok(true)
    } else if is(&["false", "f", "no", "n", "off", "0"]) {
        Ok(false)
    } else {
        Err("is neither true nor false")
    }
}

/// Reads an ISO 8601 date, with or without time and offset, as microseconds since the epoch.
pub(crate) fn parse_timestamp(text: &str) -> Result<i64, Reason> {
    const NO_TIMESTAMP: Reason = "is not a timestamp such as 2024-01-31T10:00:00Z";
    let mut scan = Scan { rest: text.trim().as_bytes() };
    let read = |scan: &mut Scan<'_>| {
        let year = scan.number(4)?;
        scan.expect(b'-')?;
        let month = scan.number(2)?;
        scan.expect(b'-')?;
        let day = scan.number(2)?;
        let mut time = 0;
        let mut offset = 0;
        if scan.eat(b'T') || scan.eat(b't') || scan.eat(b' ') {
            time = scan.time_of_day()?;
            offset = scan.offset()?;
        }
        scan.rest.is_empty().then_some((year, month, day, time, offset))
    };
    let (year, month, day, time, offset) = read(&mut scan).ok_or(NO_TIMESTAMP)?;
    let date = NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32).ok_or("is not a date of the calendar")?;
    let days = i64::from(date.num_days_from_ce()) - EPOCH_DAY;
    Ok(days * 86_400 * MICROS + time - offset * MICROS)
}

/// 1970-01-01 in days of the common era.
const EPOCH_DAY: i64 = 719_163;

struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    /// Exactly that many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        number.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
    }

    /// `10:00`, `10:00:00` or `10:00:00.123`, in microseconds.
    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        self.expect(b':')?;
        let minute = self.number(2)?;
        let second = if self.eat(b':') { self.number(2)? } else { 0 };
        let mut micros = 0;
        if self.eat(b'.') {
            let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, rest) = self.rest.split_at(digits);
            self.rest = rest;
            (!fraction.is_empty()).then_some(())?;
            let padded = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(6);
            micros = padded.fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
        }
        let in_range = hour < 24 && minute < 60 && second < 60;
        in_range.then_some(((hour * 60 + minute) * 60 + second) * MICROS + micros)
    }

    /// `Z`, `+02:00`, `+0200`, `+02` or nothing, in seconds.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.rest.first() {
            None => return Some(0),
            Some(b'Z' | b'z') => {
                self.rest = &self.rest[1..];
                return Some(0);
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        self.rest = &self.rest[1..];
        let hours = self.number(2)?;
        self.eat(b':');
        let minutes = if self.rest.is_empty() { 0 } else { self.number(2)? };
        (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
    }
}

/// Appends the shortest text that reads back as the same number.
pub(crate) fn write_double(value: f64, out: &mut String) {
    let start = out.len();
    // Writing to a String does not fail.
    let _ = write!(out, "{value:?}");
    cut_point_zero(out, start);
}

/// [`write_double`] for 32 bits.
pub(crate) fn write_float(value: f32, out: &mut String) {
    let start = out.len();
    let _ = write!(out, "{value:?}");
    cut_point_zero(out, start);
}

fn cut_point_zero(out: &mut String, start: usize) {
    if out[start..].ends_with(".0") {
        out.truncate(out.len() - 2);
    }
}

/// Appends a timestamp as `2024-01-31T10:00:00Z`, with 3 or 6 decimals when there are any. Points in time outside the
/// calendar's range (years -262143 to 262142) appear as microseconds.
pub(crate) fn write_timestamp(micros: i64, out: &mut String) {
    let Some(time) = DateTime::from_timestamp_micros(micros) else {
        let _ = write!(out, "{micros}");
        return;
    };
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let _ = if (0..=9999).contains(&year) {
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    } else {
        write!(out, "{year:+}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    };
    let fraction = time.timestamp_subsec_micros();
    let _ = match fraction {
        0 => Ok(()),
        millis if millis % 1000 == 0 => write!(out, ".{:03}", millis / 1000),
        micros => write!(out, ".{micros:06}"),
    };
    out.push('Z');
}

/// A value for an error message: text in quotes, shortened, without control characters.
pub(crate) fn shown(value: ValueRef<'_>) -> String {
    let mut text = String::new();
    match value {
        ValueRef::Null => text.push_str("NULL"),
        ValueRef::Bool(value) => text.push_str(if value { "TRUE" } else { "FALSE" }),
        ValueRef::Int(value) => text = value.to_string(),
        ValueRef::Long(value) => text = value.to_string(),
        ValueRef::Float(value) => write_float(value, &mut text),
        ValueRef::Double(value) => write_double(value, &mut text),
        ValueRef::Timestamp(value) => write_timestamp(value, &mut text),
        ValueRef::String(value) | ValueRef::Json(value) => return shown_text(value),
        ValueRef::Bytes(value) => {
            text.push_str("X'");
            value.iter().take(MAX_SHOWN_CHARACTERS / 2).for_each(|byte| {
                let _ = write!(text, "{byte:02x}");
            });
            text.push_str(if value.len() > MAX_SHOWN_CHARACTERS / 2 { "…'" } else { "'" });
        }
    }
    text
}

fn shown_text(value: &str) -> String {
    let mut text = String::from("'");
    let mut characters = value.chars();
    for character in characters.by_ref().take(MAX_SHOWN_CHARACTERS) {
        match character {
            // Also what reorders or hides text in a terminal.
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                text.extend(c.escape_unicode());
            }
            c => text.push(c),
        }
    }
    if characters.next().is_some() {
        text.push('…');
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_and_write() {
        for (text, expected) in [
            ("1970-01-01", "1970-01-01T00:00:00Z"),
            (" 2024-02-29 10:30 ", "2024-02-29T10:30:00Z"),
            ("2024-02-29T10:30:59.5+02:00", "2024-02-29T08:30:59.500Z"),
            ("2024-02-29T10:30:59.123456789Z", "2024-02-29T10:30:59.123456Z"),
            ("1969-12-31t23:59:59.999-0030", "1970-01-01T00:29:59.999Z"),
            ("0000-01-01", "0000-01-01T00:00:00Z"),
        ] {
            let mut written = String::new();
            write_timestamp(parse_timestamp(text).unwrap(), &mut written);
            assert_eq!(written, expected);
            assert_eq!(parse_timestamp(&written).unwrap(), parse_timestamp(text).unwrap());
        }
        for text in [
            "",
            "2024",
            "2024-1-1",
            "2023-02-29",
            "2024-01-01T25:00",
            "2024-01-01T",
            "2024-01-01 10:00:60",
            "2024-01-01Z",
            "2024-01-01T10:00:00.",
            "2024-01-01T10:00+25",
            "2024-01-01T10:00:00Zx",
            "é024-01-01",
        ] {
            assert!(parse_timestamp(text).is_err(), "{text}");
        }
        let mut written = String::new();
        write_timestamp(i64::MAX, &mut written);
        assert!(written.starts_with('+') || written.parse::<i64>().is_ok(), "{written}");
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_and_not_rounded_to_zero_or_infinity() {
        assert_eq!(parse_double(" 1e3 "), Ok(1000.0));
        assert_eq!(parse_double("1e400"), Err("is out of range"));
        assert_eq!(parse_double("1e-400"), Err("is too small"));
        assert_eq!(parse_double("-0.0e5").map(f64::to_bits), Ok((-0.0_f64).to_bits()));
        assert_eq!(parse_double("NaN"), Err("is not a finite number"));
        assert_eq!(parse_double("inf"), Err("is not a finite number"));
        assert_eq!(parse_double(""), Err("is not a number"));
        assert_eq!(parse_float("1e39"), Err("is out of range"));
        assert_eq!(parse_long("9223372036854775808"), Err("is out of range"));
        assert_eq!(parse_long("1.0"), Err("is not an integer"));
    }

    #[test]
    fn numbers_write_as_the_shortest_text() {
        let write = |value| {
            let mut text = String::new();
            write_double(value, &mut text);
            text
        };
        assert_eq!(
            [1.0, 0.1, 1e16, 1e300, -2.5e-7, 123_456_789.0].map(write),
            ["1", "0.1", "1e16", "1e300", "-2.5e-7", "123456789"]
        );
    }

    #[test]
    fn shown_values_are_short_and_harmless() {
        assert_eq!(shown(ValueRef::String("a\n\u{1b}[31m")), "'a\\u{a}\\u{1b}[31m'");
        assert_eq!(shown(ValueRef::String(&"x".repeat(1000))).chars().count(), 43);
        assert_eq!(shown(ValueRef::Bytes(&[0, 255])), "X'00ff'");
    }
}
