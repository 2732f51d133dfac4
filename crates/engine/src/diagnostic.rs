//! What is wrong with a file a person wrote, and how it is shown to them.
//!
//! A [`Diagnostic`] names a place in a [`SourceFile`], says what is wrong there and, where we know it, the way out.
//! [`render`] turns diagnostics into the text a terminal shows: `file:line:column`, the line itself with a caret, and
//! the hint. This module knows nothing about SQL, properties or plans; it only reports.

mod source;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

pub use eventflux_core::property::nearest;
pub use source::{Position, SourceFile};

/// A range of byte offsets into a file's text: `start` inclusive, `end` exclusive. Empty when `start == end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset one past the last byte.
    pub end: usize,
}

impl Span {
    /// The span from `start` to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The empty span at `offset`.
    pub fn at(offset: usize) -> Self {
        Self::new(offset, offset)
    }

    /// The smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }
}

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The file cannot be run.
    Error,
    /// The file can be run, but probably does not do what its author meant.
    Warning,
}

/// One thing that is wrong with a file.
///
/// Messages never quote string literals of the file: a property value may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the file can still be run.
    pub severity: Severity,
    /// Where; absent when the file as a whole is meant.
    pub span: Option<Span>,
    /// What is wrong: one sentence without a full stop that names the thing and the reason.
    pub message: String,
    /// A short remark beside the caret.
    pub label: Option<String>,
    /// The way out.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, span: Some(span), message: message.into(), label: None, hint: None }
    }

    /// A warning at `span`.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// An error about the whole file.
    pub fn whole_file(message: impl Into<String>) -> Self {
        Self { span: None, ..Self::error(Span::default(), message) }
    }

    /// Adds a remark beside the caret.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds the way out.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The text a terminal shows for `diagnostics`, in their order, separated by empty lines.
///
/// Only the lines a diagnostic covers are shown, so the cost does not grow with the file. Control characters of the file
/// are made harmless, and spans given to [`SourceFile::hide`] are shown as asterisks.
pub fn render(file: &SourceFile, diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let rendered: Vec<String> = diagnostics.iter().map(|diagnostic| render_one(file, diagnostic, &renderer)).collect();
    let mut text = rendered.join("\n\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn render_one(file: &SourceFile, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str());
    let mut group: Group<'_> = match diagnostic.span {
        None => title.element(Origin::path(file.name())),
        Some(span) => {
            let excerpt = file.excerpt(span);
            let annotation =
                AnnotationKind::Primary.span(excerpt.span.start..excerpt.span.end).label(diagnostic.label.as_deref());
            title.element(
                Snippet::source(excerpt.text).line_start(excerpt.line).path(file.name()).annotation(annotation),
            )
        }
    };
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    renderer.render(&[group])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> SourceFile {
        SourceFile::new("trades.sql", text)
    }

    #[test]
    fn an_error_shows_its_place_its_line_and_its_hint() {
        let file = file("CREATE STREAM S (a INT);\nSELECT b FROM S;\n");
        let diagnostic =
            Diagnostic::error(Span::new(32, 33), "no column `b`").with_label("unknown").with_hint("did you mean `a`?");
        let expected = "error: no column `b`\n --> trades.sql:2:8\n  |\n2 | SELECT b FROM S;\n  |        ^ unknown\n  |\n  = help: did you mean `a`?\n";
        assert_eq!(render(&file, &[diagnostic], false), expected);
    }

    #[test]
    fn the_caret_stands_under_the_right_character_after_wide_and_many_byte_text() {
        let file = file("SELECT 'é€𝄞' AS ü, b FROM S;\r\n");
        let start = file.text().find("b FROM").unwrap();
        let text = render(&file, &[Diagnostic::error(Span::new(start, start + 1), "no")], false);
        let place = file.position(start);
        assert!(text.contains(&format!("trades.sql:{}:{}", place.line, place.column)), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        let source = lines.iter().position(|line| line.contains("SELECT")).unwrap();
        let caret = lines[source + 1].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[source].chars().nth(caret), Some('b'), "{text}");
    }

    #[test]
    fn columns_agree_with_the_position_behind_tabs_and_crlf() {
        let file = file("x;\r\n\t\tab\r\n");
        let start = file.text().find("ab").unwrap();
        let text = render(&file, &[Diagnostic::error(Span::new(start, start + 2), "no")], false);
        assert!(text.contains("trades.sql:2:3"), "{text}");
    }

    #[test]
    fn an_empty_span_at_the_end_of_the_file_has_a_caret() {
        for text in ["", "SELECT a", "SELECT a\n", "é"] {
            let file = file(text);
            let rendered = render(&file, &[Diagnostic::error(Span::at(text.len()), "end")], false);
            assert!(rendered.contains("error: end"), "{rendered}");
            assert!(rendered.contains("trades.sql:1:") || rendered.contains("trades.sql:2:1"), "{rendered}");
        }
    }

    #[test]
    fn a_diagnostic_without_a_place_names_the_file() {
        let text = render(&file("x"), &[Diagnostic::whole_file("too large").with_hint("split it")], false);
        assert_eq!(text, "error: too large\n--> trades.sql\n = help: split it\n");
    }

    #[test]
    fn a_hidden_span_is_not_shown() {
        let mut file = file("@source(password='hunter2', x=)");
        file.hide(Span::new(17, 26));
        let text = render(&file, &[Diagnostic::error(Span::new(30, 31), "no value")], false);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("password=*********, x=)"), "{text}");
    }

    #[test]
    fn control_characters_of_the_file_do_not_reach_the_terminal() {
        let file = file("SELECT \u{1b}[31m\u{7} FROM");
        let text = render(&file, &[Diagnostic::warning(Span::new(7, 8), "odd \u{1b}[2J")], false);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
        assert!(text.starts_with("warning: odd"), "{text}");
    }

    #[test]
    fn colours_appear_only_when_asked_for() {
        let file = file("x");
        let diagnostics = [Diagnostic::error(Span::new(0, 1), "no")];
        assert!(render(&file, &diagnostics, true).contains('\u{1b}'));
        assert!(!render(&file, &diagnostics, false).contains('\u{1b}'));
    }
}
