//! `CREATE STREAM`, with the annotations before it and the `WITH` behind it.

use std::collections::HashMap;

use sqlparser::tokenizer::Token as SqlToken;

use super::annotation::{annotations, with_clause};
use super::ast::{Annotation, ColumnDef, CreateStream, Ident};
use super::cursor::{Cursor, span_at, words_at};
use super::tokens::quoted;
use super::types::column_type;
use crate::diagnostic::{Diagnostic, Span, nearest};

/// Reads one stream from its first annotation or from `CREATE`.
///
/// Mistakes in columns and properties are all reported, and the stream is returned without them.
///
/// # Errors
/// When no stream can be made out.
pub(super) fn create_stream(
    cursor: &mut Cursor<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<CreateStream, Diagnostic> {
    let reported = diagnostics.len();
    let start = cursor.here();
    let mut annotations = annotations(cursor, diagnostics)?;
    create_words(cursor, &annotations)?;
    let name = cursor.name("the stream")?;
    if cursor.at_words(&["AS"]) {
        return Err(Diagnostic::error(cursor.here(), "CREATE STREAM … AS SELECT is not supported")
            .with_hint("declare the columns, then fill the stream with INSERT INTO … SELECT"));
    }
    let columns = columns(cursor, &name, diagnostics)?;
    if cursor.at_words(&["WITH"]) {
        with(cursor, &mut annotations, diagnostics)?;
    }
    let span = start.to(cursor.previous());
    Ok(CreateStream { name, columns, annotations, complete: diagnostics.len() == reported, span })
}

/// Takes `CREATE STREAM`.
fn create_words(cursor: &mut Cursor<'_>, annotations: &[Annotation]) -> Result<(), Diagnostic> {
    if !cursor.at_words(&["CREATE"]) {
        let error = cursor.unexpected("CREATE STREAM after the annotations");
        return Err(match annotations.last() {
            Some(last) if cursor.at_end() => Diagnostic::error(last.name_span, "this annotation belongs to no stream")
                .with_hint("a CREATE STREAM must follow it"),
            _ => error,
        });
    }
    let start = cursor.here();
    cursor.position += 1;
    if cursor.eat_words(&["STREAM"]) {
        if cursor.at_words(&["IF", "NOT", "EXISTS"]) {
            let span = cursor.here().to(span_at(cursor.tokens, cursor.position + 2));
            return Err(Diagnostic::error(span, "IF NOT EXISTS is not supported")
                .with_hint("a stream is declared exactly once in a file; leave it out"));
        }
        return Ok(());
    }
    let span = start.to(cursor.here());
    let refused = |message: &str, hint: &str| Err(Diagnostic::error(span, message).with_hint(hint));
    if cursor.at_words(&["OR", "REPLACE"]) {
        return refused("CREATE OR REPLACE is not supported", "write CREATE STREAM");
    }
    match cursor.peek().and_then(|token| token.word()) {
        Some(word) => {
            let message = format!("CREATE {} is not supported", word.to_uppercase());
            match nearest(word, ["STREAM"]) {
                Some(_) => refused(&message, "did you mean CREATE STREAM?"),
                None => refused(&message, "declare a stream: CREATE STREAM name (column TYPE, ...)"),
            }
        }
        None => Err(cursor.unexpected("STREAM after CREATE")),
    }
}

fn with(
    cursor: &mut Cursor<'_>,
    annotations: &mut Vec<Annotation>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let place = cursor.here();
    let had_annotations = !annotations.is_empty();
    match with_clause(cursor, diagnostics) {
        Ok(annotation) => annotations.push(annotation),
        Err(error) => diagnostics.push(error),
    }
    if had_annotations {
        diagnostics.push(
            Diagnostic::error(place, "this stream has annotations as well as WITH")
                .with_hint("write them all as @source(...) and @sink(...) before CREATE STREAM"),
        );
    }
    if cursor.at_words(&["WITH"]) {
        return Err(Diagnostic::error(cursor.here(), "this stream has more than one WITH")
            .with_hint("for several sources and sinks write @source(...) and @sink(...) before CREATE STREAM"));
    }
    Ok(())
}

fn columns(
    cursor: &mut Cursor<'_>,
    stream: &Ident,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<ColumnDef>, Diagnostic> {
    cursor.expect(&SqlToken::LParen, &format!("`(` and the columns of stream {}", quoted(&stream.name)))?;
    if cursor.at(&SqlToken::RParen) {
        let span = cursor.previous().to(cursor.here());
        diagnostics.push(
            Diagnostic::error(span, format!("stream {} has no columns", quoted(&stream.name)))
                .with_hint("a stream has at least one column: (name TYPE, ...)"),
        );
        cursor.position += 1;
        return Ok(Vec::new());
    }
    let mut columns = Vec::new();
    loop {
        match column(cursor, diagnostics) {
            Ok(column) => columns.push(column),
            Err(error) => diagnostics.push(error),
        }
        cursor.skip_until(|token| token.is(&SqlToken::Comma));
        if !cursor.eat(&SqlToken::Comma) {
            cursor.expect(&SqlToken::RParen, "`,` or `)` after a column")?;
            break;
        }
    }
    Ok(without_duplicates(columns, cursor, stream, diagnostics))
}

/// Reads one column. Constraints behind it are reported and passed over, without losing the column.
fn column(cursor: &mut Cursor<'_>, diagnostics: &mut Vec<Diagnostic>) -> Result<ColumnDef, Diagnostic> {
    if cursor.at(&SqlToken::RParen) {
        return Err(cursor.unexpected("a column").with_hint("remove the comma before it"));
    }
    if let Some(error) = table_constraint(cursor) {
        return Err(error);
    }
    let name = cursor.name("a column")?;
    let data_type = column_type(cursor, &name.name);
    let span = name.span.to(cursor.previous());
    if !cursor.at_end() && !cursor.at(&SqlToken::Comma) && !cursor.at(&SqlToken::RParen) && data_type.is_ok() {
        diagnostics.push(column_constraint(cursor, &name));
    }
    Ok(ColumnDef { data_type: data_type?, name, span })
}

/// What SQL allows in place of a column.
fn table_constraint(cursor: &Cursor<'_>) -> Option<Diagnostic> {
    const CONSTRAINTS: [(&[&str], &str); 6] = [
        (&["PRIMARY", "KEY"], "PRIMARY KEY"),
        (&["FOREIGN", "KEY"], "FOREIGN KEY"),
        (&["WATERMARK", "FOR"], "WATERMARK"),
        (&["CONSTRAINT"], "CONSTRAINT"),
        (&["UNIQUE"], "UNIQUE"),
        (&["CHECK"], "CHECK"),
    ];
    let (words, name) = CONSTRAINTS.iter().find(|(words, _)| cursor.at_words(words))?;
    // A single word may be a column's name; then a type follows.
    let is_name = words.len() == 1 && !cursor.peek_nth(1).is_some_and(|next| next.is(&SqlToken::LParen));
    if is_name && *name != "CONSTRAINT" {
        return None;
    }
    Some(
        Diagnostic::error(cursor.here(), format!("{name} is not supported"))
            .with_hint("streams have columns only, without constraints"),
    )
}

/// The complaint about what follows a column's type.
fn column_constraint(cursor: &Cursor<'_>, column: &Ident) -> Diagnostic {
    const CONSTRAINTS: [&[&str]; 14] = [
        &["NOT", "NULL"],
        &["PRIMARY", "KEY"],
        &["NULL"],
        &["DEFAULT"],
        &["UNIQUE"],
        &["CHECK"],
        &["REFERENCES"],
        &["COMMENT"],
        &["COLLATE"],
        &["GENERATED"],
        &["CONSTRAINT"],
        &["AS"],
        &["METADATA"],
        &["OPTIONS"],
    ];
    let column = quoted(&column.name);
    match CONSTRAINTS.iter().find(|words| words_at(cursor.tokens, cursor.position, words)) {
        Some(words) => {
            let span = cursor.tokens[cursor.position].span.to(cursor.tokens[cursor.position + words.len() - 1].span);
            Diagnostic::error(span, format!("{} on column {column} is not supported", words.join(" ")))
                .with_hint("a column has a name and a type only; filter or compute in a query")
        }
        None => cursor.unexpected(&format!("`,` or `)` after column {column}")),
    }
}

fn without_duplicates(
    columns: Vec<ColumnDef>,
    cursor: &Cursor<'_>,
    stream: &Ident,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<ColumnDef> {
    let mut seen: HashMap<String, Span> = HashMap::with_capacity(columns.len());
    let mut kept = Vec::with_capacity(columns.len());
    for column in columns {
        if let Some(first) = seen.get(&column.name.name) {
            let line = cursor.file.position(first.start).line;
            let message =
                format!("column {} appears twice in stream {}", quoted(&column.name.name), quoted(&stream.name));
            diagnostics.push(
                Diagnostic::error(column.name.span, message)
                    .with_hint(format!("it is declared on line {line} already")),
            );
        } else {
            seen.insert(column.name.name.clone(), column.name.span);
            kept.push(column);
        }
    }
    kept
}
