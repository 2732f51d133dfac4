//! Rows to CSV lines.

use bytes::BytesMut;
use csv::{ByteRecord, QuoteStyle, Terminator, Writer, WriterBuilder};
use eventflux_core::text::{TimeFormat, push_text};
use eventflux_core::{EventBatch, EventFluxError, PayloadWriter, Properties, RowFailure, Schema, SinkMapper, Values};

use super::properties;

/// Bytes the CSV writer collects before it hands them on.
const WRITE_BUFFER_BYTES: usize = 1024;

/// Encodes rows as CSV lines.
#[derive(Debug)]
pub(super) struct CsvSinkMapper {
    writer: WriterBuilder,
    /// The header, when every payload has one.
    header: Option<ByteRecord>,
    columns: Vec<usize>,
    null: String,
    time: TimeFormat,
    record: ByteRecord,
    field: BytesMut,
    lines: Vec<u8>,
}

impl CsvSinkMapper {
    /// An encoder of `schema`.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the property.
    pub(super) fn new(schema: &Schema, properties: &Properties) -> Result<Self, EventFluxError> {
        let columns = properties::columns(schema, properties)?;
        let columns: Option<Vec<_>> = columns.into_iter().collect();
        let Some(columns) = columns else {
            let reason = format!("'{}' skips a field of a source; a sink writes columns only", properties::SKIPPED);
            return Err(EventFluxError::property("csv.columns", reason));
        };
        let (delimiter, quote) = properties::delimiters(properties)?;
        let mut writer = WriterBuilder::new();
        writer
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .quote(quote)
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(WRITE_BUFFER_BYTES)
            .quote_style(match properties.text("csv.quoting")? {
                "always" => QuoteStyle::Always,
                "non-numeric" => QuoteStyle::NonNumeric,
                _ => QuoteStyle::Necessary,
            });
        let names = columns.iter().map(|&column| schema.fields()[column].name.as_str());
        let header = properties.flag("csv.header")?.then(|| names.collect());
        Ok(Self {
            writer,
            header,
            columns,
            null: properties.text("csv.null")?.to_owned(),
            time: TimeFormat::from_property(properties, "csv.timestamp.format")?,
            record: ByteRecord::new(),
            field: BytesMut::new(),
            lines: Vec::new(),
        })
    }

    /// Puts the fields of a row into the record.
    fn fill(&mut self, batch: &EventBatch, row: usize) -> Result<(), EventFluxError> {
        self.record.clear();
        for &index in &self.columns {
            let column = batch.column(index);
            if column.is_null(row) {
                self.record.push_field(self.null.as_bytes());
                continue;
            }
            let finite = match column.values() {
                Values::Float(values) => values[row].is_finite(),
                Values::Double(values) => values[row].is_finite(),
                _ => true,
            };
            self.field.clear();
            let pushed = if finite {
                push_text(&mut self.field, column, row, self.time)
            } else {
                Err("NaN and infinity are not written; replace them in the query")
            };
            let name = &batch.schema().fields()[index].name;
            pushed.map_err(|reason| EventFluxError::mapping(Some(name), reason))?;
            self.record.push_field(&self.field);
        }
        Ok(())
    }

    /// Appends the line of a row, after the header if there is one; returns where its payload ends.
    fn line(&mut self, batch: &EventBatch, row: usize, writer: &mut Writer<Vec<u8>>) -> Result<usize, EventFluxError> {
        self.fill(batch, row)?;
        let written = match &self.header {
            Some(header) => writer.write_byte_record(header),
            None => Ok(()),
        };
        let written = written.and_then(|()| writer.write_byte_record(&self.record));
        let flushed = written.and_then(|()| writer.flush().map_err(csv::Error::from));
        flushed.map_err(|error| EventFluxError::mapping(None, error.to_string()))?;
        Ok(writer.get_ref().len() - 1)
    }
}

impl SinkMapper for CsvSinkMapper {
    fn encode(&mut self, batch: &EventBatch, out: &mut PayloadWriter, failures: &mut Vec<RowFailure>) {
        let mut writer = self.writer.from_writer(std::mem::take(&mut self.lines));
        for (row, &position) in batch.positions().iter().enumerate() {
            let start = writer.get_ref().len();
            match self.line(batch, row, &mut writer) {
                Ok(end) => {
                    out.buffer().extend_from_slice(&writer.get_ref()[start..end]);
                    out.finish(position);
                }
                Err(error) => failures.push(RowFailure { row, error }),
            }
        }
        // Writing into memory does not fail; if it did, only the memory to reuse would be lost.
        self.lines = writer.into_inner().unwrap_or_default();
        self.lines.clear();
    }
}
