//! What is encoded comes back as it was, for every type; and no input makes a decoder panic.

use std::sync::Arc;

use eventflux_core::{DataType, Schema, Value};
use proptest::prelude::*;

use crate::support::{Raw, decode, decode_with, encode, encode_row, schema, source};

/// Times that RFC 3339 can write, in microseconds.
const YEARS_0_TO_9999: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;

fn value(data_type: DataType) -> BoxedStrategy<Value> {
    match data_type {
        DataType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        DataType::Int => any::<i32>().prop_map(Value::Int).boxed(),
        DataType::Long => any::<i64>().prop_map(Value::Long).boxed(),
        DataType::Float => any::<f32>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::Float).boxed(),
        DataType::Double => {
            any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::Double).boxed()
        }
        DataType::String => {
            prop_oneof![any::<String>(), "[\\x00-\\x20\",;'\\\\a]{0,9}"].prop_map(Value::String).boxed()
        }
        DataType::Bytes => any::<Vec<u8>>().prop_map(Value::Bytes).boxed(),
        DataType::Timestamp => YEARS_0_TO_9999.prop_map(Value::Timestamp).boxed(),
        DataType::Json => prop::sample::select(vec!["{}", "[1, 2.50]", "\"a\\n\"", "true", "{\"a\": {\"b\":\n[]}}"])
            .prop_map(|text| Value::Json(text.into()))
            .boxed(),
    }
}

/// A row of every type, some of it `NULL`.
fn row() -> impl Strategy<Value = Vec<Value>> {
    let values: Vec<_> = DataType::ALL.into_iter().map(value).collect();
    let nulls = prop::collection::vec(prop::bool::weighted(0.1), DataType::ALL.len());
    (values, nulls).prop_map(|(values, nulls)| {
        let pairs = values.into_iter().zip(nulls);
        pairs.map(|(value, null)| if null { Value::Null } else { value }).collect()
    })
}

fn every_type() -> Arc<Schema> {
    Arc::new(Schema::new(DataType::ALL.map(|data_type| (data_type.name(), data_type))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn json_comes_back(rows in prop::collection::vec(row(), 1..4), format in prop::sample::select(vec!["ms", "us", "s", "rfc3339"]), nulls in prop::sample::select(vec!["write", "omit"])) {
        let unit = if format == "rfc3339" { "s" } else { format };
        let (payloads, failures) = encode("json", &every_type(), &[("json.timestamp.format", format), ("json.nulls", nulls)], &rows);
        prop_assert_eq!(failures, []);
        let payloads: Vec<_> = payloads.iter().map(String::as_str).collect();
        for payload in &payloads {
            prop_assert!(serde_json::from_str::<serde_json::Value>(payload).is_ok());
        }
        let decoded = decode("json", &every_type(), &[("json.timestamp.unit", unit)], &payloads);
        prop_assert_eq!(decoded.failures, []);
        prop_assert_eq!(decoded.rows, rows);
    }

    #[test]
    fn a_json_envelope_and_a_template_come_back(row in row()) {
        let schema = schema(&[("STRING", DataType::String), ("BIGINT", DataType::Long)]);
        let row = [row[0].clone(), row[2].clone()];
        let payload = encode_row("json", &schema, &[("json.output", "envelope"), ("json.envelope.key", "e")], &row);
        let decoded = decode("json", &schema, &[("json.root", "$.e")], &[&payload]);
        prop_assert_eq!(&decoded.rows, &[row.to_vec()]);
        let template = r#"{"all":["${STRING}", ${STRING}, ${BIGINT}]}"#;
        let payload = encode_row("json", &schema, &[("json.output", "template"), ("json.template", template)], &row);
        let paths: Raw<'_> = &[("json.path.STRING", "$.all[1]"), ("json.path.BIGINT", "$.all[2]")];
        prop_assert_eq!(&decode("json", &schema, paths, &[&payload]).rows, &[row.to_vec()]);
        let text = &decode("json", &schema, &[("json.path.STRING", "$.all[0]")], &[&payload]).rows[0][0];
        prop_assert_eq!(text, if row[0] == Value::Null { &Value::String(String::new()) } else { &row[0] });
    }

    #[test]
    fn csv_comes_back(row in row(), quoting in prop::sample::select(vec!["necessary", "always", "non-numeric"]), header in any::<bool>(), delimiter in prop::sample::select(vec![",", ";", "tab"])) {
        let header = header.to_string();
        let common = [("csv.null", "\\N"), ("csv.header", &header), ("csv.delimiter", delimiter)];
        let sink = [&common[..], &[("csv.quoting", quoting)]].concat();
        let payload = encode_row("csv", &every_type(), &sink, &row);
        let decoded = decode("csv", &every_type(), &common, &[&payload]);
        prop_assert_eq!(decoded.failures, []);
        prop_assert_eq!(decoded.rows, [row]);
    }

    #[test]
    fn text_and_bytes_come_back(text: String, bytes: Vec<u8>) {
        let line = schema(&[("line", DataType::String)]);
        let payload = encode_row("text", &line, &[], &[text.as_str().into()]);
        prop_assert_eq!(decode("text", &line, &[], &[&payload]).rows, [vec![text.into()]]);
        let raw = schema(&[("raw", DataType::Bytes)]);
        let decoded = decode_with(&mut *source("bytes", &raw, &[]).unwrap(), &raw, &[&bytes]);
        prop_assert_eq!(decoded.rows, [vec![Value::Bytes(bytes)]]);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(messages in prop::collection::vec(prop_oneof![any::<Vec<u8>>(), "[\\[\\]{}\",:\\\\eu0-9. a\\n-]{0,60}".prop_map(String::into_bytes)], 1..4)) {
        let messages: Vec<_> = messages.iter().map(Vec::as_slice).collect();
        let one = schema(&[("a", DataType::String)]);
        for (format, schema, properties) in [
            ("json", &every_type(), &[][..]),
            ("json", &every_type(), &[("json.on.wrong.type", "coerce"), ("json.root", "$.a")]),
            ("csv", &every_type(), &[]),
            ("csv", &one, &[("csv.header", "true")]),
            ("text", &one, &[("text.lines", "true")]),
            ("bytes", &one, &[]),
        ] {
            let decoded = decode_with(&mut *source(format, schema, properties).unwrap(), schema, &messages);
            prop_assert!(decoded.failures.iter().all(|(row, reason)| *row < messages.len() && !reason.chars().any(char::is_control)));
        }
    }
}
