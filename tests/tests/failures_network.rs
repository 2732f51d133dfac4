//! Networks and peers that fail, and pipelines that go on: half-open connections, resets, outages, floods, stops.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eventflux_core::backoff::{Backoff, Growth};
use eventflux_core::health::ConnectionState;
use eventflux_testkit::peer::frames::{Side, empty_continuations, partial_text};
use eventflux_testkit::peer::{Script, ScriptedPeer};
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::sequence;
use eventflux_testkit::wait::eventually_blocking;
use support::{
    DEADLINE, DLQ, PROMPTLY, Pipeline, QUICK, SLOW, client, dead_letters, numbers, received, relay, sending,
};

/// Pings that notice a dead peer within a test.
const WATCHFUL: &str = "websocket.ping.interval='20ms', websocket.pong.timeout='300ms', \
     websocket.connect.timeout='500ms', websocket.reconnect.delay.ms='5', websocket.reconnect.max.delay.ms='20'";

/// A sink that never gives up.
const ENDLESS: &str = "websocket.reconnect.max.attempts='-1'";

/// How far the scripts of a peer came before their connections were cut off does not matter.
fn forgive(peer: &ScriptedPeer) {
    let _ = peer.finish_within(Duration::ZERO).blocking_result();
}

fn through(network: &ChaosProxy) -> String {
    format!("ws://{}", network.address())
}

#[test]
fn a_half_open_feed_is_noticed_and_the_pipeline_goes_on() {
    let feed = ScriptedPeer::builder().script(sending(0..1)).script(sending(1..2)).start();
    let (network, receiver) = (ChaosProxy::start(feed.address()), ScriptedPeer::builder().start());
    let pipeline = Pipeline::start(&relay(&through(&network), WATCHFUL, receiver.url(), ""));
    receiver.wait_for_messages(1).blocking();
    network.blackhole();
    pipeline.wait_for_state("Fed", ConnectionState::Reconnecting);
    network.resume().blocking();
    assert_eq!(numbers(&receiver.wait_for_messages(2).blocking())[..2], [0, 1]);
    assert!(pipeline.metric("eventflux_source_gaps_total", "Fed") >= 1);
    pipeline.stop();
    forgive(&feed);
}

#[test]
fn a_half_open_receiver_is_noticed_and_the_pipeline_goes_on() {
    let receiver = ScriptedPeer::builder().start();
    let network = ChaosProxy::start(receiver.address());
    let sink = client("sink", &through(&network), &format!("{WATCHFUL}, {ENDLESS}"));
    let pipeline = Pipeline::start(&format!("{sink} CREATE STREAM Out (n BIGINT);"));
    let out = pipeline.flux.input("Out").unwrap();
    out.send(&[0_i64.into()]).unwrap();
    receiver.wait_for_messages(1).blocking();
    network.blackhole();
    pipeline.wait_for_state("Out", ConnectionState::Reconnecting);
    network.resume().blocking();
    out.send(&[1_i64.into()]).unwrap();
    assert_eq!(numbers(&receiver.wait_for_messages(2).blocking()), [0, 1]);
    assert!(pipeline.metric("eventflux_sink_reconnects_total", "Out") >= 1);
    assert_eq!(pipeline.stop().failed, 0);
    forgive(&receiver);
}

#[test]
fn a_message_cut_off_by_a_reset_is_discarded_and_the_feed_resumed() {
    let cut_off = partial_text(Side::Server, 10, 100);
    let feed = ScriptedPeer::builder()
        .script(sending(0..1).send_raw(cut_off).wait_for_signal("arrived").reset())
        .script(sending(1..2))
        .start();
    let receiver = ScriptedPeer::builder().start();
    let pipeline = Pipeline::start(&relay(feed.url(), QUICK, receiver.url(), ""));
    receiver.wait_for_messages(1).blocking();
    feed.signal("arrived");
    assert_eq!(numbers(&receiver.wait_for_messages(2).blocking()), [0, 1]);
    assert_eq!(pipeline.metric("eventflux_source_gaps_total", "Fed"), 1);
    let summary = pipeline.stop();
    assert_eq!((summary.events_in, summary.failed), (2, 0));
}

#[test]
fn a_message_whose_sending_a_reset_cut_off_is_sent_again_whole() {
    let receiver = ScriptedPeer::builder()
        .receive_buffer(8 << 10)
        .script(Script::new().accept().stop_reading().wait_for_signal("cut").reset())
        .script(Script::new().accept())
        .start();
    let properties = format!("{QUICK}, {ENDLESS}, websocket.queue.bytes='64MiB', @map(type='text')");
    let sink = client("sink", receiver.url(), &properties);
    let pipeline = Pipeline::start(&format!("{sink} CREATE STREAM Out (text STRING);"));
    let large = "x".repeat(20 << 20);
    pipeline.wait_for_state("Out", ConnectionState::Connected);
    pipeline.flux.input("Out").unwrap().send(&[large.as_str().into()]).unwrap();
    pipeline.wait_for_metric("eventflux_sink_queue_bytes", "Out", 1);
    receiver.signal("cut");
    let arrived = receiver.wait_for_messages(1).blocking();
    assert!(arrived.len() == 1 && arrived[0].as_bytes() == large.as_bytes(), "the message changed on its way");
    assert!(pipeline.metric("eventflux_sink_reconnects_total", "Out") >= 1);
    assert_eq!(pipeline.stop().events_out, 1);
}

#[test]
fn a_network_that_delivers_single_bytes_late_changes_nothing() {
    let (feed, receiver) = (ScriptedPeer::builder().script(sending(0..100)).start(), ScriptedPeer::builder().start());
    let networks = [ChaosProxy::start(feed.address()), ChaosProxy::start(receiver.address())];
    for network in &networks {
        network.slice(1);
        network.latency(Duration::from_millis(2));
    }
    let pipeline = Pipeline::start(&relay(&through(&networks[0]), QUICK, &through(&networks[1]), QUICK));
    let arrived = numbers(&receiver.wait_for_messages(100).blocking());
    sequence::check(0..100, arrived).assert_clean();
    assert_eq!(pipeline.metric("eventflux_source_gaps_total", "Fed"), 0);
    pipeline.stop();
}

#[test]
fn every_source_comes_back_after_the_restart_of_its_server() {
    const SOURCES: usize = 200;
    let (feed, receiver) = (ScriptedPeer::builder().script(sending(0..1)).start(), ScriptedPeer::builder().start());
    let mut sql = format!("{} CREATE STREAM Out (n BIGINT);", client("sink", receiver.url(), ""));
    for number in 0..SOURCES {
        let source = client("source", feed.url(), QUICK);
        sql += &format!("{source} CREATE STREAM S{number} (n BIGINT); INSERT INTO Out SELECT n FROM S{number};");
    }
    let pipeline = Pipeline::start(&sql);
    receiver.wait_for_messages(SOURCES).blocking();
    feed.refuse_connections().blocking();
    feed.cut();
    let streams: Vec<_> = (0..SOURCES).map(|number| format!("S{number}")).collect();
    streams.iter().for_each(|stream| pipeline.wait_for_state(stream, ConnectionState::Reconnecting));
    feed.accept_connections().blocking();
    receiver.wait_for_messages(2 * SOURCES).blocking();
    for stream in &streams {
        assert_eq!(pipeline.metric("eventflux_source_gaps_total", stream), 1, "{stream}");
    }
    assert_eq!(pipeline.stop().events_in, 2 * SOURCES as u64);
}

#[test]
fn thousands_of_clients_spread_their_return_over_the_whole_pause() {
    const CLIENTS: usize = 10_000;
    const SLOTS: usize = 20;
    let pause = Duration::from_secs(1);
    let mut arrivals = [0; SLOTS];
    for _ in 0..CLIENTS {
        let mut backoff = Backoff::new(pause, 30 * pause, Growth::Exponential);
        let slot = backoff.next_full_jitter().as_micros() as usize * SLOTS / (pause.as_micros() as usize + 1);
        arrivals[slot] += 1;
    }
    let even = CLIENTS / SLOTS;
    assert!(arrivals.iter().all(|arrived| (even / 2..even * 2).contains(arrived)), "{arrivals:?}");
}

#[test]
fn peers_that_accept_and_close_are_not_hammered() {
    let closing = || ScriptedPeer::builder().script(Script::new().accept().close(1000, "")).start();
    let (feed, receiver) = (closing(), closing());
    let calm = "websocket.reconnect.delay.ms='200', websocket.reconnect.max.delay.ms='60000'";
    let pipeline = Pipeline::start(&relay(feed.url(), calm, receiver.url(), &format!("{calm}, {ENDLESS}")));
    feed.wait_for_endings(3).blocking();
    receiver.wait_for_endings(3).blocking();
    assert!(pipeline.metric("eventflux_source_reconnects_total", "Fed") >= 1);
    assert!(pipeline.metric("eventflux_sink_reconnects_total", "Out") >= 1);
    pipeline.stop();
    for peer in [feed, receiver] {
        assert!(peer.record().connections < 30, "{} connections", peer.record().connections);
    }
}

#[test]
fn a_stop_during_backoff_returns_at_once_and_counts_what_is_left() {
    let (feed, receiver) = (ScriptedPeer::builder().start(), ScriptedPeer::builder().start());
    feed.refuse_connections().blocking();
    receiver.refuse_connections().blocking();
    let pipeline = Pipeline::start(&relay(feed.url(), SLOW, receiver.url(), SLOW));
    pipeline.wait_for_state("Fed", ConnectionState::Reconnecting);
    pipeline.wait_for_state("Out", ConnectionState::Reconnecting);
    pipeline.flux.input("Out").unwrap().send(&[1_i64.into()]).unwrap();
    let before = Instant::now();
    let summary = pipeline.stop();
    assert!(before.elapsed() < PROMPTLY, "{:?}", before.elapsed());
    assert_eq!((summary.undelivered, summary.events_out), (1, 0));
}

#[test]
fn an_outage_of_the_receiver_holds_the_feed_back_and_makes_no_dead_letters() {
    const COUNT: u64 = 20_000;
    let feed = ScriptedPeer::builder().receive_buffer(8 << 10).script(sending(0..COUNT)).start();
    let (receiver, failed) = (ScriptedPeer::builder().start(), ScriptedPeer::builder().start());
    receiver.refuse_connections().blocking();
    let sink = format!("{QUICK}, {ENDLESS}, websocket.queue.bytes='4KiB', {DLQ}");
    let sql = relay(feed.url(), QUICK, receiver.url(), &sink) + &dead_letters(failed.url(), "");
    let pipeline = Pipeline::start(&sql);
    pipeline.wait_for_metric("eventflux_sink_queue_bytes", "Out", 4096);
    pipeline.wait_for_state("Out", ConnectionState::Reconnecting);
    assert!(pipeline.metric("eventflux_source_messages_total", "Fed") < COUNT, "the feed was not held back");
    receiver.accept_connections().blocking();
    let arrived = numbers(&receiver.wait_for_messages(COUNT as usize).blocking());
    sequence::check(0..COUNT, arrived).assert_clean();
    let summary = pipeline.stop();
    assert_eq!((summary.events_out, summary.failed, summary.dead_lettered), (COUNT, 0, 0));
    assert!(failed.messages().is_empty());
}

#[test]
fn a_receiver_that_says_goodbye_is_found_again_before_the_next_event() {
    let receiver = ScriptedPeer::builder()
        .script(Script::new().accept().wait_for_signal("restart").close(1012, "restart"))
        .script(Script::new().accept())
        .start();
    let sink = client("sink", receiver.url(), QUICK);
    let pipeline = Pipeline::start(&format!("{sink} CREATE STREAM Out (n BIGINT);"));
    pipeline.wait_for_state("Out", ConnectionState::Connected);
    receiver.signal("restart");
    pipeline.wait_for_metric("eventflux_sink_reconnects_total", "Out", 1);
    pipeline.flux.input("Out").unwrap().send(&[7_i64.into()]).unwrap();
    assert_eq!(received(&receiver, 1)[0]["n"], 7);
    pipeline.stop();
}

#[test]
fn a_feed_that_floods_pings_and_never_reads_costs_at_most_its_own_connection() {
    let feed = ScriptedPeer::builder()
        .receive_buffer(8 << 10)
        .script(Script::new().accept().stop_reading().flood_pings(300_000).send_text("{\"n\":0}"))
        .script(sending(0..1))
        .start();
    let receiver = ScriptedPeer::builder().start();
    let properties = format!("{QUICK}, websocket.write.timeout='500ms'");
    let mut pipeline = Pipeline::start(&relay(feed.url(), &properties, receiver.url(), ""));
    assert_eq!(received(&receiver, 1)[0]["n"], 0);
    // The feed does not read, so there is no point in waiting for its goodbye.
    pipeline.flux.stop(Duration::from_millis(200));
    pipeline.check_logs();
    forgive(&feed);
}

#[test]
fn a_message_of_endless_empty_fragments_is_ended_by_the_keep_alive() {
    let endless = Script::new().accept().ignore_pings().send_raw(empty_continuations(Side::Server, 15_000_000));
    let feed = ScriptedPeer::builder().script(endless).script(sending(0..1)).start();
    let receiver = ScriptedPeer::builder().start();
    let pipeline = Pipeline::start(&relay(feed.url(), WATCHFUL, receiver.url(), ""));
    assert_eq!(received(&receiver, 1)[0]["n"], 0);
    assert!(pipeline.metric("eventflux_source_gaps_total", "Fed") >= 1);
    pipeline.stop();
    forgive(&feed);
}

#[test]
fn a_stop_is_heard_in_the_middle_of_endless_empty_fragments() {
    let endless = Script::new().accept().send_raw(empty_continuations(Side::Server, 15_000_000)).send_text("over");
    let feed = ScriptedPeer::builder().script(endless).start();
    let sql = format!("{} CREATE STREAM Fed (n BIGINT);", client("source", feed.url(), ""));
    let mut pipeline = Pipeline::start(&sql);
    pipeline.wait_for_state("Fed", ConnectionState::Connected);
    let before = Instant::now();
    pipeline.flux.stop(Duration::from_millis(500));
    feed.wait_for_endings(1).blocking();
    assert!(before.elapsed() < PROMPTLY, "{:?}", before.elapsed());
    pipeline.check_logs();
    forgive(&feed);
}

#[test]
fn a_stop_drains_what_a_slow_receiver_has_not_taken_yet() {
    const COUNT: u64 = 5_000;
    let receiver = ScriptedPeer::builder().start();
    let network = ChaosProxy::start(receiver.address());
    network.bandwidth(Some(200_000));
    let sink = client("sink", &through(&network), "websocket.queue.bytes='16KiB'");
    let pipeline = Pipeline::start(&format!("{sink} CREATE STREAM Out (n BIGINT);"));
    let out = pipeline.flux.input("Out").unwrap();
    (0..COUNT as i64).for_each(|number| out.send(&[number.into()]).unwrap());
    let summary = pipeline.stop();
    assert_eq!((summary.events_out, summary.undelivered), (COUNT, 0));
    sequence::check(0..COUNT, numbers(&receiver.messages())).assert_clean();
    assert_eq!(receiver.wait_for_close().blocking().code, Some(1000));
}

#[test]
fn a_killed_process_leaves_whole_messages_in_order_and_the_next_one_goes_on() {
    let feed = ScriptedPeer::builder().script(sending(0..50_000)).start();
    let receiver = ScriptedPeer::builder().start();
    // With a last attempt, so that the process ends should this one die first.
    let source = format!("{QUICK}, websocket.reconnect.max.attempts='3'");
    let sql = relay(feed.url(), &source, receiver.url(), QUICK);
    let mut killed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_to_be_killed", "--ignored"])
        .env(CHILD_SQL, &sql)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = receiver.wait_for_messages(100).blocking_result();
    killed.kill().unwrap();
    killed.wait().unwrap();
    begun.unwrap();
    receiver.wait_for_endings(1).blocking();
    let first = receiver.inspect(|record| record.messages_of(0).cloned().collect::<Vec<_>>());
    assert_eq!(numbers(&first), (0..first.len() as u64).collect::<Vec<_>>());
    let pipeline = Pipeline::start(&sql);
    eventually_blocking(DEADLINE, || receiver.inspect(|record| record.messages_of(1).count() == 50_000));
    pipeline.stop();
    forgive(&feed);
}

/// The SQL of the child process.
const CHILD_SQL: &str = "EVENTFLUX_TEST_CHILD_SQL";

#[test]
#[ignore = "started by another test, as a process of its own"]
fn a_process_to_be_killed() {
    if let Ok(sql) = std::env::var(CHILD_SQL) {
        // Ends by the kill, or when the feed is gone.
        let _ = Pipeline::start(&sql).flux.wait();
    }
}
