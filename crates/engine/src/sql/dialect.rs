//! How the expression parser reads our SQL.

use sqlparser::ast::Expr;
use sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// Standard SQL with `"` around names, nested comments, and `->`, `->>`, `::` and `[...]` on values.
#[derive(Debug)]
pub(super) struct EventFluxDialect;

/// `->` and `->>` bind tighter than everything but `.` and `[...]`: `data->>'p'::DOUBLE > 1` casts and compares the field.
const ARROW_PRECEDENCE: u8 = 60;
/// `||` binds looser than arithmetic and tighter than comparison: `'n=' || a + 1`.
const CONCAT_PRECEDENCE: u8 = 25;

/// Words that never are a name unless quoted. Where an expression is expected, they are a mistake.
const NEVER_OPERANDS: [Keyword; 24] = [
    Keyword::AND,
    Keyword::AS,
    Keyword::BETWEEN,
    Keyword::BY,
    Keyword::CREATE,
    Keyword::ELSE,
    Keyword::END,
    Keyword::FROM,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::IN,
    Keyword::INTO,
    Keyword::IS,
    Keyword::LIKE,
    Keyword::ON,
    Keyword::OR,
    Keyword::ORDER,
    Keyword::SELECT,
    Keyword::THEN,
    Keyword::UNION,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WITH,
    Keyword::DISTINCT,
];

/// Words that begin an expression of their own and never are a name unless quoted.
const EXPRESSION_WORDS: [Keyword; 9] = [
    Keyword::CASE,
    Keyword::CAST,
    Keyword::EXISTS,
    Keyword::FALSE,
    Keyword::INTERVAL,
    Keyword::NOT,
    Keyword::NULL,
    Keyword::TRUE,
    Keyword::TRY_CAST,
];

/// Whether a word is no name unless it is written in double quotes.
pub(super) fn is_reserved(keyword: Keyword) -> bool {
    NEVER_OPERANDS.contains(&keyword) || EXPRESSION_WORDS.contains(&keyword)
}

/// Whether a word can never begin, be or end an operand.
pub(super) fn is_never_operand(keyword: Keyword) -> bool {
    NEVER_OPERANDS.contains(&keyword)
}

impl Dialect for EventFluxDialect {
    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_'
    }

    fn is_identifier_part(&self, character: char) -> bool {
        character.is_alphanumeric() || character == '_'
    }

    fn is_delimited_identifier_start(&self, character: char) -> bool {
        character == '"'
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    /// Without this, `$$` would open a string that runs to the next `$$`.
    fn supports_dollar_placeholder(&self) -> bool {
        true
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        is_reserved(keyword)
    }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        let token = parser.peek_token_ref();
        match &token.token {
            Token::Word(word) if word.quote_style.is_none() && is_never_operand(word.keyword) => {
                Some(parser.expected_ref("an expression", token))
            }
            _ => None,
        }
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            Precedence::PgOther => ARROW_PRECEDENCE,
            other => GenericDialect.prec_value(other),
        }
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        (parser.peek_token_ref().token == Token::StringConcat).then_some(Ok(CONCAT_PRECEDENCE))
    }
}
