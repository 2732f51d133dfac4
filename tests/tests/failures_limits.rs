//! Clients that ask too much of one connection, and a process that runs out of file descriptors: the limit ends what is
//! too much, and nobody else notices.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::{RawFrame, Script, ScriptedPeer};
use eventflux_testkit::wait::eventually_blocking;
use socket2::{Domain, Socket, Type};
use support::child::Process;
use support::raw::{Raw, text};
use support::server::Server;
use support::{DEADLINE, PROMPTLY, Pipeline, QUICK, client};

/// Time between two bytes of somebody slow.
const PACE: Duration = Duration::from_millis(10);

/// A connection whose client takes next to nothing that it does not read.
fn narrow(address: SocketAddr) -> Raw {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&address.into()).unwrap();
    Raw::over(TcpStream::from(socket))
}

/// Sends the same frames again and again, from a thread of its own, until the server takes no more.
fn flood(raw: &Raw, frame: &RawFrame) -> std::thread::JoinHandle<()> {
    let mut sender = raw.another();
    let frames = frame.encode().repeat(1000);
    std::thread::spawn(move || while sender.stream.write_all(&frames).is_ok() {})
}

#[test]
fn a_flood_of_pings_is_ended_with_1008() {
    let mut process = Process::start("websocket.close.timeout='300ms'");
    let before = process.peak_bytes();
    let mut raw = process.upgraded();
    let flooding = flood(&raw, &RawFrame::ping("x".repeat(125)).masked());
    assert_eq!(raw.close_code(), 1008);
    process.serves();
    raw.rest_or_reset();
    flooding.join().unwrap();
    process.wait_for_clients(0);
    assert_eq!(process.violations("1008"), 1);
    let grown = process.peak_bytes() - before;
    assert!(grown < 4 << 20, "{grown} bytes more");
}

#[test]
fn who_floods_pings_as_far_as_allowed_and_never_reads_costs_no_memory() {
    let mut process = Process::start("websocket.max.pings='1000000', websocket.ping.interval='200ms'");
    let before = process.peak_bytes();
    let mut raw = narrow(process.address);
    raw.upgrade("/in", "");
    let pings = RawFrame::ping("x".repeat(125)).masked().encode().repeat(1000);
    for _ in 0..300 {
        raw.send(&pings);
    }
    // All of them have been read once this arrives.
    raw.send(text("{\"n\":1}"));
    process.delivers(1);
    process.serves();
    let grown = process.peak_bytes() - before;
    assert!(grown < 4 << 20, "{grown} bytes more");
}

#[test]
fn a_frame_that_dribbles_in_is_ended_with_1008_at_the_deadline() {
    let server = Server::start("websocket.message.timeout='300ms', websocket.close.timeout='300ms'");
    for bytes in [text("x".repeat(100)), RawFrame::text("x").masked().not_final().encode()] {
        let mut raw = server.upgraded();
        let (begin, rest) = bytes.split_at(6);
        raw.send(begin);
        let rest = if rest.len() == 1 { RawFrame::new(0, "").masked().not_final().encode() } else { rest.to_vec() };
        let answer = raw.dribble(&rest, PACE);
        assert_eq!((answer[0], &answer[2..4]), (0x88, &1008_u16.to_be_bytes()[..]), "{answer:?}");
    }
    assert_eq!(server.violations("1008"), 2);
    server.stop();
}

#[test]
fn the_deadline_of_a_message_holds_while_control_frames_pour_in() {
    let server = Server::start("websocket.message.timeout='300ms', websocket.close.timeout='300ms'");
    let mut raw = server.upgraded();
    raw.send(RawFrame::text("{").not_final().masked().encode());
    let flooding = flood(&raw, &RawFrame::pong("").masked());
    assert_eq!(raw.close_code(), 1008);
    raw.rest_or_reset();
    flooding.join().unwrap();
    server.stop();
}

#[test]
fn who_reads_a_byte_at_a_time_is_dropped_at_the_write_deadline() {
    let server = Server::start("websocket.write.timeout='500ms'");
    let mut slow = narrow(server.address);
    slow.upgrade("/out", "");
    let large = "x".repeat(20 << 20);
    server.pipeline.flux.input("Out").unwrap().send(&[1_i64.into(), large.as_str().into()]).unwrap();
    server.delivers(1);
    let mut byte = [0; 1];
    let mut read = 0;
    while server.violations("dead") == 0 {
        assert_eq!(slow.stream.read(&mut byte).unwrap(), 1);
        read += 1;
        assert!(read < 1_000, "the connection stays");
        std::thread::sleep(PACE);
    }
    assert!(slow.rest_or_reset().len() < large.len());
    server.stop();
}

#[test]
fn the_write_deadline_holds_while_the_client_pours() {
    let server = Server::start("websocket.write.timeout='500ms'");
    let mut deaf = narrow(server.address);
    deaf.upgrade("/out", "");
    let flooding = flood(&deaf, &RawFrame::pong("").masked());
    let large = "x".repeat(20 << 20);
    server.pipeline.flux.input("Out").unwrap().send(&[1_i64.into(), large.as_str().into()]).unwrap();
    eventually_blocking(DEADLINE, || server.violations("dead") == 1);
    flooding.join().unwrap();
    server.stop();
}

/// A receiver of messages that sends pongs until nobody takes them, and reads nothing; it is back then, and quiet.
fn pouring() -> (String, std::thread::JoinHandle<Raw>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let mut first = Raw::accept(&listener);
        first.welcome();
        let pongs = RawFrame::pong("").encode().repeat(10_000);
        while first.stream.write_all(&pongs).is_ok() {}
        let mut second = Raw::accept(&listener);
        second.welcome();
        second
    });
    (url, serving)
}

#[test]
fn a_receiver_that_pours_and_never_reads_meets_the_write_deadline() {
    let (url, receiver) = pouring();
    let properties = format!("{QUICK}, websocket.write.timeout='500ms', websocket.queue.bytes='64MiB'");
    let pipeline = Pipeline::start(&format!("{} CREATE STREAM Out (text STRING);", client("sink", &url, &properties)));
    let large = "x".repeat(20 << 20);
    pipeline.flux.input("Out").unwrap().send(&[large.as_str().into()]).unwrap();
    let mut receiver = receiver.join().unwrap();
    receiver.exactly(large.len());
    assert!(pipeline.metric("eventflux_sink_reconnects_total", "Out") >= 1);
    drop(receiver);
    pipeline.stop();
}

#[test]
fn a_receiver_that_pours_does_not_hold_up_a_stop() {
    let (url, _receiver) = pouring();
    let sink = client("sink", &url, "websocket.close.timeout='300ms'");
    let mut pipeline = Pipeline::start(&format!("{sink} CREATE STREAM Out (n BIGINT);"));
    pipeline.wait_for_state("Out", ConnectionState::Connected);
    let before = Instant::now();
    pipeline.flux.stop(DEADLINE);
    assert!(before.elapsed() < PROMPTLY, "{:?}", before.elapsed());
}

#[test]
fn a_receiver_that_reads_a_byte_at_a_time_meets_the_write_deadline() {
    let slow = Script::new().accept().read_slowly(10).delay(DEADLINE);
    let receiver = ScriptedPeer::builder().receive_buffer(8 << 10).script(slow).script(Script::new().accept()).start();
    let properties = format!("{QUICK}, websocket.write.timeout='500ms', websocket.queue.bytes='64MiB'");
    let sink = client("sink", receiver.url(), &properties);
    let pipeline = Pipeline::start(&format!("{sink} CREATE STREAM Out (text STRING);"));
    let large = "x".repeat(20 << 20);
    pipeline.flux.input("Out").unwrap().send(&[large.as_str().into()]).unwrap();
    assert!(receiver.wait_for_messages(1).blocking()[0].as_bytes().len() > large.len());
    assert_eq!(pipeline.stop().events_out, 1);
    let _ = receiver.finish_within(Duration::ZERO).blocking_result();
}

#[test]
fn without_file_descriptors_it_waits_longer_and_longer_and_serves_whom_it_has() {
    let mut process = Process::start("");
    let old = process.upgraded();
    process.limit_descriptors(20);
    let before = Instant::now();
    let hoard: Vec<_> = (0..100).map(|_| Raw::connect(process.address)).collect();
    eventually_blocking(DEADLINE, || process.logged("cannot accept") >= 6);
    // 10 + 20 + 40 + 80 + 160 ms; in a loop without pauses it would be at hundreds by the first look.
    assert!(before.elapsed() >= Duration::from_millis(310), "{:?}", before.elapsed());
    process.serves();
    drop(hoard);
    process.upgraded().finish();
    old.finish();
    process.wait_for_clients(0);
    process.serves();
}

#[test]
#[ignore = "started by other tests, as a process of its own"]
fn a_process_of_its_own() {
    support::child::serve();
}
