//! A syntax tree as SQL, for people to read and go on with.

use std::fmt::Write as _;

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value};

use crate::sql::{Annotation, AnnotationKind, CreateStream, Document, MapAnnotation, Property, Query, SelectItemKind};

/// The statements of `document`, one that [`super::lower`] made, which come to the same when they are read.
pub(super) fn sql(document: &Document) -> String {
    let streams = document.streams.iter().map(stream);
    let queries = document.queries.iter().map(query);
    streams.chain(queries).collect::<Vec<_>>().join("\n")
}

fn stream(stream: &CreateStream) -> String {
    let mut text = String::new();
    stream.annotations.iter().for_each(|annotation| self::annotation(annotation, &mut text));
    let columns: Vec<_> =
        stream.columns.iter().map(|column| format!("{} {}", name(&column.name.name), column.data_type)).collect();
    // Writing to a String does not fail.
    let _ = writeln!(text, "CREATE STREAM {} ({});", name(&stream.name.name), columns.join(", "));
    text
}

fn annotation(annotation: &Annotation, text: &mut String) {
    let word = match annotation.kind {
        AnnotationKind::Source => "source",
        AnnotationKind::Sink => "sink",
    };
    let mut items: Vec<_> = annotation.properties.iter().map(property).collect();
    items.extend(annotation.map.as_ref().map(map));
    let _ = writeln!(text, "@{word}(\n    {}\n)", items.join(",\n    "));
}

fn map(map: &MapAnnotation) -> String {
    format!("@map({})", map.properties.iter().map(property).collect::<Vec<_>>().join(", "))
}

fn property(property: &Property) -> String {
    format!("{}={}", key(&property.key), quoted(&property.value, '\''))
}

fn query(query: &Query) -> String {
    let items: Vec<_> = query
        .projection
        .iter()
        .map(|item| match &item.kind {
            SelectItemKind::Wildcard { qualifier: None } => "*".to_owned(),
            SelectItemKind::Wildcard { qualifier: Some(qualifier) } => format!("{}.*", name(&qualifier.name)),
            SelectItemKind::Expr { expr, alias: None } => expression(expr),
            SelectItemKind::Expr { expr, alias: Some(alias) } => {
                format!("{} AS {}", expression(expr), name(&alias.name))
            }
        })
        .collect();
    let mut text = format!("INSERT INTO {}\nSELECT {}\n", name(&query.into.name), items.join(", "));
    let _ = write!(text, "FROM {}", name(&query.from.name));
    if let Some(alias) = &query.alias {
        let _ = write!(text, " AS {}", name(&alias.name));
    }
    if let Some(predicate) = &query.predicate {
        let _ = write!(text, "\nWHERE {}", expression(predicate));
    }
    text.push_str(";\n");
    text
}

/// An expression. The parser's own way to print one leaves quotes in a text that look doubled as they are.
fn expression(expr: &Expr) -> String {
    match expr {
        Expr::Value(literal) => match &literal.value {
            Value::SingleQuotedString(text) => quoted(text, '\''),
            other => other.to_string(),
        },
        Expr::UnaryOp { op, expr } => format!("{op}{}", expression(expr)),
        Expr::BinaryOp { left, op, right } => format!("{} {op} {}", expression(left), expression(right)),
        Expr::IsNull(inner) => format!("{} IS NULL", expression(inner)),
        Expr::IsNotNull(inner) => format!("{} IS NOT NULL", expression(inner)),
        Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) => {
            let arguments: Vec<_> = list.args.iter().map(argument).collect();
            format!("{name}({})", arguments.join(", "))
        }
        other => other.to_string(),
    }
}

fn argument(argument: &FunctionArg) -> String {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => expression(expr),
        other => other.to_string(),
    }
}

/// A name, in quotes unless it is the one of the column, which needs none.
fn name(name: &str) -> String {
    if name == super::subjects::PAYLOAD { name.to_owned() } else { quoted(name, '"') }
}

/// A key of a property: words with points between them stand as they are.
fn key(key: &str) -> String {
    let plain = key.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    });
    if plain { key.to_owned() } else { quoted(key, '"') }
}

fn quoted(text: &str, quote: char) -> String {
    let doubled = text.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{doubled}{quote}")
}
