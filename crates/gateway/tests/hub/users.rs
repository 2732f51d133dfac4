//! Events for one user, on whatever devices.

use eventflux_gateway::auth::Grants;
use eventflux_gateway::{Address, Ending, HubConfig};
use serde_json::json;

use crate::support::{World, grants, identity};

fn to<'a>(user: &'a str, channel: Option<&'a str>) -> Address<'a> {
    Address::User { user, channel }
}

#[test]
fn an_event_for_a_user_reaches_the_devices_that_subscribed_and_nobody_else() {
    let world = World::events();
    let mut devices: Vec<_> = (0..3).map(|_| world.user(Some("ann"), Grants::everything())).collect();
    let mut other = world.user(Some("bob"), Grants::everything());
    devices[0].subscribe(&["blob.created"]);
    devices[1].subscribe(&["blob.*", "*"]);
    other.subscribe(&["*"]);
    devices.iter_mut().chain([&mut other]).for_each(|client| drop(client.hear()));
    assert_eq!(world.publish_to(to("ann", Some("blob.created")), "1").unwrap().delivered, 2);
    assert_eq!(devices[0].hear(), [json!({"type": "blob.created", "data": 1})]);
    assert_eq!(devices[1].hear_types(), ["blob.created"]);
    assert!(devices[2].hear().is_empty() && other.hear().is_empty());
    assert_eq!(world.publish_to(to("carl", Some("blob.created")), "1").unwrap().delivered, 0);
}

#[test]
fn without_a_channel_it_reaches_all_of_them_where_the_protocol_has_a_word_for_that() {
    let world = World::new("channels", HubConfig::default());
    let mut devices: Vec<_> = (0..2).map(|_| world.user(Some("ann"), Grants::everything())).collect();
    assert_eq!(world.publish_to(to("ann", None), "1").unwrap().delivered, 2);
    devices.iter_mut().for_each(|client| assert_eq!(client.hear(), [json!({"type": "event", "data": 1})]));
}

#[test]
fn its_filters_hold_for_the_users_events_as_well() {
    let world = World::events();
    let mut client = world.user(Some("ann"), Grants::everything());
    client.say(json!({"type": "subscribe", "events": ["a"], "filter": "n > 1"}));
    client.hear();
    for n in 1..4 {
        world.publish_to(to("ann", Some("a")), &json!({"n": n}).to_string()).unwrap();
    }
    assert_eq!(client.hear().iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn no_event_for_the_user_comes_after_the_unsubscribe() {
    let world = World::events();
    let mut client = world.user(Some("ann"), Grants::everything());
    client.subscribe(&["a"]);
    world.publish_to(to("ann", Some("a")), "1").unwrap();
    client.unsubscribe(&["a"]);
    assert_eq!(world.publish_to(to("ann", Some("a")), "2").unwrap().delivered, 0);
    assert_eq!(client.hear_types(), ["subscribed", "a", "unsubscribed"]);
}

#[test]
fn each_subscription_of_a_personal_dialect_gets_the_users_events() {
    let world = World::new("analytics", HubConfig::default());
    let mut client = world.user(Some("ann"), Grants::everything());
    for id in ["x", "y"] {
        client.say(json!({"type": "subscribe", "data": {"type": "alerts"}, "subscription_id": id}));
    }
    client.hear();
    assert_eq!(world.publish_to(to("ann", Some("alerts")), "1").unwrap().delivered, 1);
    let ids: Vec<_> = client.hear().iter().map(|event| event["subscription_id"].clone()).collect();
    assert_eq!(ids, ["x", "y"]);
    assert_eq!(world.publish_to(to("ann", None), "1").unwrap().delivered, 0, "without a subscription there is no id");
}

#[test]
fn a_user_has_as_many_connections_as_allowed() {
    let config = HubConfig { max_connections_per_user: Some(2), ..HubConfig::default() };
    let world = World::new("events", config);
    let arrive = |user| world.arrive(world.arrival(Some(identity(Some(user), Grants::everything()))));
    let first = arrive("ann").unwrap();
    let _second = arrive("ann").unwrap();
    assert!(matches!(arrive("ann"), Err(Ending::UserLimit)));
    assert_eq!(Ending::UserLimit.code(), 1008);
    let _other = arrive("bob").unwrap();
    let stats = world.hub.stats();
    assert_eq!((stats.active_connections, stats.active_users, stats.failed_connections), (3, 2, 1));
    drop(first);
    assert!(arrive("ann").is_ok());
}

#[test]
fn a_limit_of_no_connections_leaves_nothing_behind() {
    let config = HubConfig { max_connections_per_user: Some(0), ..HubConfig::default() };
    let world = World::new("events", config);
    assert!(world.arrive(world.arrival(Some(identity(Some("ann"), Grants::everything())))).is_err());
    assert_eq!((world.hub.stats().active_connections, world.hub.stats().active_users), (0, 0));
}

#[test]
fn anonymous_clients_are_no_user() {
    let world = World::events();
    let mut client = world.user(None, grants(&["*"]));
    client.subscribe(&["a"]);
    client.hear();
    assert_eq!(world.publish_to(to("", Some("a")), "1").unwrap().delivered, 0);
    assert_eq!(world.hub.stats().active_users, 0);
}
