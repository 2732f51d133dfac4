//! Literals.

use eventflux_core::{Column, DataType, ValueRef};
use sqlparser::ast::{DataType as SqlType, DateTimeField, Expr, Interval, TimezoneInfo, TypedString, Value};

use super::{Compiled, Compiler, Failed, constant, null};
use crate::expr::node::Node;
use crate::expr::text::{self, MICROS};
use crate::functions::decode_hex;

/// A constant of a value that is not `NULL`.
pub(super) fn value(data_type: DataType, value: ValueRef<'_>) -> Node {
    let mut column = Column::new(data_type);
    column.push(value);
    constant(column)
}

pub(super) fn integer(number: i64) -> Node {
    match i32::try_from(number) {
        Ok(number) => value(DataType::Int, ValueRef::Int(number)),
        Err(_) => value(DataType::Long, ValueRef::Long(number)),
    }
}

impl Compiler<'_> {
    pub(super) fn literal(&mut self, expr: &Expr, literal: &Value) -> Compiled {
        match literal {
            Value::Number(digits, false) => self.number(expr, digits, false),
            Value::SingleQuotedString(text) => Ok(value(DataType::String, ValueRef::String(text))),
            Value::Boolean(truth) => Ok(value(DataType::Bool, ValueRef::Bool(*truth))),
            Value::Null => Ok(null(DataType::String, true)),
            Value::HexStringLiteral(digits) => match decode_hex(digits) {
                Some(bytes) => Ok(value(DataType::Bytes, ValueRef::Bytes(&bytes))),
                None => Err(self.fail(expr, "X'...' takes pairs of hexadecimal digits")),
            },
            Value::Number(_, true) => Err(self.fail_with_hint(
                expr,
                "numbers have no suffix",
                "write CAST(1 AS BIGINT) for a BIGINT; integers that do not fit INT are BIGINT by themselves",
            )),
            Value::Placeholder(_) => {
                Err(self.fail_with_hint(expr, "placeholders are not supported", "write the value itself"))
            }
            _ => Err(self.fail_with_hint(expr, "this kind of string is not supported", "write text as '...'")),
        }
    }

    /// A number, with `negative` after a minus sign.
    pub(super) fn number(&mut self, expr: &Expr, digits: &str, negative: bool) -> Compiled {
        let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return text::parse_long(&signed).map(integer).map_err(|_| {
                let hint = "for a DOUBLE, write it with a decimal point; to keep every digit, write it as text";
                self.fail_with_hint(expr, "this integer is too large for BIGINT", hint)
            });
        }
        match text::parse_double(&signed) {
            Ok(number) => Ok(value(DataType::Double, ValueRef::Double(number))),
            Err(reason) => Err(self.fail(expr, format!("this number {reason} for DOUBLE"))),
        }
    }

    pub(super) fn typed_string(&mut self, expr: &Expr, literal: &TypedString) -> Compiled {
        let TypedString { data_type, value: quoted, uses_odbc_syntax } = literal;
        let Value::SingleQuotedString(content) = &quoted.value else {
            return Err(self.fail(expr, "a typed literal takes text in single quotes"));
        };
        match data_type {
            SqlType::Timestamp(None, TimezoneInfo::None) if !uses_odbc_syntax => match text::parse_timestamp(content) {
                Ok(micros) => Ok(value(DataType::Timestamp, ValueRef::Timestamp(micros))),
                Err(reason) => {
                    let shown = text::shown(ValueRef::String(content));
                    Err(self.fail(expr, format!("{shown} {reason}")))
                }
            },
            SqlType::JSON if !uses_odbc_syntax => {
                let content = content.trim();
                match crate::expr::json::check(content) {
                    Ok(()) => Ok(value(DataType::Json, ValueRef::Json(content))),
                    Err(_) => Err(self.fail(expr, "this text is not JSON")),
                }
            }
            _ => Err(self.fail_with_hint(
                expr,
                "this kind of typed literal is not supported",
                "there are TIMESTAMP '2024-01-31T10:00:00Z' and JSON '{}'; for other types write CAST('...' AS type)",
            )),
        }
    }

    /// The microseconds of `INTERVAL '5' MINUTE`, `INTERVAL '5 minutes'` or `INTERVAL 5 MINUTE`.
    pub(super) fn interval(&mut self, expr: &Expr, interval: &Interval) -> Result<i64, Failed> {
        const HINT: &str = "write INTERVAL '5' MINUTE, or INTERVAL '1 hour 30 minutes'";
        let Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } = interval;
        if leading_precision.is_some() || last_field.is_some() || fractional_seconds_precision.is_some() {
            return Err(self.fail_with_hint(expr, "INTERVAL takes one unit without a precision", HINT));
        }
        let Expr::Value(literal) = value.as_ref() else {
            let hint = "for a computed count there is DATE_ADD('minute', count, time)";
            return Err(self.fail_with_hint(expr, "INTERVAL takes a literal", hint));
        };
        let (Value::SingleQuotedString(content) | Value::Number(content, false)) = &literal.value else {
            return Err(self.fail_with_hint(expr, "INTERVAL takes a number of units", HINT));
        };
        let micros = match leading_field {
            Some(unit) => micros_of(content, &unit.to_string()),
            None => pairs(content),
        };
        micros.map_err(|problem| match problem {
            Problem::Calendar => {
                let hint = "months and years differ in length; use DATE_ADD('month', 1, time)";
                self.fail_with_hint(expr, "INTERVAL takes units of a fixed length", hint)
            }
            Problem::Range => self.fail(expr, "this interval is too long"),
            Problem::Syntax => self.fail_with_hint(expr, "this interval cannot be read", HINT),
        })
    }
}

enum Problem {
    Calendar,
    Range,
    Syntax,
}

/// `1 hour 30 minutes`
fn pairs(content: &str) -> Result<i64, Problem> {
    let words: Vec<&str> = content.split_whitespace().collect();
    if words.is_empty() {
        return Err(Problem::Syntax);
    }
    words.chunks(2).try_fold(0_i64, |sum, pair| match pair {
        [count, unit] => sum.checked_add(micros_of(count, unit)?).ok_or(Problem::Range),
        _ => Err(Problem::Syntax),
    })
}

fn micros_of(count: &str, unit: &str) -> Result<i64, Problem> {
    let unit = unit.to_ascii_lowercase();
    let unit = match unit.strip_suffix('s').unwrap_or(&unit) {
        "microsecond" => 1,
        "millisecond" => 1000,
        "second" => MICROS,
        "minute" => 60 * MICROS,
        "hour" => 3600 * MICROS,
        "day" => 86_400 * MICROS,
        "week" => 7 * 86_400 * MICROS,
        "month" | "quarter" | "year" | "decade" | "century" => return Err(Problem::Calendar),
        _ => return Err(Problem::Syntax),
    };
    if let Ok(count) = text::parse_long(count) {
        return count.checked_mul(unit).ok_or(Problem::Range);
    }
    let micros = text::parse_double(count).map_err(|_| Problem::Syntax)? * unit as f64;
    // 2^53: below, every whole number is exact.
    if micros.abs() < 9_007_199_254_740_992.0 { Ok(micros.round() as i64) } else { Err(Problem::Range) }
}

/// The unit of `EXTRACT`, as text.
pub(super) fn field_name(field: &DateTimeField) -> Node {
    value(DataType::String, ValueRef::String(&field.to_string()))
}
