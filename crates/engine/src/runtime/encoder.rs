//! From rows to payloads: leaves columns out, encodes, and computes the texts of the sink's templates.

use std::collections::BTreeMap;

use eventflux_core::text::{TimeFormat, push_text};
use eventflux_core::{
    EncodedBatch, EventBatch, EventFluxError, PayloadWriter, RowFailure, SinkMapper, Template, TextValues,
};

use super::control::contain;
use crate::plan::{RowPart, RowTemplate, SinkFormat};

/// How a template writes a `TIMESTAMP`.
const TIMES: TimeFormat = TimeFormat::Rfc3339;

/// Encodes batches of one stream for one sink.
pub(super) struct Encoder {
    mapper: Box<dyn SinkMapper>,
    writer: PayloadWriter,
    /// The columns that are encoded, when those are not all.
    kept: Option<Kept>,
    templates: Vec<RowTemplate>,
}

struct Kept {
    places: Vec<usize>,
    /// Copies of these columns; kept for its memory.
    rows: EventBatch,
}

/// What became of a batch: each row has one payload or one failure, in order.
pub(super) struct Encoded {
    pub(super) payloads: EncodedBatch,
    pub(super) failures: Vec<RowFailure>,
}

impl Encoder {
    pub(super) fn new(format: SinkFormat) -> Self {
        let kept = format.columns.map(|columns| Kept { places: columns.places, rows: EventBatch::new(columns.schema) });
        Self { mapper: format.mapper, writer: PayloadWriter::default(), kept, templates: format.templates }
    }

    /// The templates whose texts go with each payload.
    pub(super) fn templates(&self) -> Vec<Template> {
        self.templates.iter().map(|row| row.template.clone()).collect()
    }

    /// Encodes all rows of a batch.
    pub(super) fn encode(&mut self, batch: &EventBatch) -> Encoded {
        if self.templates.is_empty() {
            return self.payloads(batch);
        }
        let mut bad = BTreeMap::new();
        let texts: Vec<_> = self.templates.iter().map(|template| template.texts(batch, &mut bad)).collect();
        let mut encoded = if bad.is_empty() { self.payloads(batch) } else { self.payloads_without(batch, bad) };
        for (template, texts) in self.templates.iter().zip(texts) {
            let texts = if encoded.failures.is_empty() { texts } else { encoded.of_payloads(&texts) };
            encoded.payloads = encoded.payloads.with_texts(&template.template, texts);
        }
        encoded
    }

    /// Encodes the rows that are not `bad`.
    fn payloads_without(&mut self, batch: &EventBatch, bad: BTreeMap<usize, EventFluxError>) -> Encoded {
        let good: Vec<usize> = (0..batch.len()).filter(|row| !bad.contains_key(row)).collect();
        let mut rows = EventBatch::new(batch.schema().clone());
        rows.extend_from(batch, &good);
        let mut encoded = self.payloads(&rows);
        encoded.failures.iter_mut().for_each(|failure| failure.row = good[failure.row]);
        encoded.failures.extend(bad.into_iter().map(|(row, error)| RowFailure { row, error }));
        encoded.failures.sort_by_key(|failure| failure.row);
        encoded
    }

    fn payloads(&mut self, batch: &EventBatch) -> Encoded {
        let Self { mapper, writer, kept, .. } = self;
        let batch = match kept {
            Some(kept) => {
                kept.rows.copy_columns(batch, &kept.places);
                &kept.rows
            }
            None => batch,
        };
        let mut failures = Vec::new();
        if contain("a mapper", || mapper.encode(batch, writer, &mut failures)).is_err() {
            drop(writer.take());
            failures.clear();
            encode_one_by_one(mapper.as_mut(), batch, writer, &mut failures);
        }
        Encoded { payloads: writer.take(), failures }
    }
}

impl Encoded {
    /// Of one text per row those of the rows that have a payload.
    fn of_payloads(&self, texts: &TextValues) -> TextValues {
        let mut failures = self.failures.iter().map(|failure| failure.row).peekable();
        (0..texts.len()).filter(|row| failures.next_if_eq(row).is_none()).map(|row| texts.get(row)).collect()
    }
}

impl RowTemplate {
    /// The text of each row. A row without one is added to `bad`, and its text is arbitrary.
    fn texts(&self, batch: &EventBatch, bad: &mut BTreeMap<usize, EventFluxError>) -> TextValues {
        let mut texts = TextValues::with_capacity(batch.len());
        for row in 0..batch.len() {
            texts.push_with(|out| {
                if let Err(error) = self.push(out, batch, row) {
                    bad.entry(row).or_insert(error);
                }
            });
        }
        texts
    }

    fn push(&self, out: &mut String, batch: &EventBatch, row: usize) -> Result<(), EventFluxError> {
        for part in &self.parts {
            match part {
                RowPart::Literal(text) => out.push_str(text),
                RowPart::Column(column) => {
                    let values = batch.column(*column);
                    let pushed = match values.is_null(row) {
                        true => Err("NULL has no text"),
                        false => push_text(out, values, row, TIMES),
                    };
                    pushed.map_err(|reason| {
                        let name = &batch.schema().fields()[*column].name;
                        EventFluxError::mapping(Some(name), format!("{reason}, and {} needs one", self.key))
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// After a panic: finds the rows that cause it.
fn encode_one_by_one(
    mapper: &mut dyn SinkMapper,
    batch: &EventBatch,
    writer: &mut PayloadWriter,
    failures: &mut Vec<RowFailure>,
) {
    for row in 0..batch.len() {
        let mut single = EventBatch::new(batch.schema().clone());
        single.extend_from(batch, &[row]);
        let mut failed = Vec::new();
        match contain("a mapper", || mapper.encode(&single, writer, &mut failed)) {
            Ok(()) => failures.extend(failed.into_iter().map(|failure| RowFailure { row, error: failure.error })),
            Err(error) => {
                writer.rollback();
                failures.push(RowFailure { row, error });
            }
        }
    }
}
