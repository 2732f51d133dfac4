//! The rules of JSON decoding, one by one.

use eventflux_core::{DataType, Value};

use crate::support::{Raw, decode, decode_failure, decode_row, schema, source};

const COERCE: Raw<'_> = &[("json.on.wrong.type", "coerce")];

fn one(data_type: DataType, properties: Raw<'_>, value: &str) -> Result<Value, String> {
    let schema = schema(&[("v", data_type)]);
    let mut decoded = decode("json", &schema, properties, &[&format!("{{\"v\":{value}}}")]);
    match decoded.failures.pop() {
        Some((_, reason)) => Err(reason),
        None => Ok(decoded.rows.remove(0).remove(0)),
    }
}

#[test]
fn columns_are_found_by_name_with_their_case() {
    let schema =
        schema(&[("T", DataType::Long), ("t", DataType::Long), ("m", DataType::Bool), ("s", DataType::String)]);
    let message = r#"{"e":"trade","s":"BTCUSDT","t":12345,"x":{"t":9,"y":[1,{"T":2}]},"T":1700000000000,"m":true}"#;
    assert_eq!(
        decode_row("json", &schema, &[], message),
        [Value::Long(1_700_000_000_000), Value::Long(12345), Value::Bool(true), "BTCUSDT".into()]
    );
}

#[test]
fn whole_numbers_are_exact_or_refused() {
    let long = |value| one(DataType::Long, &[], value);
    assert_eq!(long("9223372036854775807"), Ok(Value::Long(i64::MAX)));
    assert_eq!(long("-9223372036854775808"), Ok(Value::Long(i64::MIN)));
    for value in ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e19"] {
        assert!(long(value).unwrap_err().contains("out of range"), "{value}");
    }
    assert_eq!(long("1.0"), Ok(Value::Long(1)));
    assert_eq!(long("1e3"), Ok(Value::Long(1000)));
    assert_eq!(long("-0"), Ok(Value::Long(0)));
    assert!(long("1.5").unwrap_err().contains("it has a fraction"));
    assert_eq!(one(DataType::Int, &[], "-2147483648"), Ok(Value::Int(i32::MIN)));
    assert!(one(DataType::Int, &[], "2147483648").unwrap_err().contains("out of range"));
}

#[test]
fn floats_are_the_nearest_and_never_infinite() {
    assert_eq!(one(DataType::Double, &[], "0.1"), Ok(Value::Double(0.1)));
    assert_eq!(one(DataType::Double, &[], "7"), Ok(Value::Double(7.0)));
    assert_eq!(one(DataType::Double, &[], "1.7976931348623157e308"), Ok(Value::Double(f64::MAX)));
    assert_eq!(one(DataType::Float, &[], "16777217"), Ok(Value::Float(16_777_216.0)));
    assert!(one(DataType::Float, &[], "1e39").unwrap_err().contains("out of range"));
    for data_type in [DataType::Double, DataType::String, DataType::Json] {
        let reason = one(data_type, &[], "1e400").unwrap_err();
        assert!(reason.contains("invalid JSON at byte 5: a number is out of range"), "{reason}");
    }
}

#[test]
fn a_wrong_type_is_an_error_with_column_value_place_and_way_out() {
    assert_eq!(
        one(DataType::Double, &[], r#""50000.01""#).unwrap_err(),
        "column v: \"50000.01\" at byte 5 is a string, not DOUBLE; json.on.wrong.type='coerce' accepts it"
    );
    assert_eq!(one(DataType::Long, &[], "[1,2]").unwrap_err(), "column v: [1,2] at byte 5 is an array, not BIGINT");
    for (data_type, value) in [
        (DataType::String, "1"),
        (DataType::String, "true"),
        (DataType::String, "{}"),
        (DataType::Bool, "1"),
        (DataType::Bool, "\"true\""),
        (DataType::Int, "\"1\""),
        (DataType::Float, "true"),
        (DataType::Timestamp, "\"yesterday\""),
        (DataType::Timestamp, "true"),
        (DataType::Bytes, "\"%%%\""),
        (DataType::Bytes, "[1]"),
    ] {
        assert!(one(data_type, &[], value).is_err(), "{value} into {data_type}");
        let null = one(data_type, &[("json.on.wrong.type", "null")], value);
        assert_eq!(null, Ok(Value::Null), "{value} into {data_type}");
    }
}

#[test]
fn coercion_takes_what_loses_nothing() {
    let coerce = |data_type, value| one(data_type, COERCE, value);
    assert_eq!(coerce(DataType::Double, r#""50000.01""#), Ok(Value::Double(50_000.01)));
    assert_eq!(coerce(DataType::Float, r#""1.5""#), Ok(Value::Float(1.5)));
    assert_eq!(coerce(DataType::Long, r#""9007199254740993""#), Ok(Value::Long(9_007_199_254_740_993)));
    assert_eq!(coerce(DataType::Int, r#""7.0""#), Ok(Value::Int(7)));
    assert_eq!(coerce(DataType::Long, r#""\u0037""#), Ok(Value::Long(7)));
    assert_eq!(coerce(DataType::Timestamp, r#""1700000000000""#), Ok(Value::Timestamp(1_700_000_000_000_000)));
    assert_eq!(coerce(DataType::Bool, "\"true\""), Ok(Value::Bool(true)));
    assert_eq!(coerce(DataType::Bool, "0"), Ok(Value::Bool(false)));
    assert_eq!(coerce(DataType::String, "50000.010"), Ok("50000.010".into()));
    assert_eq!(coerce(DataType::String, "true"), Ok("true".into()));
    assert_eq!(coerce(DataType::String, r#"{"a": 1}"#), Ok(r#"{"a": 1}"#.into()));
    for (data_type, value) in [
        (DataType::Long, r#""1.5""#),
        (DataType::Long, r#""9223372036854775808""#),
        (DataType::Long, "true"),
        (DataType::Double, r#""""#),
        (DataType::Double, r#"" 1""#),
        (DataType::Double, r#""NaN""#),
        (DataType::Double, r#""inf""#),
        (DataType::Double, r#""1e400""#),
        (DataType::Double, r#""+1""#),
        (DataType::Bool, "2"),
        (DataType::Bool, r#""yes""#),
        (DataType::Bytes, "1"),
    ] {
        assert!(coerce(data_type, value).is_err(), "{value} into {data_type}");
    }
}

#[test]
fn missing_and_null_are_null_or_errors_as_declared() {
    let schema = schema(&[("a", DataType::Long), ("b", DataType::String)]);
    assert_eq!(decode_row("json", &schema, &[], r#"{"b":null}"#), [Value::Null, Value::Null]);
    let missing = decode_failure("json", &schema, &[("json.on.missing", "error")], r#"{"b":null}"#);
    assert_eq!(missing, "column a: $.a is missing");
    let null = decode_failure("json", &schema, &[("json.on.null", "error")], r#"{"b":null}"#);
    assert_eq!(null, "column b: $.b is null");
}

#[test]
fn times_are_numbers_of_the_unit_or_rfc_3339_text() {
    for (unit, value) in [
        ("s", "1700000000.123456"),
        ("ms", "1700000000123.456"),
        ("us", "1700000000123456"),
        ("ns", "1700000000123456789"),
        ("ms", "1.700000000123456e12"),
        ("s", "\"2023-11-14T22:13:20.123456Z\""),
        ("s", "\"2023-11-15T00:13:20.1234569+02:00\""),
    ] {
        let time = one(DataType::Timestamp, &[("json.timestamp.unit", unit)], value);
        assert_eq!(time, Ok(Value::Timestamp(1_700_000_000_123_456)), "{value} {unit}");
    }
    assert!(one(DataType::Timestamp, &[], "9223372036854775807").unwrap_err().contains("out of range"));
    assert!(one(DataType::Timestamp, &[], "\"2023\"").unwrap_err().contains("RFC 3339"));
}

#[test]
fn json_keeps_the_text_of_any_value() {
    for value in [r#"{ "a" : [1, 2.50, "\u00e9"] }"#, "1.50", "\"x\\n\"", "true", "[]"] {
        assert_eq!(one(DataType::Json, &[], value), Ok(Value::Json(value.into())));
    }
    assert_eq!(one(DataType::Json, &[], "null"), Ok(Value::Null));
}

#[test]
fn bytes_are_base64_text() {
    assert_eq!(one(DataType::Bytes, &[], "\"AP9+\""), Ok(Value::Bytes(vec![0, 255, 126])));
    assert_eq!(one(DataType::Bytes, &[], "\"\""), Ok(Value::Bytes(vec![])));
    assert!(one(DataType::Bytes, &[], "\"AP9\"").unwrap_err().contains("Base64"));
}

#[test]
fn escaped_strings_are_unescaped() {
    let value = one(DataType::String, &[], r#""a\"\\\/\n\u00e9\ud83d\ude00é""#);
    assert_eq!(value, Ok("a\"\\/\né😀é".into()));
}

#[test]
fn a_message_that_is_no_json_fails_with_its_place_whatever_columns_there_are() {
    let declared = schema(&[("v", DataType::String)]);
    let other = schema(&[("w", DataType::String)]);
    for (message, reason) in [
        ("", "the message is empty"),
        (" ", "invalid JSON at byte 1: the message ends too early"),
        ("{\"v\":\"a", "invalid JSON at byte 7: the message ends too early"),
        ("{\"v\":1", "invalid JSON at byte 6: the message ends too early"),
        ("{\"v\":1}x", "invalid JSON at byte 7: unexpected text after the end of the value"),
        ("{\"v\":1}{", "invalid JSON at byte 7: unexpected text after the end of the value"),
        ("\u{feff}{\"v\":1}", "invalid JSON at byte 0: a byte order mark before the value"),
        ("{\"v\":NaN}", "invalid JSON at byte 5: expected a value"),
        ("{\"v\":Infinity}", "invalid JSON at byte 5: expected a value"),
        ("{\"v\":-Infinity}", "invalid JSON at byte 6: expected a digit"),
        ("{\"v\":01}", "invalid JSON at byte 6: a number must not start with 0 and more digits"),
        ("{\"v\":1e400}", "invalid JSON at byte 5: a number is out of range"),
        ("{\"v\":\"\\ud800\"}", "invalid JSON at byte 12: a high surrogate without its low one"),
        ("{\"v\":\"\\udc00\"}", "invalid JSON at byte 12: a low surrogate without its high one"),
        ("{\"v\":\"\n\"}", "invalid JSON at byte 6: a control character in a string must be escaped"),
        ("{\"v\":\"\u{1b}\"}", "invalid JSON at byte 6: a control character in a string must be escaped"),
        ("{\"v\":1,}", "invalid JSON at byte 7: expected a key in quotes"),
    ] {
        for schema in [&declared, &other] {
            assert_eq!(decode_failure("json", schema, &[], message), reason, "{message}");
        }
    }
    let mut mapper = source("json", &declared, &[]).unwrap();
    let decoded = crate::support::decode_with(&mut *mapper, &declared, &[b"{\"w\":\"\xff\"}"]);
    assert_eq!(decoded.failures, [(0, "the message is not UTF-8 at byte 6".to_owned())]);
}

#[test]
fn scalars_are_no_events() {
    let schema = schema(&[("v", DataType::String)]);
    for (message, reason) in [
        ("5", "a number at byte 0, where an event should be"),
        ("\"x\"", "a string at byte 0, where an event should be"),
        ("true", "a boolean at byte 0, where an event should be"),
        ("[{},7]", "a number at byte 4, where an event should be"),
        ("null", "$, where the event should be, is null"),
    ] {
        assert_eq!(decode_failure("json", &schema, &[], message), reason);
    }
}

#[test]
fn nesting_is_limited() {
    let schema = schema(&[("v", DataType::Json)]);
    let nested = |depth: usize| format!("{{\"v\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(decode("json", &schema, &[], &[&nested(128)]).failures, []);
    let reason = decode_failure("json", &schema, &[], &nested(129));
    assert_eq!(reason, "nested deeper than json.max.depth at byte 132");
    assert_eq!(decode("json", &schema, &[("json.max.depth", "3")], &[&nested(3)]).failures, []);
    assert!(decode_failure("json", &schema, &[("json.max.depth", "3")], &nested(4)).contains("json.max.depth"));
    decode_failure("json", &schema, &[], &"{\"v\":".repeat(1_000_000));
}

#[test]
fn a_message_that_fails_leaves_no_row_and_the_others_are_decoded() {
    let schema = schema(&[("a", DataType::Long), ("b", DataType::Long)]);
    let messages = [
        r#"{"a":1,"b":1}"#,
        r#"{"a":2,"b":"x"}"#,
        r#"[{"a":3,"b":3},{"a":4,"b":false}]"#,
        r#"{"a":5,"#,
        r#"[{"a":6},{"a":7}]"#,
        "[]",
    ];
    let decoded = decode("json", &schema, &[], &messages);
    let rows: Vec<_> = decoded.rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(rows, [Value::Long(1), Value::Long(6), Value::Long(7)]);
    assert_eq!(decoded.positions, [1, 5, 5]);
    assert_eq!(decoded.failures.iter().map(|failure| failure.0).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn the_last_of_repeated_keys_counts_for_every_schema() {
    let message = r#"{"v":"x","v":1,"w":{"a":1},"w":{"b":2}}"#;
    assert_eq!(decode_row("json", &schema(&[("v", DataType::Long)]), &[], message), [Value::Long(1)]);
    let both = schema(&[("v", DataType::Long), ("w", DataType::Json)]);
    assert_eq!(decode_row("json", &both, &[], message), [Value::Long(1), Value::Json("{\"b\":2}".into())]);
    let inside = schema(&[("a", DataType::Long), ("b", DataType::Long)]);
    let paths: Raw<'_> = &[("json.path.a", "$.w.a"), ("json.path.b", "$.w.b")];
    assert_eq!(decode_row("json", &inside, paths, message), [Value::Null, Value::Long(2)]);
}

#[test]
fn paths_reach_inside() {
    let schema =
        schema(&[("s", DataType::String), ("p", DataType::Double), ("all", DataType::Json), ("x", DataType::Long)]);
    let paths: Raw<'_> = &[
        ("json.path.s", "$.data.s"),
        ("json.path.p", "$.data.items[1].price"),
        ("json.path.all", "$.data"),
        ("json.path.x", "$['odd.name'][\"y\"]"),
    ];
    let message = r#"{"odd.name":{"y":3},"data":{"items":[{"price":1},{"price":2.5},0],"s":"B"}}"#;
    assert_eq!(
        decode_row("json", &schema, paths, message),
        [
            "B".into(),
            Value::Double(2.5),
            Value::Json(r#"{"items":[{"price":1},{"price":2.5},0],"s":"B"}"#.into()),
            Value::Long(3)
        ]
    );
    assert_eq!(decode_row("json", &schema, paths, r#"{"data":"none"}"#)[0], Value::Null);
}

#[test]
fn a_root_leads_to_the_events_and_columns_may_stand_beside_them() {
    let schema = schema(&[("p", DataType::Double), ("ts", DataType::Long), ("channel", DataType::String)]);
    let properties: Raw<'_> =
        &[("json.root", "$.data"), ("json.path.ts", "$$.ts"), ("json.path.channel", "$$.arg.channel")];
    let message = r#"{"arg":{"channel":"trades"},"data":[{"p":1.5},{"p":2.5}],"ts":7}"#;
    let decoded = decode("json", &schema, properties, &[message, r#"{"data":{"p":3},"ts":8}"#, r#"{"data":[]}"#]);
    assert_eq!(decoded.failures, []);
    assert_eq!(
        decoded.rows,
        [
            vec![Value::Double(1.5), Value::Long(7), "trades".into()],
            vec![Value::Double(2.5), Value::Long(7), "trades".into()],
            vec![Value::Double(3.0), Value::Long(8), Value::Null],
        ]
    );
}

#[test]
fn a_message_without_a_root_fails_or_is_skipped() {
    let schema = schema(&[("p", DataType::Double)]);
    let messages = [r#"{"result":null,"id":1}"#, r#"{"data":null}"#, r#"{"data":{"p":1}}"#];
    let strict = decode("json", &schema, &[("json.root", "$.data")], &messages);
    assert_eq!(
        strict.failures,
        [
            (0, "$.data, where the event should be, is missing".to_owned()),
            (1, "$.data, where the event should be, is null".to_owned())
        ]
    );
    let lax: Raw<'_> = &[("json.root", "$.data"), ("json.on.missing.root", "skip")];
    let decoded = decode("json", &schema, lax, &messages);
    assert_eq!((decoded.rows.len(), decoded.failures.len()), (1, 0));
}

#[test]
fn an_array_is_a_list_of_events_or_one_event() {
    let schema = schema(&[("price", DataType::String), ("time", DataType::Timestamp)]);
    let paths = [("json.path.price", "$[1]"), ("json.path.time", "$[0]")];
    let row = |time: i64, price: &str| vec![price.into(), Value::Timestamp(time * 1000)];
    let listed = decode("json", &schema, &paths, &[r#"[[1,"2.5",{}],[2,"3.5"]]"#]);
    assert_eq!(listed.rows, [row(1, "2.5"), row(2, "3.5")]);
    let single = [&paths[..], &[("json.root.array", "event")]].concat();
    assert_eq!(decode("json", &schema, &single, &[r#"[1,"2.5",[]]"#]).rows, [row(1, "2.5")]);
}

#[test]
fn events_of_a_message_are_limited() {
    let schema = schema(&[("a", DataType::Long)]);
    let properties: Raw<'_> = &[("json.max.events", "2")];
    assert_eq!(decode("json", &schema, properties, &["[{},{}]"]).rows.len(), 2);
    let reason = decode_failure("json", &schema, properties, "[{},{},{}]");
    assert_eq!(reason, "more events than json.max.events, at byte 7");
    let one_event: Raw<'_> = &[("json.root.array", "event"), ("json.max.events", "2"), ("json.path.a", "$[0]")];
    let error = source("json", &schema, one_event).err().unwrap().to_string();
    assert!(error.contains("'json.max.events': has no effect"), "{error}");
}

#[test]
fn reasons_are_short_and_carry_no_control_characters() {
    let schema = schema(&[("v", DataType::Long)]);
    let message = format!("{{\"v\":\"\u{7f}\u{9b}31m{}\"}}", "x".repeat(100_000));
    let reason = decode_failure("json", &schema, &[], &message);
    assert!(reason.len() < 300 && !reason.chars().any(char::is_control), "{reason}");
}

#[test]
fn paths_are_checked_when_the_pipeline_is_made() {
    let schema = schema(&[("symbol", DataType::String)]);
    let error = |properties| source("json", &schema, properties).err().unwrap().to_string();
    assert_eq!(
        error(&[("json.path.symbl", "$.s")]),
        "property 'json.path.symbl': the stream has no column 'symbl' (did you mean 'json.path.symbol'?)"
    );
    assert!(error(&[("json.path.symbol", "s")]).contains("does not start with '$'"));
    assert!(error(&[("json.root", "$.")]).contains("json.root"));
    assert!(error(&[("json.path.symbol", "$$.s")]).contains("start the path with $"));
    assert!(error(&[("json.root", "$.d"), ("json.path.symbol", "$$.d.s")]).contains("start the path with $"));
    assert!(error(&[("json.on.missing.root", "skip")]).contains("json.root"));
}
