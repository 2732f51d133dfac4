//! Functions of points in time. All of them work in UTC and in the proleptic Gregorian calendar.

use std::fmt::Write as _;
use std::time::SystemTime;

use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Timelike, Utc};
use eventflux_core::{FunctionError, ValueRef};

use super::short::{BIGINT, DOUBLE, STRING, TIMESTAMP, TO_BIGINT, TO_STRING, TO_TIMESTAMP};
use super::values::{Args, Output};
use super::{BadArgument, Builtin, Constants, Family, Kernel, Prepared, RowResult, Signature, check_size, signature};
use crate::diagnostic::nearest;
use crate::expr::text::MICROS;

const fn time_function(
    name: &'static str,
    signatures: &'static [Signature],
    summary: &'static str,
    examples: &'static [(&'static str, &'static str)],
    kernel: Kernel,
) -> Builtin {
    Builtin::new(Family::Time, name, signatures, summary, examples, kernel)
}

const RANGE: &str = "a point in time outside the calendar (years -262143 to 262142).";

pub(super) const FUNCTIONS: &[Builtin] = &[
    time_function(
        "NOW",
        &[signature!(() -> TO_TIMESTAMP)],
        "The time at which the row is evaluated. `CURRENT_TIMESTAMP` is the same.",
        &[("NOW() > TIMESTAMP '2024-01-01'", "TRUE")],
        Kernel::Row(|_, out| push_timestamp(out, now())),
    )
    .aliases(&["CURRENT_TIMESTAMP"])
    .volatile(),
    time_function(
        "FROM_UNIXTIME",
        &[signature!((seconds: BIGINT) -> TO_TIMESTAMP), signature!((seconds: DOUBLE) -> TO_TIMESTAMP)],
        "The point in time so many seconds after 1970-01-01T00:00:00Z; fractions are rounded to microseconds.",
        &[
            ("FROM_UNIXTIME(1706695200)", "TIMESTAMP '2024-01-31T10:00:00Z'"),
            ("FROM_UNIXTIME(0.5)", "TIMESTAMP '1970-01-01T00:00:00.500Z'"),
        ],
        Kernel::Row(from_seconds),
    )
    .aliases(&["TO_TIMESTAMP"])
    .errors("a result out of range."),
    time_function(
        "FROM_MILLIS",
        &[signature!((milliseconds: BIGINT) -> TO_TIMESTAMP)],
        "The point in time so many milliseconds after 1970-01-01T00:00:00Z.",
        &[("FROM_MILLIS(1706695200123)", "TIMESTAMP '2024-01-31T10:00:00.123Z'")],
        Kernel::Row(|args, out| push_scaled(out, args.long(0), 1000)),
    )
    .aliases(&["TO_TIMESTAMP_MILLIS"])
    .errors("a result out of range."),
    time_function(
        "FROM_MICROS",
        &[signature!((microseconds: BIGINT) -> TO_TIMESTAMP)],
        "The point in time so many microseconds after 1970-01-01T00:00:00Z.",
        &[("FROM_MICROS(1706695200000001)", "TIMESTAMP '2024-01-31T10:00:00.000001Z'")],
        Kernel::Row(|args, out| push_timestamp(out, args.long(0))),
    )
    .aliases(&["TO_TIMESTAMP_MICROS"]),
    time_function(
        "TO_MILLIS",
        &[signature!((time: TIMESTAMP) -> TO_BIGINT)],
        "Whole milliseconds since 1970-01-01T00:00:00Z, rounded down.",
        &[("TO_MILLIS(TIMESTAMP '2024-01-31T10:00:00.123Z')", "1706695200123")],
        Kernel::Row(|args, out| out.long(args.long(0).div_euclid(1000))),
    )
    .aliases(&["EPOCH_MS", "TO_UNIX_MILLIS"]),
    time_function(
        "TO_MICROS",
        &[signature!((time: TIMESTAMP) -> TO_BIGINT)],
        "Microseconds since 1970-01-01T00:00:00Z.",
        &[("TO_MICROS(TIMESTAMP '1970-01-01T00:00:01Z')", "1000000")],
        Kernel::Row(|args, out| out.long(args.long(0))),
    ),
    time_function(
        "EXTRACT",
        &[signature!((field: STRING, time: TIMESTAMP) -> TO_BIGINT)],
        "A part of the point in time, usually written `EXTRACT(HOUR FROM time)`: `YEAR`, `QUARTER`, `MONTH`, `WEEK` \
         (ISO), `DAY`, `DOW` (0 is Sunday), `ISODOW` (1 is Monday, 7 Sunday), `DOY` (from 1), `HOUR`, `MINUTE`, \
         `SECOND` (0 to 59), `MILLISECOND` (of the second, 0 to 999), `MICROSECOND` (of the second, 0 to 999999), \
         `EPOCH` (whole seconds since 1970, rounded down).",
        &[
            ("EXTRACT(HOUR FROM TIMESTAMP '2024-01-31T10:15:00Z')", "10"),
            ("EXTRACT('dow', TIMESTAMP '2024-01-31')", "3"),
        ],
        Kernel::Prepared(|constants| prepare(constants, 0, Field::parse, extract)),
    )
    .aliases(&["DATE_PART"])
    .errors(RANGE),
    time_function(
        "DATE_TRUNC",
        &[signature!((unit: STRING, time: TIMESTAMP) -> TO_TIMESTAMP)],
        "The start of the `microsecond`, `millisecond`, `second`, `minute`, `hour`, `day`, `week` (Monday), `month`, \
         `quarter` or `year` it lies in.",
        &[
            ("DATE_TRUNC('minute', TIMESTAMP '2024-01-31T10:15:42Z')", "TIMESTAMP '2024-01-31T10:15:00Z'"),
            ("DATE_TRUNC('week', TIMESTAMP '2024-01-31')", "TIMESTAMP '2024-01-29T00:00:00Z'"),
        ],
        Kernel::Prepared(|constants| prepare(constants, 0, Unit::parse, truncate)),
    )
    .errors(RANGE),
    time_function(
        "DATE_ADD",
        &[signature!((unit: STRING, count: BIGINT, time: TIMESTAMP) -> TO_TIMESTAMP)],
        "So many units later, or with a negative count earlier; units as for `DATE_TRUNC`. A day that the month does \
         not have becomes its last.",
        &[
            ("DATE_ADD('month', 1, TIMESTAMP '2024-01-31')", "TIMESTAMP '2024-02-29T00:00:00Z'"),
            ("DATE_ADD('hour', -1, TIMESTAMP '2024-01-31')", "TIMESTAMP '2024-01-30T23:00:00Z'"),
        ],
        Kernel::Prepared(|constants| prepare(constants, 0, Unit::parse, add)),
    )
    .errors("a result out of range."),
    time_function(
        "DATE_DIFF",
        &[signature!((unit: STRING, start: TIMESTAMP, end: TIMESTAMP) -> TO_BIGINT)],
        "How many complete units lie between the two, negative if `end` is the earlier one; units as for \
         `DATE_TRUNC`.",
        &[
            ("DATE_DIFF('minute', TIMESTAMP '2024-01-31T10:00:00Z', TIMESTAMP '2024-01-31T10:02:59Z')", "2"),
            ("DATE_DIFF('month', TIMESTAMP '2024-01-31', TIMESTAMP '2024-03-30')", "1"),
        ],
        Kernel::Prepared(|constants| prepare(constants, 0, Unit::parse, difference)),
    )
    .errors(RANGE),
    time_function(
        "FORMAT_TIMESTAMP",
        &[signature!((time: TIMESTAMP, format: STRING) -> TO_STRING)],
        "The point in time in that format, of `%Y` year, `%m` month, `%d` day, `%H` hour, `%M` minute, `%S` second, \
         `%3f` milliseconds and the other specifiers of strftime.",
        &[("FORMAT_TIMESTAMP(TIMESTAMP '2024-01-31T10:15:00Z', '%d.%m.%Y %H:%M')", "'31.01.2024 10:15'")],
        Kernel::Prepared(|constants| prepare(constants, 1, Format::parse, format)),
    )
    .errors("a format with an unknown specifier, when it comes from the row; a point in time outside the calendar."),
    time_function(
        "PARSE_TIMESTAMP",
        &[signature!((text: STRING, format: STRING) -> TO_TIMESTAMP)],
        "Reads a point in time in that format, as for `FORMAT_TIMESTAMP`; without a time it is midnight, without an \
         offset (`%z`) UTC. For ISO 8601 use `CAST`.",
        &[("PARSE_TIMESTAMP('31.01.2024 10:15', '%d.%m.%Y %H:%M')", "TIMESTAMP '2024-01-31T10:15:00Z'")],
        Kernel::Prepared(|constants| prepare(constants, 1, Format::parse, parse)),
    )
    .errors("text that does not fit the format; a format with an unknown specifier, when it comes from the row."),
];

/// Reads argument `index` now if it is constant, else for each row.
fn prepare<T: Send + Sync + 'static>(
    constants: &Constants<'_>,
    index: usize,
    read: fn(&str) -> Result<T, String>,
    apply: fn(&T, &Args<'_>, &mut Output) -> RowResult,
) -> Prepared {
    if let Some(text) = constants.text(index) {
        let value = read(text).map_err(|reason| BadArgument { index, reason })?;
        return Ok(Box::new(move |args: &Args<'_>, out: &mut Output| apply(&value, args, out)));
    }
    Ok(Box::new(move |args: &Args<'_>, out: &mut Output| {
        let value = read(args.text(index)).map_err(FunctionError::invalid)?;
        apply(&value, args, out)
    }))
}

fn out_of_range() -> FunctionError {
    FunctionError::invalid("the point in time is out of range")
}

fn push_timestamp(out: &mut Output, micros: i64) -> RowResult {
    out.push(ValueRef::Timestamp(micros));
    Ok(())
}

fn push_scaled(out: &mut Output, value: i64, factor: i64) -> RowResult {
    push_timestamp(out, value.checked_mul(factor).ok_or_else(out_of_range)?)
}

fn now() -> i64 {
    let micros = |duration: std::time::Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => -micros(before.duration()),
    }
}

fn calendar(micros: i64) -> Result<DateTime<Utc>, FunctionError> {
    DateTime::from_timestamp_micros(micros).ok_or_else(out_of_range)
}

fn from_seconds(args: &Args<'_>, out: &mut Output) -> RowResult {
    let ValueRef::Double(seconds) = args.value(0) else {
        return push_scaled(out, args.long(0), MICROS);
    };
    let micros = (seconds * MICROS as f64).round();
    // 2^63: from there on no BIGINT.
    if micros.is_finite() && micros.abs() < 9_223_372_036_854_775_808.0 {
        push_timestamp(out, micros as i64)
    } else {
        Err(out_of_range())
    }
}

#[derive(Clone, Copy)]
enum Field {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Epoch,
}

impl Field {
    const NAMES: [(&'static str, Self); 14] = [
        ("YEAR", Self::Year),
        ("QUARTER", Self::Quarter),
        ("MONTH", Self::Month),
        ("WEEK", Self::Week),
        ("DAY", Self::Day),
        ("DOW", Self::DayOfWeek),
        ("ISODOW", Self::IsoDayOfWeek),
        ("DOY", Self::DayOfYear),
        ("HOUR", Self::Hour),
        ("MINUTE", Self::Minute),
        ("SECOND", Self::Second),
        ("MILLISECOND", Self::Millisecond),
        ("MICROSECOND", Self::Microsecond),
        ("EPOCH", Self::Epoch),
    ];

    fn parse(text: &str) -> Result<Self, String> {
        by_name(text, &Self::NAMES, "field")
    }
}

/// A unit of time.
#[derive(Clone, Copy)]
enum Unit {
    /// So many microseconds.
    Fixed(i64),
    Week,
    Months(u32),
}

impl Unit {
    const NAMES: [(&'static str, Self); 10] = [
        ("MICROSECOND", Self::Fixed(1)),
        ("MILLISECOND", Self::Fixed(1000)),
        ("SECOND", Self::Fixed(MICROS)),
        ("MINUTE", Self::Fixed(60 * MICROS)),
        ("HOUR", Self::Fixed(3600 * MICROS)),
        ("DAY", Self::Fixed(DAY)),
        ("WEEK", Self::Week),
        ("MONTH", Self::Months(1)),
        ("QUARTER", Self::Months(3)),
        ("YEAR", Self::Months(12)),
    ];

    fn parse(text: &str) -> Result<Self, String> {
        by_name(text, &Self::NAMES, "unit")
    }
}

const DAY: i64 = 86_400 * MICROS;

/// The value of that name, in any case and also in the plural.
fn by_name<T: Copy>(text: &str, names: &[(&'static str, T)], what: &str) -> Result<T, String> {
    let singular = text.strip_suffix(['s', 'S']).unwrap_or(text);
    let is = |name: &str| name.eq_ignore_ascii_case(text) || name.eq_ignore_ascii_case(singular);
    if let Some((_, value)) = names.iter().find(|(name, _)| is(name)) {
        return Ok(*value);
    }
    let known = names.iter().map(|(name, _)| *name);
    let shown = crate::expr::text::shown(ValueRef::String(text));
    Err(match nearest(text, known.clone()) {
        Some(name) => format!("{shown} is no {what} of time; did you mean {name}?"),
        None => format!("{shown} is no {what} of time; there are {}", known.collect::<Vec<_>>().join(", ")),
    })
}

fn extract(field: &Field, args: &Args<'_>, out: &mut Output) -> RowResult {
    let micros = args.long(1);
    let time = calendar(micros)?;
    out.long(match field {
        Field::Year => time.year().into(),
        Field::Quarter => i64::from(time.month0() / 3 + 1),
        Field::Month => time.month().into(),
        Field::Week => time.iso_week().week().into(),
        Field::Day => time.day().into(),
        Field::DayOfWeek => time.weekday().num_days_from_sunday().into(),
        Field::IsoDayOfWeek => time.weekday().number_from_monday().into(),
        Field::DayOfYear => time.ordinal().into(),
        Field::Hour => time.hour().into(),
        Field::Minute => time.minute().into(),
        Field::Second => time.second().into(),
        Field::Millisecond => micros.rem_euclid(MICROS) / 1000,
        Field::Microsecond => micros.rem_euclid(MICROS),
        Field::Epoch => micros.div_euclid(MICROS),
    })
}

fn truncate(unit: &Unit, args: &Args<'_>, out: &mut Output) -> RowResult {
    let micros = args.long(1);
    let floor = |unit: i64, origin: i64| {
        micros
            .checked_sub(origin)
            .and_then(|since| since.div_euclid(unit).checked_mul(unit))
            .map(|start| start + origin)
    };
    let start = match *unit {
        Unit::Fixed(unit) => floor(unit, 0),
        // 1970-01-05 was a Monday.
        Unit::Week => floor(7 * DAY, 4 * DAY),
        Unit::Months(months) => {
            let date = calendar(micros)?.date_naive();
            let month = date.month0() / months * months + 1;
            NaiveDate::from_ymd_opt(date.year(), month, 1).map(midnight)
        }
    };
    push_timestamp(out, start.ok_or_else(out_of_range)?)
}

fn midnight(date: NaiveDate) -> i64 {
    date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()
}

fn add(unit: &Unit, args: &Args<'_>, out: &mut Output) -> RowResult {
    let (count, micros) = (args.long(1), args.long(2));
    let moved = match *unit {
        Unit::Fixed(unit) => count.checked_mul(unit).and_then(|by| micros.checked_add(by)),
        Unit::Week => count.checked_mul(7 * DAY).and_then(|by| micros.checked_add(by)),
        Unit::Months(months) => {
            let months = count.checked_mul(months.into()).ok_or_else(out_of_range)?;
            add_months(calendar(micros)?, months).map(|time| time.timestamp_micros())
        }
    };
    push_timestamp(out, moved.ok_or_else(out_of_range)?)
}

fn add_months(time: DateTime<Utc>, months: i64) -> Option<DateTime<Utc>> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { time.checked_sub_months(count) } else { time.checked_add_months(count) }
}

fn difference(unit: &Unit, args: &Args<'_>, out: &mut Output) -> RowResult {
    let (start, end) = (args.long(1), args.long(2));
    let between = |unit: i64| end.checked_sub(start).map(|micros| micros / unit).ok_or_else(out_of_range);
    out.long(match *unit {
        Unit::Fixed(unit) => between(unit)?,
        Unit::Week => between(7 * DAY)?,
        Unit::Months(months) => complete_months(calendar(start)?, calendar(end)?) / i64::from(months),
    })
}

fn complete_months(start: DateTime<Utc>, end: DateTime<Utc>) -> i64 {
    let number = |time: &DateTime<Utc>| i64::from(time.year()) * 12 + i64::from(time.month0());
    let within = |time: &DateTime<Utc>| (time.day(), time.time());
    let months = number(&end) - number(&start);
    if months > 0 && within(&end) < within(&start) {
        months - 1
    } else if months < 0 && within(&end) > within(&start) {
        months + 1
    } else {
        months
    }
}

/// The longest format, in bytes.
const MAX_FORMAT_BYTES: usize = 1024;

/// A format of strftime, read once.
struct Format {
    items: Vec<Item<'static>>,
}

impl Format {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_FORMAT_BYTES {
            return Err(format!("the format is longer than {MAX_FORMAT_BYTES} bytes"));
        }
        let items = StrftimeItems::new(text).parse_to_owned();
        items.map(|items| Self { items }).map_err(|_| "the format has an unknown specifier".to_owned())
    }
}

fn format(format: &Format, args: &Args<'_>, out: &mut Output) -> RowResult {
    let time = calendar(args.long(0))?;
    out.write(|o| {
        let start = o.len();
        write!(o, "{}", time.format_with_items(format.items.iter()))
            .map_err(|_| FunctionError::invalid("the format does not suit a point in time"))?;
        check_size(o.len() - start)
    })
}

fn parse(format: &Format, args: &Args<'_>, out: &mut Output) -> RowResult {
    let text = args.text(0);
    let refused = |reason: &dyn std::fmt::Display| {
        let shown = crate::expr::text::shown(ValueRef::String(text));
        FunctionError::invalid(format!("cannot read {shown}: {reason}"))
    };
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, format.items.iter()).map_err(|error| refused(&error))?;
    if let Ok(time) = parsed.to_datetime() {
        return push_timestamp(out, time.timestamp_micros());
    }
    let time = match parsed.to_naive_datetime_with_offset(0) {
        Ok(time) => time.and_utc().timestamp_micros(),
        Err(error) if parsed.hour_div_12().is_some() || parsed.hour_mod_12().is_some() => return Err(refused(&error)),
        Err(_) => midnight(parsed.to_naive_date().map_err(|error| refused(&error))?),
    };
    push_timestamp(out, time)
}
