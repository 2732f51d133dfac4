//! What happens to events when connections and ends go away.

use eventflux_testkit::proxy::ChaosProxy;

use super::*;

#[test]
fn nothing_is_missing_and_nothing_comes_twice_after_cuts() {
    let sink = listening_sink(&[]);
    let url = sink.detail();
    let address = url.trim_start_matches("ws://").trim_end_matches('/').to_owned();
    let proxy = ChaosProxy::start(address.parse().unwrap());
    let source = connecting_source(&format!("ws://{}/", proxy.address()), &[]);
    for round in 0..20 {
        publish(&sink, round * 100..(round + 1) * 100);
        proxy.reset();
    }
    wait_for(&source, 0..2_000);
    wait_until_settled(&sink);
}

#[test]
fn a_source_that_is_stopped_and_started_again_goes_on_behind_what_it_delivered() {
    let sink = listening_sink(&[]);
    let mut delivered = 0;
    for round in 1..=10 {
        let mut source = connecting_source(&sink.detail(), &[("websocket.queue.size", "50")]);
        publish(&sink, (round - 1) * 200..round * 200);
        eventually_blocking(DEADLINE, || source.recorder.count() > 0);
        source.stop();
        let count = source.recorder.count() as u64;
        wait_for(&source, delivered..delivered + count);
        delivered += count;
    }
    let source = connecting_source(&sink.detail(), &[]);
    wait_for(&source, delivered..2_000);
    wait_until_settled(&sink);
}

#[test]
fn a_sink_with_a_spool_goes_on_where_it_was_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let spool = ("websocket.spool.path", directory.path().to_str().unwrap());
    let source = listening_source(&[]);
    for round in 0..5 {
        let sink = connecting_sink(&source.detail(), &[spool]);
        publish(&sink, round * 100..(round + 1) * 100);
        wait_until_settled(&sink);
        assert_eq!(sink.stop(), 0);
    }
    let sink = connecting_sink(&source.detail(), &[spool]);
    publish(&sink, 500..501);
    wait_for(&source, 0..501);
}

#[test]
fn what_is_spooled_while_nobody_is_there_comes_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let spool = ("websocket.spool.path", directory.path().to_str().unwrap());
    let nobody = "ws://127.0.0.1:9/nobody";
    let sink = connecting_sink(nobody, &[spool, ("websocket.retain.bytes", "64KiB")]);
    publish(&sink, 0..20_000);
    wait_until_settled(&sink);
    assert_eq!(sink.stop(), 0);
    let source = listening_source(&[]);
    let _sink = connecting_sink(&source.detail(), &[spool, ("websocket.retain.bytes", "64KiB")]);
    wait_for(&source, 0..20_000);
}

#[test]
fn receivers_of_different_names_get_everything_each() {
    let sink = listening_sink(&[]);
    let one = connecting_source(&sink.detail(), &[("websocket.link.name", "one")]);
    let other = connecting_source(&sink.detail(), &[("websocket.link.name", "other")]);
    publish(&sink, 0..500);
    wait_for(&one, 0..500);
    wait_for(&other, 0..500);
    wait_until_settled(&sink);
}

#[test]
fn a_sink_without_room_makes_the_pipeline_wait_until_its_receiver_takes_more() {
    let sink = listening_sink(&[("websocket.retain.bytes", "16KiB"), ("websocket.history.events", "0")]);
    let source = connecting_source(&sink.detail(), &[]);
    publish(&sink, 0..1);
    wait_for(&source, 0..1);
    source.recorder.close_gate();
    let mut published = 1;
    while sink.sink.is_ready() {
        publish(&sink, published..published + 1);
        published += 1;
    }
    assert!((500..20_000).contains(&published), "{published}");
    source.recorder.open_gate();
    eventually_blocking(DEADLINE, || sink.sink.is_ready());
    publish(&sink, published..published + 10);
    wait_for(&source, 0..published + 10);
}

#[test]
fn a_receiver_that_was_away_for_too_much_is_told_of_the_gap() {
    let sink = listening_sink(&[
        ("websocket.retain.bytes", "64KiB"),
        ("websocket.retain.full", "drop_oldest"),
        ("websocket.history.events", "0"),
    ]);
    let mut source = connecting_source(&sink.detail(), &[("websocket.accept", "data, gap")]);
    publish(&sink, 0..10);
    wait_for(&source, 0..10);
    wait_until_settled(&sink);
    source.stop();
    publish(&sink, 10..10_010);
    let source = connecting_source(&sink.detail(), &[("websocket.accept", "data, gap")]);
    eventually_blocking(DEADLINE, || source.recorder.messages().last().is_some_and(|last| last == b"{\"n\":10009}"));
    let messages = source.recorder.messages();
    let gap = String::from_utf8_lossy(&messages[0]).into_owned();
    assert!(gap.contains("\"reason\":\"history_gone\""), "{gap}");
    let notice: serde_json::Value = serde_json::from_str(&gap).unwrap();
    let (missing, next) = (notice["missing"].as_u64().unwrap(), notice["next"].as_u64().unwrap());
    assert_eq!(messages.len() as u64 - 1 + missing, 10_000);
    // Sequences are counted from 1.
    assert_eq!(String::from_utf8_lossy(&messages[1]), format!("{{\"n\":{}}}", next - 1));
    assert_eq!(sink.context.metrics.dropped.value(), missing);
}

#[test]
fn a_receiver_that_does_not_come_back_is_waited_for_only_so_long() {
    let sink = listening_sink(&[
        ("websocket.retain.bytes", "16KiB"),
        ("websocket.history.events", "0"),
        ("websocket.receivers.forget", "50ms"),
    ]);
    let mut source = connecting_source(&sink.detail(), &[]);
    publish(&sink, 0..1);
    wait_for(&source, 0..1);
    wait_until_settled(&sink);
    source.stop();
    let mut published = 1;
    while sink.sink.is_ready() && published < 100_000 {
        publish(&sink, published..published + 1);
        published += 1;
    }
    // Forgotten while the pipeline waits for it.
    eventually_blocking(DEADLINE, || sink.sink.is_ready());
}
