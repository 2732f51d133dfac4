//! The decoder against `serde_json`: the same verdict on every text, the same values, and neither depends on which
//! columns are declared or on what was decoded before.

use std::sync::Arc;

use eventflux_core::{DataType, Schema, Value};
use proptest::prelude::*;
use serde_json::Value as Theirs;

use crate::support::{Decoded, Raw, decode_with, schema, source};

const PROPERTIES: Raw<'_> = &[("json.on.wrong.type", "null"), ("json.root.array", "event"), ("json.path.whole", "$")];

/// Any JSON value as its text: odd spacing, escapes, repeated keys, numbers at the limits.
fn json_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
        (-1e15_f64..1e15).prop_map(|value| format!("{value}")),
        prop::sample::select(vec![
            "0",
            "-0",
            "0.0",
            "-0.0",
            "1E5",
            "1e+5",
            "1e-5",
            "1e400",
            "-1e400",
            "0e400",
            "1e-400",
            "123456789012345678901234567890",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "01",
            "1.",
            "NaN",
            "tru",
        ])
        .prop_map(str::to_owned),
        string_text(),
    ];
    scalar.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec((space(), inner.clone(), space()), 0..5).prop_map(|items| {
                let items: Vec<_> = items.into_iter().map(|(a, item, b)| format!("{a}{item}{b}")).collect();
                format!("[{}]", items.join(","))
            }),
            object_text(inner),
        ]
    })
}

fn object_text(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let entry = (space(), key_text(), space(), space(), value, space());
    prop::collection::vec(entry, 0..6).prop_map(|entries| {
        let entries: Vec<_> =
            entries.into_iter().map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}")).collect();
        format!("{{{}}}", entries.join(","))
    })
}

fn key_text() -> impl Strategy<Value = String> {
    let known = vec!["\"a\"", "\"b\"", "\"c\"", "\"A\"", "\"\\u0061\"", "\"a_long_key_of_an_event\"", "\"é\""];
    prop_oneof![8 => prop::sample::select(known).prop_map(str::to_owned), 1 => string_text()]
}

fn string_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[ -!#-\\[\\]-~]{0,12}",
        2 => "\\PC{0,4}".prop_map(|text| text.replace(['"', '\\'], "")),
        2 => prop::sample::select(vec![
            r#"\""#, r"\\", r"\/", r"\b", r"\n", r"\u00e9", r"\ud83d\ude00", r"\ud800", r"\udc00", r"\ud83dx", r"\x", r"\u12", "\t",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..3).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![8 => Just(String::new()), 1 => "[ \\t\\r\\n]{1,2}"]
}

/// A message: an object mostly, sometimes another value, sometimes with a byte changed, added or taken away.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![4 => object_text(json_text()), 1 => json_text()];
    let damage = prop::option::weighted(
        0.3,
        (any::<prop::sample::Index>(), 0..3_u8, prop::sample::select(b"{}[],:\"\\0e.-tn \x00\xff\xc3".to_vec())),
    );
    (space(), text, space(), damage).prop_map(|(before, text, after, damage)| {
        let mut bytes = format!("{before}{text}{after}").into_bytes();
        if let Some((place, how, byte)) = damage.filter(|_| !bytes.is_empty()) {
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => bytes.truncate(place),
            }
        }
        bytes
    })
}

const NAMES: [&str; 6] = ["a", "b", "c", "A", "a_long_key_of_an_event", "é"];

/// Some columns of any type, in any order, and the whole event at the end.
fn columns() -> impl Strategy<Value = Vec<(&'static str, DataType)>> {
    let names = prop::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len()).prop_shuffle();
    let types = prop::collection::vec(prop::sample::select(DataType::ALL.to_vec()), NAMES.len());
    (names, types).prop_map(|(names, types)| names.into_iter().zip(types).chain([("whole", DataType::Json)]).collect())
}

fn decode_fresh(schema: &Arc<Schema>, message: &[u8]) -> Decoded {
    decode_with(&mut *source("json", schema, PROPERTIES).unwrap(), schema, &[message])
}

/// What the columns of an event must be, by `serde_json`.
fn check_value(name: &str, data_type: DataType, ours: &Value, event: &Theirs) -> Result<(), TestCaseError> {
    let theirs = if name == "whole" { Some(event) } else { event.get(name) };
    let Some(theirs) = theirs.filter(|value| !value.is_null()) else {
        prop_assert_eq!(ours, &Value::Null);
        return Ok(());
    };
    match (data_type, ours) {
        (DataType::Json, Value::Json(text)) => {
            prop_assert_eq!(&serde_json::from_str::<Theirs>(text).unwrap(), theirs);
        }
        (DataType::String, _) => prop_assert_eq!(ours, &theirs.as_str().map_or(Value::Null, Value::from)),
        (DataType::Bool, _) => prop_assert_eq!(ours, &theirs.as_bool().map_or(Value::Null, Value::from)),
        // serde_json has lost what a number with a fraction or an exponent was exactly.
        (DataType::Long, _) if !theirs.is_f64() => {
            prop_assert_eq!(ours, &theirs.as_i64().map_or(Value::Null, Value::from))
        }
        (DataType::Double, Value::Double(value)) => {
            let theirs = theirs.as_f64().unwrap();
            prop_assert!((value - theirs).abs() <= theirs.abs() * 1e-15, "{} {}", value, theirs);
        }
        (DataType::Double, _) => prop_assert!(!theirs.is_number(), "{}", theirs),
        _ => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn verdict_and_values_are_those_of_serde_json(message in message(), columns in columns()) {
        let schema = schema(&columns);
        let decoded = decode_fresh(&schema, &message);
        match serde_json::from_slice::<Theirs>(&message) {
            Err(error) => prop_assert_eq!(decoded.failures.len(), 1, "serde_json: {}", error),
            Ok(Theirs::Null) => prop_assert!(decoded.failures[0].1.ends_with("is null")),
            Ok(event) => {
                prop_assert_eq!(&decoded.failures, &[]);
                for ((name, data_type), ours) in columns.iter().zip(&decoded.rows[0]) {
                    check_value(name, *data_type, ours, &event)?;
                }
            }
        }
    }

    #[test]
    fn neither_verdict_nor_value_depends_on_the_other_columns(message in message(), columns in columns()) {
        let schema_of_all = schema(&columns);
        let all = decode_fresh(&schema_of_all, &message);
        for (index, column) in columns.iter().enumerate() {
            let schema_of_two = schema(&[*column, ("whole", DataType::Json)]);
            if column.0 == "whole" {
                continue;
            }
            let alone = decode_fresh(&schema_of_two, &message);
            prop_assert_eq!(&alone.failures, &all.failures);
            if let [row] = &all.rows[..] {
                prop_assert_eq!(&alone.rows[0][0], &row[index]);
            }
        }
    }

    #[test]
    fn what_came_before_changes_nothing(messages in prop::collection::vec(message(), 1..8), columns in columns()) {
        let schema = schema(&columns);
        let mut mapper = source("json", &schema, PROPERTIES).unwrap();
        for message in messages.iter().chain(&messages) {
            let decoded = decode_with(&mut *mapper, &schema, &[message]);
            prop_assert_eq!(decoded, decode_fresh(&schema, message));
        }
    }

    #[test]
    fn paths_and_roots_find_what_serde_json_finds(message in message(), first in prop::sample::select(NAMES.to_vec()), second in prop::sample::select(NAMES.to_vec())) {
        let schema = schema(&[("inside", DataType::Json), ("beside", DataType::Json), ("event", DataType::Json)]);
        let (root, inside) = (format!("$.{first}"), format!("$.{second}.{first}"));
        let beside = format!("$$.{second}.a");
        let mut properties = vec![("json.root", root.as_str()), ("json.root.array", "event"), ("json.on.missing.root", "skip"), ("json.path.inside", &inside), ("json.path.event", "$")];
        properties.push(("json.path.beside", if first == second { "$.none" } else { &beside }));
        let decoded = decode_with(&mut *source("json", &schema, &properties).unwrap(), &schema, &[&message]);
        let Ok(theirs) = serde_json::from_slice::<Theirs>(&message) else {
            prop_assert_eq!(decoded.failures.len(), 1);
            return Ok(());
        };
        prop_assert_eq!(&decoded.failures, &[]);
        let null = Theirs::Null;
        let at = |value: &Theirs, keys: &[&str]| keys.iter().try_fold(value.clone(), |value, key| value.get(*key).cloned()).unwrap_or_default();
        let event = at(&theirs, &[first]);
        prop_assert_eq!(decoded.rows.len(), usize::from(event != null));
        let parsed = |value: &Value| match value { Value::Json(text) => serde_json::from_str(text).unwrap(), _ => Theirs::Null };
        if let [row] = &decoded.rows[..] {
            prop_assert_eq!(parsed(&row[0]), at(&event, &[second, first]));
            prop_assert_eq!(parsed(&row[1]), if first == second { null } else { at(&theirs, &[second, "a"]) });
            prop_assert_eq!(parsed(&row[2]), event);
        }
    }
}
