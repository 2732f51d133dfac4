//! A place in the tokens of one statement, and the small steps every parser takes.

use sqlparser::tokenizer::Token as SqlToken;

use super::ast::Ident;
use super::dialect::is_reserved;
use super::tokens::{Token, quoted};
use crate::diagnostic::{Diagnostic, SourceFile, Span};

/// Reads the tokens of a statement from left to right.
pub(super) struct Cursor<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) tokens: &'a [Token],
    /// The index of the next token.
    pub(super) position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a SourceFile, tokens: &'a [Token]) -> Self {
        Self { file, tokens, position: 0 }
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.position)
    }

    pub(super) fn peek_nth(&self, distance: usize) -> Option<&'a Token> {
        self.tokens.get(self.position + distance)
    }

    pub(super) fn at_end(&self) -> bool {
        self.position >= self.tokens.len()
    }

    pub(super) fn at(&self, expected: &SqlToken) -> bool {
        self.peek().is_some_and(|token| token.is(expected))
    }

    /// Whether the next words are these, in any case and not quoted.
    pub(super) fn at_words(&self, words: &[&str]) -> bool {
        words_at(self.tokens, self.position, words)
    }

    pub(super) fn eat(&mut self, expected: &SqlToken) -> bool {
        let found = self.at(expected);
        self.position += usize::from(found);
        found
    }

    pub(super) fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = self.at_words(words);
        if found {
            self.position += words.len();
        }
        found
    }

    /// The span of the next token; at the end of the statement, the empty span behind the last token.
    pub(super) fn here(&self) -> Span {
        span_at(self.tokens, self.position)
    }

    /// The span of the token before the next one.
    pub(super) fn previous(&self) -> Span {
        self.position.checked_sub(1).and_then(|index| self.tokens.get(index)).map_or_else(|| self.here(), |t| t.span)
    }

    /// How messages name what comes next.
    pub(super) fn found(&self) -> String {
        self.peek().map_or_else(|| "the end of the statement".to_owned(), Token::describe)
    }

    /// `expected …, found …` at the next token.
    pub(super) fn unexpected(&self, expected: &str) -> Diagnostic {
        Diagnostic::error(self.here(), format!("expected {expected}, found {}", self.found()))
    }

    /// Takes that token.
    ///
    /// # Errors
    /// When something else comes next; `expected` names what was needed.
    pub(super) fn expect(&mut self, token: &SqlToken, expected: &str) -> Result<Span, Diagnostic> {
        let span = self.here();
        if self.eat(token) { Ok(span) } else { Err(self.unexpected(expected)) }
    }

    /// Takes a name. `what` says of what.
    ///
    /// # Errors
    /// When something else comes next: no word, a reserved word, a string, or a name with dots.
    pub(super) fn name(&mut self, what: &str) -> Result<Ident, Diagnostic> {
        let Some(token) = self.peek() else {
            return Err(self.unexpected(&format!("the name of {what}")));
        };
        let SqlToken::Word(word) = &token.sql.token else {
            let error = self.unexpected(&format!("the name of {what}"));
            return Err(match token.sql.token {
                SqlToken::SingleQuotedString(_) => {
                    error.with_hint("single quotes make a string; write a name without quotes or in double quotes")
                }
                SqlToken::Char('`') => error.with_hint("names are quoted with double quotes, not with back quotes"),
                _ => error,
            });
        };
        if word.quote_style.is_none() && is_reserved(word.keyword) {
            let hint = format!("to use it as a name, write it in double quotes: \"{}\"", word.value);
            return Err(self.unexpected(&format!("the name of {what}")).with_hint(hint));
        }
        if word.value.is_empty() {
            return Err(Diagnostic::error(token.span, format!("the name of {what} is empty")));
        }
        self.position += 1;
        if self.at(&SqlToken::Period) {
            let message = format!("{} is followed by a dot: the name of {what} has one part", quoted(&word.value));
            return Err(Diagnostic::error(self.here(), message)
                .with_hint("a name that contains a dot is written in double quotes"));
        }
        Ok(Ident { name: word.value.clone(), span: token.span })
    }

    /// Moves to the next token outside brackets for which `stop` holds, or to the end.
    pub(super) fn skip_until(&mut self, stop: impl Fn(&Token) -> bool) {
        self.position = find_outside_brackets(self.tokens, self.position, |index| stop(&self.tokens[index]));
    }
}

/// Whether the words at `index` are these, in any case and not quoted.
pub(super) fn words_at(tokens: &[Token], index: usize, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(distance, word)| tokens.get(index + distance).is_some_and(|t| t.is_word(word)))
}

/// The span of the token at `index`; past the end, the empty span behind the last token.
pub(super) fn span_at(tokens: &[Token], index: usize) -> Span {
    tokens.get(index).map_or_else(|| Span::at(tokens.last().map_or(0, |last| last.span.end)), |token| token.span)
}

/// The first index from `start` on that is in no bracket opened since `start` and for which `stop` holds; a bracket that
/// closes one opened before `start` stops as well. The number of tokens when there is none.
pub(super) fn find_outside_brackets(tokens: &[Token], start: usize, stop: impl Fn(usize) -> bool) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        if depth == 0 && stop(index) {
            return index;
        }
        match token.sql.token {
            SqlToken::LParen | SqlToken::LBracket | SqlToken::LBrace => depth += 1,
            SqlToken::RParen | SqlToken::RBracket | SqlToken::RBrace => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return index,
            },
            _ => {}
        }
    }
    tokens.len()
}
