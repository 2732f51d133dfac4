//! Component files: pipelines as JSON, a second way to say what SQL says.
//!
//! A file lists components by `type` and `name`, each with a `config`, and wires them by the subjects of their ports. Reading
//! one gives the same syntax tree that SQL gives ([`crate::sql::Document`]): a subject is a stream of one column, `payload`, an
//! input a source of its stream, an output or a storage a sink, a filter a query. Everything behind the tree is the same.
//!
//! - `json` text to values with places; `file`, `ports` and `config` values to components, by the tables of `kinds`.
//! - `lower`, `properties` and `criteria` components to the tree; `print` the tree to SQL.
//! - `pointer` adds to each diagnostic the JSON pointer of what it is about.
//!
//! Nothing here is planned or run, no connector is known beyond the names of its properties, and no secret is read: they come
//! from environment variables, by name.

mod config;
mod criteria;
mod file;
mod json;
mod kinds;
mod lower;
mod pointer;
mod ports;
mod print;
mod properties;
mod reference;
mod report;
mod subjects;

#[cfg(test)]
mod tests;

pub use reference::markdown;

use eventflux_core::property::nearest;
use eventflux_core::{EventFluxContext, env};

use crate::api::PlanError;
use crate::diagnostic::{Diagnostic, Severity, SourceFile};
use crate::sql::{Document, MAX_FILE_BYTES};
use file::File;
use lower::{Lookup, lower};
use report::Report;

/// Whether a file holds components: its name ends in `.json`, or its text begins as JSON does and SQL never.
pub fn is_component_file(file: &SourceFile) -> bool {
    file.name().to_ascii_lowercase().ends_with(".json") || file.text().trim_start().starts_with(['{', '['])
}

/// The SQL that says what a component file says, with what is odd about the file. Environment variables need not be set, and
/// no connector but the one of NATS has to be known.
///
/// # Errors
/// Every mistake in the file, with its place.
pub fn convert(mut file: SourceFile, context: &EventFluxContext) -> Result<(String, PlanError), PlanError> {
    let (document, mut diagnostics) = read_with(&mut file, context, Lookup(None));
    point_out(&file, &document, &mut diagnostics);
    let failed = diagnostics.iter().any(Diagnostic::is_error);
    let remarks = PlanError::new(file, diagnostics);
    if failed { Err(remarks) } else { Ok((print::sql(&document), remarks)) }
}

/// Reads a component file. Without an error among the diagnostics, the document is complete.
pub(crate) fn read(file: &mut SourceFile, context: &EventFluxContext) -> (Document, Vec<Diagnostic>) {
    read_with(file, context, Lookup(Some(&env::process)))
}

/// Adds to each diagnostic about a component file the pointer to what it is about, and to warnings about subjects that nobody
/// writes or reads the one that may be meant.
pub(crate) fn point_out(file: &SourceFile, document: &Document, diagnostics: &mut [Diagnostic]) {
    for diagnostic in diagnostics.iter_mut() {
        if diagnostic.severity != Severity::Warning || diagnostic.hint.is_some() {
            continue;
        }
        let Some(stream) = document.streams.iter().find(|stream| Some(stream.name.span) == diagnostic.span) else {
            continue;
        };
        let (name, use_of_it) = (&stream.name.name, subjects::use_of(document, stream));
        // A misspelt subject leaves two ends open, one on each side.
        let other_ends = document.streams.iter().filter(|other| use_of_it.matches(subjects::use_of(document, other)));
        diagnostic.hint = nearest(name, other_ends.map(|other| other.name.name.as_str()))
            .map(|near| format!("did you mean '{near}'?"));
    }
    pointer::point_out(file, diagnostics);
}

fn read_with(file: &mut SourceFile, context: &EventFluxContext, lookup: Lookup<'_>) -> (Document, Vec<Diagnostic>) {
    if file.text().len() > MAX_FILE_BYTES {
        let message = format!("this file is larger than {} KiB", MAX_FILE_BYTES / 1024);
        return (Document::default(), vec![Diagnostic::whole_file(message).with_hint("split it into several files")]);
    }
    let mut report = Report::default();
    let document = match json::parse(file) {
        Ok(value) => {
            json::duplicates(&value, &mut report.diagnostics);
            let contents = File::read(&value, &mut report);
            lower(file, &contents, context, lookup, &mut report)
        }
        Err(mistake) => {
            report.diagnostics.push(mistake);
            Document::default()
        }
    };
    std::mem::take(&mut report.hidden).into_iter().for_each(|span| file.hide(span));
    (document, report.into_sorted())
}
