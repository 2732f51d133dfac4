//! SQL text to a condition.

use std::borrow::Cow;

use sqlparser::ast::{BinaryOperator, Expr, Ident, UnaryOperator, Value};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::condition::{Comparison, Condition, Operand, Path};
use super::like::Like;
use super::scalar::{Number, Scalar};
use super::tokens::{self, FilterDialect, describe, too_deep, too_many_terms};
use super::{FilterLimits, check_path, invalid};
use crate::Problem;

/// The parser's own limit, a second line of defence: how many levels of its recursion one level of ours can take.
const RECURSION_PER_LEVEL: usize = 8;

/// Counts terms while conditions are made of them.
#[derive(Debug)]
pub(super) struct Terms<'l> {
    limits: &'l FilterLimits,
    count: usize,
}

impl<'l> Terms<'l> {
    pub(super) fn new(limits: &'l FilterLimits) -> Self {
        Self { limits, count: 0 }
    }

    /// Counts one more.
    pub(super) fn add(&mut self, place: Option<Location>) -> Result<(), Problem> {
        self.count += 1;
        if self.count > self.limits.terms() { Err(too_many_terms(place, self.limits)) } else { Ok(()) }
    }
}

/// The condition of a text.
///
/// # Errors
/// [`Problem::InvalidFilter`] with the reason and the place.
pub(super) fn parse(text: &str, terms: &mut Terms<'_>) -> Result<Condition, Problem> {
    let tokens = tokens::tokenize(text, terms.limits)?;
    let mut parser = Parser::new(&FilterDialect)
        .with_recursion_limit(RECURSION_PER_LEVEL * (terms.limits.depth() + 1))
        .with_tokens_with_locations(tokens.clone());
    let expr = parser.parse_expr().map_err(|error| explain(error, &tokens, terms.limits))?;
    let rest = parser.peek_token_ref();
    if rest.token == Token::EOF { condition(&expr, terms) } else { Err(out_of_place(rest)) }
}

/// The parser's error, in our words: its own list what all of SQL would allow.
fn explain(error: ParserError, tokens: &[TokenWithSpan], limits: &FilterLimits) -> Problem {
    let text = match error {
        ParserError::RecursionLimitExceeded => return too_deep(None, limits),
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
    };
    let place = location(&text);
    let found = tokens.iter().find(|token| Some(token.span.start) == place);
    found.map_or_else(|| invalid(None, "the predicate ends where more is expected"), out_of_place)
}

fn out_of_place(token: &TokenWithSpan) -> Problem {
    let reason = format!("{} is not supported or out of place here", describe(&token.token));
    invalid(Some(token.span.start), &reason)
}

/// The place in `... at Line: 1, Column: 7`, the only form in which the parser tells it.
fn location(text: &str) -> Option<Location> {
    let (_, place) = text.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location::new(line.parse().ok()?, column.parse().ok()?))
}

/// As deep a recursion as brackets and prefixes are nested.
fn condition(expr: &Expr, terms: &mut Terms<'_>) -> Result<Condition, Problem> {
    match expr {
        Expr::Nested(inner) => condition(inner, terms),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(condition(expr, terms)?.negated()),
        Expr::BinaryOp { op: op @ BinaryOperator::And, .. } => Ok(Condition::all(chain(expr, op, terms)?)),
        Expr::BinaryOp { op: op @ BinaryOperator::Or, .. } => Ok(Condition::any(chain(expr, op, terms)?)),
        Expr::BinaryOp { left, op, right } => comparison(left, op, right, terms),
        Expr::InList { expr, list, negated } => Ok(signed(in_list(expr, list, terms)?, *negated)),
        Expr::Between { expr, negated, low, high } => Ok(signed(between(expr, low, high, terms)?, *negated)),
        Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
            Ok(signed(like(expr, pattern, terms)?, *negated))
        }
        Expr::IsNull(inner) => is_null(inner, terms),
        Expr::IsNotNull(inner) => Ok(is_null(inner, terms)?.negated()),
        _ => truth(expr, terms),
    }
}

/// The parts of a chain of one operator, without a recursion along the chain.
fn chain(expr: &Expr, operator: &BinaryOperator, terms: &mut Terms<'_>) -> Result<Vec<Condition>, Problem> {
    let mut parts = Vec::new();
    let mut rest = expr;
    while let Expr::BinaryOp { left, op, right } = rest
        && op == operator
    {
        parts.push(&**right);
        rest = left;
    }
    parts.push(rest);
    parts.into_iter().rev().map(|part| condition(part, terms)).collect()
}

fn signed(condition: Condition, negated: bool) -> Condition {
    if negated { condition.negated() } else { condition }
}

fn comparison(left: &Expr, op: &BinaryOperator, right: &Expr, terms: &mut Terms<'_>) -> Result<Condition, Problem> {
    let (comparison, negated) = match op {
        BinaryOperator::Eq => (Comparison::Equal, false),
        BinaryOperator::NotEq => (Comparison::Equal, true),
        BinaryOperator::Lt => (Comparison::Less, false),
        BinaryOperator::LtEq => (Comparison::LessOrEqual, false),
        BinaryOperator::Gt => (Comparison::Greater, false),
        BinaryOperator::GtEq => (Comparison::GreaterOrEqual, false),
        other => return Err(invalid(place(left), &format!("`{other}` is not supported in filters"))),
    };
    terms.add(place(left))?;
    Ok(signed(Condition::compare(operand(left)?, comparison, operand(right)?), negated))
}

fn in_list(expr: &Expr, list: &[Expr], terms: &mut Terms<'_>) -> Result<Condition, Problem> {
    let left = operand(expr)?;
    let equals = |item: &Expr| {
        terms.add(place(item))?;
        Ok(Condition::compare(left.clone(), Comparison::Equal, operand(item)?))
    };
    Ok(Condition::any(list.iter().map(equals).collect::<Result<_, Problem>>()?))
}

fn between(expr: &Expr, low: &Expr, high: &Expr, terms: &mut Terms<'_>) -> Result<Condition, Problem> {
    let value = operand(expr)?;
    terms.add(place(low))?;
    let above = Condition::compare(value.clone(), Comparison::GreaterOrEqual, operand(low)?);
    terms.add(place(high))?;
    let below = Condition::compare(value, Comparison::LessOrEqual, operand(high)?);
    Ok(Condition::all(vec![above, below]))
}

fn like(expr: &Expr, pattern: &Expr, terms: &mut Terms<'_>) -> Result<Condition, Problem> {
    terms.add(place(expr))?;
    let text = match operand(pattern)? {
        Operand::Literal(Some(Scalar::Text(text))) => text,
        Operand::Literal(None) => return Ok(Condition::Constant(None)),
        _ => return Err(invalid(place(pattern), "the pattern of LIKE has to be a text in single quotes")),
    };
    let pattern = Like::new(&text).map_err(|reason| invalid(place(pattern), &reason))?;
    Ok(match operand(expr)? {
        Operand::Path(path) => Condition::Like { path, pattern },
        Operand::Literal(Some(Scalar::Text(text))) => Condition::Constant(Some(pattern.matches(&text))),
        Operand::Literal(_) => Condition::Constant(None),
    })
}

fn is_null(expr: &Expr, terms: &mut Terms<'_>) -> Result<Condition, Problem> {
    terms.add(place(expr))?;
    Ok(match operand(expr)? {
        Operand::Path(path) => Condition::IsNull(path),
        Operand::Literal(value) => Condition::Constant(Some(value.is_none())),
    })
}

/// A field or a constant where a condition is wanted.
fn truth(expr: &Expr, terms: &mut Terms<'_>) -> Result<Condition, Problem> {
    terms.add(place(expr))?;
    match operand(expr)? {
        Operand::Path(path) => Ok(Condition::Flag(path)),
        Operand::Literal(None) => Ok(Condition::Constant(None)),
        Operand::Literal(Some(Scalar::Bool(value))) => Ok(Condition::Constant(Some(value))),
        Operand::Literal(Some(_)) => Err(invalid(place(expr), "a value is no condition; compare it with a field")),
    }
}

/// A field or a literal. As deep a recursion as brackets and signs are nested.
fn operand(expr: &Expr) -> Result<Operand, Problem> {
    match expr {
        Expr::Nested(inner) => operand(inner),
        Expr::Identifier(name) => path(expr, std::slice::from_ref(name)),
        Expr::CompoundIdentifier(names) => path(expr, names),
        Expr::Value(value) => literal(&value.value, value.span.start),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => match operand(inner)? {
            Operand::Literal(Some(Scalar::Number(number))) => {
                Ok(Operand::Literal(Some(Scalar::Number(number.negated()))))
            }
            _ => Err(invalid(place(inner), "a minus can only stand before a number")),
        },
        _ => Err(invalid(
            place(expr),
            "only a field, a number, a text, TRUE, FALSE or NULL can stand here; filters have comparisons, AND, OR, NOT, IN, \
             BETWEEN, LIKE and IS NULL",
        )),
    }
}

fn path(expr: &Expr, names: &[Ident]) -> Result<Operand, Problem> {
    let path: Path = names.iter().map(|name| &*name.value).collect::<Vec<_>>().join(".").into();
    check_path(&path).map_err(|reason| invalid(place(expr), &reason))?;
    Ok(Operand::Path(path))
}

fn literal(value: &Value, place: Location) -> Result<Operand, Problem> {
    let scalar = match value {
        Value::Null => return Ok(Operand::Literal(None)),
        Value::Boolean(value) => Scalar::Bool(*value),
        Value::SingleQuotedString(text) => Scalar::Text(Cow::Owned(text.clone())),
        Value::Number(text, _) => Scalar::Number(number(text).map_err(|reason| invalid(Some(place), reason))?),
        _ => return Err(invalid(Some(place), "this kind of value is not supported in filters")),
    };
    Ok(Operand::Literal(Some(scalar)))
}

/// A number is never rounded but to the nearest double, and whole numbers not at all.
fn number(text: &str) -> Result<Number, &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u64>().map(Number::from).map_err(|_| "a whole number can have at most 64 bits");
    }
    text.parse().ok().and_then(Number::from_float).ok_or("this number is too large")
}

/// Where an expression begins, as far as that can be told without a recursion.
fn place(expr: &Expr) -> Option<Location> {
    let mut first = expr;
    let start = loop {
        first = match first {
            Expr::Identifier(name) => break name.span.start,
            Expr::CompoundIdentifier(names) => break names.first()?.span.start,
            Expr::Value(value) => break value.span.start,
            Expr::BinaryOp { left: inner, .. }
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::InList { expr: inner, .. }
            | Expr::Between { expr: inner, .. }
            | Expr::Like { expr: inner, .. }
            | Expr::Nested(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner) => inner,
            Expr::Tuple(items) => items.first()?,
            _ => return None,
        };
    };
    (start.line > 0).then_some(start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<Condition, String> {
        let limits = FilterLimits::default();
        parse(text, &mut Terms::new(&limits)).map_err(|problem| problem.to_string())
    }

    #[test]
    fn what_asks_the_same_is_the_same() {
        for (one, other) in [
            ("a = 1 AND b = 2", "b=2   and a=1"),
            ("(a = 1 AND b = 2) AND c", "a = 1 AND (b = 2 AND (c))"),
            ("a = 1 OR a = 2 OR a = 1", "a IN (2, 1)"),
            ("a IN (1, 2) OR a IN (2, 3)", "a IN (3, 2, 1)"),
            ("5 < a", "a > 5.0"),
            ("a BETWEEN 1 AND 2", "a <= 2 AND a >= 1"),
            ("a <> 1", "NOT a = 1"),
            ("a != 1", "NOT (NOT (NOT a = 1))"),
            ("a NOT IN (1)", "1 <> a"),
            ("a NOT LIKE 'x'", "NOT a LIKE 'x'"),
            ("a IS NOT NULL", "NOT a IS NULL"),
            ("user.id = 1", "\"user.id\" = 1"),
            ("user.id = 1", "\"user\".\"id\" = 1"),
            ("b > a", "a < b"),
            ("a = 1 AND TRUE", "a = 1"),
            ("a = 1 OR 1 = 2", "a = 1"),
            ("a = - 1", "a = -(1)"),
            ("a = 1 AND 1 = 2", "FALSE"),
            ("a = NULL", "NULL"),
            ("'abc' LIKE 'a%'", "TRUE"),
        ] {
            assert_eq!(parsed(one).unwrap(), parsed(other).unwrap(), "{one} and {other}");
        }
        for (one, other) in [("a = 1", "a = '1'"), ("a = 1", "A = 1"), ("a > 1", "a >= 1"), ("a", "NOT a")] {
            assert_ne!(parsed(one).unwrap(), parsed(other).unwrap(), "{one} and {other}");
        }
    }

    #[test]
    fn words_of_sql_are_names_where_no_operator_is_meant() {
        for name in [
            "user",
            "timestamp",
            "date",
            "type",
            "case",
            "end",
            "order",
            "group",
            "select",
            "from",
            "interval",
            "value",
            "position",
            "exists",
            "cast",
            "array",
            "left",
            "match",
            "current_user",
            "time",
            "größe",
            "_x",
            "x1",
        ] {
            assert_eq!(
                parsed(&format!("{name} = 1 AND {name}.id = 2")),
                parsed(&format!("\"{name}\" = 1 AND \"{name}.id\" = 2"))
            );
            assert!(parsed(&format!("{name} = 1")).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named_with_its_place() {
        for (text, message) in [
            ("price + 1 > 2", "column 7: `+` is not supported: there is no arithmetic in filters"),
            ("upper(name) = 'A'", "column 1: `upper` is not supported: there are no functions in filters"),
            ("a = 1 AND lower (b) = 'x'", "column 11: `lower` is not supported: there are no functions in filters"),
            ("a == 1", "column 3: `==` is not supported; write `=`"),
            ("a = 1 -- no", "column 7: comments are not supported"),
            ("a /* no */ = 1", "column 3: comments are not supported"),
            ("a = 1; b", "column 6: `;` is not supported in filters"),
            ("a::int = 1", "column 2: `::` is not supported in filters"),
            ("a[1] = 1", "column 2: `[` is not supported in filters"),
            ("a = $1", "column 5: `$1` is not supported in filters"),
            ("a ILIKE 'x'", "column 3: `ILIKE` is not supported or out of place here"),
            ("a = CASE WHEN b THEN 1 END", "column 10: `WHEN` is not supported or out of place here"),
            ("a IN (SELECT b)", "column 14: `b` is not supported or out of place here"),
            ("a = 1 AND", "the predicate ends where more is expected"),
            ("a = 1\n  AND )", "line 2, column 7: `)` is not supported or out of place here"),
            ("a LIKE b", "column 8: the pattern of LIKE has to be a text in single quotes"),
            ("a LIKE 'x' ESCAPE '!'", "column 12: `ESCAPE` is not supported or out of place here"),
            ("a LIKE 'x\\'", "column 8: a LIKE pattern cannot end in a backslash; write two of them"),
            ("-a = 1", "column 2: a minus can only stand before a number"),
            ("a = -'x'", "column 6: a minus can only stand before a number"),
            ("5", "column 1: a value is no condition; compare it with a field"),
            ("a AND 'x'", "column 7: a value is no condition; compare it with a field"),
            ("a = 18446744073709551616", "column 5: a whole number can have at most 64 bits"),
            ("a = 1e999", "column 5: this number is too large"),
            ("a = 'x", "column 5: unterminated string literal"),
            ("", "the predicate is empty; leave it out to get everything"),
            (" \n ", "the predicate is empty; leave it out to get everything"),
        ] {
            assert_eq!(parsed(text).unwrap_err(), format!("Invalid filter: {message}"), "{text}");
        }
        for text in
            ["(a = 1) = TRUE", "a = b = c", "(a, b) = (1, 2)", "a IS TRUE", "x'ff' = a", "N'x' = a", "a = 'secret' 'x'"]
        {
            let message = parsed(text).unwrap_err();
            assert!(message.contains("column ") && !message.contains("secret"), "{text}: {message}");
        }
    }

    #[test]
    fn nothing_is_too_deep_or_too_long_for_the_stack() {
        let terms = |count: usize, separator: &str| vec!["a = 1"; count].join(separator);
        for text in [
            terms(64, " AND "),
            terms(64, " OR "),
            format!("{}a = 1{}", "(".repeat(32), ")".repeat(32)),
            format!("{}a = 1", "NOT ".repeat(32)),
            format!("a IN ({})", vec!["-1"; 64].join(",")),
            vec!["NOT a BETWEEN -1 AND -2"; 32].join(" AND "),
        ] {
            assert!(parsed(&text).is_ok(), "{text}: {:?}", parsed(&text));
        }
        for (text, reason) in [
            (terms(65, " AND "), "more than 64 comparisons"),
            (format!("a IN ({})", vec!["1"; 65].join(",")), "more than 64 comparisons"),
            (vec!["a"; 1_000].join(" OR "), "more than 64 comparisons"),
            (vec!["a"; 2_000].join("="), "more than 64 comparisons"),
            (format!("{}a = 1{}", "(".repeat(33), ")".repeat(33)), "deeper than 32"),
            (format!("{}a = 1", "NOT ".repeat(33)), "deeper than 32"),
            (format!("a = {}1", "- ".repeat(33)), "deeper than 32"),
            (format!("{}a = 1{}", "NOT (".repeat(17), ")".repeat(17)), "deeper than 32"),
            ("(".repeat(4_000), "deeper than 32"),
            (format!("{}a", "NOT a = ".repeat(500)), "deeper than 32"),
        ] {
            assert!(parsed(&text).unwrap_err().contains(reason), "{text:.60}: {:?}", parsed(&text));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_condition_or_a_problem(text in any::<String>()) {
            let _ = parsed(&text);
        }

        #[test]
        fn what_looks_like_sql_is_a_condition_or_a_problem(
            text in r#"((a|b|AND|OR|NOT|IN|BETWEEN|LIKE|IS|NULL|TRUE|'x%'|"q"|1|2\.5e3|user|case|end|interval|date|=|<>|<=|>|\(|\)|,|\.|-) ?){0,40}"#
        ) {
            let _ = parsed(&text);
        }
    }
}
