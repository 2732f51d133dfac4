//! Queries: `INSERT INTO … SELECT … FROM …` and `SELECT … FROM … INSERT INTO …`.

use std::ops::Range;

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token as SqlToken;

use super::ast::{Ident, Query, SelectItem, SelectItemKind};
use super::cursor::{Cursor, find_outside_brackets, span_at, words_at};
use super::expression::expression;
use super::refuse::Clause;
use super::tokens::{Token, quoted};
use crate::diagnostic::{Diagnostic, nearest};

/// Reads one query from its `INSERT` or `SELECT`.
///
/// All mistakes of its parts are reported; a query with one is not returned.
///
/// # Errors
/// When the query's shape cannot be made out.
pub(super) fn query(cursor: &mut Cursor<'_>, diagnostics: &mut Vec<Diagnostic>) -> Result<Option<Query>, Diagnostic> {
    let reported = diagnostics.len();
    let start = cursor.here();
    let into = if cursor.at_words(&["INSERT"]) { Some(insert_into(cursor)?) } else { None };
    select_word(cursor)?;
    let projection = projection(cursor, diagnostics)?;
    let (from, alias) = from(cursor)?;
    let mut tail = Tail { into, predicate: None, refused: Vec::new() };
    tail.read(cursor, diagnostics)?;
    let span = start.to(cursor.previous());
    let Some(into) = tail.into else {
        return Err(Diagnostic::error(start, "this SELECT has no target").with_hint(
            "say which stream receives the results: INSERT INTO name before SELECT or at the end of the query",
        ));
    };
    if diagnostics.len() > reported {
        return Ok(None);
    }
    Ok(Some(Query { into, from, alias, projection, predicate: tail.predicate, span }))
}

/// Reads `INSERT INTO name`.
fn insert_into(cursor: &mut Cursor<'_>) -> Result<Ident, Diagnostic> {
    cursor.position += 1;
    if !cursor.eat_words(&["INTO"]) {
        return Err(cursor.unexpected("INTO after INSERT"));
    }
    let name = cursor.name("the stream to insert into")?;
    if cursor.at(&SqlToken::LParen) {
        return Err(Diagnostic::error(cursor.here(), "a column list after INSERT INTO is not supported")
            .with_hint("results go to the columns of the same name: give each one its name with AS in the SELECT"));
    }
    Ok(name)
}

/// Takes `SELECT` and refuses what may stand between it and the first item elsewhere.
fn select_word(cursor: &mut Cursor<'_>) -> Result<(), Diagnostic> {
    let refuse =
        |cursor: &Cursor<'_>, message: &str, hint: &str| Err(Diagnostic::error(cursor.here(), message).with_hint(hint));
    if cursor.at_words(&["VALUES"]) {
        return refuse(cursor, "INSERT … VALUES is not supported", "events come from sources; read one with SELECT");
    }
    if cursor.at_words(&["WITH"]) {
        return refuse(cursor, CTE_MESSAGE, CTE_HINT);
    }
    if !cursor.eat_words(&["SELECT"]) {
        return Err(cursor.unexpected("SELECT"));
    }
    if cursor.at_words(&["DISTINCT"]) {
        return refuse(cursor, "SELECT DISTINCT is not supported", "a query handles each event by itself");
    }
    let next = cursor.peek_nth(1).map(|token| &token.sql.token);
    if cursor.at_words(&["ALL"]) && !matches!(next, Some(SqlToken::Comma | SqlToken::Period) | None) {
        return refuse(cursor, "SELECT ALL is not supported", "leave out ALL: every event is selected anyway");
    }
    if cursor.at_words(&["TOP"]) && matches!(next, Some(SqlToken::Number(..) | SqlToken::LParen)) {
        return refuse(
            cursor,
            "SELECT TOP is not supported",
            "a stream has no end, so its events cannot be counted off",
        );
    }
    Ok(())
}

pub(super) const CTE_MESSAGE: &str = "WITH before SELECT is not supported";
pub(super) const CTE_HINT: &str = "write the inner query as its own INSERT INTO … SELECT and read that stream";

/// Reads the items up to `FROM`, and takes `FROM`.
fn projection(cursor: &mut Cursor<'_>, diagnostics: &mut Vec<Diagnostic>) -> Result<Vec<SelectItem>, Diagnostic> {
    let mut items = Vec::new();
    loop {
        let start = cursor.position;
        let end = find_outside_brackets(cursor.tokens, start, |index| ends_item(cursor.tokens, index));
        match select_item(cursor, start..end) {
            Ok(item) => items.push(item),
            Err(error) => diagnostics.push(error),
        }
        cursor.position = end;
        if !cursor.eat(&SqlToken::Comma) {
            break;
        }
    }
    if cursor.eat_words(&["FROM"]) {
        return Ok(items);
    }
    Err(cursor.unexpected("FROM and the stream to read"))
}

fn ends_item(tokens: &[Token], index: usize) -> bool {
    tokens[index].is(&SqlToken::Comma) || is_from(tokens, index) || ends_select(tokens, index)
}

/// Whether this is the `FROM` of a query, not that of `IS [NOT] DISTINCT FROM`.
fn is_from(tokens: &[Token], index: usize) -> bool {
    let before = |distance: usize, word: &str| index.checked_sub(distance).is_some_and(|i| tokens[i].is_word(word));
    let is_comparison = before(1, "DISTINCT") && (before(2, "IS") || before(2, "NOT") && before(3, "IS"));
    tokens[index].is_word("FROM") && !is_comparison
}

/// Whether a part of the query other than a refused clause begins here.
fn ends_select(tokens: &[Token], index: usize) -> bool {
    tokens[index].is_word("WHERE")
        || tokens[index].is_word("SELECT")
        || words_at(tokens, index, &["INSERT", "INTO"])
        || words_at(tokens, index, &["CREATE", "STREAM"])
}

fn select_item(cursor: &Cursor<'_>, range: Range<usize>) -> Result<SelectItem, Diagnostic> {
    let tokens = &cursor.tokens[range.clone()];
    let Some(last) = tokens.last() else {
        return Err(expression(cursor, range).err().unwrap_or_else(|| cursor.unexpected("an expression")));
    };
    let span = tokens[0].span.to(last.span);
    if let Some((qualifier, length)) = wildcard(tokens) {
        if tokens.len() > length {
            let message = format!("{} cannot follow `*`", tokens[length].describe());
            return Err(
                Diagnostic::error(tokens[length].span, message).with_hint("list the columns you want instead of `*`")
            );
        }
        return Ok(SelectItem { kind: SelectItemKind::Wildcard { qualifier }, span });
    }
    let as_word = find_outside_brackets(&cursor.tokens[..range.end], range.start, |i| cursor.tokens[i].is_word("AS"));
    let expr = Box::new(expression(cursor, range.start..as_word)?);
    let alias = if as_word < range.end { Some(alias(cursor, as_word + 1..range.end)?) } else { None };
    Ok(SelectItem { kind: SelectItemKind::Expr { expr, alias }, span })
}

/// `*` or `name.*` at the start of `tokens`, and the number of its tokens.
fn wildcard(tokens: &[Token]) -> Option<(Option<Ident>, usize)> {
    match tokens {
        [star, ..] if star.is(&SqlToken::Mul) => Some((None, 1)),
        [name, dot, star, ..] if dot.is(&SqlToken::Period) && star.is(&SqlToken::Mul) => match &name.sql.token {
            SqlToken::Word(word) => Some((Some(Ident { name: word.value.clone(), span: name.span }), 3)),
            _ => None,
        },
        _ => None,
    }
}

/// The name behind `AS`, which must end the item.
fn alias(cursor: &Cursor<'_>, range: Range<usize>) -> Result<Ident, Diagnostic> {
    let mut inner = Cursor { position: range.start, ..*cursor };
    let name = inner.name("the result column after AS")?;
    if inner.position == range.end { Ok(name) } else { Err(inner.unexpected("`,` or FROM")) }
}

/// Reads the stream behind `FROM` and its alias.
fn from(cursor: &mut Cursor<'_>) -> Result<(Ident, Option<Ident>), Diagnostic> {
    if cursor.at(&SqlToken::LParen) {
        return Err(Diagnostic::error(cursor.here(), "sub-queries are not supported").with_hint(CTE_HINT));
    }
    let name = cursor.name("the stream to read")?;
    if cursor.at(&SqlToken::LParen) {
        let message = format!("{} is read like a function: table functions are not supported", quoted(&name.name));
        return Err(Diagnostic::error(cursor.here(), message).with_hint("write the name of a stream"));
    }
    let alias = if cursor.eat_words(&["AS"]) { Some(cursor.name("the alias after AS")?) } else { None };
    Ok((name, alias))
}

/// What follows the stream that is read.
struct Tail {
    into: Option<Ident>,
    predicate: Option<Expr>,
    /// Messages of the clauses refused so far: each is said once for a query.
    refused: Vec<Diagnostic>,
}

impl Tail {
    fn read(&mut self, cursor: &mut Cursor<'_>, diagnostics: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
        let mut has_where = false;
        while !cursor.at_end() {
            if cursor.at_words(&["WHERE"]) {
                if has_where {
                    return Err(Diagnostic::error(cursor.here(), "this query has more than one WHERE")
                        .with_hint("combine the conditions with AND"));
                }
                has_where = true;
                self.read_where(cursor, diagnostics);
            } else if cursor.at_words(&["INSERT", "INTO"]) {
                if self.into.is_some() {
                    return second_target(cursor);
                }
                self.into = Some(insert_into(cursor)?);
            } else if let Some(clause) = Clause::at(cursor.tokens, cursor.position) {
                self.refuse(clause, cursor, diagnostics);
            } else if cursor.at(&SqlToken::Comma) {
                diagnostics.push(
                    Diagnostic::error(cursor.here(), "reading several streams at once is not supported").with_hint(
                        "a query reads one stream; to merge streams, INSERT INTO the same stream from several queries",
                    ),
                );
                skip_clause(cursor);
            } else if begins_statement(cursor) {
                return Ok(());
            } else {
                return Err(self.unknown(cursor, has_where));
            }
        }
        Ok(())
    }

    fn read_where(&mut self, cursor: &mut Cursor<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let start = cursor.position + 1;
        let end = find_outside_brackets(cursor.tokens, start, |index| ends_clause(cursor.tokens, index));
        match expression(cursor, start..end) {
            Ok(predicate) => self.predicate = Some(predicate),
            Err(error) => diagnostics.push(error),
        }
        cursor.position = end;
    }

    fn refuse(&mut self, clause: &Clause, cursor: &mut Cursor<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let error = clause.refuse(cursor.tokens, cursor.position);
        if !self.refused.iter().any(|earlier| earlier.message == error.message) {
            self.refused.push(error.clone());
            diagnostics.push(error);
        }
        skip_clause(cursor);
    }

    /// The complaint about a token no clause begins with.
    fn unknown(&self, cursor: &Cursor<'_>, has_where: bool) -> Diagnostic {
        let expected = match (has_where, self.into.is_some()) {
            (false, false) => "WHERE or INSERT INTO",
            (false, true) => "WHERE or `;`",
            (true, false) => "INSERT INTO",
            (true, true) => "`;`",
        };
        let error = cursor.unexpected(expected);
        let Some(word) = cursor.peek().and_then(|token| token.word()) else {
            return error;
        };
        let clauses = ["WHERE", "INSERT"].into_iter().chain(Clause::first_words());
        match nearest(word, clauses) {
            Some(clause) => error.with_hint(format!("did you mean {clause}?")),
            None if !has_where => error.with_hint(format!("to give the stream another name, write AS {word}")),
            None => error,
        }
    }
}

/// A second `INSERT INTO`: of this query, or of one whose `;` before it is missing.
fn second_target(cursor: &Cursor<'_>) -> Result<(), Diagnostic> {
    let is_next_statement = cursor.peek_nth(3).is_some_and(|token| token.is_word("SELECT"));
    if is_next_statement {
        return Ok(());
    }
    let span = cursor.here().to(span_at(cursor.tokens, cursor.position + 1));
    Err(Diagnostic::error(span, "this query has more than one target")
        .with_hint("write one query for each stream that receives the results"))
}

/// Whether the next tokens begin another statement.
pub(super) fn begins_statement(cursor: &Cursor<'_>) -> bool {
    cursor.at(&SqlToken::AtSign)
        || cursor.at_words(&["CREATE"])
        || cursor.at_words(&["SELECT"])
        || cursor.at_words(&["INSERT", "INTO"])
}

/// Moves from the first word of a clause to the next part of the query.
fn skip_clause(cursor: &mut Cursor<'_>) {
    let tokens = cursor.tokens;
    let is_set_operation = ["UNION", "INTERSECT", "EXCEPT", "MINUS"].iter().any(|word| cursor.at_words(&[word]));
    cursor.position = if is_set_operation {
        tokens.len()
    } else {
        find_outside_brackets(tokens, cursor.position + 1, |index| ends_clause(tokens, index))
    };
}

fn ends_clause(tokens: &[Token], index: usize) -> bool {
    ends_select(tokens, index) || is_from(tokens, index) || Clause::at(tokens, index).is_some()
}
