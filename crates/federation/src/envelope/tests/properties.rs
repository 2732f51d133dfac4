//! What holds for every envelope, and for bytes that are none.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

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
        let message = Bytes::from(binary::envelope_bytes(map, text, &bytes));
        if let Ok(read) = read(&message, true, &Limits::default()) {
            prop_assert!(read.payload.len() <= 6 * message.len());
            prop_assert!(read.content == Content::Binary || check_json(&read.payload).is_ok());
        }
    }
}
