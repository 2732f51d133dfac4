//! Rows to text.

use bytes::BytesMut;
use eventflux_core::text::{TimeFormat, push_text};
use eventflux_core::{DataType, EventBatch, EventFluxError, PayloadWriter, Properties, RowFailure, Schema, SinkMapper};

use crate::excerpt::push_visible;
use crate::template::{self, Piece};

/// Widest padding of a value in characters; longer values are written whole.
const MAX_PADDED_CHARS: usize = 32;

/// Between two `name=value`.
const GAP: &[u8] = b"  ";

/// Encodes rows as text.
#[derive(Debug)]
pub(super) struct TextSinkMapper {
    shape: Shape,
    null: String,
    time: TimeFormat,
}

#[derive(Debug)]
enum Shape {
    Template(Vec<Piece>),
    Line { cells: Vec<Cell>, align: bool, value: BytesMut, visible: String },
}

/// A `name=value` of a line.
#[derive(Debug)]
struct Cell {
    name: String,
    is_number: bool,
    /// Characters of the widest value so far.
    width: usize,
}

impl TextSinkMapper {
    /// An encoder of `schema`.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for a template that names an unknown column.
    pub(super) fn new(schema: &Schema, properties: &Properties) -> Result<Self, EventFluxError> {
        let shape = match properties.optional_text("text.template") {
            Some(text) => Shape::Template(template::parse("text.template", text, schema)?),
            None if schema.len() == 1 => Shape::Template(vec![Piece::Column(0)]),
            None => Shape::Line {
                cells: schema.fields().iter().map(|field| Cell::new(&field.name, field.data_type)).collect(),
                align: properties.flag("text.align")?,
                value: BytesMut::new(),
                visible: String::new(),
            },
        };
        Ok(Self {
            shape,
            null: properties.text("text.null")?.to_owned(),
            time: TimeFormat::from_property(properties, "text.timestamp.format")?,
        })
    }

    fn row(&mut self, batch: &EventBatch, row: usize, out: &mut BytesMut) -> Result<(), EventFluxError> {
        let (null, time) = (&self.null, self.time);
        let push = |out: &mut BytesMut, column: usize| {
            let values = batch.column(column);
            if values.is_null(row) {
                out.extend_from_slice(null.as_bytes());
                return Ok(());
            }
            push_text(out, values, row, time)
                .map_err(|reason| EventFluxError::mapping(Some(&batch.schema().fields()[column].name), reason))
        };
        match &mut self.shape {
            Shape::Template(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Column(column) => push(out, *column)?,
                    }
                }
            }
            Shape::Line { cells, align, value, visible } => {
                let last = cells.len().saturating_sub(1);
                for (column, cell) in cells.iter_mut().enumerate() {
                    value.clear();
                    push(value, column)?;
                    visible.clear();
                    String::from_utf8_lossy(value).chars().for_each(|character| push_visible(visible, character));
                    let gap = if column == 0 { &b""[..] } else { GAP };
                    out.extend_from_slice(gap);
                    cell.push(out, visible, *align, column == last);
                }
            }
        }
        Ok(())
    }
}

impl Cell {
    fn new(name: &str, data_type: DataType) -> Self {
        let mut visible = String::new();
        name.chars().for_each(|character| push_visible(&mut visible, character));
        Self { name: visible, is_number: data_type.is_numeric(), width: 0 }
    }

    /// Appends `name=value`, numbers flush right and others flush left; nothing follows the last one.
    fn push(&mut self, out: &mut BytesMut, value: &str, align: bool, is_last: bool) {
        let chars = value.chars().count();
        self.width = self.width.max(chars.min(MAX_PADDED_CHARS));
        let padding = if align { self.width.saturating_sub(chars) } else { 0 };
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b"=");
        if self.is_number {
            out.resize(out.len() + padding, b' ');
        }
        out.extend_from_slice(value.as_bytes());
        if !self.is_number && !is_last {
            out.resize(out.len() + padding, b' ');
        }
    }
}

impl SinkMapper for TextSinkMapper {
    fn encode(&mut self, batch: &EventBatch, out: &mut PayloadWriter, failures: &mut Vec<RowFailure>) {
        for (row, &position) in batch.positions().iter().enumerate() {
            match self.row(batch, row, out.buffer()) {
                Ok(()) => out.finish(position),
                Err(error) => {
                    out.rollback();
                    failures.push(RowFailure { row, error });
                }
            }
        }
    }
}
