//! The types a column can have.

use std::fmt;

/// The type of a column, as declared in `CREATE STREAM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// UTF-8 text.
    String,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer (`BIGINT` or `LONG`).
    Long,
    /// 32-bit IEEE 754 number.
    Float,
    /// 64-bit IEEE 754 number.
    Double,
    /// `true` or `false`.
    Bool,
    /// Arbitrary bytes.
    Bytes,
    /// A point in time, microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// A JSON value, kept as the text it arrived in.
    Json,
}

impl DataType {
    /// Every type, in the order the documentation lists them.
    pub const ALL: [Self; 9] = [
        Self::String,
        Self::Int,
        Self::Long,
        Self::Float,
        Self::Double,
        Self::Bool,
        Self::Bytes,
        Self::Timestamp,
        Self::Json,
    ];

    /// The type's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Long => "BIGINT",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
            Self::Bool => "BOOL",
            Self::Bytes => "BYTES",
            Self::Timestamp => "TIMESTAMP",
            Self::Json => "JSON",
        }
    }

    /// The type of that SQL name (any case; `LONG` and `BOOLEAN` are accepted as well).
    pub fn from_name(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        match upper.as_str() {
            "LONG" => Some(Self::Long),
            "BOOLEAN" => Some(Self::Bool),
            _ => Self::ALL.into_iter().find(|candidate| candidate.name() == upper),
        }
    }

    /// Whether arithmetic is defined on the type.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Int | Self::Long | Self::Float | Self::Double)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_own_name_in_any_case() {
        for data_type in DataType::ALL {
            assert_eq!(DataType::from_name(data_type.name()), Some(data_type));
            assert_eq!(DataType::from_name(&data_type.name().to_lowercase()), Some(data_type));
        }
        assert_eq!(DataType::from_name("LONG"), Some(DataType::Long));
        assert_eq!(DataType::from_name("VARCHAR"), None);
    }
}
