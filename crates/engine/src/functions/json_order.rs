//! How a value inside JSON compares with a value of SQL: by the type of the latter, numbers exactly.

use std::cmp::Ordering;

use eventflux_core::{FunctionError, ValueRef};

use super::RowResult;
use super::values::{Args, Output};
use crate::expr::compare::long_double;
use crate::expr::json::{self, Step};

/// `JSON_COMPARE`: -1, 0 or 1, and `NULL` where there is nothing of the other value's type.
pub(super) fn compare(path: &[Step], args: &Args<'_>, out: &mut Output) -> RowResult {
    let order = match find(path, args)? {
        Some(found) => order(found, args.value(2))?,
        None => None,
    };
    match order {
        Some(order) => out.long(order as i64),
        None => {
            out.push_null();
            Ok(())
        }
    }
}

/// `JSON_CONTAINS`: of a text whether it has that part, of an array whether it has that element; else `NULL`.
pub(super) fn contains(path: &[Step], args: &Args<'_>, out: &mut Output) -> RowResult {
    let other = args.value(2);
    let Some(found) = find(path, args)? else {
        out.push_null();
        return Ok(());
    };
    if let Some(elements) = json::elements(found) {
        for element in elements {
            let element = element.map_err(FunctionError::invalid)?;
            if order(element, other)? == Some(Ordering::Equal) {
                return out.bool(true);
            }
        }
        return out.bool(false);
    }
    match (json::type_name(found).map_err(FunctionError::invalid)?, other) {
        ("string", ValueRef::String(part)) => {
            let text = json::text_of(found).map_err(FunctionError::invalid)?;
            out.bool(text.is_some_and(|text| text.contains(part)))
        }
        _ => {
            out.push_null();
            Ok(())
        }
    }
}

fn find<'a>(path: &[Step], args: &Args<'a>) -> Result<Option<&'a str>, FunctionError> {
    json::find(args.text(0), path).map_err(FunctionError::invalid)
}

/// `None` when the types differ.
fn order(found: &str, other: ValueRef<'_>) -> Result<Option<Ordering>, FunctionError> {
    let kind = json::type_name(found).map_err(FunctionError::invalid)?;
    Ok(match (kind, other) {
        ("number", ValueRef::Long(other)) => match found.parse::<i64>() {
            Ok(whole) => Some(whole.cmp(&other)),
            Err(_) => Some(long_double(other, double(found)?).reverse()),
        },
        ("number", ValueRef::Double(other)) => match found.parse::<i64>() {
            Ok(whole) => Some(long_double(whole, other)),
            // Only the other one can be no number at all; it counts as the greatest, as everywhere.
            Err(_) => Some(double(found)?.partial_cmp(&other).unwrap_or(Ordering::Less)),
        },
        ("string", ValueRef::String(other)) => {
            let text = json::text_of(found).map_err(FunctionError::invalid)?;
            text.map(|text| text.as_ref().cmp(other))
        }
        ("boolean", ValueRef::Bool(other)) => Some((found == "true").cmp(&other)),
        _ => None,
    })
}

fn double(number: &str) -> Result<f64, FunctionError> {
    number.parse().map_err(|_| FunctionError::invalid("the value is not valid JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(found: &str, other: ValueRef<'_>) -> Option<Ordering> {
        order(found, other).unwrap()
    }

    #[test]
    fn numbers_compare_exactly_whatever_they_are_written_as() {
        let cases = [
            ("60", ValueRef::Long(50), Ordering::Greater),
            ("50.0", ValueRef::Long(50), Ordering::Equal),
            ("5e1", ValueRef::Long(50), Ordering::Equal),
            ("-0.5", ValueRef::Long(0), Ordering::Less),
            ("9007199254740993", ValueRef::Long(9_007_199_254_740_992), Ordering::Greater),
            ("9007199254740993", ValueRef::Double(9_007_199_254_740_992.0), Ordering::Greater),
            ("18446744073709551615", ValueRef::Long(i64::MAX), Ordering::Greater),
            ("-1e400", ValueRef::Long(i64::MIN), Ordering::Less),
            ("0.1", ValueRef::Double(0.1), Ordering::Equal),
            ("1e400", ValueRef::Double(f64::NAN), Ordering::Less),
        ];
        for (found, other, expected) in cases {
            assert_eq!(ordered(found, other), Some(expected), "{found} and {other:?}");
        }
    }

    #[test]
    fn texts_compare_by_their_content_and_no_before_yes() {
        assert_eq!(ordered(r#""caf\u00e9""#, ValueRef::String("café")), Some(Ordering::Equal));
        assert_eq!(ordered(r#""error""#, ValueRef::String("warning")), Some(Ordering::Less));
        assert_eq!(ordered("false", ValueRef::Bool(true)), Some(Ordering::Less));
    }

    #[test]
    fn other_types_do_not_compare() {
        let cases = [
            (r#""60""#, ValueRef::Long(50)),
            ("60", ValueRef::String("60")),
            ("true", ValueRef::Long(1)),
            ("null", ValueRef::String("null")),
            ("[60]", ValueRef::Long(60)),
            ("{}", ValueRef::Bool(false)),
        ];
        for (found, other) in cases {
            assert_eq!(ordered(found, other), None, "{found} and {other:?}");
        }
    }
}
