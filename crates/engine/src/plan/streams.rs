//! The declared streams of a file, by name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use eventflux_core::Schema;
use eventflux_core::property::nearest;

use super::StreamPlan;
use crate::diagnostic::{Diagnostic, SourceFile};
use crate::sql::{Document, Ident};

/// Every stream that is declared, in the order of the file.
pub(super) struct Streams {
    plans: Vec<StreamPlan>,
    by_name: HashMap<String, usize>,
    /// Names that follow the word STREAM anywhere in a file that could not be read as a whole: each may be declared.
    maybe: HashSet<String>,
}

impl Streams {
    /// Collects the declarations; a second one of a name is a mistake.
    pub(super) fn declare(file: &SourceFile, document: &Document, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let maybe = if document.complete { HashSet::new() } else { names_behind_stream(file.text()) };
        let mut streams = Self { plans: Vec::new(), by_name: HashMap::new(), maybe };
        for declaration in &document.streams {
            let name = &declaration.name;
            if streams.by_name.contains_key(&name.name) {
                diagnostics.push(
                    Diagnostic::error(name.span, format!("stream '{}' is declared twice", name.name))
                        .with_hint("give one of them another name"),
                );
                continue;
            }
            streams.by_name.insert(name.name.clone(), streams.plans.len());
            let columns = declaration.columns.iter().map(|column| (column.name.name.clone(), column.data_type));
            streams.plans.push(StreamPlan {
                name: name.name.clone(),
                schema: Arc::new(Schema::new(columns)),
                span: name.span,
                complete: declaration.complete,
                column_spans: declaration.columns.iter().map(|column| column.span).collect(),
            });
        }
        streams
    }

    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn plan(&self, index: usize) -> &StreamPlan {
        &self.plans[index]
    }

    /// The stream a statement names, or a mistake at that place. A name that may be declared where the file could not be
    /// read is no mistake of its own.
    pub(super) fn resolve(&self, ident: &Ident, diagnostics: &mut Vec<Diagnostic>) -> Option<usize> {
        let found = self.index_of(&ident.name);
        if found.is_none() && !self.may_be_declared(&ident.name) {
            let mistake = Diagnostic::error(ident.span, format!("there is no stream '{}'", ident.name));
            diagnostics.push(self.suggest(&ident.name, mistake));
        }
        found
    }

    /// Adds the nearest name, or the way to declare it, to a mistake about a missing stream.
    pub(super) fn suggest(&self, name: &str, mistake: Diagnostic) -> Diagnostic {
        match self.nearest(name) {
            Some(known) => mistake.with_hint(format!("did you mean '{known}'?")),
            None => mistake.with_hint(format!("declare it: CREATE STREAM {name} (...);")),
        }
    }

    /// Whether the name, or a quoted one that begins with the same word, is declared where the file could not be read.
    fn may_be_declared(&self, name: &str) -> bool {
        words(name).next().is_some_and(|word| self.maybe.contains(word))
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.plans.iter().map(|plan| plan.name.as_str()))
    }

    pub(super) fn into_plans(self) -> Vec<StreamPlan> {
        self.plans
    }
}

/// Every word that follows the word STREAM, wherever that is.
fn names_behind_stream(text: &str) -> HashSet<String> {
    let pairs = words(text).zip(words(text).skip(1));
    pairs.filter(|(word, _)| word.eq_ignore_ascii_case("STREAM")).map(|(_, name)| name.to_owned()).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    text.split(move |character| !is_word(character)).filter(|word| !word.is_empty())
}
