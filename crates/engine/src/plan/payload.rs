//! What a sink gets of a row: the columns of its payload, and the texts of its templates.

use eventflux_core::property::{PropertyError, nearest};
use eventflux_core::template::TemplatePart;
use eventflux_core::{Properties, Schema, Template};

use super::columns::Columns;
use super::properties::Written;
use crate::diagnostic::Diagnostic;

/// The key in `@map` that names the columns a payload does not have.
pub(super) const EXCLUDE: &str = "exclude";

/// A template whose columns are found.
#[derive(Debug)]
pub(crate) struct RowTemplate {
    /// Key of the property.
    pub(crate) key: String,
    pub(crate) template: Template,
    pub(crate) parts: Vec<RowPart>,
}

/// A part of a [`RowTemplate`].
#[derive(Debug)]
pub(crate) enum RowPart {
    Literal(String),
    /// The value of the column of that number.
    Column(usize),
}

/// The templates among a sink's properties that name columns; `None` when one names a column the stream does not have.
pub(super) fn templates(
    properties: &Properties,
    schema: &Schema,
    complete: bool,
    written: &Written<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Vec<RowTemplate>> {
    let mut templates = Some(Vec::new());
    for (key, template) in properties.row_templates() {
        let missing: Vec<_> = template.columns().filter(|name| schema.index_of(name).is_none()).collect();
        if complete {
            diagnostics.extend(missing.iter().map(|name| written.mistake(unknown_column(key, name, schema))));
        }
        let part = |part: &TemplatePart| match part {
            TemplatePart::Literal(text) => Some(RowPart::Literal(text.clone())),
            TemplatePart::Column(name) => schema.index_of(name).map(RowPart::Column),
        };
        let parts: Option<Vec<_>> = template.parts().iter().map(part).collect();
        templates = templates.zip(parts).map(|(mut templates, parts)| {
            templates.push(RowTemplate { key: key.to_owned(), template: template.clone(), parts });
            templates
        });
    }
    templates
}

/// The columns of the payload, `Some(None)` when they are all; `None` when there is a mistake.
pub(super) fn columns(
    properties: &Properties,
    schema: &Schema,
    complete: bool,
    written: &Written<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Option<Columns>> {
    let Some(list) = properties.optional_text(EXCLUDE) else { return Some(None) };
    let before = diagnostics.len();
    let mut left_out = Vec::new();
    let mistake = |reason: String, hint: &str| PropertyError {
        key: EXCLUDE.to_owned(),
        reason,
        hint: Some(hint.to_owned()),
        in_value: true,
    };
    for name in list.split(',').map(str::trim) {
        match schema.index_of(name) {
            Some(column) if left_out.contains(&column) => {
                let error = mistake(format!("names the column '{name}' twice"), "name it once");
                diagnostics.push(written.mistake(error));
            }
            Some(column) => left_out.push(column),
            None if complete => diagnostics.push(written.mistake(unknown_column(EXCLUDE, name, schema))),
            None => return None,
        }
    }
    if left_out.len() == schema.len() {
        let error = mistake("leaves no column for the payload".to_owned(), "leave at least one column out of the list");
        diagnostics.push(written.mistake(error));
    }
    (diagnostics.len() == before).then(|| Some(Columns::without(schema, &left_out)))
}

fn unknown_column(key: &str, name: &str, schema: &Schema) -> PropertyError {
    PropertyError {
        key: key.to_owned(),
        reason: format!("the stream has no column '{name}'"),
        hint: Some(match nearest(name, schema.names()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("its columns are {}", schema.names().collect::<Vec<_>>().join(", ")),
        }),
        in_value: true,
    }
}
