//! Text messages to rows.

use bytes::Bytes;
use eventflux_core::{EventBatch, EventFluxError, RowFailure, SourceMapper};

/// Puts text into one column.
#[derive(Debug)]
pub(super) struct TextSourceMapper {
    column: usize,
    /// Most lines of a message when each is an event.
    max_lines: Option<usize>,
}

impl TextSourceMapper {
    /// A decoder into column number `column`; with `max_lines`, each line is an event.
    pub(super) fn new(column: usize, max_lines: Option<usize>) -> Self {
        Self { column, max_lines }
    }

    fn message(&self, message: &[u8], position: u64, batch: &mut EventBatch) -> Result<(), EventFluxError> {
        let text = std::str::from_utf8(message).map_err(|error| {
            EventFluxError::mapping(None, format!("the message is not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        let Some(max_lines) = self.max_lines else {
            self.event(text, position, batch);
            return Ok(());
        };
        for (count, line) in text.lines().enumerate() {
            if count == max_lines {
                return Err(EventFluxError::mapping(None, "more lines than text.max.events"));
            }
            self.event(line, position, batch);
        }
        Ok(())
    }

    fn event(&self, text: &str, position: u64, batch: &mut EventBatch) {
        for (index, column) in batch.columns_mut().iter_mut().enumerate() {
            if index == self.column {
                column.push_str(text);
            } else {
                column.push_null();
            }
        }
        batch.finish_row(position);
    }
}

impl SourceMapper for TextSourceMapper {
    fn decode(
        &mut self,
        messages: &[Bytes],
        first_position: u64,
        batch: &mut EventBatch,
        failures: &mut Vec<RowFailure>,
    ) {
        for (row, message) in messages.iter().enumerate() {
            let rows = batch.len();
            if let Err(error) = self.message(message, first_position + row as u64, batch) {
                batch.truncate(rows);
                failures.push(RowFailure { row, error });
            }
        }
    }
}
