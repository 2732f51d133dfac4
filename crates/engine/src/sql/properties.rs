//! Lists of `key = value`, as they stand in `@source(...)`, `@sink(...)`, `@map(...)` and `WITH (...)`.

use std::collections::HashMap;

use sqlparser::tokenizer::Token as SqlToken;

use super::annotation::map_annotation;
use super::ast::{MapAnnotation, Property};
use super::cursor::Cursor;
use super::tokens::{Token, quoted};
use crate::diagnostic::{Diagnostic, Span};

/// What stands between a pair of parentheses.
pub(super) struct PropertyList {
    pub(super) properties: Vec<Property>,
    pub(super) map: Option<MapAnnotation>,
}

/// Reads `( item, ... )`. `owner` names the list in messages; `with_map` says whether `@map(...)` may be one of the items.
///
/// Every mistake inside the list is reported and passed over.
///
/// # Errors
/// When there is no list at all.
pub(super) fn property_list(
    cursor: &mut Cursor<'_>,
    owner: &str,
    with_map: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<PropertyList, Diagnostic> {
    cursor.expect(&SqlToken::LParen, &format!("`(` after {owner}"))?;
    let mut list = PropertyList { properties: Vec::new(), map: None };
    if cursor.eat(&SqlToken::RParen) {
        return Ok(list);
    }
    loop {
        if let Err(error) = item(cursor, owner, with_map, &mut list, diagnostics) {
            diagnostics.push(error);
            cursor.skip_until(|token| token.is(&SqlToken::Comma));
        }
        if cursor.eat(&SqlToken::Comma) {
            continue;
        }
        if cursor.eat(&SqlToken::RParen) {
            break;
        }
        let message = format!("expected `,` or `)` in {owner}, found {}", cursor.found());
        diagnostics.push(Diagnostic::error(cursor.here(), message));
        if !begins_item(cursor) {
            cursor.skip_until(|token| token.is(&SqlToken::Comma));
            if !cursor.eat(&SqlToken::Comma) {
                cursor.eat(&SqlToken::RParen);
                break;
            }
        }
    }
    list.properties = without_duplicates(list.properties, cursor, owner, diagnostics);
    Ok(list)
}

fn item(
    cursor: &mut Cursor<'_>,
    owner: &str,
    with_map: bool,
    list: &mut PropertyList,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    if !cursor.at(&SqlToken::AtSign) {
        list.properties.push(property(cursor, owner)?);
        return Ok(());
    }
    let start = cursor.here();
    let map = map_annotation(cursor, owner, with_map, diagnostics)?;
    if list.map.is_some() {
        let message = format!("{owner} has more than one `@map`");
        diagnostics.push(Diagnostic::error(start.to(cursor.previous()), message).with_hint("keep one of them"));
    } else {
        list.map = Some(map);
    }
    Ok(())
}

/// Whether a property seems to begin here: a comma was forgotten.
fn begins_item(cursor: &Cursor<'_>) -> bool {
    cursor.at(&SqlToken::AtSign)
        || cursor.peek().is_some_and(|token| matches!(token.sql.token, SqlToken::Word(_)))
            && cursor.peek_nth(1).is_some_and(|token| matches!(token.sql.token, SqlToken::Eq | SqlToken::Period))
}

fn property(cursor: &mut Cursor<'_>, owner: &str) -> Result<Property, Diagnostic> {
    let (key, key_span) = key(cursor, owner)?;
    if !cursor.eat(&SqlToken::Eq) {
        let message = format!("expected `=` after the property {}, found {}", quoted(&key), cursor.found());
        return Err(Diagnostic::error(cursor.here(), message));
    }
    let (value, value_span) = value(cursor, &key)?;
    Ok(Property { key, key_span, value, value_span })
}

fn key(cursor: &mut Cursor<'_>, owner: &str) -> Result<(String, Span), Diagnostic> {
    let expected = format!("a property in {owner}");
    let Some(token) = cursor.peek() else {
        return Err(cursor.unexpected(&expected));
    };
    let quoted_key = match &token.sql.token {
        SqlToken::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
        SqlToken::SingleQuotedString(text) => Some(text.clone()),
        SqlToken::Word(_) => None,
        SqlToken::RParen => return Err(cursor.unexpected(&expected).with_hint("remove the comma before it")),
        _ => return Err(cursor.unexpected(&expected)),
    };
    let (key, span) = match quoted_key {
        Some(key) => {
            cursor.position += 1;
            (key, token.span)
        }
        None => {
            let span = bare_run(cursor);
            (cursor.file.slice(span).to_owned(), span)
        }
    };
    if key.split('.').any(str::is_empty) {
        let message = format!("the property {} has an empty part between its dots", quoted(&key));
        return Err(Diagnostic::error(span, message));
    }
    Ok((key, span))
}

fn value(cursor: &mut Cursor<'_>, key: &str) -> Result<(String, Span), Diagnostic> {
    let expected = format!("a value for the property {}", quoted(key));
    let Some(token) = cursor.peek() else {
        return Err(cursor.unexpected(&expected));
    };
    match &token.sql.token {
        SqlToken::SingleQuotedString(text) => {
            cursor.position += 1;
            Ok((text.clone(), token.span))
        }
        SqlToken::Word(word) if word.quote_style.is_some() => {
            let message = format!("the value of the property {} is in double quotes", quoted(key));
            Err(Diagnostic::error(token.span, message)
                .with_hint("double quotes are for names; write the value in single quotes"))
        }
        SqlToken::Word(_) | SqlToken::Number(..) | SqlToken::Minus | SqlToken::Plus => {
            let span = bare_run(cursor);
            let ends_cleanly = cursor.at_end() || cursor.at(&SqlToken::Comma) || cursor.at(&SqlToken::RParen);
            if !ends_cleanly && cursor.here().start == span.end {
                let message = format!("the value of the property {} needs quotes", quoted(key));
                return Err(Diagnostic::error(span.to(cursor.here()), message)
                    .with_hint("only numbers and plain words may stand without; write it in single quotes"));
            }
            Ok((cursor.file.slice(span).to_owned(), span))
        }
        _ => Err(cursor.unexpected(&expected).with_hint("write the value in single quotes")),
    }
}

/// Takes the words, numbers, dots and dashes that touch each other: `websocket.headers.X-API-Key`, `-1`, `10s`.
fn bare_run(cursor: &mut Cursor<'_>) -> Span {
    let mut span = cursor.here();
    cursor.position += 1;
    while let Some(token) = cursor.peek()
        && token.span.start == span.end
        && is_bare(token)
    {
        span.end = token.span.end;
        cursor.position += 1;
    }
    span
}

fn is_bare(token: &Token) -> bool {
    match &token.sql.token {
        SqlToken::Word(word) => word.quote_style.is_none(),
        SqlToken::Number(..) | SqlToken::Period | SqlToken::Minus => true,
        _ => false,
    }
}

fn without_duplicates(
    properties: Vec<Property>,
    cursor: &Cursor<'_>,
    owner: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Property> {
    let mut seen: HashMap<String, Span> = HashMap::with_capacity(properties.len());
    let mut kept = Vec::with_capacity(properties.len());
    for property in properties {
        if let Some(first) = seen.get(&property.key) {
            let line = cursor.file.position(first.start).line;
            let message = format!("the property {} appears twice in {owner}", quoted(&property.key));
            diagnostics.push(
                Diagnostic::error(property.key_span, message)
                    .with_hint(format!("it is set on line {line} already; keep one of them")),
            );
        } else {
            seen.insert(property.key.clone(), property.key_span);
            kept.push(property);
        }
    }
    kept
}
