//! The `text` format: a message is text, and rows become lines for people or for a template.
//!
//! Decoding puts a message, or each of its lines, into one `STRING` column as it is. Encoding writes the template; or
//! the value of the only column; or, for several columns, a line such as `symbol=BTCUSDT  price=50000.01  size=0.012`,
//! its values in columns of a width that grows with them, control characters escaped. A template and a single column
//! are data: their text is written as it is.

mod decode;
mod encode;

use std::sync::Arc;

use eventflux_core::{
    DataType, EventFluxError, MapperFactory, Properties, PropertyKind, PropertySpec, Schema, SinkMapper, SourceMapper,
};

use crate::{template, timestamp};
use decode::TextSourceMapper;
use encode::TextSinkMapper;

const SOURCE: &[PropertySpec] = &[
    PropertySpec::new(
        "text.column",
        PropertyKind::Text,
        "The STRING column that takes the text; others are NULL. Without it the stream has exactly one column.",
    )
    .example("line"),
    PropertySpec::new(
        "text.lines",
        PropertyKind::Boolean,
        "Whether each line of a message is an event (without its line ending), or the message is one.",
    )
    .default("false"),
    PropertySpec::new(
        "text.max.events",
        PropertyKind::Integer { min: 1, max: 1_000_000 },
        "Most lines in one message, with text.lines; one with more fails.",
    )
    .default("10000"),
];

const SINK: &[PropertySpec] = &[
    PropertySpec::new(
        "text.template",
        PropertyKind::Text,
        "Text with ${column} where values go; $${ stands for ${. Without it a stream of one column writes that column, and one of several writes name=value.",
    )
    .example("${symbol} ${price}"),
    PropertySpec::new(
        "text.align",
        PropertyKind::Boolean,
        "Whether the values of name=value lines are padded to a common width.",
    )
    .default("true"),
    PropertySpec::new("text.null", PropertyKind::Text, "What is written for NULL.").default("null"),
    PropertySpec::new(
        "text.timestamp.format",
        PropertyKind::Choice(timestamp::FORMATS),
        "How a TIMESTAMP is written: RFC 3339 text in UTC, or a number of that unit.",
    )
    .default("rfc3339"),
];

/// Makes mappers of the `text` format.
#[derive(Debug, Clone, Copy)]
pub struct TextMapperFactory;

impl MapperFactory for TextMapperFactory {
    fn name(&self) -> &'static str {
        "text"
    }

    fn doc(&self) -> &'static str {
        "Plain text: messages or lines into one column, rows as lines for people or by a template."
    }

    fn source_properties(&self) -> &'static [PropertySpec] {
        SOURCE
    }

    fn sink_properties(&self) -> &'static [PropertySpec] {
        SINK
    }

    fn source_mapper(
        &self,
        schema: &Arc<Schema>,
        properties: &Properties,
    ) -> Result<Box<dyn SourceMapper>, EventFluxError> {
        let lines = properties.flag("text.lines")?;
        if !lines && properties.is_given("text.max.events") {
            let error = EventFluxError::property("text.max.events", "has no effect unless text.lines is 'true'");
            return Err(error.with_hint("remove it, or set text.lines='true'"));
        }
        let column = text_column(schema, properties)?;
        let max_lines = if lines { Some(properties.integer("text.max.events")?) } else { None };
        Ok(Box::new(TextSourceMapper::new(column, max_lines)))
    }

    fn sink_mapper(
        &self,
        schema: &Arc<Schema>,
        properties: &Properties,
    ) -> Result<Box<dyn SinkMapper>, EventFluxError> {
        let is_line = schema.len() != 1 && properties.optional_text("text.template").is_none();
        if !is_line && properties.is_given("text.align") {
            let error = EventFluxError::property("text.align", "has no effect on a template or a single column");
            return Err(error.with_hint("remove it: only name=value lines are aligned"));
        }
        Ok(Box::new(TextSinkMapper::new(schema, properties)?))
    }
}

/// The index of the column that takes the text.
fn text_column(schema: &Schema, properties: &Properties) -> Result<usize, EventFluxError> {
    const KEY: &str = "text.column";
    let index = match properties.optional_text(KEY) {
        Some(name) => schema.index_of(name).ok_or_else(|| template::unknown(KEY, name, schema))?,
        None if schema.len() == 1 => 0,
        None => {
            let reason = format!("is needed: the format 'text' fills one column and the stream has {}", schema.len());
            return Err(EventFluxError::property(KEY, reason).with_hint("name a STRING column"));
        }
    };
    let field = &schema.fields()[index];
    if field.data_type != DataType::String {
        let (name, found) = (&field.name, field.data_type);
        let error = EventFluxError::configuration(format!("the format 'text' cannot fill column {name}, a {found}"));
        return Err(error.with_hint("declare it STRING, or use the format 'bytes' for a BYTES column"));
    }
    Ok(index)
}
