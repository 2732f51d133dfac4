//! Streams and those who want them come and go while a connection is open; what may be under way.

use std::sync::Arc;

use eventflux_federation::{FederationConfig, Kept, Outlet, OutletConfig, OutletCounters, Wants, Window};

use crate::support::{
    Got, Pair, Scripted, events, everything, now, outlet, outlet_config, place, place_with, publish, publish_bytes,
    stream,
};

#[test]
fn what_is_under_way_of_a_stream_that_was_given_up_does_no_harm() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = stream(&edge);
    let mut pair = Pair::open([&edge, &hub], now());
    publish(&outlet, 1..=2, pair.now);
    pair.run().unwrap();
    assert_eq!(pair.take(1), events(1..=2));
    publish(&outlet, 3..=4, pair.now);
    let late = pair.transmit(0).unwrap();
    hub.accept(Wants::default());
    let farewell = pair.transmit(1).unwrap();
    pair.receive(1, &late).unwrap();
    pair.receive(0, &farewell).unwrap();
    pair.acknowledge();
    assert!(pair.numbers(1).is_empty());
    // It is not waited for as one that is there.
    assert!(!outlet.receivers()[0].2);
    // Where it would go on is not known any more over this connection.
    hub.accept(everything());
    assert_eq!(pair.run().unwrap_err().code, 1012);
    drop(pair);
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    assert_eq!(pair.take(1), events(3..=4));
}

#[test]
fn a_stream_that_is_closed_and_opened_again_at_once_does_not_go_unnoticed() {
    let (edge, hub) = (place("edge"), place("hub"));
    let store = Arc::new(Scripted::default());
    let kept = || Kept { epoch: 7, first: 1, next: 1, receivers: Vec::new() };
    let open = || {
        let outlet = Outlet::stored_in(outlet_config(), OutletCounters::default(), store.clone(), kept());
        let outlet = Arc::new(outlet);
        assert!(edge.add_outlet(outlet.clone()));
        outlet
    };
    let outlet = open();
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    edge.remove_outlet(&outlet);
    let outlet = open();
    assert_eq!(pair.run().unwrap_err().code, 1012);
    drop(pair);
    let mut pair = Pair::open([&edge, &hub], now());
    publish(&outlet, 1..=2, pair.now);
    outlet.stored(3);
    pair.run().unwrap();
    assert_eq!(pair.take(1), events(1..=2));
}

#[test]
fn a_stream_may_be_followed_by_another_of_its_name_over_and_over() {
    let (edge, hub) = (place("edge"), place("hub"));
    let mut pair = Pair::open([&edge, &hub], now());
    for round in 0..50 {
        let outlet = stream(&edge);
        publish(&outlet, 1..=2, pair.now);
        pair.run().unwrap();
        let restarted = if round == 0 { vec![] } else { vec![Got::Restarted] };
        assert_eq!(pair.take(1), [restarted, events(1..=2)].concat());
        edge.remove_outlet(&outlet);
        pair.run().unwrap();
    }
}

#[test]
fn no_more_bytes_are_under_way_than_the_window_has_but_one_event_always_may_be() {
    let window = Window { events: 1_000, bytes: 2_500 };
    let (edge, hub) = (place("edge"), place_with(FederationConfig { window, ..FederationConfig::default() }));
    let outlet = stream(&edge);
    let mut pair = Pair::open([&edge, &hub], now());
    (0..5).for_each(|_| assert_eq!(publish_bytes(&outlet, 1_000, now()), 0));
    assert_eq!(publish_bytes(&outlet, 9_000, now()), 0);
    assert_eq!(publish_bytes(&outlet, 10, now()), 0);
    for expected in [events(1..=2), events(3..=4), events(5..=5), events(6..=6), events(7..=7)] {
        pair.run().unwrap();
        assert_eq!(pair.take(1), expected);
        pair.acknowledge();
    }
}

#[test]
fn of_small_events_a_window_has_room_for_what_is_around_them_too() {
    let window = Window { events: 1_000, bytes: 2_500 };
    let (edge, hub) = (place("edge"), place_with(FederationConfig { window, ..FederationConfig::default() }));
    let outlet = stream(&edge);
    let mut pair = Pair::open([&edge, &hub], now());
    (0..30).for_each(|_| assert_eq!(publish_bytes(&outlet, 27, now()), 0));
    for expected in [events(1..=11), events(12..=22), events(23..=30)] {
        pair.run().unwrap();
        assert_eq!(pair.take(1), expected);
        pair.acknowledge();
    }
}

#[test]
fn many_events_that_nobody_wants_are_passed_over_without_a_message_to_wait_for() {
    const EVENTS: u64 = 20_000;
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = outlet(OutletConfig { queue_bytes: 16 << 20, ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    let mut pair = Pair::open([&edge, &hub], now());
    let subscription = br#"{"type":"request","id":"1","payload":{"method":"subscribe","params":{"filter":{"path":"$.n","operator":">","value":19999}}}}"#;
    pair.run().unwrap();
    pair.ends[0].receive(&bytes::Bytes::from_static(subscription), false, now()).unwrap();
    pair.run().unwrap();
    publish(&outlet, 1..=EVENTS, pair.now);
    pair.run().unwrap();
    assert_eq!(pair.take(1), events(EVENTS..=EVENTS));
    pair.acknowledge();
    assert_eq!(outlet.receivers()[0].1, EVENTS + 1);
}

#[test]
fn a_connection_without_room_for_a_byte_gets_its_events_one_by_one() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = stream(&edge);
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    publish(&outlet, 1..=2, pair.now);
    let mut out = Vec::new();
    pair.ends[0].transmit(now(), 0, &mut out).unwrap();
    assert_eq!(out.len(), 1);
}

#[test]
fn a_connection_is_not_woken_for_a_stream_that_its_peer_does_not_want() {
    let (edge, hub) = (place("edge"), place("hub"));
    hub.accept(Wants { streams: vec!["other".to_owned()], ..everything() });
    let outlet = outlet(OutletConfig { expects_receiver: false, ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    publish(&outlet, 1..=2, pair.now);
    assert!(!pair.ends[0].register(std::task::Waker::noop()));
    // Nobody is going to be given it who is there.
    assert_eq!(outlet.backlog(), 0);
}
