//! The properties of the `json` format, and the settings they become.

use eventflux_core::property::nearest;
use eventflux_core::{EventFluxError, Properties, PropertyKind, PropertySpec, Schema};

use super::convert::{Absent, Rules, WrongType};
use super::path::Path;
use super::walk::Limits;
use crate::timestamp::{FORMATS, TimeFormat, TimeUnit, UNITS};

/// Properties of the decoder.
pub(super) const SOURCE: &[PropertySpec] = &[
    PropertySpec::new(
        "json.root",
        PropertyKind::Text,
        "Path to the event, or to the array of events, in the message.",
    )
    .default("$")
    .example("$.data"),
    PropertySpec::new(
        "json.root.array",
        PropertyKind::Choice(&["events", "event"]),
        "What an array at the root is: a list of events, or one event whose columns have paths such as $[0].",
    )
    .default("events"),
    PropertySpec::new(
        "json.path.*",
        PropertyKind::Text,
        "Path to the value of the column the key ends with: from $, the event, or from $$, the whole message (for values beside an array of events). Without one a column is the key of its own name, exactly as written.",
    )
    .example("$.data.items[0].price"),
    PropertySpec::new(
        "json.on.missing",
        PropertyKind::Choice(&["null", "error"]),
        "What becomes of a column whose value the message does not have.",
    )
    .default("null"),
    PropertySpec::new(
        "json.on.missing.root",
        PropertyKind::Choice(&["error", "skip"]),
        "What becomes of a message that has nothing, or null, at json.root: 'skip' takes it as no event (acknowledgements and heartbeats between the data).",
    )
    .default("error"),
    PropertySpec::new(
        "json.on.null",
        PropertyKind::Choice(&["null", "error"]),
        "What becomes of a column whose value is null.",
    )
    .default("null"),
    PropertySpec::new(
        "json.on.wrong.type",
        PropertyKind::Choice(&["error", "null", "coerce"]),
        "What becomes of a value that does not fit the column's type. 'coerce' takes numbers and booleans in strings (\"1.5\" into DOUBLE, never rounding a whole number), 0 and 1 as BOOL, and the text of any value as STRING; what does not fit even so is an error.",
    )
    .default("error"),
    PropertySpec::new(
        "json.timestamp.unit",
        PropertyKind::Choice(UNITS),
        "Unit of a number in a TIMESTAMP column, since 1970-01-01T00:00:00Z. Text is RFC 3339.",
    )
    .default("ms"),
    PropertySpec::new(
        "json.max.events",
        PropertyKind::Integer { min: 1, max: 1_000_000 },
        "Most events in one message; one with more fails.",
    )
    .default("10000"),
    PropertySpec::new(
        "json.max.depth",
        PropertyKind::Integer { min: 1, max: 128 },
        "Deepest nesting of objects and arrays in a message; a deeper one fails.",
    )
    .default("128"),
];

/// Properties of the encoder.
pub(super) const SINK: &[PropertySpec] = &[
    PropertySpec::new(
        "json.output",
        PropertyKind::Choice(&["object", "envelope", "template"]),
        "The shape of a payload: an object of all columns, that object inside another one, or a template.",
    )
    .default("object"),
    PropertySpec::new(
        "json.envelope.key",
        PropertyKind::Text,
        "Key of the columns' object in the envelope.",
    )
    .default("data")
    .only_if("json.output", "envelope"),
    PropertySpec::new(
        "json.template",
        PropertyKind::Text,
        "JSON text with ${column} where values go: as JSON values, or inside a string as its escaped text (nothing for NULL). $${ stands for ${.",
    )
    .required()
    .only_if("json.output", "template")
    .example(r#"{"type":"trade","data":{"s":"${symbol}","price":${price}}}"#),
    PropertySpec::new(
        "json.nulls",
        PropertyKind::Choice(&["write", "omit"]),
        "Whether a column that is NULL is written as null or left out.",
    )
    .default("write"),
    PropertySpec::new(
        "json.line.breaks",
        PropertyKind::Choice(&["keep", "space"]),
        "What becomes of line breaks between the parts of a JSON value, or of the template: 'space' writes spaces instead, so that a payload is one line.",
    )
    .default("keep"),
    PropertySpec::new(
        "json.timestamp.format",
        PropertyKind::Choice(FORMATS),
        "How a TIMESTAMP is written: a number of that unit, with decimals when it needs them, or RFC 3339 text in UTC.",
    )
    .default("ms"),
];

/// The settings of a decoder.
#[derive(Debug)]
pub(super) struct SourceConfig {
    /// Where the events are.
    pub(super) root: Path,
    /// Whether an array there is a list of events.
    pub(super) lists: bool,
    /// Whether a message without a root is an error (else it is no event).
    pub(super) root_required: bool,
    /// The path of each column, in schema order.
    pub(super) paths: Vec<Path>,
    pub(super) rules: Rules,
    pub(super) limits: Limits,
}

impl SourceConfig {
    /// Reads the settings of a decoder into `schema`.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the property.
    pub(super) fn new(schema: &Schema, properties: &Properties) -> Result<Self, EventFluxError> {
        let root = parse_path("json.root", properties.text("json.root")?)?;
        if root.steps.is_empty() && properties.is_given("json.on.missing.root") {
            let error = EventFluxError::property("json.on.missing.root", "has no effect when the message is the event");
            return Err(error.with_hint("remove it, or set json.root"));
        }
        let lists = properties.text("json.root.array")? == "events";
        if !lists && properties.is_given("json.max.events") {
            let error = EventFluxError::property("json.max.events", "has no effect when a message is one event");
            return Err(error.with_hint("remove it, or set json.root.array='events'"));
        }
        Ok(Self {
            paths: column_paths(schema, properties, &root)?,
            root,
            lists,
            root_required: properties.text("json.on.missing.root")? == "error",
            rules: Rules {
                missing: absent(properties, "json.on.missing")?,
                null: absent(properties, "json.on.null")?,
                wrong_type: match properties.text("json.on.wrong.type")? {
                    "null" => WrongType::Null,
                    "coerce" => WrongType::Coerce,
                    _ => WrongType::Error,
                },
                unit: TimeUnit::from_property(properties, "json.timestamp.unit")?,
            },
            limits: Limits {
                depth: properties.integer("json.max.depth")?,
                events: properties.integer("json.max.events")?,
            },
        })
    }
}

/// The shape of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    Object,
    Envelope(String),
    Template(String),
}

/// The settings of an encoder.
#[derive(Debug)]
pub(super) struct SinkConfig {
    pub(super) output: Output,
    /// Whether columns that are `NULL` are left out.
    pub(super) omit_nulls: bool,
    /// Whether a payload is one line.
    pub(super) one_line: bool,
    pub(super) time: TimeFormat,
}

impl SinkConfig {
    /// Reads the settings of an encoder.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the property.
    pub(super) fn new(properties: &Properties) -> Result<Self, EventFluxError> {
        let output = match properties.text("json.output")? {
            "envelope" => Output::Envelope(properties.text("json.envelope.key")?.to_owned()),
            "template" => Output::Template(properties.text("json.template")?.to_owned()),
            _ => Output::Object,
        };
        if matches!(output, Output::Template(_)) && properties.is_given("json.nulls") {
            let error = EventFluxError::property("json.nulls", "has no effect on a template");
            return Err(error.with_hint("remove it: a template writes null, and nothing inside a string"));
        }
        Ok(Self {
            output,
            omit_nulls: properties.text("json.nulls")? == "omit",
            one_line: properties.text("json.line.breaks")? == "space",
            time: TimeFormat::from_property(properties, "json.timestamp.format")?,
        })
    }
}

fn absent(properties: &Properties, key: &str) -> Result<Absent, EventFluxError> {
    Ok(match properties.text(key)? {
        "error" => Absent::Error,
        _ => Absent::Null,
    })
}

fn parse_path(key: &str, text: &str) -> Result<Path, EventFluxError> {
    Path::parse(text).map_err(|reason| {
        EventFluxError::property(key, reason).with_hint("a path such as $.data.s, $.items[0].price or $['odd name']")
    })
}

fn column_paths(schema: &Schema, properties: &Properties, root: &Path) -> Result<Vec<Path>, EventFluxError> {
    const PREFIX: &str = "json.path.";
    let mut paths: Vec<_> = schema.names().map(Path::of_column).collect();
    for (column, text) in properties.prefixed(PREFIX) {
        let key = format!("{PREFIX}{column}");
        let Some(index) = schema.index_of(column) else {
            let error = EventFluxError::property(&key, format!("the stream has no column '{column}'"));
            let hint = match nearest(column, schema.names()) {
                Some(name) => format!("did you mean '{PREFIX}{name}'?"),
                None => format!("its columns are {}", schema.names().collect::<Vec<_>>().join(", ")),
            };
            return Err(error.with_hint(hint));
        };
        let path = parse_path(&key, text)?;
        if path.origin == super::path::Origin::Message && path.steps.starts_with(&root.steps) {
            let error = EventFluxError::property(&key, format!("'{path}' is the event itself or inside it"));
            return Err(error.with_hint("start the path with $, which is the event; $$ reaches what is beside it"));
        }
        paths[index] = path;
    }
    Ok(paths)
}
