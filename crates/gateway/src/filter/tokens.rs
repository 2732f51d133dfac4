//! The tokens of a predicate, checked before anything makes a tree of them.
//!
//! The SQL parser knows a hundred times more than a filter has: it would read what we refuse, and it builds trees as deep as
//! a chain of operators is long, which to drop can overflow the stack. So what can get to it is decided here, without
//! recursion: only tokens that a filter has, only so many operators, only so deeply nested.

use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use super::{FilterLimits, invalid};
use crate::Problem;

/// How many operators there may be for each term: `NOT a IN (-1)`, and `AND` to the next one.
const OPERATORS_PER_TERM: usize = 5;
/// The most characters of a predicate that a message quotes.
const MAX_QUOTED_CHARACTERS: usize = 40;

/// The words that are not names.
const WORDS: [Keyword; 10] = [
    Keyword::AND,
    Keyword::OR,
    Keyword::NOT,
    Keyword::IN,
    Keyword::BETWEEN,
    Keyword::LIKE,
    Keyword::IS,
    Keyword::NULL,
    Keyword::TRUE,
    Keyword::FALSE,
];

/// How a filter is split into tokens: standard SQL, with `"` around names.
#[derive(Debug)]
pub(super) struct FilterDialect;

impl Dialect for FilterDialect {
    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_'
    }

    fn is_identifier_part(&self, character: char) -> bool {
        character.is_alphanumeric() || character == '_'
    }

    fn is_delimited_identifier_start(&self, character: char) -> bool {
        character == '"'
    }
}

/// The tokens of a predicate. Words that are no operators are quoted names in it, so that the parser takes them for what
/// they are: to it, `user` and `timestamp` begin an expression of their own.
pub(super) fn tokenize(text: &str, limits: &FilterLimits) -> Result<Vec<TokenWithSpan>, Problem> {
    let mut tokens = Tokenizer::new(&FilterDialect, text)
        .tokenize_with_location()
        .map_err(|error| invalid(Some(error.location), &uncapitalised(&error.message)))?;
    for token in &tokens {
        check_known(token)?;
    }
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    if tokens.is_empty() {
        return Err(invalid(None, "the predicate is empty; leave it out to get everything"));
    }
    check_calls(&tokens)?;
    check_size(&tokens, limits)?;
    tokens.iter_mut().for_each(quote_name);
    Ok(tokens)
}

/// How a message names a token. Does not show the content of a text, which may be a secret.
pub(super) fn describe(token: &Token) -> String {
    match token {
        Token::SingleQuotedString(_) => "a text".to_owned(),
        Token::Word(word) => shortened(&word.value),
        other => shortened(&other.to_string()),
    }
}

fn shortened(text: &str) -> String {
    let beginning: String = text.chars().take(MAX_QUOTED_CHARACTERS).flat_map(char::escape_debug).collect();
    let rest = if text.chars().nth(MAX_QUOTED_CHARACTERS).is_some() { "..." } else { "" };
    format!("`{beginning}{rest}`")
}

fn uncapitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

/// The operator or constant that an unquoted word is.
fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(Word { quote_style: None, keyword, .. }) => WORDS.contains(keyword).then_some(*keyword),
        _ => None,
    }
}

fn check_known(token: &TokenWithSpan) -> Result<(), Problem> {
    let refused = match &token.token {
        Token::Word(_) | Token::Number(_, false) | Token::SingleQuotedString(_) => return Ok(()),
        Token::Eq | Token::Neq | Token::Lt | Token::LtEq | Token::Gt | Token::GtEq => return Ok(()),
        Token::LParen | Token::RParen | Token::Comma | Token::Period | Token::Minus => return Ok(()),
        Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
            "comments are not supported".to_owned()
        }
        Token::Whitespace(_) => return Ok(()),
        Token::DoubleEq => "`==` is not supported; write `=`".to_owned(),
        Token::Plus | Token::Mul | Token::Div | Token::Mod => {
            format!("{} is not supported: there is no arithmetic in filters", describe(&token.token))
        }
        other => format!("{} is not supported in filters", describe(other)),
    };
    Err(invalid(Some(token.span.start), &refused))
}

fn check_calls(tokens: &[TokenWithSpan]) -> Result<(), Problem> {
    for pair in tokens.windows(2) {
        let is_name = matches!(pair[0].token, Token::Word(_)) && keyword(&pair[0].token).is_none();
        if is_name && pair[1].token == Token::LParen {
            let reason = format!("{} is not supported: there are no functions in filters", describe(&pair[0].token));
            return Err(invalid(Some(pair[0].span.start), &reason));
        }
    }
    Ok(())
}

/// Bounds what the parser can make of the tokens: the operators, which can become a chain, and the brackets and prefixes,
/// which are a recursion.
fn check_size(tokens: &[TokenWithSpan], limits: &FilterLimits) -> Result<(), Problem> {
    let mut operators = 0;
    let mut outer: Vec<usize> = Vec::new();
    let mut prefixes = 0;
    for token in tokens {
        match (&token.token, keyword(&token.token)) {
            (Token::LParen, _) => {
                outer.push(prefixes + 1 + outer.last().copied().unwrap_or_default());
                prefixes = 0;
            }
            (Token::RParen, _) => {
                outer.pop();
            }
            (Token::Comma, _) => prefixes = 0,
            (_, Some(Keyword::AND | Keyword::OR)) => {
                operators += 1;
                prefixes = 0;
            }
            (Token::Minus, _) | (_, Some(Keyword::NOT)) => {
                operators += 1;
                prefixes += 1;
            }
            (Token::Number(..) | Token::SingleQuotedString(_) | Token::Period, _) => {}
            (Token::Word(_), None | Some(Keyword::NULL | Keyword::TRUE | Keyword::FALSE)) => {}
            _ => operators += 1,
        }
        if outer.last().copied().unwrap_or_default() + prefixes > limits.depth() {
            return Err(too_deep(Some(token.span.start), limits));
        }
        if operators > OPERATORS_PER_TERM * limits.terms() {
            return Err(too_many_terms(Some(token.span.start), limits));
        }
    }
    Ok(())
}

pub(super) fn too_deep(place: Option<Location>, limits: &FilterLimits) -> Problem {
    invalid(place, &format!("nested deeper than {} levels", limits.depth()))
}

pub(super) fn too_many_terms(place: Option<Location>, limits: &FilterLimits) -> Problem {
    invalid(place, &format!("more than {} comparisons", limits.terms()))
}

fn quote_name(token: &mut TokenWithSpan) {
    if keyword(&token.token).is_none()
        && let Token::Word(word) = &mut token.token
    {
        word.quote_style = Some('"');
        word.keyword = Keyword::NoKeyword;
    }
}
