//! What stays bounded, whatever clients do.

use eventflux_gateway::{FullPolicy, HubConfig};
use serde_json::json;

use crate::support::{World, queue};

#[test]
fn coming_and_going_leaves_nothing_behind() {
    let world = World::events();
    let mut client = world.client();
    for n in 0..100_000_u64 {
        let channel = format!("c{}{}", n % 1000, if n % 3 == 0 { "*" } else { "" });
        match n % 5 {
            0 => client.say(json!({"type": "subscribe", "events": [channel], "filter": format!("n > {n}")})),
            _ => client.subscribe(&[&channel]),
        }
        world.publish("c1", n);
        client.unsubscribe(&[&channel]);
        client.transmit(1 << 20);
        assert!(client.heard().len() <= 3);
        assert_eq!(world.hub.stats().channels, 0);
    }
    assert_eq!((world.hub.stats().subscriptions, world.hub.stats().active_connections), (0, 1));
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let world = World::new("events", HubConfig { max_connections: 10, presence: true, ..HubConfig::default() });
    for n in 0..10_000 {
        let mut client = world.user(Some(&format!("user{n}")), eventflux_gateway::auth::Grants::everything());
        client.subscribe(&["a", &format!("c{n}"), "p*"]);
    }
    let stats = world.hub.stats();
    assert_eq!((stats.active_connections, stats.active_users, stats.channels, stats.subscriptions), (0, 0, 0, 0));
}

#[test]
fn a_client_that_reads_nothing_and_changes_its_mind_holds_no_more_than_its_queue() {
    let world = World::events().slow(queue(10_000, FullPolicy::DropOldest));
    let mut client = world.subscriber(&["a.b"]);
    for n in 0..1000 {
        world.publish("a.b", json!({"n": n, "text": "x".repeat(1000)}));
        // What waits moves from the log of one to that of the other.
        if n % 2 == 0 { client.subscribe(&["a.*"]) } else { client.unsubscribe(&["a.*"]) }
    }
    assert_eq!(client.ended, None);
    let heard = client.hear();
    let events = heard.iter().filter(|message| message["type"] == "a.b").count() as u64;
    let missed: u64 = heard.iter().filter_map(|message| message["data"]["missed"].as_u64()).sum();
    assert_eq!(events + missed, 1000);
    assert!(events < 25, "{events} events of 1 KB in a queue of 10 KB, and in the log");
}
