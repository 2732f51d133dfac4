//! Expressions: handed to the expression parser, after checks that keep it from harm and from reading what we refuse.

use std::ops::Range;

use sqlparser::ast::Expr;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token as SqlToken};

use super::cursor::{Cursor, span_at};
use super::dialect::EventFluxDialect;
use super::limits::{MAX_EXPRESSION_DEPTH, PARSER_RECURSION_LIMIT, expression_depth};
use super::refuse::check_expression;
use super::tokens::Token;
use crate::diagnostic::{Diagnostic, Position, Span};

/// Reads the tokens of `range`, all of them, as one expression.
///
/// # Errors
/// What is wrong with it, at its place.
pub(super) fn expression(cursor: &Cursor<'_>, range: Range<usize>) -> Result<Expr, Diagnostic> {
    let tokens = &cursor.tokens[range.clone()];
    if tokens.is_empty() {
        let found = found_at(cursor, range.end);
        return Err(Diagnostic::error(
            span_at(cursor.tokens, range.end),
            format!("expected an expression, found {found}"),
        ));
    }
    check_expression(tokens)?;
    if expression_depth(tokens) > MAX_EXPRESSION_DEPTH {
        let message = format!("this expression is too deep: more than {MAX_EXPRESSION_DEPTH} operators and brackets");
        return Err(Diagnostic::error(tokens[0].span, message)
            .with_label("begins here")
            .with_hint("use IN for long lists of alternatives, or split the work over several queries"));
    }
    let sql_tokens = tokens.iter().map(|token| token.sql.clone()).collect();
    let mut parser = Parser::new(&EventFluxDialect)
        .with_recursion_limit(PARSER_RECURSION_LIMIT)
        .with_tokens_with_locations(sql_tokens);
    let expr = parser.parse_expr().map_err(|error| explain(&error, cursor, range.clone()))?;
    let rest = parser.peek_token_ref();
    if rest.token == SqlToken::EOF {
        Ok(expr)
    } else {
        let index = index_at(cursor.tokens, range, rest.span.start);
        Err(leftover(cursor, index))
    }
}

/// The complaint about a token behind a complete expression.
fn leftover(cursor: &Cursor<'_>, index: usize) -> Diagnostic {
    let error = Diagnostic::error(
        span_at(cursor.tokens, index),
        format!("unexpected {} after an expression", found_at(cursor, index)),
    );
    match cursor.tokens.get(index).map(|token| &token.sql.token) {
        Some(SqlToken::Word(_)) => {
            error.with_hint("an operator or a comma may be missing; a name for the result is written with AS")
        }
        Some(SqlToken::SingleQuotedString(_)) => {
            error.with_hint("an operator or a comma may be missing; inside a string a single quote is doubled: ''")
        }
        _ => error,
    }
}

/// The expression parser's error in our words, at its place.
fn explain(error: &ParserError, cursor: &Cursor<'_>, range: Range<usize>) -> Diagnostic {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            let span = cursor.tokens[range.start].span;
            return Diagnostic::error(span, "this expression is too deep").with_label("begins here");
        }
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.as_str(),
    };
    let (text, location) = split_location(text);
    let index = location.map_or(range.end, |location| index_at(cursor.tokens, range, location));
    let span = match (cursor.tokens.get(index), location) {
        (None, Some(location)) => Span::at(cursor.file.offset(position(location))),
        _ => span_at(cursor.tokens, index),
    };
    let message = match text.strip_prefix("Expected: ").and_then(|text| text.rsplit_once(", found: ")) {
        Some((expected, _)) => format!("expected {}, found {}", wanted(expected), found_at(cursor, index)),
        None if text.starts_with("No infix parser for token") => {
            format!("{} is not supported here", found_at(cursor, index))
        }
        None => lower_first(text),
    };
    Diagnostic::error(span, message)
}

/// What the expression parser expected, in the form our messages have.
fn wanted(expected: &str) -> String {
    let is_literal =
        !expected.contains(' ') && expected.chars().all(|c| c.is_ascii_uppercase() || !c.is_alphanumeric());
    if is_literal { format!("`{expected}`") } else { expected.to_owned() }
}

/// Splits `text at Line: 3, Column: 7`, the form in which the expression parser reports places.
fn split_location(text: &str) -> (&str, Option<Location>) {
    let split = || {
        let (text, place) = text.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        Some((text, Location::new(line.parse().ok()?, column.parse().ok()?)))
    };
    split().map_or((text, None), |(text, location)| (text, Some(location)))
}

/// The index of the token at that place, or of the one behind it.
fn index_at(tokens: &[Token], range: Range<usize>, location: Location) -> usize {
    range.start + tokens[range].partition_point(|token| token.sql.span.start < location)
}

fn found_at(cursor: &Cursor<'_>, index: usize) -> String {
    cursor.tokens.get(index).map_or_else(|| "the end of the statement".to_owned(), Token::describe)
}

fn position(location: Location) -> Position {
    Position { line: location.line as usize, column: location.column as usize }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().collect::<String>() + characters.as_str()).unwrap_or_default()
}
