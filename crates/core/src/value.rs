//! One value of one column: owned ([`Value`]) and borrowed ([`ValueRef`]).

use crate::DataType;

/// A value that owns its text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL `NULL`; belongs to every type.
    Null,
    /// `BOOL`
    Bool(bool),
    /// `INT`
    Int(i32),
    /// `BIGINT`
    Long(i64),
    /// `FLOAT`
    Float(f32),
    /// `DOUBLE`
    Double(f64),
    /// `STRING`
    String(String),
    /// `BYTES`
    Bytes(Vec<u8>),
    /// `TIMESTAMP`, microseconds since 1970-01-01T00:00:00Z
    Timestamp(i64),
    /// `JSON`, the value's text
    Json(String),
}

impl Value {
    /// The value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(value) => ValueRef::Bool(*value),
            Self::Int(value) => ValueRef::Int(*value),
            Self::Long(value) => ValueRef::Long(*value),
            Self::Float(value) => ValueRef::Float(*value),
            Self::Double(value) => ValueRef::Double(*value),
            Self::String(value) => ValueRef::String(value),
            Self::Bytes(value) => ValueRef::Bytes(value),
            Self::Timestamp(value) => ValueRef::Timestamp(*value),
            Self::Json(value) => ValueRef::Json(value),
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}
value_from!(bool => Bool, i32 => Int, i64 => Long, f32 => Float, f64 => Double, String => String, &str => String, Vec<u8> => Bytes);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A value that borrows its text from a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// SQL `NULL`; belongs to every type.
    Null,
    /// `BOOL`
    Bool(bool),
    /// `INT`
    Int(i32),
    /// `BIGINT`
    Long(i64),
    /// `FLOAT`
    Float(f32),
    /// `DOUBLE`
    Double(f64),
    /// `STRING`
    String(&'a str),
    /// `BYTES`
    Bytes(&'a [u8]),
    /// `TIMESTAMP`, microseconds since 1970-01-01T00:00:00Z
    Timestamp(i64),
    /// `JSON`, the value's text
    Json(&'a str),
}

impl ValueRef<'_> {
    /// The value's type; `None` for `NULL`.
    pub fn data_type(&self) -> Option<DataType> {
        match self {
            Self::Null => None,
            Self::Bool(_) => Some(DataType::Bool),
            Self::Int(_) => Some(DataType::Int),
            Self::Long(_) => Some(DataType::Long),
            Self::Float(_) => Some(DataType::Float),
            Self::Double(_) => Some(DataType::Double),
            Self::String(_) => Some(DataType::String),
            Self::Bytes(_) => Some(DataType::Bytes),
            Self::Timestamp(_) => Some(DataType::Timestamp),
            Self::Json(_) => Some(DataType::Json),
        }
    }

    /// Whether the value is `NULL`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// A copy that owns its text.
    pub fn to_value(&self) -> Value {
        match *self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Long(value) => Value::Long(value),
            Self::Float(value) => Value::Float(value),
            Self::Double(value) => Value::Double(value),
            Self::String(value) => Value::String(value.to_owned()),
            Self::Bytes(value) => Value::Bytes(value.to_owned()),
            Self::Timestamp(value) => Value::Timestamp(value),
            Self::Json(value) => Value::Json(value.to_owned()),
        }
    }
}
