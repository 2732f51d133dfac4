//! Tests of whole files: what is accepted, what is refused and where, how reading goes on, and that nothing aborts.

mod accepted;
mod recovery;
mod refused;
mod robustness;

use crate::diagnostic::SourceFile;
use crate::sql::{Document, parse};

/// The document of a file without mistakes.
fn document(text: &str) -> Document {
    let file = SourceFile::new("test.sql", text);
    let (document, diagnostics) = parse(&file);
    assert_eq!(diagnostics, [], "{text}");
    assert!(document.complete);
    document
}

/// Every diagnostic of a file as `line:column message`.
fn mistakes(text: &str) -> Vec<String> {
    let file = SourceFile::new("test.sql", text);
    let (document, diagnostics) = parse(&file);
    assert_eq!(document.complete, diagnostics.is_empty());
    diagnostics
        .iter()
        .map(|diagnostic| {
            let place = file.position(diagnostic.span.unwrap_or_default().start);
            format!("{}:{} {}", place.line, place.column, diagnostic.message)
        })
        .collect()
}

/// The hint of the only diagnostic of a file.
fn hint(text: &str) -> String {
    let (_, diagnostics) = parse(&SourceFile::new("test.sql", text));
    assert_eq!(diagnostics.len(), 1, "{text}: {diagnostics:?}");
    diagnostics[0].hint.clone().unwrap_or_default()
}
