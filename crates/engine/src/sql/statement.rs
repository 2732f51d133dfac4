//! One statement: which kind it is, and what to say when it is none of ours.

use sqlparser::tokenizer::Token as SqlToken;

use super::ast::Document;
use super::cursor::Cursor;
use super::query::{CTE_HINT, CTE_MESSAGE, begins_statement, query};
use super::stream::create_stream;
use super::tokens::{Token, quoted, tokenize};
use crate::diagnostic::{Diagnostic, SourceFile, Span, nearest};

/// Reads the statement at `span`, and any that follow it without a `;` between.
///
/// # Errors
/// What makes the rest of `span` unreadable. Everything else that is wrong is added to `diagnostics`.
pub(super) fn statements(
    file: &SourceFile,
    span: Span,
    check_brackets_first: bool,
    document: &mut Document,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let tokens = tokenize(file, span)?;
    if check_brackets_first {
        check_brackets(&tokens)?;
    }
    let mut cursor = Cursor::new(file, &tokens);
    loop {
        statement(&mut cursor, document, diagnostics)?;
        if cursor.at_end() {
            return Ok(());
        }
        if !begins_statement(&cursor) {
            return Err(cursor.unexpected("`;`"));
        }
        diagnostics.push(missing_semicolon(cursor.previous().end));
    }
}

/// The complaint that a statement ends at `offset` without a `;`.
pub(super) fn missing_semicolon(offset: usize) -> Diagnostic {
    Diagnostic::error(Span::at(offset), "expected `;` at the end of this statement")
        .with_hint("another statement begins behind it")
}

fn statement(
    cursor: &mut Cursor<'_>,
    document: &mut Document,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    if cursor.at(&SqlToken::AtSign) || cursor.at_words(&["CREATE"]) {
        document.streams.push(create_stream(cursor, diagnostics)?);
    } else if cursor.at_words(&["INSERT"]) || cursor.at_words(&["SELECT"]) {
        document.queries.extend(query(cursor, diagnostics)?);
    } else {
        return Err(unknown_statement(cursor));
    }
    Ok(())
}

fn unknown_statement(cursor: &Cursor<'_>) -> Diagnostic {
    const EXPECTED: &str = "a statement: CREATE STREAM, INSERT INTO or SELECT";
    const OTHER_STATEMENTS: [&str; 25] = [
        "ALTER", "ANALYZE", "BEGIN", "CALL", "COMMIT", "COPY", "DEFINE", "DELETE", "DESCRIBE", "DROP", "EXECUTE",
        "EXPLAIN", "GRANT", "IMPORT", "LOAD", "MERGE", "REPLACE", "REVOKE", "ROLLBACK", "SET", "SHOW", "START",
        "TRUNCATE", "UPDATE", "USE",
    ];
    let Some(word) = cursor.peek().and_then(|token| token.word()) else {
        return cursor.unexpected(EXPECTED);
    };
    if cursor.at_words(&["WITH"]) {
        return Diagnostic::error(cursor.here(), CTE_MESSAGE).with_hint(CTE_HINT);
    }
    if cursor.at_words(&["FROM"]) {
        return Diagnostic::error(cursor.here(), "a query does not begin with FROM")
            .with_hint("write SELECT … FROM … INSERT INTO …");
    }
    if OTHER_STATEMENTS.iter().any(|statement| cursor.at_words(&[statement])) {
        return Diagnostic::error(cursor.here(), format!("{} is not supported", word.to_uppercase()))
            .with_hint("a file holds CREATE STREAM, INSERT INTO … SELECT and SELECT … INSERT INTO");
    }
    let error = cursor.unexpected(EXPECTED);
    match nearest(word, ["CREATE", "INSERT", "SELECT"]) {
        Some(statement) => error.with_hint(format!("did you mean {statement}?")),
        None if word.eq_ignore_ascii_case("source") || word.eq_ignore_ascii_case("sink") => {
            error.with_hint(format!("did you mean @{word}?"))
        }
        None => error,
    }
}

/// Finds the bracket that is never closed, never opened, or closed by another kind.
fn check_brackets(tokens: &[Token]) -> Result<(), Diagnostic> {
    let mut open: Vec<&Token> = Vec::new();
    for token in tokens {
        let opening = match &token.sql.token {
            SqlToken::LParen | SqlToken::LBracket | SqlToken::LBrace => {
                open.push(token);
                continue;
            }
            SqlToken::RParen => SqlToken::LParen,
            SqlToken::RBracket => SqlToken::LBracket,
            SqlToken::RBrace => SqlToken::LBrace,
            _ => continue,
        };
        match open.pop() {
            Some(opener) if opener.is(&opening) => {}
            Some(opener) => return Err(never_closed(opener)),
            None => {
                let message = format!("{} closes nothing", quoted(&token.sql.token.to_string()));
                return Err(Diagnostic::error(token.span, message).with_hint("remove it, or open it where it belongs"));
            }
        }
    }
    open.pop().map_or(Ok(()), |opener| Err(never_closed(opener)))
}

fn never_closed(opener: &Token) -> Diagnostic {
    let closing = match &opener.sql.token {
        SqlToken::LBracket => "]",
        SqlToken::LBrace => "}",
        _ => ")",
    };
    Diagnostic::error(opener.span, format!("{} is never closed", opener.describe()))
        .with_hint(format!("a `{closing}` is missing before the end of the statement"))
}
