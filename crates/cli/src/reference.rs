//! The property reference, made from the declarations of connectors and formats.
//!
//! What a property is called, takes and does is declared beside the code that reads it; here it is only laid out, as
//! text, Markdown or JSON.

use std::fmt::Write;

use eventflux_core::{COMMON_PROPERTIES, EventFluxContext, PropertySpec, strategy};
use serde_json::{Value, json};

/// One way a name can be used in a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Source,
    Sink,
    Decoder,
    Encoder,
}

/// What can be said about one [`Kind`] of one name.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    doc: &'static str,
    formats: &'static [&'static str],
    properties: &'static [PropertySpec],
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Decoder => "decoder",
            Self::Encoder => "encoder",
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Source => "Source properties",
            Self::Sink => "Sink properties",
            Self::Decoder => "On a source",
            Self::Encoder => "On a sink",
        }
    }

    fn is_connector(self) -> bool {
        matches!(self, Self::Source | Self::Sink)
    }
}

/// Everything that is registered: sources, then sinks, then formats, each by name.
pub(crate) fn entries(context: &EventFluxContext) -> Vec<Entry> {
    let sources = context.sources().map(|factory| Entry {
        name: factory.name(),
        kind: Kind::Source,
        doc: factory.doc(),
        formats: factory.supported_formats(),
        properties: factory.properties(),
    });
    let sinks = context.sinks().map(|factory| Entry {
        name: factory.name(),
        kind: Kind::Sink,
        doc: factory.doc(),
        formats: factory.supported_formats(),
        properties: factory.properties(),
    });
    let formats = context.mappers().flat_map(|factory| {
        let entry =
            |kind, properties| Entry { name: factory.name(), kind, doc: factory.doc(), formats: &[], properties };
        [entry(Kind::Decoder, factory.source_properties()), entry(Kind::Encoder, factory.sink_properties())]
    });
    sources.chain(sinks).chain(formats).collect()
}

/// The properties every source and sink has.
pub(crate) fn common_properties() -> impl Iterator<Item = &'static PropertySpec> {
    COMMON_PROPERTIES.iter().chain(strategy::PROPERTIES)
}

/// A list of `entries` for a terminal.
pub(crate) fn list_text(entries: &[Entry]) -> String {
    let mut text = String::new();
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    for (title, kind) in [("Sources", Kind::Source), ("Sinks", Kind::Sink), ("Formats", Kind::Decoder)] {
        let _ = writeln!(text, "{title}");
        for entry in entries.iter().filter(|entry| entry.kind == kind) {
            let _ = writeln!(text, "  {:width$}  {}", entry.name, entry.doc);
        }
        text.push('\n');
    }
    text.push_str("'eventflux connectors NAME' explains the properties of one.\n");
    text
}

/// `entries` in full, for a terminal.
pub(crate) fn text(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let _ = writeln!(text, "{} {}: {}", entry.name, entry.kind.name(), entry.doc);
        if !entry.formats.is_empty() {
            let _ = writeln!(text, "  Formats: {}", entry.formats.join(", "));
        }
        text.push('\n');
        if entry.properties.is_empty() {
            text.push_str("  It has no properties of its own.\n\n");
        }
        entry.properties.iter().for_each(|spec| property_text(&mut text, spec));
    }
    if entries.iter().any(|entry| entry.kind.is_connector()) {
        text.push_str("Every source and sink also has:\n\n");
        common_properties().for_each(|spec| property_text(&mut text, spec));
    }
    text
}

/// `entries` in full, as sections of a Markdown page.
pub(crate) fn markdown(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let _ = writeln!(text, "### {}\n", entry.kind.heading());
        if entry.kind.is_connector() {
            let formats: Vec<_> = entry.formats.iter().map(|format| code(format)).collect();
            let _ = writeln!(text, "{}\nFormats: {}.\n", entry.doc, formats.join(", "));
        }
        if entry.properties.is_empty() {
            text.push_str("No properties of its own.\n\n");
        } else {
            property_table(&mut text, entry.properties.iter());
        }
    }
    text
}

/// A list of `entries` and the common properties, as sections of a Markdown page.
pub(crate) fn list_markdown(entries: &[Entry]) -> String {
    let mut text = String::new();
    for (title, kind) in [("Sources", Kind::Source), ("Sinks", Kind::Sink), ("Formats", Kind::Decoder)] {
        let _ = writeln!(text, "### {title}\n\n| Name | |\n|---|---|");
        for entry in entries.iter().filter(|entry| entry.kind == kind) {
            let _ = writeln!(text, "| {} | {} |", code(entry.name), cell(entry.doc));
        }
        text.push('\n');
    }
    text.push_str("### Properties of every source and sink\n\n");
    property_table(&mut text, common_properties());
    text
}

/// A list of `entries`, for programs.
pub(crate) fn list_json(entries: &[Entry]) -> Value {
    let list = |kind| -> Vec<_> { entries.iter().filter(|entry| entry.kind == kind).map(entry_json).collect() };
    json!({
        "sources": list(Kind::Source),
        "sinks": list(Kind::Sink),
        "decoders": list(Kind::Decoder),
        "encoders": list(Kind::Encoder),
        "common": common_properties().map(property_json).collect::<Vec<_>>(),
    })
}

/// `entries` of one name, for programs.
pub(crate) fn json(name: &str, entries: &[Entry]) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("name".to_owned(), json!(name));
    for entry in entries {
        object.insert(entry.kind.name().to_owned(), entry_json(entry));
    }
    if entries.iter().any(|entry| entry.kind.is_connector()) {
        object.insert("common".to_owned(), common_properties().map(property_json).collect());
    }
    Value::Object(object)
}

fn property_text(text: &mut String, spec: &PropertySpec) {
    let mut facts = vec![spec.kind.allowed()];
    facts.extend(spec.unit.map(|unit| format!("in {unit}")));
    facts.extend(spec.default.map(|default| format!("default {}", or_empty(default))));
    facts.extend(spec.required.then(|| "required".to_owned()));
    facts.extend(spec.secret.then(|| "secret".to_owned()));
    facts.extend(spec.only_if.map(|only| format!("only with {}='{}'", only.key, only.value)));
    let _ = writeln!(text, "  {}\n      {}\n      ({})", spec.key, spec.doc, facts.join("; "));
    if let Some(example) = spec.example {
        let _ = writeln!(text, "      example: {}='{example}'", spec.key);
    }
    text.push('\n');
}

fn property_table<'a>(text: &mut String, specs: impl Iterator<Item = &'a PropertySpec>) {
    text.push_str("| Property | Value | Default | Meaning |\n|---|---|---|---|\n");
    for spec in specs {
        let unit = spec.unit.map(|unit| format!(", in {unit}")).unwrap_or_default();
        let default = match (spec.default, spec.required) {
            (Some(""), _) => or_empty("").to_owned(),
            (Some(default), _) => code(default),
            (None, true) => "required".to_owned(),
            (None, false) => "–".to_owned(),
        };
        let mut meaning = cell(spec.doc);
        if let Some(only) = spec.only_if {
            let _ = write!(meaning, " Only with {}.", code(&format!("{}='{}'", only.key, only.value)));
        }
        if spec.secret {
            meaning.push_str(" Secret.");
        }
        if let Some(example) = spec.example {
            let _ = write!(meaning, " Example: {}", code(example));
        }
        let _ = writeln!(text, "| {} | {}{unit} | {default} | {meaning} |", code(spec.key), cell(&spec.kind.allowed()));
    }
    text.push('\n');
}

fn entry_json(entry: &Entry) -> Value {
    let mut value = json!({
        "name": entry.name,
        "doc": entry.doc,
        "properties": entry.properties.iter().map(property_json).collect::<Vec<_>>(),
    });
    if entry.kind.is_connector() {
        value["formats"] = json!(entry.formats);
    }
    value
}

fn property_json(spec: &PropertySpec) -> Value {
    json!({
        "key": spec.key,
        "type": spec.kind.name(),
        "allowed": spec.kind.allowed(),
        "doc": spec.doc,
        "default": spec.default,
        "required": spec.required,
        "secret": spec.secret,
        "unit": spec.unit,
        "example": spec.example,
        "onlyIf": spec.only_if.map(|only| json!({ "key": only.key, "value": only.value })),
    })
}

/// A default as it is shown.
fn or_empty(default: &str) -> &str {
    if default.is_empty() { "empty" } else { default }
}

/// Inline code that survives inside a table.
fn code(text: &str) -> String {
    let fence = if text.contains('`') { "``" } else { "`" };
    format!("{fence}{}{fence}", cell(text))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use eventflux_core::PropertyKind;

    use super::*;

    const PROPERTIES: &[PropertySpec] = &[
        PropertySpec::new("demo.url", PropertyKind::Url(&["ws", "wss"]), "Where to connect.")
            .required()
            .example("wss://a|b"),
        PropertySpec::new("demo.delay", PropertyKind::Integer { min: 0, max: 60 }, "Pause.").default("5").unit("s"),
        PropertySpec::new("demo.token", PropertyKind::Text, "Password.").secret().only_if("demo.auth", "bearer"),
    ];

    fn entry(kind: Kind) -> Entry {
        Entry { name: "demo", kind, doc: "Demonstrates.", formats: &["json", "text"], properties: PROPERTIES }
    }

    #[test]
    fn a_markdown_table_has_every_fact_and_survives_pipes() {
        let page = markdown(&[entry(Kind::Source)]);
        assert!(page.contains("Formats: `json`, `text`."), "{page}");
        assert!(
            page.contains(
                "| `demo.url` | a URL that starts with ws:// or wss:// | required | Where to connect. Example: `wss://a\\|b` |"
            ),
            "{page}"
        );
        assert!(page.contains("| `demo.delay` | a whole number from 0 to 60, in s | `5` | Pause. |"), "{page}");
        assert!(page.contains("Password. Only with `demo.auth='bearer'`. Secret. |"), "{page}");
    }

    #[test]
    fn text_shows_the_common_properties_of_connectors_but_not_of_formats() {
        assert!(text(&[entry(Kind::Sink)]).contains("error.strategy"));
        assert!(!text(&[entry(Kind::Decoder)]).contains("error.strategy"));
    }

    #[test]
    fn json_has_one_object_per_role() {
        let value = json("demo", &[entry(Kind::Source), entry(Kind::Decoder)]);
        assert_eq!(value["name"], "demo");
        assert_eq!(value["source"]["properties"][0]["required"], true);
        assert_eq!(value["source"]["properties"][2]["onlyIf"]["value"], "bearer");
        assert_eq!(value["decoder"]["formats"], Value::Null);
        assert_eq!(value["sink"], Value::Null);
    }

    #[test]
    fn a_list_names_each_format_once() {
        let text = list_text(&[entry(Kind::Source), entry(Kind::Decoder), entry(Kind::Encoder)]);
        assert_eq!(text.matches("demo").count(), 2, "{text}");
    }
}
