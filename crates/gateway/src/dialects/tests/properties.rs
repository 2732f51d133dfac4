//! Properties of every dialect that has a structure.

use proptest::prelude::*;

use super::*;

/// Texts that are nearly messages.
fn nearly_a_message() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "null",
            "true",
            "1e999",
            "\"type\"",
            "\"data\"",
            "\"subscribe\"",
            "\"auth\"",
            "\"request\"",
            "\"event\"",
            "\"channels\"",
            "\"events\"",
            "\"correlation_id\"",
            "\"metadata\"",
            "\"recover\"",
            "\"fields\"",
            "\"filters\"",
            "\"token\"",
            "\"channel\"",
            "\"\\ud800\"",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// Any JSON value.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any_name(), inner), 0..6).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

/// Names the dialects know, and others.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "type",
            "data",
            "correlation_id",
            "metadata",
            "channel",
            "channels",
            "events",
            "token",
            "filter",
            "fields",
            "filters",
            "where",
            "recover",
            "epoch",
            "offset",
            "snapshot",
            "subscription_id",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ]
}

/// A message of a type the dialects know, with anything else in it.
fn any_message() -> impl Strategy<Value = String> {
    let kinds =
        vec!["auth", "subscribe", "unsubscribe", "presence", "request", "event", "ack", "ping", "pong", "other"];
    (prop::sample::select(kinds), prop::collection::vec((any_name(), any_json()), 0..6)).prop_map(|(kind, fields)| {
        let mut message: Map<String, Value> = fields.into_iter().collect();
        message.insert("type".to_owned(), kind.into());
        Value::from(message).to_string()
    })
}

proptest! {
    #[test]
    fn no_bytes_make_a_dialect_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for dialect in structured() {
            let request = dialect.parse(&Bytes::from(bytes.clone()));
            prop_assert!(request.is_err(), "{:?}", request);
        }
    }

    #[test]
    fn no_text_makes_a_dialect_panic(text in prop_oneof![nearly_a_message(), any_message()]) {
        for dialect in structured() {
            if let Ok(Request::Message(message)) = parse(dialect.name(), &text) {
                let payload = serde_json::from_slice::<&serde_json::value::RawValue>(&message.payload);
                prop_assert!(payload.is_ok(), "{}: {:?}", text, message);
            }
        }
    }

    #[test]
    fn data_for_the_pipeline_is_what_the_client_sent(data in any_json(), kind in ".{1,20}") {
        prop_assume!(!data.is_null());
        for (dialect, kind) in [("channels", "request"), ("events", &kind), ("analytics", &kind)] {
            let text = serde_json::json!({"type": kind, "data": data}).to_string();
            match parse(dialect, &text) {
                Ok(Request::Message(message)) => {
                    prop_assert_eq!(message.payload, data.to_string());
                    prop_assert_eq!(message.kind, kind);
                }
                other => prop_assert!(false, "{}: {}: {:?}", dialect, text, other),
            }
        }
    }

    #[test]
    fn an_event_is_valid_json_whatever_is_in_it(
        channel in ".{0,20}",
        payload in any_json(),
        correlation in prop::option::of(".{0,20}"),
        epoch in ".{0,20}",
        offset in any::<u64>(),
        subscription in ".{0,20}",
    ) {
        let payload = payload.to_string();
        for dialect in structured() {
            for position in [None, Some((epoch.as_str(), offset))] {
                let event_of = Event { correlation: correlation.as_deref(), position, ..plain(&channel, &payload) };
                let value = event(dialect.name(), &event_of, &subscription);
                let data = if dialect.traits().personal { &value["data"]["event"] } else { &value["data"] };
                prop_assert_eq!(data, &json(&payload));
                prop_assert_eq!(value.get("correlation_id").and_then(Value::as_str), correlation.as_deref());
            }
        }
    }

    #[test]
    fn a_reply_is_valid_json_whatever_is_in_it(text in ".{0,40}") {
        for dialect in structured() {
            for_each_reply(&text, |reply| {
                if let Some(written) = dialect.reply(reply) {
                    json(&written);
                }
            });
        }
    }
}
