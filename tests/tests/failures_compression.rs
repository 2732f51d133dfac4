//! permessage-deflate in bad hands: bombs, data that is none, parameters that are none, and many connections that keep
//! their contexts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

mod support;

use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::frames::{BINARY, RSV1, Side, TEXT, deflate_violations};
use eventflux_testkit::peer::{RawFrame, Script, ScriptedPeer, deflate};
use eventflux_testkit::wait::eventually_blocking;
use support::raw::{Raw, header, text};
use support::server::Server;
use support::{DEADLINE, DLQ, Pipeline, QUICK, client, dead_letters, numbers, received, relay};

const DEFLATE: &str = "websocket.permessage-deflate='true'";
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// A compressed text message of a client.
fn compressed(text: impl Into<String>) -> Vec<u8> {
    RawFrame::text(text).compressed().masked().encode()
}

/// A frame of about a thousandth of the mebibytes it inflates to.
fn bomb(opcode: u8, mebibytes: usize) -> RawFrame {
    let piece = deflate::compress(vec![b' '; 1 << 20]);
    let pieces = vec![&piece[..]; mebibytes];
    // A flushed block ends with these four bytes; only the last one's are left out.
    RawFrame::new(opcode, pieces.join(&[0, 0, 0xff, 0xff][..])).rsv(RSV1)
}

/// Sends these bytes with compression agreed upon, and expects to be told goodbye with this code.
#[track_caller]
fn is_closed_with(server: &Server, bytes: impl AsRef<[u8]>, code: u16, what: &str) {
    let mut raw = server.raw();
    raw.upgrade("/in", OFFER);
    raw.send(bytes);
    assert_eq!(raw.close_code(), code, "{what}");
    raw.finish();
}

#[test]
fn what_is_no_compressed_message_is_answered_with_its_code() {
    let server = Server::start(DEFLATE);
    let all = deflate_violations(Side::Client);
    let reported = all.iter().filter(|violation| violation.close_code == 1007).count();
    for violation in all {
        let code = violation.close_code.to_string();
        let counted = server.violations(&code);
        is_closed_with(&server, &violation.bytes, violation.close_code, violation.name);
        let after = [compressed("{\"n\":1}"), violation.bytes].concat();
        is_closed_with(&server, after, violation.close_code, violation.name);
        assert_eq!(server.violations(&code), counted + 2, "{}", violation.name);
    }
    server.has_failed(2 * reported as u64);
    server.stop();
}

#[test]
fn the_limit_of_a_message_holds_for_what_it_inflates_to() {
    let server = Server::start(&format!("{DEFLATE}, websocket.max.message.size='1000'"));
    let mut raw = server.raw();
    raw.upgrade("/in", OFFER);
    raw.send(compressed(format!("{:<1000}", "{\"n\":1}")));
    server.delivers(1);
    raw.finish();
    is_closed_with(&server, compressed(format!("{:<1001}", "{\"n\":2}")), 1009, "one byte more");
    let fragments = RawFrame::text(" ".repeat(1 << 20)).compressed().fragments(100);
    let fragments: Vec<_> = fragments.into_iter().flat_map(|fragment| fragment.masked().encode()).collect();
    is_closed_with(&server, fragments, 1009, "fragments, each below the limit");
    server.has_failed(2);
    assert_eq!(server.violations("1009"), 2);
    server.stop();
}

#[test]
fn bad_parameters_are_passed_over_and_the_connection_goes_on_without_compression() {
    let server = Server::start(DEFLATE);
    for (offer, taken) in [
        ("permessage-deflate; server_max_window_bits=7", false),
        ("permessage-deflate; server_max_window_bits=16", false),
        ("permessage-deflate; server_max_window_bits=08", false),
        ("permessage-deflate; server_max_window_bits", false),
        ("permessage-deflate; client_max_window_bits=all", false),
        ("permessage-deflate; client_no_context_takeover=1", false),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", false),
        ("permessage-deflate; mystery", false),
        ("permessage-deflate;", false),
        ("Permessage-Deflate", false),
        ("x-webkit-deflate-frame", false),
        ("permessage-deflate; mystery, permessage-deflate", true),
        ("mystery, permessage-deflate; client_max_window_bits", true),
    ] {
        let mut raw = server.raw();
        let head = raw.upgrade("/in", &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        assert_eq!(header(&head, "Sec-WebSocket-Extensions").is_some(), taken, "{offer}: {head}");
        raw.send(text("{\"n\":1}"));
        raw.send(compressed("{\"n\":2}"));
        if taken {
            raw.finish();
        } else {
            assert_eq!(raw.close_code(), 1002, "{offer}");
            raw.finish();
        }
    }
    server.delivers(2);
    server.stop();
}

#[test]
fn a_bomb_of_the_feed_is_a_dead_letter_and_the_feed_is_resumed() {
    let accept = || Script::new().choose_extensions("permessage-deflate").accept();
    let feed = ScriptedPeer::builder()
        .script(accept().send_compressed("{\"n\":0}").send_frame(bomb(TEXT, 100)).expect_close(1009))
        .script(accept().send_compressed("{\"n\":1}"))
        .start();
    let (receiver, failed) = (ScriptedPeer::builder().start(), ScriptedPeer::builder().start());
    let properties = format!("{DEFLATE}, {DLQ}, {QUICK}, websocket.max.message.size='1MiB'");
    let sql = relay(feed.url(), &properties, receiver.url(), "") + &dead_letters(failed.url(), "");
    let pipeline = Pipeline::start(&sql);
    assert_eq!(numbers(&receiver.wait_for_messages(2).blocking()), [0, 1]);
    let letter = received(&failed, 1).remove(0);
    let message = letter["errorMessage"].as_str().unwrap();
    assert!(letter["stage"] == "receive" && message.contains("inflates to more"), "{letter}");
    assert_eq!(pipeline.counted("eventflux_websocket_violations_total", "1009"), 1);
    assert_eq!(pipeline.metric("eventflux_source_gaps_total", "Fed"), 1);
    pipeline.stop();
}

#[test]
fn an_answer_that_was_not_offered_is_an_error_of_its_stream_only() {
    let cases = [
        ("permessage-deflate; server_max_window_bits=16", "`server_max_window_bits=16`"),
        ("permessage-deflate; client_max_window_bits", "`client_max_window_bits`"),
        ("permessage-deflate; client_max_window_bits=15", "but the offer was"),
        ("permessage-deflate; mystery=1", "`mystery=1`"),
        ("permessage-deflate, permessage-deflate", "more than once"),
        ("x-webkit-deflate-frame", "which was not offered"),
    ];
    let answering = |answer: &str| Script::new().choose_extensions(answer).accept();
    let good = ScriptedPeer::builder().script(answering("permessage-deflate").send_compressed("{\"n\":1}")).start();
    let peers: Vec<_> =
        cases.iter().map(|(answer, _)| ScriptedPeer::builder().script(answering(answer)).start()).collect();
    let properties = format!("{DEFLATE}, {QUICK}");
    let mut sql = format!("{} CREATE STREAM Good (n BIGINT);", client("source", good.url(), &properties));
    for (number, peer) in peers.iter().enumerate() {
        sql += &format!("{} CREATE STREAM S{number} (n BIGINT);", client("source", peer.url(), &properties));
    }
    let pipeline = Pipeline::start(&sql);
    pipeline.wait_for_metric("eventflux_source_messages_total", "Good", 1);
    for (number, (_, reason)) in cases.iter().enumerate() {
        let stream = format!("S{number}");
        pipeline.wait_for_detail(&stream, reason);
        assert_eq!(pipeline.metric("eventflux_source_connections", &stream), 0, "{reason}");
    }
    pipeline.wait_for_state("Good", ConnectionState::Connected);
    pipeline.stop();
    for peer in peers {
        let _ = peer.finish_within(Duration::ZERO).blocking_result();
    }
}

#[cfg(target_os = "linux")]
mod memory {
    use super::support::child::{Process, allow_many_connections, serve};
    use super::*;

    #[test]
    fn bombs_of_a_gigabyte_end_at_the_limit() {
        const BOMBERS: usize = 8;
        let mut process = Process::start(&format!("{DEFLATE}, websocket.max.message.size='2MiB'"));
        let before = process.peak_bytes();
        let bomb = bomb(BINARY, 1024).masked().encode();
        assert!(bomb.len() < 2 << 20, "{} bytes", bomb.len());
        let mut bombers: Vec<_> = (0..BOMBERS).map(|_| Raw::connect(process.address)).collect();
        for raw in &mut bombers {
            raw.upgrade("/in", OFFER);
            raw.send(&bomb);
            process.serves();
        }
        for mut raw in bombers {
            assert_eq!(raw.close_code(), 1009);
            raw.finish();
        }
        process.wait_for_clients(0);
        assert_eq!(process.violations("1009"), BOMBERS as u64);
        let failed = || process.metric("eventflux_source_failed_total", "Fed");
        eventually_blocking(DEADLINE, || failed() == BOMBERS as u64);
        let grown = process.peak_bytes() - before;
        // As they come, and as far as they are inflated.
        assert!(grown < BOMBERS as u64 * (4 << 20), "{grown} bytes more");
    }

    #[test]
    fn contexts_that_are_kept_cost_what_is_documented() {
        const CLIENTS: usize = 500;
        // Of a connection that compresses with a window of 12 bits, and of one that decompresses.
        const SENDING: usize = 176 << 10;
        const RECEIVING: usize = 47 << 10;
        allow_many_connections();
        let properties = "websocket.permessage-deflate.send.context.takeover='true', websocket.max.connections='2000'";
        let mut process = Process::start(&format!("{DEFLATE}, {properties}"));
        let connect = |path: &str| {
            let mut raw = Raw::connect(process.address);
            let head = raw.upgrade(path, OFFER);
            assert!(!header(&head, "Sec-WebSocket-Extensions").unwrap().contains("no_context_takeover"), "{head}");
            raw
        };
        let mut senders: Vec<_> = (0..CLIENTS).map(|_| connect("/in")).collect();
        let mut receivers: Vec<_> = (0..CLIENTS).map(|_| connect("/out")).collect();
        let before = process.resident_bytes();
        // All but one of them with an event too small to be compressed for others.
        senders.iter_mut().for_each(|raw| raw.send(compressed("{\"n\":1}")));
        senders[0].send(compressed(format!("{{\"n\":2,\"text\":\"{}\"}}", "x".repeat(5000))));
        for raw in &mut receivers {
            while raw.frame().0 != 0xc1 {}
        }
        process.serves();
        let grown = (process.resident_bytes() - before) as usize;
        let documented = CLIENTS * (SENDING + RECEIVING);
        assert!((documented / 2..documented * 5 / 4).contains(&grown), "{grown} bytes more, documented: {documented}");
        drop((senders, receivers));
        process.wait_for_clients(0);
        process.serves();
    }

    #[test]
    #[ignore = "started by other tests, as a process of its own"]
    fn a_process_of_its_own() {
        serve();
    }
}
