//! The criterion of a `json_filter` as the condition of a query.
//!
//! It becomes calls of SQL functions, so that there is one meaning of it: `JSON_COMPARE(payload, '$.value', 50) > 0`. Its parts
//! have the places of the file, for whoever finds a mistake in them.

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, UnaryOperator, Value,
};
use sqlparser::tokenizer::{Location, Span as SqlSpan};

use super::config::{Config, Given, Scalar};
use super::kinds::Operator;
use super::report::Report;
use super::subjects::PAYLOAD;
use crate::diagnostic::{SourceFile, Span};

const PATH: &str = "criteria.path";
const OPERATOR: &str = "criteria.operator";
const VALUE: &str = "criteria.value";

/// The condition; `None` when there is a mistake, which has been reported.
pub(super) fn condition(file: &SourceFile, config: &Config<'_>, report: &mut Report) -> Option<Expr> {
    let (path, operator) = (config.given(PATH)?, config.given(OPERATOR)?);
    let writer = Writer { file, path, operator_span: operator.value_span };
    let parsed = Operator::parse(&operator.text)?;
    let value = config.given(VALUE);
    if parsed == Operator::Exists {
        return exists(&writer, value, report);
    }
    let Some(value) = value else {
        let message = format!("'{VALUE}' is required with {OPERATOR} '{}', and missing", operator.text);
        report.error(operator.value_span, message, "add a text, a number, true, false or null");
        return None;
    };
    if value.scalar == Scalar::Null {
        return compared_with_null(&writer, parsed, value, report);
    }
    let literal = writer.literal(value);
    if parsed == Operator::Contains {
        return Some(writer.call("JSON_CONTAINS", vec![writer.payload(), writer.path(), literal]));
    }
    let order = writer.call("JSON_COMPARE", vec![writer.payload(), writer.path(), literal]);
    Some(writer.binary(order, comparison(parsed), writer.value(number("0"), operator.value_span)))
}

/// Something is there, or, with the value `false`, nothing is.
fn exists(writer: &Writer<'_>, value: Option<&Given<'_>>, report: &mut Report) -> Option<Expr> {
    let found = Box::new(writer.call("JSON_EXTRACT", vec![writer.payload(), writer.path()]));
    match value.map(|value| (value.scalar, value.value_span)) {
        None | Some((Scalar::Boolean(true), _)) => Some(Expr::IsNotNull(found)),
        Some((Scalar::Boolean(false), _)) => Some(Expr::IsNull(found)),
        Some((_, span)) => {
            let message = format!("'{VALUE}': this is not allowed with {OPERATOR} 'exists'");
            report.error(span, message, "use true or false, or remove it");
            None
        }
    }
}

/// `null` is a type of its own: it equals itself, and has no order.
fn compared_with_null(writer: &Writer<'_>, operator: Operator, value: &Given<'_>, report: &mut Report) -> Option<Expr> {
    let comparison = match operator {
        Operator::Equal => BinaryOperator::Eq,
        Operator::NotEqual => BinaryOperator::NotEq,
        _ => {
            let message = format!("'{VALUE}': null is not allowed with this operator");
            report.error(value.value_span, message, "use == or !=");
            return None;
        }
    };
    let found = writer.call("JSON_EXTRACT", vec![writer.payload(), writer.path()]);
    let kind = writer.call("JSON_TYPE", vec![found]);
    let null = writer.value(Value::SingleQuotedString("null".to_owned()), value.value_span);
    Some(writer.binary(kind, comparison, null))
}

fn comparison(operator: Operator) -> BinaryOperator {
    match operator {
        Operator::NotEqual => BinaryOperator::NotEq,
        Operator::Less => BinaryOperator::Lt,
        Operator::LessOrEqual => BinaryOperator::LtEq,
        Operator::Greater => BinaryOperator::Gt,
        Operator::GreaterOrEqual => BinaryOperator::GtEq,
        Operator::Equal | Operator::Contains | Operator::Exists => BinaryOperator::Eq,
    }
}

/// Makes parts of expressions with places.
struct Writer<'a> {
    file: &'a SourceFile,
    path: &'a Given<'a>,
    operator_span: Span,
}

impl Writer<'_> {
    fn payload(&self) -> Expr {
        Expr::Identifier(self.name(PAYLOAD))
    }

    fn path(&self) -> Expr {
        self.value(Value::SingleQuotedString(self.path.text.clone()), self.path.value_span)
    }

    fn literal(&self, value: &Given<'_>) -> Expr {
        let span = value.value_span;
        match value.scalar {
            Scalar::Text(text) => self.value(Value::SingleQuotedString(text.to_owned()), span),
            Scalar::Boolean(truth) => self.value(Value::Boolean(truth), span),
            Scalar::Null => self.value(Value::Null, span),
            Scalar::Number(digits) => match digits.strip_prefix('-') {
                Some(digits) => {
                    let expr = Box::new(self.value(number(digits), span));
                    Expr::UnaryOp { op: UnaryOperator::Minus, expr }
                }
                None => self.value(number(digits), span),
            },
        }
    }

    fn call(&self, name: &str, arguments: Vec<Expr>) -> Expr {
        let unnamed = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
        let args = arguments.into_iter().map(unnamed).collect();
        Expr::Function(Function {
            name: ObjectName::from(self.name(name)),
            uses_odbc_syntax: false,
            parameters: FunctionArguments::None,
            args: FunctionArguments::List(FunctionArgumentList {
                duplicate_treatment: None,
                args,
                clauses: Vec::new(),
            }),
            within_group: Vec::new(),
            filter: None,
            null_treatment: None,
            over: None,
        })
    }

    fn binary(&self, left: Expr, op: BinaryOperator, right: Expr) -> Expr {
        Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
    }

    /// A name of ours; its place is the operator, which is what asks for it.
    fn name(&self, name: &str) -> Ident {
        Ident { value: name.to_owned(), quote_style: None, span: self.place(self.operator_span) }
    }

    fn value(&self, value: Value, span: Span) -> Expr {
        Expr::Value(value.with_span(self.place(span)))
    }

    fn place(&self, span: Span) -> SqlSpan {
        let location = |offset: usize| {
            let position = self.file.position(offset);
            Location::new(position.line as u64, position.column as u64)
        };
        SqlSpan::new(location(span.start), location(span.end))
    }
}

fn number(digits: &str) -> Value {
    Value::Number(digits.to_owned(), false)
}
