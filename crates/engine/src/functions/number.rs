//! Functions of numbers. A result that the type cannot hold, or that is no number, is an error of the row.

use std::cell::Cell;
use std::cmp::Ordering;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use eventflux_core::{FunctionError, ValueRef};

use super::short::{BIGINT, DOUBLE, NUMBER, ORDERED, TO_BIGINT, TO_COMMON, TO_DOUBLE};
use super::values::{Args, Output};
use super::{Builtin, Family, Kernel, RowResult, Signature, signature};

const fn number_function(
    name: &'static str,
    signatures: &'static [Signature],
    summary: &'static str,
    examples: &'static [(&'static str, &'static str)],
    row: fn(&Args<'_>, &mut Output) -> RowResult,
) -> Builtin {
    Builtin::new(Family::Number, name, signatures, summary, examples, Kernel::Row(row))
}

const ONE: &[Signature] = &[signature!((value: NUMBER) -> TO_COMMON)];
const WITH_DIGITS: &[Signature] = &[signature!((value: NUMBER; digits: BIGINT) -> TO_COMMON)];
const REAL: &[Signature] = &[signature!((value: DOUBLE) -> TO_DOUBLE)];
const LOGARITHM: &str = "a value that is not greater than 0.";

pub(super) const FUNCTIONS: &[Builtin] = &[
    number_function("ABS", ONE, "The value without its sign.", &[("ABS(-2.5)", "2.5")], abs)
        .errors("the least integer of its type."),
    number_function("SIGN", &[signature!((value: NUMBER) -> TO_BIGINT)], "-1, 0 or 1.", &[("SIGN(-2.5)", "-1")], sign)
        .errors("not-a-number."),
    number_function(
        "ROUND",
        WITH_DIGITS,
        "Rounded to that many decimals, 0 by default, halves away from zero; negative digits round in front of the \
         point.",
        &[("ROUND(2.5)", "3.0"), ("ROUND(64250.127, 2)", "64250.13"), ("ROUND(1250, -2)", "1300")],
        |args, out| with_digits(args, out, Rounding::Nearest),
    )
    .errors("a result outside the type."),
    number_function(
        "CEIL",
        ONE,
        "The least whole number that is not less.",
        &[("CEIL(-1.5)", "-1.0"), ("CEIL(7)", "7")],
        |args, out| whole(args, out, f64::ceil),
    )
    .aliases(&["CEILING"]),
    number_function(
        "FLOOR",
        ONE,
        "The greatest whole number that is not greater.",
        &[("FLOOR(-1.5)", "-2.0")],
        |args, out| whole(args, out, f64::floor),
    ),
    number_function(
        "TRUNC",
        WITH_DIGITS,
        "Cut off after that many decimals, 0 by default; negative digits cut in front of the point.",
        &[("TRUNC(-1.59)", "-1.0"), ("TRUNC(1.59, 1)", "1.5"), ("TRUNC(1299, -2)", "1200")],
        |args, out| with_digits(args, out, Rounding::Down),
    )
    .aliases(&["TRUNCATE"]),
    number_function(
        "MOD",
        &[signature!((value: NUMBER, divisor: NUMBER) -> TO_COMMON)],
        "The remainder of the division, with the sign of the value; the same as `%`.",
        &[("MOD(-7, 3)", "-1"), ("MOD(5.5, 2)", "1.5")],
        modulo,
    )
    .errors("a divisor of 0."),
    number_function(
        "POWER",
        &[signature!((base: DOUBLE, exponent: DOUBLE) -> TO_DOUBLE)],
        "The base to the power of the exponent.",
        &[("POWER(2, 10)", "1024.0")],
        |args, out| finite(out, args.double(0).powf(args.double(1))),
    )
    .aliases(&["POW"])
    .errors("a result that is no finite number."),
    number_function("SQRT", REAL, "The square root.", &[("SQRT(2.25)", "1.5")], |args, out| {
        finite(out, args.double(0).sqrt())
    })
    .errors("a negative value."),
    number_function("EXP", REAL, "e to the power of the value.", &[("EXP(0)", "1.0")], |args, out| {
        finite(out, args.double(0).exp())
    })
    .errors("a result that is no finite number."),
    number_function("LN", REAL, "The natural logarithm.", &[("LN(1)", "0.0")], |args, out| {
        finite(out, args.double(0).ln())
    })
    .errors(LOGARITHM),
    number_function("LOG10", REAL, "The logarithm to base 10.", &[("LOG10(1000)", "3.0")], |args, out| {
        finite(out, args.double(0).log10())
    })
    .errors(LOGARITHM),
    number_function("LOG2", REAL, "The logarithm to base 2.", &[("LOG2(8)", "3.0")], |args, out| {
        finite(out, args.double(0).log2())
    })
    .errors(LOGARITHM),
    number_function(
        "GREATEST",
        &[signature!((value: ORDERED, ...) -> TO_COMMON)],
        "The greatest of the values.",
        &[("GREATEST(1, NULL, 2.5)", "2.5"), ("GREATEST('a', 'b')", "'b'")],
        |args, out| extreme(args, out, Ordering::Greater),
    )
    .nulls("skipped; the result is `NULL` when all values are."),
    number_function(
        "LEAST",
        &[signature!((value: ORDERED, ...) -> TO_COMMON)],
        "The least of the values.",
        &[("LEAST(3, 1, 2)", "1")],
        |args, out| extreme(args, out, Ordering::Less),
    )
    .nulls("skipped; the result is `NULL` when all values are."),
    number_function(
        "RANDOM",
        &[signature!(() -> TO_DOUBLE)],
        "A random number from 0 to just below 1, a new one for every row; not for secrets.",
        &[("RANDOM() < 1", "TRUE")],
        |_, out| finite(out, random()),
    )
    .aliases(&["RAND"])
    .volatile(),
];

fn out_of_range() -> FunctionError {
    FunctionError::invalid("the result is out of range")
}

fn finite(out: &mut Output, value: f64) -> RowResult {
    if value.is_nan() {
        return Err(FunctionError::invalid("the result is not a number"));
    }
    if value.is_infinite() {
        return Err(out_of_range());
    }
    out.push(ValueRef::Double(value));
    Ok(())
}

fn abs(args: &Args<'_>, out: &mut Output) -> RowResult {
    out.push(match args.value(0) {
        ValueRef::Int(value) => ValueRef::Int(value.checked_abs().ok_or_else(out_of_range)?),
        ValueRef::Long(value) => ValueRef::Long(value.checked_abs().ok_or_else(out_of_range)?),
        ValueRef::Float(value) => ValueRef::Float(value.abs()),
        ValueRef::Double(value) => ValueRef::Double(value.abs()),
        other => other,
    });
    Ok(())
}

fn sign(args: &Args<'_>, out: &mut Output) -> RowResult {
    let compared = match args.value(0) {
        ValueRef::Int(value) => value.partial_cmp(&0),
        ValueRef::Long(value) => value.partial_cmp(&0),
        ValueRef::Float(value) => value.partial_cmp(&0.0),
        ValueRef::Double(value) => value.partial_cmp(&0.0),
        _ => None,
    };
    let ordering = compared.ok_or_else(|| FunctionError::invalid("the value is not a number"))?;
    out.long(ordering as i64)
}

fn whole(args: &Args<'_>, out: &mut Output, round: fn(f64) -> f64) -> RowResult {
    out.push(match args.value(0) {
        // Every result of 32 bits is exact in 64 and back.
        ValueRef::Float(value) => ValueRef::Float(round(f64::from(value)) as f32),
        ValueRef::Double(value) => ValueRef::Double(round(value)),
        other => other,
    });
    Ok(())
}

#[derive(Clone, Copy)]
enum Rounding {
    Nearest,
    Down,
}

fn with_digits(args: &Args<'_>, out: &mut Output, rounding: Rounding) -> RowResult {
    let digits = args.optional_long(1).unwrap_or(0);
    out.push(match args.value(0) {
        ValueRef::Int(value) => {
            let rounded = round_integer(i64::from(value), digits, rounding);
            ValueRef::Int(rounded.and_then(|value| i32::try_from(value).ok()).ok_or_else(out_of_range)?)
        }
        ValueRef::Long(value) => ValueRef::Long(round_integer(value, digits, rounding).ok_or_else(out_of_range)?),
        ValueRef::Float(value) => {
            let rounded = round_real(f64::from(value), digits, rounding) as f32;
            ValueRef::Float(Some(rounded).filter(|value| value.is_finite()).ok_or_else(out_of_range)?)
        }
        ValueRef::Double(value) => {
            let rounded = round_real(value, digits, rounding);
            ValueRef::Double(Some(rounded).filter(|value| value.is_finite()).ok_or_else(out_of_range)?)
        }
        other => other,
    });
    Ok(())
}

/// `None` when the result is out of range.
fn round_integer(value: i64, digits: i64, rounding: Rounding) -> Option<i64> {
    if digits >= 0 {
        return Some(value);
    }
    // The greatest integer has 19 digits: rounded in front of all of them, it is 0.
    let unit = u32::try_from(digits.unsigned_abs()).ok().and_then(|digits| 10_i128.checked_pow(digits));
    let Some(unit) = unit else {
        return Some(0);
    };
    let value = i128::from(value);
    let half = match rounding {
        Rounding::Nearest => unit / 2 * value.signum(),
        Rounding::Down => 0,
    };
    i64::try_from((value + half) / unit * unit).ok()
}

fn round_real(value: f64, digits: i64, rounding: Rounding) -> f64 {
    /// No double has more decimals, or digits in front of the point.
    const MAX_DIGITS: i64 = 400;
    let round = match rounding {
        Rounding::Nearest => f64::round,
        Rounding::Down => f64::trunc,
    };
    let digits = digits.clamp(-MAX_DIGITS, MAX_DIGITS) as i32;
    let unit = 10_f64.powi(digits.abs());
    if digits == 0 {
        round(value)
    } else if digits < 0 {
        if unit.is_finite() { round(value / unit) * unit } else { 0.0 * value }
    } else if unit.is_finite() && (value * unit).is_finite() {
        round(value * unit) / unit
    } else {
        // There is nothing behind the last of so many decimals.
        value
    }
}

fn modulo(args: &Args<'_>, out: &mut Output) -> RowResult {
    let zero = || FunctionError::invalid("division by zero");
    let result = match (args.value(0), args.value(1)) {
        (_, ValueRef::Int(0) | ValueRef::Long(0)) => return Err(zero()),
        (ValueRef::Int(a), ValueRef::Int(b)) => ValueRef::Int(a.wrapping_rem(b)),
        (ValueRef::Long(a), ValueRef::Long(b)) => ValueRef::Long(a.wrapping_rem(b)),
        (ValueRef::Float(a), ValueRef::Float(b)) if (a % b).is_finite() => ValueRef::Float(a % b),
        (ValueRef::Double(a), ValueRef::Double(b)) if (a % b).is_finite() => ValueRef::Double(a % b),
        _ => return Err(zero()),
    };
    out.push(result);
    Ok(())
}

fn extreme(args: &Args<'_>, out: &mut Output, wanted: Ordering) -> RowResult {
    let mut best = ValueRef::Null;
    for index in 0..args.len() {
        let value = args.value(index);
        if !value.is_null() && (best.is_null() || order(value, best) == wanted) {
            best = value;
        }
    }
    out.push(best);
    Ok(())
}

/// The order of two values of the same type, as `<` has it.
fn order(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    let reals = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    match (a, b) {
        (ValueRef::Bool(a), ValueRef::Bool(b)) => a.cmp(&b),
        (ValueRef::Int(a), ValueRef::Int(b)) => a.cmp(&b),
        (ValueRef::Long(a), ValueRef::Long(b)) | (ValueRef::Timestamp(a), ValueRef::Timestamp(b)) => a.cmp(&b),
        (ValueRef::Float(a), ValueRef::Float(b)) => reals(a.into(), b.into()),
        (ValueRef::Double(a), ValueRef::Double(b)) => reals(a, b),
        (ValueRef::String(a), ValueRef::String(b)) => a.cmp(b),
        (ValueRef::Bytes(a), ValueRef::Bytes(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// SplitMix64, seeded per thread by the operating system's randomness.
fn random() -> f64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish());
    }
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // The upper 53 bits: as many as a double holds.
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
