//! The reference page of the kinds of components, made of their tables.

use std::fmt::Write as _;

use eventflux_core::PropertyKind;

use super::kinds::{Becomes, Field, KINDS, Kind, NATS, Shape, Target};

/// Every kind of component with its fields, and those of the member `nats` of a file, as Markdown.
pub fn markdown() -> String {
    let mut page = String::new();
    for kind in KINDS {
        describe(kind, &mut page);
    }
    page.push_str("### The member `nats` of a file\n\nThe server that subjects of ports of type `nats` are at. ");
    page.push_str("Each of them becomes a source or a sink of type `nats`.\n\n");
    table(NATS, &mut page);
    page
}

fn describe(kind: &Kind, page: &mut String) {
    let Kind { category, name, doc, .. } = kind;
    let becomes = match kind.becomes {
        Becomes::Source { connector, .. } => format!("a source of type `{connector}`"),
        Becomes::Sink { connector, .. } => format!("a sink of type `{connector}` for each of its subjects"),
        Becomes::Filter => {
            "a query `INSERT INTO ... SELECT ... WHERE` from each of its inputs to each of its outputs".to_owned()
        }
    };
    // Writing to a String does not fail.
    let _ = writeln!(page, "### `{name}` ({category})\n\n{doc} It becomes {becomes}.\n");
    table(kind.fields, page);
}

fn table(fields: &[Field], page: &mut String) {
    let _ = writeln!(page, "| Field | Type | Required | Default | Becomes | Meaning |\n|---|---|---|---|---|---|");
    for field in fields {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} |",
            field.path,
            kind_of(field.shape),
            required(field),
            default(field),
            becomes_of(field),
            field.doc.replace('|', "\\|"),
        );
    }
    page.push('\n');
}

fn kind_of(shape: Shape) -> String {
    match shape {
        Shape::Like(PropertyKind::Choice(words)) => {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        other => other.name().to_owned(),
    }
}

fn required(field: &Field) -> String {
    if !field.required {
        return "no".to_owned();
    }
    match field.conditions.last() {
        None => "yes".to_owned(),
        Some((path, value)) => format!("with `{path}` `{value}`"),
    }
}

fn default(field: &Field) -> String {
    field.default.map(|default| format!("`{default}`")).unwrap_or_default()
}

fn becomes_of(field: &Field) -> String {
    match field.target {
        Target::Property(key) | Target::Milliseconds(key) => format!("`{key}`"),
        Target::Made(what, _) => what.to_owned(),
        Target::PartOf(what) if what.contains(' ') => format!("part of {what}"),
        Target::PartOf(what) => format!("part of `{what}`"),
        Target::Nothing(_) | Target::Always(..) => "nothing".to_owned(),
    }
}
