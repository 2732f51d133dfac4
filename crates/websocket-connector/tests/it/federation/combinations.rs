//! The four combinations of roles, and peers that know only envelopes.

use super::*;

#[test]
fn a_source_pulls_from_a_sink_that_listens() {
    let sink = listening_sink(&[]);
    let source = connecting_source(&sink.detail(), &[]);
    publish(&sink, 0..1_000);
    wait_for(&source, 0..1_000);
    wait_until_settled(&sink);
}

#[test]
fn a_sink_pushes_to_a_source_that_listens() {
    let source = listening_source(&[]);
    let sink = connecting_sink(&source.detail(), &[]);
    publish(&sink, 0..1_000);
    wait_for(&source, 0..1_000);
    wait_until_settled(&sink);
}

#[test]
fn without_a_link_events_come_too() {
    let sink = listening_sink(&[]);
    let source = connecting_source(&sink.detail(), &[("websocket.link", "off"), ("websocket.queue.full", "block")]);
    source.wait_for_state(eventflux_core::health::ConnectionState::Connected);
    eventually_blocking(DEADLINE, || sink.context.metrics.connections.value() == 1);
    publish(&sink, 0..100);
    eventually_blocking(DEADLINE, || source.recorder.count() > 0);
}

#[test]
fn events_of_before_the_first_connection_are_there() {
    let sink = listening_sink(&[]);
    publish(&sink, 0..100);
    let source = connecting_source(&sink.detail(), &[]);
    publish(&sink, 100..200);
    wait_for(&source, 0..200);
}
