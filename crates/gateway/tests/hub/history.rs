//! What channels remember: for clients that come back, and for clients that begin.

use eventflux_gateway::dialects::Position;
use eventflux_gateway::{FullPolicy, HistoryLimits, HubConfig, Pattern, Retention};
use proptest::prelude::*;
use serde_json::{Value, json};

use std::sync::atomic::Ordering;

use crate::support::{Client, EPOCH, World, bell, history, queue, seconds};

fn recover(client: &mut Client, channel: &str, epoch: &str, offset: u64) -> Value {
    client.say(json!({
        "type": "subscribe",
        "events": [channel],
        "recover": {channel: {"epoch": epoch, "offset": offset}},
    }));
    client.transmit(1);
    let mut heard = client.heard();
    assert_eq!((heard.len(), &heard[0]["type"]), (1, &json!("subscribed")));
    heard[0]["data"]["positions"][channel].take()
}

fn offsets(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|event| event["offset"].as_u64().unwrap_or_else(|| panic!("{event}"))).collect()
}

fn missed(messages: &[Value]) -> u64 {
    messages.iter().filter_map(|message| message["data"]["missed"].as_u64()).sum()
}

#[test]
fn a_client_that_comes_back_misses_nothing() {
    let world = World::with_history("events");
    (1..=10).for_each(|n| _ = world.publish("a", n));
    let mut client = world.client();
    let position = recover(&mut client, "a", EPOCH, 4);
    assert_eq!(position, json!({"epoch": EPOCH, "offset": 10, "recovered": true}));
    world.publish("a", 11);
    let heard = client.hear();
    assert_eq!(offsets(&heard), (5..=11).collect::<Vec<_>>());
    assert_eq!(heard[0], json!({"type": "a", "data": 5, "epoch": EPOCH, "offset": 5}));
    world.publish("a", 12);
    assert_eq!(offsets(&client.hear()), [12]);
}

#[test]
fn a_client_that_has_everything_is_told_so() {
    let world = World::with_history("events");
    (1..=3).for_each(|n| _ = world.publish("a", n));
    let mut client = world.client();
    assert_eq!(recover(&mut client, "a", EPOCH, 3), json!({"epoch": EPOCH, "offset": 3, "recovered": true}));
    world.publish("a", 4);
    assert_eq!(offsets(&client.hear()), [4]);
}

#[test]
fn another_epoch_and_absurd_offsets_recover_nothing_and_are_told_so() {
    for (epoch, offset) in [("epoch-0", 2), (EPOCH, 4), (EPOCH, u64::MAX), ("", 0)] {
        let world = World::with_history("events");
        (1..=3).for_each(|n| _ = world.publish("a", n));
        let mut client = world.client();
        if epoch.is_empty() {
            client.say(json!({"type": "subscribe", "events": ["a"], "recover": {"a": {"epoch": "", "offset": -1}}}));
            assert_eq!(client.hear_types(), ["error"]);
            continue;
        }
        assert_eq!(recover(&mut client, "a", epoch, offset), json!({"epoch": EPOCH, "offset": 3, "recovered": false}));
        world.publish("a", 4);
        assert_eq!(offsets(&client.hear()), [4], "{epoch} {offset}");
    }
}

#[test]
fn what_is_no_longer_remembered_is_told_and_the_rest_comes() {
    let world = World::events();
    *world.retention.borrow_mut() = Retention { history: history(5), ..Retention::default() };
    (1..=20).for_each(|n| _ = world.publish("a", n));
    let mut client = world.client();
    client.say(json!({"type": "subscribe", "events": ["a"], "recover": {"a": {"epoch": EPOCH, "offset": 10}}}));
    let heard = client.hear();
    assert_eq!(heard[0]["data"]["positions"]["a"]["recovered"], false);
    assert_eq!(missed(&heard), 5);
    assert_eq!(offsets(&heard[2..]), [16, 17, 18, 19, 20]);
}

#[test]
fn history_is_bounded_by_number_by_bytes_and_by_age() {
    let remembered = |limits: HistoryLimits| {
        let world = World::events();
        *world.retention.borrow_mut() = Retention { history: Some(limits), ..Retention::default() };
        (1..=10).for_each(|n| {
            world.publish("a", n);
            world.pass(seconds(1));
        });
        let mut client = world.client();
        client.say(json!({"type": "subscribe", "events": ["a"], "recover": {"a": {"epoch": EPOCH, "offset": 0}}}));
        client.hear().iter().filter(|message| message["type"] == "a").count()
    };
    let all = HistoryLimits { events: 100, bytes: 100_000, age: seconds(100) };
    assert_eq!(remembered(all), 10);
    assert_eq!(remembered(HistoryLimits { events: 4, ..all }), 4);
    assert_eq!(remembered(HistoryLimits { age: seconds(3), ..all }), 3);
    let one = r#"{"type":"a","data":1,"epoch":"epoch-1","offset":1}"#.len();
    assert_eq!(remembered(HistoryLimits { bytes: one * 3 + 1, ..all }), 2, "numbers have grown");
}

#[test]
fn live_events_during_a_replay_come_behind_it() {
    let world = World::with_history("events");
    (1..=500).for_each(|n| _ = world.publish("a", n));
    let mut client = world.client();
    recover(&mut client, "a", EPOCH, 0);
    let mut heard = Vec::new();
    for n in 501..=600 {
        world.publish("a", n);
        client.transmit(200);
        heard.extend(client.heard());
    }
    assert!(heard.len() < 600);
    heard.extend(client.hear());
    assert_eq!(offsets(&heard), (1..=600).collect::<Vec<_>>());
}

#[test]
fn a_replay_that_is_slower_than_the_publisher_is_told_what_it_misses() {
    let world = World::events().slow(queue(1000, FullPolicy::DropOldest));
    world.retention.borrow_mut().history = history(50);
    (1..=50).for_each(|n| _ = world.publish("a", n));
    let mut client = world.client();
    recover(&mut client, "a", EPOCH, 0);
    let mut heard = Vec::new();
    for n in 51..=1000 {
        world.publish("a", n);
        client.transmit(20);
        heard.extend(client.heard());
    }
    heard.extend(client.hear());
    let events: Vec<_> = heard.iter().filter(|message| message["type"] == "a").cloned().collect();
    assert!(offsets(&events).is_sorted());
    assert_eq!((events.len() as u64 + missed(&heard), events.last().unwrap()["offset"].as_u64()), (1000, Some(1000)));
}

#[test]
fn a_client_may_go_away_or_change_its_mind_in_the_middle_of_a_replay() {
    let world = World::with_history("events");
    (1..=500).for_each(|n| _ = world.publish("a", n));
    let mut client = world.client();
    recover(&mut client, "a", EPOCH, 0);
    client.transmit(1000);
    assert!(!client.heard().is_empty());
    client.unsubscribe(&["a"]);
    assert_eq!(client.hear_types(), ["unsubscribed"]);
    recover(&mut client, "a", EPOCH, 0);
    client.transmit(1000);
    let first = client.heard();
    recover_in_the_middle(&mut client);
    drop(client);
    assert_eq!((world.hub.subscribers("a"), world.hub.backlog()), (0, 0));
    assert_eq!(offsets(&first)[0], 1);
}

fn recover_in_the_middle(client: &mut Client) {
    recover(client, "a", EPOCH, 490);
    assert_eq!(offsets(&client.hear()), (491..=500).collect::<Vec<_>>());
}

#[test]
fn subscribing_again_during_a_replay_goes_on_with_it() {
    let world = World::with_history("events");
    (1..=300).for_each(|n| _ = world.publish("a", n));
    let mut client = world.client();
    recover(&mut client, "a", EPOCH, 0);
    client.transmit(2000);
    let mut heard = client.heard();
    client.subscribe(&["a"]);
    heard.extend(client.hear().into_iter().filter(|message| message["type"] == "a"));
    assert_eq!(offsets(&heard), (1..=300).collect::<Vec<_>>());
}

#[test]
fn subscribing_again_during_a_replay_under_a_pattern_goes_on_with_it_as_well() {
    let world = World::with_history("events");
    (1..=300).for_each(|n| _ = world.publish("a.b", n));
    let mut client = world.subscriber(&["a.*"]);
    recover(&mut client, "a.b", EPOCH, 0);
    client.transmit(2000);
    let mut heard = client.heard();
    client.subscribe(&["a.b"]);
    (301..=310).for_each(|n| _ = world.publish("a.b", n));
    heard.extend(client.hear().into_iter().filter(|message| message["type"] == "a.b"));
    assert_eq!(offsets(&heard), (1..=310).collect::<Vec<_>>());
}

#[test]
fn filters_hold_for_what_is_remembered_and_for_what_comes() {
    let world = World::with_history("events");
    (1..=100).for_each(|n| _ = world.publish("a", json!({"n": n})));
    let mut client = world.client();
    client.say(json!({
        "type": "subscribe",
        "events": ["a"],
        "filter": "n > 90 AND n <> 95",
        "recover": {"a": {"epoch": EPOCH, "offset": 50}},
    }));
    client.transmit(200);
    (101..=103).for_each(|n| _ = world.publish("a", json!({"n": n})));
    let mut heard = client.heard();
    heard.extend(client.hear());
    let expected: Vec<u64> = (91..=103).filter(|n| *n != 95).collect();
    assert_eq!((heard.remove(0)["type"].as_str(), offsets(&heard)), (Some("subscribed"), expected));
}

#[test]
fn a_filter_that_matches_nothing_remembered_still_gets_to_the_end() {
    let world = World::with_history("events");
    (1..=1000).for_each(|n| _ = world.publish("a", json!({"n": n})));
    let mut client = world.client();
    client.say(json!({
        "type": "subscribe", "events": ["a"], "filter": "n = 1001", "recover": {"a": {"epoch": EPOCH, "offset": 0}},
    }));
    client.transmit(1);
    let (waker, woken) = bell();
    let mut rounds = 0;
    while client.session.has_more() {
        assert!(client.session.register(&waker));
        assert_eq!(client.transmit(500), 0);
        rounds += 1;
        assert!(rounds < 1000);
        let is_woken = woken.swap(0, Ordering::Relaxed) > 0;
        assert_eq!(is_woken, client.session.has_more(), "a driver that sent nothing comes again only if it is woken");
    }
    assert!(rounds > 10, "others had their turn");
    client.heard();
    world.publish("a", json!({"n": 1001}));
    client.transmit(500);
    assert_eq!(client.heard().pop().unwrap()["data"]["n"], 1001);
}

#[test]
fn a_recovered_channel_does_not_come_twice_under_a_pattern() {
    for order in [true, false] {
        let world = World::with_history("events");
        (1..=300).for_each(|n| _ = world.publish("a.b", n));
        let mut client = world.client();
        if order {
            client.subscribe(&["a.*"]);
            client.hear();
        }
        recover(&mut client, "a.b", EPOCH, 100);
        if !order {
            client.subscribe(&["a.*"]);
        }
        let mut heard = Vec::new();
        for n in 301..=320 {
            world.publish("a.b", n);
            world.publish("a.c", n);
            client.transmit(600);
            heard.extend(client.heard());
        }
        heard.extend(client.hear());
        let of = |channel: &str| -> Vec<Value> {
            heard.iter().filter(|message| message["type"] == channel).cloned().collect()
        };
        assert_eq!(offsets(&of("a.b")), (101..=320).collect::<Vec<_>>(), "{order}");
        assert_eq!(offsets(&of("a.c")), (1..=20).collect::<Vec<_>>(), "{order}");
        world.publish("a.b", 321);
        world.publish("a.c", 21);
        assert_eq!(client.hear_types(), ["a.b", "a.c"]);
    }
}

#[test]
fn leaving_a_replay_does_not_take_events_from_a_pattern() {
    let world = World::with_history("events");
    (1..=100).for_each(|n| _ = world.publish("a.b", n));
    let mut client = world.subscriber(&["a.*"]);
    recover(&mut client, "a.b", EPOCH, 50);
    world.publish("a.b", 101);
    client.unsubscribe(&["a.b"]);
    world.publish("a.b", 102);
    let heard = client.hear();
    let events: Vec<_> = heard.into_iter().filter(|message| message["type"] == "a.b").collect();
    assert_eq!(offsets(&events), (51..=102).collect::<Vec<_>>());
}

#[test]
fn the_position_is_that_of_the_last_event_before_the_live_ones() {
    let world = World::with_history("events");
    (1..=3).for_each(|n| _ = world.publish("a", n));
    let mut client = world.client();
    client.subscribe(&["a", "a.*", "new"]);
    world.publish("a", 4);
    let heard = client.hear();
    assert_eq!(heard[0]["data"]["positions"], json!({"a": {"epoch": EPOCH, "offset": 3}}));
    assert_eq!(offsets(&heard[1..]), [4]);
}

#[test]
fn only_channels_are_recovered() {
    let world = World::with_history("events");
    let mut client = world.client();
    client.say(json!({"type": "subscribe", "events": ["a.*"], "recover": {"a.*": {"epoch": EPOCH, "offset": 0}}}));
    assert_eq!(client.hear()[0]["data"]["message"], "'a.*' is a pattern: only a channel can be recovered");
}

#[test]
fn a_channel_that_was_gone_in_between_does_not_pass_for_the_old_one() {
    let world = World::events();
    let limits = HistoryLimits { events: 100, bytes: usize::MAX, age: seconds(10) };
    *world.retention.borrow_mut() = Retention { history: Some(limits), ..Retention::default() };
    (1..=3).for_each(|n| _ = world.publish("a", n));
    world.pass(seconds(11));
    // Nobody needs it, and the last one to leave finds that out.
    drop(world.subscriber(&["a"]));
    assert_eq!(world.hub.stats().channels, 0);
    let mut client = world.client();
    assert_eq!(recover(&mut client, "a", EPOCH, 3)["recovered"], true, "nothing came since");
    assert_eq!(recover(&mut client, "a", EPOCH, 1)["recovered"], false);
    drop(client);
    (4..=8).for_each(|n| _ = world.publish("a", n));
    let mut client = world.client();
    assert_eq!(recover(&mut client, "a", EPOCH, 1)["recovered"], false, "two events are gone");
    let heard = client.hear();
    assert_eq!((missed(&heard), offsets(&heard[1..]).len()), (2, 5));
    assert_eq!(recover(&mut world.client(), "a", EPOCH, 3)["recovered"], true);
}

#[test]
fn events_that_no_history_took_are_known_to_be_missing() {
    let world = World::new("events", HubConfig { max_channels: 1, ..HubConfig::default() });
    *world.retention.borrow_mut() = Retention { history: history(10), ..Retention::default() };
    let mut client = world.client();
    assert_eq!(recover(&mut client, "a", EPOCH, 0)["recovered"], true);
    client.unsubscribe(&["a"]);
    client.hear();
    world.publish("other", 1);
    world.publish("a", 1);
    assert_eq!(world.metric("websocket_events_forgotten_total"), 1);
    world.pass(seconds(3601));
    assert_eq!(recover(&mut client, "a", EPOCH, 0)["recovered"], false);
}

#[test]
fn connecting_may_recover() {
    let world = World::with_history("raw");
    (1..=5).for_each(|n| _ = world.publish("out", n));
    let mut arrival = world.arrival(Some(crate::support::identity(None, crate::support::grants(&["*"]))));
    let position = Position { epoch: EPOCH.to_owned(), offset: 3 };
    arrival.subscriptions = vec![(Pattern::parse("out").unwrap(), Some(position))];
    let mut client = world.arrive(arrival).unwrap();
    world.publish("out", 6);
    assert_eq!(client.hear_texts(), ["4", "5", "6"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whenever_a_client_goes_and_comes_back_it_misses_nothing_or_is_told(
        events in 1..40_usize,
        filter in prop::option::of(Just("n > 0")),
        steps in prop::collection::vec((0..4_u8, 1..400_usize), 1..80),
    ) {
        let world = World::events();
        *world.retention.borrow_mut() = Retention { history: history(events), ..Retention::default() };
        let mut client: Option<Client> = None;
        let (mut published, mut position) = (0, 0);
        for (step, room) in steps.into_iter().chain([(2, 1), (2, 1)]) {
            match (step, &mut client) {
                (0 | 1, _) => {
                    published += 1;
                    world.publish("a", json!({"n": published}));
                }
                (2, none @ None) => {
                    let client = none.insert(world.client());
                    let recover = json!({"a": {"epoch": EPOCH, "offset": position}});
                    client.say(json!({"type": "subscribe", "events": ["a"], "filter": filter, "recover": recover}));
                }
                (2, Some(client)) => {
                    client.transmit(room);
                    for message in client.heard() {
                        if let Some(offset) = message["offset"].as_u64() {
                            prop_assert_eq!(offset, position + 1, "{}", message);
                            position = offset;
                        } else if let Some(missed) = message["data"]["missed"].as_u64() {
                            position += missed;
                        }
                    }
                }
                (_, client) => *client = None,
            }
        }
        prop_assert!(position <= published);
        if let Some(mut client) = client {
            let heard = client.hear();
            let events = heard.iter().filter(|message| message["type"] == "a").count() as u64;
            prop_assert_eq!(position + events + missed(&heard), published);
        }
    }
}
