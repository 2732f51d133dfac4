//! Small messages to one client that wait for each other.

use std::time::Duration;

use eventflux_gateway::{Batching, HubConfig, Outgoing};
use serde_json::{Value, json};

use crate::support::{Client, World, split};

const DELAY: Duration = Duration::from_millis(5);

fn world(max_bytes: usize) -> World {
    let batching = Some(Batching { delay: DELAY, max_bytes });
    World::new("events", HubConfig { batching, ..HubConfig::default() })
}

/// A client whose driver wants texts.
fn client(world: &World) -> Client {
    let mut client = world.client_of_texts();
    client.say(json!({"type": "subscribe", "events": ["a"], "filter": "n >= 0"}));
    client.hear_outgoing();
    world.pass(DELAY);
    client.hear_outgoing();
    client
}

fn hear(client: &mut Client) -> Vec<Value> {
    let outgoing = client.hear_outgoing();
    let text = |outgoing: &Outgoing| match outgoing {
        Outgoing::Message { text, .. } => serde_json::from_slice(text).unwrap(),
        framed @ Outgoing::Framed(_) => panic!("{framed:?}"),
    };
    outgoing.iter().map(text).collect()
}

#[test]
fn messages_wait_for_each_other_until_the_first_has_waited_long_enough() {
    let world = world(100_000);
    let mut client = client(&world);
    for n in 1..=3 {
        world.publish("a", json!({"n": n}));
        assert!(hear(&mut client).is_empty());
        world.pass(Duration::from_millis(1));
    }
    client.say(json!({"type": "ping"}));
    assert!(hear(&mut client).is_empty());
    assert_eq!(client.session.deadline(), Some(world.now() + Duration::from_millis(2)));
    assert!(!client.session.has_more());
    world.pass(Duration::from_millis(2));
    client.timers();
    assert!(client.session.has_more(), "or nobody would send it");
    let heard = hear(&mut client);
    let types: Vec<_> = heard[0]["data"].as_array().unwrap().iter().map(|message| &message["type"]).collect();
    assert_eq!(
        (heard.len(), &heard[0]["type"], types),
        (1, &json!("batch"), [&json!("a"), &json!("a"), &json!("a"), &json!("pong")].into())
    );
    assert_eq!(client.session.deadline(), None);
}

#[test]
fn a_single_message_is_sent_as_it_is() {
    let world = world(100_000);
    let mut client = client(&world);
    world.publish("a", json!({"n": 1}));
    hear(&mut client);
    world.pass(DELAY);
    assert_eq!(hear(&mut client), [json!({"type": "a", "data": {"n": 1}})]);
}

#[test]
fn what_is_enough_goes_at_once() {
    let world = world(100);
    let mut client = client(&world);
    (1..=4).for_each(|n| _ = world.publish("a", json!({"n": n, "text": "x".repeat(30)})));
    let sizes: Vec<_> = hear(&mut client).iter().map(|batch| batch["data"].as_array().map(Vec::len)).collect();
    assert_eq!(sizes, [None, None, None], "the fourth waits");
    world.publish("a", json!({"n": 5, "text": "x".repeat(500)}));
    let heard = hear(&mut client);
    let numbers: Vec<_> = heard.iter().map(|message| message["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [4, 5]);
    assert_eq!(client.session.deadline(), None);
}

#[test]
fn what_waits_counts_as_not_sent_and_goes_before_the_goodbye() {
    let world = world(100_000);
    let mut client = client(&world);
    world.publish("a", json!({"n": 1}));
    hear(&mut client);
    assert_eq!(world.hub.backlog(), 1);
    world.hub.stop();
    assert_eq!(hear(&mut client), [json!({"type": "a", "data": {"n": 1}})]);
    assert!(client.ended.is_some());
}

#[test]
fn events_that_are_framed_for_all_do_not_overtake_what_waits() {
    let world = world(100_000);
    let mut client = world.subscriber(&["a"]);
    client.say(json!({"type": "ping"}));
    client.transmit(1000);
    world.publish("a", 1);
    let outgoing = client.hear_outgoing();
    let [Outgoing::Message { text: reply, .. }, Outgoing::Message { text: pong, .. }, Outgoing::Framed(event)] =
        &outgoing[..]
    else {
        // The reply to the subscription may be in the batch.
        let [Outgoing::Message { text, .. }, Outgoing::Framed(event)] = &outgoing[..] else { panic!("{outgoing:?}") };
        assert!(text.ends_with(br#"{"type":"pong"}]}"#), "{text:?}");
        assert_eq!(split(event), [r#"{"type":"a","data":1}"#]);
        return;
    };
    panic!("{reply:?} {pong:?} {event:?}");
}
