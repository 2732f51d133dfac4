//! MessagePack and CBOR: what becomes of JSON and of what others write.

use super::*;

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
    for payload in [&b""[..], b" \n"] {
        assert!(matches!(write(Encoding::Json, data(payload), &mut Vec::new()), Err(Unwritable::NotJson(_))));
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

/// `{"type":"data","payload":...}` in MessagePack or CBOR: the heads of short texts and maps differ.
pub(super) fn envelope_bytes(map: u8, text: u8, payload: &[u8]) -> Vec<u8> {
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
fn messagepack_and_cbor_have_the_members_of_json_in_a_map() {
    let payload = br#"{"value": 23.5, "list": [1, -1, null, true], "\u00e4": ""}"#;
    let envelope = EnvelopeRef { kind: Kind::Reply, id: "r", timestamp: Some(300), replayed: true, ..data(payload) };
    let value = b"\xcb\x40\x37\x80\x00\x00\x00\x00\x00";
    let messagepack = [
        &b"\x85\xa4type\xa5reply\xa2id\xa1r\xa9timestamp\xcd\x01\x2c\xa8replayed\xc3\xa7payload"[..],
        b"\x83\xa5value",
        value,
        b"\xa4list\x94\x01\xff\xc0\xc3\xa2\xc3\xa4\xa0",
    ];
    assert_eq!(written(Encoding::MessagePack, envelope), messagepack.concat());
    let cbor = [
        &b"\xa5\x64type\x65reply\x62id\x61r\x69timestamp\x19\x01\x2c\x68replayed\xf5\x67payload"[..],
        b"\xa3\x65value\xfb",
        &value[1..],
        b"\x64list\x84\x01\x20\xf6\xf5\x62\xc3\xa4\x60",
    ];
    assert_eq!(written(Encoding::Cbor, envelope), cbor.concat());
}
