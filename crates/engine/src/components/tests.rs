//! A file and the SQL it is converted to are the same to the planner.

use eventflux_core::EventFluxContext;
use proptest::prelude::*;

use super::{Lookup, print, read_with};
use crate::diagnostic::SourceFile;
use crate::sql::{self, Annotation, Document, Property};

/// What annotations say, without places.
fn said(annotation: &Annotation) -> String {
    let pairs = |properties: &[Property]| {
        properties.iter().map(|property| (property.key.clone(), property.value.clone())).collect::<Vec<_>>()
    };
    let map = annotation.map.as_ref().map(|map| pairs(&map.properties));
    format!("{:?} {:?} {map:?}", annotation.kind, pairs(&annotation.properties))
}

/// Asserts that two documents differ in their places only. Expressions compare without theirs.
fn assert_same(document: &Document, other: &Document) {
    let streams = |document: &Document| {
        let stream = |stream: &sql::CreateStream| {
            let columns: Vec<_> =
                stream.columns.iter().map(|column| (column.name.name.clone(), column.data_type)).collect();
            let annotations: Vec<_> = stream.annotations.iter().map(said).collect();
            (stream.name.name.clone(), columns, annotations)
        };
        document.streams.iter().map(stream).collect::<Vec<_>>()
    };
    assert_eq!(streams(document), streams(other));
    assert_eq!(document.queries.len(), other.queries.len());
    for (query, other) in document.queries.iter().zip(&other.queries) {
        assert_eq!((&query.into.name, &query.from.name), (&other.into.name, &other.from.name));
        assert_eq!(query.predicate, other.predicate);
        let kinds = |query: &sql::Query| query.projection.iter().map(|item| item.kind.clone()).collect::<Vec<_>>();
        assert_eq!(kinds(query), kinds(other));
    }
}

fn read(text: &str) -> Document {
    let mut file = SourceFile::new("f.json", text);
    let (document, mistakes) = read_with(&mut file, &EventFluxContext::new(), Lookup(None));
    assert!(document.complete, "{text}: {mistakes:?}");
    document
}

fn assert_survives(text: &str) {
    let document = read(text);
    let sql = print::sql(&document);
    let (again, mistakes) = sql::parse(&SourceFile::new("converted.sql", sql.as_str()));
    assert_eq!(mistakes, [], "{sql}");
    assert_same(&document, &again);
}

/// A text as a JSON string.
fn string(text: &str) -> String {
    let mut quoted = String::new();
    crate::expr::json::write_string(text, &mut quoted);
    quoted
}

#[test]
fn the_printed_files_survive() {
    assert_survives(include_str!("../../../../examples/federation/edge-config.json"));
    assert_survives(include_str!("../../../../examples/federation/cloud-config.json"));
    assert_survives(include_str!("../../tests/components/schema.json"));
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z'\"\\\\é\n ]{0,8}".prop_map(|text| string(&text)),
        "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,3})?([eE][+-]?[0-9])?",
        prop::sample::select(vec!["true".to_owned(), "false".to_owned()]),
    ]
}

proptest! {
    #[test]
    fn any_file_survives(
        path in "[a-z/'\"\\\\$é ]{0,8}",
        steps in "[a-z'\"\\\\é. \\[\\]]{0,8}",
        value in scalar(),
        operator in prop::sample::select(vec!["==", "!=", ">", ">=", "<", "<=", "contains"]),
        subject in "[a-z'\"é/-]{1,5}(\\.[a-zA-Z0-9_]{1,4}){0,2}",
    ) {
        let (path, steps, operator, subject) = (string(&path), string(&steps), string(operator), string(&subject));
        assert_survives(&format!(
            r#"[{{"type": "processor", "name": "json_filter", "config": {{
                "criteria": {{"path": {steps}, "operator": {operator}, "value": {value}}},
                "ports": {{"inputs": [{{"name": "i", "subject": {subject}}}],
                           "outputs": [{{"name": "o", "subject": "out.put"}}]}}}}}},
               {{"type": "output", "name": "websocket", "config": {{"http_port": 1, "path": {path},
                "ports": {{"inputs": [{{"name": "i", "subject": "out.put"}}]}}}}}}]"#
        ));
    }
}
