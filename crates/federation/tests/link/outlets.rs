//! What an outlet keeps, forgets and waits for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eventflux_federation::{
    FederationConfig, FullPolicy, History, Kept, Outlet, OutletConfig, OutletCounters, Start, StoredPayloads,
};

use crate::support::{
    Flag, Pair, Scripted, events, now, outlet, outlet_config, place, place_with, publish, publish_bytes, stream,
};

fn stored(config: OutletConfig) -> (Arc<Outlet>, Arc<Scripted>, OutletCounters) {
    let (store, counters) = (Arc::new(Scripted::default()), OutletCounters::default());
    let kept = Kept { epoch: 7, first: 1, next: 1, receivers: Vec::new() };
    (Arc::new(Outlet::stored_in(config, counters.clone(), store.clone(), kept)), store, counters)
}

fn history(bytes: usize) -> History {
    History { events: 1_000_000, bytes, age: Duration::from_secs(3_600) }
}

#[test]
fn history_never_takes_the_room_of_what_is_published() {
    let (edge, hub) = (place("edge"), place("hub"));
    // One payload is larger than the queue, and larger than the history.
    let outlet = outlet(OutletConfig { queue_bytes: 1_000, history: history(1_500), ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    let mut pair = Pair::open([&edge, &hub], now());
    for number in 1..=3 {
        assert!(outlet.has_room());
        assert_eq!(publish_bytes(&outlet, 3_000, pair.now), 0);
        pair.run().unwrap();
        assert_eq!(pair.take(1), events(number..=number));
        pair.acknowledge();
    }
}

#[test]
fn history_makes_room_in_a_store_that_is_full() {
    let (edge, hub) = (place("edge"), place("hub"));
    let (outlet, store, _) = stored(OutletConfig { history: history(1 << 20), ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    let mut pair = Pair::open([&edge, &hub], now());
    publish(&outlet, 1..=5, pair.now);
    outlet.stored(6);
    pair.run().unwrap();
    pair.take(1);
    pair.acknowledge();
    assert!(store.forgotten.lock().unwrap().is_empty());
    publish(&outlet, 6..=8, pair.now);
    store.is_full.store(true, Ordering::Relaxed);
    assert!(!outlet.has_room());
    outlet.stored(9);
    pair.run().unwrap();
    pair.take(1);
    pair.acknowledge();
    assert_eq!(store.forgotten.lock().unwrap().last(), Some(&9));
}

#[test]
fn what_was_acknowledged_before_it_was_stored_is_forgotten_when_it_is() {
    let config = FederationConfig { name: "hub".to_owned(), start: Start::Latest, ..FederationConfig::default() };
    let (edge, hub) = (place("edge"), place_with(config));
    let (outlet, store, _) = stored(OutletConfig { expects_receiver: false, ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    publish(&outlet, 1..=5, now());
    // A receiver that wants only what is still to come has everything before.
    Pair::open([&edge, &hub], now()).run().unwrap();
    assert_eq!(outlet.receivers()[0].1, 6);
    outlet.stored(6);
    assert_eq!(store.forgotten.lock().unwrap().last(), Some(&6));
}

#[test]
fn a_receiver_that_wants_nothing_of_what_is_kept_makes_room() {
    let config = FederationConfig { name: "hub".to_owned(), start: Start::Latest, ..FederationConfig::default() };
    let (edge, hub) = (place("edge"), place_with(config));
    let outlet = outlet(OutletConfig { queue_bytes: 1_000, ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    assert_eq!(publish_bytes(&outlet, 3_000, now()), 0);
    let flag = Arc::new(Flag::default());
    outlet.register_room(&flag.clone().into());
    assert!(!outlet.has_room());
    Pair::open([&edge, &hub], now()).run().unwrap();
    assert!(flag.is_up() && outlet.has_room());
}

#[test]
fn a_pipeline_that_waits_for_a_receiver_that_is_forgotten_goes_on() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = outlet(OutletConfig { queue_bytes: 1_000, expects_receiver: false, ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    let left = pair.now;
    drop(pair);
    assert_eq!(publish_bytes(&outlet, 3_000, left), 0);
    let (room, settled) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
    outlet.register_room(&room.clone().into());
    outlet.register_settled(&settled.clone().into());
    assert!(!outlet.has_room() && !outlet.is_settled(outlet.mark()));
    outlet.expire(left + Duration::from_secs(59));
    assert!(!room.is_up() && !settled.is_up());
    outlet.expire(left + Duration::from_secs(62));
    assert!(room.is_up() && settled.is_up());
    assert!(outlet.has_room() && outlet.is_settled(outlet.mark()));
}

#[test]
fn the_only_receiver_there_can_be_is_not_forgotten() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = stream(&edge);
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    let later = pair.now + Duration::from_secs(1_000_000);
    drop(pair);
    outlet.expire(later);
    publish(&outlet, 1..=1, later);
    assert!(!outlet.is_settled(outlet.mark()));
    assert_eq!(outlet.receivers().len(), 1);
}

#[test]
fn the_newest_event_is_kept_when_the_oldest_make_room_however_small_the_queue_is() {
    let (edge, hub) = (place("edge"), place("hub"));
    let outlet = outlet(OutletConfig { queue_bytes: 100, full: FullPolicy::DropOldest, ..outlet_config() });
    assert!(edge.add_outlet(outlet.clone()));
    (0..3).for_each(|_| assert_eq!(publish_bytes(&outlet, 3_000, now()), 0));
    assert!(outlet.bytes() < 3_100);
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    assert_eq!(pair.take(1).last(), events(3..=3).last());
}

#[test]
fn what_was_dropped_is_not_waited_for() {
    let outlet = outlet(OutletConfig { queue_bytes: 10_000, full: FullPolicy::DropOldest, ..outlet_config() });
    assert_eq!(publish_bytes(&outlet, 1_000, now()), 0);
    let (mark, flag) = (outlet.mark(), Arc::new(Flag::default()));
    outlet.register_settled(&flag.clone().into());
    assert!(!outlet.is_settled(mark));
    (0..20).for_each(|_| assert_eq!(publish_bytes(&outlet, 1_000, now()), 0));
    assert!(flag.is_up() && outlet.is_settled(mark));
}

#[test]
fn a_store_that_is_stuck_drops_what_is_new_because_it_cannot_give_up_what_is_old() {
    let (outlet, _store, counters) =
        stored(OutletConfig { queue_bytes: 10_000, full: FullPolicy::DropOldest, ..outlet_config() });
    let dropped: u64 = (0..100).map(|_| publish_bytes(&outlet, 1_000, now())).sum();
    assert_eq!(dropped, counters.dropped.value());
    assert!((85..95).contains(&dropped), "{dropped}");
    assert!(outlet.bytes() < 15_000);
}

#[test]
fn a_store_that_makes_room_is_given_time_to() {
    let (outlet, store, counters) = stored(OutletConfig { full: FullPolicy::DropOldest, ..outlet_config() });
    publish(&outlet, 1..=160, now());
    outlet.stored(161);
    *store.unwritten.lock().unwrap() = 0;
    store.is_full.store(true, Ordering::Relaxed);
    (161..=170).for_each(|number| publish(&outlet, number..=number, now()));
    assert_eq!(*store.forgotten.lock().unwrap(), [11]);
    assert_eq!(counters.dropped.value(), 10);
}

#[test]
fn what_a_store_has_lost_is_a_gap_and_not_the_end() {
    let (edge, hub) = (place("edge"), place("hub"));
    let (store, counters) = (Arc::new(Scripted::default()), OutletCounters::default());
    let kept = Kept { epoch: 7, first: 1, next: 100, receivers: Vec::new() };
    let outlet = Arc::new(Outlet::stored_in(outlet_config(), counters, store, kept));
    assert!(edge.add_outlet(outlet.clone()));
    publish(&outlet, 100..=101, now());
    outlet.stored(102);
    let mut pair = Pair::open([&edge, &hub], now());
    pair.run().unwrap();
    // It was asked for what is in the store, as load number 1, and that makes no sense.
    outlet.loaded(1, &[StoredPayloads { first: 1, count: 9, data: vec![1, 2, 3] }]);
    pair.run().unwrap();
    let got = pair.take(1);
    assert_eq!(got[0], crate::support::Got::Gap(100, 99));
    assert_eq!(got[1..], events(100..=101));
}
