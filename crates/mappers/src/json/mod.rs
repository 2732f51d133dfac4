//! The `json` format.
//!
//! Decoding goes from the message's bytes straight into columns: values that no column wants are checked and passed
//! over, and no tree is built. It never guesses: what a message is worth follows from these rules and the properties.
//!
//! - A message is valid JSON (RFC 8259) or it fails, whatever columns are declared. That includes values nobody looks
//!   at: a lone surrogate, a number beyond a 64-bit float, a control character in a string, invalid UTF-8, a byte order
//!   mark, text after the value, nesting beyond the limit.
//! - Columns are found by name, case included. Of repeated keys the last counts.
//! - An array at the root is a list of events. A message that fails yields no event, also when only one of them is bad.
//! - Whole numbers are exact. `1`, `1.0` and `1e0` are the same number and fit `BIGINT`; `1.5` and 2^63 do not.
//!   `FLOAT` and `DOUBLE` take the nearest value, `FLOAT` nothing beyond its range.
//! - A string is no number and a number no string, unless `json.on.wrong.type` is `coerce`.
//! - `TIMESTAMP` takes a number of the declared unit or RFC 3339 text; what is finer than a microsecond is cut off.
//! - `BYTES` is Base64 text (RFC 4648 section 4, with padding), both ways. `JSON` is the text of any value, as it stood
//!   in the message, both ways.
//!
//! Encoding writes numbers in the shortest form that reads back as the same value.

mod convert;
mod decode;
mod encode;
mod escape;
pub(crate) mod number;
mod path;
mod properties;
mod scan;
mod slot;
mod swar;
mod template;
mod tree;
mod walk;
mod write;

use std::sync::Arc;

use eventflux_core::{EventFluxError, MapperFactory, Properties, PropertySpec, Schema, SinkMapper, SourceMapper};

use decode::JsonSourceMapper;
use encode::JsonSinkMapper;
use properties::{SinkConfig, SourceConfig};

/// Whether all of `text` is one JSON value.
pub(crate) fn is_json(text: &str) -> bool {
    scan::Scanner::check(text).is_ok()
}

/// Makes mappers of the `json` format.
#[derive(Debug, Clone, Copy)]
pub struct JsonMapperFactory;

impl MapperFactory for JsonMapperFactory {
    fn name(&self) -> &'static str {
        "json"
    }

    fn doc(&self) -> &'static str {
        "JSON messages: columns by name or path, one event an object, several events an array."
    }

    fn source_properties(&self) -> &'static [PropertySpec] {
        properties::SOURCE
    }

    fn sink_properties(&self) -> &'static [PropertySpec] {
        properties::SINK
    }

    fn source_mapper(
        &self,
        schema: &Arc<Schema>,
        properties: &Properties,
    ) -> Result<Box<dyn SourceMapper>, EventFluxError> {
        let config = SourceConfig::new(schema, properties)?;
        Ok(Box::new(JsonSourceMapper::new(schema, &config)))
    }

    fn sink_mapper(
        &self,
        schema: &Arc<Schema>,
        properties: &Properties,
    ) -> Result<Box<dyn SinkMapper>, EventFluxError> {
        Ok(Box::new(JsonSinkMapper::new(schema, &SinkConfig::new(properties)?)?))
    }
}
