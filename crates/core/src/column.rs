//! One column of an [`EventBatch`](crate::EventBatch): a typed vector and a record of which entries are `NULL`.

use crate::{DataType, ValueRef};

/// Values of one type, one entry a row. Entries of rows that are `NULL` hold an arbitrary value.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// `BOOL`
    Bool(Vec<bool>),
    /// `INT`
    Int(Vec<i32>),
    /// `BIGINT`
    Long(Vec<i64>),
    /// `FLOAT`
    Float(Vec<f32>),
    /// `DOUBLE`
    Double(Vec<f64>),
    /// `STRING`
    String(TextValues),
    /// `BYTES`
    Bytes(ByteValues),
    /// `TIMESTAMP`, microseconds since 1970-01-01T00:00:00Z
    Timestamp(Vec<i64>),
    /// `JSON`, each entry the text of one JSON value
    Json(TextValues),
}

/// A typed column. Reusable: [`Column::clear`] keeps its memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    values: Values,
    /// Empty while no entry is `NULL`; else one flag per entry.
    nulls: Vec<bool>,
}

impl Column {
    /// An empty column of that type.
    pub fn new(data_type: DataType) -> Self {
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

    /// A column of these values, none of them `NULL`.
    pub fn from_values(values: Values) -> Self {
        Self { values, nulls: Vec::new() }
    }

    /// A column of these values; `nulls` is empty (no `NULL`) or has one flag per value.
    ///
    /// # Panics
    /// When `nulls` has another length.
    pub fn with_nulls(values: Values, nulls: Vec<bool>) -> Self {
        let column = Self { values, nulls };
        assert!(column.nulls.is_empty() || column.nulls.len() == column.len(), "one null flag per value");
        column
    }

    /// The type of the values.
    pub fn data_type(&self) -> DataType {
        match &self.values {
            Values::Bool(_) => DataType::Bool,
            Values::Int(_) => DataType::Int,
            Values::Long(_) => DataType::Long,
            Values::Float(_) => DataType::Float,
            Values::Double(_) => DataType::Double,
            Values::String(_) => DataType::String,
            Values::Bytes(_) => DataType::Bytes,
            Values::Timestamp(_) => DataType::Timestamp,
            Values::Json(_) => DataType::Json,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
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

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values; look at [`Column::nulls`] as well.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// One flag per entry, or empty when no entry is `NULL`.
    pub fn nulls(&self) -> &[bool] {
        &self.nulls
    }

    /// Whether entry `row` is `NULL`.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.get(row).copied().unwrap_or(false)
    }

    /// Entry `row`.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn value(&self, row: usize) -> ValueRef<'_> {
        if self.is_null(row) {
            return ValueRef::Null;
        }
        match &self.values {
            Values::Bool(values) => ValueRef::Bool(values[row]),
            Values::Int(values) => ValueRef::Int(values[row]),
            Values::Long(values) => ValueRef::Long(values[row]),
            Values::Float(values) => ValueRef::Float(values[row]),
            Values::Double(values) => ValueRef::Double(values[row]),
            Values::String(values) => ValueRef::String(values.get(row)),
            Values::Bytes(values) => ValueRef::Bytes(values.get(row)),
            Values::Timestamp(values) => ValueRef::Timestamp(values[row]),
            Values::Json(values) => ValueRef::Json(values.get(row)),
        }
    }

    /// Forgets all entries and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Forgets the entries from `len` on.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.values {
            Values::Bool(values) => values.truncate(len),
            Values::Int(values) => values.truncate(len),
            Values::Long(values) | Values::Timestamp(values) => values.truncate(len),
            Values::Float(values) => values.truncate(len),
            Values::Double(values) => values.truncate(len),
            Values::String(values) | Values::Json(values) => values.truncate(len),
            Values::Bytes(values) => values.truncate(len),
        }
        if len == 0 {
            self.nulls.clear();
        } else {
            self.nulls.truncate(len);
        }
    }

    /// Appends `NULL`.
    pub fn push_null(&mut self) {
        let row = self.len();
        self.nulls.resize(row, false);
        self.nulls.push(true);
        match &mut self.values {
            Values::Bool(values) => values.push(false),
            Values::Int(values) => values.push(0),
            Values::Long(values) | Values::Timestamp(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Double(values) => values.push(0.0),
            Values::String(values) | Values::Json(values) => values.push(""),
            Values::Bytes(values) => values.push(b""),
        }
    }

    /// Appends `value`.
    ///
    /// # Panics
    /// When the value is of another type: the schema was checked when the pipeline was planned, so this is a bug of
    /// the caller.
    pub fn push(&mut self, value: ValueRef<'_>) {
        match (&mut self.values, value) {
            (_, ValueRef::Null) => return self.push_null(),
            (Values::Bool(values), ValueRef::Bool(value)) => values.push(value),
            (Values::Int(values), ValueRef::Int(value)) => values.push(value),
            (Values::Long(values), ValueRef::Long(value)) => values.push(value),
            (Values::Float(values), ValueRef::Float(value)) => values.push(value),
            (Values::Double(values), ValueRef::Double(value)) => values.push(value),
            (Values::String(values), ValueRef::String(value)) => values.push(value),
            (Values::Bytes(values), ValueRef::Bytes(value)) => values.push(value),
            (Values::Timestamp(values), ValueRef::Timestamp(value)) => values.push(value),
            (Values::Json(values), ValueRef::Json(value)) => values.push(value),
            (_, value) => panic!("a {} column got {value:?}", self.data_type()),
        }
        self.mark_not_null();
    }

    /// Appends the rows `rows` of `other`, in that order.
    ///
    /// # Panics
    /// When `other` is of another type or has no such row.
    pub fn extend_from(&mut self, other: &Self, rows: &[usize]) {
        let before = self.len();
        match (&mut self.values, &other.values) {
            (Values::Bool(to), Values::Bool(from)) => to.extend(rows.iter().map(|&row| from[row])),
            (Values::Int(to), Values::Int(from)) => to.extend(rows.iter().map(|&row| from[row])),
            (Values::Long(to), Values::Long(from)) | (Values::Timestamp(to), Values::Timestamp(from)) => {
                to.extend(rows.iter().map(|&row| from[row]));
            }
            (Values::Float(to), Values::Float(from)) => to.extend(rows.iter().map(|&row| from[row])),
            (Values::Double(to), Values::Double(from)) => to.extend(rows.iter().map(|&row| from[row])),
            (Values::String(to), Values::String(from)) | (Values::Json(to), Values::Json(from)) => {
                rows.iter().for_each(|&row| to.push(from.get(row)));
            }
            (Values::Bytes(to), Values::Bytes(from)) => rows.iter().for_each(|&row| to.push(from.get(row))),
            _ => panic!("a {} column got rows of a {} column", self.data_type(), other.data_type()),
        }
        if !self.nulls.is_empty() || !other.nulls.is_empty() {
            self.nulls.resize(before, false);
            self.nulls.extend(rows.iter().map(|&row| other.is_null(row)));
        }
    }

    /// Becomes a copy of `other`; its memory is used again.
    ///
    /// # Panics
    /// When `other` is of another type.
    pub fn copy_from(&mut self, other: &Self) {
        match (&mut self.values, &other.values) {
            (Values::Bool(to), Values::Bool(from)) => to.clone_from(from),
            (Values::Int(to), Values::Int(from)) => to.clone_from(from),
            (Values::Long(to), Values::Long(from)) | (Values::Timestamp(to), Values::Timestamp(from)) => {
                to.clone_from(from);
            }
            (Values::Float(to), Values::Float(from)) => to.clone_from(from),
            (Values::Double(to), Values::Double(from)) => to.clone_from(from),
            (Values::String(to), Values::String(from)) | (Values::Json(to), Values::Json(from)) => {
                to.text.clone_from(&from.text);
                to.ends.clone_from(&from.ends);
            }
            (Values::Bytes(to), Values::Bytes(from)) => {
                to.bytes.clone_from(&from.bytes);
                to.ends.clone_from(&from.ends);
            }
            _ => panic!("a {} column became a copy of a {} column", self.data_type(), other.data_type()),
        }
        self.nulls.clone_from(&other.nulls);
    }

    fn mark_not_null(&mut self) {
        if !self.nulls.is_empty() {
            self.nulls.push(false);
        }
    }
}

macro_rules! typed_access {
    ($($push:ident, $slice:ident, $variant:ident, $item:ty;)*) => {
        impl Column {
            $(
                #[doc = concat!("Appends a `", stringify!($variant), "`.\n\n# Panics\nWhen the column is of another type.")]
                #[inline]
                pub fn $push(&mut self, value: $item) {
                    let Values::$variant(values) = &mut self.values else {
                        wrong_type(self.data_type(), stringify!($variant));
                    };
                    values.push(value);
                    self.mark_not_null();
                }
                #[doc = concat!("The values of a `", stringify!($variant), "` column; `None` for another type.")]
                pub fn $slice(&self) -> Option<&[$item]> {
                    match &self.values {
                        Values::$variant(values) => Some(values),
                        _ => None,
                    }
                }
            )*
        }
    };
}
typed_access! {
    push_bool, bools, Bool, bool;
    push_int, ints, Int, i32;
    push_long, longs, Long, i64;
    push_float, floats, Float, f32;
    push_double, doubles, Double, f64;
    push_timestamp, timestamps, Timestamp, i64;
}

impl Column {
    /// Appends text to a `STRING` column.
    ///
    /// # Panics
    /// When the column is of another type.
    #[inline]
    pub fn push_str(&mut self, value: &str) {
        let Values::String(values) = &mut self.values else {
            wrong_type(self.data_type(), "String");
        };
        values.push(value);
        self.mark_not_null();
    }

    /// Appends the text of a JSON value to a `JSON` column.
    ///
    /// # Panics
    /// When the column is of another type.
    #[inline]
    pub fn push_json(&mut self, value: &str) {
        let Values::Json(values) = &mut self.values else {
            wrong_type(self.data_type(), "Json");
        };
        values.push(value);
        self.mark_not_null();
    }

    /// Appends bytes to a `BYTES` column.
    ///
    /// # Panics
    /// When the column is of another type.
    #[inline]
    pub fn push_bytes(&mut self, value: &[u8]) {
        let Values::Bytes(values) = &mut self.values else {
            wrong_type(self.data_type(), "Bytes");
        };
        values.push(value);
        self.mark_not_null();
    }

    /// The texts of a `STRING` or `JSON` column; `None` for another type.
    pub fn texts(&self) -> Option<&TextValues> {
        match &self.values {
            Values::String(values) | Values::Json(values) => Some(values),
            _ => None,
        }
    }

    /// The values of a `BYTES` column; `None` for another type.
    pub fn byte_values(&self) -> Option<&ByteValues> {
        match &self.values {
            Values::Bytes(values) => Some(values),
            _ => None,
        }
    }
}

#[cold]
fn wrong_type(column: DataType, value: &str) -> ! {
    panic!("a {column} column got a value of type {value}")
}

/// Texts of any length in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextValues {
    text: String,
    ends: Vec<usize>,
}

impl TextValues {
    /// Appends one text.
    #[inline]
    pub fn push(&mut self, value: &str) {
        self.text.push_str(value);
        self.ends.push(self.text.len());
    }

    /// No text, with room for `count` of them.
    pub fn with_capacity(count: usize) -> Self {
        Self { text: String::new(), ends: Vec::with_capacity(count) }
    }

    /// Appends one text that `write` produces at the end of the shared buffer.
    pub fn push_with(&mut self, write: impl FnOnce(&mut String)) {
        let start = self.text.len();
        write(&mut self.text);
        assert!(self.text.len() >= start, "a writer only appends");
        self.ends.push(self.text.len());
    }

    /// Text number `row`.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.text[start..self.ends[row]]
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|row| self.get(row))
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

impl<S: AsRef<str>> FromIterator<S> for TextValues {
    fn from_iter<I: IntoIterator<Item = S>>(texts: I) -> Self {
        let mut values = Self::default();
        texts.into_iter().for_each(|text| values.push(text.as_ref()));
        values
    }
}

/// Byte strings of any length in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByteValues {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ByteValues {
    /// Appends one byte string.
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    /// Byte string number `row`.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// Number of byte strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_remembered_wherever_they_come() {
        let mut column = Column::new(DataType::Long);
        column.push_long(1);
        column.push_null();
        column.push_long(3);
        assert_eq!(column.value(0), ValueRef::Long(1));
        assert_eq!(column.value(1), ValueRef::Null);
        assert_eq!(column.value(2), ValueRef::Long(3));
        column.clear();
        column.push_long(4);
        assert!(column.nulls().is_empty());
    }

    #[test]
    fn truncating_forgets_texts_and_flags_together() {
        let mut column = Column::new(DataType::String);
        for value in ["a", "bc", "", "déf"] {
            column.push_str(value);
        }
        column.push_null();
        column.truncate(2);
        column.push_str("x");
        let values: Vec<_> = (0..3).map(|row| column.value(row)).collect();
        assert_eq!(values, [ValueRef::String("a"), ValueRef::String("bc"), ValueRef::String("x")]);
    }

    #[test]
    fn gathered_rows_keep_their_nulls() {
        let mut from = Column::new(DataType::String);
        from.push_str("a");
        from.push_null();
        from.push_str("c");
        let mut to = Column::new(DataType::String);
        to.push_str("z");
        to.extend_from(&from, &[2, 1]);
        assert_eq!(to.value(0), ValueRef::String("z"));
        assert_eq!(to.value(1), ValueRef::String("c"));
        assert_eq!(to.value(2), ValueRef::Null);
    }

    #[test]
    fn a_copy_has_the_same_values_whatever_was_there() {
        for data_type in DataType::ALL {
            let mut from = Column::new(data_type);
            from.push_null();
            let mut to = Column::new(data_type);
            to.push_null();
            to.push_null();
            to.copy_from(&from);
            assert_eq!(to, from);
        }
        let (mut from, mut to) = (Column::new(DataType::String), Column::new(DataType::String));
        from.push_str("a");
        from.push_str("bc");
        to.push_null();
        to.copy_from(&from);
        assert_eq!((to.value(0), to.value(1)), (ValueRef::String("a"), ValueRef::String("bc")));
    }

    #[test]
    #[should_panic(expected = "a BIGINT column got")]
    fn a_value_of_another_type_is_a_bug_of_the_caller() {
        Column::new(DataType::Long).push(ValueRef::String("x"));
    }
}
