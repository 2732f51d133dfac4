//! What standard SQL has and we do not: each is refused where it stands, with a way out.

use sqlparser::tokenizer::Token as SqlToken;

use super::cursor::{span_at, words_at};
use super::dialect::is_never_operand;
use super::tokens::{Token, quoted};
use crate::diagnostic::{Diagnostic, Span};

/// A clause that may follow in other systems, but not here.
pub(super) struct Clause {
    words: &'static [&'static str],
    message: &'static str,
    hint: &'static str,
}

const NO_AGGREGATES: &str = "aggregation is not supported; a query handles each event by itself";
const NO_JOINS: &str = "a query reads one stream; to merge streams, INSERT INTO the same stream from several queries";
const NO_ORDER: &str = "a stream has no end, so its events can be neither sorted nor counted off; leave it out";
const NO_SETS: &str = "to merge streams, INSERT INTO the same stream from several queries";
const NO_WINDOWS: &str = "windows are not supported; a query handles each event by itself";

const fn clause(words: &'static [&'static str], message: &'static str, hint: &'static str) -> Clause {
    Clause { words, message, hint }
}

const CLAUSES: [Clause; 34] = [
    clause(&["GROUP", "BY"], "GROUP BY is not supported", NO_AGGREGATES),
    clause(&["ORDER", "BY"], "ORDER BY is not supported", NO_ORDER),
    clause(&["SORT", "BY"], "SORT BY is not supported", NO_ORDER),
    clause(&["CLUSTER", "BY"], "CLUSTER BY is not supported", NO_ORDER),
    clause(&["DISTRIBUTE", "BY"], "DISTRIBUTE BY is not supported", NO_ORDER),
    clause(&["PARTITION", "BY"], "PARTITION BY is not supported", "a query handles each event by itself"),
    clause(&["HAVING"], "HAVING is not supported", NO_AGGREGATES),
    clause(&["QUALIFY"], "QUALIFY is not supported", NO_WINDOWS),
    clause(&["WINDOW"], "WINDOW is not supported", NO_WINDOWS),
    clause(&["LIMIT"], "LIMIT is not supported", NO_ORDER),
    clause(&["OFFSET"], "OFFSET is not supported", NO_ORDER),
    clause(&["FETCH"], "FETCH is not supported", NO_ORDER),
    clause(&["UNION"], "UNION is not supported", NO_SETS),
    clause(&["INTERSECT"], "INTERSECT is not supported", NO_SETS),
    clause(&["EXCEPT"], "EXCEPT is not supported", NO_SETS),
    clause(&["MINUS"], "MINUS is not supported", NO_SETS),
    clause(&["JOIN"], "joins are not supported", NO_JOINS),
    clause(&["INNER"], "joins are not supported", NO_JOINS),
    clause(&["LEFT"], "joins are not supported", NO_JOINS),
    clause(&["RIGHT"], "joins are not supported", NO_JOINS),
    clause(&["FULL"], "joins are not supported", NO_JOINS),
    clause(&["CROSS"], "joins are not supported", NO_JOINS),
    clause(&["NATURAL"], "joins are not supported", NO_JOINS),
    clause(&["ASOF"], "joins are not supported", NO_JOINS),
    clause(&["UNIDIRECTIONAL"], "joins are not supported", NO_JOINS),
    clause(&["LATERAL"], "LATERAL is not supported", NO_JOINS),
    clause(&["TABLESAMPLE"], "TABLESAMPLE is not supported", "filter with WHERE"),
    clause(&["MATCH_RECOGNIZE"], "MATCH_RECOGNIZE is not supported", "patterns over several events are not supported"),
    clause(&["WITHIN"], "WITHIN is not supported", NO_WINDOWS),
    clause(&["EMIT"], "EMIT is not supported", "results are sent as soon as their event has come; leave it out"),
    clause(&["OUTPUT"], "OUTPUT is not supported", "results are sent as soon as their event has come; leave it out"),
    clause(&["FOR"], "FOR is not supported", "leave it out"),
    clause(&["ON", "CONFLICT"], "ON CONFLICT is not supported", "a stream has no keys; leave it out"),
    clause(&["RETURNING"], "RETURNING is not supported", "leave it out"),
];

impl Clause {
    /// The clause that begins at `index`, if the token before it can end what comes before a clause.
    pub(super) fn at(tokens: &[Token], index: usize) -> Option<&'static Self> {
        let after_operand = index.checked_sub(1).is_none_or(|before| ends_operand(&tokens[before]));
        CLAUSES.iter().find(|clause| (after_operand || clause.words.len() > 1) && words_at(tokens, index, clause.words))
    }

    /// The complaint about this clause at `index`.
    pub(super) fn refuse(&self, tokens: &[Token], index: usize) -> Diagnostic {
        let span = tokens[index].span.to(span_at(tokens, index + self.words.len() - 1));
        Diagnostic::error(span, self.message).with_hint(self.hint)
    }

    /// The first words of all clauses, for suggestions.
    pub(super) fn first_words() -> impl Iterator<Item = &'static str> {
        CLAUSES.iter().map(|clause| clause.words[0])
    }
}

/// Whether an operand may end with this token, so that a word behind it is no operand.
fn ends_operand(token: &Token) -> bool {
    match &token.sql.token {
        SqlToken::Word(word) if word.quote_style.is_none() => {
            let operator = ["NOT", "XOR", "ILIKE", "RLIKE", "REGEXP", "ESCAPE"].iter().any(|word| token.is_word(word));
            !operator && (token.is_word("END") || !is_never_operand(word.keyword))
        }
        SqlToken::Word(_)
        | SqlToken::Number(..)
        | SqlToken::SingleQuotedString(_)
        | SqlToken::HexStringLiteral(_)
        | SqlToken::RParen
        | SqlToken::RBracket
        | SqlToken::Mul => true,
        _ => false,
    }
}

/// Refuses what the expression parser would read but no expression of ours may contain.
///
/// # Errors
/// The first such thing in `tokens`.
pub(super) fn check_expression(tokens: &[Token]) -> Result<(), Diagnostic> {
    (0..tokens.len()).try_for_each(|index| {
        check_query_parts(tokens, index)?;
        check_calls(tokens, index)?;
        check_token(&tokens[index])
    })
}

fn check_query_parts(tokens: &[Token], index: usize) -> Result<(), Diagnostic> {
    let after_paren = index.checked_sub(1).is_some_and(|before| tokens[before].is(&SqlToken::LParen));
    let before_paren = tokens.get(index + 1).is_some_and(|next| next.is(&SqlToken::LParen));
    let token = &tokens[index];
    let starts_query = token.is_word("SELECT")
        || after_paren && (token.is_word("WITH") || token.is_word("VALUES") || token.is_word("FROM"))
        || before_paren && token.is_word("EXISTS");
    if starts_query {
        return Err(Diagnostic::error(token.span, "sub-queries are not supported")
            .with_hint("write the inner query as its own INSERT INTO … SELECT and read that stream"));
    }
    if before_paren && token.is_word("ARRAY") {
        return Err(Diagnostic::error(token.span, "ARRAY(…) is not supported"));
    }
    Ok(())
}

fn check_calls(tokens: &[Token], index: usize) -> Result<(), Diagnostic> {
    let token = &tokens[index];
    let refuse = |span: Span, message: &str, hint: &str| Err(Diagnostic::error(span, message).with_hint(hint));
    let Some(before) = index.checked_sub(1).map(|before| &tokens[before]) else {
        return Ok(());
    };
    if before.is(&SqlToken::LParen) && token.is_word("DISTINCT") {
        return refuse(token.span, "DISTINCT inside a function is not supported", NO_AGGREGATES);
    }
    if before.is(&SqlToken::RParen) {
        let next_is = |expected: &str| tokens.get(index + 1).is_some_and(|next| next.is_word(expected));
        let before_paren = tokens.get(index + 1).is_some_and(|next| next.is(&SqlToken::LParen));
        if token.is_word("OVER") {
            return refuse(token.span, "OVER is not supported", NO_WINDOWS);
        }
        if token.is_word("FILTER") && before_paren {
            return refuse(token.span, "FILTER is not supported", NO_AGGREGATES);
        }
        if token.is_word("WITHIN") && next_is("GROUP") {
            return refuse(token.span, "WITHIN GROUP is not supported", NO_AGGREGATES);
        }
    }
    Ok(())
}

fn check_token(token: &Token) -> Result<(), Diagnostic> {
    let (message, hint) = match &token.sql.token {
        SqlToken::Placeholder(_) | SqlToken::Question => {
            (format!("{} is not supported: queries have no parameters", token.describe()), "write the value itself")
        }
        SqlToken::NationalStringLiteral(_) => ("strings have no prefix".to_owned(), "write '...' without N before it"),
        SqlToken::Char('`') => {
            ("names are not quoted with back quotes".to_owned(), "quote the name with double quotes")
        }
        SqlToken::Char('‘' | '’' | '“' | '”' | '„' | '‚') => {
            ("this is a typographic quote".to_owned(), "write ' around strings and \" around names")
        }
        SqlToken::Char(_) | SqlToken::Backslash | SqlToken::Sharp | SqlToken::AtSign | SqlToken::LBrace => {
            (format!("unexpected {} in an expression", token.describe()), "remove it, or quote it inside a string")
        }
        SqlToken::Number(text, true) => {
            (format!("the number {} has a letter behind it", quoted(&format!("{text}L"))), "write the digits alone")
        }
        SqlToken::Number(..) | SqlToken::Word(_) => return Ok(()),
        _ => return Ok(()),
    };
    Err(Diagnostic::error(token.span, message).with_hint(hint))
}
