//! What reading a file brings to light: mistakes, and spans that no excerpt may show.

use jsonc_parser::ast::{Object, Value};

use super::json::{describe, span_of};
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::sql::MAX_DIAGNOSTICS;

/// Collects what is wrong with a file.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) hidden: Vec<Span>,
}

impl Report {
    /// Adds a mistake with the way out.
    pub(super) fn error(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(span, message).with_hint(hint));
    }

    /// Adds something odd with the way out.
    pub(super) fn warning(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(span, message).with_hint(hint));
    }

    pub(super) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// The object that `value` is, or a mistake.
    pub(super) fn object<'v, 'a>(&mut self, what: &str, value: &'v Value<'a>) -> Option<&'v Object<'a>> {
        if let Value::Object(object) = value {
            return Some(object);
        }
        self.wrong_type(what, value, "an object {...}");
        None
    }

    /// The elements of the list that `value` is, or a mistake.
    pub(super) fn list<'v, 'a>(&mut self, what: &str, value: &'v Value<'a>) -> Option<&'v [Value<'a>]> {
        if let Value::Array(array) = value {
            return Some(&array.elements);
        }
        self.wrong_type(what, value, "a list [...]");
        None
    }

    /// The text that `value` is, or a mistake.
    pub(super) fn text<'v>(&mut self, what: &str, value: &'v Value<'_>) -> Option<&'v str> {
        if let Value::StringLit(literal) = value {
            return Some(&literal.value);
        }
        self.wrong_type(what, value, "a text \"...\"");
        None
    }

    pub(super) fn wrong_type(&mut self, what: &str, value: &Value<'_>, allowed: &str) {
        let message = format!("{what}: {} is not allowed", describe(value));
        self.error(span_of(value), message, format!("use {allowed}"));
    }

    /// A member that nobody knows. Its value is hidden: it may be a misspelt secret.
    pub(super) fn unknown<'n>(
        &mut self,
        place: (Span, Span),
        what: String,
        name: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        let (name_span, value_span) = place;
        self.hidden.push(value_span);
        let hint = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("use one of {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.error(name_span, format!("{what} is not known here"), hint);
    }

    /// The diagnostics in the order of the file, as many as are shown.
    pub(super) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.span);
        if self.diagnostics.len() > MAX_DIAGNOSTICS {
            self.diagnostics.truncate(MAX_DIAGNOSTICS);
            let message = "there are too many mistakes to go on from here";
            self.diagnostics.push(Diagnostic::whole_file(message).with_hint("correct those above first"));
        }
        self.diagnostics
    }
}
