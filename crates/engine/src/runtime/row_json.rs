//! A row as one JSON object, for dead letters of stages that have no bytes of their own.

use std::fmt::Write;

use bytes::Bytes;
use eventflux_core::{EventBatch, ValueRef};

/// The row's columns by name, in schema order. Numbers that JSON cannot express are written as text, bytes as
/// hexadecimal text, timestamps as microseconds since 1970.
pub(crate) fn row_json(batch: &EventBatch, row: usize) -> Bytes {
    let mut text = String::from("{");
    for (index, (name, value)) in batch.schema().names().zip(batch.row(row).values()).enumerate() {
        if index > 0 {
            text.push(',');
        }
        quote(&mut text, name);
        text.push(':');
        append(&mut text, value);
    }
    text.push('}');
    text.into()
}

fn append(text: &mut String, value: ValueRef<'_>) {
    // Writing to a String cannot fail.
    let _ = match value {
        ValueRef::Null => write!(text, "null"),
        ValueRef::Bool(value) => write!(text, "{value}"),
        ValueRef::Int(value) => write!(text, "{value}"),
        ValueRef::Long(value) | ValueRef::Timestamp(value) => write!(text, "{value}"),
        ValueRef::Float(value) if value.is_finite() => write!(text, "{value:?}"),
        ValueRef::Double(value) if value.is_finite() => write!(text, "{value:?}"),
        ValueRef::Float(value) => write!(text, "\"{value}\""),
        ValueRef::Double(value) => write!(text, "\"{value}\""),
        ValueRef::Json(value) => write!(text, "{value}"),
        ValueRef::String(value) => {
            quote(text, value);
            Ok(())
        }
        ValueRef::Bytes(value) => {
            text.push('"');
            for byte in value {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('"');
            Ok(())
        }
    };
}

fn quote(text: &mut String, value: &str) {
    // A string always serialises.
    text.push_str(&serde_json::to_string(value).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use eventflux_core::{DataType, Schema, Value};

    use super::*;

    #[test]
    fn a_row_becomes_an_object_by_name() {
        let schema = Schema::new([
            ("s", DataType::String),
            ("t", DataType::Long),
            ("d", DataType::Double),
            ("n", DataType::Double),
            ("b", DataType::Bytes),
            ("j", DataType::Json),
        ]);
        let mut batch = EventBatch::new(Arc::new(schema));
        let row = [
            "a\"b\n".into(),
            Value::Long(i64::MAX),
            Value::Double(0.1),
            Value::Double(f64::NAN),
            Value::Bytes(vec![0, 255]),
            Value::Json(r#"{"x":[1.10]}"#.into()),
        ];
        batch.push_row(&row, 1).unwrap();
        let json = row_json(&batch, 0);
        let expected = r#"{"s":"a\"b\n","t":9223372036854775807,"d":0.1,"n":"NaN","b":"00ff","j":{"x":[1.10]}}"#;
        assert_eq!(std::str::from_utf8(&json).unwrap(), expected);
        assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
    }
}
