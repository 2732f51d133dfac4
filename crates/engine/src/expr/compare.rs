//! Comparisons of two operands of the same type, or of `BIGINT` with `DOUBLE`.

use std::cmp::Ordering;

use eventflux_core::Values;

use super::eval;
use super::operand::{Index, Operand, either_null, map2};

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `left comparison right`; `NULL` when either is.
pub(super) fn compare<'b, 'r>(
    comparison: Comparison,
    left: &Operand<'_, '_>,
    right: &Operand<'_, '_>,
    len: usize,
) -> Operand<'b, 'r> {
    eval::bools(bools(comparison, left, right, len), either_null(left, right, len))
}

/// `left IS [NOT] DISTINCT FROM right`; never `NULL`.
pub(super) fn distinct<'b, 'r>(
    left: &Operand<'_, '_>,
    right: &Operand<'_, '_>,
    negated: bool,
    len: usize,
) -> Operand<'b, 'r> {
    let mut values = bools(Comparison::NotEqual, left, right, len);
    for (position, value) in values.iter_mut().enumerate() {
        *value = match (left.is_null(position), right.is_null(position)) {
            (false, false) => *value,
            (left, right) => left != right,
        } != negated;
    }
    eval::bools(values, Vec::new())
}

/// The comparison at every position, whatever it is where an operand is `NULL`.
pub(super) fn bools(comparison: Comparison, left: &Operand<'_, '_>, right: &Operand<'_, '_>, len: usize) -> Vec<bool> {
    match comparison {
        Comparison::Equal => equal(left, right, len, true),
        Comparison::NotEqual => equal(left, right, len, false),
        Comparison::Less => less(left, right, len, true),
        Comparison::Greater => less(right, left, len, true),
        Comparison::LessOrEqual => less(right, left, len, false),
        Comparison::GreaterOrEqual => less(left, right, len, false),
    }
}

/// Where `(left = right) = expected`.
fn equal(left: &Operand<'_, '_>, right: &Operand<'_, '_>, len: usize, expected: bool) -> Vec<bool> {
    let (li, ri) = (left.index, right.index);
    match (left.column.values(), right.column.values()) {
        (Values::Bool(l), Values::Bool(r)) => map2((l, li), (r, ri), len, |_, a, b| (a == b) == expected),
        (Values::Int(l), Values::Int(r)) => map2((l, li), (r, ri), len, |_, a, b| (a == b) == expected),
        (Values::Float(l), Values::Float(r)) => {
            map2((l, li), (r, ri), len, |_, a, b| (a == b || a.is_nan() && b.is_nan()) == expected)
        }
        (Values::Double(l), Values::Double(r)) => {
            map2((l, li), (r, ri), len, |_, a, b| (a == b || a.is_nan() && b.is_nan()) == expected)
        }
        (Values::Double(l), Values::Long(r)) => {
            map2((l, li), (r, ri), len, |_, a, b| long_double(b, a).is_eq() == expected)
        }
        (Values::Long(l), Values::Double(r)) => {
            map2((l, li), (r, ri), len, |_, a, b| long_double(a, b).is_eq() == expected)
        }
        (Values::String(_) | Values::Json(_), _) => {
            let (l, r) = (left.texts(), right.texts());
            each(li, ri, len, |a, b| (l.get(a) == r.get(b)) == expected)
        }
        (Values::Bytes(l), Values::Bytes(r)) => each(li, ri, len, |a, b| (l.get(a) == r.get(b)) == expected),
        _ => map2((left.longs(), li), (right.longs(), ri), len, |_, a, b| (a == b) == expected),
    }
}

/// Where `(left < right) = expected`.
fn less(left: &Operand<'_, '_>, right: &Operand<'_, '_>, len: usize, expected: bool) -> Vec<bool> {
    let (li, ri) = (left.index, right.index);
    match (left.column.values(), right.column.values()) {
        (Values::Bool(l), Values::Bool(r)) => map2((l, li), (r, ri), len, |_, a, b| (!a & b) == expected),
        (Values::Int(l), Values::Int(r)) => map2((l, li), (r, ri), len, |_, a, b| (a < b) == expected),
        (Values::Float(l), Values::Float(r)) => {
            map2((l, li), (r, ri), len, |_, a, b| (a < b || !a.is_nan() && b.is_nan()) == expected)
        }
        (Values::Double(l), Values::Double(r)) => {
            map2((l, li), (r, ri), len, |_, a, b| (a < b || !a.is_nan() && b.is_nan()) == expected)
        }
        (Values::Double(l), Values::Long(r)) => {
            map2((l, li), (r, ri), len, |_, a, b| long_double(b, a).is_gt() == expected)
        }
        (Values::Long(l), Values::Double(r)) => {
            map2((l, li), (r, ri), len, |_, a, b| long_double(a, b).is_lt() == expected)
        }
        (Values::String(_) | Values::Json(_), _) => {
            let (l, r) = (left.texts(), right.texts());
            each(li, ri, len, |a, b| (l.get(a) < r.get(b)) == expected)
        }
        (Values::Bytes(l), Values::Bytes(r)) => each(li, ri, len, |a, b| (l.get(a) < r.get(b)) == expected),
        _ => map2((left.longs(), li), (right.longs(), ri), len, |_, a, b| (a < b) == expected),
    }
}

#[inline]
fn each(left: Index<'_>, right: Index<'_>, len: usize, f: impl Fn(usize, usize) -> bool) -> Vec<bool> {
    (0..len).map(|position| f(left.at(position), right.at(position))).collect()
}

/// Compares exactly. Not-a-number is greater than every other number.
pub(crate) fn long_double(long: i64, double: f64) -> Ordering {
    /// 2^63, the least number greater than every `BIGINT`.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() || double >= LIMIT {
        Ordering::Less
    } else if double < -LIMIT {
        Ordering::Greater
    } else {
        // Within the range of i64, so the conversion of the whole part is exact.
        let whole = double.trunc();
        long.cmp(&(whole as i64)).then_with(|| whole.partial_cmp(&double).unwrap_or(Ordering::Equal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_doubles_compare_exactly() {
        let exact = (1_i64 << 53) + 1;
        assert_eq!(long_double(exact, 9_007_199_254_740_992.0), Ordering::Greater);
        assert_eq!(long_double(exact - 1, 9_007_199_254_740_992.0), Ordering::Equal);
        assert_eq!(long_double(2, 2.5), Ordering::Less);
        assert_eq!(long_double(-2, -2.5), Ordering::Greater);
        assert_eq!(long_double(i64::MAX, 9_223_372_036_854_775_808.0), Ordering::Less);
        assert_eq!(long_double(i64::MIN, -9_223_372_036_854_775_808.0), Ordering::Equal);
        assert_eq!(long_double(i64::MAX, f64::INFINITY), Ordering::Less);
        assert_eq!(long_double(i64::MIN, f64::NEG_INFINITY), Ordering::Greater);
        assert_eq!(long_double(i64::MAX, f64::NAN), Ordering::Less);
    }
}
