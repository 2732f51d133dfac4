//! The `bytes` format: a message is the value of the only column, both ways.
//!
//! That column is `BYTES`, which takes anything, or `STRING`, which takes UTF-8. There are no properties.

use std::sync::Arc;

use bytes::Bytes;
use eventflux_core::{
    DataType, EventBatch, EventFluxError, MapperFactory, PayloadWriter, Properties, PropertySpec, RowFailure, Schema,
    SinkMapper, SourceMapper, ValueRef,
};

/// Makes mappers of the `bytes` format.
#[derive(Debug, Clone, Copy)]
pub struct BytesMapperFactory;

impl MapperFactory for BytesMapperFactory {
    fn name(&self) -> &'static str {
        "bytes"
    }

    fn doc(&self) -> &'static str {
        "Messages as they are, in the only column of the stream, a BYTES or STRING one."
    }

    fn source_properties(&self) -> &'static [PropertySpec] {
        &[]
    }

    fn sink_properties(&self) -> &'static [PropertySpec] {
        &[]
    }

    fn source_mapper(&self, schema: &Arc<Schema>, _: &Properties) -> Result<Box<dyn SourceMapper>, EventFluxError> {
        Ok(Box::new(BytesMapper::new(schema)?))
    }

    fn sink_mapper(&self, schema: &Arc<Schema>, _: &Properties) -> Result<Box<dyn SinkMapper>, EventFluxError> {
        Ok(Box::new(BytesMapper::new(schema)?))
    }
}

#[derive(Debug)]
struct BytesMapper {
    column: String,
    is_text: bool,
}

impl BytesMapper {
    fn new(schema: &Schema) -> Result<Self, EventFluxError> {
        match schema.fields() {
            [field] if matches!(field.data_type, DataType::Bytes | DataType::String) => {
                Ok(Self { column: field.name.clone(), is_text: field.data_type == DataType::String })
            }
            fields => {
                let found: Vec<_> = fields.iter().map(|field| format!("{} {}", field.name, field.data_type)).collect();
                let reason = format!(
                    "the format 'bytes' needs exactly one column, BYTES or STRING, and the stream has ({})",
                    found.join(", ")
                );
                Err(EventFluxError::configuration(reason).with_hint("declare one such column, or use another format"))
            }
        }
    }

    fn message(&self, message: &[u8], batch: &mut EventBatch) -> Result<(), EventFluxError> {
        let [column] = batch.columns_mut() else {
            return Err(EventFluxError::mapping(None, "the batch is of another stream"));
        };
        if self.is_text {
            let text = std::str::from_utf8(message).map_err(|error| {
                let reason = format!("the message is not UTF-8 at byte {}", error.valid_up_to());
                EventFluxError::mapping(Some(&self.column), reason)
            })?;
            column.push_str(text);
        } else {
            column.push_bytes(message);
        }
        Ok(())
    }
}

impl SourceMapper for BytesMapper {
    fn decode(
        &mut self,
        messages: &[Bytes],
        first_position: u64,
        batch: &mut EventBatch,
        failures: &mut Vec<RowFailure>,
    ) {
        for (row, message) in messages.iter().enumerate() {
            match self.message(message, batch) {
                Ok(()) => batch.finish_row(first_position + row as u64),
                Err(error) => failures.push(RowFailure { row, error }),
            }
        }
    }
}

impl SinkMapper for BytesMapper {
    fn encode(&mut self, batch: &EventBatch, out: &mut PayloadWriter, failures: &mut Vec<RowFailure>) {
        for (row, &position) in batch.positions().iter().enumerate() {
            match batch.column(0).value(row) {
                ValueRef::Bytes(bytes) => out.buffer().extend_from_slice(bytes),
                ValueRef::String(text) => out.buffer().extend_from_slice(text.as_bytes()),
                _ => {
                    let error =
                        EventFluxError::mapping(Some(&self.column), "NULL has no bytes; leave it out in the query");
                    failures.push(RowFailure { row, error });
                    continue;
                }
            }
            out.finish(position);
        }
    }
}
