//! The rules of JSON encoding, one by one.

use eventflux_core::{DataType, Value};

use crate::support::{Raw, encode, encode_row, schema, sink};

#[test]
fn a_row_is_an_object_by_column_name() {
    let schema = schema(&[
        ("s", DataType::String),
        ("i", DataType::Int),
        ("l", DataType::Long),
        ("f", DataType::Float),
        ("d", DataType::Double),
        ("b", DataType::Bool),
        ("x", DataType::Bytes),
        ("t", DataType::Timestamp),
        ("j", DataType::Json),
        ("odd \"name\"", DataType::Long),
    ]);
    let row = [
        "a\"b\n".into(),
        Value::Int(-1),
        Value::Long(i64::MIN),
        Value::Float(0.1),
        Value::Double(50_000.01),
        Value::Bool(true),
        Value::Bytes(vec![0, 255]),
        Value::Timestamp(1_700_000_000_123_000),
        Value::Json("{\"k\": [1]}".into()),
        Value::Null,
    ];
    assert_eq!(
        encode_row("json", &schema, &[], &row),
        r#"{"s":"a\"b\n","i":-1,"l":-9223372036854775808,"f":0.1,"d":50000.01,"b":true,"x":"AP8=","t":1700000000123,"j":{"k": [1]},"odd \"name\"":null}"#
    );
}

#[test]
fn nulls_are_written_or_left_out() {
    let schema = schema(&[("a", DataType::Long), ("b", DataType::Long), ("c", DataType::Long)]);
    let omit: Raw<'_> = &[("json.nulls", "omit")];
    let row = |a: Option<i64>, b: Option<i64>| vec![a.into(), b.into(), Value::Null];
    assert_eq!(encode_row("json", &schema, &[], &row(None, Some(1))), r#"{"a":null,"b":1,"c":null}"#);
    assert_eq!(encode_row("json", &schema, omit, &row(None, Some(1))), r#"{"b":1}"#);
    assert_eq!(encode_row("json", &schema, omit, &row(Some(2), Some(1))), r#"{"a":2,"b":1}"#);
    assert_eq!(encode_row("json", &schema, omit, &row(None, None)), "{}");
}

#[test]
fn a_payload_is_one_line_when_asked_for() {
    let schema = schema(&[("j", DataType::Json), ("s", DataType::String)]);
    let row = [Value::Json("{\r\n  \"k\": [1,\n2]}".into()), "a\nb".into()];
    assert_eq!(
        encode_row("json", &schema, &[("json.line.breaks", "space")], &row),
        r#"{"j":{    "k": [1, 2]},"s":"a\nb"}"#
    );
    let template: Raw<'_> =
        &[("json.output", "template"), ("json.template", "[\n${j}]"), ("json.line.breaks", "space")];
    assert_eq!(encode_row("json", &schema, template, &row), r#"[ {    "k": [1, 2]}]"#);
    assert!(encode_row("json", &schema, &[], &row).contains("{\r\n"));
}

#[test]
fn an_envelope_wraps_the_object() {
    let schema = schema(&[("a", DataType::Long)]);
    let envelope = |more: Raw<'_>| {
        let properties = [&[("json.output", "envelope")], more].concat();
        encode_row("json", &schema, &properties, &[Value::Long(1)])
    };
    assert_eq!(envelope(&[]), r#"{"data":{"a":1}}"#);
    assert_eq!(envelope(&[("json.envelope.key", "the \"event\"")]), r#"{"the \"event\"":{"a":1}}"#);
    assert_eq!(envelope(&[("json.nulls", "omit")]), r#"{"data":{"a":1}}"#);
}

#[test]
fn a_template_places_columns_by_name() {
    let schema = schema(&[("symbol", DataType::String), ("price", DataType::Double)]);
    let template = r#"{"type":"trade","data":{"s":"${symbol}","price":${price},"raw":${symbol}}}"#;
    let properties: Raw<'_> = &[("json.output", "template"), ("json.template", template)];
    assert_eq!(
        encode_row("json", &schema, properties, &["B\"T\\C".into(), Value::Double(1.5)]),
        r#"{"type":"trade","data":{"s":"B\"T\\C","price":1.5,"raw":"B\"T\\C"}}"#
    );
    assert_eq!(
        encode_row("json", &schema, properties, &[Value::Null, Value::Null]),
        r#"{"type":"trade","data":{"s":"","price":null,"raw":null}}"#
    );
}

#[test]
fn a_template_is_checked_when_the_pipeline_is_made() {
    let schema = schema(&[("symbol", DataType::String)]);
    let error = |properties: Raw<'_>| sink("json", &schema, properties).err().unwrap().to_string();
    let template = |text| error(&[("json.output", "template"), ("json.template", text)]);
    assert_eq!(
        template(r#"{"s":"${smbol}"}"#),
        "property 'json.template': the stream has no column 'smbol' (did you mean 'symbol'?)"
    );
    assert!(template(r#"{"s":${symbol}"#).contains("does not yield JSON"));
    assert!(error(&[("json.output", "template")]).contains("json.template"));
    assert!(error(&[("json.template", "{}")]).contains("has no effect unless json.output is 'template'"));
    let omit = error(&[("json.output", "template"), ("json.template", "{}"), ("json.nulls", "omit")]);
    assert!(omit.contains("json.nulls"), "{omit}");
}

#[test]
fn times_are_written_in_the_declared_format() {
    let schema = schema(&[("t", DataType::Timestamp)]);
    let time =
        |format, micros| encode_row("json", &schema, &[("json.timestamp.format", format)], &[Value::Timestamp(micros)]);
    let micros = 1_700_000_000_123_456;
    assert_eq!(time("ms", micros), r#"{"t":1700000000123.456}"#);
    assert_eq!(time("us", micros), r#"{"t":1700000000123456}"#);
    assert_eq!(time("s", micros), r#"{"t":1700000000.123456}"#);
    assert_eq!(time("s", 1_700_000_000_000_000), r#"{"t":1700000000}"#);
    assert_eq!(time("rfc3339", micros), r#"{"t":"2023-11-14T22:13:20.123456Z"}"#);
}

#[test]
fn a_value_without_a_json_form_fails_alone() {
    let schema =
        schema(&[("s", DataType::String), ("d", DataType::Double), ("f", DataType::Float), ("t", DataType::Timestamp)]);
    let row = |double: f64, float: f32, time| vec!["x".into(), double.into(), float.into(), Value::Timestamp(time)];
    let rows = [row(f64::NAN, 0.0, 0), row(1.0, 2.0, 0), row(0.0, f32::INFINITY, 0), row(0.0, 0.0, i64::MAX)];
    let (payloads, failures) = encode("json", &schema, &[("json.timestamp.format", "rfc3339")], &rows);
    assert_eq!(payloads, [r#"{"s":"x","d":1.0,"f":2.0,"t":"1970-01-01T00:00:00Z"}"#]);
    let rows: Vec<_> = failures.iter().map(|(row, reason)| (*row, &reason[..9])).collect();
    assert_eq!(rows, [(0, "column d:"), (2, "column f:"), (3, "column t:")]);
}
