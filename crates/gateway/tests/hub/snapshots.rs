//! The latest event of each key, for clients that begin.

use eventflux_gateway::Retention;
use serde_json::{Value, json};

use crate::support::{EPOCH, World, history};

fn offsets(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|event| event["offset"].as_u64().unwrap_or_else(|| panic!("{event}"))).collect()
}

#[test]
fn a_new_subscriber_may_have_the_latest_of_each_key_first() {
    let world = World::with_history("events");
    for n in 1..=20 {
        world.publish_key("a", &format!("k{}", n % 4), n);
    }
    world.publish("a", 21);
    let mut client = world.client();
    client.say(json!({"type": "subscribe", "events": ["a"], "snapshot": true}));
    world.publish_key("a", "k1", 22);
    let heard = client.hear();
    assert_eq!(heard[0]["data"]["positions"]["a"]["offset"], 21);
    assert_eq!(offsets(&heard[1..]), [18, 19, 20, 22], "what is replaced before it is sent is not sent");
}

#[test]
fn what_is_newer_than_a_snapshot_comes_live_even_if_there_is_no_room_for_all_of_it_at_once() {
    for filter in [None, Some("n > 0")] {
        let world = World::with_history("events");
        (1..=100).for_each(|n| _ = world.publish_key("a", &n.to_string(), json!({"n": n})));
        let mut client = world.client();
        client.say(json!({"type": "subscribe", "events": ["a"], "filter": filter, "snapshot": true}));
        let mut heard = Vec::new();
        for n in 101..=120 {
            client.transmit(300);
            heard.extend(client.heard());
            world.publish_key("a", &(n - 20).to_string(), json!({"n": n}));
        }
        heard.extend(client.hear());
        heard.remove(0);
        let offsets = offsets(&heard);
        assert!(offsets.is_sorted(), "{offsets:?}");
        assert!(offsets.ends_with(&(101..=120).collect::<Vec<_>>()));
        // 80 that were not replaced, those that were sent before they were, and all that came.
        assert!((1..=80).all(|n| offsets.contains(&n)), "{offsets:?}");
    }
}

#[test]
fn a_snapshot_is_filtered_and_personal() {
    let world = World::with_history("analytics");
    (1..=4).for_each(|n| _ = world.publish_key("metrics", &n.to_string(), json!({"n": n})));
    let mut client = world.client();
    client.say(json!({
        "type": "subscribe",
        "data": {"type": "metrics", "where": "n > 2", "snapshot": true},
        "subscription_id": "mine",
        "correlation_id": "1",
    }));
    world.publish_key("metrics", "5", json!({"n": 5}));
    let heard = client.hear();
    let told: Vec<_> =
        heard.iter().map(|m| (m["data"]["event"]["n"].as_u64(), m["subscription_id"].as_str().unwrap())).collect();
    assert_eq!(told, [(None, "mine"), (Some(3), "mine"), (Some(4), "mine"), (Some(5), "mine")]);
}

#[test]
fn a_snapshot_that_its_client_does_not_wait_for_is_over_before_the_unsubscribe() {
    let world = World::with_history("events");
    (1..=100).for_each(|n| _ = world.publish_key("a", &n.to_string(), n));
    let mut client = world.client();
    client.say(json!({"type": "subscribe", "events": ["a"], "snapshot": true}));
    client.transmit(500);
    client.unsubscribe(&["a"]);
    let types = client.hear_types();
    assert_eq!(types.last().unwrap(), "unsubscribed");
}

#[test]
fn only_channels_have_a_latest() {
    let world = World::with_history("events");
    let mut client = world.client();
    client.say(json!({"type": "subscribe", "events": ["a.*"], "snapshot": true}));
    assert_eq!(client.hear()[0]["data"]["message"], "'a.*' is a pattern: only a channel can be told its latest events");
}

#[test]
fn who_recovers_completely_needs_no_snapshot_and_who_cannot_gets_one() {
    let world = World::events();
    *world.retention.borrow_mut() = Retention { history: history(5), snapshot_keys: Some(10), ..Retention::default() };
    (1..=20).for_each(|n| _ = world.publish_key("a", if n % 2 == 0 { "even" } else { "odd" }, n));
    let ask = |offset: u64| {
        let mut client = world.client();
        client.say(json!({
            "type": "subscribe", "events": ["a"], "snapshot": true, "recover": {"a": {"epoch": EPOCH, "offset": offset}},
        }));
        let heard = client.hear();
        (heard[0]["data"]["positions"]["a"]["recovered"].as_bool().unwrap(), offsets(&heard[1..]))
    };
    assert_eq!(ask(16), (true, vec![17, 18, 19, 20]));
    assert_eq!(ask(3), (false, vec![19, 20]));
}
