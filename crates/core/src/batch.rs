//! Events on their way through a pipeline: a batch of rows in columns.

use std::sync::Arc;

use crate::{Column, EventFluxError, Schema, Value, ValueRef};

/// Rows of one stream, stored by column. All columns have the same length.
///
/// A batch is filled row by row: append one value to each column, then call [`EventBatch::finish_row`]; when a row
/// turns out to be bad half-way, [`EventBatch::rollback_row`] forgets its values.
#[derive(Debug, Clone, PartialEq)]
pub struct EventBatch {
    schema: Arc<Schema>,
    columns: Vec<Column>,
    positions: Vec<u64>,
}

impl EventBatch {
    /// An empty batch of that schema.
    pub fn new(schema: Arc<Schema>) -> Self {
        let columns = schema.fields().iter().map(|field| Column::new(field.data_type)).collect();
        Self { schema, columns, positions: Vec::new() }
    }

    /// A batch of whole columns.
    ///
    /// # Panics
    /// When a column's type differs from the schema's or its length from the number of positions.
    pub fn from_columns(schema: Arc<Schema>, columns: Vec<Column>, positions: Vec<u64>) -> Self {
        assert_eq!(schema.len(), columns.len(), "one column per field");
        for (field, column) in schema.fields().iter().zip(&columns) {
            assert_eq!(field.data_type, column.data_type(), "type of column {}", field.name);
            assert_eq!(positions.len(), column.len(), "length of column {}", field.name);
        }
        Self { schema, columns, positions }
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Number of finished rows.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is no finished row.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Column number `index`.
    ///
    /// # Panics
    /// When there is no such column.
    pub fn column(&self, index: usize) -> &Column {
        &self.columns[index]
    }

    /// All columns, in schema order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// All columns for appending, in schema order.
    pub fn columns_mut(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    /// For each row the position of the message it came from, counted from 1 by the source since it started.
    pub fn positions(&self) -> &[u64] {
        &self.positions
    }

    /// Ends the row whose values were just appended.
    ///
    /// # Panics
    /// In debug builds, when a column did not get exactly one value.
    #[inline]
    pub fn finish_row(&mut self, position: u64) {
        self.positions.push(position);
        debug_assert!(
            self.columns.iter().all(|column| column.len() == self.positions.len()),
            "every column gets one value per row"
        );
    }

    /// Forgets the values appended since the last [`EventBatch::finish_row`].
    pub fn rollback_row(&mut self) {
        let rows = self.positions.len();
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    /// Forgets the rows from `rows` on, an unfinished one included.
    pub fn truncate(&mut self, rows: usize) {
        self.positions.truncate(rows);
        self.rollback_row();
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Appends one row of values in schema order.
    ///
    /// # Errors
    /// [`EventFluxError::Mapping`] when the number of values or a type differs from the schema's; nothing is appended.
    pub fn push_row(&mut self, values: &[Value], position: u64) -> Result<(), EventFluxError> {
        if values.len() != self.schema.len() {
            let (have, want) = (values.len(), self.schema.len());
            return Err(EventFluxError::mapping(None, format!("a row of {have} values for {want} columns")));
        }
        for (field, value) in self.schema.fields().iter().zip(values) {
            if let Some(data_type) = value.as_ref().data_type().filter(|&found| found != field.data_type) {
                let reason = format!("a {data_type} value for a {} column", field.data_type);
                return Err(EventFluxError::mapping(Some(&field.name), reason));
            }
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value.as_ref());
        }
        self.finish_row(position);
        Ok(())
    }

    /// Appends the rows `rows` of `other`, which has the same column types.
    ///
    /// # Panics
    /// When the types differ or there is no such row.
    pub fn extend_from(&mut self, other: &Self, rows: &[usize]) {
        for (to, from) in self.columns.iter_mut().zip(&other.columns) {
            to.extend_from(from, rows);
        }
        self.positions.extend(rows.iter().map(|&row| other.positions[row]));
    }

    /// Takes the rows of `other`, whose columns become the columns number `columns` of this batch, in that order; the
    /// remaining columns have to have as many values already. What this batch had there goes to `other`, so that the
    /// memory is used again.
    ///
    /// # Panics
    /// When there are more or fewer columns than `columns`, or they are of other types.
    pub fn exchange(&mut self, other: &mut Self, columns: &[usize]) {
        assert_eq!(columns.len(), other.columns.len(), "one place per column");
        for (&place, column) in columns.iter().zip(&mut other.columns) {
            assert_eq!(self.columns[place].data_type(), column.data_type(), "type of column number {place}");
            std::mem::swap(&mut self.columns[place], column);
        }
        std::mem::swap(&mut self.positions, &mut other.positions);
        debug_assert!(self.columns.iter().all(|column| column.len() == self.len()), "columns of one length");
    }

    /// Becomes a copy of all rows of `other` with its columns number `columns` only, in that order. Memory is used
    /// again.
    ///
    /// # Panics
    /// When the columns are of other types than the schema's.
    pub fn copy_columns(&mut self, other: &Self, columns: &[usize]) {
        assert_eq!(columns.len(), self.columns.len(), "one column per field");
        for (column, &place) in self.columns.iter_mut().zip(columns) {
            column.copy_from(&other.columns[place]);
        }
        self.positions.clone_from(&other.positions);
    }

    /// Row number `index`.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, index: usize) -> Row<'_> {
        assert!(index < self.len(), "row {index} of a batch of {}", self.len());
        Row { batch: self, index }
    }

    /// The rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len()).map(|index| Row { batch: self, index })
    }
}

/// One row of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    batch: &'a EventBatch,
    index: usize,
}

impl<'a> Row<'a> {
    /// The value of the column of that exact name; `None` when there is no such column.
    pub fn get(&self, name: &str) -> Option<ValueRef<'a>> {
        Some(self.value(self.batch.schema.index_of(name)?))
    }

    /// The value of column number `column`.
    ///
    /// # Panics
    /// When there is no such column.
    pub fn value(&self, column: usize) -> ValueRef<'a> {
        self.batch.column(column).value(self.index)
    }

    /// All values, in schema order.
    pub fn values(&self) -> impl Iterator<Item = ValueRef<'a>> {
        let index = self.index;
        self.batch.columns.iter().map(move |column| column.value(index))
    }

    /// Position of the message the row came from.
    pub fn position(&self) -> u64 {
        self.batch.positions[self.index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataType;

    fn batch() -> EventBatch {
        EventBatch::new(Arc::new(Schema::new([("t", DataType::Long), ("T", DataType::String)])))
    }

    #[test]
    fn names_are_case_sensitive() {
        let mut batch = batch();
        batch.push_row(&[Value::Long(1), "x".into()], 7).unwrap();
        let row = batch.row(0);
        assert_eq!(row.get("t"), Some(ValueRef::Long(1)));
        assert_eq!(row.get("T"), Some(ValueRef::String("x")));
        assert_eq!(row.get("u"), None);
        assert_eq!(row.position(), 7);
    }

    #[test]
    fn columns_come_together_and_apart() {
        let schema = |names: &[&str]| Arc::new(Schema::new(names.iter().map(|name| (*name, DataType::Long))));
        let (mut decoded, mut whole) =
            (EventBatch::new(schema(&["a", "c"])), EventBatch::new(schema(&["a", "b", "c"])));
        for round in 0..2 {
            decoded.clear();
            whole.clear();
            decoded.push_row(&[Value::Long(1), Value::Null], 7).unwrap();
            whole.columns_mut()[1].push_long(round);
            whole.exchange(&mut decoded, &[0, 2]);
            let values: Vec<_> = whole.row(0).values().collect();
            assert_eq!(values, [ValueRef::Long(1), ValueRef::Long(round), ValueRef::Null]);
            assert_eq!((whole.len(), whole.positions()), (1, &[7][..]));
        }
        let mut part = EventBatch::new(schema(&["c", "b"]));
        part.push_row(&[Value::Null, Value::Long(9)], 1).unwrap();
        part.copy_columns(&whole, &[2, 1]);
        assert_eq!(
            part.rows().map(|row| row.values().collect::<Vec<_>>()).collect::<Vec<_>>(),
            [[ValueRef::Null, ValueRef::Long(1)]]
        );
        assert_eq!(part.positions(), [7]);
    }

    #[test]
    fn a_bad_row_leaves_nothing_behind() {
        let mut batch = batch();
        let error = batch.push_row(&[Value::Long(1), Value::Long(2)], 1).unwrap_err();
        assert!(error.to_string().contains("column T"), "{error}");
        assert!(batch.push_row(&[Value::Null], 1).is_err());
        batch.columns_mut()[0].push_long(5);
        batch.rollback_row();
        batch.push_row(&[Value::Null, Value::Null], 2).unwrap();
        assert_eq!(batch.len(), 1);
        assert_eq!(batch.row(0).value(0), ValueRef::Null);
    }
}
