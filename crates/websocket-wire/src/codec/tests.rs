//! Two codecs talk to each other, or one takes bytes a peer should not have sent. No socket, no clock.

use bytes::Bytes;
use proptest::prelude::*;

use super::outbox::MAX_FRAME_BYTES;
use super::*;
use crate::MessageKind;
use crate::deflate::{DeflateConfig, DirectionConfig, Negotiated};

fn codec(role: Role) -> Codec {
    Codec::new(role, Limits::default(), None)
}

fn deflating(role: Role, limits: Limits, direction: DirectionConfig, threshold_bytes: usize) -> Codec {
    let config = DeflateConfig { threshold_bytes, level: 1, send: direction, receive: direction };
    let negotiated = Negotiated { send: direction, receive: direction };
    Codec::new(role, limits, Some(Deflate::new(config, negotiated)))
}

/// More than anything a test sends.
const WHOLE: usize = 1 << 40;

/// Everything `codec` has to send, in pieces.
fn send_all(codec: &mut Codec, piece: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        for slice in codec.unsent().unwrap() {
            let room = (before + piece).saturating_sub(bytes.len());
            bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        if bytes.len() == before {
            return bytes;
        }
        codec.sent(bytes.len() - before);
    }
}

/// Takes `bytes` in pieces; whether each message is binary, and its payload.
fn receive_all(codec: &mut Codec, bytes: &[u8], piece: usize) -> Result<Vec<(bool, Bytes)>, Disconnect> {
    let (mut batch, mut received) = (Batch::default(), Vec::new());
    for mut input in bytes.chunks(piece) {
        loop {
            codec.receive(&mut input, &mut batch)?;
            let binary = std::mem::take(&mut batch.binary);
            let messages = batch.messages.drain(..).enumerate();
            received.extend(messages.map(|(index, message)| (binary.contains(&index), message)));
            batch.clear();
            if input.is_empty() && !codec.has_buffered() {
                break;
            }
        }
    }
    Ok(received)
}

fn violation(role: Role, bytes: &[u8]) -> u16 {
    let mut codec = codec(role);
    let result = receive_all(&mut codec, bytes, bytes.len());
    match result.err().or_else(|| codec.ended().cloned()) {
        Some(Disconnect::Violation { code, .. }) => code,
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

#[test]
fn each_violation_has_its_close_code() {
    let masked = |first: u8, payload: &[u8]| {
        let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    };
    for (frames, code, what) in [
        (vec![0x81, 0x01, b'x'], 1002, "unmasked"),
        (masked(0xc1, b"x"), 1002, "RSV1"),
        (masked(0xa1, b"x"), 1002, "RSV2"),
        (masked(0x91, b"x"), 1002, "RSV3"),
        (masked(0x83, b"x"), 1002, "reserved data opcode"),
        (masked(0x8b, b"x"), 1002, "reserved control opcode"),
        (masked(0x80, b"x"), 1002, "continuation of nothing"),
        (masked(0x09, b"x"), 1002, "fragmented ping"),
        ([masked(0x01, b"x"), masked(0x81, b"y")].concat(), 1002, "new message inside another"),
        ([&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[b'x'; 126]].concat(), 1002, "ping of 126 bytes"),
        (masked(0x88, &[3]), 1002, "Close of one byte"),
        (masked(0x81, b"\xff"), 1007, "no UTF-8"),
        ([masked(0x01, b"\xe2\x82"), masked(0x80, b"")].concat(), 1007, "UTF-8 that ends early"),
        (masked(0x88, b"\x03\xe8\xff"), 1007, "Close reason that is no UTF-8"),
        (vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1009, "absurd length"),
    ] {
        assert_eq!(violation(Role::Server, &frames), code, "{what}");
    }
    assert_eq!(violation(Role::Client, &masked(0x81, b"x")), 1002, "masked by a server");
}

#[test]
fn utf8_may_be_split_between_fragments() {
    let mut client = codec(Role::Client);
    let frames = [0x01, 0x01, 0xe2, 0x00, 0x01, 0x82, 0x80, 0x01, 0xac];
    assert_eq!(receive_all(&mut client, &frames, 1).unwrap(), [(false, Bytes::from("€"))]);
}

#[test]
fn close_codes_no_endpoint_may_send_are_answered_with_1002() {
    for code in [999_u16, 1005, 1006, 1015, 2999, 65535] {
        let mut client = codec(Role::Client);
        let [high, low] = code.to_be_bytes();
        let ended = receive_all(&mut client, &[0x88, 2, high, low], 4).unwrap_err();
        assert!(matches!(ended, Disconnect::Closed { .. }), "{ended:?}");
        let mut server = codec(Role::Server);
        let answer = receive_all(&mut server, &send_all(&mut client, 100), 100).unwrap_err();
        assert!(matches!(answer, Disconnect::Closed { code: Some(1002), .. }), "{code}: {answer:?}");
    }
}

#[test]
fn a_message_at_the_limit_passes_and_one_byte_more_does_not() {
    let limits = Limits { max_message_bytes: 1000, ..Limits::default() };
    for (bytes, fits) in [(1000, true), (1001, false)] {
        let mut server = codec(Role::Server);
        server.queue(Message::binary(vec![7; bytes]));
        let wire = send_all(&mut server, 100_000);
        let mut client = Codec::new(Role::Client, limits, None);
        let received = receive_all(&mut client, &wire, 100_000);
        match fits {
            true => assert_eq!(received.unwrap()[0].1.len(), 1000),
            false => assert!(matches!(received, Err(Disconnect::Violation { code: 1009, .. })), "{received:?}"),
        }
    }
}

#[test]
fn fragments_that_never_end_are_cut_off_and_what_came_before_is_kept() {
    let limits = Limits { max_fragments: 100, ..Limits::default() };
    let mut client = Codec::new(Role::Client, limits, None);
    let frames = [&[0x81, 0x01, b'a', 0x01, 0x00][..], &[0x00, 0x00].repeat(1_000_000)].concat();
    let mut batch = Batch::default();
    client.receive(&mut &frames[..], &mut batch).unwrap();
    assert_eq!(batch.messages, [Bytes::from("a")]);
    let ended = client.receive(&mut &frames[..], &mut batch).unwrap_err();
    assert!(matches!(ended, Disconnect::Violation { code: 1008, .. }), "{ended:?}");
}

#[test]
fn a_full_batch_loses_nothing() {
    let (mut server, mut client) = (codec(Role::Server), codec(Role::Client));
    for number in 0..5000_u32 {
        server.queue(Message::binary(number.to_be_bytes().to_vec()));
    }
    let wire = send_all(&mut server, WHOLE);
    let numbers: Vec<_> = receive_all(&mut client, &wire, wire.len()).unwrap();
    let expected = (0..5000_u32).map(|number| (true, Bytes::from(number.to_be_bytes().to_vec())));
    assert!(numbers.into_iter().eq(expected));
}

#[test]
fn a_ping_is_answered_between_frames_and_before_what_waits() {
    let (mut client, mut server) = (codec(Role::Client), codec(Role::Server));
    let large = Bytes::from(vec![7; outbox::LARGE_BYTES]);
    server.queue(Message::binary(large.clone()));
    server.queue(Message::text("waits"));
    receive_all(&mut server, &[0x89, 0x82, 0, 0, 0, 0, b'h', b'i'], 100).unwrap();
    let wire = send_all(&mut server, 100_000);
    assert_eq!(wire[4 + large.len()..][..4], [0x8a, 2, b'h', b'i']);
    assert_eq!(receive_all(&mut client, &wire, 3).unwrap(), [(true, large), (false, Bytes::from("waits"))]);
}

#[test]
fn control_frames_pass_a_large_message_at_a_frame_boundary() {
    let (mut server, mut client) = (codec(Role::Server), codec(Role::Client));
    let large = Bytes::from(vec![5; 3 * MAX_FRAME_BYTES + 1]);
    server.queue(Message::binary(large.clone()));
    let head: Vec<u8> = server.unsent().unwrap()[0].to_vec();
    server.sent(head.len());
    receive_all(&mut server, &[0x89, 0x80, 0, 0, 0, 0], 6).unwrap();
    let rest = send_all(&mut server, WHOLE);
    assert_eq!(rest[MAX_FRAME_BYTES..][..2], [0x8a, 0], "the pong comes behind the first frame");
    assert_eq!(receive_all(&mut client, &[head, rest].concat(), 60_000).unwrap(), [(true, large)]);
}

#[test]
fn pings_of_a_peer_that_does_not_read_take_bounded_memory() {
    for role in [Role::Client, Role::Server] {
        let mut codec = codec(role);
        let ping = match role {
            Role::Server => [&[0x89, 0xfd, 0, 0, 0, 0][..], &[b'x'; 125]].concat(),
            Role::Client => [&[0x89, 125][..], &[b'x'; 125]].concat(),
        };
        receive_all(&mut codec, &ping.repeat(10_000), 4096).unwrap();
        assert!(codec.control.len() + codec.newest_pong.len() < MAX_PONG_BYTES + 2 * ping.len());
        codec.queue(Message::binary(vec![0; 1000]));
        codec.close(1008, "too many pings");
        let answers = send_all(&mut codec, 1000);
        assert!(answers.len() < MAX_PONG_BYTES + 1000 + 4 * ping.len(), "{}", answers.len());
        let other = if role == Role::Client { Role::Server } else { Role::Client };
        let mut peer = Codec::new(other, Limits::default(), None);
        let _ = receive_all(&mut peer, &answers, 1000);
        assert!(matches!(peer.ended(), Some(Disconnect::Closed { code: Some(1008), .. })), "{:?}", peer.ended());
    }
}

#[test]
fn the_newest_ping_is_answered_however_many_came_before_it() {
    let mut codec = codec(Role::Client);
    let pings =
        [[&[0x89, 125][..], &[b'x'; 125]].concat().repeat(10_000), vec![0x89, 4, b'l', b'a', b's', b't']].concat();
    receive_all(&mut codec, &pings, 4096).unwrap();
    let answers = send_all(&mut codec, 1000);
    let [.., 0x8a, 0x84, key_0, key_1, key_2, key_3, l, a, s, t] = answers[..] else { panic!("{answers:02x?}") };
    assert_eq!([l ^ key_0, a ^ key_1, s ^ key_2, t ^ key_3], *b"last");
    assert!(!codec.has_unsent());
}

#[test]
fn both_ends_agree_that_it_is_over_and_why() {
    for (first, second) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        let (mut first, mut second) = (codec(first), codec(second));
        first.queue(Message::text("never sent"));
        first.close(1001, &"ä".repeat(100));
        let closed = Disconnect::Closed { code: Some(1001), reason: "ä".repeat(61) };
        assert_eq!(receive_all(&mut second, &send_all(&mut first, 7), 7).unwrap_err(), closed);
        second.queue(Message::text("too late"));
        second.close(1000, "");
        assert_eq!(receive_all(&mut first, &send_all(&mut second, 7), 7).unwrap_err(), closed);
    }
}

#[test]
fn nothing_follows_the_answer_to_a_close_that_came_behind_a_message() {
    for (role, close) in [(Role::Client, 8), (Role::Server, 4)] {
        let (mut codec, mut peer) = (codec(role), codec_of_peer(role));
        peer.queue(Message::text("last"));
        let mut wire = send_all(&mut peer, 100);
        peer.close(1000, "");
        wire.append(&mut send_all(&mut peer, 100));
        codec.receive(&mut &wire[..], &mut Batch::default()).unwrap();
        assert!(matches!(codec.ended(), Some(Disconnect::Closed { .. })));
        codec.queue(Message::text("echo"));
        let answer = send_all(&mut codec, 100);
        assert_eq!((answer[0], answer.len()), (0x88, close), "{answer:02x?}");
    }
}

fn codec_of_peer(role: Role) -> Codec {
    codec(if role == Role::Client { Role::Server } else { Role::Client })
}

#[test]
fn a_violation_can_be_answered_with_its_code() {
    let (mut server, mut client) = (codec(Role::Server), codec(Role::Client));
    receive_all(&mut server, &[0x81, 0x01, b'x'], 3).unwrap_err();
    server.close(1002, "unmasked");
    let ended = receive_all(&mut client, &send_all(&mut server, 100), 100).unwrap_err();
    assert_eq!(ended, Disconnect::Closed { code: Some(1002), reason: "unmasked".to_owned() });
}

#[test]
fn the_end_of_the_stream_without_a_close_is_a_loss() {
    let mut client = codec(Role::Client);
    receive_all(&mut client, &[0x81, 0x05, b'x'], 3).unwrap();
    assert!(matches!(client.end_of_stream(), Disconnect::Lost(_)));
}

#[test]
fn whole_cut_fragmented_and_control_frames_arrive_in_their_order() {
    for (sender, receiver) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        let (mut sender, mut receiver) = (codec(sender), codec(receiver));
        let mut expected = Vec::new();
        for number in 0..2000_usize {
            let payload = Bytes::from(vec![b'a' + (number % 26) as u8; number % 700]);
            let is_binary = number % 3 == 0;
            let kind = if is_binary { MessageKind::Binary } else { MessageKind::Text };
            sender.queue(Message::new(kind, payload.clone()));
            expected.push((is_binary, payload));
            if number % 100 == 0 {
                sender.queue(Message::ping());
                let large = Bytes::from(vec![7; MAX_FRAME_BYTES + number]);
                sender.queue(Message::binary(large.clone()));
                expected.push((true, large));
            }
        }
        let wire = send_all(&mut sender, WHOLE);
        assert_eq!(receive_all(&mut receiver, &wire, 65_536).unwrap(), expected);
        let pongs = receive_all(&mut sender, &send_all(&mut receiver, 1000), 1000).unwrap();
        assert!(pongs.is_empty() && !receiver.is_mid_message());
    }
}

#[test]
fn bad_text_between_whole_messages_ends_the_connection_behind_those_before_it() {
    let mut client = codec(Role::Client);
    let mut batch = Batch::default();
    let frames = [&b"\x81\x01a\x82\x01\xff\x81\x01"[..], b"\xff", b"\x81\x01b"].concat();
    client.receive(&mut &frames[..], &mut batch).unwrap();
    assert_eq!(batch.messages, [&b"a"[..], b"\xff"]);
    assert!(matches!(client.ended(), Some(Disconnect::Violation { code: 1007, .. })), "{:?}", client.ended());
}

#[test]
fn a_connection_in_the_middle_of_a_message_keeps_what_it_has() {
    let mut client = codec(Role::Client);
    receive_all(&mut client, &[&[0x82, 126, 0x40, 0][..], &[1; 9000]].concat(), 9004).unwrap();
    client.shrink();
    let message = receive_all(&mut client, &[1; 0x4000 - 9000], 5000).unwrap();
    assert_eq!(message, [(true, Bytes::from(vec![1; 0x4000]))]);
}

const TAKEOVER: DirectionConfig = DirectionConfig { window_bits: 15, context_takeover: true };

#[test]
fn a_bomb_ends_at_the_cap() {
    let limits = Limits { max_message_bytes: 100_000, ..Limits::default() };
    let mut server = deflating(Role::Server, Limits::default(), TAKEOVER, 0);
    server.queue(Message::text(vec![b'0'; 50_000_000]));
    let wire = send_all(&mut server, WHOLE);
    assert!(wire.len() < 1_000_000, "{}", wire.len());
    let mut client = deflating(Role::Client, limits, TAKEOVER, 0);
    let ended = receive_all(&mut client, &wire, 1000).unwrap_err();
    assert!(matches!(ended, Disconnect::Violation { code: 1009, .. }), "{ended:?}");
}

#[test]
fn bad_deflate_data_and_compressed_text_that_is_no_utf8_end_with_1007() {
    let mut server = deflating(Role::Server, Limits::default(), TAKEOVER, 0);
    server.queue(Message::binary(b"\xff\xff\xff\xff\xff\xff\xff\xff".repeat(4)));
    let mut wire = send_all(&mut server, WHOLE);
    assert_eq!(wire[0], 0xc2);
    wire[0] = 0xc1;
    for frames in [wire, vec![0xc1, 0x03, 0xff, 0xff, 0xff]] {
        let mut client = deflating(Role::Client, Limits::default(), TAKEOVER, 0);
        let ended = receive_all(&mut client, &frames, 1000).unwrap_err();
        assert!(matches!(ended, Disconnect::Violation { code: 1007, .. }), "{ended:?}");
    }
}

fn messages() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let text = prop_oneof!["[a-c]{0,200}", ".{0,40}", Just("x".repeat(70_000))].prop_map(String::into_bytes);
    let binary = prop_oneof![prop::collection::vec(any::<u8>(), 0..300), Just(vec![0; MAX_FRAME_BYTES + 5])];
    let message = prop_oneof![4 => text.prop_map(|text| (false, text)), 1 => binary.prop_map(|bytes| (true, bytes))];
    prop::collection::vec(message, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_messages_in_any_pieces_arrive_as_they_were(
        messages in messages(),
        client_sends: bool,
        deflate in prop::option::of((9_u8..=15, any::<bool>(), prop::sample::select(vec![0, 100]))),
        written in 1_usize..100_000,
        read in 1_usize..5_000,
    ) {
        let [sender, receiver] = if client_sends { [Role::Client, Role::Server] } else { [Role::Server, Role::Client] };
        let make = |role| match deflate {
            None => codec(role),
            Some((window_bits, context_takeover, threshold)) => {
                deflating(role, Limits::default(), DirectionConfig { window_bits, context_takeover }, threshold)
            }
        };
        let (mut sender, mut receiver) = (make(sender), make(receiver));
        for (is_binary, payload) in &messages {
            let kind = if *is_binary { MessageKind::Binary } else { MessageKind::Text };
            sender.queue(Message::new(kind, payload.clone().into()));
            sender.queue(Message::new(MessageKind::Ping, Bytes::new()));
        }
        let received = receive_all(&mut receiver, &send_all(&mut sender, written), read).unwrap();
        let expected: Vec<_> = messages.into_iter().map(|(is_binary, payload)| (is_binary, Bytes::from(payload))).collect();
        prop_assert_eq!(received, expected);
        prop_assert!(!sender.has_unsent() && !receiver.is_mid_message());
    }

    #[test]
    fn no_input_panics_or_grows(bytes: Vec<u8>, client: bool, deflate: bool, piece in 1_usize..50) {
        let role = if client { Role::Client } else { Role::Server };
        let limits = Limits { max_message_bytes: 1000, max_fragments: 10 };
        let mut codec = if deflate { deflating(role, limits, TAKEOVER, 0) } else { Codec::new(role, limits, None) };
        if let Ok(messages) = receive_all(&mut codec, &bytes, piece) {
            prop_assert!(messages.iter().all(|(_, message)| message.len() <= 1000));
        }
        prop_assert!(send_all(&mut codec, 100).len() <= 2 * bytes.len() + 10 * MAX_PONG_BYTES);
    }
}
