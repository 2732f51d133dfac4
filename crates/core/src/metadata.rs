//! What a source knows about a message besides its bytes, and how that becomes columns.
//!
//! A source declares its fields ([`SourceFactory::metadata`](crate::SourceFactory::metadata)). A pipeline author binds a
//! column to a field with `metadata.COLUMN='FIELD'`; the source then delivers the fields' values with its messages
//! ([`SourceCallback::on_batch_with`](crate::SourceCallback::on_batch_with)), and the engine puts them into the columns.

use std::sync::Arc;

use crate::{DataType, Value, ValueRef};

/// One metadata field of a source: the only place where it is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataSpec {
    /// The name a pipeline author binds a column to. One that ends in `.*` stands for any name with that prefix; a table
    /// has at most one of them.
    pub name: &'static str,
    /// The type of its values; the column has to have the same.
    pub data_type: DataType,
    /// One sentence for the pipeline author. It says when the value is `NULL`.
    pub doc: &'static str,
}

impl MetadataSpec {
    /// A field of that name and type.
    pub const fn new(name: &'static str, data_type: DataType, doc: &'static str) -> Self {
        Self { name, data_type, doc }
    }

    /// What stands for `*`, when the field is called `name`: all of it for a field with one name.
    pub fn matched<'n>(&self, name: &'n str) -> Option<&'n str> {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.strip_prefix(prefix).filter(|rest| !rest.is_empty()),
            None => (self.name == name).then_some(name),
        }
    }

    /// Whether it stands for many names.
    pub fn is_open(&self) -> bool {
        self.name.ends_with(".*")
    }
}

/// The metadata of one message: a value for each field of the source's table, in its order. Copies share the values, so
/// that messages of one connection can have one allocation.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageMetadata(Arc<[Value]>);

impl MessageMetadata {
    /// Values in the order of `table`, and behind them those of the names that [`BoundMetadata::named`] tells. Fields that
    /// are not bound, or have no value for this message, are [`Value::Null`]; those at the end may be left out.
    ///
    /// # Panics
    /// When there are more values than fields, or a value is of another type than its field: a bug of the source.
    pub fn new(table: &[MetadataSpec], values: impl Into<Arc<[Value]>>) -> Self {
        let values = values.into();
        let open = table.iter().find(|spec| spec.is_open());
        let fits = open.is_some() || values.len() <= table.len();
        assert!(fits, "{} values for {} metadata fields", values.len(), table.len());
        for (spec, value) in table.iter().chain(open.into_iter().cycle()).zip(values.iter()) {
            let fits = value.as_ref().data_type().is_none_or(|found| found == spec.data_type);
            assert!(fits, "metadata field '{}' is {} and got {value:?}", spec.name, spec.data_type);
        }
        Self(values)
    }

    /// The value of field number `field`; `NULL` when it has none.
    pub fn value(&self, field: usize) -> ValueRef<'_> {
        self.0.get(field).map_or(ValueRef::Null, Value::as_ref)
    }

    /// All values, in the order of the table.
    pub fn values(&self) -> &[Value] {
        &self.0
    }
}

/// The fields of a source's table that columns are bound to; the source need not compute the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoundMetadata {
    fields: Arc<[usize]>,
    named: Arc<[(usize, String)]>,
}

impl BoundMetadata {
    /// The fields of these numbers.
    pub fn new(fields: impl IntoIterator<Item = usize>) -> Self {
        Self { fields: fields.into_iter().collect(), named: Arc::default() }
    }

    /// The same, and those names of the field of `table` that stands for many: they are numbered behind the table.
    #[must_use]
    pub fn with_named(self, table: &[MetadataSpec], names: impl IntoIterator<Item = String>) -> Self {
        Self { named: (table.len()..).zip(names).collect(), ..self }
    }

    /// Every field of `table`: for sources that are made by hand.
    pub fn all(table: &[MetadataSpec]) -> Self {
        Self::new(0..table.len())
    }

    /// Whether a column is bound to field number `field`.
    pub fn is_bound(&self, field: usize) -> bool {
        self.fields.contains(&field)
    }

    /// The names that columns are bound to of the field that stands for many, each with its number: what stands for `*`.
    pub fn named(&self) -> &[(usize, String)] {
        &self.named
    }

    /// Whether no column is bound to any field: messages need no metadata then.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.named.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[MetadataSpec] = &[
        MetadataSpec::new("connection", DataType::String, "The connection."),
        MetadataSpec::new("received_time", DataType::Timestamp, "When it came."),
    ];

    #[test]
    fn values_are_found_by_field_and_missing_ones_are_null() {
        let metadata = MessageMetadata::new(TABLE, ["c1".into()]);
        assert_eq!((metadata.value(0), metadata.value(1)), (ValueRef::String("c1"), ValueRef::Null));
        assert!(MessageMetadata::new(TABLE, [Value::Null, Value::Timestamp(5)]).value(0).is_null());
    }

    #[test]
    #[should_panic(expected = "metadata field 'received_time' is TIMESTAMP and got Long(5)")]
    fn a_value_of_another_type_is_a_bug_of_the_source() {
        MessageMetadata::new(TABLE, [Value::Null, Value::Long(5)]);
    }

    #[test]
    fn a_source_sees_which_fields_are_bound() {
        let bound = BoundMetadata::new([1]);
        assert!(!bound.is_bound(0) && bound.is_bound(1) && !bound.is_empty());
        assert!(BoundMetadata::default().is_empty());
        assert!(BoundMetadata::all(TABLE).is_bound(0));
    }

    #[test]
    fn a_field_can_stand_for_many_names_that_are_numbered_behind_the_table() {
        const OPEN: &[MetadataSpec] = &[
            MetadataSpec::new("subject", DataType::String, "Where."),
            MetadataSpec::new("header.*", DataType::String, "A header."),
        ];
        assert_eq!(
            (OPEN[1].matched("header.X"), OPEN[1].matched("header."), OPEN[0].matched("x")),
            (Some("X"), None, None)
        );
        let bound = BoundMetadata::new([0]).with_named(OPEN, ["X".to_owned(), "Y".to_owned()]);
        assert_eq!(bound.named(), [(2, "X".to_owned()), (3, "Y".to_owned())]);
        let metadata = MessageMetadata::new(OPEN, ["s".into(), Value::Null, "x".into(), "y".into()]);
        assert_eq!((metadata.value(2), metadata.value(3)), (ValueRef::String("x"), ValueRef::String("y")));
        let wrong = std::panic::catch_unwind(|| MessageMetadata::new(OPEN, [Value::Null, Value::Null, Value::Long(1)]));
        assert!(wrong.is_err());
    }
}
