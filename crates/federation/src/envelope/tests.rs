//! Envelopes in all encodings, there and back, and what no peer should send.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const ENCODINGS: [Encoding; 3] = [Encoding::Json, Encoding::MessagePack, Encoding::Cbor];

fn is_binary(encoding: Encoding) -> bool {
    encoding != Encoding::Json
}

fn message(bytes: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(bytes.as_ref())
}

fn read_text(text: &str) -> Result<Envelope, Malformed> {
    read(&message(text), false, &Limits::default())
}

fn read_binary(bytes: &[u8]) -> Result<Envelope, Malformed> {
    read(&message(bytes), true, &Limits::default())
}

fn label(text: &str) -> &'static str {
    read_text(text).unwrap_err().label()
}

fn written(encoding: Encoding, envelope: EnvelopeRef<'_>) -> Bytes {
    let mut out = Vec::new();
    write(encoding, envelope, &mut out).unwrap();
    Bytes::from(out)
}

fn data(payload: &[u8]) -> EnvelopeRef<'_> {
    EnvelopeRef {
        kind: Kind::Data,
        id: "s/0000000000000001/7",
        timestamp: Some(1),
        payload,
        content: Content::Json,
        replayed: false,
    }
}

#[test]
fn the_messages_of_the_protocol_are_read_as_printed() {
    let data = read_text(
        r#"{
  "type": "data",
  "id": "data-001",
  "timestamp": 1704844800000,
  "payload": {
    "sensor_id": "temp-01",
    "value": 23.5,
    "unit": "celsius"
  }
}
"#,
    )
    .unwrap();
    assert_eq!((data.kind, &data.id[..], data.timestamp), (Kind::Data, &b"data-001"[..], Some(1_704_844_800_000)));
    let payload: Value = serde_json::from_slice(&data.payload).unwrap();
    assert_eq!(payload["value"], 23.5);
    assert_eq!((data.content, data.replayed), (Content::Json, false));

    let reply = read_text(
        r#"{
  "type": "reply",
  "id": "req-bp-001",
  "payload": {
    "status": "ok",
    "result": {"adjusted_to": 100}
  }
}"#,
    )
    .unwrap();
    assert_eq!((reply.kind, &reply.id[..], reply.timestamp), (Kind::Reply, &b"req-bp-001"[..], None));
}

#[test]
fn a_message_is_written_compactly_with_the_payload_last() {
    let text = written(Encoding::Json, data(br#" {"value": 23.5} "#));
    assert_eq!(text, r#"{"type":"data","id":"s/0000000000000001/7","timestamp":1,"payload":{"value": 23.5}}"#);
    let binary = EnvelopeRef { payload: b"\xff", content: Content::Binary, replayed: true, ..data(b"") };
    assert_eq!(
        written(Encoding::Json, binary),
        r#"{"type":"data","id":"s/0000000000000001/7","timestamp":1,"encoding":"base64","replayed":true,"payload":"/w=="}"#
    );
}

#[test]
fn members_come_in_any_order_and_unknown_ones_are_passed_over() {
    let read = read_text(
        r#"{"payload":[1],"x":{"type":[]},"ty\u0070e":"request","trace":null,"replayed":true,"id":"\u00e4\"/","y":[[[]]]}"#,
    )
    .unwrap();
    assert_eq!((read.kind, &read.id[..]), (Kind::Request, "ä\"/".as_bytes()));
    assert_eq!((&read.payload[..], read.replayed), (&b"[1]"[..], true));
}

#[test]
fn data_needs_no_id_and_null_members_count_as_left_out() {
    let read =
        read_text(r#"{"type":"data","id":null,"timestamp":null,"encoding":null,"replayed":null,"payload":null}"#)
            .unwrap();
    assert_eq!((&read.id[..], read.timestamp, &read.payload[..]), (&b""[..], None, &b"null"[..]));
}

#[test]
fn a_time_with_a_fraction_loses_it() {
    for (text, time) in
        [("1704844800000.75", 1_704_844_800_000), ("1.5e3", 1500), ("0", 0), ("18446744073709551615", u64::MAX)]
    {
        let read = read_text(&format!(r#"{{"type":"data","timestamp":{text},"payload":0}}"#)).unwrap();
        assert_eq!(read.timestamp, Some(time), "{text}");
    }
}

#[test]
fn binary_payloads_may_have_padding_or_none_and_escaped_slashes() {
    for text in [r#""/+8=""#, r#""/+8""#, r#""\/+8=""#] {
        let read = read_text(&format!(r#"{{"type":"data","encoding":"base64","payload":{text}}}"#)).unwrap();
        assert_eq!((&read.payload[..], read.content), (&b"\xff\xef"[..], Content::Binary), "{text}");
    }
}

#[test]
fn json_in_a_binary_message_is_read() {
    let read = read_binary(b" {\"type\":\"data\",\"payload\":1}").unwrap();
    assert_eq!(&read.payload[..], b"1");
    assert_eq!(read_binary(b"{\"type\":\"data\",\"payload\":\"\xff\"}").unwrap_err().label(), "not_json");
}

#[test]
fn each_thing_that_can_be_wrong_has_its_label() {
    let long_id = format!(r#"{{"type":"data","id":"{}","payload":1}}"#, "i".repeat(MAX_ID_BYTES + 1));
    let deep = format!(r#"{{"type":"data","payload":{}1{}}}"#, "[".repeat(129), "]".repeat(129));
    for (text, expected) in [
        ("", "not_json"),
        ("hello", "not_json"),
        ("{\"type\":\"data\"", "not_json"),
        (r#"{"type":"data","payload":1} x"#, "not_json"),
        (r#"{"type":"data","payload":01}"#, "not_json"),
        (r#"{"type":"data","payload":}"#, "not_json"),
        ("[1]", "not_object"),
        ("\"data\"", "not_object"),
        ("{}", "no_type"),
        (r#"{"type":null,"payload":1}"#, "no_type"),
        (r#"{"type":"request","payload":1}"#, "no_id"),
        (r#"{"type":"data","id":"1"}"#, "no_payload"),
        (r#"{"type":"data","type":"data","payload":1}"#, "duplicate_member"),
        (r#"{"type":"data","payload":1,"payload":1}"#, "duplicate_member"),
        (r#"{"type":1,"payload":1}"#, "wrong_member"),
        (r#"{"type":"data","id":1,"payload":1}"#, "wrong_member"),
        (r#"{"type":"data","id":"\ud800","payload":1}"#, "wrong_member"),
        (r#"{"type":"data","timestamp":"now","payload":1}"#, "wrong_member"),
        (r#"{"type":"data","timestamp":-1,"payload":1}"#, "wrong_member"),
        (r#"{"type":"data","timestamp":18446744073709551616,"payload":1}"#, "wrong_member"),
        (r#"{"type":"data","replayed":1,"payload":1}"#, "wrong_member"),
        (r#"{"type":"Data","payload":1}"#, "unknown_type"),
        (r#"{"type":"data","encoding":"gzip","payload":1}"#, "unknown_payload_encoding"),
        (r#"{"type":"data","encoding":"base64","payload":1}"#, "not_base64"),
        (r#"{"type":"data","encoding":"base64","payload":"a"}"#, "not_base64"),
        (&long_id, "id_too_long"),
        (&deep, "too_deep"),
    ] {
        assert_eq!(label(text), expected, "{text}");
        assert!(Reason::LABELS.contains(&expected));
    }
    assert_eq!(read_binary(b"\x01").unwrap_err().label(), "unknown_encoding");
    assert_eq!(read_binary(b"\x81").unwrap_err().label(), "not_binary");
}

#[test]
fn a_payload_may_be_nested_as_deeply_as_the_limit() {
    let payload = format!("{}1{}", "[".repeat(128), "]".repeat(128));
    assert_eq!(check_json(payload.as_bytes()), Ok(()));
    let deeper = format!("[{payload}]");
    assert!(check_json(deeper.as_bytes()).unwrap_err().contains("128"));
    for encoding in ENCODINGS {
        let message = written(encoding, data(payload.as_bytes()));
        let limits = Limits::default();
        let read_back = read(&message, is_binary(encoding), &limits).unwrap();
        assert_eq!(read_back.payload, payload);
        let shallow = Limits { max_depth: 127, ..limits };
        assert_eq!(read(&message, is_binary(encoding), &shallow).unwrap_err().reason, Reason::TooDeep { max: 127 });
        if is_binary(encoding) {
            let refused = write(encoding, data(deeper.as_bytes()), &mut Vec::new());
            assert_eq!(refused, Err(Unwritable::TooDeep { max: 128 }));
        }
    }
}

#[test]
fn brackets_in_texts_do_not_nest() {
    let text = format!(r#"["{}\"{}"]"#, "[".repeat(200), "{".repeat(200));
    assert_eq!(check_json(text.as_bytes()), Ok(()));
}

#[test]
fn what_is_wrong_can_be_answered_with_type_and_id() {
    for text in [
        r#"{"type":"request","id":"req-1"}"#,
        r#"{"timestamp":"x","payload":{},"id":"req-1","type":"request"}"#,
        r#"{"type":"request","id":"req-1","payload":{"#,
        r#"{"type":"request","type":"data","id":"req-1","id":"req-2"}"#,
    ] {
        let malformed = read_text(text).unwrap_err();
        assert_eq!((malformed.kind, malformed.id.as_deref()), (Some(Kind::Request), Some("req-1")), "{text}");
    }
    let mut bytes =
        written(Encoding::Cbor, EnvelopeRef { kind: Kind::Request, id: "req-1", ..data(b"[1,2]") }).to_vec();
    bytes.pop();
    let malformed = read_binary(&bytes).unwrap_err();
    assert_eq!((malformed.kind, malformed.id.as_deref()), (Some(Kind::Request), Some("req-1")));
}

#[test]
fn no_error_repeats_the_payload() {
    for text in [
        r#"{"type":"data","payload":"secret" "secret"}"#,
        r#"{"type":"data","payload":secret}"#,
        r#"{"type":"data","encoding":"base64","payload":"secret!"}"#,
        r#""secret""#,
        r#"{"type":"secret","payload":"secret"}"#,
        r#"{"type":"data","payload":"secret\q"}"#,
    ] {
        let malformed = read_text(text).unwrap_err();
        assert!(!format!("{malformed} {malformed:?}").contains("secret"), "{malformed:?}");
    }
    for payload in ["\"secret", "secret", r#"["secret\ud800"]"#, "{\"secret\":1e999}"] {
        let refused = write(Encoding::Cbor, data(payload.as_bytes()), &mut Vec::new()).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("secret"), "{refused:?}");
    }
}

#[test]
fn integers_are_exact_in_every_encoding_or_refused() {
    for number in ["0", "-1", "18446744073709551615", "-9223372036854775808", "9007199254740993"] {
        for encoding in ENCODINGS {
            let message = written(encoding, data(number.as_bytes()));
            assert_eq!(read(&message, is_binary(encoding), &Limits::default()).unwrap().payload, number);
        }
    }
    for number in ["18446744073709551616", "-9223372036854775809", "1e309"] {
        for encoding in [Encoding::MessagePack, Encoding::Cbor] {
            let mut out = b"before".to_vec();
            let payload = format!("[1,{number}]");
            let refused = write(encoding, data(payload.as_bytes()), &mut out).unwrap_err();
            assert!(matches!(refused, Unwritable::Number { at: 3, .. }), "{refused:?}");
            assert_eq!(out, b"before");
        }
    }
}

#[test]
fn a_payload_that_is_no_json_does_not_become_messagepack_or_cbor() {
    for payload in [&b""[..], b"{", b"1 2", b"{\"a\" 1}", b"\xff", b"\"\\ud800\"", b"nul", b"[1,]"] {
        for encoding in [Encoding::MessagePack, Encoding::Cbor] {
            let refused = write(encoding, data(payload), &mut Vec::new()).unwrap_err();
            assert!(matches!(refused, Unwritable::NotJson(_)), "{refused:?}");
        }
    }
    assert!(check_json(b"{\"a\" 1}").is_err());
    assert!(check_json(b"\xff").is_err());
}

#[test]
fn an_id_that_is_too_long_is_not_written() {
    let id = "i".repeat(MAX_ID_BYTES + 1);
    let expected = Unwritable::IdTooLong { bytes: MAX_ID_BYTES + 1, max: MAX_ID_BYTES };
    assert_eq!(write(Encoding::Json, EnvelopeRef { id: &id, ..data(b"1") }, &mut Vec::new()), Err(expected.clone()));
    // "/<16 digits>/<1 digit>" is added to the name.
    let longest = DataWriter::new(Encoding::Json, Content::Json, &id[..MAX_ID_BYTES - 19], 1);
    let mut out = Vec::new();
    longest.write(9, 1, b"1", &mut out).unwrap();
    let before = out.len();
    assert_eq!(longest.write(10, 1, b"1", &mut out), Err(expected));
    assert_eq!(out.len(), before);
    assert_eq!(read(&Bytes::from(out), false, &Limits::default()).unwrap().id.len(), MAX_ID_BYTES);
}

#[test]
fn large_containers_are_written_with_their_length() {
    for entries in [0, 1, 15, 16, 23, 24, 255, 256, 65_535, 65_536] {
        let list: Vec<String> = (0..entries).map(|n| n.to_string()).collect();
        let array = format!("[{}]", list.join(","));
        let members: Vec<String> = list.iter().map(|n| format!("\"{n}\":[]")).collect();
        let object = format!("{{{}}}", members.join(","));
        for (encoding, payload) in ENCODINGS.iter().flat_map(|e| [(*e, &array), (*e, &object)]) {
            let message = written(encoding, data(payload.as_bytes()));
            let read = read(&message, is_binary(encoding), &Limits::default()).unwrap();
            assert!(read.payload == *payload, "{entries} in {encoding:?}");
        }
    }
}

/// `{"type":"data","payload":...}` in MessagePack or CBOR: the heads of short texts and maps differ.
fn envelope_bytes(map: u8, text: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![map | 2];
    for word in ["type", "data", "payload"] {
        bytes.push(text + word.len() as u8);
        bytes.extend_from_slice(word.as_bytes());
    }
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn messagepack_that_others_write_becomes_json_or_is_refused() {
    let read = |payload: &[u8]| read_binary(&envelope_bytes(0x80, 0xa0, payload));
    for (payload, json) in [
        (&b"\xc0"[..], "null"),
        (b"\xca\x3f\x80\x00\x00", "1.0"),
        (b"\xd3\x00\x00\x00\x00\x00\x00\x00\x05", "5"),
        (b"\xd0\x80", "-128"),
        (b"\x92\xc4\x01\xff\xa1\"", r#"["/w==","\""]"#),
        (b"\x81\xa1a\xc2", r#"{"a":false}"#),
        (b"\xdf\x00\x00\x00\x00", "{}"),
    ] {
        assert_eq!(read(payload).unwrap().payload, json);
    }
    assert_eq!(read(b"\xc4\x02\x00\xff").unwrap().content, Content::Binary);
    for (payload, label, text) in [
        (&b"\xd6\xff\x00\x00\x00\x00"[..], "not_representable", "extension"),
        (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "not_representable", "infinite"),
        (b"\x81\x01\x01", "not_representable", "key"),
        (b"\xa1\xff", "not_binary", "UTF-8"),
        (b"\xdd\xff\xff\xff\xff", "not_binary", "ends"),
        (b"\xdb\xff\xff\xff\xff", "not_binary", "ends"),
        (b"\xc1", "not_binary", "never"),
        (b"\x01\x01", "not_binary", "behind"),
        (b"", "not_binary", "ends"),
    ] {
        let malformed = read(payload).unwrap_err();
        assert_eq!(malformed.label(), label, "{payload:02x?}");
        assert!(malformed.to_string().contains(text), "{malformed}");
    }
}

#[test]
fn cbor_that_others_write_becomes_json_or_is_refused() {
    let read = |payload: &[u8]| read_binary(&envelope_bytes(0xa0, 0x60, payload));
    for (payload, json) in [
        (&b"\xf6"[..], "null"),
        (b"\xf9\x3c\x00", "1.0"),
        (b"\x9f\x01\x20\xff", "[1,-1]"),
        (b"\xbf\x61a\xf5\xff", r#"{"a":true}"#),
        (b"\x7f\x61a\x61b\xff", r#""ab""#),
        (b"\x81\x5f\x41\xff\xff", r#"["/w=="]"#),
        (b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff", "-9223372036854775808"),
    ] {
        assert_eq!(read(payload).unwrap().payload, json);
    }
    let pieces = read(b"\x5f\x41\x00\x41\xff\xff").unwrap();
    assert_eq!((&pieces.payload[..], pieces.content), (&b"\x00\xff"[..], Content::Binary));
    for (payload, label, text) in [
        (&b"\xc1\x01"[..], "not_representable", "tag"),
        (b"\xf7", "not_representable", "undefined"),
        (b"\xe0", "not_representable", "simple"),
        (b"\xf9\x7e\x00", "not_representable", "infinite"),
        (b"\x3b\x80\x00\x00\x00\x00\x00\x00\x00", "not_representable", "64 bits"),
        (b"\xa1\x01\x01", "not_representable", "key"),
        (b"\xff", "not_binary", "break"),
        (b"\x82\x01\xff", "not_binary", "break"),
        (b"\x7f\x41a\xff", "not_binary", "piece"),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "not_binary", "ends"),
        (b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff", "not_binary", "ends"),
        (b"\x01\x01", "not_binary", "behind"),
    ] {
        let malformed = read(payload).unwrap_err();
        assert_eq!(malformed.label(), label, "{payload:02x?} {malformed}");
        assert!(malformed.to_string().contains(text), "{malformed}");
    }
    let mut described = vec![0xd9, 0xd9, 0xf7];
    described.extend(envelope_bytes(0xa0, 0x60, b"\x01"));
    assert_eq!(read_binary(&described).unwrap().payload, "1");
}

#[test]
fn unknown_members_of_a_map_may_be_anything() {
    // {1: <tag 1> [undefined, {}], "type": "data", "payload": 1, "x": h''}
    let mut bytes = b"\xa4\x01\xc1\x82\xf7\xa0".to_vec();
    bytes.extend_from_slice(&envelope_bytes(0xa0, 0x60, b"\x01\x61x\x40")[1..]);
    assert_eq!(read_binary(&bytes).unwrap().payload, "1");
    // A tag of a tag of a tag, and so on: neither the stack nor the limit is exceeded.
    let mut tags = b"\xa1\x01".to_vec();
    tags.resize(100_000, 0xc1);
    assert!(read_binary(&tags).unwrap_err().to_string().contains("too deeply"));
}

#[test]
fn who_is_trusted_is_not_believed_about_anything_but_the_payload() {
    let limits = Limits::default();
    let long = format!(r#"{{"type":"data","id":"{}","timestamp":1,"payload":{{}}}}"#, "i".repeat(300));
    for text in [
        r#"{"type":"data","id":"1","timestamp":01,"payload":{}}"#,
        r#"{"type":"data","id":"1","timestamp":,"payload":{}}"#,
        r#"{"type":"data","id":"1","timestamp":99999999999999999999,"payload":{}}"#,
        "{\"type\":\"data\",\"id\":\"\n\",\"timestamp\":1,\"payload\":{}}",
        r#"{"type":"data","id":"1","timestamp":1,"payload":}"#,
        r#"{"type":"data","id":"1","timestamp":1,"payload":1}}"#,
        r#"{"type":"data","id":"1","timestamp":1,"payload":{"}"#,
        r#"{"type":"data","id":"1","timestamp":1,"encoding":"base64","payload":"a"}"#,
        r#"{"type":"data","id":"1","timestamp":1,"encoding":"base64","payload":{}}"#,
        r#"{"type":"data","id":"1","timestamp":1,"payload":{}"#,
        &long,
    ] {
        let message = message(text);
        assert_eq!(read_trusted(&message, false, &limits), read(&message, false, &limits), "{text}");
        assert!(read_trusted(&message, false, &limits).is_err(), "{text}");
    }
    let unseen = message(r#"{"type":"data","id":"1","timestamp":1,"payload":{oops}}"#);
    assert_eq!(read_trusted(&unseen, false, &limits).unwrap().payload, "{oops}");
    assert_eq!(read_trusted(&unseen, true, &limits).unwrap_err().label(), "not_json");
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::from),
            vec((".{0,6}", inner), 0..20).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn content() -> impl Strategy<Value = (Content, Vec<u8>)> {
    prop_oneof![
        json().prop_map(|value| (Content::Json, serde_json::to_vec(&value).unwrap())),
        vec(any::<u8>(), 0..300).prop_map(|bytes| (Content::Binary, bytes)),
    ]
}

fn encoding() -> impl Strategy<Value = Encoding> {
    proptest::sample::select(&ENCODINGS[..])
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let kind = proptest::sample::select(&Kind::ALL[..]);
    (kind, ".{0,60}", any::<Option<u64>>(), content(), any::<bool>()).prop_map(
        |(kind, id, timestamp, (content, payload), replayed)| Envelope {
            kind,
            id: id.into(),
            timestamp,
            payload: payload.into(),
            content,
            replayed,
        },
    )
}

fn as_ref(envelope: &Envelope) -> EnvelopeRef<'_> {
    EnvelopeRef {
        kind: envelope.kind,
        id: std::str::from_utf8(&envelope.id).unwrap(),
        timestamp: envelope.timestamp,
        payload: &envelope.payload,
        content: envelope.content,
        replayed: envelope.replayed,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_by_all(encoding in encoding(), envelope in envelope()) {
        let message = written(encoding, as_ref(&envelope));
        let limits = Limits::default();
        prop_assert_eq!(&read(&message, is_binary(encoding), &limits).unwrap(), &envelope);
        prop_assert_eq!(&read_trusted(&message, is_binary(encoding), &limits).unwrap(), &envelope);
    }

    #[test]
    fn the_writer_of_data_writes_what_write_does(
        encoding in encoding(),
        stream in ".{0,40}",
        epoch: u64,
        sequence: u64,
        timestamp: u64,
        (content, payload) in content(),
    ) {
        let mut out = b"before".to_vec();
        let range = DataWriter::new(encoding, content, &stream, epoch).write(sequence, timestamp, &payload, &mut out);
        let range = range.unwrap();
        let id = MessageId { stream: &stream, epoch, sequence }.to_string();
        let expected = EnvelopeRef {
            kind: Kind::Data, id: &id, timestamp: Some(timestamp), payload: &payload, content, replayed: false,
        };
        let message = &out[b"before".len()..];
        prop_assert_eq!(message, &written(encoding, expected)[..]);
        if encoding == Encoding::Json && content == Content::Json {
            prop_assert_eq!(&message[range.start as usize..range.end as usize], &payload[..]);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(mut bytes in vec(any::<u8>(), 0..200), binary: bool, first in 0u8..6) {
        if let (Some(byte), Some(map)) = (bytes.first_mut(), b"{\x82\xde\xa2\xbf".get(usize::from(first))) {
            *byte = *map;
        }
        let message = Bytes::from(bytes);
        let limits = Limits::default();
        let result = read(&message, binary, &limits);
        if result.is_ok() {
            prop_assert_eq!(read_trusted(&message, binary, &limits), result);
        }
    }

    #[test]
    fn damaged_messages_are_read_or_refused_alike_but_for_the_payload(
        encoding in encoding(),
        envelope in envelope(),
        place: proptest::sample::Index,
        byte in prop_oneof![any::<u8>(), proptest::sample::select(&b"\"{}[],:\\0u "[..])],
        what in 0..3,
    ) {
        let mut bytes = written(encoding, as_ref(&envelope)).to_vec();
        let place = place.index(bytes.len());
        match what {
            0 => bytes[place] = byte,
            1 => _ = bytes.remove(place),
            _ => bytes.insert(place, byte),
        }
        if encoding == Encoding::Json && std::str::from_utf8(&bytes).is_err() {
            return Ok(());
        }
        let message = Bytes::from(bytes);
        let limits = Limits::default();
        let strict = read(&message, is_binary(encoding), &limits);
        let trusting = read_trusted(&message, is_binary(encoding), &limits);
        match (&strict, &trusting) {
            (Err(_), Ok(taken)) => {
                // Only the payload can be why.
                prop_assert_eq!((encoding, taken.content), (Encoding::Json, Content::Json));
                let harmless = written(encoding, EnvelopeRef { payload: b"{}", ..as_ref(taken) });
                prop_assert!(read(&harmless, false, &limits).is_ok());
                prop_assert!(check_json(&taken.payload).is_err());
            }
            _ => prop_assert_eq!(&strict, &trusting),
        }
    }

    #[test]
    fn reading_takes_no_more_memory_than_the_message_allows(bytes in vec(any::<u8>(), 0..400), map in 0usize..2) {
        let (map, text) = [(0x80, 0xa0), (0xa0, 0x60)][map];
        let message = Bytes::from(envelope_bytes(map, text, &bytes));
        if let Ok(read) = read(&message, true, &Limits::default()) {
            prop_assert!(read.payload.len() <= 6 * message.len());
            prop_assert!(read.content == Content::Binary || check_json(&read.payload).is_ok());
        }
    }
}
