//! Clients that read too slowly, under every policy: by reading the log, and by items where they have a filter.

use eventflux_gateway::{Ending, FullPolicy, QueueLimits};
use serde_json::json;

use crate::support::{Client, Flow, World, flow, queue};

/// Bytes that may wait.
pub(crate) const QUEUE: usize = 4096;

/// One that reads the log, and one that is given items.
pub(crate) const FILTERS: [Option<&str>; 2] = [None, Some("n >= 0")];

pub(crate) fn subscriber(world: &World, filter: Option<&str>) -> Client {
    let mut client = world.client();
    client.say(json!({"type": "subscribe", "events": ["a"], "filter": filter}));
    client.hear();
    client
}

pub(crate) fn publish(world: &World, numbers: std::ops::RangeInclusive<u64>) {
    numbers.for_each(|n| _ = world.publish("a", json!({"n": n})));
}

/// Every tenth has the same key.
fn publish_keys(world: &World, numbers: std::ops::RangeInclusive<u64>) {
    numbers.for_each(|n| _ = world.publish_key("a", &format!("k{}", n % 10), json!({"n": n})));
}

fn is_contiguous(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

#[test]
fn what_waits_longest_is_dropped_and_told() {
    for filter in FILTERS {
        let world = World::events().slow(queue(QUEUE, FullPolicy::DropOldest));
        let mut client = subscriber(&world, filter);
        publish(&world, 1..=1000);
        let heard = client.hear();
        assert_eq!(heard[0]["data"]["code"], "GAP", "{filter:?}");
        let Flow { numbers, missed } = flow(&heard);
        assert!(is_contiguous(&numbers) && numbers.last() == Some(&1000), "{filter:?} {numbers:?}");
        assert_eq!(numbers.len() as u64 + missed, 1000);
        assert!((30..200).contains(&numbers.len()), "{filter:?} {}", numbers.len());
        assert_eq!((world.hub.stats().dropped, world.retention.borrow().losses.dropped.value()), (missed, missed));
        publish(&world, 1001..=1010);
        assert_eq!(flow(&client.hear()), Flow { numbers: (1001..=1010).collect(), missed: 0 });
    }
}

#[test]
fn what_comes_is_dropped_until_what_waits_is_read() {
    for filter in FILTERS {
        let world = World::events().slow(queue(QUEUE, FullPolicy::DropNewest));
        let mut client = subscriber(&world, filter);
        // More than the log keeps for all.
        publish(&world, 1..=10_000);
        let Flow { numbers, missed } = flow(&client.hear());
        assert!(is_contiguous(&numbers) && numbers[0] == 1, "{filter:?} {numbers:?}");
        assert_eq!(numbers.len() as u64 + missed, 10_000, "{filter:?}");
        assert!((30..200).contains(&numbers.len()), "{filter:?} {}", numbers.len());
        publish(&world, 10_001..=10_010);
        assert_eq!(flow(&client.hear()), Flow { numbers: (10_001..=10_010).collect(), missed: 0 });
    }
}

#[test]
fn a_reader_that_gets_on_under_drop_newest_is_told_of_each_gap_where_it_is() {
    let world = World::events().slow(queue(QUEUE, FullPolicy::DropNewest));
    let mut client = subscriber(&world, None);
    let mut messages = Vec::new();
    for round in 0..20 {
        publish(&world, round * 100 + 1..=round * 100 + 100);
        client.transmit(1000);
        messages.extend(client.heard());
    }
    messages.extend(client.hear());
    let Flow { numbers, missed } = flow(&messages);
    assert_eq!(numbers.len() as u64 + missed, 2000);
    let mut expected = 1;
    for message in &messages {
        match message["data"]["n"].as_u64() {
            Some(n) => assert_eq!(std::mem::replace(&mut expected, n + 1), n),
            None => expected += message["data"]["missed"].as_u64().unwrap(),
        }
    }
}

#[test]
fn the_newest_of_each_key_stays() {
    for filter in FILTERS {
        let world = World::events().slow(queue(QUEUE, FullPolicy::Conflate));
        let mut client = subscriber(&world, filter);
        publish_keys(&world, 1..=1000);
        let Flow { numbers, missed } = flow(&client.hear());
        assert!(numbers.ends_with(&(991..=1000).collect::<Vec<_>>()), "{filter:?} {numbers:?}");
        assert!(numbers.is_sorted(), "{filter:?} {numbers:?}");
        assert_eq!(numbers.len() as u64 + missed, 1000, "{filter:?}");
        assert!(numbers.len() < 200, "{filter:?} {}", numbers.len());
    }
}

#[test]
fn an_old_event_that_is_the_newest_of_its_key_outlives_newer_ones_that_are_not() {
    for filter in FILTERS {
        let world = World::events().slow(queue(QUEUE, FullPolicy::Conflate));
        let mut client = subscriber(&world, filter);
        world.publish_key("a", "rare", json!({"n": 0}));
        publish_keys(&world, 1..=500);
        let Flow { numbers, missed } = flow(&client.hear());
        assert_eq!((numbers[0], numbers.last()), (0, Some(&500)), "{filter:?}");
        assert_eq!(numbers.len() as u64 + missed, 501, "{filter:?}");
    }
}

#[test]
fn events_without_a_key_are_thinned_by_dropping_the_oldest() {
    for filter in FILTERS {
        let world = World::events().slow(queue(QUEUE, FullPolicy::Conflate));
        let mut client = subscriber(&world, filter);
        publish(&world, 1..=1000);
        let Flow { numbers, missed } = flow(&client.hear());
        assert!(is_contiguous(&numbers) && numbers.last() == Some(&1000), "{filter:?} {numbers:?}");
        assert_eq!(numbers.len() as u64 + missed, 1000, "{filter:?}");
    }
}

#[test]
fn a_thinned_reader_is_not_given_more_than_it_has_room_for() {
    let world = World::events().slow(queue(QUEUE, FullPolicy::Conflate));
    let mut client = subscriber(&world, None);
    publish(&world, 1..=1000);
    assert!(client.transmit(500) < 1000);
    publish(&world, 1001..=2000);
    let mut messages = client.heard();
    messages.extend(client.hear());
    let Flow { numbers, missed } = flow(&messages);
    assert!(numbers.is_sorted() && numbers.last() == Some(&2000));
    assert_eq!(numbers.len() as u64 + missed, 2000);
}

#[test]
fn one_that_is_to_be_closed_is_when_too_much_waits() {
    for filter in FILTERS {
        let world = World::events().slow(queue(QUEUE, FullPolicy::Disconnect));
        let mut client = subscriber(&world, filter);
        publish(&world, 1..=1000);
        client.hear();
        assert_eq!(client.ended, Some(Ending::TooSlow), "{filter:?}");
        assert_eq!(client.ended.unwrap().code(), 1008);
        assert_eq!(world.retention.borrow().losses.evicted.value(), 1, "{filter:?}");
    }
}

#[test]
fn one_that_takes_nothing_at_all_is_closed_as_well() {
    for filter in FILTERS {
        let world = World::events().slow(queue(QUEUE, FullPolicy::Disconnect));
        let mut client = subscriber(&world, filter);
        publish(&world, 1..=5);
        assert_eq!(client.session.overtake(world.now()), Ok(()));
        publish(&world, 6..=1000);
        assert_eq!(client.session.overtake(world.now()), Err(Ending::TooSlow), "{filter:?}");
        assert_eq!(client.session.ending(), Some(Ending::TooSlow));
        assert_eq!(world.retention.borrow().losses.evicted.value(), 1, "{filter:?}");
    }
}

#[test]
fn what_one_that_takes_nothing_misses_is_known_before_it_takes_something() {
    let world = World::events().slow(queue(QUEUE, FullPolicy::DropOldest));
    let mut client = subscriber(&world, None);
    publish(&world, 1..=1000);
    assert_eq!(client.session.overtake(world.now()), Ok(()));
    let missed = world.hub.stats().dropped;
    assert!(missed > 800, "{missed}");
    assert_eq!(flow(&client.hear()), Flow { numbers: (missed + 1..=1000).collect(), missed });
}

#[test]
fn the_number_of_events_is_a_limit_of_its_own() {
    for filter in FILTERS {
        for full in [FullPolicy::DropOldest, FullPolicy::DropNewest, FullPolicy::Conflate] {
            let limits = QueueLimits { events: Some(7), ..queue(1 << 20, full) };
            let world = World::events().slow(limits);
            let mut client = subscriber(&world, filter);
            publish(&world, 1..=100);
            let Flow { numbers, missed } = flow(&client.hear());
            let expected: Vec<_> =
                if full == FullPolicy::DropNewest { (1..=7).collect() } else { (94..=100).collect() };
            assert_eq!((numbers, missed), (expected, 93), "{filter:?} {full:?}");
        }
    }
}

#[test]
fn an_event_may_be_as_large_as_it_is() {
    for filter in FILTERS {
        for full in [FullPolicy::DropOldest, FullPolicy::DropNewest, FullPolicy::Conflate, FullPolicy::Disconnect] {
            let world = World::events().slow(queue(1000, full));
            let mut client = subscriber(&world, filter);
            for n in 1..=3 {
                world.publish("a", json!({"n": n, "text": "x".repeat(200_000)}));
                assert_eq!(flow(&client.hear()), Flow { numbers: vec![n], missed: 0 }, "{filter:?} {full:?}");
            }
            assert_eq!(client.ended, None);
        }
    }
}

#[test]
fn of_large_events_the_newest_comes() {
    for filter in FILTERS {
        for full in [FullPolicy::DropOldest, FullPolicy::Conflate] {
            let world = World::events().slow(queue(1000, full));
            let mut client = subscriber(&world, filter);
            (1..=3).for_each(|n| _ = world.publish_key("a", "k", json!({"n": n, "text": "x".repeat(5000)})));
            assert_eq!(flow(&client.hear()), Flow { numbers: vec![3], missed: 2 }, "{filter:?} {full:?}");
        }
    }
}

#[test]
fn a_reader_in_the_middle_of_what_is_dropped_is_told_exactly() {
    for full in [FullPolicy::DropOldest, FullPolicy::DropNewest, FullPolicy::Conflate] {
        for filter in FILTERS {
            let world = World::events().slow(queue(QUEUE, full));
            let mut client = subscriber(&world, filter);
            let mut messages = Vec::new();
            let mut published = 0;
            for round in 0..200_u64 {
                publish_keys(&world, published + 1..=published + round % 90 + 1);
                published += round % 90 + 1;
                client.transmit(300 + (round as usize * 37) % 900);
                messages.extend(client.heard());
            }
            messages.extend(client.hear());
            let Flow { numbers, missed } = flow(&messages);
            assert_eq!(numbers.len() as u64 + missed, published, "{full:?} {filter:?}");
            assert!(numbers.is_sorted(), "{full:?} {filter:?}");
            assert!(missed > 0 && numbers.len() > 500, "{full:?} {filter:?} {missed} {}", numbers.len());
        }
    }
}

#[test]
fn losses_of_one_slow_client_are_told_by_channel() {
    let world = World::events().slow(queue(QUEUE, FullPolicy::DropOldest));
    let mut client = world.client();
    client.say(json!({"type": "subscribe", "events": ["a", "b"], "filter": "n >= 0"}));
    client.hear();
    for n in 0..500 {
        world.publish("a", json!({"n": n}));
        world.publish("b", json!({"n": n}));
    }
    let heard = client.hear();
    for channel in ["a", "b"] {
        let missed: u64 = heard
            .iter()
            .filter(|m| m["data"]["channel"] == channel)
            .map(|m| m["data"]["missed"].as_u64().unwrap())
            .sum();
        let got = heard.iter().filter(|message| message["type"] == channel).count();
        assert_eq!(missed + got as u64, 500, "{channel}");
    }
}
