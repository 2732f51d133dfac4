//! Subscriptions that match the same events: a client gets each event once.

use serde_json::{Value, json};

use crate::support::{Client, World};

fn subscribe(client: &mut Client, channel: &str, filter: Option<&str>) {
    client.say(json!({"type": "subscribe", "events": [channel], "filter": filter}));
    client.hear();
}

fn numbers(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter_map(|message| message["data"]["n"].as_u64()).collect()
}

/// What a client gets of `n = 1..=9` on a channel.
fn publish_nine(world: &World, client: &mut Client, channel: &str) -> Vec<u64> {
    (1..10).for_each(|n| _ = world.publish(channel, json!({"n": n})));
    let mut heard = numbers(&client.hear());
    heard.sort_unstable();
    heard
}

#[test]
fn an_event_that_a_channel_and_patterns_match_comes_once() {
    for order in [["a.b", "a.*", "*"], ["*", "a.*", "a.b"], ["a.*", "a.b", "*"], ["a.b", "*", "a.*"]] {
        let world = World::events();
        let mut client = world.subscriber(&order);
        assert_eq!(publish_nine(&world, &mut client, "a.b"), [1, 2, 3, 4, 5, 6, 7, 8, 9], "{order:?}");
        assert_eq!(world.hub.stats().subscriptions, 3);
    }
}

#[test]
fn narrower_subscriptions_come_back_when_the_wider_one_ends() {
    let world = World::events();
    let mut client = world.subscriber(&["a.b", "a.*", "*"]);
    client.unsubscribe(&["*"]);
    client.hear();
    assert_eq!(world.publish("c", 0), 0);
    assert_eq!(publish_nine(&world, &mut client, "a.b").len(), 9);
    client.unsubscribe(&["a.*"]);
    client.hear();
    assert_eq!(world.publish("a.c", 0), 0);
    assert_eq!(publish_nine(&world, &mut client, "a.b").len(), 9);
    client.unsubscribe(&["a.b"]);
    client.hear();
    assert_eq!(world.publish("a.b", 0), 0);
}

#[test]
fn nothing_is_lost_when_a_wider_subscription_comes_or_goes_while_events_wait() {
    let world = World::events();
    let mut client = world.subscriber(&["a.b"]);
    world.publish("a.b", json!({"n": 1}));
    client.subscribe(&["a.*"]);
    world.publish("a.b", json!({"n": 2}));
    client.unsubscribe(&["a.*"]);
    world.publish("a.b", json!({"n": 3}));
    client.subscribe(&["*"]);
    client.subscribe(&["a.*"]);
    world.publish("a.b", json!({"n": 4}));
    client.unsubscribe(&["*"]);
    world.publish("a.b", json!({"n": 5}));
    client.unsubscribe(&["a.b"]);
    world.publish("a.b", json!({"n": 6}));
    assert_eq!(numbers(&client.hear()), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn of_filters_that_overlap_one_delivers() {
    for (first, second) in [("a.b", "a.*"), ("a.*", "a.b"), ("a.*", "*"), ("*", "a.b")] {
        let world = World::events();
        let mut client = world.client();
        subscribe(&mut client, first, Some("n < 6"));
        subscribe(&mut client, second, Some("n > 3"));
        assert_eq!(publish_nine(&world, &mut client, "a.b"), [1, 2, 3, 4, 5, 6, 7, 8, 9], "{first} {second}");
        client.unsubscribe(&[first]);
        client.hear();
        assert_eq!(publish_nine(&world, &mut client, "a.b"), [4, 5, 6, 7, 8, 9], "{first} {second}");
    }
}

#[test]
fn a_channel_without_a_filter_and_a_pattern_with_one_do_not_both_deliver() {
    for order in [[("a.b", None), ("a.*", Some("n > 3"))], [("a.*", Some("n > 3")), ("a.b", None)]] {
        let world = World::events();
        let mut client = world.client();
        order.iter().for_each(|(channel, filter)| subscribe(&mut client, channel, *filter));
        assert_eq!(publish_nine(&world, &mut client, "a.b").len(), 9);
        assert_eq!(publish_nine(&world, &mut client, "a.c"), [4, 5, 6, 7, 8, 9]);
        client.unsubscribe(&["a.b"]);
        client.hear();
        assert_eq!(publish_nine(&world, &mut client, "a.b"), [4, 5, 6, 7, 8, 9]);
    }
}

#[test]
fn a_filter_makes_no_difference_where_a_wider_subscription_has_none() {
    let world = World::events();
    let mut client = world.client();
    subscribe(&mut client, "a.b", Some("n > 3"));
    subscribe(&mut client, "a.*", None);
    assert_eq!(publish_nine(&world, &mut client, "a.b").len(), 9);
    client.unsubscribe(&["a.*"]);
    client.hear();
    assert_eq!(publish_nine(&world, &mut client, "a.b"), [4, 5, 6, 7, 8, 9]);
}

#[test]
fn what_waits_for_filters_stays_in_order_when_they_change_places() {
    let world = World::events();
    let mut client = world.client();
    subscribe(&mut client, "a.*", Some("n > 0"));
    world.publish("a.b", json!({"n": 1}));
    client.subscribe(&["a.b"]);
    world.publish("a.b", json!({"n": 2}));
    client.subscribe(&["*"]);
    world.publish("a.b", json!({"n": 3}));
    client.unsubscribe(&["a.b", "*"]);
    world.publish("a.b", json!({"n": 4}));
    assert_eq!(numbers(&client.hear()), [1, 2, 3, 4]);
}

#[test]
fn patterns_that_grants_cut_to_the_same_channel_deliver_once() {
    let world = World::events();
    let mut client = world.user(None, crate::support::grants(&["a.b"]));
    client.subscribe(&["*", "a.*", "a.b"]);
    client.hear();
    assert_eq!(world.publish("a.b", json!({"n": 1})), 1);
    assert_eq!(numbers(&client.hear()), [1]);
    client.unsubscribe(&["*"]);
    world.publish("a.b", json!({"n": 2}));
    client.unsubscribe(&["a.b"]);
    world.publish("a.b", json!({"n": 3}));
    assert_eq!(numbers(&client.hear()), [2, 3]);
}

#[test]
fn covered_subscriptions_hold_no_channel() {
    let world = World::events();
    let mut client = world.subscriber(&["*"]);
    client.subscribe(&["a", "b", "c.*"]);
    assert_eq!((world.hub.stats().channels, world.hub.stats().subscriptions), (0, 4));
    client.unsubscribe(&["*"]);
    assert_eq!(world.hub.stats().channels, 2);
    assert_eq!(["a", "b", "c.d", "e"].map(|channel| world.publish(channel, 1)), [1, 1, 1, 0]);
}
