//! The tokens of one statement, each with its place in the file.

use sqlparser::tokenizer::{Location, Span as SqlSpan, Token as SqlToken, TokenWithSpan, Tokenizer};

use super::dialect::EventFluxDialect;
use super::limits::MAX_QUOTED_CHARACTERS;
use crate::diagnostic::{Diagnostic, Position, SourceFile, Span};

/// One token that is neither white space nor a comment.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// The token with its place in the file as the expression parser counts it: lines and columns.
    pub(super) sql: TokenWithSpan,
    /// Its place in bytes.
    pub(super) span: Span,
}

impl Token {
    /// Whether this is that word, in any case and not quoted.
    pub(super) fn is_word(&self, expected: &str) -> bool {
        matches!(&self.sql.token, SqlToken::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
    }

    /// The unquoted word this is.
    pub(super) fn word(&self) -> Option<&str> {
        match &self.sql.token {
            SqlToken::Word(word) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    pub(super) fn is(&self, expected: &SqlToken) -> bool {
        self.sql.token == *expected
    }

    /// How messages name the token. Never shows the content of a string, which may be a secret.
    pub(super) fn describe(&self) -> String {
        match &self.sql.token {
            SqlToken::SingleQuotedString(_) | SqlToken::NationalStringLiteral(_) | SqlToken::HexStringLiteral(_) => {
                "a string".to_owned()
            }
            other => quoted(&other.to_string()),
        }
    }
}

/// `text` in back quotes, shortened when it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARACTERS) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// The tokens of the statement at `span`.
///
/// # Errors
/// One diagnostic, when the text cannot be split into tokens.
pub(super) fn tokenize(file: &SourceFile, span: Span) -> Result<Vec<Token>, Diagnostic> {
    let text = file.slice(span);
    let mut walker = Walker::new(file, span.start, text);
    let mut buffer = Vec::new();
    let outcome = Tokenizer::new(&EventFluxDialect, text).tokenize_with_location_into_buf(&mut buffer);
    if let Err(error) = outcome {
        let offset = walker.offset_of(error.location);
        return Err(Diagnostic::error(Span::at(offset), tokenizer_message(&error.message)));
    }
    let mut tokens = Vec::with_capacity(buffer.len() / 2);
    for TokenWithSpan { token, span: place } in buffer {
        let start = walker.offset_of(place.start);
        let end = walker.offset_of(place.end);
        if !matches!(token, SqlToken::Whitespace(_)) {
            let sql = TokenWithSpan::new(token, walker.in_file(place));
            tokens.push(Token { sql, span: Span::new(start, end) });
        }
    }
    Ok(tokens)
}

/// The tokenizer's few messages, in our words.
fn tokenizer_message(message: &str) -> String {
    if message.starts_with("Unterminated") || message.starts_with("Expected close delimiter") {
        "this string is not closed".to_owned()
    } else {
        let mut characters = message.chars();
        characters
            .next()
            .map(|first| first.to_lowercase().collect::<String>() + characters.as_str())
            .unwrap_or_default()
    }
}

/// Turns the tokenizer's places, which come in ascending order, into byte offsets in one pass over the text.
struct Walker<'a> {
    rest: std::str::Chars<'a>,
    line: u64,
    column: u64,
    offset: usize,
    base: Position,
}

impl<'a> Walker<'a> {
    fn new(file: &SourceFile, offset: usize, text: &'a str) -> Self {
        Self { rest: text.chars(), line: 1, column: 1, offset, base: file.position(offset) }
    }

    /// The offset of a place at or behind the last one asked for.
    fn offset_of(&mut self, place: Location) -> usize {
        while (self.line, self.column) < (place.line, place.column) {
            match self.rest.next() {
                Some('\n') => {
                    self.line += 1;
                    self.column = 1;
                    self.offset += 1;
                }
                Some(character) => {
                    self.column += 1;
                    self.offset += character.len_utf8();
                }
                None => break,
            }
        }
        self.offset
    }

    /// The same place, counted from the start of the file instead of the statement.
    fn in_file(&self, place: SqlSpan) -> SqlSpan {
        let shift = |location: Location| {
            let column =
                if location.line == 1 { location.column + self.base.column as u64 - 1 } else { location.column };
            Location::new(location.line + self.base.line as u64 - 1, column)
        };
        SqlSpan::new(shift(place.start), shift(place.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_exact_behind_many_byte_characters_and_line_breaks() {
        let text = "-- é\r\nSELECT 'ü𝄞', \t\"ß\" /* x\n */ + 12.5 FROM é";
        let file = SourceFile::new("f", text);
        let start = text.find("SELECT").unwrap();
        let tokens = tokenize(&file, Span::new(start, text.len())).unwrap();
        let texts: Vec<&str> = tokens.iter().map(|token| file.slice(token.span)).collect();
        assert_eq!(texts, ["SELECT", "'ü𝄞'", ",", "\"ß\"", "+", "12.5", "FROM", "é"]);
        for token in &tokens {
            let place = token.sql.span.start;
            let position = Position { line: place.line as usize, column: place.column as usize };
            assert_eq!(file.offset(position), token.span.start, "{token:?}");
        }
    }

    #[test]
    fn messages_name_tokens_but_not_the_content_of_strings() {
        let file = SourceFile::new("f", format!("'secret' name {} ,", "x".repeat(100)));
        let tokens = tokenize(&file, Span::new(0, file.text().len())).unwrap();
        assert_eq!(tokens[0].describe(), "a string");
        assert_eq!(tokens[1].describe(), "`name`");
        assert_eq!(tokens[2].describe(), format!("`{}…`", "x".repeat(40)));
        assert_eq!(tokens[3].describe(), "`,`");
    }

    #[test]
    fn arrows_annotations_and_dollars_are_tokens_of_their_own() {
        let file = SourceFile::new("f", "@source a->>'b'->c $1 $$ x@y");
        let tokens = tokenize(&file, Span::new(0, file.text().len())).unwrap();
        assert_eq!(tokens[0].sql.token, SqlToken::AtSign);
        assert!(tokens.iter().any(|token| token.is(&SqlToken::LongArrow)));
        assert!(tokens.iter().any(|token| token.is(&SqlToken::Arrow)));
    }
}
