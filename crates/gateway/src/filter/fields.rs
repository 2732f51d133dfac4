//! Exact matches on fields to a condition.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::condition::Condition;
use super::predicate::Terms;
use super::scalar::{Number, Scalar};
use super::{check_path, invalid};
use crate::Problem;

/// The condition of `{"path": value, "path": [value, ...], ...}`: all paths have their value, or one of their values.
/// `null` is the value of a path that leads nowhere, too.
///
/// # Errors
/// [`Problem::InvalidFilter`] with the reason and the path.
pub(super) fn parse(fields: &Map<String, Value>, terms: &mut Terms<'_>) -> Result<Condition, Problem> {
    let parts = fields.iter().map(|(path, value)| {
        check_path(path).map_err(|reason| invalid(None, &reason))?;
        field(path, value, terms)
    });
    Ok(Condition::all(parts.collect::<Result<_, _>>()?))
}

/// An upper bound of how many bytes of memory the fields take as a filter, without what every value takes.
pub(super) fn bytes(fields: &Map<String, Value>) -> usize {
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    let value = |value: &Value| value.as_array().map_or_else(|| text(value), |items| items.iter().map(text).sum());
    fields.iter().map(|(path, wanted)| path.len() + value(wanted)).sum()
}

fn field(path: &str, value: &Value, terms: &mut Terms<'_>) -> Result<Condition, Problem> {
    let wanted = match value {
        Value::Array(values) if values.is_empty() => {
            return Err(refused(path, "has no values, so nothing would match; leave it out to match everything"));
        }
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    };
    let mut scalars = Vec::new();
    let mut is_null = Condition::Constant(Some(false));
    for value in wanted {
        terms.add(None)?;
        match scalar(value) {
            Some(scalar) => scalars.push(scalar),
            None if value.is_null() => is_null = Condition::IsNull(path.into()),
            None => {
                let reason = "has an object or a list as a value; write the path to a value: {\"user.id\": 1}";
                return Err(refused(path, reason));
            }
        }
    }
    Ok(Condition::any(vec![Condition::one_of(path.into(), scalars), is_null]))
}

fn scalar(value: &Value) -> Option<Scalar<'static>> {
    match value {
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        Value::String(text) => Some(Scalar::Text(Cow::Owned(text.clone()))),
        Value::Number(number) => {
            let whole = number.as_i64().map(Number::from).or_else(|| number.as_u64().map(Number::from));
            whole.or_else(|| number.as_f64().and_then(Number::from_float)).map(Scalar::Number)
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn refused(path: &str, reason: &str) -> Problem {
    invalid(None, &format!("'{}' {reason}", path.escape_debug()))
}
