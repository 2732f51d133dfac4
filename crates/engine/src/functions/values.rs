//! What a function sees of one row, and where it puts its result.

use eventflux_core::{ByteValues, Column, DataType, TextValues, ValueRef, Values};

use super::RowResult;
use crate::expr::operand::Operand;

/// The arguments of one row. Their types are those of the signature.
///
/// # Panics
/// Every typed access, when the argument is of another type or was not given: a mistake in the function's declaration.
pub(crate) struct Args<'a> {
    operands: &'a [Operand<'a, 'a>],
    position: usize,
}

impl<'a> Args<'a> {
    pub(crate) fn new(operands: &'a [Operand<'a, 'a>], position: usize) -> Self {
        Self { operands, position }
    }

    /// Number of arguments.
    pub(crate) fn len(&self) -> usize {
        self.operands.len()
    }

    pub(crate) fn is_null(&self, index: usize) -> bool {
        self.operands[index].is_null(self.position)
    }

    pub(crate) fn value(&self, index: usize) -> ValueRef<'a> {
        let operand = &self.operands[index];
        operand.column.value(operand.index.at(self.position))
    }

    /// A `STRING` or `JSON`.
    #[inline]
    pub(crate) fn text(&self, index: usize) -> &'a str {
        let operand = &self.operands[index];
        operand.texts().get(operand.index.at(self.position))
    }

    /// A `BIGINT` or `TIMESTAMP`.
    #[inline]
    pub(crate) fn long(&self, index: usize) -> i64 {
        let operand = &self.operands[index];
        operand.longs()[operand.index.at(self.position)]
    }

    /// A `BIGINT` that may be missing.
    pub(crate) fn optional_long(&self, index: usize) -> Option<i64> {
        (index < self.len()).then(|| self.long(index))
    }

    /// A `DOUBLE`.
    #[inline]
    pub(crate) fn double(&self, index: usize) -> f64 {
        match self.value(index) {
            ValueRef::Double(value) => value,
            value => panic!("a DOUBLE argument is {:?}", value.data_type()),
        }
    }

    /// The bytes of a `BYTES` or `STRING`.
    pub(crate) fn bytes(&self, index: usize) -> &'a [u8] {
        let operand = &self.operands[index];
        let entry = operand.index.at(self.position);
        match operand.column.values() {
            Values::Bytes(values) => values.get(entry),
            _ => operand.texts().get(entry).as_bytes(),
        }
    }
}

/// The column of results under construction.
pub(crate) struct Output {
    values: Values,
    nulls: Vec<bool>,
}

impl Output {
    pub(crate) fn new(data_type: DataType) -> Self {
        let values = match data_type {
            DataType::Bool => Values::Bool(Vec::new()),
            DataType::Int => Values::Int(Vec::new()),
            DataType::Long => Values::Long(Vec::new()),
            DataType::Float => Values::Float(Vec::new()),
            DataType::Double => Values::Double(Vec::new()),
            DataType::String => Values::String(TextValues::default()),
            DataType::Bytes => Values::Bytes(ByteValues::default()),
            DataType::Timestamp => Values::Timestamp(Vec::new()),
            DataType::Json => Values::Json(TextValues::default()),
        };
        Self { values, nulls: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Values::Bool(values) => values.len(),
            Values::Int(values) => values.len(),
            Values::Long(values) | Values::Timestamp(values) => values.len(),
            Values::Float(values) => values.len(),
            Values::Double(values) => values.len(),
            Values::String(values) | Values::Json(values) => values.len(),
            Values::Bytes(values) => values.len(),
        }
    }

    pub(crate) fn push_null(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.push(false),
            Values::Int(values) => values.push(0),
            Values::Long(values) | Values::Timestamp(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Double(values) => values.push(0.0),
            Values::String(values) | Values::Json(values) => values.push(""),
            Values::Bytes(values) => values.push(b""),
        }
        self.mark_last_null();
    }

    /// Makes entry number `len`, which a failed call may or may not have appended, `NULL`.
    pub(crate) fn fail_entry(&mut self, len: usize) {
        if self.len() == len { self.push_null() } else { self.mark_last_null() }
    }

    fn mark_last_null(&mut self) {
        let len = self.len();
        self.nulls.resize(len, false);
        self.nulls[len - 1] = true;
    }

    /// Appends a value of the result's type, or `NULL`.
    ///
    /// # Panics
    /// When it is of another type: a mistake in the function's declaration.
    pub(crate) fn push(&mut self, value: ValueRef<'_>) {
        match (&mut self.values, value) {
            (_, ValueRef::Null) => self.push_null(),
            (Values::Bool(values), ValueRef::Bool(value)) => values.push(value),
            (Values::Int(values), ValueRef::Int(value)) => values.push(value),
            (Values::Long(values), ValueRef::Long(value)) => values.push(value),
            (Values::Float(values), ValueRef::Float(value)) => values.push(value),
            (Values::Double(values), ValueRef::Double(value)) => values.push(value),
            (Values::String(values), ValueRef::String(value)) => values.push(value),
            (Values::Bytes(values), ValueRef::Bytes(value)) => values.push(value),
            (Values::Timestamp(values), ValueRef::Timestamp(value)) => values.push(value),
            (Values::Json(values), ValueRef::Json(value)) => values.push(value),
            (_, value) => panic!("a function returned {value:?}"),
        }
    }

    pub(crate) fn bool(&mut self, value: bool) -> RowResult {
        self.push(ValueRef::Bool(value));
        Ok(())
    }

    pub(crate) fn long(&mut self, value: i64) -> RowResult {
        self.push(ValueRef::Long(value));
        Ok(())
    }

    pub(crate) fn text(&mut self, value: &str) -> RowResult {
        self.push(ValueRef::String(value));
        Ok(())
    }

    /// Appends a `STRING` or `JSON` that `write` produces in place.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut String) -> RowResult) -> RowResult {
        let (Values::String(values) | Values::Json(values)) = &mut self.values else {
            panic!("a function wrote text for another type");
        };
        let mut outcome = Ok(());
        values.push_with(|out| outcome = write(out));
        outcome
    }

    pub(crate) fn into_operand<'b, 'r>(mut self) -> Operand<'b, 'r> {
        if !self.nulls.is_empty() {
            self.nulls.resize(self.len(), false);
        }
        Operand::owned(Column::with_nulls(self.values, self.nulls))
    }
}
