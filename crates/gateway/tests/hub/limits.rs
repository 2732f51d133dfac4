//! How many there may be of everything.

use std::net::{IpAddr, Ipv4Addr};

use eventflux_gateway::auth::Grants;
use eventflux_gateway::{Ending, HubConfig, Retention};
use serde_json::json;

use crate::support::{World, history, identity, seconds};

#[test]
fn a_process_and_an_address_have_as_many_connections_as_allowed() {
    let config = HubConfig { max_connections: 3, max_connections_per_address: Some(2), ..HubConfig::default() };
    let world = World::new("events", config);
    let address = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    let arrive = |last| {
        let mut arrival = world.arrival(Some(identity(None, Grants::everything())));
        arrival.address = address(last);
        world.arrive(arrival)
    };
    let first = arrive(1).unwrap();
    let _second = arrive(1).unwrap();
    assert!(matches!(arrive(1), Err(Ending::AddressLimit)));
    assert_eq!((world.hub.has_room(address(1)), world.hub.has_room(address(2))), (Err(Ending::AddressLimit), Ok(())));
    let _third = arrive(2).unwrap();
    assert!(matches!(arrive(3), Err(Ending::Capacity)));
    drop(first);
    assert!(arrive(3).is_ok());
    let stats = world.hub.stats();
    assert_eq!((stats.active_connections, stats.peak_connections, stats.total_connections), (2, 3, 4));
    assert_eq!(stats.failed_connections, 3, "one of them was only asked for");
    assert_eq!(world.metric("websocket_connections_failed_total"), 3);
}

#[test]
fn a_connection_has_as_many_subscriptions_as_allowed_and_may_replace_them() {
    let config = HubConfig { max_subscriptions: 2, ..HubConfig::default() };
    let world = World::new("events", config);
    let mut client = world.client();
    client.subscribe(&["a", "b.*", "c"]);
    let heard = client.hear();
    assert_eq!(heard[0]["data"]["events"], json!(["a", "b.*"]));
    assert_eq!(heard[1]["data"]["code"], "SUBSCRIPTION_LIMIT_EXCEEDED");
    client.subscribe(&["a"]);
    assert_eq!(client.hear_types(), ["subscribed"]);
    client.unsubscribe(&["a"]);
    client.subscribe(&["c"]);
    assert_eq!(client.hear_types(), ["unsubscribed", "subscribed"]);
    assert_eq!(["a", "b.x", "c"].map(|channel| world.publish(channel, 1)), [0, 1, 1]);
}

#[test]
fn a_channel_has_as_many_subscribers_as_allowed() {
    let config = HubConfig { max_subscribers: 2, ..HubConfig::default() };
    let world = World::new("events", config);
    let mut clients: Vec<_> = (0..3).map(|_| world.client()).collect();
    let mut results = Vec::new();
    for client in &mut clients {
        client.say(json!({"type": "subscribe", "events": ["a"], "filter": "n > 0"}));
        results.extend(client.hear_types());
    }
    assert_eq!(results, ["subscribed", "subscribed", "error"]);
    clients[0].subscribe(&["a"]);
    assert_eq!(clients[0].hear_types(), ["subscribed"], "its own place is free for it");
    drop(clients.remove(0));
    clients[1].subscribe(&["a"]);
    assert_eq!(clients[1].hear_types(), ["subscribed"]);
    assert_eq!(world.hub.subscribers("a"), 2);
}

#[test]
fn a_refused_replacement_leaves_what_was_there() {
    let config = HubConfig { max_channels: 1, ..HubConfig::default() };
    let world = World::new("analytics", config);
    let mut client = world.client();
    let mut ask = |kind: &str| {
        client.say(json!({"type": "subscribe", "data": {"type": kind}, "subscription_id": "s", "correlation_id": "c"}));
        client.hear_types()
    };
    assert_eq!(ask("alerts"), ["subscribed"]);
    assert_eq!(ask("metrics"), ["error"]);
    assert_eq!((world.publish("alerts", 1), world.hub.stats().subscriptions), (1, 1));
}

#[test]
fn there_are_as_many_channels_as_allowed_and_refused_ones_leave_none() {
    let config = HubConfig { max_channels: 3, ..HubConfig::default() };
    let world = World::new("events", config);
    let mut clients: Vec<_> = (0..2).map(|_| world.client()).collect();
    clients[0].subscribe(&["a", "b", "c.*", "d"]);
    let heard = clients[0].hear();
    assert_eq!(heard[1]["data"]["code"], "CHANNEL_FULL");
    clients[1].subscribe(&["a", "c.*", "e.*"]);
    assert_eq!(clients[1].hear()[0]["data"]["events"], json!(["a", "c.*"]));
    clients[0].unsubscribe(&["b"]);
    clients[1].subscribe(&["e.*"]);
    assert_eq!(clients[1].hear_types(), ["subscribed"]);
}

#[test]
fn what_a_subscriber_had_too_many_of_does_not_fill_the_table() {
    let config = HubConfig { max_subscribers: 1, max_channels: 100, ..HubConfig::default() };
    let world = World::new("events", config);
    let _holder = world.subscriber(&["taken"]);
    let mut client = world.user(None, crate::support::grants(&["taken", "x.*"]));
    for _ in 0..200 {
        // Cut to two parts, of which one cannot be had.
        client.subscribe(&["*"]);
        assert_eq!(client.hear()[0]["data"]["code"], "CHANNEL_FULL");
        assert_eq!(world.publish("x.1", 1), 0);
    }
}

#[test]
fn histories_that_have_run_out_make_room_for_new_channels() {
    let config = HubConfig { max_channels: 10, ..HubConfig::default() };
    let world = World::new("events", config);
    *world.retention.borrow_mut() = Retention { history: history(10), ..Retention::default() };
    (0..20).for_each(|n| _ = world.publish(&format!("c{n}"), n));
    assert_eq!((world.hub.stats().channels, world.metric("websocket_events_forgotten_total")), (10, 10));
    let mut client = world.client();
    client.subscribe(&["new"]);
    assert_eq!(client.hear()[0]["data"]["code"], "CHANNEL_FULL");
    world.pass(seconds(3601));
    client.subscribe(&["new"]);
    assert_eq!(client.hear_types(), ["subscribed"]);
    assert_eq!(world.hub.stats().channels, 1);
}

#[test]
fn a_dropped_session_leaves_nothing_behind() {
    let world = World::events();
    let mut client = world.user(Some("ann"), Grants::everything());
    client.subscribe(&["a", "b.*", "*"]);
    client.say(json!({"type": "subscribe", "events": ["f"], "filter": "n > 1"}));
    drop(client);
    let stats = world.hub.stats();
    assert_eq!((stats.active_connections, stats.active_users, stats.channels, stats.subscriptions), (0, 0, 0, 0));
    assert_eq!((world.publish("a", 1), world.publish("f", json!({"n": 2}))), (0, 0));
}
