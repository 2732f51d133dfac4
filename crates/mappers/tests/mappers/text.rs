//! The `text` format.

use eventflux_core::{DataType, Value};

use crate::support::{Raw, decode, decode_failure, decode_row, decode_with, encode, encode_row, schema, sink, source};

#[test]
fn a_message_is_the_value_of_the_only_column() {
    let schema = schema(&[("line", DataType::String)]);
    for message in ["", "a\nb\r\n", "é\u{0}"] {
        assert_eq!(decode_row("text", &schema, &[], message), [message.into()]);
    }
    let decoded = decode_with(&mut *source("text", &schema, &[]).unwrap(), &schema, &[b"a\xff", b"b"]);
    assert_eq!(decoded.failures, [(0, "the message is not UTF-8 at byte 1".to_owned())]);
    assert_eq!((decoded.rows, decoded.positions), (vec![vec!["b".into()]], vec![2]));
}

#[test]
fn the_column_can_be_named() {
    let schema = schema(&[("id", DataType::Long), ("line", DataType::String)]);
    let row = decode_row("text", &schema, &[("text.column", "line")], "x");
    assert_eq!(row, [Value::Null, "x".into()]);
}

#[test]
fn lines_are_events() {
    let schema = schema(&[("line", DataType::String)]);
    let lines: Raw<'_> = &[("text.lines", "true"), ("text.max.events", "3")];
    let decoded = decode("text", &schema, lines, &["a\r\n\nb\n", "", "c"]);
    assert_eq!(decoded.rows, [vec!["a".into()], vec!["".into()], vec!["b".into()], vec!["c".into()]]);
    assert_eq!(decoded.positions, [1, 1, 1, 3]);
    assert_eq!(decode_failure("text", &schema, lines, "1\n2\n3\n4"), "more lines than text.max.events");
}

#[test]
fn a_stream_that_does_not_fit_is_refused() {
    let error = |columns: &[(&str, DataType)], properties: Raw<'_>| {
        source("text", &schema(columns), properties).err().unwrap().to_string()
    };
    let two = [("symbol", DataType::String), ("price", DataType::Double)];
    assert!(error(&two, &[]).contains("name a STRING column"));
    assert!(error(&two, &[("text.column", "symbl")]).contains("did you mean 'symbol'?"));
    assert!(error(&two, &[("text.column", "price")]).contains("declare it STRING"));
    assert!(error(&[("raw", DataType::Bytes)], &[]).contains("'bytes'"));
    assert!(error(&[("a", DataType::String)], &[("text.max.events", "1")]).contains("text.lines"));
}

#[test]
fn a_single_column_and_a_template_are_written_as_they_are() {
    let one = schema(&[("line", DataType::String)]);
    assert_eq!(encode_row("text", &one, &[], &["a\nb".into()]), "a\nb");
    let two = schema(&[("symbol", DataType::String), ("price", DataType::Double)]);
    let properties: Raw<'_> = &[("text.template", "<${symbol}> $${x} ${price}"), ("text.null", "-")];
    assert_eq!(encode_row("text", &two, properties, &["B T".into(), Value::Double(1.5)]), "<B T> ${x} 1.5");
    assert_eq!(encode_row("text", &two, properties, &[Value::Null, Value::Null]), "<-> ${x} -");
    let error = sink("text", &two, &[("text.template", "${prise}")]).err().unwrap().to_string();
    assert!(error.contains("did you mean 'price'?"), "{error}");
}

#[test]
fn several_columns_are_a_line_with_aligned_values() {
    let schema = schema(&[("symbol", DataType::String), ("price", DataType::Double), ("at", DataType::Timestamp)]);
    let rows = [
        vec!["SOLUSDT".into(), Value::Double(150.25), Value::Timestamp(1_700_000_000_000_000)],
        vec!["BTC".into(), Value::Double(9.5), Value::Null],
        vec!["\u{1b}[31m\n".into(), Value::Double(50_000.0), Value::Null],
    ];
    let (lines, _) = encode("text", &schema, &[], &rows);
    assert_eq!(
        lines,
        [
            "symbol=SOLUSDT  price=150.25  at=2023-11-14T22:13:20Z",
            "symbol=BTC      price=   9.5  at=null",
            "symbol=\\u{1b}[31m\\n  price=50000.0  at=null",
        ]
    );
    let (lines, _) = encode("text", &schema, &[("text.align", "false"), ("text.timestamp.format", "ms")], &rows);
    assert_eq!(lines[0], "symbol=SOLUSDT  price=150.25  at=1700000000000");
    assert_eq!(lines[1], "symbol=BTC  price=9.5  at=null");
}

#[test]
fn padding_is_limited() {
    let schema = schema(&[("a", DataType::String), ("b", DataType::Long)]);
    let rows = [vec!["x".repeat(1_000).into(), Value::Long(1)], vec!["y".into(), Value::Long(1)]];
    let (lines, _) = encode("text", &schema, &[], &rows);
    assert_eq!(lines[1].len(), "a=".len() + 32 + "  b=1".len());
}

#[test]
fn alignment_is_refused_where_it_has_no_effect() {
    let schema = schema(&[("a", DataType::String)]);
    let error = sink("text", &schema, &[("text.align", "true")]).err().unwrap().to_string();
    assert!(error.contains("text.align"), "{error}");
}
