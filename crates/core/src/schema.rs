//! The columns of a stream: names and types, in declaration order.

use crate::DataType;

/// One declared column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Case-sensitive name.
    pub name: String,
    /// Type of every value in the column that is not `NULL`.
    pub data_type: DataType,
}

/// The columns of a stream. Names are case-sensitive and unique.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    fields: Vec<Field>,
}

impl Schema {
    /// A schema of `(name, type)` pairs in order. Of two columns of the same name the first one is found by name;
    /// the SQL front end refuses such a declaration.
    pub fn new<N: Into<String>>(fields: impl IntoIterator<Item = (N, DataType)>) -> Self {
        let fields = fields.into_iter().map(|(name, data_type)| Field { name: name.into(), data_type }).collect();
        Self { fields }
    }

    /// The columns, in declaration order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Index of the column of that exact name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The column names, in declaration order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }
}
