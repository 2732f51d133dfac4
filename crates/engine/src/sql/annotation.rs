//! `@source(...)`, `@sink(...)` and `@map(...)`, and the `WITH (...)` that says the same.

use sqlparser::tokenizer::Token as SqlToken;

use super::ast::{Annotation, AnnotationKind, MapAnnotation, Property, Spelling};
use super::cursor::Cursor;
use super::properties::{PropertyList, property_list};
use super::tokens::quoted;
use crate::diagnostic::{Diagnostic, Span, nearest};

/// The one property of `@map` that does not begin with the name of its format.
const EXCLUDE: &str = "exclude";

/// Reads the annotations at the beginning of a statement.
///
/// # Errors
/// When one cannot be read at all. Unknown annotations and mistakes inside one are reported and passed over.
pub(super) fn annotations(
    cursor: &mut Cursor<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<Annotation>, Diagnostic> {
    let mut annotations = Vec::new();
    while cursor.at(&SqlToken::AtSign) {
        let (name, name_span) = annotation_name(cursor)?;
        let Some(kind) = kind_of(&name) else {
            diagnostics.push(unknown_annotation(&name, name_span, &["source", "sink"]));
            skip_arguments(cursor);
            continue;
        };
        let owner = quoted(&format!("@{name}"));
        let PropertyList { properties, map } = property_list(cursor, &owner, true, diagnostics)?;
        let span = name_span.to(cursor.previous());
        annotations.push(Annotation { kind, spelling: Spelling::Annotation, properties, map, name_span, span });
    }
    Ok(annotations)
}

/// Reads `@map(...)` inside an annotation.
///
/// # Errors
/// When something else than `@map(...)` stands here, or when it may not stand here.
pub(super) fn map_annotation(
    cursor: &mut Cursor<'_>,
    owner: &str,
    with_map: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<MapAnnotation, Diagnostic> {
    let (name, name_span) = annotation_name(cursor)?;
    if !name.eq_ignore_ascii_case("map") {
        skip_arguments(cursor);
        return Err(unknown_annotation(&name, name_span, &["map"]));
    }
    if !with_map {
        skip_arguments(cursor);
        return Err(Diagnostic::error(name_span, format!("`@map` cannot stand inside {owner}")));
    }
    let PropertyList { properties, .. } = property_list(cursor, "`@map`", false, diagnostics)?;
    Ok(MapAnnotation { properties, span: name_span.to(cursor.previous()) })
}

/// Reads `WITH (...)` into the annotation it stands for.
///
/// # Errors
/// When it cannot be read at all, or does not say whether it is a source or a sink.
pub(super) fn with_clause(
    cursor: &mut Cursor<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Annotation, Diagnostic> {
    let name_span = cursor.here();
    cursor.position += 1;
    let PropertyList { properties, .. } = property_list(cursor, "`WITH`", false, diagnostics)?;
    let span = name_span.to(cursor.previous());
    with_annotation(properties, name_span, span)
}

fn with_annotation(properties: Vec<Property>, name_span: Span, span: Span) -> Result<Annotation, Diagnostic> {
    let mut kind = None;
    let mut connector = Vec::new();
    let mut map: Option<MapAnnotation> = None;
    let format = properties.iter().find(|property| property.key == "format").map(|property| property.value.clone());
    let belongs_to_map =
        |key: &str| key == EXCLUDE || format.as_deref().is_some_and(|format| key.split('.').next() == Some(format));
    let mut map_properties = Vec::new();
    for property in properties {
        match property.key.as_str() {
            "type" => kind = Some(with_kind(&property)?),
            "extension" => connector.push(Property { key: "type".to_owned(), ..property }),
            "format" => {
                let span = property.key_span.to(property.value_span);
                map = Some(MapAnnotation { properties: Vec::new(), span });
                map_properties.insert(0, Property { key: "type".to_owned(), ..property });
            }
            key if belongs_to_map(key) => map_properties.push(property),
            _ => connector.push(property),
        }
    }
    if let Some(map) = &mut map {
        map.properties = map_properties;
    } else if let Some(exclude) = map_properties.first() {
        let message = format!("the property {} needs a format in `WITH`", quoted(EXCLUDE));
        return Err(Diagnostic::error(exclude.key_span, message).with_hint("add format='...'"));
    }
    let Some(kind) = kind else {
        return Err(Diagnostic::error(name_span, "`WITH` does not say whether it is a source or a sink")
            .with_hint("add type='source' or type='sink'"));
    };
    Ok(Annotation { kind, spelling: Spelling::With, properties: connector, map, name_span, span })
}

fn with_kind(property: &Property) -> Result<AnnotationKind, Diagnostic> {
    kind_of(&property.value).ok_or_else(|| {
        let hint = match nearest(&property.value, ["source", "sink"]) {
            Some(name) => format!("did you mean type='{name}'?"),
            None => "write type='source' or type='sink'; the connector's name belongs into extension='...'".to_owned(),
        };
        Diagnostic::error(property.value_span, "the `type` in `WITH` is neither `source` nor `sink`").with_hint(hint)
    })
}

fn kind_of(name: &str) -> Option<AnnotationKind> {
    if name.eq_ignore_ascii_case("source") {
        Some(AnnotationKind::Source)
    } else if name.eq_ignore_ascii_case("sink") {
        Some(AnnotationKind::Sink)
    } else {
        None
    }
}

/// Takes `@name`.
fn annotation_name(cursor: &mut Cursor<'_>) -> Result<(String, Span), Diagnostic> {
    let at = cursor.here();
    cursor.position += 1;
    let touching = cursor.peek().filter(|token| token.span.start == at.end);
    let Some(name) = touching.and_then(|token| token.word()) else {
        return Err(Diagnostic::error(at, "expected the name of an annotation directly after `@`")
            .with_hint("annotations are @source and @sink, and @map inside them"));
    };
    let span = at.to(cursor.here());
    cursor.position += 1;
    Ok((name.to_owned(), span))
}

fn unknown_annotation(name: &str, span: Span, known: &[&str]) -> Diagnostic {
    if name.eq_ignore_ascii_case("map") {
        return Diagnostic::error(span, "`@map` stands outside of an annotation")
            .with_hint("write it inside the parentheses of @source or @sink");
    }
    let hint = match nearest(name, known.iter().copied()) {
        Some(name) => format!("did you mean @{name}?"),
        None if known == ["map"] => "only @map can stand inside an annotation".to_owned(),
        None => "annotations are @source and @sink before a stream, and @map inside them".to_owned(),
    };
    Diagnostic::error(span, format!("unknown annotation {}", quoted(&format!("@{name}")))).with_hint(hint)
}

/// Passes `( ... )`, if that comes next.
fn skip_arguments(cursor: &mut Cursor<'_>) {
    if cursor.eat(&SqlToken::LParen) {
        cursor.skip_until(|_| false);
        cursor.eat(&SqlToken::RParen);
    }
}
