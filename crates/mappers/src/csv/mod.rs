//! The `csv` format (RFC 4180): a message is one line or several, a row one line.
//!
//! - Each line of a message is an event; empty lines are none. A message that fails yields no event, also when only one
//!   of its lines is bad.
//! - Fields are columns in schema order, or as `csv.columns` lists them, or by the names of the header.
//! - Numbers are those of the `json` format, with surrounding spaces, a leading `+` and leading zeros allowed; `BOOL` is
//!   `true` or `false` in any case, `1` or `0`; `BYTES` is Base64; `JSON` is JSON text; `TIMESTAMP` is a number of the
//!   declared unit or RFC 3339 text.
//! - A field equal to `csv.null`, quoted or not, is `NULL`. By default that is the empty field, so an empty `STRING`
//!   comes back as `NULL`; give `csv.null` another text to tell them apart.
//! - A connection has no beginning that every payload could rely on, so a header, when there is one, is the first line
//!   of every message, both ways. A payload does not end with a line ending.

mod decode;
mod encode;
mod properties;

use std::sync::Arc;

use eventflux_core::{EventFluxError, MapperFactory, Properties, PropertySpec, Schema, SinkMapper, SourceMapper};

use decode::CsvSourceMapper;
use encode::CsvSinkMapper;

/// Makes mappers of the `csv` format.
#[derive(Debug, Clone, Copy)]
pub struct CsvMapperFactory;

impl MapperFactory for CsvMapperFactory {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn doc(&self) -> &'static str {
        "Comma-separated values: each line of a message is an event, each row a line."
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
        Ok(Box::new(CsvSourceMapper::new(schema, properties)?))
    }

    fn sink_mapper(
        &self,
        schema: &Arc<Schema>,
        properties: &Properties,
    ) -> Result<Box<dyn SinkMapper>, EventFluxError> {
        Ok(Box::new(CsvSinkMapper::new(schema, properties)?))
    }
}
