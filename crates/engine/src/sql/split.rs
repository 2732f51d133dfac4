//! Where the statements of a file begin and end.
//!
//! A small scanner that understands just enough to tell strings, quoted names and comments from the rest. A statement
//! ends at a `;`, or where a line begins another statement: a forgotten `;` or `)` or quote costs one statement, not the
//! rest of the file.

use super::limits::MAX_STATEMENT_BYTES;
use crate::diagnostic::{Diagnostic, Span};

/// The text of one statement.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Without white space or comments before it and without the `;`.
    pub(super) span: Span,
    /// Whether it ended because the next line begins another statement.
    pub(super) missing_semicolon: bool,
    /// Why it cannot be read at all.
    pub(super) problem: Option<Diagnostic>,
    /// A string that runs over the beginning of another statement: most likely its closing quote is missing.
    pub(super) suspect: Option<Suspect>,
}

/// See [`Chunk::suspect`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Suspect {
    /// The string's opening quote.
    pub(super) string: usize,
    /// The beginning of the other statement.
    pub(super) resume: usize,
}

impl Suspect {
    /// The complaint about the string.
    pub(super) fn blame(self) -> Diagnostic {
        let span = Span::new(self.string, self.string + 1);
        Diagnostic::error(span, "this string is not closed before the next statement begins")
            .with_label("opened here")
            .with_hint("a single quote seems to be missing at its end, or before it")
    }
}

/// Yields the statements of a text.
pub(super) struct Splitter<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Splitter<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// Reads on from there.
    pub(super) fn restart(&mut self, position: usize) {
        self.position = position;
    }

    /// The next statement; statements without any token are passed over.
    pub(super) fn next_chunk(&mut self) -> Option<Chunk> {
        match self.skip_blank() {
            Ok(()) => {}
            Err(start) => {
                let chunk = self.unclosed(Scan::new(start), start, "comment", "end it with `*/`");
                return Some(chunk);
            }
        }
        (self.position < self.text.len()).then(|| self.scan_statement())
    }

    /// Passes white space, comments and empty statements.
    ///
    /// # Errors
    /// The start of a comment that is not closed.
    fn skip_blank(&mut self) -> Result<(), usize> {
        loop {
            let rest = &self.text[self.position..];
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
            self.position += rest.len() - trimmed.len();
            if trimmed.starts_with("--") {
                self.position = line_end(self.text, self.position);
            } else if trimmed.starts_with("/*") {
                self.position = comment_end(self.text, self.position).ok_or(self.position)?;
            } else {
                return Ok(());
            }
        }
    }

    fn scan_statement(&mut self) -> Chunk {
        let bytes = self.text.as_bytes();
        let mut scan = Scan::new(self.position);
        scan.note_opener(opener_at(self.text, self.position));
        let mut index = self.position;
        while let Some(byte) = bytes.get(index) {
            match byte {
                b';' => return self.finish(&scan, index, index + 1, false),
                b'\'' | b'"' => match quoted_end(self.text, index) {
                    Some(end) => {
                        scan.suspect_string(self.text, index, end);
                        index = end;
                    }
                    None if *byte == b'\'' => {
                        return self.unclosed(scan, index, "string", "end it with a single quote");
                    }
                    None => return self.unclosed(scan, index, "quoted name", "end it with a double quote"),
                },
                b'-' if bytes.get(index + 1) == Some(&b'-') => index = line_end(self.text, index),
                b'/' if bytes.get(index + 1) == Some(&b'*') => match comment_end(self.text, index) {
                    Some(end) => index = end,
                    None => return self.unclosed(scan, index, "comment", "end it with `*/`"),
                },
                b'\n' => {
                    let line = index + 1 + blank_prefix(&self.text[index + 1..]);
                    if let Some(opener) = opener_at(self.text, line)
                        && !scan.continues_with(opener)
                    {
                        return self.finish(&scan, line, line, true);
                    }
                    index += 1;
                }
                _ => {
                    scan.note_byte(self.text, index);
                    index += 1;
                }
            }
        }
        self.finish(&scan, index, index, false)
    }

    fn finish(&mut self, scan: &Scan, end: usize, next: usize, missing_semicolon: bool) -> Chunk {
        self.position = next;
        let text = self.text[scan.start..end].trim_end();
        let span = Span::new(scan.start, scan.start + text.len());
        let problem = (text.len() > MAX_STATEMENT_BYTES).then(|| {
            let message = format!("this statement is larger than {} KiB", MAX_STATEMENT_BYTES / 1024);
            Diagnostic::error(Span::at(span.start), message).with_hint("split it into several statements")
        });
        Chunk { span, missing_semicolon, problem, suspect: scan.suspect }
    }

    /// The statement ends in something that is never closed. Reading goes on at the next line that begins a statement.
    fn unclosed(&mut self, scan: Scan, start: usize, what: &str, hint: &str) -> Chunk {
        let (problem, end) = match scan.suspect {
            Some(suspect) => (suspect.blame(), suspect.resume),
            None => {
                let message = format!("this {what} is not closed");
                let problem = Diagnostic::error(Span::new(start, start + 1), message).with_label("opened here");
                let end = opener_line_after(self.text, start, self.text.len()).unwrap_or(self.text.len());
                (problem.with_hint(hint), end)
            }
        };
        self.position = end;
        let span = Span::new(scan.start, end);
        Chunk { span, missing_semicolon: false, problem: Some(problem), suspect: None }
    }
}

/// What is known of the statement being scanned.
struct Scan {
    start: usize,
    /// Open brackets.
    depth: usize,
    suspect: Option<Suspect>,
    begins_with_annotation: bool,
    begins_with_select: bool,
    has_create: bool,
    has_insert: bool,
}

impl Scan {
    fn new(start: usize) -> Self {
        Self {
            start,
            depth: 0,
            suspect: None,
            begins_with_annotation: false,
            begins_with_select: false,
            has_create: false,
            has_insert: false,
        }
    }

    fn note_opener(&mut self, opener: Option<Opener>) {
        self.begins_with_annotation = opener == Some(Opener::Annotation);
        self.begins_with_select = opener == Some(Opener::Select);
        self.has_create = opener == Some(Opener::CreateStream);
        self.has_insert = opener == Some(Opener::InsertInto);
    }

    fn note_byte(&mut self, text: &str, index: usize) {
        match text.as_bytes()[index] {
            b'(' | b'[' | b'{' => self.depth += 1,
            b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b'c' | b'C' | b'i' | b'I' if text.as_bytes()[index - usize::from(index > 0)].is_ascii_whitespace() => {
                match opener_at(text, index) {
                    Some(Opener::CreateStream) => self.has_create = true,
                    Some(Opener::InsertInto) => self.has_insert = true,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Whether a line that begins like this still belongs to the statement.
    fn continues_with(&mut self, opener: Opener) -> bool {
        match opener {
            Opener::Annotation | Opener::CreateStream => {
                self.begins_with_annotation && !self.has_create && self.depth == 0
            }
            Opener::InsertInto => self.begins_with_select && !self.has_insert,
            Opener::Select => true,
        }
    }

    fn suspect_string(&mut self, text: &str, start: usize, end: usize) {
        if self.suspect.is_none() {
            self.suspect = opener_line_after(text, start, end).map(|resume| Suspect { string: start, resume });
        }
    }
}

/// How a statement can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    Annotation,
    CreateStream,
    InsertInto,
    Select,
}

fn opener_at(text: &str, index: usize) -> Option<Opener> {
    let rest = text.get(index..)?;
    if let Some(annotation) = rest.strip_prefix('@') {
        let is = |name: &str| word_rest(annotation, name).is_some();
        return (is("source") || is("sink")).then_some(Opener::Annotation);
    }
    let pair = |first: &str, second: &str| {
        word_rest(rest, first).is_some_and(|rest| word_rest(rest.trim_start(), second).is_some())
    };
    if pair("CREATE", "STREAM") {
        Some(Opener::CreateStream)
    } else if pair("INSERT", "INTO") {
        Some(Opener::InsertInto)
    } else if word_rest(rest, "SELECT").is_some() {
        Some(Opener::Select)
    } else {
        None
    }
}

/// What follows `word` at the start of `text`, when that is a whole word.
fn word_rest<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = &text[word.len()..];
    let whole = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    (head.eq_ignore_ascii_case(word) && whole).then_some(rest)
}

/// The first line that begins another statement behind `start` and before `end`.
fn opener_line_after(text: &str, start: usize, end: usize) -> Option<usize> {
    let mut index = start;
    loop {
        index += text[index..end].find('\n')? + 1;
        let line = index + blank_prefix(&text[index..end]);
        if line < end && opener_at(text, line).is_some_and(|opener| opener != Opener::Select) {
            return Some(line);
        }
    }
}

fn blank_prefix(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

fn line_end(text: &str, start: usize) -> usize {
    text[start..].find('\n').map_or(text.len(), |length| start + length)
}

/// The end of the string or quoted name that opens at `start`; a doubled quote belongs to it.
fn quoted_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = *bytes.get(start)?;
    let mut index = start + 1;
    while let Some(byte) = bytes.get(index) {
        index += 1;
        if *byte == quote {
            if bytes.get(index) != Some(&quote) {
                return Some(index);
            }
            index += 1;
        }
    }
    None
}

/// The end of the comment that opens at `start`; comments nest.
fn comment_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut index = start;
    while index + 1 < bytes.len() {
        match &bytes[index..index + 2] {
            b"/*" => {
                depth += 1;
                index += 2;
            }
            b"*/" => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => index += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(text: &str) -> Vec<(&str, bool)> {
        let mut splitter = Splitter::new(text);
        std::iter::from_fn(|| splitter.next_chunk())
            .map(|chunk| (&text[chunk.span.start..chunk.span.end], chunk.missing_semicolon))
            .collect()
    }

    fn problems(text: &str) -> Vec<(usize, String)> {
        let mut splitter = Splitter::new(text);
        std::iter::from_fn(|| splitter.next_chunk())
            .filter_map(|chunk| chunk.problem)
            .map(|problem| (problem.span.unwrap().start, problem.message))
            .collect()
    }

    #[test]
    fn semicolons_in_strings_names_and_comments_end_nothing() {
        let text = " -- a;b\n/* ; /* ; */ ; */ SELECT ';''', \";\"\"\" /* ; */ -- ;\n FROM x ;; ; SELECT 2 ";
        let expected = "SELECT ';''', \";\"\"\" /* ; */ -- ;\n FROM x";
        assert_eq!(chunks(text), [(expected, false), ("SELECT 2", false)]);
        assert_eq!(chunks(" ; -- nothing\n;"), []);
    }

    #[test]
    fn a_line_that_begins_a_statement_ends_the_one_before() {
        let text = "CREATE STREAM A (a INT)\nCREATE STREAM B (b INT\n  @source(x=1)\nINSERT INTO B SELECT 1\ninsert\tinto C SELECT 2;";
        let expected = [
            ("CREATE STREAM A (a INT)", true),
            ("CREATE STREAM B (b INT", true),
            ("@source(x=1)", true),
            ("INSERT INTO B SELECT 1", true),
            ("insert\tinto C SELECT 2", false),
        ];
        assert_eq!(chunks(text), expected);
    }

    #[test]
    fn lines_that_belong_to_their_statement_do_not_end_it() {
        for text in [
            "@source(a=1)\n@sink(b=2)\nCREATE STREAM S (a INT)",
            "SELECT a\nFROM b\nINSERT INTO c",
            "INSERT INTO c\nSELECT a\nFROM b",
            "@source(a=1,\n  @map(type='json'))\n\tCREATE STREAM S (\nINSERTION INT)",
        ] {
            assert_eq!(chunks(text), [(text, false)]);
        }
        assert_eq!(chunks("SELECT a FROM b INSERT INTO c\nINSERT INTO d SELECT 1").len(), 2);
        assert_eq!(chunks("@sink(a=1) CREATE STREAM S (a INT)\n@sink(a=1)").len(), 2);
    }

    #[test]
    fn what_is_never_closed_is_named_where_it_opens_and_the_next_statement_is_read() {
        let text = "SELECT 'a\n FROM b;\nINSERT INTO c SELECT 1;";
        assert_eq!(problems(text), [(7, "this string is not closed".to_owned())]);
        assert_eq!(chunks(text)[1], ("INSERT INTO c SELECT 1", false));
        assert_eq!(problems("SELECT \"a FROM b"), [(7, "this quoted name is not closed".to_owned())]);
        assert_eq!(problems("SELECT 1; /* /* */"), [(10, "this comment is not closed".to_owned())]);
        assert_eq!(problems("SELECT 1 /* "), [(9, "this comment is not closed".to_owned())]);
    }

    #[test]
    fn a_string_over_the_start_of_a_statement_is_suspected() {
        let text = "@source(a='x, b='y')\nCREATE STREAM S (a INT);\n@sink(c='z) CREATE STREAM T (a INT);";
        let chunk = Splitter::new(text).next_chunk().unwrap();
        let suspect = chunk.suspect.unwrap();
        assert_eq!((suspect.string, suspect.resume), (18, 21));
    }

    #[test]
    fn a_statement_may_be_as_large_as_the_limit_and_no_larger() {
        let fits = format!("SELECT {}", "1".repeat(MAX_STATEMENT_BYTES - 7));
        assert_eq!(problems(&fits), []);
        assert_eq!(problems(&format!("{fits}1")), [(0, "this statement is larger than 64 KiB".to_owned())]);
    }
}
