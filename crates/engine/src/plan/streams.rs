//! The declared streams of a file, by name.

use std::collections::HashMap;
use std::sync::Arc;

use eventflux_core::Schema;
use eventflux_core::property::nearest;

use super::StreamPlan;
use crate::diagnostic::Diagnostic;
use crate::sql::{Document, Ident};

/// Every stream that is declared, in the order of the file.
pub(super) struct Streams {
    plans: Vec<StreamPlan>,
    by_name: HashMap<String, usize>,
    /// Whether the whole file could be read: a name that is missing is really missing.
    complete: bool,
}

impl Streams {
    /// Collects the declarations; a second one of a name is a mistake.
    pub(super) fn declare(document: &Document, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut streams = Self { plans: Vec::new(), by_name: HashMap::new(), complete: document.complete };
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

    /// The stream a statement names, or a mistake at that place. Where part of the file could not be read, a missing
    /// name is no mistake of its own.
    pub(super) fn resolve(&self, ident: &Ident, diagnostics: &mut Vec<Diagnostic>) -> Option<usize> {
        let found = self.index_of(&ident.name);
        if found.is_none() && (self.complete || self.nearest(&ident.name).is_some()) {
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

    fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.plans.iter().map(|plan| plan.name.as_str()))
    }

    pub(super) fn into_plans(self) -> Vec<StreamPlan> {
        self.plans
    }
}
