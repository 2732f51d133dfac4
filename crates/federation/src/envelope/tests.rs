//! Envelopes in all encodings, there and back, and what no peer should send.

use bytes::Bytes;
use serde_json::Value;

use super::*;

mod binary;
mod properties;

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
