//! The property reference, made from the declarations of connectors and formats.
//!
//! What a property is called, takes and does is declared beside the code that reads it; here it is only laid out, as
//! text, Markdown or JSON.

mod cells;
mod metadata;
mod property;

use std::fmt::Write;

use eventflux_core::{
    COMMON_PROPERTIES, ENCODER_PROPERTIES, EventFluxContext, MetadataSpec, PropertySpec, SOURCE_PROPERTIES, strategy,
};
use serde_json::{Value, json};

use cells::{cell, code};
use metadata::{metadata_json, metadata_table, metadata_text};
use property::{property_json, property_table, property_text};

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
    metadata: &'static [MetadataSpec],
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
        metadata: factory.metadata(),
    });
    let sinks = context.sinks().map(|factory| Entry {
        name: factory.name(),
        kind: Kind::Sink,
        doc: factory.doc(),
        formats: factory.supported_formats(),
        properties: factory.properties(),
        metadata: &[],
    });
    let formats = context.mappers().flat_map(|factory| {
        let (name, doc) = (factory.name(), factory.doc());
        let entry = |kind, properties| Entry { name, kind, doc, formats: &[], properties, metadata: &[] };
        [entry(Kind::Decoder, factory.source_properties()), entry(Kind::Encoder, factory.sink_properties())]
    });
    sources.chain(sinks).chain(formats).collect()
}

/// Properties that all entries of some kinds have.
struct Shared {
    kinds: &'static [Kind],
    /// Who has them.
    of: &'static str,
    /// Their key in JSON.
    key: &'static str,
    tables: &'static [&'static [PropertySpec]],
}

const SHARED: &[Shared] = &[
    Shared {
        kinds: &[Kind::Source, Kind::Sink],
        of: "source and sink",
        key: "common",
        tables: &[COMMON_PROPERTIES, strategy::PROPERTIES],
    },
    Shared { kinds: &[Kind::Source], of: "source", key: "commonToSources", tables: &[SOURCE_PROPERTIES] },
    Shared {
        kinds: &[Kind::Encoder],
        of: "format in the @map of a sink",
        key: "commonToEncoders",
        tables: &[ENCODER_PROPERTIES],
    },
];

impl Shared {
    fn properties(&self) -> impl Iterator<Item = &'static PropertySpec> {
        self.tables.iter().copied().flatten()
    }

    fn json(&self) -> Value {
        self.properties().map(property_json).collect()
    }
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
        metadata_text(&mut text, entry.metadata);
    }
    for shared in SHARED.iter().filter(|shared| entries.iter().any(|entry| shared.kinds.contains(&entry.kind))) {
        let _ = writeln!(text, "Every {} also has:\n", shared.of);
        shared.properties().for_each(|spec| property_text(&mut text, spec));
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
        metadata_table(&mut text, entry.metadata);
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
    for shared in SHARED {
        let _ = writeln!(text, "### Properties of every {}\n", shared.of);
        property_table(&mut text, shared.properties());
    }
    text
}

/// A list of `entries`, for programs.
pub(crate) fn list_json(entries: &[Entry]) -> Value {
    let list = |kind| -> Vec<_> { entries.iter().filter(|entry| entry.kind == kind).map(entry_json).collect() };
    let mut value = json!({
        "sources": list(Kind::Source),
        "sinks": list(Kind::Sink),
        "decoders": list(Kind::Decoder),
        "encoders": list(Kind::Encoder),
    });
    SHARED.iter().for_each(|shared| value[shared.key] = shared.json());
    value
}

/// `entries` of one name, for programs.
pub(crate) fn json(name: &str, entries: &[Entry]) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("name".to_owned(), json!(name));
    for entry in entries {
        object.insert(entry.kind.name().to_owned(), entry_json(entry));
    }
    for shared in SHARED.iter().filter(|shared| entries.iter().any(|entry| shared.kinds.contains(&entry.kind))) {
        object.insert(shared.key.to_owned(), shared.json());
    }
    Value::Object(object)
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
    if entry.kind == Kind::Source {
        value["metadata"] = entry.metadata.iter().map(metadata_json).collect();
    }
    value
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
        PropertySpec::new("demo.queue", PropertyKind::Size, "Queue.")
            .default("16KiB")
            .default_for("demo.auth", &[("bearer", "1KiB"), ("basic", "2KiB")])
            .only_if_any("demo.auth", &["bearer", "basic"]),
    ];

    const METADATA: &[MetadataSpec] =
        &[MetadataSpec::new("at", eventflux_core::DataType::Timestamp, "When it came, or a|b.")];

    fn entry(kind: Kind) -> Entry {
        let metadata = if kind == Kind::Source { METADATA } else { &[] };
        Entry { name: "demo", kind, doc: "Demonstrates.", formats: &["json", "text"], properties: PROPERTIES, metadata }
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
        assert!(
            page.contains(
                "| `1KiB` with `demo.auth='bearer'`; `2KiB` with `demo.auth='basic'`; else `16KiB` | \
                 Queue. Only with `demo.auth='bearer'` or `'basic'`. |"
            ),
            "{page}"
        );
    }

    #[test]
    fn the_metadata_of_a_source_are_listed() {
        assert!(text(&[entry(Kind::Source)]).contains("  at (TIMESTAMP)\n      When it came, or a|b.\n"));
        assert!(markdown(&[entry(Kind::Source)]).contains("| `at` | `TIMESTAMP` | When it came, or a\\|b. |"));
        assert!(!markdown(&[entry(Kind::Sink)]).contains("metadata"));
        let value = json("demo", &[entry(Kind::Source)]);
        assert_eq!(value["source"]["metadata"][0]["type"], "TIMESTAMP");
    }

    #[test]
    fn what_all_of_a_kind_have_is_shown_with_that_kind_only() {
        assert!(text(&[entry(Kind::Source)]).contains("Every source also has:\n\n  metadata.*"));
        assert!(!text(&[entry(Kind::Sink)]).contains("metadata.*"));
        assert!(text(&[entry(Kind::Encoder)]).contains("also has:\n\n  exclude"));
        assert!(!text(&[entry(Kind::Decoder)]).contains("exclude"));
        let value = list_json(&[]);
        assert_eq!(value["commonToSources"][0]["key"], "metadata.*");
        assert_eq!(value["commonToEncoders"][0]["key"], "exclude");
    }

    #[test]
    fn text_shows_the_common_properties_of_connectors_but_not_of_formats() {
        assert!(text(&[entry(Kind::Sink)]).contains("error.strategy"));
        assert!(!text(&[entry(Kind::Decoder)]).contains("error.strategy"));
    }

    #[test]
    fn text_says_what_a_default_and_a_property_depend_on() {
        let text = text(&[entry(Kind::Decoder)]);
        assert!(
            text.contains(
                "default 1KiB with demo.auth='bearer', 2KiB with demo.auth='basic', else 16KiB; \
                 only with demo.auth='bearer' or 'basic')"
            ),
            "{text}"
        );
    }

    #[test]
    fn json_has_one_object_per_role() {
        let value = json("demo", &[entry(Kind::Source), entry(Kind::Decoder)]);
        assert_eq!(value["name"], "demo");
        assert_eq!(value["source"]["properties"][0]["required"], true);
        assert_eq!(value["source"]["properties"][2]["onlyIf"]["values"], json!(["bearer"]));
        let queue = &value["source"]["properties"][3];
        assert_eq!(
            queue["defaultFor"],
            json!({ "key": "demo.auth", "defaults": { "bearer": "1KiB", "basic": "2KiB" } })
        );
        assert_eq!(value["decoder"]["formats"], Value::Null);
        assert_eq!(value["sink"], Value::Null);
    }

    #[test]
    fn a_list_names_each_format_once() {
        let text = list_text(&[entry(Kind::Source), entry(Kind::Decoder), entry(Kind::Encoder)]);
        assert_eq!(text.matches("demo").count(), 2, "{text}");
    }
}
