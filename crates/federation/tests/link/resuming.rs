//! Where a stream goes on after a cut, and what counts as acknowledged.

use std::time::Duration;

use eventflux_federation::{FederationConfig, FullPolicy, OutletConfig, Start};

use crate::support::{
    Got, Pair, events, now, outlet, outlet_config, place, place_with, publish, publish_bytes, stream,
};

#[test]
fn what_was_received_and_not_taken_is_not_acknowledged_by_coming_back() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = stream(&edge);
    let mut pair = Pair::open([&edge, &hub], now());
    publish(&outlet, 1..=5, pair.now);
    pair.run().unwrap();
    assert_eq!(pair.numbers(1), events(1..=5));
    let given = std::mem::take(&mut pair.given);
    drop(pair);
    let mut pair = Pair::open([&edge, &hub], now());
    publish(&outlet, 6..=7, pair.now);
    pair.acknowledge();
    // What is with the pipeline does not come again, and is not acknowledged before the pipeline has taken it.
    assert_eq!(pair.take(1), events(6..=7));
    pair.acknowledge();
    assert_eq!(outlet.receivers()[0].1, 1);
    drop(given);
    let ending = pair.run().unwrap_err();
    assert_eq!(ending.code, 1012);
    drop(pair);
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    assert_eq!(pair.take(1), events(1..=7));
    pair.acknowledge();
    assert_eq!(outlet.receivers()[0].1, 8);
}

#[test]
fn what_arrived_and_was_not_handed_over_comes_again() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = stream(&edge);
    let mut pair = Pair::open([&edge, &hub], now());
    publish(&outlet, 1..=2, pair.now);
    pair.run().unwrap();
    publish(&outlet, 3..=4, pair.now);
    let messages = pair.transmit(0).unwrap();
    pair.receive(1, &messages).unwrap();
    assert_eq!(pair.take(1), events(1..=2));
    drop(pair);
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    assert_eq!(pair.take(1), events(3..=4));
}

#[test]
fn what_arrives_behind_something_that_was_not_taken_does_not_hide_it() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = stream(&edge);
    let mut pair = Pair::open([&edge, &hub], now());
    publish(&outlet, 1..=3, pair.now);
    pair.run().unwrap();
    publish(&outlet, 4..=6, pair.now);
    let messages = pair.transmit(0).unwrap();
    pair.given[1].clear();
    pair.receive(1, &messages).unwrap();
    assert!(pair.hand_over(1).is_err());
    drop(pair);
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    assert_eq!(pair.take(1), events(1..=6));
}

#[test]
fn a_link_ends_by_itself_when_something_was_not_taken() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = stream(&edge);
    let mut pair = Pair::open([&edge, &hub], now());
    publish(&outlet, 1..=1, pair.now);
    pair.run().unwrap();
    assert!(!pair.ends[1].register(std::task::Waker::noop()));
    pair.given[1].clear();
    assert_eq!(pair.transmit(1).unwrap_err().code, 1012);
}

#[test]
fn a_connection_takes_a_stream_over_while_the_one_before_still_delivers() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = stream(&edge);
    let mut before = Pair::open([&edge, &hub], now());
    before.run().unwrap();
    publish(&outlet, 1..=3, before.now);
    let late = before.transmit(0).unwrap();
    let mut after = Pair::open([&edge, &hub], now());
    after.run().unwrap();
    assert_eq!(after.take(1), events(1..=3));
    before.receive(1, &late).unwrap();
    assert!(before.hand_over(1).is_err());
    assert_eq!(hub.counters().duplicates.value(), 3);
    assert_eq!(before.transmit(0).unwrap_err().code, 1008);
    assert_eq!(before.transmit(1).unwrap_err().code, 1012);
    after.acknowledge();
    assert_eq!(outlet.receivers()[0].1, 4);
}

#[test]
fn a_receiver_that_begins_with_the_latest_goes_on_where_it_was_even_if_it_is_not_known_any_more() {
    let config = FederationConfig { name: "hub".to_owned(), start: Start::Latest, ..FederationConfig::default() };
    let (edge, hub) = (place("edge"), place_with(config));
    let outlet = outlet(OutletConfig { expects_receiver: false, ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    publish(&outlet, 1..=3, pair.now);
    pair.run().unwrap();
    assert_eq!(pair.take(1), events(1..=3));
    pair.acknowledge();
    let later = pair.now + Duration::from_secs(61);
    drop(pair);
    outlet.expire(later);
    assert!(outlet.receivers().is_empty());
    publish(&outlet, 4..=6, later);
    let mut pair = Pair::open([&edge, &hub], later);
    pair.run().unwrap();
    assert_eq!(pair.take(1), events(4..=6));
}

#[test]
fn the_first_receiver_is_told_what_was_dropped_while_it_was_waited_for() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = outlet(OutletConfig { queue_bytes: 20_000, full: FullPolicy::DropOldest, ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    (0..100).for_each(|_| assert_eq!(publish_bytes(&outlet, 1_000, now()), 0));
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    let got = pair.numbers(1);
    let Got::Gap(next, missing) = got[0] else { panic!("{got:?}") };
    assert_eq!(missing, next - 1);
    assert!((75..=95).contains(&next), "{next}");
    assert_eq!(got[1..], events(next..=100));
    // The notice counts as one that has to be taken.
    assert_eq!(outlet.receivers()[0].1, 1);
    pair.take(1);
    pair.acknowledge();
    assert_eq!(outlet.receivers()[0].1, 101);
}

#[test]
fn a_gap_is_acknowledged_when_its_notice_was_taken_and_not_before() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = outlet(OutletConfig { queue_bytes: 20_000, full: FullPolicy::DropOldest, ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    let mut pair = Pair::open([&edge, &hub], now());
    publish(&outlet, 1..=2, pair.now);
    pair.run().unwrap();
    assert_eq!(pair.take(1), events(1..=2));
    (0..100).for_each(|_| assert_eq!(publish_bytes(&outlet, 1_000, now()), 0));
    let notice = pair.transmit(0).unwrap();
    // The acknowledgement of what came before crosses the notice.
    pair.pass(Duration::from_secs(1));
    let _ = pair.transmit(1).unwrap();
    pair.pass(Duration::from_secs(1));
    let acknowledgement = pair.transmit(1).unwrap();
    assert!(!acknowledgement.is_empty());
    pair.receive(0, &acknowledgement).unwrap();
    assert_eq!(outlet.receivers()[0].1, 3);
    pair.receive(1, &notice).unwrap();
    pair.hand_over(1).unwrap();
    pair.acknowledge();
    assert_eq!(outlet.receivers()[0].1, 3);
    pair.take(1);
    pair.acknowledge();
    assert_eq!(outlet.receivers()[0].1, 103);
}

#[test]
fn a_sender_that_begins_anew_is_a_gap_that_the_pipeline_is_told_of() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = stream(&edge);
    let mut pair = Pair::open([&edge, &hub], now());
    publish(&outlet, 1..=2, pair.now);
    pair.run().unwrap();
    pair.take(1);
    drop((pair, outlet, edge));
    let edge = place("edge");
    let outlet = stream(&edge);
    publish(&outlet, 1..=2, now());
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    assert_eq!(pair.take(1), [Got::Restarted, Got::Event(1), Got::Event(2)]);
    assert_eq!(hub.counters().gaps.value(), 1);
}
