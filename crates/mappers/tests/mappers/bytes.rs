//! The `bytes` format.

use eventflux_core::{DataType, Value};

use crate::support::{decode_with, encode, schema, sink, source};

#[test]
fn a_message_is_the_value_both_ways() {
    let raw = schema(&[("raw", DataType::Bytes)]);
    let decoded = decode_with(&mut *source("bytes", &raw, &[]).unwrap(), &raw, &[b"", b"\xff\x00"]);
    assert_eq!(decoded.rows, [vec![Value::Bytes(vec![])], vec![Value::Bytes(vec![255, 0])]]);
    let text = schema(&[("line", DataType::String)]);
    let decoded = decode_with(&mut *source("bytes", &text, &[]).unwrap(), &text, &[b"a", b"\xff", b"b"]);
    assert_eq!((decoded.rows, decoded.positions), (vec![vec!["a".into()], vec!["b".into()]], vec![1, 3]));
    assert_eq!(decoded.failures, [(1, "column line: the message is not UTF-8 at byte 0".to_owned())]);
}

#[test]
fn a_row_is_its_bytes_and_null_has_none() {
    let raw = schema(&[("raw", DataType::Bytes)]);
    let (payloads, failures) = encode("bytes", &raw, &[], &[vec![Value::Null], vec![Value::Bytes(b"x".to_vec())]]);
    assert_eq!(payloads, ["x"]);
    assert_eq!(failures, [(0, "column raw: NULL has no bytes; leave it out in the query".to_owned())]);
    let text = schema(&[("line", DataType::String)]);
    assert_eq!(encode("bytes", &text, &[], &[vec!["é".into()]]).0, ["é"]);
}

#[test]
fn the_stream_has_exactly_one_fitting_column() {
    for columns in [&[][..], &[("n", DataType::Long)], &[("a", DataType::Bytes), ("b", DataType::Bytes)]] {
        let schema = schema(columns);
        for error in [source("bytes", &schema, &[]).err(), sink("bytes", &schema, &[]).err()] {
            assert!(error.unwrap().to_string().contains("exactly one column, BYTES or STRING"));
        }
    }
}
