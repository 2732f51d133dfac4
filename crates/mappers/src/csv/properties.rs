//! The properties of the `csv` format.

use eventflux_core::{EventFluxError, Properties, PropertyKind, PropertySpec, Schema};

use crate::template::unknown;
use crate::timestamp::{FORMATS, UNITS};

/// In `csv.columns` of a source: a field no column wants.
pub(super) const SKIPPED: &str = "_";

const DELIMITER: PropertySpec = PropertySpec::new(
    "csv.delimiter",
    PropertyKind::Text,
    "The character between two fields: one ASCII character, or 'tab'.",
)
.default(",")
.example(";");

const QUOTE: PropertySpec = PropertySpec::new(
    "csv.quote",
    PropertyKind::Text,
    "The character around a field that contains delimiters, quotes or line endings: one ASCII character; doubled inside.",
)
.default("\"");

const NULL: PropertySpec =
    PropertySpec::new("csv.null", PropertyKind::Text, "The field that stands for NULL.").default("").example("\\N");

/// Properties of the decoder.
pub(super) const SOURCE: &[PropertySpec] = &[
    PropertySpec::new(
        "csv.header",
        PropertyKind::Boolean,
        "Whether the first line of each message names the fields; columns are then found by name, and other fields are ignored.",
    )
    .default("false"),
    PropertySpec::new(
        "csv.columns",
        PropertyKind::Text,
        "The column of each field, separated by commas, _ for a field no column wants. Without it fields are the columns in the order of the stream.",
    )
    .example("symbol,_,price"),
    DELIMITER,
    QUOTE,
    NULL,
    PropertySpec::new(
        "csv.timestamp.unit",
        PropertyKind::Choice(UNITS),
        "Unit of a number in a TIMESTAMP column, since 1970-01-01T00:00:00Z. Other text is RFC 3339.",
    )
    .default("ms"),
    PropertySpec::new(
        "csv.max.events",
        PropertyKind::Integer { min: 1, max: 1_000_000 },
        "Most lines in one message, the header not counted; one with more fails.",
    )
    .default("10000"),
];

/// Properties of the encoder.
pub(super) const SINK: &[PropertySpec] = &[
    PropertySpec::new(
        "csv.header",
        PropertyKind::Boolean,
        "Whether every payload starts with a line that names the fields.",
    )
    .default("false"),
    PropertySpec::new(
        "csv.columns",
        PropertyKind::Text,
        "The columns to write, in that order, separated by commas. Without it all, in the order of the stream.",
    )
    .example("symbol,price"),
    DELIMITER,
    QUOTE,
    PropertySpec::new(
        "csv.quoting",
        PropertyKind::Choice(&["necessary", "always", "non-numeric"]),
        "Which fields are quoted: those that must be, all, or all that are not numbers.",
    )
    .default("necessary"),
    NULL,
    PropertySpec::new(
        "csv.timestamp.format",
        PropertyKind::Choice(FORMATS),
        "How a TIMESTAMP is written: a number of that unit, with decimals when it needs them, or RFC 3339 text in UTC.",
    )
    .default("ms"),
];

/// The delimiter and the quote.
///
/// # Errors
/// [`EventFluxError::Configuration`] when one is no single ASCII character, or both are the same.
pub(super) fn delimiters(properties: &Properties) -> Result<(u8, u8), EventFluxError> {
    let delimiter = character(properties, DELIMITER.key)?;
    let quote = character(properties, QUOTE.key)?;
    if delimiter == quote {
        let error = EventFluxError::property(QUOTE.key, "is the same as csv.delimiter");
        return Err(error.with_hint("choose different characters"));
    }
    Ok((delimiter, quote))
}

fn character(properties: &Properties, key: &str) -> Result<u8, EventFluxError> {
    match properties.text(key)? {
        "tab" | "\\t" => Ok(b'\t'),
        text => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0) => Ok(*byte),
            _ => {
                let error = EventFluxError::property(key, format!("'{}' is not allowed", text.escape_debug()));
                Err(error.with_hint("use one ASCII character, or 'tab'"))
            }
        },
    }
}

/// The names `csv.columns` lists, as indices of columns; `None` for [`SKIPPED`]. Without the property, all columns.
///
/// # Errors
/// [`EventFluxError::Configuration`] for a name the stream does not have, or one listed twice.
pub(super) fn columns(schema: &Schema, properties: &Properties) -> Result<Vec<Option<usize>>, EventFluxError> {
    const KEY: &str = "csv.columns";
    let Some(list) = properties.optional_text(KEY) else {
        return Ok((0..schema.len()).map(Some).collect());
    };
    let mut columns = Vec::new();
    for name in list.split(',').map(str::trim) {
        let column = match schema.index_of(name) {
            None if name == SKIPPED => None,
            None => return Err(unknown(KEY, name, schema)),
            found => found,
        };
        if column.is_some() && columns.contains(&column) {
            return Err(EventFluxError::property(KEY, format!("names the column '{name}' twice")));
        }
        columns.push(column);
    }
    Ok(columns)
}
