//! Frames that break the protocol or a limit, byte by byte: each is answered with its close code, costs its own
//! connection only, and next to no memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

mod support;

use std::time::Instant;

use eventflux_testkit::peer::frames::{CONTINUATION, Side, TEXT, violations};
use eventflux_testkit::peer::{RawFrame, Script, ScriptedPeer};
use support::raw::{Raw, text};
use support::server::Server;
use support::{PROMPTLY, Pipeline, QUICK, client, received};

/// Sends these bytes, and expects to be told goodbye with this code before the connection ends.
#[track_caller]
fn is_closed_with(server: &Server, bytes: impl AsRef<[u8]>, code: u16, what: &str) {
    let mut raw = server.upgraded();
    raw.send(bytes);
    assert_eq!(raw.close_code(), code, "{what}");
    raw.finish();
}

/// A message in these pieces, as the frames of a client.
fn fragments(pieces: &[&[u8]]) -> Vec<u8> {
    let last = pieces.len() - 1;
    let frame = |(index, piece): (usize, &&[u8])| {
        let frame = RawFrame::new(if index == 0 { TEXT } else { CONTINUATION }, piece.to_vec()).masked();
        if index == last { frame.encode() } else { frame.not_final().encode() }
    };
    pieces.iter().enumerate().flat_map(frame).collect()
}

#[test]
fn every_violation_is_answered_with_its_code_and_ends_its_own_connection_only() {
    let server = Server::start("");
    let all = violations(Side::Client);
    let reported = all.iter().filter(|violation| matches!(violation.close_code, 1007 | 1009)).count();
    for violation in all {
        let code = violation.close_code.to_string();
        // A code that may not be sent is the protocol library's to answer, and counts as a goodbye.
        let counts = if violation.name.starts_with("close code") { 0 } else { 2 };
        let counted = server.violations(&code);
        is_closed_with(&server, &violation.bytes, violation.close_code, violation.name);
        // What came before it counts.
        let after = [text("{\"n\":1}"), violation.bytes].concat();
        is_closed_with(&server, after, violation.close_code, violation.name);
        assert_eq!(server.violations(&code), counted + counts, "{}", violation.name);
    }
    server.has_failed(2 * reported as u64);
    server.stop();
}

#[test]
fn a_goodbye_is_answered_with_the_same_code_and_nothing_more() {
    let server = Server::start("");
    for (close, answer) in [
        (RawFrame::close(1000, ""), &[0x88, 2, 0x03, 0xe8][..]),
        (RawFrame::close(3000, "\u{e9}t\u{e9}"), &[0x88, 7, 0x0b, 0xb8, 0xc3, 0xa9, b't', 0xc3, 0xa9]),
        (RawFrame::new(8, ""), &[0x88, 0]),
    ] {
        let mut raw = server.upgraded();
        // Nothing counts that comes behind a goodbye.
        raw.send([close.masked().encode(), text("{\"n\":1}")].concat());
        assert_eq!(raw.rest(), answer);
    }
    let events = server.pipeline.metric("eventflux_source_events_total", "Fed");
    server.serves();
    assert_eq!(server.pipeline.metric("eventflux_source_events_total", "Fed"), events + 1);
    server.stop();
}

#[test]
fn a_character_may_be_split_between_fragments_and_must_become_one() {
    let server = Server::start("");
    let (begin, end) = (b"{\"n\":1,\"text\":\"\xe2\x82", b"\xac\"}");
    let mut raw = server.upgraded();
    raw.send(fragments(&[begin, b"", end]));
    server.delivers(1);
    raw.finish();
    is_closed_with(&server, fragments(&[begin, b"\"}"]), 1007, "a character that does not go on");
    is_closed_with(&server, fragments(&[begin, end, b"\xe2\x82"]), 1007, "a character that does not end");
    // Known to be wrong before the message is over.
    let begun = RawFrame::new(TEXT, &b"\xc0\xaf"[..]).not_final().masked().encode();
    is_closed_with(&server, begun, 1007, "a byte of no character");
    server.has_failed(3);
    server.stop();
}

#[test]
fn a_message_at_the_limit_passes_and_one_byte_more_is_answered_with_1009() {
    let server = Server::start("websocket.max.message.size='1000', websocket.max.fragments='4'");
    let message = |n: u64, bytes: usize| format!("{:<bytes$}", format!("{{\"n\":{n}}}")).into_bytes();
    let in_quarters = |message: &[u8]| fragments(&message.chunks(message.len().div_ceil(4)).collect::<Vec<_>>());
    let mut raw = server.upgraded();
    raw.send(text(String::from_utf8(message(1, 1000)).unwrap()));
    raw.send(in_quarters(&message(2, 1000)));
    server.delivers(2);
    raw.finish();
    is_closed_with(&server, text("x".repeat(1001)), 1009, "one frame");
    is_closed_with(&server, in_quarters(&message(3, 1001)), 1009, "four fragments");
    let declared = RawFrame::binary("").declared_length(1001).masked().encode();
    is_closed_with(&server, declared, 1009, "a header alone");
    server.has_failed(3);
    is_closed_with(&server, fragments(&[b"{", b"", b"", b"", b"}"]), 1008, "five fragments");
    server.stop();
}

#[test]
fn who_answers_no_goodbye_is_left_at_the_deadline() {
    let server = Server::start("websocket.close.timeout='200ms'");
    let mut deaf = server.upgraded();
    server.serves();
    let before = Instant::now();
    server.pipeline.stop();
    assert!(before.elapsed() < PROMPTLY, "{:?}", before.elapsed());
    assert_eq!(deaf.close_code(), 1001);
    // Without an answer to its goodbye the server does not wait for ours.
    assert_eq!(deaf.rest_or_reset(), b"");
}

#[test]
fn a_receiver_that_refuses_every_large_message_is_not_asked_again_and_again() {
    let refusing = Script::new().accept().expect_messages(1).close(1009, "too big");
    let receiver = ScriptedPeer::builder().script(refusing).script(Script::new().accept()).start();
    let sql = client("sink", receiver.url(), QUICK);
    let pipeline = Pipeline::start(&format!("{sql} CREATE STREAM Out (text STRING);"));
    let out = pipeline.flux.input("Out").unwrap();
    out.send(&["x".repeat(2000).as_str().into()]).unwrap();
    receiver.wait_for_endings(1).blocking();
    out.send(&["small".into()]).unwrap();
    assert_eq!(received(&receiver, 2)[1]["text"], "small");
    assert_eq!(receiver.record().connections, 2);
    pipeline.stop();
}

#[cfg(target_os = "linux")]
mod memory {
    use super::support::child::{Process, allow_many_connections, serve};
    use super::*;

    #[test]
    fn a_flood_of_empty_fragments_is_cut_off_at_its_limit() {
        let mut process = Process::start("");
        let before = process.peak_bytes();
        let mut raw = process.upgraded();
        let mut sender = raw.another();
        let flood = eventflux_testkit::peer::frames::empty_continuations(Side::Client, 5_000_000);
        let sending = std::thread::spawn(move || {
            use std::io::Write;
            // Ends when the server has had enough.
            let _ = sender.stream.write_all(&flood);
        });
        assert_eq!(raw.close_code(), 1008);
        process.serves();
        raw.rest_or_reset();
        sending.join().unwrap();
        process.wait_for_clients(0);
        let grown = process.peak_bytes() - before;
        assert!(grown < 4 << 20, "{grown} bytes more");
    }

    #[test]
    fn messages_that_are_declared_and_not_sent_take_no_memory() {
        const CLIENTS: usize = 1000;
        allow_many_connections();
        let deadline = "websocket.message.timeout='2s', websocket.close.timeout='5s'";
        let mut process = Process::start(&format!("websocket.max.connections='2000', {deadline}"));
        let before = process.peak_bytes();
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| process.upgraded()).collect();
        let open = process.peak_bytes();
        assert!(open - before < 16 << 20, "{} bytes more for open connections", open - before);
        let declared = RawFrame::binary(vec![0; 100]).declared_length(16 << 20).masked().encode();
        clients.iter_mut().for_each(|client| client.send(&declared));
        process.serves();
        // When this is said, the declaration has been read.
        clients.iter_mut().for_each(|client| assert_eq!(client.close_code(), 1008));
        let held = process.peak_bytes() - open;
        assert!(held < 16 << 20, "{held} bytes more for {CLIENTS} times 16 MiB");
        clients.into_iter().for_each(Raw::finish);
        process.wait_for_clients(0);
        process.serves();
    }

    #[test]
    #[ignore = "started by other tests, as a process of its own"]
    fn a_process_of_its_own() {
        serve();
    }
}
