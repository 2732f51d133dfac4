//! Subscribing and unsubscribing, and who may.

use eventflux_gateway::auth::Grants;
use eventflux_gateway::{Address, Effect, HubConfig, Pattern};
use serde_json::{Value, json};

use crate::support::{World, grants};

/// How a dialect asks for the subscription "metrics", how it ends it, and the types of the replies, where it has any.
struct Words {
    dialect: &'static str,
    subscribe: Value,
    unsubscribe: Value,
    replies: [&'static str; 2],
    event: &'static str,
}

fn dialects() -> [Words; 3] {
    [
        Words {
            dialect: "channels",
            subscribe: json!({"type": "subscribe", "data": {"channels": ["metrics"]}}),
            unsubscribe: json!({"type": "unsubscribe", "data": {"channels": ["metrics"]}}),
            replies: ["subscribe_response", "unsubscribe_response"],
            event: "event",
        },
        Words {
            dialect: "events",
            subscribe: json!({"type": "subscribe", "events": ["metrics"]}),
            unsubscribe: json!({"type": "unsubscribe", "events": ["metrics"]}),
            replies: ["subscribed", "unsubscribed"],
            event: "metrics",
        },
        Words {
            dialect: "analytics",
            subscribe: json!({"type": "subscribe", "data": {"type": "metrics"}, "subscription_id": "s", "correlation_id": "1"}),
            unsubscribe: json!({"type": "unsubscribe", "data": {"subscription_id": "s"}, "correlation_id": "2"}),
            replies: ["subscribed", "unsubscribed"],
            event: "data",
        },
    ]
}

#[test]
fn the_reply_comes_before_the_first_event_and_after_the_last_one_in_every_dialect() {
    for Words { dialect, subscribe, unsubscribe, replies, event } in dialects() {
        let world = World::new(dialect, HubConfig::default());
        let mut client = world.client();
        world.publish("metrics", 0);
        client.say(&subscribe);
        assert_eq!(world.publish("metrics", 1), 1, "{dialect}");
        world.publish("metrics", 2);
        assert_eq!(client.hear_types(), [replies[0], event, event], "{dialect}");
        world.publish("metrics", 3);
        assert_eq!(client.hear_types(), [event], "{dialect}");
        client.say(&unsubscribe);
        assert_eq!(world.publish("metrics", 4), 0, "{dialect}");
        assert_eq!(client.hear_types(), [replies[1]], "{dialect}");
    }
}

#[test]
fn what_came_for_a_filter_before_the_unsubscribe_comes_before_its_reply() {
    let world = World::events();
    let mut client = world.client();
    client.say(json!({"type": "subscribe", "events": ["a"], "fields": {"n": 1}}));
    world.publish("a", json!({"n": 1}));
    world.publish("a", json!({"n": 2}));
    client.unsubscribe(&["a"]);
    world.publish("a", json!({"n": 1}));
    assert_eq!(client.hear_types(), ["subscribed", "a", "unsubscribed"]);
}

#[test]
fn what_a_subscriber_has_not_read_when_it_unsubscribes_it_does_not_get() {
    let world = World::events();
    let mut client = world.subscriber(&["a"]);
    world.publish("a", 1);
    client.unsubscribe(&["a"]);
    assert_eq!(client.hear_types(), ["unsubscribed"]);
    client.subscribe(&["a"]);
    world.publish("a", 2);
    assert_eq!(client.hear()[1]["data"], 2);
}

#[test]
fn subscribing_again_replaces_and_loses_nothing() {
    let world = World::events();
    let mut client = world.subscriber(&["a"]);
    world.publish("a", 1);
    client.subscribe(&["a"]);
    world.publish("a", 2);
    assert_eq!(world.hub.stats().subscriptions, 1);
    let heard = client.hear();
    let events: Vec<_> = heard.iter().filter(|message| message["type"] == "a").map(|event| &event["data"]).collect();
    assert_eq!(events, [1, 2]);
    client.unsubscribe(&["a"]);
    assert_eq!((world.publish("a", 3), world.hub.stats().subscriptions), (0, 0));
}

#[test]
fn another_filter_replaces_the_first_one_for_what_comes_after_the_reply() {
    let world = World::events();
    let mut client = world.client();
    let mut ask = |filter: Option<&str>| {
        client.say(json!({"type": "subscribe", "events": ["a"], "filter": filter}));
        (1..4).for_each(|n| _ = world.publish("a", json!({"n": n})));
        let heard = client.hear();
        let (reply, events) = heard.split_first().unwrap();
        assert_eq!(reply["type"], "subscribed");
        events.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ask(Some("n > 1")), [2, 3]);
    assert_eq!(ask(Some("n < 2")), [1]);
    assert_eq!(ask(None), [1, 2, 3]);
    assert_eq!(ask(Some("n = 3")), [3]);
}

#[test]
fn a_change_of_the_filter_loses_nothing_that_was_published_before() {
    let world = World::events();
    let mut client = world.subscriber(&["a"]);
    world.publish("a", json!({"n": 1}));
    client.say(json!({"type": "subscribe", "events": ["a"], "filter": "n > 5"}));
    world.publish("a", json!({"n": 2}));
    world.publish("a", json!({"n": 6}));
    client.subscribe(&["a"]);
    world.publish("a", json!({"n": 3}));
    let heard = client.hear();
    let told: Vec<_> = heard.iter().map(|message| message["data"]["n"].as_u64()).collect();
    assert_eq!(told, [Some(1), None, Some(6), None, Some(3)]);
}

#[test]
fn a_filter_that_is_none_leaves_the_subscription_as_it_was() {
    let world = World::events();
    let mut client = world.subscriber(&["a"]);
    client.say(json!({"type": "subscribe", "events": ["a"], "filter": "n >"}));
    assert_eq!(client.hear()[0]["data"]["code"], "INVALID_FILTER");
    world.publish("a", 1);
    assert_eq!(client.hear_numbers(), [1]);
}

#[test]
fn each_channel_of_a_request_stands_for_itself() {
    let world = World::events();
    let mut client = world.user(Some("ann"), grants(&["a.*"]));
    client.subscribe(&["a.x", "b", "a b", "a.y"]);
    let heard = client.hear();
    assert_eq!(heard[0]["data"]["events"], json!(["a.x", "a.y"]));
    let codes: Vec<_> = heard[1..].iter().map(|error| error["data"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["PERMISSION_DENIED", "INVALID_CHANNEL"]);
    assert_eq!((world.publish("a.x", 1), world.publish("a.y", 2), world.publish("b", 3)), (1, 1, 0));
    assert_eq!(world.hub.stats().failed_subscriptions, 2);
}

#[test]
fn a_pattern_wider_than_the_grants_is_cut_to_them() {
    let world = World::events();
    let mut client = world.user(Some("ann"), grants(&["a.*", "b.x"]));
    client.subscribe(&["*"]);
    assert_eq!(client.hear()[0]["data"]["events"], json!(["*"]));
    ["a.1", "b.x", "b.y", "secret"].iter().for_each(|channel| _ = world.publish(channel, 1));
    assert_eq!(client.hear_types(), ["a.1", "b.x"]);
    client.unsubscribe(&["*"]);
    assert_eq!(client.hear_types(), ["unsubscribed"]);
    assert_eq!((world.publish("a.1", 1), world.publish("b.x", 1)), (0, 0));
}

#[test]
fn who_is_denied_does_not_learn_whether_the_channel_exists() {
    let world = World::with_history("events");
    let _somebody = world.subscriber(&["secret"]);
    world.publish("secret", 1);
    let mut client = world.user(Some("ann"), grants(&["a.*"]));
    let mut ask = |channel: &str| {
        client.say(json!({
            "type": "subscribe",
            "events": [channel],
            "recover": {channel: {"epoch": "epoch-1", "offset": 0}},
        }));
        let heard = client.hear();
        assert_eq!(heard.len(), 1);
        heard[0].to_string().replace(channel, "...")
    };
    assert_eq!(ask("secret"), ask("nothing"));
}

#[test]
fn who_may_nothing_gets_nothing() {
    let world = World::events();
    let mut client = world.user(None, Grants::nothing());
    client.subscribe(&["*", "a"]);
    assert_eq!(client.hear_types(), ["error", "error"]);
    assert_eq!((world.publish("a", 1), world.hub.stats().subscriptions), (0, 0));
}

#[test]
fn the_driver_is_asked_for_each_channel_that_the_grants_allow() {
    let config = HubConfig { authorizes_subscriptions: true, ..HubConfig::default() };
    let world = World::new("events", config);
    let mut client = world.user(Some("ann"), grants(&["a.*"]));
    let asked = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let log = asked.clone();
    client.authorize = Box::new(move |pattern: &Pattern| {
        log.borrow_mut().push(pattern.text().to_owned());
        pattern.text() != "a.no"
    });
    client.subscribe(&["a.yes", "secret", "a b", "a.no", "a.*"]);
    assert_eq!(*asked.borrow(), ["a.yes", "a.no", "a.*"]);
    let heard = client.hear();
    assert_eq!(heard[0]["data"]["events"], json!(["a.yes", "a.*"]));
    let codes: Vec<_> = heard[1..].iter().map(|error| error["data"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["PERMISSION_DENIED", "INVALID_CHANNEL", "PERMISSION_DENIED"]);
}

#[test]
fn a_driver_that_answers_for_too_few_denies_the_others() {
    let config = HubConfig { authorizes_subscriptions: true, ..HubConfig::default() };
    let world = World::new("events", config);
    let mut client = world.client();
    let ask = json!({"type": "subscribe", "events": ["a", "b"]}).to_string();
    client.session.receive(&ask.into(), false, client.now()).unwrap();
    assert!(matches!(client.session.next_effect(), Some(Effect::Authorize(patterns)) if patterns.len() == 2));
    client.session.authorized(&[true], client.now());
    assert_eq!(client.hear()[0]["data"]["events"], json!(["a"]));
    assert_eq!((world.publish("a", 1), world.publish("b", 1)), (1, 0));
}

#[test]
fn unsubscribing_what_was_not_subscribed_is_an_error() {
    let world = World::events();
    let mut client = world.subscriber(&["a"]);
    client.unsubscribe(&["b", "a"]);
    let heard = client.hear();
    assert_eq!((&heard[0]["data"]["code"], &heard[1]["data"]["events"]), (&json!("NOT_SUBSCRIBED"), &json!(["a"])));
    client.unsubscribe(&["b"]);
    assert_eq!(client.hear_types(), ["error"]);
}

#[test]
fn connecting_subscribes_where_the_protocol_has_no_words() {
    let world = World::new("raw", HubConfig::default());
    let mut arrival = world.arrival(Some(crate::support::identity(None, Grants::everything())));
    arrival.subscriptions = vec![(Pattern::parse("out").unwrap(), None)];
    let mut client = world.arrive(arrival).unwrap();
    world.publish("out", "any text");
    world.publish_to(Address::Channel("out"), "and more").unwrap();
    assert_eq!(client.hear_texts(), ["any text", "and more"]);
}

#[test]
fn each_subscription_of_a_personal_dialect_gets_its_own_copy() {
    let world = World::new("analytics", HubConfig::default());
    let mut client = world.client();
    for (id, filters) in [("all", json!({})), ("s1", json!({"symbol": "S1"})), ("s2", json!({"symbol": "S2"}))] {
        client
            .say(json!({"type": "subscribe", "data": {"type": "metrics", "filters": filters}, "subscription_id": id}));
    }
    client.hear();
    assert_eq!(world.publish("metrics", json!({"symbol": "S1"})), 2);
    let mut ids: Vec<_> = client.hear().iter().map(|event| event["subscription_id"].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["\"all\"", "\"s1\""]);
    client.say(json!({"type": "unsubscribe", "data": {"subscription_id": "all"}}));
    world.publish("metrics", json!({"symbol": "S2"}));
    let heard = client.hear();
    assert_eq!((heard.len(), &heard[0]["subscription_id"]), (1, &json!("s2")));
}

#[test]
fn subscriptions_without_a_name_get_one_each() {
    let world = World::new("analytics", HubConfig::default());
    let mut client = world.client();
    for _ in 0..2 {
        client.say(json!({"type": "subscribe", "data": {"type": "alerts"}}));
    }
    assert_eq!(world.publish("alerts", 1), 2);
    let heard = client.hear();
    assert_eq!(heard.len(), 2);
    assert_ne!(heard[0]["subscription_id"], heard[1]["subscription_id"]);
    assert_eq!(world.hub.stats().subscriptions, 2);
}
