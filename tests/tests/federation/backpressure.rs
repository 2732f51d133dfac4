//! A full queue, as drawn: five messages wait, a sixth comes.

use eventflux_testkit::peer::ScriptedClient;
use eventflux_testkit::wait::eventually_blocking;
use serde_json::json;

use super::gate::Gate;
use super::linked::{COMPONENT, Linked, send, server};
use super::support::{DEADLINE, context};

const FULL: u64 = 5;
const MILLION: u64 = 1_000_000;

/// Five messages wait in front of a pipeline that takes nothing, and a sixth has come.
fn full(policy: &str) -> (Linked, Gate, ScriptedClient) {
    let mut context = context();
    let gate = Gate::register(&mut context);
    let source = server(&format!("websocket.queue.size='5', websocket.queue.full='{policy}'"));
    let sql = source.replacen("CREATE STREAM", "@sink(type='gate', @map(type='json')) CREATE STREAM", 1);
    let linked = Linked::start_with(&sql, &context);
    let peer = linked.peer();
    send(&peer, 1..=5);
    linked.wait_for_metric("websocket_input_queue_depth", &[], FULL);
    send(&peer, [6]);
    linked.wait_for_metric("websocket_input_messages_received_total", &[], 6);
    (linked, gate, peer)
}

fn dropped(linked: &Linked) -> Option<u64> {
    linked.metric("websocket_input_messages_dropped_total", &[("reason", "queue_full")])
}

#[track_caller]
fn comes_to(linked: &Linked, gate: &Gate, numbers: &[i64], lost: u64) {
    assert_eq!(linked.metric("websocket_input_queue_depth", &[]), Some(FULL));
    assert_eq!(linked.metric("websocket_input_queue_utilization", &[]), Some(MILLION));
    assert_eq!(linked.health()["details"]["queue"], json!({"depth": 5, "utilization": 1.0}));
    assert_eq!(linked.metric("websocket_input_messages_published_total", &[]), Some(0));
    assert_eq!(dropped(linked), Some(lost));
    assert_eq!(linked.pipeline.metric("eventflux_source_dropped_total", COMPONENT), lost);
    gate.open();
    let expected: Vec<_> = numbers.iter().map(|number| format!("{{\"n\":{number}}}")).collect();
    eventually_blocking(DEADLINE, || gate.taken().len() >= expected.len());
    assert_eq!(gate.taken(), expected);
    linked.wait_for_metric("websocket_input_messages_published_total", &[], numbers.len() as u64);
    assert_eq!((linked.metric("websocket_input_queue_depth", &[]), dropped(linked)), (Some(0), Some(lost)));
}

#[test]
fn drop_oldest_loses_the_first_message_and_takes_the_sixth() {
    let (linked, gate, _peer) = full("drop_oldest");
    comes_to(&linked, &gate, &[2, 3, 4, 5, 6], 1);
    linked.pipeline.stop();
}

#[test]
fn drop_newest_loses_the_sixth_message() {
    let (linked, gate, _peer) = full("drop_newest");
    comes_to(&linked, &gate, &[1, 2, 3, 4, 5], 1);
    linked.pipeline.stop();
}

#[test]
fn block_lets_the_sixth_message_wait_until_the_queue_has_space() {
    let (linked, gate, _peer) = full("block");
    comes_to(&linked, &gate, &[1, 2, 3, 4, 5, 6], 0);
    linked.pipeline.stop();
}

#[test]
fn without_a_word_the_oldest_are_dropped() {
    let mut context = context();
    let gate = Gate::register(&mut context);
    let sql = server("websocket.queue.size='5'");
    let sql = sql.replacen("CREATE STREAM", "@sink(type='gate', @map(type='json')) CREATE STREAM", 1);
    let linked = Linked::start_with(&sql, &context);
    send(&linked.peer(), 1..=6);
    linked.wait_for_metric("websocket_input_messages_received_total", &[], 6);
    comes_to(&linked, &gate, &[2, 3, 4, 5, 6], 1);
    linked.pipeline.stop();
}

#[test]
fn however_many_come_together_no_more_than_the_queue_takes_wait_in_it() {
    for (policy, expected) in [("drop_newest", 1..=5), ("block", 1..=40)] {
        let mut context = context();
        let gate = Gate::register(&mut context);
        let sql = server(&format!("websocket.queue.size='5', websocket.queue.full='{policy}'"));
        let sql = sql.replacen("CREATE STREAM", "@sink(type='gate', @map(type='json')) CREATE STREAM", 1);
        let linked = Linked::start_with(&sql, &context);
        let peer = linked.peer();
        send(&peer, 1..=40);
        let lost = if policy == "block" { 0 } else { 35 };
        eventually_blocking(DEADLINE, || {
            dropped(&linked) == Some(lost) && linked.metric("websocket_input_queue_depth", &[]) == Some(FULL)
        });
        comes_to(&linked, &gate, &expected.collect::<Vec<_>>(), lost);
        linked.pipeline.stop();
    }
}

#[test]
fn what_waits_for_space_when_its_peer_goes_away_comes_all_the_same() {
    let (linked, gate, peer) = full("block");
    drop(peer);
    comes_to(&linked, &gate, &[1, 2, 3, 4, 5, 6], 0);
    linked.pipeline.stop();
}
