//! Makes mappers from properties, and shows what they did as plain values.

use std::sync::Arc;

use bytes::Bytes;
use eventflux_core::{
    DataType, EventBatch, EventFluxContext, EventFluxError, MapperFactory, PayloadWriter, Properties, Schema,
    SinkMapper, SourceMapper, Value,
};

pub(crate) type Raw<'a> = &'a [(&'a str, &'a str)];

pub(crate) fn schema(columns: &[(&str, DataType)]) -> Arc<Schema> {
    Arc::new(Schema::new(columns.iter().copied()))
}

pub(crate) fn factory(format: &str) -> Arc<dyn MapperFactory> {
    let mut context = EventFluxContext::new();
    eventflux_mappers::register(&mut context);
    Arc::clone(context.mapper_factory(format).unwrap())
}

pub(crate) fn source(
    format: &str,
    schema: &Arc<Schema>,
    properties: Raw<'_>,
) -> Result<Box<dyn SourceMapper>, EventFluxError> {
    let factory = factory(format);
    let properties = Properties::from_pairs(factory.source_properties(), properties.iter().copied())?;
    factory.source_mapper(schema, &properties)
}

pub(crate) fn sink(
    format: &str,
    schema: &Arc<Schema>,
    properties: Raw<'_>,
) -> Result<Box<dyn SinkMapper>, EventFluxError> {
    let factory = factory(format);
    let properties = Properties::from_pairs(factory.sink_properties(), properties.iter().copied())?;
    factory.sink_mapper(schema, &properties)
}

/// What became of some messages: rows with their positions, failures with the index of their message.
#[derive(Debug, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) positions: Vec<u64>,
    pub(crate) failures: Vec<(usize, String)>,
}

/// Decodes messages with positions from 1.
pub(crate) fn decode_with(mapper: &mut dyn SourceMapper, schema: &Arc<Schema>, messages: &[&[u8]]) -> Decoded {
    let messages: Vec<_> = messages.iter().map(|message| Bytes::copy_from_slice(message)).collect();
    let mut batch = EventBatch::new(Arc::clone(schema));
    let mut failures = Vec::new();
    mapper.decode(&messages, 1, &mut batch, &mut failures);
    Decoded {
        rows: batch.rows().map(|row| row.values().map(|value| value.to_value()).collect()).collect(),
        positions: batch.positions().to_vec(),
        failures: failures.into_iter().map(|failure| (failure.row, failure.error.to_string())).collect(),
    }
}

pub(crate) fn decode(format: &str, schema: &Arc<Schema>, properties: Raw<'_>, messages: &[&str]) -> Decoded {
    let messages: Vec<_> = messages.iter().map(|message| message.as_bytes()).collect();
    decode_with(&mut *source(format, schema, properties).unwrap(), schema, &messages)
}

/// The only row of the only message.
pub(crate) fn decode_row(format: &str, schema: &Arc<Schema>, properties: Raw<'_>, message: &str) -> Vec<Value> {
    let mut decoded = decode(format, schema, properties, &[message]);
    assert_eq!(decoded.failures, [], "{message}");
    assert_eq!(decoded.rows.len(), 1, "{message}");
    decoded.rows.remove(0)
}

/// Why the only message fails; it must leave no row.
pub(crate) fn decode_failure(format: &str, schema: &Arc<Schema>, properties: Raw<'_>, message: &str) -> String {
    let mut decoded = decode(format, schema, properties, &[message]);
    assert_eq!(decoded.rows, [] as [Vec<Value>; 0], "{message}");
    assert_eq!(decoded.failures.len(), 1, "{message}");
    decoded.failures.remove(0).1
}

/// What became of some rows: payloads with their positions, failures with the index of their row.
pub(crate) fn encode(
    format: &str,
    schema: &Arc<Schema>,
    properties: Raw<'_>,
    rows: &[Vec<Value>],
) -> (Vec<String>, Vec<(usize, String)>) {
    let mut batch = EventBatch::new(Arc::clone(schema));
    for (position, row) in rows.iter().enumerate() {
        batch.push_row(row, position as u64).unwrap();
    }
    let mut out = PayloadWriter::default();
    let mut failures = Vec::new();
    sink(format, schema, properties).unwrap().encode(&batch, &mut out, &mut failures);
    let encoded = out.take();
    assert_eq!(encoded.len() + failures.len(), rows.len());
    let payloads = encoded.iter().map(|payload| String::from_utf8(payload.to_vec()).unwrap());
    let failures = failures.into_iter().map(|failure| (failure.row, failure.error.to_string()));
    (payloads.collect(), failures.collect())
}

/// The payload of one row.
pub(crate) fn encode_row(format: &str, schema: &Arc<Schema>, properties: Raw<'_>, row: &[Value]) -> String {
    let (mut payloads, failures) = encode(format, schema, properties, &[row.to_vec()]);
    assert_eq!(failures, []);
    payloads.remove(0)
}
