//! The `csv` format.

use std::sync::Arc;

use eventflux_core::{DataType, Schema, Value};

use crate::support::{Raw, decode, decode_failure, decode_row, decode_with, encode, encode_row, schema, sink, source};

fn trades() -> Arc<Schema> {
    schema(&[("symbol", DataType::String), ("price", DataType::Double), ("id", DataType::Long)])
}

fn trade(symbol: &str, price: f64, id: i64) -> Vec<Value> {
    vec![symbol.into(), price.into(), id.into()]
}

#[test]
fn each_line_is_an_event() {
    let decoded = decode("csv", &trades(), &[], &["BTC,1.5,7\r\n\n\"E,\"\"T\n\",2,8\n", "", "X,0,0"]);
    assert_eq!(decoded.failures, []);
    assert_eq!(decoded.rows, [trade("BTC", 1.5, 7), trade("E,\"T\n", 2.0, 8), trade("X", 0.0, 0)]);
    assert_eq!(decoded.positions, [1, 1, 3]);
}

#[test]
fn fields_are_found_by_the_header_of_each_message() {
    let header: Raw<'_> = &[("csv.header", "true")];
    let decoded =
        decode("csv", &trades(), header, &["id,x,price,symbol\n7,?,1.5,BTC", "symbol,price,id\nE,2,8", "id\n"]);
    assert_eq!(decoded.rows, [trade("BTC", 1.5, 7), trade("E", 2.0, 8)]);
    assert_eq!(decoded.failures, [(2, "column symbol: the header does not name it".to_owned())]);
    assert_eq!(decode_failure("csv", &trades(), header, ""), "the message has no header");
    assert_eq!(decode_failure("csv", &trades(), header, "id,id\n"), "the header names \"id\" twice");
}

#[test]
fn fields_are_the_columns_that_are_listed() {
    let columns: Raw<'_> = &[("csv.columns", "id, _, symbol ,price"), ("csv.delimiter", "tab"), ("csv.quote", "'")];
    assert_eq!(decode_row("csv", &trades(), columns, "7\tx\t'B\tT'\t1.5"), trade("B\tT", 1.5, 7));
}

#[test]
fn a_bad_field_fails_its_message_with_column_and_line() {
    let decoded = decode("csv", &trades(), &[], &["A,1,1\nB,x\u{1b}y,2", "C,3,3"]);
    assert_eq!(decoded.failures, [(0, "column price: \"x\\u{1b}y\" in line 2 is not DOUBLE".to_owned())]);
    assert_eq!(decoded.rows, [trade("C", 3.0, 3)]);
    assert_eq!(decode_failure("csv", &trades(), &[], "A,1"), "line 1 has 2 fields instead of 3");
    let reason = decode_failure("csv", &trades(), &[("csv.max.events", "1")], "A,1,1\nB,2,2");
    assert_eq!(reason, "more lines than csv.max.events");
    let mut mapper = source("csv", &trades(), &[]).unwrap();
    assert_eq!(
        decode_with(&mut *mapper, &trades(), &[b"\xff,1,1"]).failures[0].1,
        "the message is not UTF-8 at byte 0"
    );
}

#[test]
fn fields_are_typed() {
    let one = |data_type, field: &str| {
        let schema = schema(&[("v", data_type)]);
        let mut decoded = decode("csv", &schema, &[("csv.timestamp.unit", "s")], &[field]);
        decoded.rows.pop().map(|mut row| row.remove(0)).ok_or_else(|| decoded.failures[0].1.clone())
    };
    for (data_type, field, value) in [
        (DataType::Long, " 007 ", Value::Long(7)),
        (DataType::Long, "9223372036854775807", Value::Long(i64::MAX)),
        (DataType::Long, "1.0", Value::Long(1)),
        (DataType::Int, "+1", Value::Int(1)),
        (DataType::Float, "0.1", Value::Float(0.1)),
        (DataType::Bool, "TRUE", Value::Bool(true)),
        (DataType::Bool, "0", Value::Bool(false)),
        (DataType::Timestamp, "1.5", Value::Timestamp(1_500_000)),
        (DataType::Timestamp, "1970-01-01T00:00:01Z", Value::Timestamp(1_000_000)),
        (DataType::Json, "[1]", Value::Json("[1]".into())),
        (DataType::Bytes, "AP8=", Value::Bytes(vec![0, 255])),
        (DataType::String, " x ", " x ".into()),
    ] {
        assert_eq!(one(data_type, field), Ok(value), "{field}");
    }
    for (data_type, field) in [
        (DataType::Long, "1.5"),
        (DataType::Long, "9223372036854775808"),
        (DataType::Int, "2147483648"),
        (DataType::Double, "NaN"),
        (DataType::Double, "inf"),
        (DataType::Double, "1e400"),
        (DataType::Float, "1e39"),
        (DataType::Bool, "yes"),
        (DataType::Timestamp, "noon"),
        (DataType::Json, "{"),
        (DataType::Bytes, "?"),
    ] {
        assert!(one(data_type, field).unwrap_err().starts_with("column v: "), "{field}");
    }
}

#[test]
fn null_has_a_text() {
    assert_eq!(decode_row("csv", &trades(), &[], ",,"), [Value::Null, Value::Null, Value::Null]);
    let named: Raw<'_> = &[("csv.null", "\\N")];
    assert_eq!(decode_row("csv", &trades(), named, ",\\N,\\N"), ["".into(), Value::Null, Value::Null]);
    assert_eq!(encode_row("csv", &trades(), named, &["".into(), Value::Null, Value::Null]), ",\\N,\\N");
}

#[test]
fn rows_are_lines_quoted_where_they_must_be() {
    let rows = [trade("a,\"b\"\n", 1.5, 1), trade("plain", 2.0, 2)];
    let payloads = |properties| encode("csv", &trades(), properties, &rows).0;
    assert_eq!(payloads(&[]), ["\"a,\"\"b\"\"\n\",1.5,1", "plain,2.0,2"]);
    assert_eq!(payloads(&[("csv.quoting", "always")])[1], "\"plain\",\"2.0\",\"2\"");
    assert_eq!(payloads(&[("csv.quoting", "non-numeric")])[1], "\"plain\",2.0,2");
    assert_eq!(payloads(&[("csv.delimiter", ";"), ("csv.quote", "'")])[0], "'a,\"b\"\n';1.5;1");
    assert_eq!(payloads(&[("csv.header", "true"), ("csv.columns", "id,symbol")])[1], "id,symbol\n2,plain");
    let single = schema(&[("s", DataType::String)]);
    assert_eq!(encode("csv", &single, &[], &[vec![Value::Null]]).0, ["\"\""]);
}

#[test]
fn a_row_that_cannot_be_written_fails_alone() {
    let rows = [trade("a", f64::NAN, 1), trade("b", 2.0, 2)];
    let (payloads, failures) = encode("csv", &trades(), &[], &rows);
    assert_eq!(payloads, ["b,2.0,2"]);
    assert!(failures[0].1.starts_with("column price: NaN"), "{failures:?}");
    let times = schema(&[("t", DataType::Timestamp)]);
    let format: Raw<'_> = &[("csv.timestamp.format", "rfc3339")];
    let (payloads, failures) =
        encode("csv", &times, format, &[vec![Value::Timestamp(i64::MIN)], vec![Value::Timestamp(0)]]);
    assert_eq!((payloads, failures.len()), (vec!["1970-01-01T00:00:00Z".to_owned()], 1));
}

#[test]
fn properties_are_checked_when_the_pipeline_is_made() {
    let error = |properties: Raw<'_>| source("csv", &trades(), properties).err().unwrap().to_string();
    assert!(error(&[("csv.columns", "symbol,prise,id")]).contains("did you mean 'price'?"));
    assert!(error(&[("csv.columns", "symbol,price")]).contains("does not name the column 'id'"));
    assert!(error(&[("csv.columns", "symbol,price,id,id")]).contains("twice"));
    assert!(error(&[("csv.columns", "symbol,price,id"), ("csv.header", "true")]).contains("no effect"));
    assert!(error(&[("csv.delimiter", "ab")]).contains("one ASCII character"));
    assert!(error(&[("csv.delimiter", "\n")]).contains("one ASCII character"));
    assert!(error(&[("csv.quote", ",")]).contains("same as csv.delimiter"));
    let skipped = sink("csv", &trades(), &[("csv.columns", "symbol,_")]).err().unwrap().to_string();
    assert!(skipped.contains("csv.columns"), "{skipped}");
}
