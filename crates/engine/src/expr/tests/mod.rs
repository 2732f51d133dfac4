//! Tests of whole expressions, from text to values.

mod casts;
mod examples;
mod laziness;
mod limits;
mod mistakes;
mod operators;
mod random;
mod user_functions;

use std::sync::Arc;

use eventflux_core::{DataType, EventBatch, EventFluxContext, Schema, Value, ValueRef};

use super::{CompiledExpr, RowErrors, Rows, Scope, compile, compile_condition};
use crate::diagnostic::{Diagnostic, SourceFile};
use crate::expr::text;
use crate::sql::{self, SelectItemKind};

/// Where the expression begins in the file of [`parsed`]: `line:column` of its first character.
const PREFIX: &str = "INSERT INTO O SELECT ";

fn file(expression: &str) -> SourceFile {
    SourceFile::new("t.sql", format!("{PREFIX}{expression} FROM S;"))
}

/// Whether the front end lets the expression through.
fn parses(expression: &str) -> bool {
    sql::parse(&file(expression)).1.is_empty()
}

/// The file and the syntax tree of an expression.
fn parsed(expression: &str) -> (SourceFile, sqlparser::ast::Expr) {
    let file = file(expression);
    let (mut document, diagnostics) = sql::parse(&file);
    assert!(diagnostics.is_empty(), "{expression}: {diagnostics:?}");
    let item = document.queries.remove(0).projection.remove(0);
    let SelectItemKind::Expr { expr, .. } = item.kind else {
        panic!("{expression} is no expression");
    };
    (file, *expr)
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new([
        ("i", DataType::Int),
        ("n", DataType::Long),
        ("f", DataType::Float),
        ("d", DataType::Double),
        ("s", DataType::String),
        ("b", DataType::Bool),
        ("x", DataType::Bytes),
        ("t", DataType::Timestamp),
        ("j", DataType::Json),
        ("T", DataType::String),
    ]))
}

/// Three rows: ordinary values, other values, `NULL`s.
fn batch() -> EventBatch {
    let mut batch = EventBatch::new(schema());
    let first = [
        Value::Int(7),
        Value::Long(3_000_000_000),
        Value::Float(1.5),
        Value::Double(2.25),
        "BTC".into(),
        Value::Bool(true),
        Value::Bytes(vec![0x61, 0xff]),
        Value::Timestamp(1_706_695_200_000_000),
        Value::Json(r#"{"s":"BTC","p":"1.50","q":2,"items":[{"id":1},{"id":2}],"none":null,"ok":true}"#.into()),
        "upper".into(),
    ];
    let second = [
        Value::Int(0),
        Value::Long(-1),
        Value::Float(0.0),
        Value::Double(0.0),
        "12".into(),
        Value::Bool(false),
        Value::Bytes(b"ab".to_vec()),
        Value::Timestamp(0),
        Value::Json("[1,2]".into()),
        "".into(),
    ];
    batch.push_row(&first, 1).unwrap();
    batch.push_row(&second, 2).unwrap();
    batch.push_row(&vec![Value::Null; 10], 3).unwrap();
    batch
}

fn compiled(expression: &str) -> Result<CompiledExpr, Vec<Diagnostic>> {
    compiled_with(expression, &EventFluxContext::new())
}

fn compiled_with(expression: &str, context: &EventFluxContext) -> Result<CompiledExpr, Vec<Diagnostic>> {
    let (file, expr) = parsed(expression);
    let schema = schema();
    compile(&expr, &Scope { file: &file, stream: "S", alias: None, schema: &schema, context })
}

/// The results over the rows of [`batch`], as SQL literals; `error: ...` where a row has none.
fn results(expression: &str) -> Vec<String> {
    let compiled = compiled(expression).unwrap_or_else(|mistakes| panic!("{expression}: {mistakes:#?}"));
    results_of(&compiled, &batch())
}

fn results_of(compiled: &CompiledExpr, batch: &EventBatch) -> Vec<String> {
    let mut errors = RowErrors::new();
    let column = compiled.evaluate(batch, Rows::All(batch.len()), &mut errors);
    assert_eq!(column.data_type(), compiled.data_type());
    assert_eq!(column.len(), batch.len());
    (0..batch.len())
        .map(|row| match errors.failures().iter().find(|failure| failure.row == row) {
            Some(failure) => {
                assert!(column.is_null(row));
                format!("error: {}", failure.error)
            }
            None => literal(column.value(row)),
        })
        .collect()
}

/// Asserts the results over the three rows of [`batch`].
#[track_caller]
fn check(expression: &str, expected: [&str; 3]) {
    assert_eq!(results(expression), expected, "{expression}");
}

/// Asserts the result of an expression without columns.
#[track_caller]
fn check_constant(expression: &str, expected: &str) {
    assert_eq!(results(expression)[0], expected, "{expression}");
}

/// Asserts the first mistake of an expression, with line and column of its place counted from the expression's start.
#[track_caller]
fn check_mistake(expression: &str, place: (usize, usize), message: &str) {
    let Err(mistakes) = compiled(expression) else {
        panic!("{expression} compiles");
    };
    check_diagnostic(expression, &mistakes[0], place, message);
}

#[track_caller]
fn check_diagnostic(expression: &str, mistake: &Diagnostic, place: (usize, usize), message: &str) {
    let (file, _) = parsed(expression);
    let position = file.position(mistake.span.unwrap().start);
    let column = if position.line == 1 { position.column - PREFIX.len() } else { position.column };
    assert_eq!((position.line, column), place, "{expression}: {mistake:?}");
    let text = format!("{} ({})", mistake.message, mistake.hint.as_deref().unwrap_or_default());
    assert!(text.contains(message), "{expression}: {text}");
}

/// A value as SQL writes it.
fn literal(value: ValueRef<'_>) -> String {
    let mut out = String::new();
    match value {
        ValueRef::Float(value) => return format!("{value:?}"),
        ValueRef::Double(value) => return format!("{value:?}"),
        ValueRef::String(value) => return format!("'{value}'"),
        ValueRef::Json(value) => return format!("JSON '{value}'"),
        ValueRef::Timestamp(value) => {
            text::write_timestamp(value, &mut out);
            return format!("TIMESTAMP '{out}'");
        }
        other => out.push_str(&text::shown(other)),
    }
    out
}

fn selected(expression: &str) -> (Vec<usize>, usize) {
    let (file, expr) = parsed(expression);
    let (schema, context) = (schema(), EventFluxContext::new());
    let scope = Scope { file: &file, stream: "S", alias: None, schema: &schema, context: &context };
    let compiled = compile_condition(&expr, &scope).unwrap_or_else(|mistakes| panic!("{expression}: {mistakes:#?}"));
    let (mut errors, mut rows) = (RowErrors::new(), Vec::new());
    compiled.select(&batch(), Rows::All(3), &mut errors, &mut rows);
    (rows, errors.failures().len())
}
