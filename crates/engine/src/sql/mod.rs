//! The text of one SQL file, turned into a syntax tree or into everything that is wrong with it.
//!
//! This is syntax only: no stream is looked up, no property has a meaning, no type is checked. The tokens and the
//! expressions are read by the `sqlparser` crate, the statements by this module. Names of streams and columns are
//! case-sensitive, the words of SQL are not.
//!
//! ```text
//! file        = { [ statement ] ";" } [ statement ]
//! statement   = stream | query
//!
//! stream      = { annotation } "CREATE" "STREAM" name "(" column { "," column } ")" [ with ]
//! column      = name type
//! type        = "STRING" | "INT" | "BIGINT" | "LONG" | "FLOAT" | "DOUBLE" | "BOOL" | "BOOLEAN"
//!             | "BYTES" | "TIMESTAMP" | "JSON"
//! annotation  = ( "@source" | "@sink" ) "(" [ item { "," item } ] ")"
//! item        = property | "@map" "(" [ property { "," property } ] ")"           (one @map at most)
//! with        = "WITH" "(" property { "," property } ")"                          (not together with annotations)
//! property    = key "=" value
//! key         = part { "." part } | quoted | string      (parts of letters, digits, "_" and "-", without spaces)
//! value       = string | [ "-" | "+" ] number | word     (a word may hold "." and "-", and may begin with digits)
//!
//! query       = "INSERT" "INTO" name select | select "INSERT" "INTO" name
//! select      = "SELECT" select-item { "," select-item } "FROM" name [ "AS" name ] [ "WHERE" expression ]
//! select-item = "*" | name "." "*" | expression [ "AS" name ]
//!
//! name        = letter-or-underscore { letter | digit | "_" } | quoted
//! quoted      = '"' … '"'                                (a double quote inside is doubled)
//! string      = "'" … "'"                                (a single quote inside is doubled)
//! comment     = "--" … end of line | "/*" … "*/"         (nested)
//! ```
//!
//! In `WITH`, `type` says whether the stream has a source or a sink, `extension` is the `type` of the annotation it stands
//! for, `format` the `type` of its map, and keys that begin with the format's name belong to the map.
//!
//! Expressions are those of standard SQL, with `value::TYPE`, `json.field`, `json->'field'`, `json->>'field'` and
//! `list[0]`. From tight to loose: `.` and `[]`; `->` and `->>`; `::`; `-` and `+` before a value; `*`, `/`, `%`; `+`, `-`;
//! `||`; comparison, `BETWEEN`, `IN`, `LIKE`; `IS`; `NOT`; `AND`; `OR`.
//!
//! Everything else is refused where it stands. After a mistake reading goes on with the next statement, and inside lists
//! of columns, properties and select items with the next item. All input is bounded, see [`MAX_FILE_BYTES`],
//! [`MAX_STATEMENT_BYTES`], [`MAX_STATEMENTS`], [`MAX_EXPRESSION_DEPTH`] and [`MAX_DIAGNOSTICS`].

mod annotation;
mod ast;
mod cursor;
mod dialect;
mod expression;
mod limits;
mod properties;
mod query;
mod refuse;
mod span;
mod split;
mod statement;
mod stream;
mod tokens;
mod types;

#[cfg(test)]
mod tests;

pub use ast::{
    Annotation, AnnotationKind, ColumnDef, CreateStream, Document, Ident, MapAnnotation, Property, Query, SelectItem,
    SelectItemKind, Spelling,
};
pub use limits::{MAX_DIAGNOSTICS, MAX_EXPRESSION_DEPTH, MAX_FILE_BYTES, MAX_STATEMENT_BYTES, MAX_STATEMENTS};
pub use span::{span_of_expr, span_of_part};

use limits::MAX_RESTARTS;
use split::{Chunk, Splitter, Suspect};
use statement::{missing_semicolon, statements};

use crate::diagnostic::{Diagnostic, SourceFile, Span};

/// Reads a whole file. The diagnostics, in the order of the file, are all that is wrong with its syntax; without any,
/// the document is complete.
pub fn parse(file: &SourceFile) -> (Document, Vec<Diagnostic>) {
    let mut document = Document::default();
    let mut diagnostics = Vec::new();
    if file.text().len() > MAX_FILE_BYTES {
        let message = format!("this file is larger than {} KiB", MAX_FILE_BYTES / 1024);
        diagnostics.push(Diagnostic::whole_file(message).with_hint("split it into several files"));
        return (document, diagnostics);
    }
    read_statements(file, &mut document, &mut diagnostics);
    diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    document.complete = diagnostics.is_empty();
    (document, diagnostics)
}

fn read_statements(file: &SourceFile, document: &mut Document, diagnostics: &mut Vec<Diagnostic>) {
    let mut splitter = Splitter::new(file.text());
    let mut statements = 0_usize;
    let mut restarts = 0_usize;
    while let Some(chunk) = splitter.next_chunk() {
        let start = Span::at(chunk.span.start);
        statements += 1;
        if statements > MAX_STATEMENTS {
            let message = format!("this file has more than {MAX_STATEMENTS} statements");
            diagnostics.push(Diagnostic::error(start, message).with_hint("split it into several files"));
            return;
        }
        let was_unclosed = chunk.problem.is_some();
        let restart = read_chunk(file, chunk, document, diagnostics);
        if let Some(position) = restart {
            splitter.restart(position);
        }
        restarts += usize::from(restart.is_some() || was_unclosed);
        if diagnostics.len() > MAX_DIAGNOSTICS || restarts > MAX_RESTARTS {
            diagnostics.truncate(MAX_DIAGNOSTICS);
            let message = "there are too many mistakes to go on from here";
            diagnostics.push(Diagnostic::error(start, message).with_hint("correct those above first"));
            return;
        }
    }
}

/// Reads one chunk. Returns where reading must start again when a string in it seems not to be closed.
fn read_chunk(
    file: &SourceFile,
    chunk: Chunk,
    document: &mut Document,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<usize> {
    if let Some(problem) = chunk.problem {
        diagnostics.push(problem);
        return None;
    }
    let mut part = Document::default();
    let mut found = Vec::new();
    if let Err(error) = statements(file, chunk.span, chunk.suspect.is_none(), &mut part, &mut found) {
        found.push(error);
    }
    if let Some(suspect) = chunk.suspect
        && !found.is_empty()
    {
        diagnostics.push(blame_string(suspect, found));
        return Some(suspect.resume);
    }
    if chunk.missing_semicolon && found.is_empty() {
        found.push(missing_semicolon(chunk.span.end));
    }
    document.streams.append(&mut part.streams);
    document.queries.append(&mut part.queries);
    diagnostics.append(&mut found);
    None
}

/// What to say of a statement whose strings are in disorder: the first mistake if it comes before the string that is too
/// long, the string itself otherwise.
fn blame_string(suspect: Suspect, mut found: Vec<Diagnostic>) -> Diagnostic {
    found
        .drain(..)
        .next()
        .filter(|first| first.span.is_some_and(|span| span.start < suspect.string))
        .map_or_else(|| suspect.blame(), |first| first.with_hint("a single quote seems to be missing here or before"))
}
